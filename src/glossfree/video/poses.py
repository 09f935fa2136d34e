"""Keypoints of a signer from drawings, which are exact, and from `.pose` files, in the time of their video.

T frames, J joints; a point is (x, y, confidence). x and y are fractions of the picture: 0 and 1 are its edges. A point
that was not seen is (0, 0, 0). `.pose` files are those of pose-format (an extra): any estimator can write them.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file

from glossfree.corpora.manifest import Clip, FrameFolder, PackedClip, PosedDrawing, VideoFile
from glossfree.errors import ClipError, GlossfreeError
from glossfree.files.disk import read_json
from glossfree.video.container import describe_clip
from glossfree.video.decode import open_source
from glossfree.video.frames import Fit, unseen_as_zeros
from glossfree.video.timeline import BEYOND, Timeline

POSES, ABOUT, ROWS, SUFFIX = "poses", "poses.json", "rows", ".pose"
AVATAR = "avatar"
WORLD = "_WORLD_LANDMARKS"  # a second copy of MediaPipe's joints, in metres
# what pose-format's reader raises for a damaged file
DAMAGES = (
    *(OSError, ValueError, TypeError, AttributeError, IndexError, KeyError, ArithmeticError),
    *(MemoryError, NotImplementedError, struct.error),
)
FEW = 1.5  # frames by which a file of keypoints may be longer or shorter than its video, or BEYOND seconds


@dataclass(frozen=True)
class Keypoints:
    """Points (T, J, 3) float32 of the `joints`, when they are shown, and width / height of the picture (1: square)."""

    points: np.ndarray
    joints: tuple[str, ...]
    timeline: Timeline
    aspect: float = 1.0

    def cropped(self, left: float, top: float, width: float, height: float) -> Keypoints:
        """The keypoints in a part of the picture, which is given in fractions of it."""
        places = (self.points[..., :2] - (left, top)) / (width, height)
        points = unseen_as_zeros(np.concatenate([places, self.points[..., 2:]], axis=-1))
        return replace(self, points=points, aspect=self.aspect * width / height)

    def packed(self, timeline: Timeline, fit: Fit, start: float = 0.0) -> np.ndarray:
        """Points (T', J, 3) of the frames of a packed clip, which begins at second `start`, as `fit_frame` fits it."""
        points: np.ndarray = self.points[self.timeline.shown_in(timeline, start)]
        if fit == "stretch" or self.aspect == 1:
            return points
        # "pad" shrinks the shorter side, "crop" enlarges the longer one
        is_shorter = np.array([self.aspect < 1, self.aspect > 1])
        ratio = max(self.aspect, 1 / self.aspect)
        scale = np.where(is_shorter, 1 / ratio, 1.0) if fit == "pad" else np.where(is_shorter, 1.0, ratio)
        return unseen_as_zeros(np.concatenate([(points[..., :2] - 0.5) * scale + 0.5, points[..., 2:]], axis=-1))


def pose_file(video: Path) -> Path:
    """A video file or a folder of frames -> the file of its keypoints beside it."""
    return Path(f"{video}{SUFFIX}") if video.is_dir() else video.with_suffix(SUFFIX)


def drawn_keypoints(drawing: PosedDrawing, fps: float) -> Keypoints:
    """The keypoints of a drawing, each with confidence 1."""
    points = drawing.keypoints()
    points = np.concatenate([points, np.ones_like(points[..., :1])], axis=-1).astype(np.float32)
    joints = tuple(f"{AVATAR}.{joint}" for joint in drawing.joints)  # as a .pose file with such a component has them
    return Keypoints(points, joints, Timeline.constant(len(points), fps))


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
    points = unseen_as_zeros(points)
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
        path = pose_file(source.path)
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


def stored_beside(packed: Path, timeline: Timeline) -> Keypoints | None:
    """A packed clip, OUT/clips/SPLIT/ID.mp4 -> its keypoints in OUT/poses; None without any. Raises ClipError."""
    folder = packed.parent.parent.parent / POSES
    path = folder / packed.parent.name / f"{packed.stem}.safetensors"
    if not path.is_file() or not (folder / ABOUT).is_file():
        return None
    try:
        return Keypoints(load_file(path)[ROWS], tuple(read_json(folder / ABOUT)["joints"]), timeline)
    except (OSError, SafetensorError, KeyError, TypeError) as error:
        remedy = "make the keypoints of its corpus again"
        raise ClipError(f"keypoints cannot be read ({error})", where=path, remedy=remedy) from error
