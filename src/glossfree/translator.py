"""A model folder and a video file -> a sentence. Needs no corpus.

The folder holds `model.json` (what it is, and the SHA-256 of every other file), `recipe.toml`, `model.safetensors`,
`tokenizer/` and, if the model scores pseudo-glosses, `pseudo_glosses.json`: a model trained without them has no
timeline, and `model.json` says so. None of its files is ever executed or unpickled. `README.md` and `config.json` are
for the hub: nothing reads them, and their owner may change them.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from glossfree import __version__
from glossfree.console import Console
from glossfree.corpora.manifest import Segment
from glossfree.errors import ClipError, ModelError, RunError
from glossfree.files.disk import atomic, digest, read_json, write_json
from glossfree.models.hierarchy import TranslationModel
from glossfree.objectives.pseudo_gloss import PseudoGlossHead
from glossfree.pipeline.card import write_card
from glossfree.pipeline.decode import Decoder, WordFinder
from glossfree.pipeline.hub import CONFIG, HUB, README, is_model_file, model_folder
from glossfree.pipeline.material import sampling_of, view_of
from glossfree.pipeline.trained import TOKENIZER, TrainedRun, load_model_and_head
from glossfree.recipe.files import load_recipe
from glossfree.recipe.schema import Recipe
from glossfree.scoring.predictions import Prediction, scores_path
from glossfree.text.language_model import load_tokenizer
from glossfree.text.pseudo_glosses import PSEUDO_GLOSSES, PseudoGlosses
from glossfree.text.tokenizer import Tokenizer
from glossfree.training.device import best_device
from glossfree.training.run import load_tensors, save_tensors
from glossfree.video.intake import Intake, ModelClip, validate_profile
from glossfree.video.signer import Crop

CARD, WEIGHTS, RECIPE = "model.json", "model.safetensors", "recipe.toml"
FORMAT = 2
READ_BY = {1: "glossfree 0.1.0, from before recipes had stages,"}  # formats that this version no longer reads
AGAIN = "make the folder again: glossfree export RUN FOLDER"
STRONG = 0.5  # of the highest score: weaker pseudo-glosses have no place in time
BATCH_FRAMES = 900  # frames that are translated together at most: 135 MB of 224 x 224 pixels


@dataclass(frozen=True)
class PseudoGlossTrack:
    """One pseudo-gloss over time: its score in [0, 1] (eq 3) and what each segment adds to it."""

    pseudo_gloss: str
    score: float
    timeline: tuple[float, ...]


@dataclass(frozen=True)
class Translation:
    """The translation of a clip: the best sentence, the n-best list, and the strongest pseudo-glosses over time.

    `frames`: frames that the model saw, of the clip's `num_frames`; `SignTranslator.middles` says where segments lie.
    `fps` is the clip's average rate, `model_fps` the model's (0: unknown), `start` and `end` the seconds of the video
    that were read. `trimmed`, `crop`, `notes`: see `video.intake.ModelClip`.
    """

    path: str
    text: str
    hypotheses: tuple[Prediction, ...]
    tracks: tuple[PseudoGlossTrack, ...]
    num_frames: int
    frames: int
    fps: float
    model_fps: float = 0.0
    start: float = 0.0
    end: float = 0.0
    is_part: bool = False
    trimmed: tuple[float, float] = (0.0, 0.0)
    crop: Crop | None = None
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "path": self.path,
            "text": self.text,
            "score": self.hypotheses[0].score,
            "hypotheses": [{"text": each.text, "score": each.score} for each in self.hypotheses],
            "pseudo_glosses": [{**vars(track), "timeline": list(track.timeline)} for track in self.tracks],
            **{name: getattr(self, name) for name in ("num_frames", "frames", "fps", "model_fps", "start", "end")},
            "trimmed": list(self.trimmed),
            "crop": None if self.crop is None else self.crop.to_dict(),
            "notes": list(self.notes),
        }


@dataclass(frozen=True)
class Failure:
    """A clip that could not be translated, and why: one line with the path and the remedy."""

    path: str
    error: ClipError

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {"path": self.path, "error": str(self.error)}


class SignTranslator:
    """Video files (or folders of frames) -> sentences."""

    def __init__(
        self,
        recipe: Recipe,
        tokenizer: Tokenizer,
        model: TranslationModel,
        head: PseudoGlossHead | None = None,
        pseudo_glosses: Sequence[str] = (),
        training: Mapping[str, Any] | None = None,
    ) -> None:
        """`training`: what the training clips looked like, if known (see `video.intake.validate_profile`)."""
        self.recipe, self.tokenizer, self.pseudo_glosses = recipe, tokenizer, tuple(pseudo_glosses)
        self.device = best_device()
        self.model = model.to(self.device).eval()
        self.head = None if head is None else head.to(self.device).eval()
        finder = WordFinder.of(recipe, self.head, self.pseudo_glosses)
        self.decoder = Decoder(self.model, tokenizer, recipe, find_words=finder)
        self.intake = Intake(
            view_of(recipe), sampling_of(recipe), recipe.data.fit, dict(training or {}), recipe.keypoints.joints_read
        )

    @classmethod
    def from_pretrained(cls, source: str | Path, *, revision: str | None = None) -> SignTranslator:
        """A folder made by `glossfree export`, or the owner/name of one on the hub -> SignTranslator.

        `revision`: a branch, tag or commit of the repository. A folder that is there wins; a path is fetched only as
        "hub:owner/name". Raises ModelError: missing or altered file, nothing to fetch.
        """
        folder = model_folder(source, revision)
        card = verify(folder)
        try:
            training = validate_profile(card.get("training", {}))
        except ValueError as error:
            raise ModelError(f"{CARD} is damaged ({error})", where=folder, remedy=AGAIN) from error
        recipe = load_recipe(folder / RECIPE)
        tokenizer = load_tokenizer(folder / TOKENIZER)
        tensors, facts = load_tensors(folder / WEIGHTS)
        where = folder / WEIGHTS
        model, head = load_model_and_head(recipe, len(tokenizer), tensors, stage=facts.get("stage"), where=where)
        inventory = () if head is None else PseudoGlosses.load(folder / PSEUDO_GLOSSES).inventory
        return cls(recipe, tokenizer, model, head, inventory, training)

    @classmethod
    def of_run(cls, trained: TrainedRun) -> SignTranslator:
        """A trained run -> SignTranslator, as `glossfree export` would save it. Raises RunError, ModelError."""
        model, head = trained.model()
        inventory = () if head is None else trained.pseudo_glosses().inventory
        return cls(trained.recipe, trained.tokenizer, model, head, inventory)

    def middles(self, num_frames: int) -> Sequence[int]:
        """The frame, of those that the model saw, in the middle of each segment of a timeline."""
        return self.model.hierarchy.temporal.middles(num_frames)

    def translate(self, path: str | Path, segment: Segment | None = None, poses: Path | None = None) -> str:
        """A video file or a folder of frames, or a segment of it -> its sentence. Raises ClipError: cannot be read.

        `poses`: a file of its keypoints, for a model that reads them; by default as in `Intake._keypoints`.
        """
        return self.explain(path, segment, num_tracks=0, poses=poses).text

    def explain(
        self,
        path: str | Path,
        segment: Segment | None = None,
        *,
        num_hypotheses: int = 1,
        num_tracks: int = 10,
        poses: Path | None = None,
    ) -> Translation:
        """A video file or a folder of frames -> Translation with an n-best list and a pseudo-gloss timeline."""
        requests = [(Path(path), segment)]
        (result,) = self.explain_all(requests, num_hypotheses=num_hypotheses, num_tracks=num_tracks, poses=poses)
        if isinstance(result, Failure):
            raise result.error
        return result

    def explain_all(
        self,
        requests: Iterable[tuple[Path, Segment | None]],
        *,
        num_hypotheses: int = 1,
        num_tracks: int = 10,
        batch_size: int | None = None,
        poses: Path | None = None,
    ) -> Iterator[Translation | Failure]:
        """Videos, or segments of them -> a Translation each, or a Failure, in order.

        Of each `batch_size` clips (the recipe's for decoding, if left out) at most BATCH_FRAMES frames are translated
        together. `poses`: a file of keypoints, where all requests are of one video.
        """
        limit = batch_size or self.recipe.decode.batch_size
        waiting: list[tuple[Path, Segment | None, ModelClip | ClipError]] = []
        frames = 0
        for number, (path, segment) in enumerate((Path(path), segment) for path, segment in requests):
            try:
                clip: ModelClip | ClipError = self.intake.read(path, segment, poses)
            except ClipError as error:
                clip = error
            count = 0 if isinstance(clip, ClipError) else len(clip.frames)
            if waiting and (number % limit == 0 or frames + count > BATCH_FRAMES):
                yield from self._explain(waiting, num_hypotheses, num_tracks)
                waiting, frames = [], 0
            waiting.append((path, segment, clip))
            frames += count
        yield from self._explain(waiting, num_hypotheses, num_tracks)

    def _explain(
        self,
        batch: Sequence[tuple[Path, Segment | None, ModelClip | ClipError]],
        num_hypotheses: int,
        num_tracks: int,
    ) -> Iterator[Translation | Failure]:
        clips = [clip for _, _, clip in batch if isinstance(clip, ModelClip)]
        hypotheses: list[tuple[Prediction, ...]] = []
        tracks: list[tuple[PseudoGlossTrack, ...]] = []
        if clips:
            frames = torch.from_numpy(np.concatenate([clip.frames for clip in clips])).to(self.device)
            lengths = torch.tensor([len(clip.frames) for clip in clips], device=self.device)
            points = [torch.from_numpy(clip.keypoints) for clip in clips if clip.keypoints is not None]
            keypoints = torch.cat(points).to(self.device) if points else None
            with torch.no_grad():  # once for sentence and timeline: it takes nearly all of the time
                segments = self.model.hierarchy.segments(frames, lengths, keypoints=keypoints)
            rows, level = segments.pack(), "segment_features"
            hypotheses = self.decoder.hypotheses(rows, segments.lengths, num_hypotheses, level)
            tracks = self.tracks(rows, segments.lengths, num_tracks, level)
        results = iter(zip(hypotheses, tracks, strict=True))
        for path, segment, clip in batch:
            if isinstance(clip, ClipError):
                yield Failure(str(path), clip)
                continue
            best, strongest = next(results)
            yield Translation(
                path=str(path),
                text=best[0].text,
                hypotheses=best,
                tracks=strongest,
                num_frames=clip.num_frames,
                frames=len(clip.frames),
                fps=clip.fps,
                model_fps=self.recipe.data.fps,
                start=clip.start,
                end=clip.start + clip.seconds,
                is_part=segment is not None,
                trimmed=clip.trimmed,
                crop=clip.crop,
                notes=clip.notes,
            )

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
            timeline = scores.timeline[clip, :length]
            tracks.append(
                tuple(
                    PseudoGlossTrack(self.pseudo_glosses[index], value, tuple(timeline[:, index].tolist()))
                    for value, index in zip(strongest.values.tolist(), strongest.indices.tolist(), strict=True)
                )
            )
        return tracks


def batch_size_of(source: str | Path) -> int:
    """The clips of which `explain_all` makes a batch with this model, which is not opened. Raises ModelError."""
    return load_recipe(model_folder(source) / RECIPE).decode.batch_size


def cut_windows(seconds: float, window: float, start: float = 0.0) -> list[Segment]:
    """[start, seconds) of a video in pieces of `window` seconds, the last one up to half as long again."""
    count = max(1, math.floor((seconds - start) / window + 0.5))
    edges = [start + number * window for number in range(count)]
    return [Segment(first, last) for first, last in zip(edges, [*edges[1:], None], strict=True)]


def strong_glosses(translation: Translation) -> Iterator[tuple[PseudoGlossTrack, float, float]]:
    """The pseudo-glosses with at least half the score of the best, from and to the seconds in which each is at least
    half as strong as at its peak."""
    start, end = (translation.start + translation.trimmed[0], translation.end - translation.trimmed[1])
    for track in translation.tracks:
        if track.score < STRONG * translation.tracks[0].score:
            continue
        levels, peak = track.timeline, max(range(len(track.timeline)), key=track.timeline.__getitem__)
        first, last = peak, peak
        while first > 0 and levels[first - 1] >= STRONG * levels[peak]:
            first -= 1
        while last + 1 < len(levels) and levels[last + 1] >= STRONG * levels[peak]:
            last += 1
        step = (end - start) / len(levels)
        yield track, start + first * step, start + (last + 1) * step


def export_model(run: Path, folder: Path, console: Console) -> None:
    """The model of a run -> a model folder, atomically; warns of weights that the run no longer has.

    Raises ModelError if `folder` holds anything or cannot be written, RunError if no translating stage has finished.
    """
    if folder.is_file() or (folder.exists() and any(folder.iterdir())):
        problem = "is a file" if folder.is_file() else "is not empty"
        raise ModelError(problem, where=folder, remedy="name a new folder, or remove this one first")
    trained = TrainedRun(run)
    tensors, has_timeline = trained.tensors(), bool(trained.head_tensors())
    for line in trained.missing_weights():
        console.warn(line)
    if weight := trained.recipe.decode.rerank:
        console.warn(f"decode.rerank is {weight:g}: evaluate re-ranks, a model folder does not")
    with atomic(folder, ModelError) as temporary:
        save_tensors(temporary / WEIGHTS, tensors, {"stage": trained.last_stage})
        shutil.copytree(run / TOKENIZER, temporary / TOKENIZER)
        shutil.copyfile(trained.run.recipe, temporary / RECIPE)
        if has_timeline:
            trained.pseudo_glosses().without_sentences().save(temporary / PSEUDO_GLOSSES)
        files = sorted(path for path in temporary.rglob("*") if path.is_file())
        card = {
            "format": FORMAT,
            "glossfree": __version__,
            "files": {path.relative_to(temporary).as_posix(): digest(path) for path in files},
            # those of the run as it is: not of `evaluate --rerank`, which a model folder cannot reach, or --corpus
            "scores": {
                path.stem: read_json(path, RunError)
                for path in (scores_path(run, split) for split in ("dev", "test", "train"))
                if path.is_file()
            },
            "supervision": trained.recipe.supervision,
            "timeline": has_timeline,
            "training": {"fit": trained.recipe.data.fit, **trained.run.read_json("run.json").get("profile", {})},
        }
        write_json(temporary / CARD, card, ModelError)
        write_card(temporary, trained, tensors, FORMAT)
        if folder.exists():
            folder.rmdir()


def verify(folder: Path) -> dict[str, Any]:
    """Check a model folder against its card -> the card. Raises ModelError naming the missing or altered file."""
    try:
        card: dict[str, Any] = json.loads((folder / CARD).read_text(encoding="utf-8"))
        files = {name.replace("\\", "/"): sha256 for name, sha256 in dict(card["files"]).items()}  # Windows wrote "\\"
        card["files"] = files
    except FileNotFoundError as error:
        remedy = AGAIN if folder.is_dir() else f"check the path; a model on the hub is {HUB}owner/name"
        raise ModelError(f"no {CARD}: not a model folder", where=folder, remedy=remedy) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"{CARD} is damaged ({error})", where=folder, remedy=AGAIN) from error
    if (number := card.get("format")) != FORMAT:
        reader = next((text for known, text in READ_BY.items() if known == number), f"a version after {__version__}")
        remedy = f"use that version (glossfree {card.get('glossfree', '?')} made it), or export it again from its run"
        raise ModelError(f"format {number}, which {reader} reads", where=folder, remedy=remedy)
    for name, expected in files.items():
        path = folder / name
        if not is_model_file(name):
            raise ModelError(f"{name} is no file of a model: it may hold code", where=folder, remedy=AGAIN)
        if not path.is_file():
            raise ModelError(f"{name} is missing", where=folder, remedy=AGAIN)
        if digest(path) != expected:
            raise ModelError(f"{name} was altered: its SHA-256 is not the card's", where=folder, remedy=AGAIN)
    if unknown := [name for name in others(folder, files) if name.startswith(f"{TOKENIZER}/")]:
        remedy = "move it elsewhere: it could change how text is read"
        raise ModelError(f"{CARD} does not name {unknown[0]}", where=folder, remedy=remedy)
    return card


def others(folder: Path, files: Collection[str]) -> list[str]:
    """Files of a model folder that are not among `files`, `model.json` and what is for the hub; none that is hidden."""
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return [name for name in names if name not in {*files, CARD, README, CONFIG} and "/." not in f"/{name}"]
