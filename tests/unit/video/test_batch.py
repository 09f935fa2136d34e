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
        "gloss_targets": torch.tensor([[1.0, 0, 0, 1], [0, 1, 0, 0]]),
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


@pytest.mark.parametrize("field", ["frames", "lengths", "labels", "gloss_targets"])
def test_a_move_takes_every_tensor_along(field: str) -> None:
    moves = []

    class Watched(torch.Tensor):
        def to(self, *args: object, **kwargs: object) -> torch.Tensor:
            moves.append((args[0], kwargs))
            return self.as_subclass(torch.Tensor)

    moved = batch(**{field: getattr(batch(), field).as_subclass(Watched)}).to("cpu")
    assert moves == [("cpu", {"non_blocking": True})]
    assert torch.equal(getattr(moved, field), getattr(batch(), field))
    assert (moved.ids, moved.texts, moved.level) == (batch().ids, batch().texts, "frames")


def test_a_move_leaves_what_is_not_there_away() -> None:
    moved = batch(labels=None, gloss_targets=None).to("cpu")
    assert moved.labels is None
    assert moved.gloss_targets is None
    assert torch.equal(moved.frames, batch().frames)
