"""Any video, or a segment of one -> frames like those of training, and notes on how it was changed.

A clip is resampled to the model's rate. Stillness at its ends that training did not have is cut off. If its aspect
differs from training's, it is cropped around the signer. Every change, and every one that was impossible, is noted.

The *profile* describes the training clips: rate, aspect, length, light, stillness at both ends, signers. `prepare`
writes it into `corpus.json`, training keeps it with the run, and `export` with the model: plain JSON below 8 kB.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from glossfree.corpora.manifest import Manifest, Segment, source_at
from glossfree.errors import ClipError
from glossfree.video.container import FPS, KEPT
from glossfree.video.decode import Reader, open_source
from glossfree.video.frames import Fit, View, draw_affine, fit_frame, fitted, warp_frames, warp_points
from glossfree.video.pack import packed_size, read_clip
from glossfree.video.poses import beside, pose_file, read_pose, stored_beside
from glossfree.video.signer import Crop, SignerProfile, apply_crop, find_signer, signer_profile
from glossfree.video.timeline import FEWEST, SAME_RATE, Sampling, Timeline, evenly

OTHER_ASPECT = 1.05  # ratio of aspects above which a clip is cropped: stretched by 1.06, the demo loses 6 BLEU-4
MORE_STILLNESS = 0.2  # seconds by which stillness must exceed the longest of training to be trimmed
LONGER = 1.5  # times the longest training clip: longer clips probably hold several sentences
ASSUMED_RATE = f"images are taken as {FPS:g} frames/s: fps (--fps) says otherwise"
PREVIEW = 1500  # frames of the first pass, at most
PREVIEW_HEIGHT = 240  # pixels of the frames in which the signer is looked for
SIGNER_FRAMES = 32  # frames in which the signer is looked for
LOOKED_AT = 48  # training clips that are read for a profile, spread evenly over the split
LONGEST = 600  # frames: longer clips are not read for a profile, to save memory
HEIGHT = 48  # pixels of the small grey frames that show stillness and light
JOINTS = "joints"  # of a profile: the names of the keypoints that training had
MOVES = 0.25  # share of the way from the stillest to the liveliest frames above which a frame moves


@dataclass(frozen=True)
class ModelClip:
    """Frames (T, 3, size, size) uint8 RGB as the model sees them, T as in training, and facts about the clip.

    `num_frames`, average `fps`, `seconds` and `aspect` describe the original clip; `start`: seconds from the video's
    first frame. `trimmed`: seconds of stillness cut off at the start and at the end. `crop`: the part of the picture
    that was used, None for all of it. `notes`: lines that a reader of the translation should know.
    `keypoints` (T, J, 3) of the frames, for a model that reads them.
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
    keypoints: np.ndarray | None = None


@dataclass(frozen=True)
class Intake:
    """Turns clips into a model's input; `profile`: that of its training clips ({}: unknown).

    `view`, `sampling` and `num_joints` (J, 0: the model reads no keypoints) are the recipe's. Nothing is augmented.
    `image_fps`: frames per second of folders of images, 0: not given.
    `_crops` holds the signer's place in the last KEPT videos.
    """

    view: View
    sampling: Sampling
    fit: Fit = "stretch"
    profile: dict[str, Any] = field(default_factory=dict)
    num_joints: int = 0
    image_fps: float = 0.0
    _crops: dict[tuple[Path, int, int], Crop] = field(default_factory=dict, repr=False, compare=False)

    def read(self, path: Path, segment: Segment | None = None, poses: Path | None = None) -> ModelClip:
        """A video file or folder of images, or a segment of it -> ModelClip. `poses`: see `_keypoints`.

        A clip of a prepared corpus gives bit-equal frames to training. Raises ClipError: cannot be read completely,
        fewer than FEWEST frames, a segment beyond the end.
        """
        size = self.view.frame_size
        is_packed = packed_size(path) == (size, size)
        reader = open_source(source_at(path, segment, self.image_fps))
        timeline = reader.timeline
        if len(timeline) < FEWEST:
            problem = f"too short to be signing: {len(timeline)} frame{'s' * (len(timeline) > 1)}"
            raise ClipError(problem, where=path, remedy=f"use a clip of at least {FEWEST} frames")
        numbers = timeline.at_rate(self.sampling.fps)
        first, last, crop, aspect = self._preview(path, reader, numbers, is_packed)
        kept = numbers[first:last]
        sampled = kept[self.sampling.sample(len(kept))]
        if is_packed and segment is None:
            frames = read_clip(path, sampled)
        else:
            whole = reader.read(sampled, fitted(size, self.fit) if crop is None else None)
            pictures = (frame if crop is None else apply_crop(frame, crop) for frame in whole)
            frames = np.stack([fit_frame(picture, size, self.fit) for picture in pictures])
        matrix, keypoints = draw_affine(self.view), None
        if self.num_joints:
            points = self._keypoints(path, segment, reader, poses, crop)[sampled]
            keypoints = warp_points(points, matrix, size, self.view.crop_size)
        rate = len(numbers) / timeline.seconds
        clip = ModelClip(
            frames=warp_frames(frames, matrix, self.view.crop_size),
            num_frames=len(timeline),
            fps=timeline.fps,
            start=reader.start,
            seconds=timeline.seconds,
            aspect=aspect,
            trimmed=(first / rate, (len(numbers) - last) / rate),
            crop=crop,
            keypoints=keypoints,
        )
        assumed = [ASSUMED_RATE] if path.is_dir() and not self.image_fps else []
        return replace(clip, notes=(*assumed, *self._notes(clip, is_whole=segment is None)))

    def _keypoints(
        self, path: Path, segment: Segment | None, reader: Reader, poses: Path | None, crop: Crop | None
    ) -> np.ndarray:
        """The keypoints (T, J, 3) of all frames of the reader, in fractions of a frame that is cropped and square.

        They are those of the file `poses`, else of the prepared corpus that the clip lies in, else of NAME.pose beside.
        Raises ClipError: none, of other joints than training's, longer or shorter than the video.
        """
        stored = None if poses or segment else stored_beside(path, reader.timeline)
        if stored is not None:
            keypoints = stored
        else:
            file = poses or pose_file(path)
            if not file.is_file():
                remedy = "translate: --poses FILE, or write that file; docs/data.md, Keypoints"
                raise ClipError(f"the model reads keypoints, and there is no {file.name}", where=path, remedy=remedy)
            whole = open_source(source_at(path, fps=self.image_fps)).timeline
            keypoints = beside(read_pose(file), whole, str(file))
        usual = self.profile.get(JOINTS)
        if len(keypoints.joints) != self.num_joints or (usual and tuple(usual) != keypoints.joints):
            problem = f"its {len(keypoints.joints)} joints are not the {self.num_joints} of training"
            raise ClipError(problem, where=poses or path, remedy="make them with the tool that training's are from")
        if crop is not None:
            keypoints = keypoints.cropped(crop.left, crop.top, crop.width, crop.height)
        return keypoints.packed(reader.timeline, self.fit, reader.start if segment else 0.0)

    def _preview(
        self, path: Path, reader: Reader, numbers: np.ndarray, is_packed: bool
    ) -> tuple[int, int, Crop | None, float]:
        """A first pass over small frames -> the frames [first, last) to keep, the crop, and width / height."""
        # Without a profile there is nothing to compare with: one frame shows the aspect.
        seen = numbers[evenly(len(numbers), PREVIEW if self.profile else 1)]
        every = max(1, len(seen) // SIGNER_FRAMES)
        # Filled in place: small arrays kept between large short-lived ones would leave holes in memory.
        small, larger = np.empty((0, 0, 0), np.float32), []
        for number, preview in enumerate(reader.read(seen, preview_size)):
            (grey_frame,) = grey([preview])
            if not number:
                small = np.empty((len(seen), *grey_frame.shape), np.float32)
            small[number] = grey_frame
            if number % every == 0:
                larger.append(preview)
        aspect = reader.aspect
        first, last = self._trim(small, reader.timeline, seen, len(numbers))
        usual = self.profile.get("aspect", (0, 0, 0))[1]
        if is_packed or not usual or max(aspect / usual, usual / aspect) <= OTHER_ASPECT:
            return first, last, None, aspect
        status = path.stat()
        version = (path, status.st_size, status.st_mtime_ns)  # the same name may be recorded again
        if version not in self._crops:
            if len(self._crops) == KEPT:  # a server reads thousands of videos
                del self._crops[next(iter(self._crops))]
            self._crops[version] = find_signer(np.stack(larger), self.profile.get("signer"), usual)
        return first, last, self._crops[version], aspect

    def _trim(self, small: np.ndarray, timeline: Timeline, seen: np.ndarray, count: int) -> tuple[int, int]:
        """The frames [first, last) of `count` after cutting off stillness that training did not have."""
        usual = self.profile.get("rest")
        if not usual:
            return 0, count
        still = measure_stillness(small, Timeline(timeline.times[seen], timeline.seconds))
        rate = count / timeline.seconds
        start, end = (
            round((seconds - median) * rate) if seconds > longest + MORE_STILLNESS else 0
            for seconds, (median, longest) in zip(still, (usual["start"], usual["end"]), strict=True)
        )
        return start, count - end

    def _notes(self, clip: ModelClip, *, is_whole: bool) -> Iterator[str]:
        fps = self.sampling.fps
        if not fps:
            yield f"the model does not say its frame rate: the clip's {clip.fps:g} frames/s are used as they are"
        elif clip.fps < fps * (1 - SAME_RATE):
            yield f"{clip.fps:g} frames/s, and the model was trained at {fps:g}: frames are repeated"
        if any(clip.trimmed):
            yield "stillness cut off: {:.1f} s at the start, {:.1f} s at the end".format(*clip.trimmed)
        if clip.crop is not None:
            usual = self.profile["aspect"][1]
            yield f"width / height is {clip.aspect:.2f}, training's {usual:.2f}: cropped around the signer"
        shortest, _, longest = self.profile.get("seconds", (0, 0, 0))
        if is_whole and clip.seconds < shortest * (1 - SAME_RATE):
            lengths = f"{clip.seconds:.1f} s long, the shortest clip of training {shortest:.1f} s"
            yield f"{lengths}: is the sentence complete, and the rate right?"
        if longest and clip.seconds > LONGER * longest:
            lengths = f"{clip.seconds:.0f} s long, the longest clip of training {longest:.1f} s"
            yield f"{lengths}: more than one sentence? Cut it with --segments or --window"


def profile_of(manifest: Manifest) -> dict[str, Any]:
    """A prepared corpus -> the profile of its training clips, or of all clips if it has no training split.

    {"clips", "fps": [lowest, highest], "seconds": [shortest, median, longest], "aspect" and "light" (0 to 255):
    [low, median, high], "rest": {"start" and "end": [median, longest]} in seconds, "signer": see `video.signer`};
    unknown entries are missing.
    """
    clips = [clip for clip in manifest.clips if clip.split == "train"] or list(manifest.clips)
    rates = [clip.fps for clip in clips]
    profile: dict[str, Any] = {
        "clips": len(clips),
        "fps": [min(rates), max(rates)],
        "seconds": _spread([clip.num_frames / clip.fps for clip in clips], 0, 100),
    }
    if aspects := [clip.aspect for clip in clips if clip.aspect]:
        profile["aspect"] = _spread(aspects, 5, 95)
    stillness: list[tuple[float, float]] = []
    light: list[float] = []

    def frames_of_some() -> Iterator[np.ndarray]:
        short = [clip for clip in clips if clip.num_frames <= LONGEST]
        for clip in (short[number] for number in evenly(len(short), LOOKED_AT)):
            try:
                frames = read_clip(clip.source(manifest.folder))
            except ClipError:
                continue
            small = grey(list(frames))
            stillness.append(measure_stillness(small, Timeline.of(clip)))
            light.append(float(small.mean()))
            yield frames

    signer = signer_profile(frames_of_some(), profile.get("aspect", (0, 1, 0))[1])
    if signer is not None:
        starts, ends = zip(*stillness, strict=True)
        profile["light"] = _spread(light, 5, 95)
        profile["rest"] = {"start": _spread(starts, 50, 100)[1:], "end": _spread(ends, 50, 100)[1:]}
        profile["signer"] = signer
    return profile


def validate_profile(values: Any) -> dict[str, Any]:
    """A profile read from a file -> the same. Raises ValueError if it is invalid."""
    try:
        for name, size in {"fps": 2, "seconds": 3, "aspect": 3, "light": 3}.items():
            if name in values and not (len(values[name]) == size and np.isfinite(values[name]).all()):
                raise ValueError(f"{name} is {values[name]!r}")
        for end in ("start", "end") if "rest" in values else ():
            usual, longest = values["rest"][end]
            if not 0 <= usual <= longest:
                raise ValueError(f"rest is {values['rest']!r}")
        joints = values.get(JOINTS, [])
        if not isinstance(joints, list) or not all(isinstance(joint, str) for joint in joints):
            raise ValueError(f"joints are {joints!r}")
        if values.get("signer") is not None:
            SignerProfile.from_dict(values["signer"])
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not a profile of training clips ({error})") from error
    return dict(values)


def preview_size(width: int, height: int) -> tuple[int, int]:
    """(Width, height) of a frame -> the same at most PREVIEW_HEIGHT pixels high."""
    small = min(PREVIEW_HEIGHT, height)
    return max(1, round(small * width / height)), small


def grey(frames: Sequence[np.ndarray]) -> np.ndarray:
    """Frames (H, W, 3) uint8 -> small (T, HEIGHT, w) float32, which averages out camera noise."""
    width = max(8, round(HEIGHT * frames[0].shape[1] / frames[0].shape[0]))
    small = [cv2.resize(frame, (width, HEIGHT), interpolation=cv2.INTER_AREA) for frame in frames]
    return np.stack([cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in small]).astype(np.float32)


def measure_stillness(frames: np.ndarray, timeline: Timeline) -> tuple[float, float]:
    """Small grey frames (T, h, w) -> seconds of stillness before the signing begins, and after it has ended.

    A frame moves if its 99th percentile of pixel changes clearly exceeds that of the stillest frames of the clip. A
    clip in which nothing moves has no signing, and so no stillness around it.
    """
    if len(frames) < 4:
        return 0.0, 0.0
    changes = np.array([np.percentile(np.abs(b - a), 99) for a, b in pairwise(frames)])
    low, high = np.percentile(changes, [5, 75])
    moving = np.flatnonzero(changes > low + MOVES * (high - low))
    if not len(moving):
        return 0.0, 0.0
    first, last = int(moving[0]), int(moving[-1]) + 1
    return float(timeline.times[first]), float(timeline.seconds - timeline.times[last])


def _spread(values: Sequence[float], low: float, high: float) -> list[float]:
    """[low percentile, median, high percentile] of values."""
    return [round(float(value), 3) for value in np.percentile(values, [low, 50, high])]
