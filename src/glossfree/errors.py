"""Errors that a user can fix: what is wrong, where, and the remedy.

The command line turns a `GlossfreeError` into one line and exit code 2. Wrong arguments of pure functions raise
`ValueError`; `assert` checks our own invariants.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

NAMED = 10  # most names in a message; the rest are counted
LONGEST = 120  # most characters of one name in a message


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

    def to_dict(self) -> dict[str, str | None]:
        """Plain values for JSON."""
        return {"problem": self.problem, "where": self.where, "remedy": self.remedy}

    def __reduce__(self) -> tuple[object, ...]:
        """Keep the keyword arguments when a worker process sends the error back."""
        return partial(type(self), self.problem, where=self.where, remedy=self.remedy), ()


def shortened(text: str, longest: int = LONGEST) -> str:
    """Text of any length -> one printable line of at most `longest` characters, for a message."""
    line = "".join(letter if letter.isprintable() else " " for letter in text[: longest + 1])
    return line if len(line) <= longest else f"{line[: longest - 3]}..."


@contextmanager
def named(where: str | Path | None) -> Iterator[None]:
    """Add `where` to an error raised inside that does not name its place."""
    try:
        yield
    except GlossfreeError as error:
        if error.where is not None:
            raise
        raise type(error)(error.problem, where=where, remedy=error.remedy) from error


@contextmanager
def os_errors_as(error: type[GlossfreeError], problem: str, *, where: str | Path, remedy: str) -> Iterator[None]:
    """Raise `error` in place of an OSError inside, with its reason behind the problem."""
    try:
        yield
    except OSError as cause:
        raise error(f"{problem} ({cause.strerror or cause})", where=where, remedy=remedy) from cause


def name_some(names: Sequence[str], *, limit: int = NAMED) -> str:
    """["a", "b", ..., "z"] -> "a, b, ... and 16 more": the first `limit` names, each shortened, and a count."""
    shown = ", ".join(map(shortened, names[:limit]))
    return shown if len(names) <= limit else f"{shown} and {len(names) - limit:,} more"


def name_groups(groups: Mapping[str, Sequence[str]]) -> list[str]:
    """{"videos without captions": ["a", "b"]} -> ["videos without captions: 2: a, b"]; groups of none are left out."""
    return [f"{what}: {len(names):,}: {name_some(names)}" for what, names in groups.items() if names]


def did_you_mean(name: str, known: Iterable[str], cutoff: float = 0.5) -> str:
    """ "tran" and {"train", "dev"} -> ", did you mean 'train'?"; "" if nothing known is so similar."""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=cutoff)
    return f", did you mean {near[0]!r}?" if near else ""


class RecipeError(GlossfreeError):
    """A recipe or an override that cannot be used; `where` is the file or the key."""


class CorpusError(GlossfreeError):
    """A corpus, manifest or sentence file that is incomplete or contradicts itself."""


class ClipError(GlossfreeError):
    """A clip that cannot be read; `where` holds its id and path."""


class ModelError(GlossfreeError):
    """A model or weights folder that is missing a file, was altered, or does not fit the recipe."""


class RunError(GlossfreeError):
    """A run folder that cannot be written, resumed or read, or a training that cannot continue."""


class Interrupted(GlossfreeError):
    """A training that a signal stopped, after it saved a checkpoint; `signal` is its number."""

    signal: int = 0
