"""Motion: where a sign is signed, that each movement is one, that poses follow each other smoothly."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from glossfree.avatar import motion, signs
from glossfree.avatar.body import HIGHEST, LOWEST, OUTERMOST, PLACES
from glossfree.avatar.motion import CENTRE, DOMINANT, FACE, PASSIVE, TURN, Habit
from glossfree.avatar.signer import SIGNERS
from glossfree.avatar.signs import Sign

PLAIN = Habit(pace=1.0, reach=1.0, shift=(0.0, 0.0))
PHASE = np.linspace(0, 1, 41)
NO_SLIP = np.zeros(3)


def centres(poses: np.ndarray, hand: slice = DOMINANT) -> np.ndarray:
    return poses[:, hand][:, CENTRE]


@pytest.mark.parametrize("place", signs.PLACES)
def test_hold_stays_at_its_place(place):
    poses = motion.sign_poses(Sign("index", place, "hold", "front_up"), PLAIN, PHASE, NO_SLIP)
    np.testing.assert_allclose(centres(poses), np.broadcast_to(PLACES[place], (41, 3)))


def test_any_two_movements_differ():
    drawn = {
        name: motion.sign_poses(Sign("two", "middle", name, "back_up"), PLAIN, PHASE, NO_SLIP)
        for name in signs.MOVEMENTS
    }
    for first, second in combinations(signs.MOVEMENTS, 2):
        assert np.abs(drawn[first] - drawn[second]).max() > 0.04, (first, second)


def test_directions_are_what_they_are_called():
    for name, axis, sign in (("up", 1, 1), ("down", 1, -1), ("outward", 0, 1), ("inward", 0, -1)):
        path = centres(motion.sign_poses(Sign("fist", "chest", name, "back_up"), PLAIN, PHASE, NO_SLIP))
        assert sign * (path[-1, axis] - path[0, axis]) > 0.15
        assert np.ptp(path[:, 1 - axis]) == 0


@pytest.mark.parametrize("place", signs._PAIRED_PLACES)
def test_mirrored_hands_do_the_same_and_alternating_ones_the_opposite(place):
    for hands, factor in (("mirrored", 1), ("alternating", -1)):
        poses = motion.sign_poses(Sign("flat", place, "up", "front_up", hands=hands), PLAIN, PHASE, NO_SLIP)
        own, other = (np.gradient(centres(poses, hand)[:, 1]) for hand in (DOMINANT, PASSIVE))
        inside = (centres(poses)[:, 1] < HIGHEST) & (centres(poses, PASSIVE)[:, 1] < HIGHEST)
        inside &= (centres(poses)[:, 1] > LOWEST) & (centres(poses, PASSIVE)[:, 1] > LOWEST)
        inside[[0, -1]] = False
        inside[1:-1] &= inside[2:] & inside[:-2]
        np.testing.assert_allclose(own[inside], factor * other[inside], atol=1e-9)
        assert inside.sum() > 10
        assert centres(poses)[:, 0].min() > 0.1


def test_base_hand_holds_still_in_its_own_shape():
    sign = Sign("index", "belly", "circle", "back_up", hands="base", base="fist")
    poses = motion.sign_poses(sign, PLAIN, PHASE, NO_SLIP)
    assert np.ptp(poses[:, PASSIVE], axis=0).max() == 0
    assert np.ptp(centres(poses), axis=0).max() > 0.1


def test_one_handed_sign_leaves_the_other_hand_at_rest():
    poses = motion.sign_poses(Sign("index", "belly", "circle", "back_up"), PLAIN, PHASE, NO_SLIP)
    np.testing.assert_array_equal(poses[:, PASSIVE], np.broadcast_to(motion.rest_pose()[:, PASSIVE], (41, 29)))


def test_hands_never_leave_the_frame():
    wide = Habit(pace=1.0, reach=1.3, shift=(0.05, 0.05))
    for place in signs.PLACES:
        for movement in signs.MOVEMENTS:
            path = centres(motion.sign_poses(Sign("flat", place, movement, "front_up"), wide, PHASE, NO_SLIP))
            assert np.abs(path[:, 0]).max() <= OUTERMOST
            assert path[:, 1].max() <= HIGHEST
            assert path[:, 1].min() >= LOWEST


def test_face_follows_the_sign():
    sign = Sign("flat", "chest", "hold", "back_up", brows="down", mouth="open", head="left")
    middle = motion.sign_poses(sign, PLAIN, np.array([0.5]), NO_SLIP)[0, FACE]
    np.testing.assert_allclose(middle, (-1, 1, 0, 1, 0))


def test_join_is_eased_and_takes_the_shorter_way_round():
    before, after = (
        motion.sign_poses(Sign("flat", place, "hold", "back_up"), PLAIN, np.zeros(1), NO_SLIP)[0]
        for place in ("chest", "high")
    )
    after[TURN] *= -1  # the same turn
    between = motion.join(before, after, 7)
    assert between.shape == (7, 63)
    np.testing.assert_allclose(between[:, TURN], np.broadcast_to(before[TURN], (7, 4)), atol=1e-12)
    steps = np.linalg.norm(np.diff(np.stack([before, *between, after])[:, CENTRE], axis=0), axis=1)
    assert steps[0] < steps[3] > steps[-1]
    np.testing.assert_allclose(steps, steps[::-1], atol=1e-12)


def test_frames_follow_pace_and_fps():
    sign = Sign("flat", "chest", "up", "back_up")
    assert motion.sign_frames(sign, PLAIN, 12.5, 1.0) == 5
    assert motion.sign_frames(sign, PLAIN, 25.0, 1.0) == 9
    assert motion.sign_frames(sign, Habit(2.0, 1.0, (0.0, 0.0)), 25.0, 1.0) == 5
    assert motion.sign_frames(sign, PLAIN, 1.0, 1.0) == 2
    assert motion.pause_frames(0.15, PLAIN, 12.5) == 2
    assert motion.pause_frames(0.15, PLAIN, 2.0) == 1


def test_habits_stay_near_the_signers():
    for signer in SIGNERS:
        habits = [Habit.of(signer, np.random.default_rng(seed)) for seed in range(23)]
        assert np.mean([habit.pace for habit in habits]) == pytest.approx(signer.pace, rel=0.05)
        assert len({habit.reach for habit in habits}) == 23
