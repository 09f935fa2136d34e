"""Hands and arms: bones keep their length, orientations mean what they say, handshapes differ."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from glossfree.avatar import hands, signs
from glossfree.avatar.signer import SIGNERS

OUTWARD, UP, FORWARD = np.eye(3)


@pytest.mark.parametrize("name", signs.HANDSHAPES)
def test_every_handshape_has_its_numbers(name):
    assert hands.shape_numbers(name).shape == (hands.NUM_SHAPE,)


def test_no_two_handshapes_look_alike():
    """The mean joint is at least a fiftieth of a hand elsewhere, seen by at least one of the joints clearly."""
    shapes = np.stack([hands.shape_numbers(name) for name in signs.HANDSHAPES])
    joints = hands.joints(shapes)
    for (first, a), (second, b) in combinations(zip(signs.HANDSHAPES, joints, strict=True), 2):
        apart = np.linalg.norm(a - b, axis=-1)
        assert apart.max() > 0.12, (first, second)


def test_fingers_keep_their_length_however_they_bend():
    shapes = np.stack([hands.shape_numbers(name) for name in signs.HANDSHAPES])
    bones = np.linalg.norm(np.diff(hands.joints(shapes)[:, 1:], axis=2), axis=-1)
    np.testing.assert_allclose(bones, np.broadcast_to(bones[0], bones.shape), atol=1e-9)


def test_straight_fingers_point_along_the_hand_and_folded_ones_into_the_palm():
    flat, fist = hands.joints(np.stack([hands.shape_numbers("flat"), hands.shape_numbers("fist")]))
    assert (flat[1:, -1, 1] > 0.75).all()
    assert (fist[1:, -1, 1] < 0.5).all()
    assert (fist[1:, 1, 2] > 0.1).all()


@pytest.mark.parametrize("name", signs.ORIENTATIONS)
def test_orientation_is_a_rotation_that_meets_its_table(name):
    turn = hands.orientation_numbers(name)
    axes = hands.axes_of(turn[None])[0]
    np.testing.assert_allclose(axes @ axes.T, np.eye(3), atol=1e-9)
    assert np.linalg.det(axes) == pytest.approx(1)
    fingers, palm = (np.array(vector) / np.linalg.norm(vector) for vector in signs.ORIENTATIONS[name])
    np.testing.assert_allclose(axes[:, 1], fingers, atol=1e-6)
    assert axes[:, 2] @ palm > 0.9


def test_thumb_of_the_right_palm_points_inward_when_it_faces_the_viewer():
    axes = hands.axes_of(hands.orientation_numbers("front_up")[None])[0]
    thumb = axes @ hands.joints(hands.shape_numbers("thumb")[None])[0, 0, -1]
    assert thumb @ OUTWARD < -0.3
    axes = hands.axes_of(hands.orientation_numbers("back_up")[None])[0]
    assert axes @ hands.joints(hands.shape_numbers("thumb")[None])[0, 0, -1] @ OUTWARD > 0.3


def test_compose_is_one_turn_after_the_other():
    first, second = (hands.axis_turn(axis, np.array([angle])) for axis, angle in ((0, 0.7), (2, -1.1)))
    both = hands.axes_of(hands.compose(first, second))
    np.testing.assert_allclose(both, hands.axes_of(first) @ hands.axes_of(second), atol=1e-12)


def test_axis_turn_turns_by_its_angle():
    quarter = hands.axes_of(hands.axis_turn(2, np.array([np.pi / 2])))[0]
    np.testing.assert_allclose(quarter @ OUTWARD, UP, atol=1e-12)
    np.testing.assert_allclose(quarter @ FORWARD, FORWARD, atol=1e-12)


def test_palm_is_convex():
    """Its projections are then convex as well."""
    outline = hands.PALM[:, :2]
    sides = np.roll(outline, -1, axis=0) - outline
    after = np.roll(sides, -1, axis=0)
    turns = sides[:, 0] * after[:, 1] - sides[:, 1] * after[:, 0]
    assert (turns > 0).all()


def wrists(count: int = 211) -> np.ndarray:
    rng = np.random.default_rng(3)
    return rng.uniform((-0.4, -0.5, -0.1), (0.5, 0.45, 0.3), (count, 3))


@pytest.mark.parametrize("signer", range(len(SIGNERS)))
def test_both_bones_keep_their_length(signer):
    who = SIGNERS[signer]
    elbow, wrist = hands.elbows(who, wrists())
    shoulder = np.array((who.shoulder, 0.0, 0.0))
    np.testing.assert_allclose(np.linalg.norm(elbow - shoulder, axis=1), who.upper_arm, rtol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(wrist - elbow, axis=1), who.forearm, rtol=1e-6)


def test_wrist_within_reach_stays_and_beyond_is_drawn_in():
    who = SIGNERS[0]
    near, far = np.array((0.1, 0.2, 0.1)), np.array((3.0, 0.0, 0.0))
    _, wrists = hands.elbows(who, np.stack([near, far]))
    np.testing.assert_allclose(wrists[0], near, atol=1e-9)
    assert np.linalg.norm(wrists[1] - (who.shoulder, 0, 0)) <= who.upper_arm + who.forearm
    assert wrists[1, 1] == wrists[1, 2] == 0


def test_elbows_hang_below_the_shoulders_before_the_body():
    who = SIGNERS[0]
    for name in ("chest", "belly", "middle", "low"):
        elbow, _ = hands.elbows(who, np.array([signs.PLACES[name]]))
        assert elbow[0, 1] < -0.1, name
