"""What one accelerator makes of the paper's model: step, memory, loader, decoding, and what bfloat16 changes.

`python -m benchmarks gpu` prints four tables and is meant to take less than ten minutes on one GPU; `--small` is the
same at sizes that a CPU takes in a minute, to see that it runs. Random weights and random clips. Nothing is written:
what it prints belongs to the machine that it ran on.
- A step is that of training's loop: batches to the device, forward, backward, clipping, the one read of losses and
  norm, optimiser. Its floor is the operations that `flops.py` counts over the rate of a large product in the same
  precision.
- "waits": how often torch reports, in one more step, that the host waited for the device. The loop waits once.
- bfloat16 beside float32 is measured without dropout, from the same weights on the same clips.
"""

from __future__ import annotations

import argparse
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.decoding import BEAMS, SEGMENTS, TOKENS, mbart_of, never_ending
from benchmarks.flops import GIGA, pretraining_flops, translation_flops
from benchmarks.full_size import RECIPE, fixed_batch, new_stage, plan_of
from benchmarks.loader import signer
from benchmarks.timing import machine, table
from glossfree.corpora.manifest import PackedClip
from glossfree.models.choices import Beams
from glossfree.models.tokens import CODES_AND_MASK
from glossfree.pipeline.material import view_of
from glossfree.pipeline.stages import TrainingStage
from glossfree.recipe.files import load_recipe
from glossfree.recipe.schema import Recipe
from glossfree.text.unigram import CODES_25
from glossfree.training.device import best_device, compile_layers, forget_peak, peak_memory
from glossfree.training.loop import read
from glossfree.training.step import backward
from glossfree.video.batch import ClipBatch
from glossfree.video.dataset import ClipDataset
from glossfree.video.pack import write_clip
from glossfree.video.sampler import ClipLoader, ClipSampler

STAGES = {"pretrain": "pre-training", "finetune2": "fine-tuning, stage 2"}
TYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
SMALL = (
    "data={ frame_size = 56, crop_size = 48 }",
    "text={ vocabulary_size = 71, max_tokens = 64 }",
    "vision={ hidden_size = 30, num_layers = 3, num_heads = 3, patch_size = 12, image_size = 60, adapter_layers = 1 }",
    "temporal={ hidden_size = 28, num_layers = 2, num_heads = 2, mlp_size = 52, downsample_after = 1 }",
    "language={ hidden_size = 44, num_layers = 1, num_heads = 4, mlp_size = 58, max_positions = 128 }",
    "pretrain.objectives.pseudo_gloss={ num_pseudo_glosses = 37, vector_size = 19 }",
)


@dataclass(frozen=True)
class Size:
    """What is measured: clips of a step and their frames, steps, clips of the loader, clips decoded at once, tokens."""

    lengths: tuple[int, ...] = (116,) * 8
    steps: int = 8
    square: int = 8192
    clips: int = 64
    workers: int = 8
    decoded: tuple[int, ...] = (1, 16)
    tokens: int = TOKENS
    compiles: bool = True


TINY = Size((9, 7), 2, 256, clips=4, workers=1, decoded=(1, 3), tokens=4, compiles=False)


class Precision:
    """The precision of a forward pass, as `backward` of training takes it."""

    scaler = None

    def __init__(self, device: torch.device, kind: torch.dtype) -> None:
        self.device, self.kind = device, kind

    def autocast(self) -> AbstractContextManager[object]:
        """Half precision where it is asked for."""
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.kind == torch.bfloat16)

    def backward(self, loss: Tensor) -> None:
        """Nothing is scaled."""
        loss.backward()


class Stepper:
    """A stage on the device, a batch in pinned memory, and the recipe's optimiser."""

    def __init__(self, stage: TrainingStage, batch: ClipBatch, recipe: Recipe, precision: Precision) -> None:
        plan = plan_of(recipe, stage.name)
        self.stage, self.precision, self.max_grad_norm = stage, precision, plan.max_grad_norm
        self.batch = batch.pin_memory() if precision.device.type == "cuda" else batch
        self.optimizer = plan.optimizer_of(stage)
        stage.set_training()

    def step(self) -> list[float]:
        """One step of the loop -> its losses and the norm of its gradients."""
        losses = backward(self.stage, [self.batch.prepared(self.precision.device)], self.precision)
        norm = torch.nn.utils.clip_grad_norm_(self.stage.trained().values(), self.max_grad_norm)
        numbers = read([*losses.values(), norm])
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return numbers


def synchronise(device: torch.device) -> None:
    """Wait for all that was asked of the device."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def seconds_of(work: Callable[[], object], device: torch.device, repeats: int, warm_up: int = 2) -> float:
    """Median seconds of one call, the device's work included."""
    times = []
    for _ in range(warm_up + repeats):
        synchronise(device)
        begun = time.perf_counter()
        work()
        synchronise(device)
        times.append(time.perf_counter() - begun)
    return median(times[warm_up:])


def waits_in(work: Callable[[], object], device: torch.device) -> str:
    """How often the host waited for the device in one call, as torch reports it; "-" on a CPU."""
    if device.type != "cuda":
        return "-"
    with warnings.catch_warnings(record=True) as reports, reporting_waits():
        warnings.simplefilter("always")
        work()
    return str(sum("synchroniz" in str(report.message) for report in reports))


@contextmanager
def reporting_waits() -> Iterator[None]:
    """Inside, torch warns of each call that waits for the device."""
    torch.cuda.set_sync_debug_mode("warn")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


def matrix_rate(device: torch.device, kind: torch.dtype, square: int) -> float:
    """Operations per second of a large square product."""
    left, right = (torch.randn(square, square, device=device, dtype=kind) for _ in range(2))
    return 2.0 * square**3 / seconds_of(lambda: left @ right, device, 5)


def steps_table(recipe: Recipe, size: Size, device: torch.device) -> tuple[str, float]:
    """Each stage in each precision, and compiled -> a table, and frames/s of the fastest pre-training."""
    rates = {name: matrix_rate(device, kind, size.square) for name, kind in TYPES.items()}
    rows, frames, fastest = [], sum(size.lengths), 0.0
    for name, label in STAGES.items():
        for form in (*TYPES, *(("bfloat16, compiled",) if size.compiles else ())):
            kind = form.partition(",")[0]
            batch = fixed_batch(recipe, size.lengths)
            stage = new_stage(recipe, name, batch)
            stage.move(device)
            if form != kind:
                compile_layers(stage.parts()["vision"], device)
            forget_peak()
            stepper = Stepper(stage, batch, recipe, Precision(device, TYPES[kind]))
            seconds = seconds_of(stepper.step, device, size.steps)
            assert batch.labels is not None
            parts = (
                pretraining_flops(recipe, size.lengths)
                if name == "pretrain"
                else translation_flops(recipe, size.lengths, batch.labels.shape[1])
            )
            rate = sum(part.total for part in parts.values()) / seconds
            fastest = max(fastest, frames / seconds) if name == "pretrain" else fastest
            cells = (f"{seconds:.3f}", f"{frames / seconds:,.0f}", f"{rate / GIGA / 1000:.2f}")
            ratio = f"{rates[kind] / GIGA / 1000:.1f}", f"{rates[kind] / rate:.2f}", f"{peak_memory() / GIGA:.1f}"
            rows.append([f"{label}, {form}", *cells, *ratio, waits_in(stepper.step, device)])
            del stage, stepper
    header = ["one step", "s", "frames/s", "TFLOP/s", "matrix rate, TFLOP/s", "step / floor", "peak, GB", "waits"]
    return table(header, rows), fastest


def agreement_table(recipe: Recipe, size: Size, device: torch.device) -> str:
    """Losses, video features and gradients in bfloat16 beside those in float32 -> a table."""
    rows = []
    for name, label in STAGES.items():
        batch = fixed_batch(recipe, size.lengths[:2])
        stage = new_stage(recipe, name, batch)
        stage.move(device)
        stage.eval()
        moved = batch.prepared(device)
        seen = []
        for kind in TYPES.values():
            precision = Precision(device, kind)
            stage.zero_grad()
            with torch.no_grad(), precision.autocast():
                video = stage.levels(moved).video
            assert video is not None
            (loss, *_) = read(backward(stage, [moved], precision).values())
            gradients = [p.grad.flatten() for p in stage.trained().values() if p.grad is not None]
            seen.append((loss, video.pack().float(), torch.cat(gradients)))
        (loss, features, gradient), (half_loss, half_features, half_gradient) = seen
        least = functional.cosine_similarity(features, half_features, dim=-1).min()
        cosine = functional.cosine_similarity(gradient, half_gradient, dim=0)
        rows.append([label, f"{loss:.4f}", f"{half_loss:.4f}", f"{float(least):.5f}", f"{float(cosine):.5f}"])
    header = ["bfloat16 beside float32", "loss, float32", "loss, bfloat16", "least cosine of a video feature"]
    return table([*header, "cosine of all gradients"], rows)


def loader_table(recipe: Recipe, size: Size, device: torch.device, wanted: float, folder: Path) -> str:
    """Packed clips through the loader and onto the device, beside what the fastest step takes -> a table."""
    view, length, clips = view_of(recipe), max(size.lengths), []
    for number in range(size.clips):
        path = folder / f"{number}.mp4"
        if number < 4:  # the others are links: what decoding takes is the same
            frames = signer(length, number)[:, : view.frame_size, : view.frame_size]
            pad = [(0, view.frame_size - side) for side in frames.shape[1:3]]
            write_clip(path, np.pad(frames, [(0, 0), *pad, (0, 0)]), 25.0)
        else:
            path.symlink_to(folder / f"{number % 4}.mp4")
        clips.append(PackedClip(str(number), "train", "wind", path.name, length, 25.0))
    dataset = ClipDataset(folder, clips, view, augment=True, crop_later=device.type != "cpu")
    sampler = ClipSampler(dataset.lengths, batch_size=min(len(size.lengths), size.clips), shuffle=True, seed=0)
    loader = ClipLoader(dataset, sampler, num_workers=size.workers)
    rates = []
    for epoch in range(2):  # workers start in the first
        loader.set_epoch(epoch)
        begun = time.perf_counter()
        for batch in loader:
            batch.prepared(device)
        synchronise(device)
        rates.append(size.clips * length / (time.perf_counter() - begun))
    row = [f"{size.workers} workers, augmented", f"{rates[1]:,.0f}", f"{wanted:,.0f}", f"{rates[1] / wanted:.2f}"]
    return table(["loader", "frames/s onto the device", "frames/s of the fastest step", "ratio"], [row])


def decoding_table(recipe: Recipe, size: Size, device: torch.device) -> str:
    """Beam search of sentences that do not end -> a table of tokens a second."""
    model = never_ending(recipe).to(device)
    width, language = (
        mbart_of(model).model.shared.embedding_dim,
        model.vocabulary_size - CODES_AND_MASK + CODES_25.index("de_DE"),
    )
    beams, rows = Beams(num_beams=BEAMS, max_new_tokens=size.tokens), []
    for clips in size.decoded:
        features, lengths = torch.randn(clips * SEGMENTS, width, device=device), torch.tensor([SEGMENTS] * clips)

        def translate(features: Tensor = features, lengths: Tensor = lengths) -> object:
            return model.translate(features, lengths, "segment_features", beams=beams, start_id=language)

        cells = []
        for kind in TYPES.values():
            with Precision(device, kind).autocast():
                cells.append(f"{clips * size.tokens / seconds_of(translate, device, 3, warm_up=1):,.0f}")
        rows.append([str(clips), *cells])
    return table(["clips decoded at once", *(f"tokens/s, {name}" for name in TYPES)], rows)


def run(size: Size = Size(), overrides: Sequence[str] = ()) -> str:
    """All of it -> tables in Markdown."""
    device, recipe = best_device(), load_recipe(RECIPE, list(overrides))
    steps, fastest = steps_table(recipe, size, device)
    with tempfile.TemporaryDirectory() as folder:
        loader = loader_table(recipe, size, device, fastest, Path(folder))
    sections = [steps, agreement_table(recipe, size, device), loader, decoding_table(recipe, size, device)]
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    note = (
        f"{name}; {len(size.lengths)} clips of {min(size.lengths)} to {max(size.lengths)} frames a step, medians of "
        f"{size.steps} steps; beam {BEAMS}, {size.tokens} tokens. torch {torch.__version__}, {machine()}."
    )
    return "\n\n".join([*sections, note])


def main(words: Sequence[str]) -> str:
    """The command line behind `python -m benchmarks gpu`."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks gpu", description=__doc__)
    parser.add_argument("--small", action="store_true", help="small sizes, for a CPU")
    return run(TINY, SMALL) if parser.parse_args(words).small else run()
