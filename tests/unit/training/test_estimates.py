"""What a person is told of time and memory to come, in numbers that can be worked out by hand."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import pytest
import torch

from glossfree.training import estimates
from glossfree.training.estimates import (
    NOISE,
    fixed_memory,
    forget_peak,
    held_memory,
    memory_expected,
    memory_line,
    peak_memory,
    size,
    time_line,
)


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (3_140_000, "3.14 MB"),
        (127_000, "0.127 MB"),
        (812_400_000, "812 MB"),
        (999_600_000, "1.0 GB"),
        (1.24e10, "12.4 GB"),
    ],
)
def test_bytes_are_said_in_three_digits(count: float, expected: str) -> None:
    assert size(count) == expected


def test_a_peak_is_what_was_held_at_most() -> None:
    if torch.cuda.is_available():
        pytest.skip("counts an accelerator's memory there")
    before, held = peak_memory(), held_memory()
    assert 20e6 < held <= before + NOISE
    block = np.ones(before - held + 200_000_000, dtype=np.uint8)
    assert held_memory() > before
    with_block = peak_memory()
    assert with_block >= before + 150_000_000
    del block
    assert held_memory() < with_block - 150_000_000
    forget_peak()
    assert peak_memory() >= with_block - NOISE, "on a CPU it cannot be forgotten"


def test_of_an_accelerator_its_own_memory_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda: 71)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda: 53)
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda: calls.append("reset"))
    forget_peak()
    assert (peak_memory(), held_memory(), calls) == (71, 53, ["reset"])


def test_where_nothing_is_known_of_memory_it_is_0(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(estimates, "STATM", tmp_path)
    assert held_memory() == 0


def test_a_larger_batch_takes_in_proportion_and_a_smaller_one_no_less() -> None:
    assert memory_expected(held=100, peak=400, frames=50, largest=70, to_come=11) == 100 + 11 + 420
    assert memory_expected(held=100, peak=400, frames=50, largest=20, to_come=0) == 400
    line = memory_line("pretrain", 5_310_000_000, 4_000_000_000, 1050, 1707)
    assert line == (
        "pretrain: a batch of 1,050 frames took memory to 4.0 GB; the largest planned may have 1,707: "
        "expect up to 5.3 GB (an estimate)"
    )


def test_what_is_fixed_is_parameters_gradients_and_two_moments() -> None:
    line = fixed_memory("finetune1", 1_600_000_000, 67_000_000, 4321)
    assert line == (
        "finetune1: memory: parameters 1.6 GB, gradients and optimiser 201 MB, "
        "and what a batch of at most 4,321 frames needs"
    )
    assert fixed_memory("denoise", 7, 3, None).endswith("and what a batch needs")


def test_time_is_told_with_the_hour_and_another_day_with_its_date() -> None:
    now = datetime(2026, 3, 4, 22, 10)
    line = time_line("pretrain", 1812.4, 400.0, 3000.0, 2_500_000_000, now)
    assert line == (
        "pretrain: about 1,812 frames/s: an epoch takes about 7 min, what is left of the stage about 50 min "
        "(done about 23:00), validation not counted; memory peak 2.5 GB"
    )
    assert "about 2 h 30 min (done about 2026-03-05 00:40)" in time_line("x", 1.0, 1.0, 9000.0, 0, now)
