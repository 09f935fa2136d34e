"""A trained model in one folder, and a video file in: a sentence out. Needs no corpus and no training code.

The folder holds `model.json` (what it is, and the SHA-256 of every other file), `recipe.toml`, `model.safetensors`,
`tokenizer/` and, for the timeline, `pseudo_glosses.json`. No file of it is ever executed or unpickled.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from glossfree.assemble import assemble
from glossfree.config import load_recipe
from glossfree.corpora.manifest import Clip, FrameFolder, VideoFile
from glossfree.device import best_device
from glossfree.errors import ModelError
from glossfree.material import view_of
from glossfree.models.prototypes import PseudoGlossHead
from glossfree.models.translator import TranslationModel
from glossfree.models.weights import digest, load
from glossfree.recipe import Recipe
from glossfree.text.pseudo_glosses import PSEUDO_GLOSSES, PseudoGlosses
from glossfree.text.tokenizer import SentenceTokenizer
from glossfree.training.run import load_tensors
from glossfree.video.augment import apply, draw_affine
from glossfree.video.decode import frames_of, video_info
from glossfree.video.pack import packed_size, read_clip
from glossfree.video.sampling import sample_frames

CARD, WEIGHTS, RECIPE, TOKENIZER = "model.json", "model.safetensors", "recipe.toml", "tokenizer"
FORMAT = 1


@dataclass(frozen=True)
class Hypothesis:
    """One sentence and its score: mean log-probability of a token, 0 is best."""

    text: str
    score: float


@dataclass(frozen=True)
class PseudoGlossTrack:
    """One pseudo-gloss over time: its score in [0, 1] (eq 3) and what each segment adds to it."""

    pseudo_gloss: str
    score: float
    timeline: tuple[float, ...]


@dataclass(frozen=True)
class Translation:
    """What a clip means: the best sentence, the n-best list, and the strongest pseudo-glosses over time.

    `frames`: frames of the file that were used, of `num_frames`; segment s covers `frames_per_segment` of them.
    """

    path: str
    text: str
    hypotheses: tuple[Hypothesis, ...]
    tracks: tuple[PseudoGlossTrack, ...]
    num_frames: int
    frames: int
    fps: float

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "path": self.path,
            "text": self.text,
            "score": self.hypotheses[0].score,
            "hypotheses": [vars(hypothesis) for hypothesis in self.hypotheses],
            "pseudo_glosses": [{**vars(track), "timeline": list(track.timeline)} for track in self.tracks],
            "num_frames": self.num_frames,
            "frames": self.frames,
            "fps": self.fps,
        }


class SignTranslator:
    """Video files (or folders of frames) -> sentences."""

    def __init__(
        self,
        recipe: Recipe,
        tokenizer: SentenceTokenizer,
        model: TranslationModel,
        head: PseudoGlossHead | None = None,
        pseudo_glosses: Sequence[str] = (),
    ) -> None:
        self.recipe, self.tokenizer, self.pseudo_glosses = recipe, tokenizer, tuple(pseudo_glosses)
        self.device = best_device()
        self.model = model.to(self.device).eval()
        self.head = None if head is None else head.to(self.device).eval()

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> SignTranslator:
        """A folder made by `glossfree export` -> SignTranslator. Raises ModelError: missing or altered file."""
        folder = Path(folder)
        verify(folder)
        recipe = load_recipe(folder / RECIPE)
        tokenizer = SentenceTokenizer.load(folder / TOKENIZER)
        tensors, _ = load_tensors(folder / WEIGHTS)
        glosses = PseudoGlosses.load(folder / PSEUDO_GLOSSES)
        model, head = restore(recipe, tokenizer, tensors, where=folder / WEIGHTS)
        return cls(recipe, tokenizer, model, head, glosses.inventory)

    def translate(self, path: str | Path) -> str:
        """A video file or a folder of frames -> its sentence. Raises ClipError if it cannot be read."""
        return self.explain(path, num_tracks=0).text

    def explain(self, path: str | Path, *, num_hypotheses: int = 1, num_tracks: int = 10) -> Translation:
        """A video file or a folder of frames -> Translation with an n-best list and a pseudo-gloss timeline."""
        frames, num_frames, fps = self.read(Path(path))
        lengths = torch.tensor([len(frames)], device=self.device)
        with torch.no_grad():  # once, for sentence and timeline: nearly all of the time goes into it
            segments = self.model.hierarchy.segments(frames.to(self.device), lengths)
        rows, level = segments.pack(), "segment_features"
        hypotheses = self.hypotheses(rows, segments.lengths, num_hypotheses, level)[0]
        return Translation(
            path=str(path),
            text=hypotheses[0].text,
            hypotheses=hypotheses,
            tracks=self.tracks(rows, segments.lengths, num_tracks, level)[0],
            num_frames=num_frames,
            frames=len(frames),
            fps=fps,
        )

    def read(self, path: Path) -> tuple[Tensor, int, float]:
        """A file or folder -> frames (T, 3, H, W) uint8 as in evaluation, the number it has, frames per second.

        A clip of a prepared corpus is read as training reads it, to the last bit; any other as `prepare` reads it.
        """
        data = self.recipe.data
        if packed_size(path) == (data.frame_size, data.frame_size):
            frames, fps = read_clip(path), video_info(path).fps
        else:
            source = FrameFolder(path) if path.is_dir() else VideoFile(path)
            frames, fps = frames_of(Clip(id=path.stem, split="test", text="", source=source), data.frame_size)
        chosen = sample_frames(len(frames), stride=data.stride, max_frames=data.max_frames)
        view = view_of(self.recipe)
        cropped = apply(frames[chosen], draw_affine(view), data.crop_size)
        return to_tensor(cropped), len(frames), fps

    @torch.no_grad()
    def hypotheses(
        self, frames: Tensor, lengths: Tensor, num_hypotheses: int = 1, level: str = "frames"
    ) -> list[tuple[Hypothesis, ...]]:
        """Packed frames and lengths (B,) -> for each clip its best sentences, best first."""
        decode = self.recipe.decode
        found = self.model.translate(
            frames,
            lengths,
            level,
            language_id=self.tokenizer.language_id,
            num_beams=max(decode.num_beams, num_hypotheses),
            max_new_tokens=decode.max_new_tokens,
            length_penalty=decode.length_penalty,
            num_return_sequences=num_hypotheses,
            suppressed=self.tokenizer.never_written,
        )
        return [
            tuple(
                Hypothesis(self.tokenizer.decode(ids), float(score))
                for ids, score in zip(sequences.tolist(), scores.tolist(), strict=True)
            )
            for sequences, scores in zip(found.sequences, found.scores, strict=True)
        ]

    @torch.no_grad()
    def tracks(
        self, frames: Tensor, lengths: Tensor, num_tracks: int, level: str = "frames"
    ) -> list[tuple[PseudoGlossTrack, ...]]:
        """Packed rows at `level` and lengths (B,) -> for each clip its strongest pseudo-glosses over time (eqs 1-3)."""
        if self.head is None or not num_tracks:
            return [() for _ in range(len(lengths))]
        scores = self.head(self.model.hierarchy.segments(frames, lengths, level))
        tracks = []
        for clip, length in enumerate(scores.lengths.tolist()):
            strongest = scores.scores[clip].topk(min(num_tracks, len(self.pseudo_glosses)))
            tracks.append(
                tuple(
                    PseudoGlossTrack(
                        self.pseudo_glosses[index],
                        float(value),
                        tuple(scores.timeline[clip, :length, index].tolist()),
                    )
                    for value, index in zip(strongest.values, strongest.indices.tolist(), strict=True)
                )
            )
        return tracks


def to_tensor(frames: np.ndarray) -> Tensor:
    """(T, 3, H, W) or (T, H, W, 3) uint8 -> (T, 3, H, W) uint8 tensor."""
    planar = frames if frames.shape[1] == 3 else frames.transpose(0, 3, 1, 2)
    return torch.from_numpy(np.ascontiguousarray(planar))


def restore(
    recipe: Recipe, tokenizer: SentenceTokenizer, tensors: dict[str, Tensor], *, where: str | Path
) -> tuple[TranslationModel, PseudoGlossHead | None]:
    """Recipe, tokenizer and tensors ("head." in front of the head's) -> modules. Raises ModelError if they differ."""
    parts = assemble(recipe, len(tokenizer), to_be_loaded=True)
    parts.adapt()
    model = parts.translation()
    head_tensors = {name.removeprefix("head."): t for name, t in tensors.items() if name.startswith("head.")}
    head = None
    if head_tensors:
        head = parts.head(torch.ones_like(head_tensors["prototypes"]))
        load(head, head_tensors, where=str(where))
    load(model, {n: t for n, t in tensors.items() if not n.startswith("head.")}, where=str(where))
    return model, head


def verify(folder: Path) -> dict[str, Any]:
    """Check a model folder against its card -> the card. Raises ModelError naming the missing or altered file."""
    remedy = "make the folder again: glossfree export RUN FOLDER"
    try:
        card: dict[str, Any] = json.loads((folder / CARD).read_text(encoding="utf-8"))
        files: dict[str, str] = dict(card["files"])
    except FileNotFoundError as error:
        raise ModelError(f"no {CARD}: not a model folder", where=folder, remedy=remedy) from error
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{CARD} is damaged ({error})", where=folder, remedy=remedy) from error
    if card.get("format") != FORMAT:
        raise ModelError(f"format {card.get('format')}, not {FORMAT}", where=folder, remedy="use a matching glossfree")
    for name, expected in files.items():
        path = folder / name
        if not path.is_file():
            raise ModelError(f"{name} is missing", where=folder, remedy=remedy)
        if digest(path) != expected:
            raise ModelError(f"{name} was altered: its SHA-256 is not the card's", where=folder, remedy=remedy)
    return card
