"""Measuring: in processor seconds what one core does, which other programs disturb less than the clock on the wall; by
that clock what all cores do together, several times, and variants in turns (A B A B), so that a noisy minute disturbs
all of them alike."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import TypeVar

T = TypeVar("T")


def cpu_seconds(work: Callable[[], T], repeats: int = 2) -> tuple[T, float]:
    """Call `work` `repeats` times -> its last result, and the processor seconds of the fastest call (all threads)."""
    best = float("inf")
    for _ in range(repeats):
        start = time.process_time()
        result = work()
        best = min(best, time.process_time() - start)
    return result, best


def wall_seconds(work: Callable[[], object]) -> float:
    """Call `work` once -> seconds by the clock."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def processor_seconds(work: Callable[[], object]) -> float:
    """How long the processor works on a call, by all threads: what else runs on the machine counts less."""
    start = time.process_time()
    work()
    return time.process_time() - start


def in_turns(
    variants: Mapping[str, Callable[[], object]],
    rounds: int,
    warm_up: int = 1,
    seconds_of: Callable[[Callable[[], object]], float] = wall_seconds,
) -> dict[str, float]:
    """Call all variants one after another, so many rounds behind `warm_up` that do not count -> median seconds."""
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    for number in range(warm_up + rounds):
        for name, work in variants.items():
            passed = seconds_of(work)
            if number >= warm_up:
                seconds[name].append(passed)
    return {name: median(values) for name, values in seconds.items()}


def machine() -> str:
    """The processor and Python, for the line under a table."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.processor() or platform.machine()}, Python {platform.python_version()}"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Header and rows -> a Markdown table; every column but the first is set to the right."""
    rule = ["---", *["---:"] * (len(header) - 1)]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [header, rule, *rows])
