"""Clips -> translations, whatever computes them: results, batches, and what a model says about itself."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from glossfree.corpora.manifest import Segment
from glossfree.errors import ClipError
from glossfree.scoring.predictions import Prediction
from glossfree.video.intake import Intake, ModelClip
from glossfree.video.signer import Crop

STRONG = 0.5  # of the highest score: weaker pseudo-glosses, and weaker segments of one, have no place in time
BATCH_FRAMES = 900  # frames that are translated together at most: 135 MB of 224 x 224 pixels
MOST_BATCHES = 4  # that are read before they are translated: at most four times that


@dataclass(frozen=True)
class PseudoGlossTrack:
    """One pseudo-gloss over time: its score in [0, 1] (eq 3) and what each segment adds to it."""

    pseudo_gloss: str
    score: float
    timeline: tuple[float, ...]


@dataclass(frozen=True)
class Translation:
    """The translation of a clip: the best sentence, the n-best list, and the strongest pseudo-glosses over time.

    `frames`: frames that the model saw, of the clip's `num_frames`; `Translator.middles` says where segments lie.
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


class ReadClip(NamedTuple):
    """A request, and what was read of it."""

    path: Path
    segment: Segment | None
    clip: ModelClip | ClipError


@dataclass(frozen=True)
class About:
    """What a model says about itself. `fps` and `frame_size`: frames per second (0: unknown) and pixels of its clips;
    `batch_size`: clips that it translates together."""

    name: str
    summary: str
    language: str
    supervision: str
    fps: float
    frame_size: int
    batch_size: int
    has_timeline: bool
    is_on_cpu: bool


class Translator(ABC):
    """Video files (or folders of frames) -> sentences."""

    about: About
    intake: Intake

    @abstractmethod
    def middles(self, num_frames: int) -> Sequence[int]:
        """The frame, of those that the model saw, in the middle of each segment of a timeline."""

    @abstractmethod
    def answer(
        self, clips: Sequence[ModelClip], num_hypotheses: int, num_tracks: int
    ) -> tuple[Sequence[tuple[Prediction, ...]], Sequence[tuple[PseudoGlossTrack, ...]]]:
        """One clip or more -> of each its best sentences, best first, and its strongest pseudo-glosses."""

    def translate(
        self, path: str | Path, segment: Segment | None = None, poses: Path | None = None, fps: float | None = None
    ) -> str:
        """A video file or a folder of frames, or a segment of it -> its sentence. Raises ClipError: cannot be read.

        `poses`: a file of its keypoints, for a model that reads them; by default as in `Intake._keypoints`. `fps`:
        frames per second of a folder, 25 if left out; a video has its own rate.
        """
        return self.explain(path, segment, num_tracks=0, poses=poses, fps=fps).text

    def explain(
        self,
        path: str | Path,
        segment: Segment | None = None,
        *,
        num_hypotheses: int = 1,
        num_tracks: int = 10,
        poses: Path | None = None,
        fps: float | None = None,
    ) -> Translation:
        """A video file or a folder of frames -> Translation with an n-best list and a pseudo-gloss timeline."""
        requests = [(Path(path), segment)]
        options = {"num_hypotheses": num_hypotheses, "num_tracks": num_tracks}
        (result,) = self.explain_all(requests, poses=poses, fps=fps, **options)
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
        fps: float | None = None,
    ) -> Iterator[Translation | Failure]:
        """Videos, or segments of them -> a Translation each, or a Failure, in order.

        Clips of similar length are translated together, `batch_size` at most (the model's own number, if left out) and
        no more than BATCH_FRAMES frames: see `_read`. `poses`: a file of keypoints, where all requests are of one
        video. `fps`: frames per second of all folders of frames, 25 if left out. Raises ValueError if it is not in
        [0.1, 1000].
        """
        if fps is not None and not 0.1 <= fps <= 1000:
            raise ValueError(f"fps in [0.1, 1000] expected, got {fps}")
        limit = batch_size or self.about.batch_size
        intake = self.intake if fps is None else replace(self.intake, image_fps=fps)
        for clips in self._read(requests, limit, partial(intake.read, poses=poses)):
            yield from self._explain(clips, limit, num_hypotheses, num_tracks)

    def _read(
        self, requests: Iterable[tuple[Path, Segment | None]], limit: int, read: Callable[..., ModelClip]
    ) -> Iterator[list[ReadClip]]:
        """Clips of as many requests as make 1, then 2, then always MOST_BATCHES batches.

        So the first results come soon, and there are soon enough clips to find some of similar length. Alone (`limit`
        1) clips need none.
        """
        clips: list[ReadClip] = []
        batches, frames = 1, 0
        for path, segment in ((Path(path), segment) for path, segment in requests):
            try:
                clip: ModelClip | ClipError = read(path, segment)
            except ClipError as error:
                clip = error
            count = 0 if isinstance(clip, ClipError) else len(clip.frames)
            if clips and (len(clips) == batches * limit or frames + count > batches * BATCH_FRAMES):
                yield clips
                clips, frames = [], 0
                batches = 1 if limit == 1 else min(2 * batches, MOST_BATCHES)
            clips.append(ReadClip(path, segment, clip))
            frames += count
        yield clips

    def _explain(
        self, clips: Sequence[ReadClip], limit: int, num_hypotheses: int, num_tracks: int
    ) -> Iterator[Translation | Failure]:
        """Translate clips in batches, and give each result as soon as those before it are there."""
        lengths = {
            number: len(each.clip.frames) for number, each in enumerate(clips) if isinstance(each.clip, ModelClip)
        }
        batches = iter(cut_batches(lengths, limit))
        answers: dict[int, tuple[tuple[Prediction, ...], tuple[PseudoGlossTrack, ...]]] = {}
        for number, (path, segment, clip) in enumerate(clips):
            if isinstance(clip, ClipError):
                yield Failure(str(path), clip)
                continue
            if number not in answers:  # it is of the next batch: that with the first number left
                batch = next(batches)
                together = [each for each in (clips[index].clip for index in batch) if isinstance(each, ModelClip)]
                results = zip(*self.answer(together, num_hypotheses, num_tracks), strict=True)
                answers |= dict(zip(batch, results, strict=True))
            best, strongest = answers.pop(number)
            yield Translation(
                path=str(path),
                text=best[0].text,
                hypotheses=best,
                tracks=strongest,
                num_frames=clip.num_frames,
                frames=len(clip.frames),
                fps=clip.fps,
                model_fps=self.about.fps,
                start=clip.start,
                end=clip.start + clip.seconds,
                is_part=segment is not None,
                trimmed=clip.trimmed,
                crop=clip.crop,
                notes=clip.notes,
            )


def cut_batches(lengths: Mapping[int, int], limit: int) -> list[list[int]]:
    """The frames of numbered clips -> the numbers of each batch, of similar length, that with the first number first.

    A batch has at most `limit` clips and, unless it is a single one, BATCH_FRAMES frames.
    """
    batches: list[list[int]] = []
    frames = 0
    for number in sorted(lengths, key=lengths.__getitem__, reverse=True):
        if not batches or len(batches[-1]) == limit or frames + lengths[number] > BATCH_FRAMES:
            batches.append([])
            frames = 0
        batches[-1].append(number)
        frames += lengths[number]
    return sorted(batches, key=min)


def cut_windows(seconds: float, window: float, start: float = 0.0) -> list[Segment]:
    """[start, seconds) of a video in pieces of `window` seconds, the last one up to half as long again."""
    count = max(1, math.floor((seconds - start) / window + 0.5))
    edges = [start + number * window for number in range(count)]
    return [Segment(first, last) for first, last in zip(edges, [*edges[1:], None], strict=True)]


def around_peak(scores: np.ndarray) -> tuple[int, int]:
    """Scores (S,) -> the segments [first, last) around the highest that score at least half of it."""
    known = np.nan_to_num(scores)
    peak = int(known.argmax())
    below = np.flatnonzero(known < STRONG * known[peak])
    after = int(np.searchsorted(below, peak))
    first = below[after - 1] + 1 if after else 0
    last = below[after] if after < len(below) else len(known)
    return int(first), int(last)


def strong_glosses(translation: Translation) -> Iterator[tuple[PseudoGlossTrack, float, float]]:
    """The pseudo-glosses with at least half the score of the best, from and to the seconds in which each is at least
    half as strong as at its peak."""
    start, end = (translation.start + translation.trimmed[0], translation.end - translation.trimmed[1])
    for track in translation.tracks:
        if track.score < STRONG * translation.tracks[0].score:
            continue
        first, last = around_peak(np.array(track.timeline))
        step = (end - start) / len(track.timeline)
        yield track, start + first * step, start + last * step
