"""Frames of one clip <-> one video file (H.264 in MP4, which every player opens, or raw), and the journal of files.

T frames, H x W pixels. docs/data.md compares formats (`python -m benchmarks formats` prints the numbers).
There are no B-frames, and every KEY_INTERVAL-th frame is a key frame: packets have the order of the frames, and reading
a few frames decodes only their groups. One thread reads or writes a clip, since clips are processed in parallel.

Raw clips hold, in Matroska, the planes that H.264 compresses: they are read several times faster, and are many times
larger. 4:2:0 colour needs even sizes. Odd frames are written with their last row or column doubled; the file's
`comment` holds the true size, and reading crops to it.

The journal `packed.jsonl` has one line per packed file, with a fingerprint of what it was made from. Lines are appended
while packing goes on: a run killed at any moment loses at most the clips in progress.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from itertools import chain, islice
from pathlib import Path
from typing import Any, Literal, TypeVar

import av
import cv2
import numpy as np
from av.video.reformatter import Colorspace, VideoReformatter

from glossfree.corpora.manifest import Clip, FrameFolder, VideoFile, check_shard
from glossfree.errors import ClipError, CorpusError, os_errors_as
from glossfree.files.disk import LEFTOVERS, write_atomic
from glossfree.files.parts import Part, is_address
from glossfree.video.container import missing_by_headers
from glossfree.video.decode import as_planes, pixels_of
from glossfree.video.frames import Fit

T = TypeVar("T")
AT_ONCE = 32  # frames
Codec = Literal["h264", "raw"]
SUFFIX = ".mp4"
SUFFIXES: dict[Codec, str] = {"h264": SUFFIX, "raw": ".mkv"}
JOURNAL = "packed.jsonl"
KEY_INTERVAL = 12
TICK = Fraction(1, 90_000)  # seconds to which the times of a varying rate are rounded
QUALITY = 16  # x264's constant rate factor: brightness within 40 dB of the source even under camera noise
OPTIONS = {
    "crf": str(QUALITY),
    "preset": "veryfast",  # four times faster to write than "medium", and no slower to read
    "tune": "fastdecode",  # twice as fast to read, for a fifth more bytes
    "g": str(KEY_INTERVAL),
    "bf": "0",
}
RAW = "rawvideo"
BIT_EXACT = {"fflags": "+bitexact"}  # Matroska's identifiers are drawn at random
# Part of every fingerprint: change it together with anything that changes the bytes.
# 2: videos are scaled by FFmpeg.
SETTINGS: dict[Codec, str] = {"h264": f"h264-420-crf{QUALITY}-g{KEY_INTERVAL}-2", "raw": "raw-420-2"}


@dataclass(frozen=True)
class Packing:
    """How clips are packed: pixels of the square frames, how a frame becomes square, frames per second (0: its own),
    and how the file keeps them."""

    frame_size: int = 256
    fit: Fit = "stretch"
    fps: float = 0.0
    codec: Codec = "h264"


def write_clip(
    path: Path,
    frames: Iterable[np.ndarray],
    fps: float,
    times: Sequence[float] | np.ndarray | None = None,
    *,
    codec: Codec = "h264",
) -> None:
    """Write the video file that `encode` makes, atomically. Raises CorpusError if it cannot be written."""
    write_atomic(path, encode(frames, fps, times, codec=codec), parents=True)


def encode(
    frames: Iterable[np.ndarray | av.VideoFrame],
    fps: float,
    times: Sequence[float] | np.ndarray | None = None,
    *,
    codec: Codec = "h264",
    options: dict[str, str] = OPTIONS,
) -> bytes:
    """Frames (H, W, 3) uint8 RGB, or planes (see `read_squares`), at `fps` frames per second -> bytes of a video file.

    They are read AT_ONCE at a time: decoding and encoding in turns would take 4 % longer, for the processor's caches.
    `times`: seconds at which each frame is shown, where the rate varies; `options` are x264's. Raises ValueError
    without a frame or on another shape or type, and whatever `frames` raises.
    """
    buffer = io.BytesIO()
    groups = _groups(iter(frames))
    first = next(groups, [np.empty(0)])
    height, width = _size(first[0])
    convert = VideoReformatter()
    is_raw = codec == "raw"
    form, about = ("matroska", BIT_EXACT) if is_raw else ("mp4", {})
    with av.open(buffer, "w", format=form, container_options=about) as container:
        rate = Fraction(fps).limit_denominator(1001)
        stream = container.add_stream(RAW if is_raw else "libx264", rate=rate, options={} if is_raw else options)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = width + width % 2, height + height % 2, "yuv420p"
        stream.codec_context.thread_count = 1
        stream.codec_context.colorspace = Colorspace.ITU601  # as read_clip assumes; players would guess from the size
        if times is not None:
            stream.time_base = stream.codec_context.time_base = TICK
        container.metadata["comment"] = f"size={width}x{height}"
        for number, frame in enumerate(chain(first, chain.from_iterable(groups))):
            picture = _planes(convert, frame)
            if times is not None:
                picture.pts, picture.time_base = round(times[number] / TICK), TICK
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    return buffer.getvalue()


def _groups(frames: Iterator[T]) -> Iterator[list[T]]:
    while group := list(islice(frames, AT_ONCE)):
        yield group


def _size(frame: np.ndarray | av.VideoFrame) -> tuple[int, int]:
    """(Height, width) of a frame. Raises ValueError unless it is (H, W, 3) uint8, or planes."""
    if isinstance(frame, av.VideoFrame):
        return frame.height, frame.width
    if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8:
        raise ValueError(f"(H,W,3) uint8 frames expected, got {frame.shape} {frame.dtype}")
    return frame.shape[0], frame.shape[1]


def _planes(convert: VideoReformatter, frame: np.ndarray | av.VideoFrame) -> av.VideoFrame:
    """A frame as the encoder takes it, of its own: what was decoded brings its type, times and captions along."""
    if isinstance(frame, av.VideoFrame):
        copy = av.VideoFrame(frame.width, frame.height, "yuv420p")
        for plane, original in zip(copy.planes, frame.planes, strict=True):
            pixels_of(plane)[:] = pixels_of(original)
        return copy
    height, width = _size(frame)
    if height % 2 or width % 2:
        frame = np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    return as_planes(convert, av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24"))


def packed_size(path: str | Path) -> tuple[int, int] | None:
    """A video file -> (width, height) if `write_clip` wrote it, else None, also for unreadable files."""
    try:
        with av.open(str(path), metadata_errors="ignore") as container:
            return _true_size(container)
    except (av.FFmpegError, OSError):
        return None


def _true_size(container: av.container.InputContainer) -> tuple[int, int] | None:
    comment = container.metadata.get("comment", container.metadata.get("COMMENT", ""))
    size = re.fullmatch(r"size=(\d+)x(\d+)", comment)
    return (int(size[1]), int(size[2])) if size else None


class Scratch:
    """Memory for the frames of one clip after the other; what was read before is overwritten.

    New memory from the system for each clip would cost about as much time as reading a raw one.
    """

    def __init__(self) -> None:
        self._bytes = np.empty(0, np.uint8)

    def __reduce__(self) -> tuple[type[Scratch], tuple[()]]:
        return Scratch, ()

    def frames(self, *shape: int) -> np.ndarray:
        """An array (T, H, W, 3) uint8 of any content."""
        count = math.prod(shape)
        if count > len(self._bytes):
            self._bytes = np.empty(count, np.uint8)
        return self._bytes[:count].reshape(shape)


def read_clip(
    path: str | Path | Part, indices: Sequence[int] | np.ndarray | None = None, *, scratch: Scratch | None = None
) -> np.ndarray:
    """Read a packed clip, or only its frames `indices` (any order, repeats allowed) -> (T, H, W, 3) uint8 RGB.

    With `indices` it is a cheaper `read_clip(path)[indices]`; with `scratch` the frames lie there, until its next use.
    Raises ClipError: missing, damaged, index out of range.
    """
    try:
        if isinstance(path, Part):
            file: str | io.BytesIO = io.BytesIO(path.read())
        else:
            file = str(path)
            if Path(path).suffix == SUFFIXES["raw"] and missing_by_headers(Path(path), Path(path).stat().st_size) > 0:
                raise OSError("cut off")
        return _read(file, None if indices is None else [int(index) for index in indices], scratch or Scratch())
    except (av.FFmpegError, OSError, IndexError, ValueError, MemoryError) as error:
        remedy = "delete it and run glossfree prepare again"
        if isinstance(path, Part):
            remedy = "check its server and the network, or" if is_address(path.file) else "copy the shard again, or"
            remedy += " run glossfree prepare again where the corpus was packed"
        raise ClipError(f"packed clip cannot be read ({error})", where=str(path), remedy=remedy) from error


def _read(file: str | io.BytesIO, indices: list[int] | None, scratch: Scratch) -> np.ndarray:
    with av.open(file, "r", metadata_errors="ignore") as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        width, height = _true_size(container) or (stream.width, stream.height)
        packets = [packet for packet in container.demux(stream) if packet.size]
        if len(packets) < stream.frames:
            raise IndexError(f"it holds {len(packets)} of {stream.frames} frames")
        order = list(range(len(packets))) if indices is None else indices
        wanted = set(order)
        if wanted and not 0 <= min(wanted) <= max(wanted) < len(packets):
            raise IndexError(f"frames {min(wanted)} to {max(wanted)} of a clip of {len(packets)}")
        places: dict[int, list[int]] = {}
        for place, index in enumerate(order):
            places.setdefault(index, []).append(place)
        frames = scratch.frames(len(order), height, width, 3)
        for index, planes in _planes_of(stream, packets, wanted):
            first, *others = places[index]
            if (height, width) == (stream.height, stream.width):
                cv2.cvtColor(planes, cv2.COLOR_YUV2RGB_I420, dst=frames[first])
            else:
                frames[first] = cv2.cvtColor(planes, cv2.COLOR_YUV2RGB_I420)[:height, :width]
            frames[others] = frames[first]
    return frames


def _planes_of(stream: av.VideoStream, packets: list[Any], wanted: set[int]) -> Iterator[tuple[int, np.ndarray]]:
    """(Number, planes (3 H / 2, W) of 4:2:0) of the wanted frames, in order."""
    if stream.codec_context.name == RAW:
        for index in sorted(wanted):
            yield index, np.frombuffer(packets[index], np.uint8).reshape(stream.height * 3 // 2, stream.width)
        return
    needed = _needed([packet.is_keyframe for packet in packets], wanted)
    for index, frame in zip(needed, _decoded(stream.codec_context, packets, needed), strict=True):
        if index in wanted:
            yield index, frame.to_ndarray()


def _needed(keys: list[bool], wanted: set[int]) -> list[int]:
    """The frames to decode for the wanted ones: from each group's key frame to its last wanted frame."""
    needed: list[int] = []
    group: list[int] = []
    for index, is_key in enumerate(keys):
        group = [index] if is_key else [*group, index]
        if index in wanted:
            needed += group
            group = []
    return needed


def _decoded(context: av.VideoCodecContext, packets: list[Any], needed: list[int]) -> Iterator[av.VideoFrame]:
    """The frames of the needed packets, in order, one by one, since converting each while it is cached is faster.

    After a gap the decoder is reset: it would merge two consecutive key frames of the same number into one picture.
    """
    previous = -1
    for index in needed:
        if index != previous + 1:
            yield from context.decode(None)
            context.flush_buffers()
        yield from context.decode(packets[index])
        previous = index
    yield from context.decode(None)


@dataclass(frozen=True)
class Record:
    """A line of the journal: one packed file and its source's fingerprint; the rest is as in `PackedClip`."""

    id: str
    file: str
    fingerprint: str
    num_frames: int
    fps: float
    num_bytes: int
    aspect: float = 0.0
    times: tuple[float, ...] = ()
    shard: Part | None = None


def read_journal(out: Path) -> dict[str, Record]:
    """`packed.jsonl` -> the last record of each clip id; half-written lines of a killed run are ignored."""
    path = out / JOURNAL
    records: dict[str, Record] = {}
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else ():
        try:
            values = json.loads(line)
            values["times"] = tuple(values.get("times", ()))
            values["shard"] = Part(**values["shard"]) if values.get("shard") else None
            record = Record(**values)
            if record.shard is not None:
                check_shard(record.shard, may_be_far=False)
        except (ValueError, TypeError, AttributeError):
            continue
        records[record.id] = record
    return records


def fingerprint(clip: Clip, packing: Packing) -> str:
    """A hash of what a packed file depends on: its source, and how it is packed.

    A video file is identified by path, size and modification time; a frame folder by path, modification time and number
    of files; a drawing by its `repr`. "" if the source cannot be accessed: such a clip never counts as packed.
    """
    source = clip.source
    try:
        if isinstance(source, VideoFile):
            status = source.path.stat()
            identity = [str(source.path.resolve()), status.st_size, status.st_mtime_ns]
        elif isinstance(source, FrameFolder):
            status = source.path.stat()
            identity = [str(source.path.resolve()), status.st_mtime_ns, sum(1 for _ in source.path.iterdir())]
        else:
            identity = [type(source).__qualname__, repr(source)]
    except OSError:
        return ""
    segment = getattr(source, "segment", None)
    is_usual = (packing.fit, packing.fps, segment) == ("stretch", 0, None)
    unusual = [] if is_usual else [packing.fit, packing.fps, str(segment)]
    ingredients = [SETTINGS[packing.codec], packing.frame_size, clip.fps, identity, *unusual]
    return hashlib.sha256(json.dumps(ingredients).encode()).hexdigest()[:32]


def make_clean_folder(folder: Path) -> None:
    """Make a folder, and remove the half-written files that a killed process left in it. Raises CorpusError."""
    remedy = "choose another folder, or check its rights"
    with os_errors_as(CorpusError, "cannot be written", where=folder, remedy=remedy):
        folder.mkdir(parents=True, exist_ok=True)
        for leftover in folder.rglob(LEFTOVERS):
            leftover.unlink(missing_ok=True)


def write_journal(out: Path, journal: Iterable[Record]) -> None:
    """Rewrite the journal without half-written lines. Raises CorpusError."""
    write_atomic(out / JOURNAL, "".join(map(_line, journal)))


def append_record(out: Path, record: Record) -> None:
    """Add a line to the journal. Raises CorpusError."""
    path = out / JOURNAL
    as_ours = os_errors_as(CorpusError, "cannot be written", where=path, remedy="check space, then run it again")
    with as_ours, path.open("a", encoding="utf-8") as file:
        file.write(_line(record))


def _line(record: Record) -> str:
    return json.dumps(asdict(record), ensure_ascii=False) + "\n"
