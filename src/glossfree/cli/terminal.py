"""A console for people: bars on a terminal, a line every few seconds elsewhere; always on standard error."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
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

INTERVAL = 5.0  # seconds between two lines where no bar can be drawn
WIDE = 110  # columns of a terminal that has room for a long bar and for the time that has passed


class Terminal:
    """What the command line passes down; see `glossfree.console.Console`."""

    def __init__(self) -> None:
        self.console = Console(stderr=True, highlight=False, soft_wrap=True)

    def say(self, line: str) -> None:
        """One line, above any bar."""
        self.console.print(line, markup=False)

    @contextmanager
    def progress(self, task: str, total: int) -> Iterator[Advance]:
        """A bar where there is a terminal, else a line every five seconds."""
        if self.console.is_terminal:
            yield from self._bar(task, total)
        else:
            yield self._lines(task, total)

    def _bar(self, task: str, total: int) -> Iterator[Advance]:
        is_wide = self.console.width >= WIDE
        columns = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=30 if is_wide else 10),
            TaskProgressColumn(),
            MofNCompleteColumn(),
            *([TimeElapsedColumn()] if is_wide else []),
            TimeRemainingColumn(compact=not is_wide),
            Note(),
        )
        with Progress(*columns, console=self.console, transient=True) as bar:
            row = bar.add_task(task, total=total, note="")
            yield lambda steps=1, note="": bar.update(row, advance=steps, note=note)

    def _lines(self, task: str, total: int) -> Advance:
        done, start, last = 0, time.monotonic(), time.monotonic()
        first: tuple[float, int] | None = None  # when, and what was done by then: it may be an earlier run's work

        def advance(steps: int = 1, note: str = "") -> None:
            nonlocal done, last, first
            done += steps
            now = time.monotonic()
            first = first or (now, done)
            if now - last >= INTERVAL:
                last = now
                left = ""
                if done > first[1]:
                    left = f", {duration((now - first[0]) / (done - first[1]) * (total - done))} left"
                self.say(f"{task}: {done}/{total}  {duration(now - start)}{left}  {note}")

        return advance


class Note(ProgressColumn):
    """What stands behind the bar: cut where the terminal ends, so that it never pushes the bar out."""

    def get_table_column(self) -> Column:
        """The only column that may become narrower than its text."""
        return Column(no_wrap=False)

    def render(self, task: Task) -> Text:
        """The note of the last step, in one line."""
        return Text(task.fields["note"], no_wrap=True, overflow="ellipsis")
