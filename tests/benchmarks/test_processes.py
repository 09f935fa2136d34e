"""A process of its own: what it prints, what it takes, and what happens when it dies."""

from __future__ import annotations

import pytest
from benchmarks.processes import Worker, finish, in_turns, peak_gigabytes


class Listed:
    """Stands for a worker: notes when it was asked."""

    def __init__(self, name: str, asked: list[str]) -> None:
        self.name, self.asked = name, asked

    def once(self) -> dict[str, int]:
        self.asked.append(self.name)
        return {"number": len(self.asked)}


def test_workers_take_turns_and_warm_up_first() -> None:
    asked: list[str] = []
    found = in_turns({name: Listed(name, asked) for name in "ab"}, rounds=2, warm_up=1)  # type: ignore[misc]
    assert "".join(asked) == "ababab"
    assert found == {"a": [{"number": 3}, {"number": 5}], "b": [{"number": 4}, {"number": 6}]}


def test_a_worker_answers_as_often_as_it_is_asked() -> None:
    with Worker("benchmarks.attention", "windowed", 16) as worker:
        answers = [worker.once() for _ in range(2)]
    assert all(answer["seconds"] > 0 for answer in answers)
    assert worker.process.returncode == 0


def test_a_worker_that_dies_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="exit code 2"):
        Worker("benchmarks.attention", "neither", 16)


def test_a_finished_process_tells_its_output_time_and_memory() -> None:
    done = finish("calendar", "2026", "7")
    assert "July 2026" in done.output
    assert 0 < done.seconds < 60
    assert 0.005 < done.peak_gigabytes < 0.1 < peak_gigabytes()  # not that of this process, which has torch
    with pytest.raises(RuntimeError, match="exit code"):
        finish("calendar", "never")
