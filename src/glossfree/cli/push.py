"""`push`: a model folder -> one commit in a repository of the hub."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from glossfree.console import Console, size
from glossfree.errors import GlossfreeError, ModelError, name_some
from glossfree.pipeline import hub
from glossfree.serving.folder import CARD, others, verify


def push(
    folder: Annotated[Path, typer.Argument(help="Folder made by `glossfree export`.")],
    repository: Annotated[str, typer.Argument(help="owner/name on the hub.")],
    console: Console,
    revision: Annotated[str | None, typer.Option(help="Branch; main if left out.")] = None,
    create: Annotated[
        bool, typer.Option("--create", help="Make the repository and the branch if there are none.")
    ] = False,
    private: Annotated[bool, typer.Option("--private", help="With --create: hidden from others.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> hub.Pushed:
    """Verify the folder, say what is sent, ask, send. Raises ModelError: as `verify` and `hub.push`, other files."""
    hub.repository_of(repository)
    if private and not create:
        raise GlossfreeError("--private without --create", where="push", remedy="the hub's page changes who sees it")
    listed = verify(folder)["files"]
    if strangers := others(folder, listed):
        problem = f"holds what is no part of the model: {name_some(strangers)}"
        raise ModelError(problem, where=folder, remedy="move it elsewhere, or export again")
    files = [name for name in (CARD, hub.CONFIG, hub.README, *listed) if (folder / name).is_file()]
    if hub.README not in files:
        console.warn(f"no {hub.README}: an earlier version exported it; export it again for a model card")
    sizes = [(folder / name).stat().st_size for name in files]
    for name, num_bytes in zip(files, sizes, strict=True):
        console.say(f"  {name}  {size(num_bytes)}")
    question = f"Send these {len(files)} files ({size(sum(sizes))}) to {repository}?"
    if not yes and not (sys.stdin.isatty() and typer.confirm(question, err=True)):
        raise GlossfreeError("nothing was sent", where=repository, remedy="answer y, or add --yes")
    return hub.push(folder, files, repository, revision=revision, create=create, private=private)
