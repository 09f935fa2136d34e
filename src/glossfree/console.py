"""How work reports to people and programs: a console while it runs, a result at its end.

Everything below the command line gets a `Console` and never prints. The command line passes one that draws bars on a
terminal and plain lines elsewhere; tests and programs pass `Silent()`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

Advance = Callable[..., None]


class Console(Protocol):
    """Where work reports to a person. Results are returned, never printed here."""

    def say(self, line: str) -> None:
        """One line that a person needs."""

    def detail(self, line: str) -> None:
        """One line that only a person who asks for more needs, such as a count or a path."""

    def warn(self, line: str) -> None:
        """One line about what may be wrong, which is printed even if nothing else is."""

    def error(self, line: str) -> None:
        """One line about what failed while the rest went on, printed as errors are, even if nothing else is."""

    def progress(self, task: str, total: int, *, says_steps: bool = False) -> AbstractContextManager[Advance]:
        """A bar of `total` steps: inside, call `advance(steps=1, note="")`.

        Two blanks separate the parts of a note, the most important first: where room is short, the last ones go.
        `says_steps`: the work says lines itself, so that nothing has to replace the bar where there is no terminal.
        """


class Result:
    """What a verb of the command line returns: text for people, plain values for programs, an exit code."""

    @property
    def exit_code(self) -> int:
        """0 success, 1 partial success, 2 failure."""
        return 0

    def to_text(self) -> str:
        """What a person reads."""
        raise NotImplementedError

    def to_dict(self) -> Any:
        """Plain values for JSON; by default the fields of a dataclass, paths as strings."""
        return asdict(self, dict_factory=_plain)  # type: ignore[call-overload]

    def lines(self, as_json: bool) -> Iterator[str]:
        """What the command line prints, piece by piece."""
        yield json.dumps(self.to_dict(), ensure_ascii=False, indent=1) if as_json else self.to_text()


def _plain(items: list[tuple[str, Any]]) -> dict[str, Any]:
    return {name: str(value) if isinstance(value, Path) else value for name, value in items}


def duration(seconds: float) -> str:
    """Seconds -> 41 s, 7 min, 3 h 05 min, 2 d 07 h."""
    if seconds < 99.5:
        return f"{max(0.0, seconds):.0f} s"
    minutes = round(seconds / 60)
    if minutes < 100:
        return f"{minutes} min"
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    hours = round(seconds / 3600)
    return f"{hours // 24} d {hours % 24:02d} h"


def size(num_bytes: float) -> str:
    """Bytes -> 3.4 MB, 1.2 GB."""
    return f"{num_bytes / 1e9:.1f} GB" if num_bytes >= 999.5e6 else f"{num_bytes / 1e6:.3g} MB"


class Silent:
    """A console that prints nothing; `lines` holds what it was passed."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)

    def detail(self, line: str) -> None:
        self.lines.append(line)

    def warn(self, line: str) -> None:
        self.lines.append(f"warning: {line}")

    def error(self, line: str) -> None:
        self.lines.append(f"glossfree: {line}")

    @contextmanager
    def progress(self, task: str, total: int, *, says_steps: bool = False) -> Iterator[Advance]:
        yield lambda steps=1, note="": None


def aligned(rows: Sequence[Sequence[str]], left: int = 1) -> list[str]:
    """Rows of cells -> a line each; the first `left` columns are set to the left, the others to the right.

    Two blanks stand between columns and none at the end. Raises ValueError if the rows are not of one length.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [
            cell.ljust(width) if column < left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return lines


def text_table(header: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """`aligned` header and rows, with a rule of `-` between them that is as long as the longest line."""
    first, *rest = aligned([header, *rows], left)
    rule = "-" * max(len(line) for line in (first, *rest))
    return "\n".join([first, rule, *rest])
