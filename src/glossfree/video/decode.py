"""Video files, folders of images and drawings -> their frames, upright RGB, one at a time, with the time of each.

T frames, H x W pixels. A `Reader` knows when each frame is shown (`timeline`) before any is decoded, and decodes those
that are asked for: memory does not grow with the length of a video. What cannot be read in full raises `ClipError` with
the clip's id, the path and the remedy: half a clip would train a model on half a sentence.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import av
import cv2
import numpy as np
from av.video.reformatter import VideoReformatter

from glossfree.corpora.manifest import Clip, Drawing, FrameFolder, Segment, VideoFile
from glossfree.errors import ClipError
from glossfree.video.container import AGAIN, FPS, opened, pixel_aspect, place, reason, scan
from glossfree.video.frames import Fit, fit_frame
from glossfree.video.timeline import Timeline

IMAGES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp"})
READABLE = 0.9  # of the packets of a file must give a frame: decoders drop a damaged one here and there
EARLIER = 12  # frames: pictures behind an open key frame need the group before it
SEEK = 2.0  # seconds: to begin this much later it is worth looking for a key frame


class Reader(Protocol):
    """The frames of one clip; `start`: seconds of its source before it."""

    timeline: Timeline
    start: float

    def read(self, indices: Sequence[int] | np.ndarray) -> Iterator[np.ndarray]:
        """Frames by their numbers, ascending, repeats allowed -> (H, W, 3) uint8 RGB each. Raises ClipError."""


def open_clip(clip: Clip, drawing_size: int) -> Reader:
    """A clip -> its reader; drawings are drawn at `drawing_size` pixels. The clip's own rate wins over its source's.

    Raises ClipError: missing, empty, truncated, damaged, no moving pictures, a segment beyond the end.
    """
    source = clip.source
    if isinstance(source, VideoFile):
        return VideoReader(source, clip.id, clip.fps)
    if isinstance(source, FrameFolder):
        return FolderReader(source, clip.id, clip.fps)
    return DrawingReader(source, drawing_size, clip.fps)


def source_timeline(source: VideoFile | FrameFolder) -> Timeline:
    """When the frames of a file or folder are shown; nothing is decoded. Raises ClipError as `open_clip`."""
    return (VideoReader(source) if isinstance(source, VideoFile) else FolderReader(source)).timeline


class VideoReader:
    """Frames of a video file, or of one segment of it: decoding begins at the key frame before."""

    def __init__(self, source: VideoFile, clip_id: str = "", fps: float | None = None) -> None:
        self.path, self.where = source.path, place(source.path, clip_id)
        whole = scan(source.path, clip_id)
        first, last = _part(whole.timeline, source.segment, self.where)
        self._stamps = whole.stamps
        self._whole, self._first = whole.timeline, first
        own = whole.timeline.cut(first, last)
        self.timeline = own if fps is None else Timeline.constant(len(own), fps)
        self.start, self._pixel_width = float(whole.timeline.times[first]), 1.0

    def read(self, indices: Sequence[int] | np.ndarray) -> Iterator[np.ndarray]:
        """See `Reader`. A frame that the decoder leaves out is replaced by the one after it, or the last one."""
        wanted = [int(index) + self._first for index in indices]
        place, decoded = 0, 0
        frame = None
        sizes: set[tuple[int, ...]] = set()
        convert = VideoReformatter()  # one for all frames: building the colour tables costs more than a small frame
        for number, frame in self._from(wanted[0] if wanted else 0):
            decoded += 1
            sizes.add((frame.height, frame.width, 3))
            check_one_size(sizes, self.where)
            if wanted[place] <= number:
                picture = self._upright(convert, frame)
                while place < len(wanted) and wanted[place] <= number:
                    yield picture
                    place += 1
                if place == len(wanted):
                    return
        distinct = len(set(wanted))
        if frame is None or distinct - len(set(wanted[place:])) < math.floor(READABLE * distinct):
            problem = f"damaged: {decoded} frames come out where the file holds {len(self._whole)}"
            raise ClipError(problem, where=self.where, remedy=AGAIN)
        yield from [self._upright(convert, frame)] * len(wanted[place:])

    def _from(self, first: int) -> Iterator[tuple[int, av.VideoFrame]]:
        """(Number, frame) of the file's frames in order, from `first` on."""
        for seeks in (True, False) if self._stamps is not None and self._whole.times[first] > SEEK else (False,):
            is_first = True
            for number, frame in self._decoded(first if seeks else 0):
                if number < first:
                    continue
                if seeks and is_first and number > first:
                    break  # the key frame that the file named lies behind: read it from the beginning
                yield number, frame
                is_first = False
            else:
                return

    def _decoded(self, first: int) -> Iterator[tuple[int, av.VideoFrame]]:
        """(Number, frame) from the key frame before `first` on."""
        with opened(self.path) as (container, stream):
            stream.codec_context.thread_count = 1  # clips are read in parallel processes, not threads
            self._pixel_width = pixel_aspect(stream)
            counter = -1
            try:
                if first and self._stamps is not None:
                    container.seek(int(self._stamps[max(0, first - EARLIER)]), stream=stream, backward=True)
                for counter, frame in enumerate(container.decode(stream)):
                    if self._stamps is None or frame.pts is None:
                        yield counter, frame
                    else:
                        yield int(np.searchsorted(self._stamps, frame.pts, side="right")) - 1, frame
            except (av.FFmpegError, OSError, ValueError) as error:
                problem = f"damaged or truncated: decoding fails after frame {counter + 1} ({reason(error)})"
                raise ClipError(problem, where=self.where, remedy=AGAIN) from error

    def _upright(self, convert: VideoReformatter, frame: av.VideoFrame) -> np.ndarray:
        """RGB as it is to be shown: turned as a phone was held, with square pixels."""
        picture = convert.reformat(frame, format="rgb24").to_ndarray()
        if self._pixel_width != 1:
            size = (round(frame.width * self._pixel_width), frame.height)
            picture = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_LINEAR), np.uint8)
        turns = round(getattr(frame, "rotation", 0) / 90)
        return np.rot90(picture, turns) if turns % 4 else picture


class FolderReader:
    """Image files of a folder in the natural order of their names, or those of one segment."""

    def __init__(self, source: FrameFolder, clip_id: str = "", fps: float | None = None) -> None:
        self.folder, self.where = source.path, place(source.path, clip_id)
        names = image_names(source.path, self.where)
        whole = Timeline.constant(len(names), fps or FPS)
        first, last = _part(whole, source.segment, self.where)
        self._names = names[first:last]
        self.timeline, self.start = whole.cut(first, last), float(whole.times[first])

    def read(self, indices: Sequence[int] | np.ndarray) -> Iterator[np.ndarray]:
        """See `Reader`."""
        sizes: set[tuple[int, ...]] = set()
        picture, last = np.empty((0, 0, 3), np.uint8), -1
        for index in map(int, indices):
            if index != last:
                image = cv2.imread(str(self.folder / self._names[index]), cv2.IMREAD_COLOR)
                if image is None:
                    problem = f"image {self._names[index]} cannot be read"
                    raise ClipError(problem, where=self.where, remedy="copy or unpack it again")
                sizes.add(image.shape)
                check_one_size(sizes, self.where)
                picture, last = np.asarray(image[..., ::-1], np.uint8), index
            yield picture


class DrawingReader:
    """Frames that are computed, all at once."""

    def __init__(self, drawing: Drawing, size: int, fps: float | None = None) -> None:
        self._drawing, self._size, self.start = drawing, size, 0.0
        self.timeline = Timeline.constant(drawing.num_frames, fps or drawing.fps)

    def read(self, indices: Sequence[int] | np.ndarray) -> Iterator[np.ndarray]:
        """See `Reader`."""
        frames = self._drawing.render(self._size)
        return (frames[index] for index in indices)


def read_video(path: str | Path, segment: Segment | None = None, *, clip_id: str = "") -> tuple[np.ndarray, float]:
    """A video file, or a segment of it -> frames (T, H, W, 3) uint8 RGB and frames per second, on average.

    Raises ClipError: missing, empty, truncated, damaged, not a video, no picture in it, size changes on the way.
    """
    reader = VideoReader(VideoFile(Path(path), segment), clip_id)
    return np.stack(list(reader.read(range(len(reader.timeline))))), reader.timeline.fps


def read_folder(path: str | Path, *, clip_id: str = "") -> np.ndarray:
    """A folder of images, in the natural order of their names -> frames (T, H, W, 3) uint8 RGB.

    Raises ClipError: missing, without images, an image that cannot be read, images of different sizes.
    """
    reader = FolderReader(FrameFolder(Path(path)), clip_id)
    return np.stack(list(reader.read(range(len(reader.timeline)))))


def frames_of(clip: Clip, size: int, fit: Fit = "stretch") -> tuple[np.ndarray, float]:
    """A clip -> all of its frames (T, size, size, 3) uint8 RGB, and frames per second. Raises ClipError."""
    reader = open_clip(clip, size)
    frames = [fit_frame(frame, size, fit) for frame in reader.read(range(len(reader.timeline)))]
    return np.stack(frames), reader.timeline.fps


def natural_order(names: list[str]) -> list[str]:
    """Names sorted as people count: images9.png before images10.png."""
    parts = {name: re.split(r"(\d+)", name) for name in names}
    return sorted(names, key=lambda name: [part.zfill(12) if part.isdigit() else part for part in parts[name]])


def image_names(folder: Path, where: str) -> list[str]:
    """The image files of a folder in natural order; hidden ones are none (macOS writes `._x.png` beside `x.png`)."""
    if not folder.is_dir():
        raise ClipError("no such frame folder", where=where, remedy="unpack it, or drop the clip")
    try:
        files = [file.name for file in folder.iterdir() if file.suffix.lower() in IMAGES]
    except OSError as error:
        raise ClipError(f"cannot be read ({reason(error)})", where=where, remedy="check its rights") from error
    names = natural_order([name for name in files if not name.startswith(".")])
    if not names:
        raise ClipError("no images in the folder", where=where, remedy=f"needs one of {', '.join(sorted(IMAGES))}")
    return names


def check_one_size(shapes: set[tuple[int, ...]], where: str) -> None:
    """Raise ClipError unless all frames of a clip have one size."""
    if len(shapes) > 1:
        sizes = ", ".join(f"{width}x{height}" for height, width, _ in sorted(shapes))
        raise ClipError(f"frames of different sizes ({sizes})", where=where, remedy="one size for all frames of a clip")


def _part(timeline: Timeline, segment: Segment | None, where: str) -> tuple[int, int]:
    if segment is None:
        return 0, len(timeline)
    try:
        return timeline.part(segment)
    except ValueError as error:
        raise ClipError(str(error), where=where, remedy="correct its start and end") from error
