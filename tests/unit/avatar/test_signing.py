"""SignedSentence: the manifest's Drawing with true spans; the same fields give the same pixels."""

from __future__ import annotations

import pickle
import subprocess
import sys
import zlib
from itertools import combinations

import numpy as np
import pytest

from glossfree.avatar import signing, signs
from glossfree.avatar.hands import CENTRE, DOMINANT, FACE, PASSIVE, TURN
from glossfree.avatar.signer import SIGNERS
from glossfree.avatar.signing import HIGHEST, LOWEST, OUTERMOST, Habit, SignedSentence
from glossfree.avatar.signs import PLACES, Sign, lexicon

GLOSSES = ("HEUTE", "NORD", "REGEN", "STARK", "REGEN")


def test_length_and_spans_without_rendering():
    sentence = SignedSentence(GLOSSES, 2, 11)
    frames = sentence.render(48)
    assert frames.shape == (sentence.num_frames, 48, 48, 3)
    assert len(sentence.poses()) == sentence.num_frames
    assert tuple(span.gloss for span in sentence.spans) == GLOSSES


@pytest.mark.parametrize("signer", range(len(SIGNERS)))
def test_spans_are_apart_and_inside(signer):
    sentence = SignedSentence(GLOSSES, signer, 5)
    ends = 0
    for span in sentence.spans:
        assert span.start > ends  # at least one frame of transition, or of rest, before each
        assert span.end - span.start >= 3
        ends = span.end
    assert ends < sentence.num_frames - 1


def test_six_glosses_take_forty_odd_frames():
    lengths = [SignedSentence(tuple(f"G{seed}-{k}" for k in range(6)), seed % 9, seed).num_frames for seed in range(90)]
    assert 40 <= np.mean(lengths) <= 48


def test_seconds_do_not_depend_on_fps():
    slow, fast = (SignedSentence(GLOSSES, 0, 3, fps=fps) for fps in (12.5, 50.0))
    assert fast.num_frames / 50 == pytest.approx(slow.num_frames / 12.5, rel=0.12)


def test_same_fields_same_pixels_also_in_another_process():
    sentence = SignedSentence(GLOSSES, 6, 17)
    frames = sentence.render(64)
    np.testing.assert_array_equal(frames, sentence.render(64))
    np.testing.assert_array_equal(frames, SignedSentence(GLOSSES, 6, 17).render(64))
    np.testing.assert_array_equal(frames, pickle.loads(pickle.dumps(sentence)).render(64))
    program = (
        "import zlib; from glossfree.avatar.signing import SignedSentence;"
        f"print(zlib.crc32(SignedSentence({GLOSSES!r}, 6, 17).render(64).tobytes()))"
    )
    out = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert int(out.stdout) == zlib.crc32(frames.tobytes())


def test_seed_signer_and_glosses_each_change_the_clip():
    first = SignedSentence(GLOSSES, 6, 17).render(48)
    for other in (
        SignedSentence(GLOSSES, 6, 18), SignedSentence(GLOSSES, 5, 17), SignedSentence((*GLOSSES[:4], "WIND"), 6, 17),
    ):  # fmt: skip
        frames = other.render(48)
        count = min(len(frames), len(first))
        assert (frames[:count] != first[:count]).any()


def test_pixels_do_not_depend_on_what_was_rendered_before():
    sentence = SignedSentence(GLOSSES, 1, 2)
    frames = sentence.render(48)
    SignedSentence(("WIND",), 1, 3).render(48)
    sentence.render(80)
    np.testing.assert_array_equal(sentence.render(48), frames)


def test_starts_and_ends_at_rest():
    poses = SignedSentence(GLOSSES, 0, 4).poses()
    np.testing.assert_array_equal(poses[0], poses[-1])
    assert np.abs(poses[0] - poses[len(poses) // 2]).max() > 0.1


def test_transitions_are_smooth():
    """At 100 frames a second the hand never moves further than a twelfth of the frame at once."""
    for seed in range(12):
        path = SignedSentence(GLOSSES, seed % 9, seed, fps=100.0).poses()[:, DOMINANT][:, CENTRE]
        assert np.linalg.norm(np.diff(path, axis=0), axis=1).max() < 1 / 12


def test_signs_of_a_lexicon_are_drawn_instead():
    chosen = tuple(lexicon(GLOSSES).values())
    own_signs = tuple(Sign("flat", "high", "hold", "front_up") for _ in chosen[:2])
    plain, other = SignedSentence(GLOSSES[:2], 0, 1), SignedSentence(GLOSSES[:2], 0, 1, signs=own_signs)
    start, end = other.spans[0].start, other.spans[0].end
    hand = other.poses()[start:end, DOMINANT]
    assert np.ptp(hand, axis=0).max() == 0
    assert np.abs(plain.poses()[start, DOMINANT] - hand[0]).max() > 0.01


def test_without_a_gloss_the_signer_stands_still():
    sentence = SignedSentence((), 3, 8)
    assert sentence.spans == ()
    assert len(sentence.render(48)) == sentence.num_frames >= 4
    assert np.ptp(sentence.poses(), axis=0).max() < 1e-12


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ((("A",), 9, 0), "signer 9"),
        ((("A",), -1, 0), "signer -1"),
        ((("A",), 0, 0, 0.0), "fps"),
        ((("A", "B"), 0, 0, 12.5, (Sign("flat", "high", "hold", "front_up"),)), "1 signs for 2 glosses"),
    ],
)
def test_bad_arguments(arguments, problem):
    with pytest.raises(ValueError, match=problem):
        SignedSentence(*arguments)


PLAIN = Habit(pace=1.0, reach=1.0, shift=(0.0, 0.0))
PHASE = np.linspace(0, 1, 41)
NO_SLIP = np.zeros(3)


def centres(poses: np.ndarray, hand: slice = DOMINANT) -> np.ndarray:
    return poses[:, hand][:, CENTRE]


@pytest.mark.parametrize("place", signs.PLACES)
def test_hold_stays_at_its_place(place):
    poses = signing.sign_poses(Sign("index", place, "hold", "front_up"), PLAIN, PHASE, NO_SLIP)
    np.testing.assert_allclose(centres(poses), np.broadcast_to(PLACES[place], (41, 3)))


def test_any_two_movements_differ():
    drawn = {
        name: signing.sign_poses(Sign("two", "middle", name, "back_up"), PLAIN, PHASE, NO_SLIP)
        for name in signs.MOVEMENTS
    }
    for first, second in combinations(signs.MOVEMENTS, 2):
        assert np.abs(drawn[first] - drawn[second]).max() > 0.04, (first, second)


def test_directions_are_what_they_are_called():
    for name, axis, sign in (("up", 1, 1), ("down", 1, -1), ("outward", 0, 1), ("inward", 0, -1)):
        path = centres(signing.sign_poses(Sign("fist", "chest", name, "back_up"), PLAIN, PHASE, NO_SLIP))
        assert sign * (path[-1, axis] - path[0, axis]) > 0.15
        assert np.ptp(path[:, 1 - axis]) == 0


@pytest.mark.parametrize("place", signs.PAIRED_PLACES)
def test_mirrored_hands_do_the_same_and_alternating_ones_the_opposite(place):
    for hands, factor in (("mirrored", 1), ("alternating", -1)):
        poses = signing.sign_poses(Sign("flat", place, "up", "front_up", hands=hands), PLAIN, PHASE, NO_SLIP)
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
    poses = signing.sign_poses(sign, PLAIN, PHASE, NO_SLIP)
    assert np.ptp(poses[:, PASSIVE], axis=0).max() == 0
    assert np.ptp(centres(poses), axis=0).max() > 0.1


def test_one_handed_sign_leaves_the_other_hand_at_rest():
    poses = signing.sign_poses(Sign("index", "belly", "circle", "back_up"), PLAIN, PHASE, NO_SLIP)
    np.testing.assert_array_equal(poses[:, PASSIVE], np.broadcast_to(signing.rest_pose()[PASSIVE], (41, 29)))


def test_hands_never_leave_the_frame():
    wide = Habit(pace=1.0, reach=1.3, shift=(0.05, 0.05))
    for place in signs.PLACES:
        for movement in signs.MOVEMENTS:
            path = centres(signing.sign_poses(Sign("flat", place, movement, "front_up"), wide, PHASE, NO_SLIP))
            assert np.abs(path[:, 0]).max() <= OUTERMOST
            assert path[:, 1].max() <= HIGHEST
            assert path[:, 1].min() >= LOWEST


def test_face_follows_the_sign():
    sign = Sign("flat", "chest", "hold", "back_up", brows="down", mouth="open", head="left")
    middle = signing.sign_poses(sign, PLAIN, np.array([0.5]), NO_SLIP)[0, FACE]
    np.testing.assert_allclose(middle, (-1, 1, 0, 1, 0))


def test_join_is_eased_and_takes_the_shorter_way_round():
    before, after = (
        signing.sign_poses(Sign("flat", place, "hold", "back_up"), PLAIN, np.zeros(1), NO_SLIP)[0]
        for place in ("chest", "high")
    )
    after[TURN] *= -1  # the same turn
    between = signing.join(before, after, 7)
    assert between.shape == (7, 63)
    np.testing.assert_allclose(between[:, TURN], np.broadcast_to(before[TURN], (7, 4)), atol=1e-12)
    steps = np.linalg.norm(np.diff(np.stack([before, *between, after])[:, CENTRE], axis=0), axis=1)
    assert steps[0] < steps[3] > steps[-1]
    np.testing.assert_allclose(steps, steps[::-1], atol=1e-12)


def test_frames_follow_pace_and_fps():
    sign = Sign("flat", "chest", "up", "back_up")
    assert signing.sign_frames(sign, PLAIN, 12.5, 1.0) == 5
    assert signing.sign_frames(sign, PLAIN, 25.0, 1.0) == 9
    assert signing.sign_frames(sign, Habit(2.0, 1.0, (0.0, 0.0)), 25.0, 1.0) == 5
    assert signing.sign_frames(sign, PLAIN, 1.0, 1.0) == 2
    assert signing.pause_frames(0.15, PLAIN, 12.5) == 2
    assert signing.pause_frames(0.15, PLAIN, 2.0) == 1


def test_habits_stay_near_the_signers():
    for signer in SIGNERS:
        habits = [Habit.of(signer, np.random.default_rng(seed)) for seed in range(23)]
        assert np.mean([habit.pace for habit in habits]) == pytest.approx(signer.pace, rel=0.05)
        assert len({habit.reach for habit in habits}) == 23


def test_every_place_is_within_the_frame():
    for outward, up, forward in PLACES.values():
        assert abs(outward) <= OUTERMOST
        assert LOWEST <= up <= HIGHEST
        assert forward > 0


def test_places_are_apart():
    points = np.array(list(PLACES.values()))[:, :2]
    distances = np.linalg.norm(points[:, None] - points[None], axis=-1) + np.eye(len(points))
    assert distances.min() > 0.1  # half a hand
