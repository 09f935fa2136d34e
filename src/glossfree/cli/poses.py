"""`poses`: keypoints from `.pose` files, for a corpus that is already prepared."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from glossfree.cli.options import PreparedFolder
from glossfree.console import Console
from glossfree.corpora.manifest import Manifest
from glossfree.video.keypoints import PosesReport, read_keypoints


def poses(
    corpus: PreparedFolder,
    root: Annotated[Path, typer.Option(help="Folder of the files: SPLIT/ID.pose, or ID.pose.")],
    console: Console,
) -> PosesReport:
    """Read the keypoints of every clip; see `video.keypoints.read_keypoints`."""
    return read_keypoints(Manifest.load(corpus), root, console)
