"""Strokes: where they are drawn, how thick, in which colour."""

from __future__ import annotations

import numpy as np
import pytest

from glossfree.avatar.pen import Stroke, capsule, mix, rounded

RED, BLUE = (200, 10, 20), (10, 20, 200)


def canvas() -> np.ndarray:
    return np.zeros((41, 53, 3), np.uint8)


def test_mix_goes_from_one_colour_to_the_other():
    assert mix(RED, BLUE, 0.0) == RED
    assert mix(RED, BLUE, 1.0) == BLUE
    assert mix(RED, BLUE, 0.5) == (105, 15, 110)


def test_fill_covers_its_polygon_frame_by_frame():
    square = np.array([(10, 5), (30, 5), (30, 25), (10, 25)], dtype=float)
    stroke = Stroke.fill(np.stack([square, square + 12]), [RED, BLUE])
    first, second = canvas(), canvas()
    stroke.paint(first, 0)
    stroke.paint(second, 1)
    assert tuple(first[15, 20]) == RED
    assert tuple(second[15 + 12, 20 + 12]) == BLUE
    assert not first[30, 40].any()
    assert not second[10, 15].any()


def test_fractions_of_a_pixel_count():
    square = np.array([[(10, 5), (30, 5), (30, 25), (10, 25)]], dtype=float)
    full, half = canvas(), canvas()
    Stroke.fill(square, RED).paint(full, 0)
    Stroke.fill(square + np.array((0.5, 0.0)), RED).paint(half, 0)
    assert (full != half).any()


def test_line_has_its_width():
    for width in (1.0, 5.0, 9.0):
        picture = canvas()
        Stroke.line(np.array([[(5.0, 20.0), (45.0, 20.0)]]), width, RED).paint(picture, 0)
        assert (picture[:, 25].max(axis=1) > 100).sum() == pytest.approx(width + 1, abs=1)  # and its soft rim


def test_hull_is_thick_even_where_its_points_lie_on_a_line():
    picture = canvas()
    Stroke.hull(np.array([[(10.0, 20.0), (25.0, 20.0), (40.0, 20.0)]]), 4.0, RED).paint(picture, 0)
    assert (picture[:, 25].max(axis=1) > 100).sum() == pytest.approx(8, abs=2)


def test_rounded_lies_on_the_unit_circle():
    np.testing.assert_allclose(np.linalg.norm(rounded(17), axis=1), 1)


def test_capsule_reaches_around_both_joints():
    start, end = np.array([[10.0, 20.0], [3.0, 3.0]]), np.array([[30.0, 20.0], [3.0, 3.0]])
    outline = capsule(start, end, 5.0, 2.0)
    assert outline.shape == (2, 18, 2)
    np.testing.assert_allclose(outline[0].min(axis=0), (5, 15), atol=1e-9)
    np.testing.assert_allclose(outline[0].max(axis=0), (32, 25), atol=1e-9)
    assert np.isfinite(outline).all()  # also where the joints coincide
