"""All frames of a source at once, for tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from glossfree.corpora.manifest import Clip, FrameFolder, Segment, VideoFile
from glossfree.video.decode import Reader, open_source
from glossfree.video.frames import fit_frame


def all_frames(reader: Reader) -> np.ndarray:
    """(T, H, W, 3) uint8 RGB."""
    return np.stack(list(reader.read(range(len(reader.timeline)))))


def read_video(path: Path, segment: Segment | None = None) -> tuple[np.ndarray, float]:
    """Frames of a video file, and frames per second."""
    reader = open_source(VideoFile(path, segment))
    return all_frames(reader), reader.timeline.fps


def read_folder(path: Path, clip_id: str = "") -> np.ndarray:
    """Frames of a folder of images."""
    return all_frames(open_source(FrameFolder(path), clip_id))


def frames_of(clip: Clip, size: int) -> tuple[np.ndarray, float]:
    """Frames of a clip stretched to squares (T, size, size, 3), and frames per second."""
    reader = open_source(clip.source, clip.id, clip.fps, drawing_size=size)
    frames = [fit_frame(frame, size) for frame in reader.read(range(len(reader.timeline)))]
    return np.stack(frames), reader.timeline.fps
