"""A verb: a function with Typer's options that returns a Result -> a command that prints it and exits.

The function declares its own options only. Every command also takes --json, --quiet and --verbose.
"""

from __future__ import annotations

import functools
import inspect
import logging
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from glossfree.cli.terminal import NORMAL, QUIET, VERBOSE, Terminal
from glossfree.console import Console, Result, Silent
from glossfree.errors import RunError

Verb = Callable[..., Result]
COMMON = {
    "as_json": Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")],
    "quiet": Annotated[bool, typer.Option("--quiet", "-q", help="Print the result and errors only.")],
    "verbose": Annotated[bool, typer.Option("--verbose", "-v", help="Also print what libraries log.")],
}


@dataclass(frozen=True)
class Written(Result):
    """The result of a verb that writes a file or a folder."""

    path: Path

    def to_text(self) -> str:
        """The path alone, for scripts."""
        return str(self.path)


def is_first_process() -> bool:
    """Whether this is the process of several (`accelerate launch`) that prints."""
    return os.environ.get("RANK", "0") == "0"


def show(text: str) -> None:
    """Print a result, in the first process only. Raises RunError if it cannot be written, as on a full disk."""
    if is_first_process():
        try:
            print(text, flush=True)
        except BrokenPipeError:  # whoever read it has seen enough: Typer ends the process
            raise
        except OSError as error:
            sys.stdout = None  # or what it still holds would fail again at the end
            remedy = "check the free space of the disk that it goes to"
            raise RunError(f"cannot be written ({error.strerror})", where="standard output", remedy=remedy) from error


def as_command(verb: Verb) -> Callable[..., None]:
    """Wrap a verb for Typer: `console` is passed here, the result printed, its exit code raised as typer.Exit."""
    own = inspect.signature(verb, eval_str=True).parameters
    common = {
        name: inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=False, annotation=option)
        for name, option in COMMON.items()
    }
    options = {name: each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for name, each in own.items()} | common
    options.pop("console", None)

    @functools.wraps(verb)
    def command(*, as_json: bool, quiet: bool, verbose: bool, **arguments: Any) -> None:
        if verbose:
            logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s: %(message)s")
            logging.getLogger("gensim").setLevel(logging.WARNING)  # it logs its progress line by line
        if "console" in own:
            verbosity = QUIET if quiet else VERBOSE if verbose else NORMAL
            console: Console = Terminal(verbosity) if is_first_process() else Silent()
            arguments["console"] = console
        result = verb(**arguments)
        for text in result.lines(as_json):
            show(text)
        if result.exit_code:
            raise typer.Exit(result.exit_code)

    command.__signature__ = inspect.Signature(list(options.values()))  # type: ignore[attr-defined]
    command.__annotations__ = {name: each.annotation for name, each in options.items()}
    return command
