"""What a video file says of itself without being decoded: its streams, when its frames are shown, what is missing.

A file is called truncated only on its own evidence: its index or its headers name bytes that are not there. Neither the
stated duration (sound may be longer than the picture) nor the stated rate is evidence of anything.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import av
import cv2
import numpy as np
from av.stream import Disposition

from glossfree.errors import ClipError
from glossfree.video.timeline import Timeline, timeline_of_stamps

FPS = 25.0  # where neither the clip nor its source says anything
HIDDEN_FRAMES = frozenset({"vp8"})  # codecs with packets that show nothing: their frames are counted by decoding
SLACK = 16  # bytes by which a header may be wrong
AGAIN = "copy or download the file again"
GLANCE = "500000"  # bytes that FFmpeg may read to know a file whose frames are not wanted
KEPT = 32  # files whose packet times are remembered: a recording of hours is cut into hundreds of segments


@dataclass(frozen=True)
class VideoInfo:
    """What a container states: pixels upright, frames and seconds (0: it does not say), frames per second."""

    width: int
    height: int
    num_frames: int
    fps: float
    seconds: float = 0.0


@dataclass(frozen=True)
class Scan:
    """The frames of a file by their packets: `timeline`, and `stamps` (T,) in ticks of the stream, ascending.

    `stamps` is None where the file gives its packets no usable times: its frames can only be counted.
    """

    timeline: Timeline
    stamps: np.ndarray | None


def place(path: str | Path, clip_id: str = "") -> str:
    """Where an error happened: the clip, if it has an id, and its file."""
    return f"clip {clip_id} ({path})" if clip_id else str(path)


def reason(error: Exception) -> str:
    """What a library's error says, in a few words."""
    return getattr(error, "strerror", None) or str(error)


@contextmanager
def opened(
    path: Path, clip_id: str = "", *, header_only: bool = False
) -> Iterator[tuple[av.container.InputContainer, av.VideoStream]]:
    """A video file -> its container and its first stream of moving pictures; cover pictures of sound are none.

    `header_only`: the frames will not be decoded, and FFmpeg decodes none to know the file, which is twice as fast.
    Raises ClipError: missing, empty, no video file, no such stream.
    """
    where = place(path, clip_id)
    try:
        size = path.stat().st_size if path.is_file() else None
    except OSError as error:
        raise ClipError(f"cannot be read ({reason(error)})", where=where, remedy="check the path") from error
    if size is None:
        raise ClipError("no such video file", where=where, remedy="correct the path")
    if size == 0:
        raise ClipError("the file is empty (0 bytes)", where=where, remedy=AGAIN)
    try:
        container = av.open(
            str(path),
            metadata_errors="ignore",  # one real file in thirty has broken metadata
            options={"skip_frame": "all"} if header_only else None,
            container_options={"probesize": GLANCE} if header_only else None,
        )
    except PermissionError as error:
        raise ClipError(f"cannot be read ({reason(error)})", where=where, remedy="check its rights") from error
    except (av.FFmpegError, OSError, ValueError) as error:
        problem = f"not a video, or truncated ({reason(error)})"
        raise ClipError(problem, where=where, remedy=f"{AGAIN}, or drop the clip") from error
    with container:
        streams = [stream for stream in container.streams.video if stream.codec_context is not None]
        moving = [stream for stream in streams if not stream.disposition & Disposition.attached_pic]
        if not moving:
            covers = " but a cover picture" if streams else ""
            raise ClipError(f"no video stream in it{covers}", where=where, remedy="name a video, or drop the clip")
        yield container, moving[0]


def probe(path: str | Path, *, clip_id: str = "") -> VideoInfo:
    """A video file -> what its container states, without decoding. Raises ClipError as `opened`."""
    with opened(Path(path), clip_id, header_only=True) as (container, stream):
        context, fps = stream.codec_context, stated_rate(stream)
        width, height = round(context.width * pixel_aspect(stream)), context.height
        if stream.duration and stream.time_base:
            seconds = float(stream.duration * stream.time_base)
        else:
            seconds = container.duration / av.time_base if container.duration else 0.0
        num_frames = stream.frames or round(seconds * fps)
        if container.format.name.startswith("mov") and _is_on_its_side(Path(path)):
            width, height = height, width
        return VideoInfo(width, height, num_frames, fps, seconds)


def pixel_aspect(stream: av.VideoStream) -> float:
    """Width / height of a pixel: not 1 in recordings of old camcorders and broadcasts."""
    ratio = float(stream.sample_aspect_ratio or 1)
    return ratio if 0.2 < ratio < 5 else 1.0


def stated_rate(stream: av.VideoStream) -> float:
    """Frames per second: the average, else the guess, else 25."""
    rate = float(stream.average_rate or stream.guessed_rate or 0)
    return rate if 0 < rate < 1000 else FPS


def scan(path: Path, clip_id: str = "") -> Scan:
    """A video file -> when its frames are shown, read off its packets.

    Raises ClipError: as `opened`, and where it is damaged or truncated, or holds no frame.
    The times of the last KEPT files are remembered: reading all packets of an hour takes seconds.
    """
    try:
        status = path.stat()
        size, changed = status.st_size, status.st_mtime_ns
    except OSError:
        size = changed = 0  # opening it says what is wrong
    try:
        return _scan(path, size, changed)
    except ClipError as error:
        raise ClipError(error.problem, where=place(path, clip_id), remedy=error.remedy) from error


@lru_cache(maxsize=KEPT)
def _scan(path: Path, size: int, _changed: int) -> Scan:
    with opened(path) as (container, stream):
        by_headers = container.format.name.startswith(("matroska", "avi"))
        missing = _missing_by_headers(path, size) if by_headers else 0
        stamps: list[int | None] = []
        try:
            for packet in container.demux(stream):
                if packet.size and not packet.is_discard:
                    stamps.append(packet.pts)
        except (av.FFmpegError, OSError, ValueError) as error:
            problem = f"damaged or truncated: reading fails after {len(stamps)} packets ({reason(error)})"
            raise ClipError(problem, where=path, remedy=AGAIN) from error
        if not missing:
            ends = (entry.pos + entry.size for entry in stream.index_entries if entry.size > 0)
            missing = max(0, max(ends, default=0) - size)
        if missing > SLACK:
            raise ClipError(
                f"truncated: its index names {missing:,} bytes that are not there", where=path, remedy=AGAIN
            )
        fps, tick, hidden = stated_rate(stream), stream.time_base, stream.codec_context.name in HIDDEN_FRAMES
    known = np.array(sorted(stamp for stamp in stamps if stamp is not None), dtype=np.int64)
    unusable = len(known) < len(stamps) or bool((np.diff(known) <= 0).any())
    if stamps and tick and (hidden or unusable):
        known = _stamps_by_decoding(path)
        unusable = len(known) == 0 or bool((known < 0).any()) or bool((np.diff(known) <= 0).any())
        stamps = [None] * len(known)
    if not stamps:
        raise ClipError("no frames in it", where=path, remedy=f"{AGAIN}, or drop the clip")
    if unusable or not tick:
        return Scan(Timeline.constant(len(stamps), fps), None)
    return Scan(timeline_of_stamps(known * float(tick), fps), known)


def _stamps_by_decoding(path: Path) -> np.ndarray:
    """Times of the frames that really come out of a file; -1 for a frame that carries none."""
    with opened(path) as (container, stream):
        stream.codec_context.thread_count = 1
        stamps = []
        try:
            for frame in container.decode(stream):
                stamps.append(-1 if frame.pts is None else frame.pts)
        except (av.FFmpegError, OSError, ValueError) as error:
            problem = f"damaged or truncated: decoding fails after frame {len(stamps)} ({reason(error)})"
            raise ClipError(problem, where=path, remedy=AGAIN) from error
    return np.array(stamps, dtype=np.int64)


def _missing_by_headers(path: Path, size: int) -> int:
    """Bytes that a Matroska, WebM or AVI file announces at its beginning and does not have; 0 if it does not say."""
    with path.open("rb") as file:
        head = file.read(4096)
    if head[:4] == b"RIFF":
        return max(0, 8 + int.from_bytes(head[4:8], "little") - size)
    place = 4  # behind the identifier of the EBML header
    length, width = _ebml_size(head, place)
    place += width + length + 4  # behind the identifier of the segment, which holds all the rest
    length, width = _ebml_size(head, place)
    return max(0, place + width + length - size)


def _ebml_size(data: bytes, place: int) -> tuple[int, int]:
    """EBML's variable-length size at `place` -> (bytes of the element, 0 = unknown; bytes of the size itself)."""
    first = data[place] if place < len(data) else 0
    width = 9 - first.bit_length() if first else 1
    value = int.from_bytes(data[place : place + width], "big") & ((1 << 7 * width) - 1)
    return (0 if value == (1 << 7 * width) - 1 else value), width


def _is_on_its_side(path: Path) -> bool:
    """Whether a file shows its video turned by a quarter, as a phone held upright records it.

    OpenCV reads this from the header; FFmpeg's binding only knows it once a frame is decoded, which takes longer.
    """
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
    turn = capture.get(cv2.CAP_PROP_ORIENTATION_META)
    capture.release()
    return turn % 180 == 90
