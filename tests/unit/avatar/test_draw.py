"""Frames: that what is signed can be seen, and what the camera adds."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from glossfree.avatar import draw, signs
from glossfree.avatar.hands import DOMINANT
from glossfree.avatar.signer import SIGNERS
from glossfree.avatar.signing import Habit, SignedSentence, rest_pose, sign_poses
from glossfree.avatar.signs import Sign

HABIT = Habit(1.0, 1.0, (0.0, 0.0))


def still(sign: Sign, size: int = 64, signer: int = 0, seed: int = 5) -> np.ndarray:
    """One frame (size,size,3) as float, with the same random state for every sign."""
    poses = sign_poses(sign, HABIT, np.array([0.5]), np.zeros(3))
    return draw.draw_clip(poses, signer, size, 12.5, np.random.default_rng(seed))[0].astype(float)


def changed(first: np.ndarray, second: np.ndarray) -> int:
    """Pixels that differ by more than noise could."""
    return int((np.abs(first - second).max(axis=2) > 25).sum())


@pytest.mark.parametrize("size", [48, 81, 112, 160, 256])
def test_frames_are_square_rgb_of_any_size(size):
    frames = draw.draw_clip(np.tile(rest_pose(), (3, 1)), 1, size, 12.5, np.random.default_rng(0))
    assert frames.shape == (3, size, size, 3)
    assert frames.dtype == np.uint8


def test_handshapes_can_be_told_apart_at_64_pixels():
    frames = [still(Sign(name, "middle", "hold", "front_up")) for name in signs.HANDSHAPES]
    pairs = [changed(a, b) for k, a in enumerate(frames) for b in frames[:k]]
    assert min(pairs) >= 3
    assert np.median(pairs) > 15


def test_orientations_can_be_told_apart_at_64_pixels():
    frames = [still(Sign("spread", "middle", "hold", name)) for name in signs.ORIENTATIONS]
    assert min(changed(a, b) for k, a in enumerate(frames) for b in frames[:k]) > 40


def test_places_can_be_told_apart_at_64_pixels():
    frames = [still(Sign("fist", name, "hold", "back_up")) for name in signs.PLACES]
    assert min(changed(a, b) for k, a in enumerate(frames) for b in frames[:k]) > 60


@pytest.mark.parametrize("signer", range(len(SIGNERS)))
def test_a_hand_spans_ten_pixels_of_64(signer):
    who, origin = SIGNERS[signer], np.array([(32.0, 30.0)])
    camera = draw.Camera(who, origin, 64.0)
    poses = sign_poses(Sign("spread", "middle", "hold", "front_up"), HABIT, np.array([0.5]), np.zeros(3))
    limb = draw.Limb(camera, poses[:, DOMINANT], -1)
    joints = limb.fingers[0].reshape(-1, 2)
    across, down = np.ptp(joints, axis=0)
    assert down + 64 * 0.02 >= 10  # the tip's own roundness included
    assert across >= 7
    assert 0 < joints.min() < joints.max() < 64
    assert joints[:, 0].max() < 32  # the signer's right hand is on our left


def test_signers_and_rooms_differ():
    frames = [still(Sign("flat", "chest", "hold", "back_up"), signer=signer) for signer in range(len(SIGNERS))]
    for k, a in enumerate(frames):
        for b in frames[:k]:
            assert (np.abs(a - b).max(axis=2) > 20).mean() > 0.15


def test_camera_adds_noise_that_changes_and_a_slow_drift():
    frames = draw.draw_clip(np.tile(rest_pose(), (40, 1)), 4, 64, 12.5, np.random.default_rng(1)).astype(float)
    corner = frames[:, :8, :8]
    assert 2 < corner.std(axis=(1, 2)).mean() < 9
    assert np.abs(corner[1] - corner[0]).max() > 3
    assert 0.5 < np.ptp(corner.mean(axis=(1, 2, 3))) < 25


def test_clips_differ_in_chance_only():
    sign = Sign("flat", "chest", "hold", "back_up")
    np.testing.assert_array_equal(still(sign, seed=7), still(sign, seed=7))
    assert changed(still(sign, seed=7), still(sign, seed=8)) > 0


def test_threads_of_opencv_are_left_as_they_were():
    before = cv2.getNumThreads()
    still(Sign("flat", "chest", "hold", "back_up"))
    assert cv2.getNumThreads() == before


def test_eyes_blink_now_and_then():
    lids = draw._lids(np.arange(0, 60, 0.02), np.random.default_rng(2))
    shut = np.flatnonzero(np.diff(lids) < 0).size
    assert 12 <= shut <= 30
    assert 0.02 < 1 - lids.mean() < 0.08


SIDE = 240
STILL = (0.0, 0.0, 0.0, 0.0, 0.0)


def picture(face: tuple[float, ...] = STILL, lid: float = 1.0, signer: int = 0) -> np.ndarray:
    origin = np.array([(0.5 * SIDE, 0.6 * SIDE)])
    head = draw.Head(draw.Camera(SIGNERS[signer], origin, SIDE), np.array([face]), np.array([lid]))
    frame = np.full((SIDE, SIDE, 3), 128, np.uint8)
    for stroke in [*head.back_hair(), *head.strokes()]:
        stroke.paint(frame, 0)
    return frame


@pytest.mark.parametrize(
    ("face", "rows"),
    [
        pytest.param((1, 0, 0, 0, 0), (0.25, 0.37), id="brows up"),
        pytest.param((-1, 0, 0, 0, 0), (0.25, 0.37), id="brows down"),
        pytest.param((0, 1, 0, 0, 0), (0.38, 0.48), id="mouth open"),
        pytest.param((0, 0.5, -1, 0, 0), (0.38, 0.48), id="mouth round"),
        pytest.param((0, 0, 1, 0, 0), (0.38, 0.48), id="smile"),
    ],
)
def test_a_part_of_the_face_moves_alone(face, rows):
    changed = (picture() != picture(face)).any(axis=2)
    top, bottom = (round(row * SIDE) for row in rows)
    assert changed[top:bottom].sum() > 40
    assert not changed[:top].any()
    assert not changed[bottom:].any()


def test_tilting_to_either_side_mirrors_the_outline():
    left, right = (np.any(picture((0, 0, 0, tilt, 0), signer=4) != 128, axis=2) for tilt in (1.0, -1.0))
    assert (left != right).sum() > 200
    assert (left != np.roll(right[:, ::-1], 1, axis=1)).mean() < 0.01


def test_lids_shut_the_eyes():
    white = [(picture(lid=lid) > 225).all(axis=2).sum() for lid in (0.0, 1.0)]
    assert white[0] < 0.4 * white[1]


@pytest.mark.parametrize("signer", range(len(SIGNERS)))
def test_every_signer_has_a_head(signer):
    drawn = (picture(signer=signer) != 128).any(axis=2)
    assert drawn.mean() > 0.05
    assert not drawn[:, : SIDE // 5].any()


def sentence(size: int = 200) -> tuple[SignedSentence, np.ndarray]:
    clip = SignedSentence(("REGEN", "MORGEN", "KALT"), 1, 11)
    return clip, clip.render(size).astype(float)


def test_there_is_a_point_for_every_joint_and_frame_and_nothing_drawn_changes():
    clip, frames = sentence()
    points = clip.keypoints()
    assert points.shape == (clip.num_frames, len(set(clip.joints)), 2) and np.isfinite(points).all()
    assert np.array_equal(points, clip.keypoints()) and np.array_equal(frames, sentence()[1])


@pytest.mark.parametrize("size", [96, 200])  # drawn at twice the size, and as it is
def test_the_points_lie_where_the_joints_are_drawn(size, monkeypatch):
    """Each joint is marked in a drawing of its own; the middle of what has changed is the point."""
    clip, frames = sentence(size)
    points = clip.keypoints() * size - 0.5  # the middle of a pixel is whole
    for name, attribute, row in (("right_wrist", "wrist", 2), ("left_elbow", "elbow", 24)):
        assert clip.joints[row] == name
        side = -1 if name.startswith("right") else 1

        def marked(self, old=draw.Limb.hand, attribute=attribute, side=side):
            order, parts = old(self)
            is_side = (self.shoulder[0, 0] > self.camera.origin[0, 0]) == (side > 0)
            dot = [draw.Stroke.fill(getattr(self, attribute)[:, None] + 6 * draw.rounded(12), (255, 0, 255))]
            return [[*each, 6] for each in order], [*parts, dot if is_side else []]

        with monkeypatch.context() as patch:
            patch.setattr(draw.Limb, "hand", marked)
            others = clip.render(size).astype(float)
        checked = 0
        for t in range(0, clip.num_frames, 5):
            changed = np.abs(others[t] - frames[t]).max(axis=2) > 60
            if changed.sum() > 20:  # else the other hand lies on it, or its colour is near
                y, x = np.argwhere(changed).mean(axis=0)
                assert np.abs(points[t, row] - (x, y)).max() < 1.0
                checked += 1
        assert checked >= 3


def test_the_points_of_the_face_have_its_colours():
    """The lips are redder than the cheek beside them, the tip of the nose is skin, the eye is white around dark."""
    clip, frames = sentence(256)
    rows = [clip.joints.index(name) for name in ("mouth_bottom", "nose", "right_eye")]
    first = clip.keypoints()[0, rows] * 256 - 0.5
    (lip_x, lip_y), _, (eye_x, eye_y) = np.rint(first).astype(int)
    lip, chin = frames[0, lip_y - 1, lip_x], frames[0, lip_y + 6, lip_x]
    assert (lip[0] - lip[1]) - (chin[0] - chin[1]) > 5
    assert frames[0, eye_y, eye_x].mean() + 60 < frames[0, eye_y, eye_x + 4].mean()
