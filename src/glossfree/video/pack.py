"""Frames of one clip <-> one small video file: H.264 in MP4, which every player and browser opens.

T frames, H x W pixels. Figures behind the choice: docs/data.md (`python -m benchmarks formats` prints them).
No B-frames and a key frame every KEY_INTERVAL frames: packets lie in the order of the frames, and reading a few frames
decodes no more than the groups they lie in. One thread each way: clips are read and written in parallel processes.

H.264's 4:2:0 colour needs even sizes. Odd ones are written with their last row or column doubled, and the true size
stands in the file's `comment`; reading cuts it back.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import cv2
import numpy as np

from glossfree.errors import ClipError, CorpusError

SUFFIX = ".mp4"
CODEC = "libx264"
KEY_INTERVAL = 12
OPTIONS = {"crf": "16", "g": str(KEY_INTERVAL), "keyint_min": str(KEY_INTERVAL), "bf": "0", "tune": "fastdecode"}
SETTINGS = "h264-1"  # part of every fingerprint: change it with anything that changes the bytes


def write_clip(path: str | Path, frames: np.ndarray, fps: float) -> None:
    """Write frames (T, H, W, 3) uint8 RGB at `fps` frames per second, the whole file or nothing.

    Raises ValueError on another shape or type, CorpusError if the file cannot be written.
    """
    path = Path(path)
    data = encode(frames, fps)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(data)
        temporary.replace(path)
    except OSError as error:
        raise CorpusError(
            f"cannot be written ({error.strerror})", where=path, remedy="check space and rights, then run it again"
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def encode(frames: np.ndarray, fps: float, *, codec: str = CODEC, options: dict[str, str] | None = None) -> bytes:
    """Frames (T, H, W, 3) uint8 RGB -> the bytes of a video file. Raises ValueError on another shape or type."""
    if frames.ndim != 4 or frames.shape[3] != 3 or frames.dtype != np.uint8 or not frames.size:
        raise ValueError(f"(T,H,W,3) uint8 frames expected, got {frames.shape} {frames.dtype}")
    height, width = frames.shape[1:3]
    even = np.pad(frames, ((0, 0), (0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        rate = Fraction(fps).limit_denominator(1001)
        stream = cast(av.VideoStream, container.add_stream(codec, rate=rate, options=options or OPTIONS))
        stream.width, stream.height, stream.pix_fmt = even.shape[2], even.shape[1], "yuv420p"
        stream.codec_context.thread_count = 1
        container.metadata["comment"] = f"size={width}x{height}"
        for frame in even:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return buffer.getvalue()


def read_clip(path: str | Path, indices: Sequence[int] | np.ndarray | None = None) -> np.ndarray:
    """Read a packed clip, or only its frames `indices` (any order, repeats allowed) -> (T, H, W, 3) uint8 RGB.

    Equal to `read_clip(path)[indices]`, cheaper. Raises ClipError: missing, damaged, an index beyond the end.
    """
    try:
        return _read(str(path), None if indices is None else [int(index) for index in indices])
    except (av.FFmpegError, OSError, IndexError) as error:
        raise ClipError(
            f"packed clip cannot be read ({error})", where=path, remedy="delete it and run glossfree prepare again"
        ) from error


def _read(path: str, indices: list[int] | None) -> np.ndarray:
    wanted = None if indices is None else set(indices)
    if wanted is not None and wanted and min(wanted) < 0:
        raise IndexError(f"frame {min(wanted)} of a clip")
    found: dict[int, np.ndarray] = {}
    with av.open(path, metadata_errors="ignore") as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        size = re.search(r"size=(\d+)x(\d+)", container.metadata.get("comment", ""))
        width, height = map(int, size.groups()) if size else (stream.width, stream.height)
        last = max(wanted) if wanted else None
        for index, frame in enumerate(container.decode(stream)):
            if wanted is None or index in wanted:
                found[index] = cv2.cvtColor(frame.to_ndarray(), cv2.COLOR_YUV2RGB_I420)[:height, :width]
            if index == last:
                break
    if indices is None:
        return np.stack(list(found.values()))
    missing = sorted(set(indices) - set(found))
    if missing:
        raise IndexError(f"frame {missing[0]} of a clip")
    return np.stack([found[index] for index in indices]) if indices else np.empty((0, height, width, 3), np.uint8)
