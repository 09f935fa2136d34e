"""The arithmetic of docs/scale.md, on round numbers."""

from __future__ import annotations

import pytest
from benchmarks.scale import CLIP_FRAMES, EPOCHS, HOURS, Assumptions, Rates, costs, data_table, ends_table, money_table

RATES = Rates(
    packing=100, frame_bytes=2000, loading=1000, clip_seconds=1e-4, clip_bytes=2000, plan_seconds=1e-6, matrix=1e11
)


def test_an_hour_of_video_costs_what_its_frames_cost() -> None:
    each, half = costs(RATES, Assumptions(gpu_teraflops=100)), costs(RATES, Assumptions(gpu_teraflops=50))
    assert each.clips == pytest.approx(90_000 / CLIP_FRAMES)
    assert each.packed_gigabytes == pytest.approx(0.18)
    assert each.feature_gigabytes == pytest.approx(90_000 * 384 * 4 / 1e9)
    assert each.packing_cores == pytest.approx(0.25)
    assert each.reading_cores == pytest.approx(0.05)
    assert each.feature_cores == pytest.approx(1000 * each.feature_gpus), "1e11 against 1e14 operations per second"
    assert half.epoch_gpus == pytest.approx(2 * each.epoch_gpus)
    assert half.feeding_cores == pytest.approx(each.feeding_cores / 2)
    assert each.cached_gpus < each.epoch_gpus / 10, "the backbone is most of the work"


def test_every_table_has_its_rows() -> None:
    each = costs(RATES, Assumptions())
    assert data_table(each).count("\n") == money_table(each, Assumptions()).count("\n") == len(HOURS) + 1
    week = 7 * 24 / (EPOCHS * each.epoch_gpus)
    assert f"| a week | {week:,.0f} |" in ends_table(each, RATES)
