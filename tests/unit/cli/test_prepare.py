"""prepare into a folder that has a corpus: what it loses is a warning."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from glossfree.cli.prepare import prepare
from glossfree.console import Silent

COUNTS = {"dev": 4, "test": 5}


def test_clips_that_are_lost_and_outdated_pseudo_glosses_are_warnings(tiny: Any, tmp_path: Path) -> None:
    folder, console = shutil.copytree(tiny.corpus, tmp_path / "corpus"), Silent()
    assert prepare("wetter", folder, console, frame_size=28, workers=1, train=12, **COUNTS).warnings == ()
    lost, outdated = prepare("wetter", folder, console, frame_size=28, workers=1, train=5, **COUNTS).warnings
    assert lost.startswith("7 of the 21 clips") and f"glossfree glosses {folder}" in outdated
    assert console.lines[-2:] == [f"warning: {lost}", f"warning: {outdated}"]


def test_the_first_time_there_is_nothing_to_lose(tmp_path: Path) -> None:
    assert (
        prepare("wetter", tmp_path / "corpus", Silent(), frame_size=28, workers=1, train=3, dev=2, test=1).warnings
        == ()
    )
