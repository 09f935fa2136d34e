"""Logs as lines."""

from __future__ import annotations

import math

from glossfree.report.curves import draw_charts, number, read_curves, thin

RECORDS = [
    {"kind": "step", "stage": "pretrain", "epoch": 0, "step": 1, "lr": 1e-4, "frames": 99, "gloss": 0.5, "loss": 3.0},
    {
        "kind": "step",
        "stage": "pretrain",
        "epoch": 0,
        "step": 2,
        "lr": 2e-4,
        "frames": 99,
        "gloss": 0.4,
        "loss": math.nan,
    },
    {
        "kind": "epoch",
        "stage": "pretrain",
        "epoch": 0,
        "step": 2,
        "seconds": 7.5,
        "train": {"loss": 2.5},
        "dev": {"loss": 2.75},
    },
]


def test_each_quantity_is_a_curve():
    curves = read_curves(RECORDS)
    assert list(curves) == ["loss", "gloss", "lr"]
    assert curves["loss"] == {"step": [(1, 3.0)], "train": [(2, 2.5)], "dev": [(2, 2.75)]}
    assert curves["lr"]["step"] == [(1, 1e-4), (2, 2e-4)]


def test_records_with_epochs_alone_are_drawn_over_epochs():
    curves = read_curves([{"epoch": 3, "loss": 1.0}, {"epoch": 4, "loss": 0.5}])
    assert list(curves) == ["loss"] and curves["loss"]["step"] == [(3, 1.0), (4, 0.5)]


def test_many_points_become_means():
    points = [(float(i), float(i % 2)) for i in range(1000)]
    thinned = thin(points, 10)
    assert len(thinned) == 10 and all(y == 0.5 for _, y in thinned)
    assert thin(points[:7], 10) == points[:7]


def test_charts_have_a_text_summary():
    loss, _, rate = draw_charts(RECORDS)
    assert loss.summary == "step from 3 to 3; train from 2.5 to 2.5; dev from 2.75 to 2.75"
    assert (loss.name, loss.value, loss.ends) == ("loss", "2.75", ("1", "2"))
    assert (rate.name, rate.value) == ("lr", "2.0e-04")


def test_points_are_scaled_into_the_picture():
    (loss,) = draw_charts([{"step": 1, "loss": 10.0}, {"step": 3, "loss": 6.0}, {"step": 5, "loss": 8.0}])
    assert loss.lines == {"step": [[44.0, 10.0], [158.0, 128.0], [272.0, 69.0]]}
    assert loss.levels == ((128.0, "6"), (69.0, "8"), (10.0, "10"))


def test_nothing_logged_draws_nothing():
    assert draw_charts([]) == [] == draw_charts([{"step": 1, "loss": math.inf}])


def test_numbers_stay_short():
    assert [number(value) for value in (0.0, 3e-5, 0.12345, 42.0, 12345.0)] == ["0", "3.0e-05", "0.123", "42", "12,345"]
