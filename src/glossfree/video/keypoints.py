"""Keypoints of a signer, a row for each packed frame: from drawings, exact, or from `.pose` files.

T frames, J joints; a point is (x, y, confidence). x and y are fractions of the picture: 0 and 1 are its edges. A point
that was not seen is (0, 0, 0). `OUT/poses/` holds `poses.json` (joints, source, version) and one safetensors file per
clip with rows (T, J, 3) float32. `.pose` files are those of pose-format (an extra): any estimator can write them.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch

from glossfree import __version__
from glossfree.console import Console, Result
from glossfree.corpora.manifest import Clip, FrameFolder, Manifest, PackedClip, PosedDrawing, VideoFile
from glossfree.errors import ClipError, CorpusError, GlossfreeError
from glossfree.video.container import describe_clip
from glossfree.video.decode import open_source
from glossfree.video.features import FrameStore, clip_identities
from glossfree.video.frames import Fit
from glossfree.video.pack import make_clean_folder
from glossfree.video.timeline import BEYOND, Timeline

POSES, SUFFIX = "poses", ".pose"
WORLD = "_WORLD_LANDMARKS"  # a second copy of MediaPipe's joints, in metres
DAMAGES = (OSError, ValueError, TypeError, IndexError, KeyError, MemoryError, struct.error)  # of pose-format's reader
FEW = 1.5  # frames by which a file of keypoints may be longer or shorter than its video, or BEYOND seconds


@dataclass(frozen=True)
class Keypoints:
    """Points (T, J, 3) float32 of the `joints`, when they are shown, and width / height of the picture (1: square)."""

    points: np.ndarray
    joints: tuple[str, ...]
    timeline: Timeline
    aspect: float = 1.0

    def packed(self, timeline: Timeline, fit: Fit, start: float = 0.0) -> np.ndarray:
        """Points (T', J, 3) of the frames of a packed clip, which begins at second `start`, as `fit_frame` fits it."""
        points: np.ndarray = self.points[self.timeline.shown_in(timeline, start)]
        if fit == "stretch" or self.aspect == 1:
            return points
        # "pad" shrinks the shorter side, "crop" enlarges the longer one
        is_shorter = np.array([self.aspect < 1, self.aspect > 1])
        ratio = max(self.aspect, 1 / self.aspect)
        scale = np.where(is_shorter, 1 / ratio, 1.0) if fit == "pad" else np.where(is_shorter, 1.0, ratio)
        return _unseen_as_zeros(np.concatenate([(points[..., :2] - 0.5) * scale + 0.5, points[..., 2:]], axis=-1))


def _unseen_as_zeros(points: np.ndarray) -> np.ndarray:
    """Points (T, J, 3) of any kind -> float32, confidence in [0, 1]; (0, 0, 0) where it is 0 or a number is missing."""
    points = np.where(np.isfinite(points).all(axis=-1, keepdims=True), points, 0.0)
    points[..., 2] = points[..., 2].clip(0, 1)
    return np.where(points[..., 2:] > 0, points, 0.0).astype(np.float32)


def drawn_keypoints(drawing: PosedDrawing, fps: float) -> Keypoints:
    """The keypoints of a drawing, each with confidence 1."""
    points = drawing.keypoints()
    points = np.concatenate([points, np.ones_like(points[..., :1])], axis=-1).astype(np.float32)
    return Keypoints(points, drawing.joints, Timeline.constant(len(points), fps))


def read_pose(path: Path, clip_id: str = "") -> Keypoints:
    """A `.pose` file -> the keypoints of the person that it is surest of, without a 3-D copy of them.

    Raises ClipError: missing, damaged, empty; GlossfreeError without pose-format.
    """
    try:
        from pose_format import Pose
    except ImportError as error:
        remedy = 'pip install "glossfree[poses]"'
        raise GlossfreeError("reading .pose files needs pose-format", where=path, remedy=remedy) from error
    where, remedy = describe_clip(path, clip_id), "make it again with the tool that wrote it, or drop the clip"
    try:
        pose = Pose.read(path.read_bytes())
        data, confidence = np.ma.filled(pose.body.data.astype(np.float64), np.nan), np.asarray(pose.body.confidence)
        size, fps = (float(pose.header.dimensions.width), float(pose.header.dimensions.height)), float(pose.body.fps)
    except FileNotFoundError as error:
        remedy = f"put the keypoints of each clip into a {SUFFIX} file of its name"
        raise ClipError("no such file", where=where, remedy=remedy) from error
    except DAMAGES as error:
        raise ClipError(f"not a readable {SUFFIX} file ({error})", where=where, remedy=remedy) from error
    if not (0 < fps < np.inf and min(size) > 0):
        raise ClipError(f"{fps:g} frames/s of {size[0]:g} x {size[1]:g} pixels", where=where, remedy=remedy)
    named = [(each.name, point) for each in pose.header.components for point in each.points]
    kept = [row for row, (name, _) in enumerate(named) if not name.endswith(WORLD)]
    if not kept or not data.size:
        raise ClipError("no keypoints in it", where=where, remedy=remedy)
    surest = int(np.nan_to_num(confidence).mean(axis=(0, 2)).argmax())
    points = np.concatenate([data[:, surest, kept, :2] / size, confidence[:, surest, kept, None]], axis=-1)
    points = _unseen_as_zeros(points)
    if not points.any():
        raise ClipError("no keypoint is seen in any frame", where=where, remedy=remedy)
    joints = tuple(f"{named[row][0]}.{named[row][1]}" for row in kept)
    return Keypoints(points, joints, Timeline.constant(len(points), fps), size[0] / size[1])


def beside(keypoints: Keypoints, video: Timeline, where: str) -> Keypoints:
    """The keypoints of a video with its own times. Raises ClipError if they are longer or shorter than it is."""
    own = keypoints.timeline
    if abs(own.seconds - video.seconds) > max(BEYOND, FEW / video.fps):
        lengths = [f"{len(each)} frames at {each.fps:g}/s ({each.seconds:.2f} s)" for each in (own, video)]
        remedy = "make it again from this video, with its frame rate"
        raise ClipError(f"{lengths[0]} of keypoints, {lengths[1]} of video", where=where, remedy=remedy)
    same = video if len(own) == len(video) else own
    return Keypoints(keypoints.points, keypoints.joints, same, keypoints.aspect)


def keypoints_of_clip(clip: Clip, packed: PackedClip, fit: Fit) -> tuple[np.ndarray, tuple[str, ...]]:
    """A clip of a corpus -> points (T, J, 3) of its packed frames, and the joints. Raises ClipError.

    Those of a drawing are exact; those of a video or a folder of frames lie beside it: `NAME.pose`, for all of it.
    """
    source, start = clip.source, 0.0
    if isinstance(source, VideoFile | FrameFolder):
        path = source.path.with_suffix(SUFFIX) if isinstance(source, VideoFile) else Path(f"{source.path}{SUFFIX}")
        keypoints = read_pose(path, clip.id)
        video = open_source(replace(source, segment=None), clip.id, clip.fps).timeline
        keypoints = beside(keypoints, video, describe_clip(path, clip.id))
        if source.segment is not None:
            start = open_source(source, clip.id, clip.fps).start
    elif isinstance(source, PosedDrawing):
        keypoints = drawn_keypoints(source, clip.fps or source.fps)
    else:
        raise ClipError("a drawing without keypoints", where=f"clip {clip.id}", remedy="prepare without --poses")
    return keypoints.packed(Timeline.of(packed), fit, start), keypoints.joints


@dataclass(frozen=True)
class KeypointStore(FrameStore):
    """The keypoints of a prepared folder, rows (J, 3). `joints`: their names."""

    what: ClassVar[str] = "keypoints"
    about: ClassVar[str] = "poses.json"
    corpus: Path
    joints: tuple[str, ...]
    remedy: str = "glossfree prepare again with --poses, or glossfree poses CORPUS --root FOLDER"

    @property
    def folder(self) -> Path:
        """The folder of the files."""
        return self.corpus / POSES

    @property
    def row(self) -> tuple[int, ...]:
        """(J, 3)"""
        return (len(self.joints), 3)

    @classmethod
    def of(cls, corpus: Path) -> KeypointStore:
        """The keypoints that a prepared folder has. Raises CorpusError if it has none."""
        store = cls(corpus, ())
        if not (store.folder / cls.about).is_file():
            raise CorpusError(store.none_here(), where=corpus, remedy=store.remedy)
        joints = store.described().get("joints")
        if not isinstance(joints, list) or not joints or not all(isinstance(joint, str) for joint in joints):
            raise CorpusError("names no joints", where=store.folder / cls.about, remedy=store.remedy)
        return cls(corpus, tuple(joints))


def read_keypoints(manifest: Manifest, root: Path, console: Console) -> PosesReport:
    """A prepared folder, and a folder of `.pose` files, made of its clips or their sources -> its keypoints.

    The file of a clip is `ROOT/SPLIT/ID.pose` or `ROOT/ID.pose`. Raises CorpusError as `write_keypoints`.
    """
    if not root.is_dir():
        raise CorpusError("no such folder", where=root, remedy=f"--root is the folder of the {SUFFIX} files")

    def read(clip: PackedClip) -> tuple[np.ndarray, tuple[str, ...]]:
        in_split, timeline = root / clip.split / f"{clip.id}{SUFFIX}", Timeline.of(clip)
        path = in_split if in_split.is_file() else root / in_split.name
        keypoints = beside(read_pose(path, clip.id), timeline, describe_clip(path, clip.id))
        return keypoints.packed(timeline, manifest.corpus.get("fit", "stretch")), keypoints.joints

    return write_keypoints(manifest, read, {"source": f"{SUFFIX} files"}, console)


@dataclass(frozen=True)
class PosesReport(Result):
    """What was written, and which clips have no keypoints."""

    folder: str
    written: int
    joints: int
    bad: tuple[tuple[str, str], ...]  # (clip id, problem)

    @property
    def exit_code(self) -> int:
        """1 if a clip has none."""
        return int(bool(self.bad))

    def to_text(self) -> str:
        """A line for people, and one for each clip without keypoints."""
        lines = [f"{self.folder}: keypoints of {self.written} clips, {self.joints} joints"]
        return "\n".join([*lines, *(f"without: {problem}" for _, problem in self.bad)])


def write_keypoints(
    manifest: Manifest,
    read: Callable[[PackedClip], tuple[np.ndarray, tuple[str, ...]]],
    about: Mapping[str, str],
    console: Console,
) -> PosesReport:
    """Write the keypoints of every packed clip; `read` -> points (T, J, 3) and joints, or raises ClipError.

    `about`: their source, for `poses.json`, which is written last. Raises CorpusError: none could be read, full disk.
    """
    identities = clip_identities(manifest.folder, manifest.clips)
    store, bad = KeypointStore(manifest.folder, ()), dict[str, ClipError]()
    make_clean_folder(store.folder)
    (store.folder / store.about).unlink(missing_ok=True)
    with console.progress("keypoints", len(manifest.clips)) as advance:
        for clip in manifest.clips:
            try:
                points, joints = read(clip)
                if joints != (store.joints or joints):
                    problem = f"its {len(joints)} joints are not the {len(store.joints)} of the clips before it"
                    raise ClipError(problem, where=f"clip {clip.id}", remedy="make all with the same tool and settings")
                if not store.joints:
                    store = KeypointStore(manifest.folder, joints)
                store.write(clip, torch.from_numpy(points), identities[clip.id])
            except ClipError as error:
                bad[clip.id] = error
                store.drop(clip)
            advance(1)
    problems = tuple((clip, str(error)) for clip, error in bad.items())
    if not store.joints:
        raise CorpusError(f"none of {len(bad)} clips has keypoints; the first: {problems[0][1]}", where=manifest.folder)
    facts = {"joints": list(store.joints), **about, "glossfree": __version__}
    store.describe(facts, {clip: identities[clip] for clip in bad})
    return PosesReport(str(store.folder), len(manifest.clips) - len(bad), len(store.joints), problems)


def warp_points(points: np.ndarray, matrix: np.ndarray, frame_size: int, crop_size: int) -> np.ndarray:
    """Points (T, J, 3) of packed frames -> of their crop, as `warp_frames` maps pixels with the same matrix (2, 3).

    A point outside of the crop lies below 0 or above 1; one that was not seen stays (0, 0, 0).
    """
    pixels = points[..., :2] * frame_size - 0.5
    moved = (pixels - matrix[:, 2]) @ np.linalg.inv(matrix[:, :2]).T
    return _unseen_as_zeros(np.concatenate([(moved + 0.5) / crop_size, points[..., 2:]], axis=-1))
