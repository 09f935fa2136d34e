"""What a user can do wrong, each with the place and the remedy.

A `GlossfreeError` is a mistake of the input, never of the program: the command line turns it into one line and exit
code 2. Wrong arguments of pure functions are `ValueError`; broken invariants of our own are `assert`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

NAMED = 10  # culprits named one by one; the rest is a count
LONGEST = 120  # characters of one name in a message


class GlossfreeError(Exception):
    """One user-facing problem: what is wrong, where, and what to do about it."""

    def __init__(self, problem: str, *, where: str | Path | None = None, remedy: str | None = None) -> None:
        self.problem = problem
        self.where = None if where is None else str(where)
        self.remedy = remedy
        parts = [problem if self.where is None else f"{self.where}: {problem}"]
        if remedy:
            parts.append(remedy)
        super().__init__(" -> ".join(parts))

    def __reduce__(self) -> tuple[object, ...]:
        """Keep the keyword arguments when a worker process sends the error back."""
        return _rebuild, (type(self), self.problem, self.where, self.remedy)


def _rebuild(cls: type[GlossfreeError], problem: str, where: str | None, remedy: str | None) -> GlossfreeError:
    return cls(problem, where=where, remedy=remedy)


def shortened(text: str, longest: int = LONGEST) -> str:
    """Text of any length -> one line of at most `longest` characters that can be printed, for a message."""
    line = "".join(letter if letter.isprintable() else " " for letter in text[: longest + 1])
    return line if len(line) <= longest else f"{line[: longest - 3]}..."


@contextmanager
def named(where: str | Path | None) -> Iterator[None]:
    """Inside, an error that names no place gets this one."""
    try:
        yield
    except GlossfreeError as error:
        if error.where is not None:
            raise
        raise type(error)(error.problem, where=where, remedy=error.remedy) from error


def name_some(names: Sequence[str], *, limit: int = NAMED) -> str:
    """["a", "b", ..., "z"] -> "a, b, ... and 16 more": the first `limit` by name, each shortened, then the count."""
    shown = ", ".join(map(shortened, names[:limit]))
    return shown if len(names) <= limit else f"{shown} and {len(names) - limit:,} more"


class RecipeError(GlossfreeError):
    """A recipe or an override that cannot be used; `where` is the file or the key."""


class CorpusError(GlossfreeError):
    """A corpus, manifest or sentence file that is incomplete or contradicts itself."""


class ClipError(GlossfreeError):
    """One clip that cannot be read; `where` holds its id and path."""


class ModelError(GlossfreeError):
    """A model or weights folder that is missing a file, was altered, or does not fit the recipe."""


class RunError(GlossfreeError):
    """A run folder that cannot be written, resumed or read, or a training that cannot go on."""


class Interrupted(GlossfreeError):
    """A training that was asked to stop, and has saved where it stands; `signal` says by what."""

    signal: int = 0
