"""What the verbs share: their common options, and the only print of a result."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated, Any

import typer

from glossfree.cli.terminal import Terminal
from glossfree.console import Console, Silent

Recipe = Annotated[str, typer.Option(help="A TOML file, or the name of a shipped recipe.")]
Corpus = Annotated[Path, typer.Option(help="A folder made by `glossfree prepare`.")]
RunFolder = Annotated[Path, typer.Option("--run", help="Folder of the run.")]
Overrides = Annotated[
    list[str], typer.Option("--set", default_factory=list, help="section.key=value; may be given several times.")
]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with a run that was interrupted.")]
Track = Annotated[
    list[str],
    typer.Option(
        "--track", default_factory=list, help="tensorboard, wandb, trackio or mlflow; may be given several times."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


def is_first_process() -> bool:
    """Whether this is the one of several processes (`accelerate launch`) that speaks."""
    return os.environ.get("RANK", "0") == "0"


def console() -> Console:
    """Where a verb tells what it does: a terminal in the first process, nowhere in the others."""
    return Terminal() if is_first_process() else Silent()


def result(text: str) -> None:
    """The only print: a command's result, once however many processes work on it."""
    if is_first_process():
        print(text)


def show_json(data: Any) -> None:
    """A result for programs."""
    result(json.dumps(data, ensure_ascii=False, indent=1))
