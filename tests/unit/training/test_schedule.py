"""The schedules: up, down, and where each begins and ends."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import pytest
from tests.unit.training.toys import PLAN

from glossfree.training.schedule import SCHEDULES, learning_rate, one_cycle

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


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("total", [1, 2, 3])
def test_runs_of_a_few_steps_stay_within_bounds(schedule: str, total: int) -> None:
    for warmup in (0.0, 0.05, 0.5):
        for step in range(total):
            assert 0 < learning_rate(schedule, step, total, PEAK, warmup) <= PEAK


@pytest.mark.parametrize(("total", "warmup"), [(700, 0.05), (100, 0.3), (37, 0.1), (50, 0.0)])
def test_the_others_rise_along_a_line_and_reach_the_peak_behind_it(total: int, warmup: float) -> None:
    up = math.ceil(warmup * total)
    for schedule in ("cosine", "constant"):
        rates = [learning_rate(schedule, step, total, PEAK, warmup) for step in range(total)]
        rises = [after - before for before, after in pairwise(rates[:up])]
        assert rises == pytest.approx([PEAK / (warmup * total + 1)] * len(rises))
        assert all(rate < PEAK for rate in rates[:up]) and rates[up] == pytest.approx(PEAK, rel=1e-3)


def test_a_constant_rate_stays_and_a_cosine_is_half_way_down_in_the_middle() -> None:
    constant = [learning_rate("constant", step, 100, PEAK, 0.2) for step in range(20, 100)]
    assert set(constant) == {PEAK}
    cosine = [learning_rate("cosine", step, 100, PEAK, 0.2) for step in range(20, 100)]
    assert cosine == sorted(cosine, reverse=True)
    assert cosine[0] == PEAK and cosine[40] == pytest.approx(PEAK / 2)
    assert 0 < cosine[-1] < PEAK / 1000
    for step, rate in enumerate(cosine):
        assert rate == pytest.approx(PEAK * (1 + math.cos(math.pi * step / 80)) / 2)


def test_one_cycle_is_one_of_them_and_another_name_is_an_error() -> None:
    assert [learning_rate("one_cycle", step, 9, PEAK, 0.3) for step in range(9)] == [
        one_cycle(step, 9, PEAK, 0.3) for step in range(9)
    ]
    with pytest.raises(ValueError, match="'linear' is none of one_cycle, cosine, constant"):
        learning_rate("linear", 0, 9, PEAK, 0.3)


def test_a_warm_up_is_in_epochs_and_at_most_half_of_a_stage() -> None:
    plan = replace(PLAN, epochs=10, warmup=2.0, schedule="constant")
    rates = [plan.rate(step, 70) for step in range(70)]  # 7 steps an epoch
    assert rates.index(PLAN.learning_rate) == 14
    short = replace(plan, epochs=3)
    rates = [short.rate(step, 21) for step in range(21)]
    assert rates.index(PLAN.learning_rate) == 11, "10.5 steps are half of three epochs"
    none = replace(plan, warmup=0.0)
    assert none.rate(0, 70) == PLAN.learning_rate
