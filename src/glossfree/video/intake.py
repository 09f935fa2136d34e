"""Any video, or a segment of one -> the frames that a model would have been trained on, and what was done to get there.

A clip is brought to the model's rate by time, relieved of stillness at its ends that training did not have, and, where
its aspect is another than training's, cropped around the signer. Whatever is done or cannot be done is reported.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from glossfree.corpora.manifest import Clip, FrameFolder, Segment, VideoFile
from glossfree.errors import ClipError
from glossfree.video.augment import View, apply, draw_affine
from glossfree.video.decode import Reader, open_clip
from glossfree.video.fit import Fit, fit_frame, resize
from glossfree.video.pack import packed_size, read_clip
from glossfree.video.profile import grey, rest
from glossfree.video.sampling import Sampling, sample_frames
from glossfree.video.signer import Crop, apply_crop, find_signer
from glossfree.video.timeline import FEWEST, SAME_RATE, Timeline

OTHER_ASPECT = 1.05  # ratio of aspects above which a clip is cropped: stretched by 1.06, the demo loses 6 BLEU-4
MORE_REST = 0.2  # seconds of stillness beyond the longest in training from which on it is trimmed
LONGER = 1.5  # times the longest clip of training: above it a clip is likely to hold more than a sentence
PREVIEW = 1500  # frames that are looked at beforehand, at most
PREVIEW_HEIGHT = 240  # pixels of the frames in which the signer is looked for
SIGNER_FRAMES = 32  # frames in which the signer is looked for


@dataclass(frozen=True)
class ModelClip:
    """Frames (T, 3, size, size) uint8 RGB as the model sees them, T as in training, and where they come from.

    `num_frames`, `fps`, `seconds`, `aspect` are the clip's own; `fps` is an average, `start` counts from the video's
    first frame. `trimmed`: seconds of stillness cut off at the start and at the end. `crop`: the part of the picture
    that was used, None for all of it. `notes`: a line each on what a reader of the translation should know.
    """

    frames: np.ndarray
    num_frames: int
    fps: float
    start: float
    seconds: float
    aspect: float
    trimmed: tuple[float, float] = (0.0, 0.0)
    crop: Crop | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Look:
    """What a first pass over small frames shows: the frames [first, last) that are kept; crop; width / height."""

    first: int
    last: int
    crop: Crop | None
    aspect: float


@dataclass(frozen=True)
class Intake:
    """How clips reach a model: what it sees of space and time, and the `profile` of its training clips ({}: unknown).

    `view` and `sampling` are the recipe's. Nothing is augmented. The signer of a video is looked for once (`_crops`),
    however many segments of it are read.
    """

    view: View
    sampling: Sampling
    fit: Fit = "stretch"
    profile: dict[str, Any] = field(default_factory=dict)
    _crops: dict[Path, Crop] = field(default_factory=dict, repr=False, compare=False)

    def read(self, path: Path, segment: Segment | None = None) -> ModelClip:
        """A video file or folder of images, or a segment of it -> ModelClip.

        A clip of a prepared corpus is read as training reads it, to the last bit. Raises ClipError: cannot be read in
        full, fewer than FEWEST frames, a segment beyond the end.
        """
        size = self.view.frame_size
        is_packed = packed_size(path) == (size, size)
        source = FrameFolder(path, segment) if path.is_dir() else VideoFile(path, segment)
        reader = open_clip(Clip("", "test", "", source), size)
        timeline = reader.timeline
        if len(timeline) < FEWEST:
            problem = f"too short to be signing: {len(timeline)} frame{'s' * (len(timeline) > 1)}"
            raise ClipError(problem, where=path, remedy=f"give a clip of at least {FEWEST} frames")
        beats = timeline.at_rate(self.sampling.fps)
        if beats is None:
            beats = np.arange(len(timeline))
        look = self._look(path, reader, beats, is_packed)
        kept = beats[look.first : look.last]
        chosen = kept[sample_frames(len(kept), stride=self.sampling.stride, max_frames=self.sampling.max_frames)]
        if is_packed and segment is None:
            frames = read_clip(path, chosen)
        else:
            pictures = (frame if look.crop is None else apply_crop(frame, look.crop) for frame in reader.read(chosen))
            frames = np.stack([fit_frame(picture, size, self.fit) for picture in pictures])
        rate = len(beats) / timeline.seconds
        return ModelClip(
            frames=apply(frames, draw_affine(self.view), self.view.crop_size),
            num_frames=len(timeline),
            fps=timeline.fps,
            start=reader.start,
            seconds=timeline.seconds,
            aspect=look.aspect,
            trimmed=(look.first / rate, (len(beats) - look.last) / rate),
            crop=look.crop,
            notes=tuple(self._notes(timeline, look, len(beats))),
        )

    def _look(self, path: Path, reader: Reader, beats: np.ndarray, is_packed: bool) -> Look:
        count = min(PREVIEW, len(beats)) if self.profile else 1  # nothing to compare with: one frame tells the aspect
        seen = np.unique(np.linspace(0, len(beats) - 1, count).round().astype(int))
        every = max(1, len(seen) // SIGNER_FRAMES)
        # Filled in place: small arrays kept between large ones that come and go would leave holes in memory.
        small, larger, aspect = np.empty((0, 0, 0), np.float32), [], 0.0
        for number, frame in enumerate(reader.read(beats[seen])):
            aspect = frame.shape[1] / frame.shape[0]
            height = min(PREVIEW_HEIGHT, frame.shape[0])
            preview = resize(frame, max(1, round(height * aspect)), height)
            (grey_frame,) = grey([preview])
            if not number:
                small = np.empty((len(seen), *grey_frame.shape), np.float32)
            small[number] = grey_frame
            if number % every == 0:
                larger.append(preview)
        first, last = self._trim(small, reader.timeline, beats[seen], len(beats))
        usual = self.profile.get("aspect", (0, 0, 0))[1]
        if is_packed or not usual or max(aspect / usual, usual / aspect) <= OTHER_ASPECT:
            return Look(first, last, None, aspect)
        if path not in self._crops:
            self._crops[path] = find_signer(np.stack(larger), self.profile.get("signer"), usual)
        return Look(first, last, self._crops[path], aspect)

    def _trim(self, small: np.ndarray, timeline: Timeline, seen: np.ndarray, count: int) -> tuple[int, int]:
        """The frames [first, last) of `count` that are left when stillness that training did not have is cut off."""
        usual = self.profile.get("rest")
        if not usual:
            return 0, count
        still = rest(small, Timeline(timeline.times[seen], timeline.seconds))
        rate = count / timeline.seconds
        start, end = (
            round((seconds - median) * rate) if seconds > longest + MORE_REST else 0
            for seconds, (median, longest) in zip(still, (usual["start"], usual["end"]), strict=True)
        )
        return start, count - end

    def _notes(self, timeline: Timeline, look: Look, count: int) -> Iterator[str]:
        fps = self.sampling.fps
        if not fps:
            yield f"the model does not say its frame rate: the clip's {timeline.fps:g} frames/s are taken as they are"
        elif timeline.fps < fps * (1 - SAME_RATE):
            yield f"{timeline.fps:g} frames/s, and the model was trained at {fps:g}: frames are repeated"
        if look.first or look.last < count:
            start, end = (frames / count * timeline.seconds for frames in (look.first, count - look.last))
            yield f"stillness cut off: {start:.1f} s at the start, {end:.1f} s at the end"
        if look.crop is not None:
            yield (
                f"the picture is {look.aspect:.2f} times as wide as high, training's {self.profile['aspect'][1]:.2f}: "
                "cropped around the signer"
            )
        longest = self.profile.get("seconds", (0, 0, 0))[2]
        if longest and timeline.seconds > LONGER * longest:
            yield (
                f"{timeline.seconds:.0f} s long, the longest clip of training {longest:.1f} s: more than one sentence? "
                "Cut it with --segments or --window"
            )
