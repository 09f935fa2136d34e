"""One affine map per clip: correctly composed, interpolated once, never mirrored."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from glossfree.video.frames import BORDER, Fit, View, draw_affine, fit_frame, rotation_about, shift_by, warp_frames

NOISE = np.random.default_rng(0).integers(0, 256, size=(7, 53, 53, 3), dtype=np.uint8)  # 7: a group of four and a rest
ALWAYS = View(53, 37, augment_probability=1.0, rotation=30, resize=0.2, translation=5)


def smooth_frames(count: int, size: int) -> np.ndarray:
    """Slow waves, different in every direction, frame and channel."""
    y, x = np.mgrid[:size, :size] / size
    waves = [
        np.sin(2 * x + c) * np.cos(3 * y - 0.4 * t) + 0.5 * np.sin(4 * x * y + t)
        for t in range(count)
        for c in range(3)
    ]
    frames = np.stack(waves).reshape(count, 3, size, size).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(np.rint(127 + 80 * frames).clip(0, 255).astype(np.uint8))


def steps(view: View, seed: int) -> tuple[float, float, np.ndarray, np.ndarray]:
    """Degrees, scale, translation and corner that `draw_affine` draws with this seed, in its order."""
    rng = np.random.default_rng(seed)
    on = rng.random(3) < view.augment_probability
    degrees = rng.uniform(-view.rotation, view.rotation) * on[0]
    scale = 1 + rng.uniform(-view.resize, view.resize) * on[1]
    moved = np.rint(rng.uniform(-view.translation, view.translation, 2)) * on[2]
    return degrees, scale, moved, rng.integers(0, view.frame_size - view.crop_size + 1, 2)


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("probability", [0.5, 1.0])
def test_the_matrix_is_rotate_resize_translate_crop_one_after_another(seed: int, probability: float):
    view = View(53, 37, probability, rotation=30, resize=0.2, translation=5)
    degrees, scale, moved, corner = steps(view, seed)
    points = np.random.default_rng(seed + 100).uniform(0, 52, size=(17, 2))
    centre, angle = np.array([26.0, 26.0]), np.deg2rad(degrees)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])  # y points down
    in_crop = (points - centre) @ turn.T
    in_crop = in_crop * scale + centre
    in_crop = in_crop + moved
    in_crop = in_crop - corner
    matrix = draw_affine(view, np.random.default_rng(seed))
    back = in_crop @ matrix[:, :2].T + matrix[:, 2]
    np.testing.assert_allclose(back, points, atol=1e-9)


def test_a_positive_angle_turns_counter_clockwise_on_the_screen():
    right_of_centre = np.array([10.0, 5.0, 1.0])
    np.testing.assert_allclose(rotation_about(5.0, 90.0, 1.0) @ right_of_centre, [5.0, 0.0, 1.0], atol=1e-12)


@pytest.mark.parametrize("seed", range(6))
def test_one_interpolation_looks_like_three_in_a_row(seed: int):
    frames, size = smooth_frames(5, 53), 37
    degrees, scale, moved, corner = steps(ALWAYS, seed)
    once = warp_frames(frames, draw_affine(ALWAYS, np.random.default_rng(seed)), size)
    rotated = rotation_about(26.0, degrees, 1.0)[:2]
    resized = rotation_about(26.0, 0.0, scale)[:2]
    for frame, planes in zip(frames, once, strict=True):
        picture = frame
        for matrix in (rotated, resized, shift_by(*moved)[:2]):
            picture = cv2.warpAffine(picture, matrix, (53, 53), flags=cv2.INTER_LINEAR, borderMode=BORDER)
        picture = picture[corner[1] : corner[1] + size, corner[0] : corner[0] + size].transpose(2, 0, 1)
        # A border replicated after each step is another picture: compare where all steps stay inside the frame.
        inside = np.full((53, 53), 255, np.uint8)
        for matrix in (rotated, resized, shift_by(*moved)[:2]):
            inside = cv2.warpAffine(inside, matrix, (53, 53), flags=cv2.INTER_LINEAR)
        inside = inside[corner[1] : corner[1] + size, corner[0] : corner[0] + size] == 255
        assert inside.mean() > 0.5
        difference = np.abs(planes.astype(int) - picture.astype(int))[:, inside]
        assert difference.max() <= 3 and difference.mean() < 0.7


@pytest.mark.parametrize("frames_count", [1, 3, 4, 5, 7])
def test_pixels_are_the_bilinear_mean_of_their_neighbours(frames_count: int):
    """Against interpolation in float64, for whole groups of four frames and for the rest."""
    frames, matrix = NOISE[:frames_count], draw_affine(ALWAYS, np.random.default_rng(2))
    result = warp_frames(frames, matrix, 37)
    x, y = np.meshgrid(np.arange(37), np.arange(37))
    source = np.stack([x, y], axis=-1) @ matrix[:, :2].T + matrix[:, 2]
    left, top = np.floor(source[..., 0]).astype(int), np.floor(source[..., 1]).astype(int)
    right_share, low_share = source[..., 0] - left, source[..., 1] - top
    expected = 0.0
    for dy in (0, 1):
        for dx in (0, 1):
            share = (right_share if dx else 1 - right_share) * (low_share if dy else 1 - low_share)
            pixels = frames[:, np.clip(top + dy, 0, 52), np.clip(left + dx, 0, 52)].astype(np.float64)
            expected = expected + pixels * share[..., None]
    difference = np.abs(result.transpose(0, 2, 3, 1) - expected)
    assert difference.max() < 12 and difference.mean() < 1.5  # OpenCV rounds positions to 1/32 pixel


def test_without_a_random_state_the_view_is_exactly_the_centre_crop():
    result = warp_frames(NOISE, draw_affine(ALWAYS), 37)
    np.testing.assert_array_equal(result, NOISE[:, 8:45, 8:45].transpose(0, 3, 1, 2))
    whole = warp_frames(NOISE, draw_affine(View(53, 53)), 53)
    np.testing.assert_array_equal(whole, NOISE.transpose(0, 3, 1, 2))
    assert whole.flags.c_contiguous and whole.dtype == np.uint8


def test_a_clip_that_is_only_moved_keeps_its_pixels():
    view = View(53, 41, augment_probability=1.0, rotation=0, resize=0, translation=9)
    outside = 0
    for seed in range(40):
        _, _, moved, corner = steps(view, seed)
        rows, columns = (np.clip(np.arange(41) + (corner - moved)[axis], 0, 52).astype(int) for axis in (1, 0))
        outside += int((corner - moved).min() < 0 or (corner - moved).max() > 12)
        result = warp_frames(NOISE, draw_affine(view, np.random.default_rng(seed)), 41)
        np.testing.assert_array_equal(result, NOISE[:, rows][:, :, columns].transpose(0, 3, 1, 2))
    assert 5 < outside < 35  # both ways were taken: slicing, and warping past the edge


def test_all_frames_of_a_clip_move_alike():
    still = np.repeat(NOISE[:1], 7, axis=0)
    for seed in range(5):
        result = warp_frames(still, draw_affine(ALWAYS, np.random.default_rng(seed)), 37)
        assert (result == result[:1]).all()


def test_nothing_is_ever_mirrored_and_draws_stay_in_their_range():
    rng, angles, scales = np.random.default_rng(11), [], []
    for _ in range(2000):
        linear = draw_affine(ALWAYS, rng)[:, :2]
        assert np.linalg.det(linear) > 0
        scales.append(1 / np.sqrt(np.linalg.det(linear)))
        angles.append(np.rad2deg(np.arctan2(linear[1, 0], linear[0, 0])))
    assert 0.8 <= min(scales) < 0.81 and 1.19 < max(scales) <= 1.2
    assert -30 <= min(angles) < -29 and 29 < max(angles) <= 30
    assert abs(np.mean(angles)) < 1.5


def test_each_part_is_drawn_with_its_probability():
    rng = np.random.default_rng(7)
    view = View(53, 53, 0.5, rotation=30, resize=0.2, translation=5)
    linear = [draw_affine(view, rng)[:, :2] for _ in range(4000)]
    untouched = np.mean([np.array_equal(part, np.eye(2)) for part in linear])
    assert 0.22 < untouched < 0.28  # neither rotated nor resized: a quarter
    none = View(53, 53, 0.0, rotation=30, resize=0.2, translation=5)
    assert all(np.array_equal(draw_affine(none, rng), np.eye(3)[:2]) for _ in range(50))


def test_wrong_arguments_are_refused():
    with pytest.raises(ValueError, match="crop of 54"):
        View(53, 54)
    with pytest.raises(ValueError, match="resize"):
        View(53, 37, resize=1.0)
    with pytest.raises(ValueError, match="uint8"):
        warp_frames(NOISE.astype(np.float32), draw_affine(ALWAYS), 37)
    with pytest.raises(ValueError, match="T,H,W,3"):
        warp_frames(NOISE[..., :2], draw_affine(ALWAYS), 37)


RNG = np.random.default_rng(5)


@pytest.mark.parametrize("shape", [(90, 131), (131, 90), (23, 71), (11, 17), (29, 29)])
@pytest.mark.parametrize("fit", ["stretch", "pad", "crop"])
def test_every_frame_becomes_the_square(shape: tuple[int, int], fit: Fit) -> None:
    square = fit_frame(RNG.integers(0, 256, (*shape, 3), dtype=np.uint8), 37, fit)
    assert square.shape == (37, 37, 3) and square.dtype == np.uint8


def test_stretch_averages_areas_where_an_axis_shrinks_and_is_linear_where_it_grows() -> None:
    frame = RNG.integers(0, 256, (90, 23, 3), dtype=np.uint8)
    smaller = cv2.resize(frame, (23, 37), interpolation=cv2.INTER_AREA)
    expected = cv2.resize(smaller, (37, 37), interpolation=cv2.INTER_LINEAR)
    assert np.array_equal(fit_frame(frame, 37), expected)


@pytest.mark.parametrize("fit", ["stretch", "pad", "crop"])
def test_a_square_frame_is_the_same_in_every_way(fit: Fit) -> None:
    frame = RNG.integers(0, 256, (51, 51, 3), dtype=np.uint8)
    assert np.array_equal(fit_frame(frame, 37, fit), fit_frame(frame, 37, "stretch"))


def test_pad_keeps_the_aspect_and_continues_the_edges() -> None:
    frame = np.zeros((20, 60, 3), np.uint8)
    frame[0], frame[-1], frame[8:12, 28:32] = 50, 200, 255
    square = fit_frame(frame, 60, "pad")
    assert np.array_equal(square[20:40], frame)
    assert (square[:20] == 50).all() and (square[40:] == 200).all()


def test_crop_takes_the_middle() -> None:
    frame = RNG.integers(0, 256, (21, 48, 3), dtype=np.uint8)
    assert np.array_equal(fit_frame(frame, 21, "crop"), frame[:, 13:34])
    assert np.array_equal(fit_frame(frame.transpose(1, 0, 2), 21, "crop"), frame.transpose(1, 0, 2)[13:34])
