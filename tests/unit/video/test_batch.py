"""ClipBatch: packed rows match the lengths, and preparing moves every tensor."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from glossfree.video.batch import FRAMES_AT_ONCE, ClipBatch, resample
from glossfree.video.frames import View, draw_affine, warp_frames

LENGTHS = torch.tensor([3, 5])


def batch(**other: object) -> ClipBatch:
    fields = {
        "ids": ("a", "b"),
        "frames": torch.arange(8 * 3 * 7 * 9, dtype=torch.int32).remainder(256).to(torch.uint8).view(8, 3, 7, 9),
        "lengths": LENGTHS,
        "texts": ("es regnet", "es schneit"),
        "labels": torch.tensor([[5, 6, 2], [7, 2, -100]]),
        "targets": {"glosses": torch.tensor([[1.0, 0, 0, 1], [0, 1, 0, 0]]), "vectors": torch.ones(2, 6)},
    }
    return ClipBatch(**{**fields, **other})  # type: ignore[arg-type]


def test_the_length_of_a_batch_is_its_number_of_clips() -> None:
    assert len(batch()) == 2


@pytest.mark.parametrize("rows", [7, 9, 0])
def test_rows_that_do_not_match_the_lengths_are_refused(rows: int) -> None:
    with pytest.raises(ValueError, match=rf"{rows} rows do not match lengths \[3, 5\]"):
        batch(frames=torch.zeros(rows, 3, 7, 9, dtype=torch.uint8))


def test_a_batch_may_hold_features() -> None:
    features = batch(frames=torch.zeros(8, 11), level="frame_features")
    assert features.level == "frame_features"
    assert features.frames.shape == (8, 11)


def tensors_of(batch: ClipBatch) -> dict[str, torch.Tensor]:
    assert batch.labels is not None
    return {"frames": batch.frames, "lengths": batch.lengths, "labels": batch.labels, **batch.targets}


def with_tensor(name: str, tensor: torch.Tensor) -> ClipBatch:
    targets = batch().targets
    return batch(targets={**targets, name: tensor}) if name in targets else batch(**{name: tensor})


@pytest.mark.parametrize("name", ["frames", "labels", "glosses", "vectors"])
def test_preparing_moves_every_tensor(name: str) -> None:
    moves = []

    class Watched(torch.Tensor):
        def to(self, *args: object, **kwargs: object) -> torch.Tensor:
            moves.append((args[0], kwargs))
            return self.as_subclass(torch.Tensor)

    moved = with_tensor(name, tensors_of(batch())[name].as_subclass(Watched)).prepared("cpu")
    assert moves == [("cpu", {"non_blocking": True})]
    assert torch.equal(tensors_of(moved)[name], tensors_of(batch())[name])
    assert (moved.ids, moved.texts, moved.level) == (batch().ids, batch().texts, "frames")


def test_preparing_keeps_missing_labels_and_targets_missing() -> None:
    moved = batch(labels=None, targets={}).prepared("cpu")
    assert moved.labels is None
    assert moved.targets == {}
    assert torch.equal(moved.frames, batch().frames)


def test_pinning_takes_the_large_tensors_and_nothing_else() -> None:
    pinned = []

    class Watched(torch.Tensor):
        def pin_memory(self, *_: object) -> torch.Tensor:
            pinned.append(tuple(self.shape))
            return self.as_subclass(torch.Tensor)

    watched = {name: tensor.as_subclass(Watched) for name, tensor in tensors_of(batch()).items()}
    targets = {name: watched[name] for name in ("glosses", "vectors")}
    same = batch(frames=watched["frames"], labels=watched["labels"], targets=targets).pin_memory()
    assert sorted(pinned) == [(2, 3), (2, 4), (2, 6), (8, 3, 7, 9)]
    assert torch.equal(same.frames, batch().frames) and torch.equal(same.lengths, LENGTHS)
    assert batch(labels=None, targets={}, frames=watched["frames"]).pin_memory().labels is None


def test_preparing_crops_frames_that_have_views() -> None:
    frames = torch.randint(0, 256, (8, 9, 9, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    views = torch.tensor([[[1.0, 0, 2], [0, 1, 1]], [[1.0, 0, 0], [0, 1, 4]]])
    whole = batch(frames=frames, views=views, crop_size=5)
    moved = whole.prepared("cpu")
    assert (moved.views, moved.frames.shape) == (None, (8, 3, 5, 5))
    planes = frames.permute(0, 3, 1, 2)
    assert torch.equal(moved.frames[:3], planes[:3, :, 1:6, 2:7])
    assert torch.equal(moved.frames[3:], planes[3:, :, 4:9, 0:5])
    assert torch.equal(moved.prepared("cpu").frames, moved.frames)


VIEW = View(53, 41, augment_probability=1.0, translation=6)
CLIP_LENGTHS = (7, 1, FRAMES_AT_ONCE + 3)


def clip(length: int, seed: int) -> np.ndarray:
    """Soft blobs, as a picture has: on noise, a rounded fraction of a pixel would show more than it means."""
    noise = np.random.default_rng(seed).integers(0, 256, (length, 53, 53, 3), dtype=np.uint8)
    return np.stack([cv2.GaussianBlur(frame, (0, 0), 1.5) for frame in noise])


def both(matrices: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    clips = [clip(length, seed) for seed, length in enumerate(CLIP_LENGTHS)]
    expected = [warp_frames(frames, matrix, VIEW.crop_size) for frames, matrix in zip(clips, matrices, strict=True)]
    found = resample(
        torch.from_numpy(np.concatenate(clips)), torch.tensor(CLIP_LENGTHS), torch.from_numpy(np.stack(matrices)), 41
    )
    assert (found.dtype, found.is_contiguous()) == (torch.uint8, True)
    return np.concatenate(expected).astype(int), found.numpy().astype(int)


@pytest.mark.parametrize("seed", range(4))
def test_rotated_resized_and_moved_frames_are_the_workers_but_for_rounding(seed: int) -> None:
    rng = np.random.default_rng(seed)
    matrices = [draw_affine(VIEW, rng) for _ in CLIP_LENGTHS]
    assert not all(np.array_equal(matrix[:, :2], np.eye(2)) for matrix in matrices)
    expected, found = both(matrices)
    difference = np.abs(expected - found)
    assert difference.max() <= 1
    assert (difference > 0).mean() < 0.01


def test_crops_of_integer_pixels_are_bit_equal_slices_with_repeated_edges() -> None:
    plain = View(53, 41, augment_probability=0.0)
    corners = [draw_affine(plain, np.random.default_rng(seed)) for seed in (1, 2)]
    outside = np.array([[1.0, 0.0, -5.0], [0.0, 1.0, 20.0]])
    expected, found = both([draw_affine(plain), *corners])
    assert np.array_equal(expected, found)
    expected, found = both([*corners, outside])
    assert np.abs(expected - found).max() <= 1
    assert np.array_equal(found[-1, :, :, 0], found[-1, :, :, 4]), "left of the frame its first column goes on"


@pytest.mark.parametrize("shape", [(4, 3, 53, 53), (4, 53, 53, 1)])
def test_other_frames_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="uint8 expected"):
        resample(torch.zeros(shape, dtype=torch.uint8), torch.tensor([4]), torch.eye(3)[None, :2], 41)
