"""A training step on an accelerator never waits for it in between: no value is read there, no copy to it blocks.

The steps run on torch's device "meta", which has shapes and no values. Whatever reads one (`item`, `tolist`, `bool`,
`nonzero`, a mask as an index) raises an error there, and copies to it are seen on their way.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from benchmarks.full_size import fixed_batch, new_stage
from tests.flow.test_methods import METHODS, small
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from glossfree.pipeline.stages import TrainingStage
from glossfree.recipe.files import load_recipe
from glossfree.training.loop import read
from glossfree.training.step import backward
from glossfree.video.batch import ClipBatch

LENGTHS = (4, 5, 7)
# CTC's lengths are read in main memory; annotated glosses are for methods that are no longer gloss-free
WAITING = {"mmtlb-phoenix14t", "sltunet-phoenix14t", "ts-slt-phoenix14t"}
# several batches of a step are compared token by token: how many there are is read
RAGGED = {"c2rl-phoenix14t", "cico-phoenix14t", "hfa-cico-phoenix14t", "vap-phoenix14t"}


class NoBlockingCopies(TorchDispatchMode):
    """Inside, a copy to another device must not block."""

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        result, name = function(*args, **(kwargs or {})), function.overloadpacket.__name__
        if name in ("_to_copy", "copy_"):
            source = args[1] if name == "copy_" else args[0]
            may_block = not (kwargs or {}).get("non_blocking", args[2:] == (True,))
            assert source.device == result.device or not may_block, f"{name} blocks"
        return result


class Precision:
    scaler = None

    def autocast(self) -> AbstractContextManager[Any]:
        return nullcontext()

    def backward(self, loss: Tensor) -> None:
        loss.backward()


@pytest.fixture(autouse=True)
def autocast(monkeypatch: pytest.MonkeyPatch) -> None:
    """The device has no autocast."""
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())


def stages(method: str, folder: Path) -> Iterator[tuple[TrainingStage, ClipBatch]]:
    """The stages of a method that see video, on the device, and a batch for each, in main memory."""
    path = folder / "small.toml"
    path.write_text(small(method), encoding="utf-8")
    # the frames of a batch are one block of 16 pixels: for another size positions are interpolated, which is slow here
    recipe = load_recipe(path, ["text.vocabulary_size=130", "data.crop_size=16", "vision.image_size=16"])
    for config in recipe.planned:
        if config.batches == "sentences":
            continue
        batch = fixed_batch(recipe, LENGTHS)
        stage = new_stage(recipe, config.name, batch)
        if config.batches == "segments":
            rows = torch.randn(sum(LENGTHS), recipe.language.hidden_size)
            batch = replace(batch, frames=rows, level="segment_features", keypoints=None)
        stage.set_training()
        yield stage.to("meta"), batch


def run_step(stage: TrainingStage, batches: Sequence[ClipBatch]) -> None:
    """What the loop does up to the one place where it waits."""
    with NoBlockingCopies():
        losses = backward(stage, [batch.prepared("meta") for batch in batches], Precision())
        norm = torch.nn.utils.clip_grad_norm_(stage.trained().values(), 1.0)
    with pytest.raises((NotImplementedError, RuntimeError), match="meta"):
        read([*losses.values(), norm])


@pytest.mark.parametrize("method", sorted(WAITING | RAGGED))  # with several batches, below, the others do all of it
def test_a_step_waits_nowhere(method: str, tmp_path: Path) -> None:
    for stage, batch in stages(method, tmp_path):
        with pytest.raises(NotImplementedError, match="ctc_loss") if method in WAITING else nullcontext():
            run_step(stage, [batch])


@pytest.mark.parametrize("method", [method for method in METHODS if method not in WAITING])
def test_a_step_of_several_batches_waits_nowhere(method: str, tmp_path: Path) -> None:
    for stage, batch in stages(method, tmp_path):
        is_ragged = method in RAGGED and stage.compares_clips
        with pytest.raises(NotImplementedError, match="nonzero") if is_ragged else nullcontext():
            run_step(stage, [batch, batch])


def test_reading_and_blocking_are_noticed() -> None:
    values = torch.ones(3, device="meta")
    for wait in (lambda: bool(values.any()), lambda: values[values > 0], lambda: values.tolist()):
        with pytest.raises((NotImplementedError, RuntimeError), match="meta"), NoBlockingCopies():
            wait()
    for copy in (lambda: torch.ones(3).to("meta"), lambda: values.copy_(torch.ones(3))):
        with pytest.raises(AssertionError, match="blocks"), NoBlockingCopies():
            copy()
    with NoBlockingCopies():
        torch.ones(3).to("meta", non_blocking=True)
