"""What is saved around a step: one resampling on uint8, batches of clips of similar length, a frame budget.

Resampling is timed on one core, as in a loader's worker. Padding and the largest batch are read off the sampler's
plans, nothing is trained; what a batch would take of memory is said by whoever has measured a step. A few seconds.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch

from benchmarks.processes import ROOT
from benchmarks.timing import in_turns, machine, table
from glossfree.recipe.frames import DataConfig
from glossfree.recipe.schema import StageConfig
from glossfree.video.batch import resample
from glossfree.video.frames import View, draw_affine, warp_frames
from glossfree.video.sampler import BUCKET_WIDTH, ClipSampler

FRAMES, ROUNDS = 58, 5
CLIPS, MEDIAN, SPREAD = 7096, 110, 0.45  # like PHOENIX14T's training split: log-normal lengths
BUDGETS = (0, 1000, 400)  # frames of one forward pass; 0 = none
EPOCHS = 3
BATCH = StageConfig(name="pretrain").batch_size
MAX_FRAMES = DataConfig().max_frames


def run(gigabytes: Callable[[int], float]) -> str:
    """Tables in Markdown. `gigabytes`: frames of a forward pass -> memory of its step."""
    lengths, whose = lengths_of_clips()
    plans = f"{len(lengths):,} clips, {whose}, at most {MAX_FRAMES} frames each; batch {BATCH}, {EPOCHS} epochs"
    return "\n\n".join([resampling(), padding(lengths), budgets(lengths, gigabytes), f"Plans: {plans}."])


def lengths_of_clips() -> tuple[np.ndarray, str]:
    """Frames of PHOENIX14T's training clips, where its annotations are at hand, else of invented ones; and whose."""
    path = Path(os.environ.get("GLOSSFREE_SHARED", ROOT.parent / "shared")) / "phoenix14t" / "num_frames.tsv"
    if path.is_file():
        with path.open(encoding="utf-8", newline="") as file:
            rows = csv.DictReader(file, delimiter="\t")
            lengths = [int(row["num_frames"]) for row in rows if row["split"] == "train"]
        return np.minimum(lengths, MAX_FRAMES), "PHOENIX14T's own lengths"
    drawn = np.random.default_rng(0).lognormal(np.log(MEDIAN), SPREAD, CLIPS)
    return np.clip(drawn.round().astype(int), 1, MAX_FRAMES), f"log-normal lengths of median {MEDIAN}"


def resampling(frames: int = FRAMES, rounds: int = ROUNDS) -> str:
    """One affine map per clip on uint8, as workers do it, against grid_sample on float frames: table."""
    view = View(256, 224)
    pictures = np.random.default_rng(0).integers(0, 256, (frames, view.frame_size, view.frame_size, 3), dtype=np.uint8)
    matrix = draw_affine(View(256, 224, augment_probability=1.0), np.random.default_rng(1))
    tensors = torch.from_numpy(pictures), torch.tensor([frames]), torch.from_numpy(matrix)[None]
    threads = cv2.getNumThreads(), torch.get_num_threads()
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    try:
        variants: dict[str, Callable[[], object]] = {
            "one affine map, uint8, OpenCV (in a worker)": lambda: warp_frames(pictures, matrix, view.crop_size),
            "grid_sample on float32 frames (in the step)": lambda: resample(*tensors, view.crop_size),
        }
        seconds = in_turns(variants, rounds)
    finally:
        cv2.setNumThreads(threads[0])
        torch.set_num_threads(threads[1])
    best = min(seconds.values())
    rows = [[name, f"{1000 * each / frames:.2f}", f"{each / best:.1f}"] for name, each in seconds.items()]
    text = f"{frames} frames, rotated and resized, one core, medians of {rounds} turns. {machine()}."
    return f"{table(['resampling, 256 -> 224', 'ms/frame', 'ratio'], rows)}\n\n{text}"


def padding(lengths: Sequence[int] | np.ndarray) -> str:
    """Share of padding among the segments of a batch, with clips of similar length together and without: table."""
    widths = {"by length": BUCKET_WIDTH, "by chance": 0}
    shares = {name: padded_share(lengths, width) for name, width in widths.items()}
    rows = [[f"batches {name}", f"{100 * share:.1f} %"] for name, share in shares.items()]
    text = "Frames are packed, so that the ViT and BatchNorm see no padding either way: it costs above them only."
    return f"{table(['padding', 'of the segments'], rows)}\n\n{text}"


def padded_share(lengths: Sequence[int] | np.ndarray, bucket_width: int, epochs: int = EPOCHS) -> float:
    """The part of all segments in padded batches that is padding, 0 to 1. `bucket_width`: see `ClipSampler`."""
    real = padded = 0
    for batch in _batches(lengths, bucket_width=bucket_width, epochs=epochs):
        segments = (np.asarray(lengths)[batch] + 1) // 2
        real += int(segments.sum())
        padded += int(segments.max()) * len(batch)
    return 1 - real / padded


def budgets(lengths: Sequence[int] | np.ndarray, gigabytes: Callable[[int], float]) -> str:
    """The largest forward pass under each frame budget, and what it takes of memory: table."""
    rows = []
    for budget in BUDGETS:
        most = largest(lengths, budget)
        rows.append([f"{budget:,} frames" if budget else "none", f"{most:,}", f"{gigabytes(most):.0f}"])
    text = (
        "Memory is extrapolated from the two steps measured above. A budget is not free: a pre-training step of "
        "several passes goes through the model once more, without gradients, before eq 4 can compare all of its clips."
    )
    return f"{table(['frame budget', 'frames of the largest pass', 'its memory, GB'], rows)}\n\n{text}"


def largest(lengths: Sequence[int] | np.ndarray, budget: int, epochs: int = EPOCHS) -> int:
    """Frames of the largest forward pass that the plans of some epochs hold."""
    passes = _batches(lengths, epochs=epochs, budget=budget)
    return max(int(np.asarray(lengths)[batch].sum()) for batch in passes)


def _batches(
    lengths: Sequence[int] | np.ndarray, *, epochs: int, bucket_width: int = BUCKET_WIDTH, budget: int = 0
) -> list[list[int]]:
    """The clips of each forward pass, over some epochs."""
    sampler = ClipSampler(
        list(lengths), batch_size=BATCH, shuffle=True, seed=0, max_frames_per_batch=budget, bucket_width=bucket_width
    )
    batches: list[list[int]] = []
    for epoch in range(epochs):
        sampler.set_epoch(epoch)
        batches += list(sampler)
    return batches
