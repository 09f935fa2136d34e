"""Read a video file without decoding it: its streams, the times of its frames, whether bytes are missing.

A file counts as truncated only if its index or its headers refer to bytes that do not exist. The stated duration (sound
may be longer than the picture) and the stated rate prove nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import av
import cv2
import numpy as np
from av.stream import Disposition

from glossfree.corpora.manifest import LONGEST
from glossfree.errors import ClipError, os_errors_as
from glossfree.video.timeline import Timeline, timeline_from_times

FPS = 25.0  # if neither the clip nor its source states a rate
HIDDEN_FRAMES = frozenset({"vp8"})  # codecs that have packets without a visible frame: frames are counted by decoding
SLACK = 16  # bytes by which a header may be wrong
COPY_AGAIN = "copy or download the file again"
PROBE_BYTES = "500000"  # that FFmpeg may read to open a file for its header only
KEPT = 32  # files whose packet times are cached: a recording of hours is cut into hundreds of segments
NO_PTS = np.iinfo(np.int64).min  # marks a packet or frame without a time
# containers that people send; no playlists and lists of files, for which FFmpeg opens other files and addresses
CONTAINERS = "mov,matroska,avi,mpegts,mpeg,mpegvideo,flv,asf,ogg,gif,h264,hevc,m4v,ivf,mxf"
IN_MP4, IN_WEBM = ("h264", "av1"), ("vp8", "vp9", "av1")  # codecs that browsers play
FFMPEG_ERRORS = (av.FFmpegError, OSError, ValueError)


@dataclass(frozen=True)
class VideoInfo:
    """What a container states: size in upright pixels, frames, frames per second, seconds (0: not stated)."""

    width: int
    height: int
    num_frames: int
    fps: float
    seconds: float = 0.0


@dataclass(frozen=True)
class Scan:
    """The frames of a file by their packets: `timeline`, and `pts` (T,) in ticks of the stream, ascending.

    `pts` is None if the packets have no usable times: the frames can only be counted.
    """

    timeline: Timeline
    pts: np.ndarray | None


def describe_clip(path: str | Path, clip_id: str = "") -> str:
    """The place of an error: the clip, if it has an id, and its file."""
    return f"clip {clip_id} ({path})" if clip_id else str(path)


def reason(error: Exception) -> str:
    """The message of a library's error, in a few words."""
    return getattr(error, "strerror", None) or str(error)


@contextmanager
def open_video(
    path: Path, *, header_only: bool = False
) -> Iterator[tuple[av.container.InputContainer, av.VideoStream]]:
    """A video file -> its container and its first video stream, cover pictures aside.

    With `header_only` FFmpeg decodes no frame to open the file, which is twice as fast.
    Raises ClipError: missing, empty, not a video, no video stream.
    """
    with os_errors_as(ClipError, "cannot be read", where=path, remedy="check the path"):
        size = path.stat().st_size if path.is_file() else None
    if not size:
        missing, empty = ("no such video file", "correct the path"), ("the file is empty (0 bytes)", COPY_AGAIN)
        problem, remedy = missing if size is None else empty
        raise ClipError(problem, where=path, remedy=remedy)
    try:
        container = av.open(
            str(path),
            metadata_errors="ignore",  # one real file in thirty has broken metadata
            options={"skip_frame": "all"} if header_only else None,
            container_options={"probesize": PROBE_BYTES} if header_only else None,
        )
    except PermissionError as error:
        raise ClipError(f"cannot be read ({reason(error)})", where=path, remedy="check its rights") from error
    except FFMPEG_ERRORS as error:
        problem = f"not a video, or truncated ({reason(error)})"
        raise ClipError(problem, where=path, remedy=f"{COPY_AGAIN}, or drop the clip") from error
    with container:
        streams = [stream for stream in container.streams.video if stream.codec_context is not None]
        moving = [stream for stream in streams if not stream.disposition & Disposition.attached_pic]
        if not moving:
            covers = " but a cover picture" if streams else ""
            raise ClipError(f"no video stream in it{covers}", where=path, remedy="name a video, or drop the clip")
        yield container, moving[0]


def probe(path: str | Path) -> VideoInfo:
    """A video or image file -> what its header states. Raises ClipError like `open_video`."""
    with open_video(Path(path), header_only=True) as (container, stream):
        context, fps = stream.codec_context, stated_rate(stream)
        width, height = round(context.width * pixel_aspect(stream)), context.height
        if stream.duration and stream.time_base:
            seconds = float(stream.duration * stream.time_base)
        else:
            seconds = (container.duration or 0) / av.time_base
        num_frames = stream.frames or round(seconds * fps)
        if container.format.name.startswith("mov") and _is_on_its_side(Path(path)):
            width, height = height, width
        return VideoInfo(width, height, num_frames, fps, seconds)


def pixel_aspect(stream: av.VideoStream) -> float:
    """Width / height of a pixel: not 1 in recordings of old camcorders and broadcasts."""
    ratio = float(stream.sample_aspect_ratio or 1)
    return ratio if 0.2 < ratio < 5 else 1.0


def check_container(path: Path) -> None:
    """Check a stranger's file: raise ClipError unless its content, whatever its name, is one of CONTAINERS."""
    try:
        with av.open(str(path), metadata_errors="ignore", container_options={"format_whitelist": CONTAINERS}):
            pass
    except FFMPEG_ERRORS as error:
        problem = f"not a video, or truncated ({reason(error)})"
        raise ClipError(problem, where=path, remedy="use MP4, WebM, MOV, MKV or AVI, complete") from error


def plays_as(path: Path) -> str:
    """The media type as which browsers play and seek a file; "" if they cannot. Raises ClipError like `open_video`."""
    with open_video(path) as (container, stream):
        codec, form = stream.codec_context.name, container.format.name
        seekable = container.duration is not None  # None in WebM as browsers record it
        if not seekable or stream.codec_context.pix_fmt != "yuv420p":
            return ""
        if form.startswith("mov") and codec in IN_MP4:
            return "video/mp4"
        return "video/webm" if form.startswith("matroska") and codec in IN_WEBM else ""


def stated_rate(stream: av.VideoStream) -> float:
    """Frames per second: the average, else the guess, else 25."""
    rate = float(stream.average_rate or stream.guessed_rate or 0)
    return rate if 0 < rate < 1000 else FPS


def scan(path: Path, clip_id: str = "") -> Scan:
    """A video file -> when its frames are shown, from its packets.

    The last KEPT files are cached, since reading all packets of an hour takes seconds. Raises ClipError like
    `open_video`, and if the file is damaged or truncated or holds no frame.
    """
    try:
        status = path.stat()
        size, changed = status.st_size, status.st_mtime_ns
    except OSError:
        size = changed = 0  # `open_video` explains it
    try:
        return _scan(path, size, changed)
    except ClipError as error:
        raise ClipError(error.problem, where=describe_clip(path, clip_id), remedy=error.remedy) from error


@lru_cache(maxsize=KEPT)
def _scan(path: Path, size: int, _changed: int) -> Scan:
    with open_video(path) as (container, stream):
        packets = (packet for packet in container.demux(stream) if packet.size and not packet.is_discard)
        pts = _read_pts(packets, path, "reading")
        missing = missing_by_headers(path, size) if container.format.name.startswith(("matroska", "avi")) else 0
        ends = (entry.pos + entry.size for entry in stream.index_entries if entry.size > 0)
        missing = missing or max(ends, default=0) - size
        if missing > SLACK:
            problem = f"truncated: its index refers to {missing:,} bytes that do not exist"
            raise ClipError(problem, where=path, remedy=COPY_AGAIN)
        fps, tick, is_hiding = stated_rate(stream), stream.time_base, stream.codec_context.name in HIDDEN_FRAMES
    known = np.sort(pts)
    if len(pts) and tick and (is_hiding or not _are_usable(known)):
        with open_video(path) as (container, stream):
            stream.codec_context.thread_count = 1
            known = _read_pts(container.decode(stream), path, "decoding")
    if not len(known):
        raise ClipError("no frames in it", where=path, remedy=f"{COPY_AGAIN}, or drop the clip")
    if tick and _are_usable(known):
        scanned = Scan(timeline_from_times(known * float(tick), fps), known)
    else:
        scanned = Scan(Timeline.constant(len(known), fps), None)
    remedy = "write its times anew: ffmpeg -i OLD -vf setpts=N/25/TB NEW; or drop the clip"
    check_length(scanned.timeline, str(path), remedy)
    return scanned


def check_length(timeline: Timeline, where: str, remedy: str) -> None:
    """Raise ClipError for a clip that would last longer than LONGEST: resampled, it would fill the memory."""
    if timeline.seconds > LONGEST:
        problem = f"its times are wrong: {len(timeline):,} frames in {timeline.seconds / 3600:,.0f} hours"
        raise ClipError(problem, where=where, remedy=remedy)


def _read_pts(units: Iterable[av.Packet[av.VideoStream] | av.VideoFrame], path: Path, action: str) -> np.ndarray:
    """Times (T,) int64 of packets or frames in file order, NO_PTS for one without a time. Raises ClipError."""
    pts: list[int] = []
    try:
        for unit in units:
            pts.append(NO_PTS if unit.pts is None else unit.pts)
    except FFMPEG_ERRORS as error:
        problem = f"damaged or truncated: {action} fails after frame {len(pts)} ({reason(error)})"
        raise ClipError(problem, where=path, remedy=COPY_AGAIN) from error
    return np.array(pts, dtype=np.int64)


def _are_usable(pts: np.ndarray) -> bool:
    return NO_PTS not in pts and bool((np.diff(pts) > 0).all())


def missing_by_headers(path: Path, size: int) -> int:
    """Bytes that a Matroska, WebM or AVI header announces and the file lacks; 0 if it announces no size."""
    with path.open("rb") as file:
        head = file.read(4096)
    if head[:4] == b"RIFF":
        return max(0, 8 + int.from_bytes(head[4:8], "little") - size)
    length, start = _ebml_size(head, 4)  # after the identifier of the EBML header
    length, start = _ebml_size(head, start + length + 4)  # after that of the segment, which holds everything else
    return max(0, start + length - size)


def _ebml_size(data: bytes, place: int) -> tuple[int, int]:
    """EBML's variable-length size at `place` -> bytes of the element (0: unknown), and the start of its content."""
    first = data[place] if place < len(data) else 0
    width = 9 - first.bit_length() if first else 1
    unknown = (1 << 7 * width) - 1
    value = int.from_bytes(data[place : place + width], "big") & unknown
    return (0 if value == unknown else value), place + width


def _is_on_its_side(path: Path) -> bool:
    """Whether a file turns its video by 90 degrees, as phones do when held upright.

    OpenCV reads this from the header; PyAV knows it only after decoding a frame, which takes longer.
    """
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
    turn = capture.get(cv2.CAP_PROP_ORIENTATION_META)
    capture.release()
    return turn % 180 == 90
