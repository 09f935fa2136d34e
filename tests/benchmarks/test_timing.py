"""Variants take turns, and the median counts."""

from __future__ import annotations

import time

import pytest
from benchmarks.timing import in_turns, table, wall_seconds


def test_variants_take_turns() -> None:
    asked: list[str] = []
    found = in_turns({name: lambda name=name: asked.append(name) for name in "ab"}, rounds=2)  # type: ignore[misc]
    assert "".join(asked) == "ababab"
    assert set(found) == {"a", "b"}


def test_one_slow_turn_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter([0, 90, 90, 91, 91, 99, 99, 101])  # warm-up 90; then 1, 8, 2
    monkeypatch.setattr(time, "perf_counter", lambda: next(ticks))
    assert in_turns({"a": lambda: None}, rounds=3) == {"a": 2}


def test_the_clock_runs_while_a_process_sleeps() -> None:
    assert wall_seconds(lambda: time.sleep(0.02)) >= 0.02


def test_a_table_is_markdown() -> None:
    assert table(["a", "b"], [["1", "2"]]) == "| a | b |\n| --- | ---: |\n| 1 | 2 |"
