"""The one-cycle schedule: up, down, and where it begins and ends."""

from __future__ import annotations

import math

import pytest

from glossfree.training.schedule import one_cycle

PEAK = 6e-4


@pytest.mark.parametrize(("total", "warmup"), [(700, 0.05), (100, 0.3), (37, 0.1)])
def test_one_cycle_rises_to_the_peak_and_falls_to_nearly_nothing(total: int, warmup: float) -> None:
    rates = [one_cycle(step, total, PEAK, warmup) for step in range(total)]
    top = rates.index(max(rates))
    assert rates[0] == pytest.approx(PEAK / 25)
    assert rates[-1] == pytest.approx(PEAK / 25e4, rel=1e-6)
    assert abs(top - warmup * total) <= 1
    assert max(rates) == pytest.approx(PEAK, rel=0.02)
    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert rates[top:] == sorted(rates[top:], reverse=True)


def test_it_is_the_cosine_of_the_usual_policy() -> None:
    total, warmup = 200, 0.25
    for step in (0, 13, 49):
        expected = PEAK / 25 + (PEAK - PEAK / 25) * (1 - math.cos(math.pi * step / 50)) / 2
        assert one_cycle(step, total, PEAK, warmup) == pytest.approx(expected)
    middle = one_cycle(50, total, PEAK, warmup), one_cycle(50 + 149, total, PEAK, warmup)
    assert middle == pytest.approx((PEAK, PEAK / 25e4))


@pytest.mark.parametrize("total", [1, 2, 3])
def test_runs_of_a_few_steps_stay_within_bounds(total: int) -> None:
    for warmup in (0.0, 0.05, 0.9):
        for step in range(total + 2):
            assert 0 < one_cycle(step, total, PEAK, warmup) <= PEAK
