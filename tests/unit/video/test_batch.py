"""ClipBatch: packed rows that must add up, and a move that takes everything along."""

from __future__ import annotations

import pytest
import torch

from glossfree.video.batch import ClipBatch

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
def test_rows_that_do_not_make_the_lengths_are_refused(rows: int) -> None:
    with pytest.raises(ValueError, match=rf"{rows} rows do not make lengths \[3, 5\]"):
        batch(frames=torch.zeros(rows, 3, 7, 9, dtype=torch.uint8))


def test_features_may_stand_where_frames_do() -> None:
    features = batch(frames=torch.zeros(8, 11), level="frame_features")
    assert features.level == "frame_features"
    assert features.frames.shape == (8, 11)


def tensors_of(batch: ClipBatch) -> dict[str, torch.Tensor]:
    assert batch.labels is not None
    return {"frames": batch.frames, "lengths": batch.lengths, "labels": batch.labels, **batch.targets}


def with_tensor(name: str, tensor: torch.Tensor) -> ClipBatch:
    targets = batch().targets
    return batch(targets={**targets, name: tensor}) if name in targets else batch(**{name: tensor})


@pytest.mark.parametrize("name", ["frames", "lengths", "labels", "glosses", "vectors"])
def test_a_move_takes_every_tensor_along(name: str) -> None:
    moves = []

    class Watched(torch.Tensor):
        def to(self, *args: object, **kwargs: object) -> torch.Tensor:
            moves.append((args[0], kwargs))
            return self.as_subclass(torch.Tensor)

    moved = with_tensor(name, tensors_of(batch())[name].as_subclass(Watched)).to("cpu")
    assert moves == [("cpu", {"non_blocking": True})]
    assert torch.equal(tensors_of(moved)[name], tensors_of(batch())[name])
    assert (moved.ids, moved.texts, moved.level) == (batch().ids, batch().texts, "frames")


def test_a_move_leaves_what_is_not_there_away() -> None:
    moved = batch(labels=None, targets={}).to("cpu")
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


def test_frames_that_are_still_whole_are_cropped_on_the_way() -> None:
    frames = torch.randint(0, 256, (8, 9, 9, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    views = torch.tensor([[[1.0, 0, 2], [0, 1, 1]], [[1.0, 0, 0], [0, 1, 4]]])
    moved = batch(frames=frames, views=views, crop_size=5).to("cpu")
    assert (moved.views, moved.frames.shape) == (None, (8, 3, 5, 5))
    planes = frames.permute(0, 3, 1, 2)
    assert torch.equal(moved.frames[:3], planes[:3, :, 1:6, 2:7])
    assert torch.equal(moved.frames[3:], planes[3:, :, 4:9, 0:5])
    assert torch.equal(moved.to("cpu").frames, moved.frames)
