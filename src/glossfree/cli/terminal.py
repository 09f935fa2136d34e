"""A console for people, on standard error: bars on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Column
from rich.text import Text

from glossfree.console import Advance, duration

QUIET, NORMAL, VERBOSE = range(3)
INTERVAL = 30.0  # seconds between two lines where no bar can be drawn
SHOWS_STEPS, SHOWS_ELAPSED = 100, 120  # columns of a terminal that has room for them, and for a long bar


class Terminal:
    """See `glossfree.console.Console`. QUIET prints warnings and errors only, VERBOSE also details."""

    def __init__(self, verbosity: int = NORMAL) -> None:
        self.verbosity = verbosity
        self.console = Console(stderr=True, highlight=False, soft_wrap=True)

    def say(self, line: str) -> None:
        """One line, above any bar."""
        if self.verbosity >= NORMAL:
            self.console.print(line, markup=False)

    def detail(self, line: str) -> None:
        if self.verbosity >= VERBOSE:
            self.say(line)

    def warn(self, line: str) -> None:
        self.console.print(f"warning: {line}", markup=False)

    def error(self, line: str) -> None:
        self.console.print(f"glossfree: {line}", markup=False)

    @contextmanager
    def progress(self, task: str, total: int, *, says_steps: bool = False) -> Iterator[Advance]:
        """A bar on a terminal, elsewhere a line every INTERVAL seconds unless the work says lines itself."""
        if self.verbosity < NORMAL:
            yield lambda steps=1, note="": None
        elif self.console.is_terminal:
            yield from self._bar(task, total)
        else:
            yield self._lines(task, float("inf") if says_steps else INTERVAL, total)

    def _bar(self, task: str, total: int) -> Iterator[Advance]:
        width = self.console.width
        columns = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=10 if width < SHOWS_ELAPSED else 24),
            TaskProgressColumn(),
            *([MofNCompleteColumn()] if width >= SHOWS_STEPS else []),
            *([TimeElapsedColumn()] if width >= SHOWS_ELAPSED else []),
            TimeRemainingColumn(compact=width < SHOWS_ELAPSED),
            NoteColumn(),
        )
        with Progress(*columns, console=self.console, transient=True) as bar:
            row = bar.add_task(task, total=total, note="")
            yield lambda steps=1, note="": bar.update(row, advance=steps, note=note)

    def _lines(self, task: str, interval: float, total: int) -> Advance:
        count, start, last = 0, time.monotonic(), time.monotonic()
        first: tuple[float, int] | None = None  # time and count of the first call: it may be an earlier run's work

        def advance(steps: int = 1, note: str = "") -> None:
            nonlocal count, last, first
            count += steps
            now = time.monotonic()
            first = first or (now, count)
            if now - last >= interval:
                last = now
                left = ""
                if count > first[1]:
                    left = f", {duration((now - first[0]) / (count - first[1]) * (total - count))} left"
                self.say(f"{task}: {count}/{total}  {duration(now - start)}{left}  {note}".rstrip())

        return advance


class NoteColumn(ProgressColumn):
    """The note beside a bar."""

    def get_table_column(self) -> Column:
        """The only column that may become narrower than its text."""
        return Column(no_wrap=False)

    def render(self, task: Task) -> Note:
        return Note(task.fields["note"])


class Note:
    """The first parts of a note that fit into one line."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        line = self.text
        while len(line) > options.max_width and "  " in line:
            line = line.rpartition("  ")[0]
        yield Text(line, no_wrap=True, overflow="ellipsis")

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        shortest = len(self.text.partition("  ")[0])
        return Measurement(min(shortest, options.max_width), min(len(self.text), options.max_width))
