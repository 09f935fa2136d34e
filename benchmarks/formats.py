"""How to keep packed frames: JPEG, PNG, MJPEG and H.264 against each other, on drawn clips, on one core.

Each format writes the same clips; then reading all frames, and every second one, into RGB arrays is timed.
"""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import numpy as np
from av.video.reformatter import VideoReformatter

from benchmarks.timing import cpu_seconds, machine, table
from glossfree.avatar.signing import SignedSentence
from glossfree.video import pack

CLIPS, FPS, SIZES, ROUNDS = 12, 25.0, (256, 64), 4
GLOSSES = ("MORGEN", "REGEN", "NORD", "WIND", "STARK", "HEUTE", "SONNE", "WOLKE", "SCHNEE", "BERG", "KALT", "GRAD")
BRIGHTNESS = np.array([0.299, 0.587, 0.114], dtype=np.float32)
Write = Callable[[Path, np.ndarray], None]
Read = Callable[[Path, Sequence[int]], np.ndarray]


@dataclass(frozen=True)
class Format:
    """One way to keep a clip in one file. `plays`: does a browser play it."""

    name: str
    write: Write
    read: Read
    plays: str


def run() -> str:
    """The table, as Markdown."""
    cv2.setNumThreads(1)
    sections = []
    for size in SIZES:
        clips = [_clip(number, size) for number in range(CLIPS)]
        rows = _measure(clips)
        header = [f"{size} x {size}", "all frames/s", "every 2nd/s", "bytes/frame", "PSNR", "brightness", "written/s"]
        sections.append(table([*header, "browser"], rows))
    frames = sum(len(clip) for clip in clips)
    legend = (
        f"{CLIPS} drawn clips, {frames} frames at each size, camera noise included. Frames per second of one core "
        f"({machine()}), into RGB arrays. PSNR in dB over all three colours, and of brightness alone: "
        "4:2:0 keeps colour at half the resolution, so it cannot keep colour noise."
    )
    return "\n\n".join([*sections, legend])


def _clip(number: int, size: int) -> np.ndarray:
    rng = np.random.default_rng(number)
    glosses = tuple(str(gloss) for gloss in rng.choice(GLOSSES, 4 + number % 3))
    return SignedSentence(glosses, signer=number % 9, seed=number, fps=FPS).render(size)


def _measure(clips: list[np.ndarray]) -> list[list[str]]:
    """Write and read the clips in every format -> one row each.

    Reading goes round all formats ROUNDS times, and the fastest round counts: whatever else the machine does meanwhile
    disturbs all of them alike.
    """
    total = sum(len(clip) for clip in clips)
    reading, skipping = [float("inf")] * len(FORMATS), [float("inf")] * len(FORMATS)
    with tempfile.TemporaryDirectory() as folder:
        files = [[Path(folder) / f"{row}-{number}" for number in range(len(clips))] for row in range(len(FORMATS))]
        rows = [_written(form, paths, clips) for form, paths in zip(FORMATS, files, strict=True)]
        for _ in range(ROUNDS):
            for row, (form, paths) in enumerate(zip(FORMATS, files, strict=True)):
                reading[row] = min(reading[row], _seconds(form, paths, clips, 1))
                skipping[row] = min(skipping[row], _seconds(form, paths, clips, 2))
    wanted = sum(len(clip[::2]) for clip in clips)
    return [
        [form.name, f"{total / every:,.0f}", f"{wanted / second:,.0f}", *row, form.plays]
        for form, every, second, row in zip(FORMATS, reading, skipping, rows, strict=True)
    ]


def _written(form: Format, paths: list[Path], clips: list[np.ndarray]) -> list[str]:
    """Write the clips and look at what comes back -> the cells for size, fidelity and speed of writing."""
    work = list(zip(paths, clips, strict=True))

    def write() -> None:
        for path, clip in work:
            form.write(path, clip)

    _, writing = cpu_seconds(write, repeats=1)
    read = [form.read(path, range(len(clip))) for path, clip in work]
    for path, whole in zip(paths, read, strict=True):
        assert np.array_equal(form.read(path, range(0, len(whole), 2)), whole[::2]), form.name
    pairs = list(zip(read, clips, strict=True))
    total = sum(len(clip) for clip in clips)
    return [
        f"{sum(path.stat().st_size for path in paths) / total:,.0f}",
        _decibels(float(np.mean([_psnr(left, right) for left, right in pairs]))),
        _decibels(float(np.mean([_psnr(left @ BRIGHTNESS, right @ BRIGHTNESS) for left, right in pairs]))),
        f"{total / writing:,.0f}",
    ]


def _seconds(form: Format, paths: list[Path], clips: list[np.ndarray], stride: int) -> float:
    """Processor seconds for every stride-th frame of all clips."""
    work = [(path, range(0, len(clip), stride)) for path, clip in zip(paths, clips, strict=True)]
    return cpu_seconds(lambda: [len(form.read(path, indices)) for path, indices in work], repeats=1)[1]


def _psnr(left: np.ndarray, right: np.ndarray) -> float:
    error = float(np.mean((left.astype(np.float32) - right.astype(np.float32)) ** 2))
    return float("inf") if error == 0 else 10 * float(np.log10(255**2 / error))


def _decibels(value: float) -> str:
    return "exact" if np.isinf(value) else f"{value:.1f}"


def in_rgb(picture: np.ndarray | None) -> np.ndarray:
    """What OpenCV read, (H, W, 3) BGR -> RGB."""
    assert picture is not None
    return cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)


def _images(suffix: str, options: list[int]) -> tuple[Write, Read]:
    """One image per frame, uncompressed in one zip file."""

    def write(path: Path, frames: np.ndarray) -> None:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
            for index, frame in enumerate(frames):
                data = cv2.imencode(suffix, cv2.cvtColor(frame, cv2.COLOR_RGB2BGR), options)[1]
                archive.writestr(f"{index:05d}{suffix}", data.tobytes())

    def read(path: Path, indices: Sequence[int]) -> np.ndarray:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            data = [np.frombuffer(archive.read(names[index]), np.uint8) for index in indices]
        return np.stack([in_rgb(cv2.imdecode(one, cv2.IMREAD_COLOR)) for one in data])

    return write, read


def _jpeg(quality: int, sampling: int) -> tuple[Write, Read]:
    return _images(".jpg", [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, sampling])


def _video(codec: str, container: str, pixels: str, options: dict[str, str]) -> tuple[Write, Read]:
    """A video file through PyAV, one thread, colours converted by swscale."""

    def write(path: Path, frames: np.ndarray) -> None:
        with av.open(str(path), "w", format=container) as file:
            stream = file.add_stream(codec, rate=int(FPS), options=options)
            assert isinstance(stream, av.VideoStream)
            stream.width, stream.height, stream.pix_fmt = frames.shape[2], frames.shape[1], pixels
            stream.codec_context.thread_count = 1
            for frame in frames:
                file.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
            file.mux(stream.encode())

    def read(path: Path, indices: Sequence[int]) -> np.ndarray:
        convert, wanted, found = VideoReformatter(), set(indices), {}
        with av.open(str(path)) as file:
            stream = file.streams.video[0]
            stream.codec_context.thread_count = 1
            packets = [packet for packet in file.demux(stream) if packet.size]
            needed = [index for index in range(len(packets)) if codec != "mjpeg" or index in wanted]
            frames = (
                frame
                for packet in [*(packets[i] for i in needed), None]
                for frame in stream.codec_context.decode(packet)
            )
            for index, frame in zip(needed, frames, strict=True):
                if index in wanted:
                    found[index] = convert.reformat(frame, format="rgb24").to_ndarray()
        return np.stack([found[index] for index in indices])

    return write, read


def _raw() -> tuple[Write, Read]:
    """What `pack` does with `prepare --codec raw`."""

    def write(path: Path, frames: np.ndarray) -> None:
        path.write_bytes(pack.encode(frames, FPS, codec="raw"))

    return write, pack.read_clip


def _packed(**changes: str) -> tuple[Write, Read]:
    """What `pack` does, with other options of the encoder."""

    def write(path: Path, frames: np.ndarray) -> None:
        path.write_bytes(pack.encode(frames, FPS, options={**pack.OPTIONS, **changes}))

    return write, pack.read_clip


HALF, FULL = cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444
FORMATS = (
    Format("raw 4:2:0, mkv (`--codec raw`)", *_raw(), "no"),
    Format("PNG in zip", *_images(".png", []), "no"),
    Format("JPEG 90, 4:2:0, in zip", *_jpeg(90, HALF), "no"),
    Format("JPEG 95, 4:2:0, in zip", *_jpeg(95, HALF), "no"),
    Format("JPEG 95, 4:4:4, in zip", *_jpeg(95, FULL), "no"),
    Format("MJPEG q2, 4:2:0, mkv", *_video("mjpeg", "matroska", "yuvj420p", {"qmin": "2", "qmax": "2"}), "no"),
    Format("MJPEG q5, 4:2:0, avi", *_video("mjpeg", "avi", "yuvj420p", {"qmin": "5", "qmax": "5"}), "no"),
    Format("MJPEG q2, 4:4:4, mkv", *_video("mjpeg", "matroska", "yuvj444p", {"qmin": "2", "qmax": "2"}), "no"),
    Format("H.264 crf 16, every frame a key frame", *_packed(g="1"), "yes"),
    Format(f"**H.264 crf {pack.QUALITY}, key frame every {pack.KEY_INTERVAL} (chosen)**", *_packed(), "yes"),
    Format("H.264 crf 20, key frame every 12", *_packed(crf="20"), "yes"),
    Format("H.264 crf 23, key frame every 12", *_packed(crf="23"), "yes"),
    Format("H.264 crf 16, key frame every 250", *_packed(g="250"), "yes"),
    Format("H.264 crf 16, preset medium", *_packed(preset="medium"), "yes"),
    Format("H.264 crf 16, without fastdecode", *_packed(tune="psnr"), "yes"),
    Format("H.264 crf 16, 4:4:4", *_video("libx264", "mp4", "yuv444p", pack.OPTIONS), "some"),
)
