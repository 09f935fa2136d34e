"""Video files and folders of images -> frames: (T, H, W, 3) uint8 RGB, and frames per second.

T frames, H x W pixels. What cannot be read in full raises `ClipError` with the clip's id, the path and the remedy:
half a clip would train a model on half a sentence. Rotation that a phone wrote into the file is honoured.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import numpy as np
from av.video.reformatter import VideoReformatter

from glossfree.corpora.manifest import Clip, FrameFolder, VideoFile
from glossfree.errors import ClipError

FPS = 25.0  # where neither the clip nor its source says anything
IMAGES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp"})
WHOLE = 0.9  # of the frames that the container announces: indices are often a few frames off, a cut file is not
Shape = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class VideoInfo:
    """What a container says of its video without decoding it; `num_frames` 0 = it does not say."""

    width: int
    height: int
    num_frames: int
    fps: float


def read_video(path: str | Path, *, clip_id: str = "") -> tuple[np.ndarray, float]:
    """A video file -> frames (T, H, W, 3) uint8 RGB and frames per second.

    Raises ClipError: missing, empty, truncated, damaged, not a video, no picture in it, size changes on the way.
    """
    frames, fps = _decode(Path(path), clip_id, np.ascontiguousarray)
    return _stack(frames, _where(clip_id, path)), fps


def read_folder(path: str | Path, *, clip_id: str = "") -> np.ndarray:
    """A folder of images, in the natural order of their names -> frames (T, H, W, 3) uint8 RGB.

    Raises ClipError: missing, without images, an image that cannot be read, images of different sizes.
    """
    return _stack([_to_rgb(image) for image in _images(Path(path), clip_id)], _where(clip_id, path))


def frames_of(clip: Clip, size: int) -> tuple[np.ndarray, float]:
    """A clip -> frames (T, size, size, 3) uint8 RGB and frames per second, which the clip may overrule.

    Frames are stretched, not letter-boxed (section 4.2: "resized to 256x256"), one by one: a long clip in high
    resolution never lies in memory at its own size. Raises ClipError.
    """
    source = clip.source
    if isinstance(source, VideoFile):
        frames, fps = _decode(Path(source.path), clip.id, lambda frame: stretch(frame, size))
    elif isinstance(source, FrameFolder):
        sizes: set[tuple[int, ...]] = set()
        frames, fps = [], FPS
        for image in _images(Path(source.path), clip.id):
            sizes.add(image.shape)
            frames.append(_to_rgb(stretch(image, size)))
        _check_one_size(sizes, _where(clip.id, source.path))
    else:
        return source.render(size), clip.fps or source.fps
    return np.stack(frames), clip.fps or fps


def stretch(frame: np.ndarray, size: int) -> np.ndarray:
    """(H, W, 3) -> (size, size, 3): areas averaged where an axis shrinks, linear where it grows."""
    height, width = frame.shape[:2]
    if height > size or width > size:
        frame = cv2.resize(frame, (min(width, size), min(height, size)), interpolation=cv2.INTER_AREA)
    if frame.shape[:2] != (size, size):
        frame = cv2.resize(frame, (size, size), interpolation=cv2.INTER_LINEAR)
    return frame


def video_info(path: str | Path, *, clip_id: str = "") -> VideoInfo:
    """A video file -> its size, length and rate as the container states them. Raises ClipError."""
    with _opened(Path(path), clip_id) as (container, stream):
        context = stream.codec_context
        return VideoInfo(context.width, context.height, _announced(container, stream), _rate(stream))


def natural_order(names: list[str]) -> list[str]:
    """Names sorted as people count: images9.png before images10.png."""
    return sorted(names, key=lambda name: [(part.isdigit(), part.zfill(12)) for part in re.split(r"(\d+)", name)])


def _decode(path: Path, clip_id: str, shape: Shape) -> tuple[list[np.ndarray], float]:
    """Every frame of a video, upright RGB, each passed through `shape`, and the rate."""
    where = _where(clip_id, path)
    frames: list[np.ndarray] = []
    with _opened(path, clip_id) as (container, stream):
        stream.codec_context.thread_count = 1  # clips are read in parallel processes, not threads
        announced, fps = _announced(container, stream), _rate(stream)
        convert = VideoReformatter()  # one for all frames: building the colour tables costs more than a small frame
        try:
            for frame in container.decode(stream):
                picture = convert.reformat(frame, format="rgb24").to_ndarray()
                turns = round(getattr(frame, "rotation", 0) / 90)
                frames.append(shape(np.rot90(picture, turns) if turns % 4 else picture))
        except (av.FFmpegError, OSError, ValueError) as error:
            problem = f"damaged or truncated: decoding fails after frame {len(frames)} ({_reason(error)})"
            raise ClipError(problem, where=where, remedy="copy or download the file again") from error
    if not frames:
        raise ClipError("no frames in it", where=where, remedy="copy or download the file again, or drop the clip")
    if len(frames) < math.floor(WHOLE * announced):
        raise ClipError(
            f"truncated: {len(frames)} frames where the file announces {announced}",
            where=where,
            remedy="copy or download the file again",
        )
    return frames, fps


@contextmanager
def _opened(path: Path, clip_id: str) -> Iterator[tuple[av.container.InputContainer, av.VideoStream]]:
    where = _where(clip_id, path)
    if not path.is_file():
        raise ClipError("no such video file", where=where, remedy="mend the path in the sentence file")
    if path.stat().st_size == 0:
        raise ClipError("the file is empty (0 bytes)", where=where, remedy="copy or download it again")
    try:
        container = av.open(str(path), metadata_errors="ignore")  # one real file in thirty has broken metadata
    except (av.FFmpegError, OSError) as error:
        problem = f"not a video, or truncated ({_reason(error)})"
        raise ClipError(problem, where=where, remedy="copy or download it again, or drop the clip") from error
    with container:
        pictures = [stream for stream in container.streams.video if stream.codec_context is not None]
        if not pictures:
            raise ClipError("no video stream in it", where=where, remedy="a file with pictures, or drop the clip")
        yield container, pictures[0]


def _announced(container: av.container.InputContainer, stream: av.VideoStream) -> int:
    """Frames that should come out: the smaller of what index and duration say (edit lists hide frames); 0 = unknown."""
    counts = [stream.frames] if stream.frames else []
    if container.duration and stream.average_rate:
        counts.append(round(container.duration / av.time_base * float(stream.average_rate)))
    return min(counts, default=0)


def _rate(stream: av.VideoStream) -> float:
    """Frames per second: the average, else the guess, else 25."""
    rate = float(stream.average_rate or stream.guessed_rate or 0)
    return rate if 0 < rate < 1000 else FPS


def _images(folder: Path, clip_id: str) -> Iterator[np.ndarray]:
    """The images of a folder, BGR as OpenCV reads them."""
    where = _where(clip_id, folder)
    if not folder.is_dir():
        raise ClipError("no such frame folder", where=where, remedy="unpack it, or drop the clip")
    names = natural_order([file.name for file in folder.iterdir() if file.suffix.lower() in IMAGES])
    if not names:
        raise ClipError("no images in the folder", where=where, remedy=f"needs one of {sorted(IMAGES)}")
    for name in names:
        image = cv2.imread(str(folder / name), cv2.IMREAD_COLOR)
        if image is None:
            raise ClipError(f"image {name} cannot be read", where=where, remedy="copy or unpack it again")
        yield image


def _to_rgb(image: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def _stack(frames: list[np.ndarray], where: str) -> np.ndarray:
    _check_one_size({frame.shape for frame in frames}, where)
    return np.stack(frames)


def _check_one_size(shapes: set[tuple[int, ...]], where: str) -> None:
    if len(shapes) > 1:
        sizes = ", ".join(f"{width}x{height}" for height, width, _ in sorted(shapes))
        raise ClipError(f"frames of different sizes ({sizes})", where=where, remedy="one size for all frames of a clip")


def _where(clip_id: str, path: str | Path) -> str:
    return f"clip {clip_id} ({path})" if clip_id else str(path)


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
