"""How long work tells a person what it is doing, without knowing whether one is watching.

Everything below the command line gets a `Console` and never prints. The command line passes one that draws bars on a
terminal and plain lines elsewhere; tests and programs pass `Silent()`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

Advance = Callable[..., None]


class Console(Protocol):
    """Where a command tells what it does. Results are returned, never said."""

    def say(self, line: str) -> None:
        """One line for people."""

    def progress(self, task: str, total: int) -> AbstractContextManager[Advance]:
        """A bar of `total` steps: inside, call `advance(steps=1, note="")`."""


class Silent:
    """A console that keeps quiet; `lines` holds what was said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)

    @contextmanager
    def progress(self, task: str, total: int) -> Iterator[Advance]:
        yield lambda steps=1, note="": None
