"""Video files, folders of images and drawings -> upright RGB frames, one at a time, and their times.

T frames, H x W pixels. A `Reader` knows when each frame is shown (`timeline`) before it decodes any, and decodes only
the frames it is asked for, so memory does not grow with the length of a video. A source that cannot be read completely
raises `ClipError` with the clip's id, the path and the remedy: half a clip would train a model on half a sentence.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

import av
import cv2
import numpy as np
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter

from glossfree.corpora.files import IMAGES
from glossfree.corpora.manifest import Drawing, FrameFolder, Segment, VideoFile
from glossfree.errors import ClipError, os_errors_as
from glossfree.video.container import (
    COPY_AGAIN,
    FFMPEG_ERRORS,
    FPS,
    check_length,
    describe_clip,
    open_video,
    pixel_aspect,
    reason,
    scan,
)
from glossfree.video.frames import Fit, Scaled, fit_frame, fitted, resize
from glossfree.video.timeline import Timeline

T = TypeVar("T")
READABLE = 0.9  # share of the packets that must give a frame: decoders drop a damaged one here and there
EARLIER = 12  # frames: pictures after an open key frame need the group before it
# Areas averaged where an axis shrinks, linear where it grows; colours unbiased, and the same on every processor.
SCALING = Interpolation.AREA | Interpolation.ACCURATE_RND | Interpolation.BITEXACT
BT601 = (2, 5, 6)  # FFmpeg's colour spaces: not stated, and those of PAL and NTSC
FULL_RANGE = 2
PLANAR = ("yuv420p", "yuvj420p")
SEEK = 2.0  # seconds: segments that begin later are read from a key frame


class Reader(Protocol):
    """The frames of one clip; `start`: the clip's first second in its source.

    `aspect`: width / height of the frames in their source, known with the first frame.
    """

    timeline: Timeline
    start: float
    aspect: float

    def read(self, indices: Sequence[int] | np.ndarray, scaled: Scaled | None = None) -> Iterator[np.ndarray]:
        """Frame numbers, ascending, repeats allowed -> frames (H, W, 3) uint8 RGB. Raises ClipError.

        With `scaled` they are stretched to its size: areas averaged on axes that shrink, linear on axes that grow.
        """


def open_source(
    source: VideoFile | FrameFolder | Drawing, clip_id: str = "", fps: float | None = None, *, drawing_size: int = 0
) -> Reader:
    """A source of frames -> its reader. `fps` replaces the rate of the source; drawings are rendered at `drawing_size`.

    Raises ClipError: missing, empty, truncated, damaged, no video stream, a segment beyond the end.
    """
    if isinstance(source, VideoFile):
        return VideoReader(source, clip_id, fps)
    if isinstance(source, FrameFolder):
        return FolderReader(source, clip_id, fps)
    return DrawingReader(source, drawing_size, fps)


class VideoReader:
    """Frames of a video file, or of one segment of it: decoding begins at the key frame before it."""

    def __init__(self, source: VideoFile, clip_id: str = "", fps: float | None = None) -> None:
        self.path, self.where = source.path, describe_clip(source.path, clip_id)
        file = scan(source.path, clip_id)
        self._pts, self._times = file.pts, file.timeline.times
        self._first, last = _part(file.timeline, source.segment, self.where)
        own = file.timeline.cut(self._first, last)
        self.timeline = own if fps is None else Timeline.constant(len(own), fps)
        self.start, self.aspect, self._pixel_aspect = float(self._times[self._first]), 0.0, 1.0

    def read(self, indices: Sequence[int] | np.ndarray, scaled: Scaled | None = None) -> Iterator[np.ndarray]:
        """See `Reader`."""
        convert = VideoReformatter()  # shared: building the colour tables costs more than converting a small frame
        return self._pictures(indices, lambda frame: self._upright(convert, frame, scaled))

    def read_squares(
        self, indices: Sequence[int] | np.ndarray, size: int, fit: Fit
    ) -> Iterator[np.ndarray | av.VideoFrame]:
        """The frames of `read`, made square by `fit`, of an even size.

        They are what the encoder takes, 4:2:0 of BT.601, where that saves the way over RGB.
        """
        convert, recolour = VideoReformatter(), VideoReformatter()

        def square(frame: av.VideoFrame) -> np.ndarray | av.VideoFrame:
            is_planar, is_plain = frame.format.name in PLANAR, self._pixel_aspect == 1
            if self._turns(frame) or not (fit == "stretch" or (fit == "crop" and is_planar and is_plain)):
                return fit_frame(self._upright(convert, frame, fitted(size, fit)), size, fit)
            self.aspect = round(frame.width * self._pixel_aspect) / frame.height
            is_ready = is_planar and frame.colorspace in BT601 and frame.color_range != FULL_RANGE
            whole = _central_square(frame) if fit == "crop" else frame
            small = _scaled(convert, whole, size, size, "yuv420p" if is_ready else "gbrp")
            return small if is_ready else as_planes(recolour, small)

        return self._pictures(indices, square)

    def _pictures(self, indices: Sequence[int] | np.ndarray, of: Callable[[av.VideoFrame], T]) -> Iterator[T]:
        """What `of` makes of each frame. One that the decoder drops is replaced by the next one, or by the last one."""
        wanted = [int(index) + self._first for index in indices]
        position, decoded = 0, 0
        frame = None
        shapes: set[tuple[int, ...]] = set()
        for number, frame in self._from(wanted[0] if wanted else 0):
            decoded += 1
            shapes.add((frame.height, frame.width))
            _check_one_size(shapes, self.where)
            if wanted[position] <= number:
                picture = of(frame)
                while position < len(wanted) and wanted[position] <= number:
                    yield picture
                    position += 1
                del picture  # 3 MB of 720p: two of them at once make the next allocation ask the system for memory
                if position == len(wanted):
                    return
        distinct = len(set(wanted))
        if frame is None or distinct - len(set(wanted[position:])) < math.floor(READABLE * distinct):
            problem = f"damaged: only {decoded} of {len(self._times)} frames can be decoded"
            raise ClipError(problem, where=self.where, remedy=COPY_AGAIN)
        yield from [of(frame)] * len(wanted[position:])

    def _from(self, first: int) -> Iterator[tuple[int, av.VideoFrame]]:
        """(Number, frame) of the file's frames in order, from `first` on."""
        if self._pts is not None and self._times[first] > SEEK:
            frames = ((number, frame) for number, frame in self._decoded(first) if number >= first)
            start = next(frames, None)
            if start is not None and start[0] == first:  # else the file's key frame lies too late
                yield start
                yield from frames
                return
        yield from ((number, frame) for number, frame in self._decoded(0) if number >= first)

    def _decoded(self, first: int) -> Iterator[tuple[int, av.VideoFrame]]:
        """(Number, frame) from the key frame before `first` on."""
        with open_video(self.path) as (container, stream):
            stream.codec_context.thread_count = 1  # clips are read in parallel processes, not threads
            self._pixel_aspect = pixel_aspect(stream)
            counter = -1
            try:
                if first and self._pts is not None:
                    container.seek(int(self._pts[max(0, first - EARLIER)]), stream=stream, backward=True)
                for counter, frame in enumerate(container.decode(stream)):
                    if self._pts is None or frame.pts is None:
                        yield counter, frame
                    else:
                        yield int(np.searchsorted(self._pts, frame.pts, side="right")) - 1, frame
            except FFMPEG_ERRORS as error:
                problem = f"damaged or truncated: decoding fails after frame {counter + 1} ({reason(error)})"
                raise ClipError(problem, where=self.where, remedy=COPY_AGAIN) from error

    def _upright(self, convert: VideoReformatter, frame: av.VideoFrame, scaled: Scaled | None) -> np.ndarray:
        """RGB as players show it: rotated as the file says, with square pixels; rotated last, when small."""
        turns = self._turns(frame)
        width, height = round(frame.width * self._pixel_aspect), frame.height
        if turns % 2:
            width, height = height, width
        self.aspect = width / height
        if scaled is not None:
            width, height = scaled(width, height)
        picture = _in_rgb(convert, frame, *((height, width) if turns % 2 else (width, height)))
        return np.rot90(picture, turns) if turns else picture

    @staticmethod
    def _turns(frame: av.VideoFrame) -> int:
        """Quarter turns counter-clockwise that make the frame upright."""
        return round(getattr(frame, "rotation", 0) / 90) % 4


def _in_rgb(convert: VideoReformatter, frame: av.VideoFrame, width: int, height: int) -> np.ndarray:
    """A decoded frame -> (height, width, 3) uint8 RGB.

    FFmpeg shrinks each plane before colours are converted: 1280 x 720 -> 256 x 256 takes 0.4 ms, and 3.2 ms if all
    pixels become RGB first. Planar RGB has exact colours, and takes half the time of interleaved.
    """
    if width >= frame.width and height >= frame.height:
        return resize(convert.reformat(frame, format="rgb24", threads=1).to_ndarray(), width, height)
    small = _scaled(convert, frame, width, height, "gbrp")
    green, blue, red = map(pixels_of, small.planes)
    return np.asarray(cv2.merge([red, green, blue]), np.uint8)


def pixels_of(plane: Any) -> np.ndarray:
    """A plane of bytes -> (H, W) uint8, not copied."""
    return np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)[:, : plane.width]


def _scaled(convert: VideoReformatter, frame: av.VideoFrame, width: int, height: int, pixels: str) -> av.VideoFrame:
    scaling = SCALING | Interpolation.FULL_CHR_H_INT | Interpolation.FULL_CHR_H_INP
    return convert.reformat(frame, width, height, format=pixels, interpolation=scaling, threads=1)


def _central_square(frame: av.VideoFrame) -> av.VideoFrame:
    """The middle of a planar 4:2:0 frame."""
    side = min(frame.width, frame.height)
    square = av.VideoFrame(side, side, frame.format.name)
    square.colorspace, square.color_range = frame.colorspace, frame.color_range
    for whole, part in zip(frame.planes, square.planes, strict=True):
        top = (frame.height - side) // 2 * whole.height // frame.height
        left = (frame.width - side) // 2 * whole.width // frame.width
        pixels_of(part)[:] = pixels_of(whole)[top : top + part.height, left : left + part.width]
    return square


def as_planes(convert: VideoReformatter, frame: av.VideoFrame) -> av.VideoFrame:
    """An RGB frame of even size -> 4:2:0 of BT.601, limited range."""
    return convert.reformat(
        frame,
        format="yuv420p",
        dst_colorspace=Colorspace.ITU601,
        dst_color_range=ColorRange.MPEG,
        interpolation=SCALING | Interpolation.FULL_CHR_H_INP,
        threads=1,
    )


class FolderReader:
    """Image files of a folder in the natural order of their names, or those of one segment."""

    def __init__(self, source: FrameFolder, clip_id: str = "", fps: float | None = None) -> None:
        self.folder, self.where = source.path, describe_clip(source.path, clip_id)
        names = image_names(source.path, self.where)
        timeline = Timeline.constant(len(names), fps or source.fps or FPS)
        check_length(timeline, self.where, "correct its frames per second")
        first, last = _part(timeline, source.segment, self.where)
        self._names = names[first:last]
        self.timeline, self.start, self.aspect = timeline.cut(first, last), float(timeline.times[first]), 0.0

    def read(self, indices: Sequence[int] | np.ndarray, scaled: Scaled | None = None) -> Iterator[np.ndarray]:
        """See `Reader`."""
        shapes: set[tuple[int, ...]] = set()
        picture, last = np.empty((0, 0, 3), np.uint8), -1
        for index in map(int, indices):
            if index != last:
                image = cv2.imread(str(self.folder / self._names[index]), cv2.IMREAD_COLOR)
                if image is None:
                    problem = f"image {self._names[index]} cannot be read"
                    raise ClipError(problem, where=self.where, remedy="copy or unpack it again")
                shapes.add(image.shape[:2])
                _check_one_size(shapes, self.where)
                picture, last = np.asarray(image[..., ::-1], np.uint8), index
                height, width = picture.shape[:2]
                self.aspect = width / height
                if scaled is not None:
                    picture = resize(picture, *scaled(width, height))
            yield picture


class DrawingReader:
    """Frames that are computed, all at once."""

    def __init__(self, drawing: Drawing, size: int, fps: float | None = None) -> None:
        self._drawing, self._size, self.start, self.aspect = drawing, size, 0.0, 1.0
        self.timeline = Timeline.constant(drawing.num_frames, fps or drawing.fps)

    def read(self, indices: Sequence[int] | np.ndarray, scaled: Scaled | None = None) -> Iterator[np.ndarray]:
        """See `Reader`."""
        frames = self._drawing.render(self._size)
        size = (self._size, self._size) if scaled is None else scaled(self._size, self._size)
        return (resize(frames[index], *size) for index in indices)


def natural_order(names: list[str]) -> list[str]:
    """Names in natural order: images9.png before images10.png."""
    parts = {name: re.split(r"(\d+)", name) for name in names}
    return sorted(names, key=lambda name: [part.zfill(12) if part.isdigit() else part for part in parts[name]])


def image_names(folder: Path, where: str) -> list[str]:
    """The image files of a folder in natural order, without hidden ones (macOS writes `._x.png` beside `x.png`).

    Raises ClipError: no such folder, cannot be read, no images.
    """
    if not folder.is_dir():
        raise ClipError("no such frame folder", where=where, remedy="unpack it, or drop the clip")
    with os_errors_as(ClipError, "cannot be read", where=where, remedy="check its rights"):
        files = [file.name for file in folder.iterdir() if file.suffix.lower() in IMAGES]
    names = natural_order([name for name in files if not name.startswith(".")])
    if not names:
        remedy = f"needs one of {', '.join(sorted(IMAGES))}; folders in it are not searched"
        raise ClipError("no images in the folder", where=where, remedy=remedy)
    return names


def _check_one_size(shapes: set[tuple[int, ...]], where: str) -> None:
    """Raise ClipError unless all frames of a clip, (H, W) each, have one size."""
    if len(shapes) > 1:
        sizes = ", ".join(f"{width}x{height}" for height, width in sorted(shapes))
        raise ClipError(f"frames of different sizes ({sizes})", where=where, remedy="one size for all frames of a clip")


def _part(timeline: Timeline, segment: Segment | None, where: str) -> tuple[int, int]:
    if segment is None:
        return 0, len(timeline)
    try:
        return timeline.part(segment)
    except ValueError as error:
        raise ClipError(str(error), where=where, remedy="correct its start and end") from error
