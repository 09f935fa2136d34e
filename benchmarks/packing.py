"""Frames packed per second of one core: FFmpeg scales, against RGB of full size that OpenCV scales, as it was before.

H.264 sources of a drawn signer with camera noise, in turns; decoding and scaling alone is what no packing can undercut.
The path of before is kept here only. PSNR compares the packed pixels of both.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import cv2
import numpy as np
from av.video.reformatter import Colorspace, Interpolation, VideoReformatter

from benchmarks.timing import cpu_seconds, machine, table
from glossfree.avatar.signing import SignedSentence
from glossfree.corpora.manifest import Clip, VideoFile
from glossfree.video.frames import Fit, fit_frame
from glossfree.video.pack import OPTIONS, Packing, read_clip
from glossfree.video.prepare import Task, encode_clip

SIZE, ROUNDS, FRAMES = 256, 3, 36
BT709 = 1
SOURCES: tuple[tuple[int, int, int, Fit], ...] = (  # width, height, colours, fit
    (1920, 1080, 0, "stretch"),
    (1280, 720, 0, "stretch"),
    (1280, 720, BT709, "stretch"),
    (1280, 720, 0, "pad"),
    (1280, 720, 0, "crop"),
    (640, 360, 0, "stretch"),
    (320, 240, 0, "stretch"),
    (256, 256, 0, "stretch"),
    (64, 64, 0, "stretch"),
)


def write_source(path: Path, frames: np.ndarray, width: int, height: int, colours: int) -> None:
    """An H.264 file as a camera's software keeps it."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "20", "preset": "fast"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        if colours:
            stream.codec_context.colorspace = colours
        for frame in frames:
            frame = cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


def decoded(path: Path) -> Iterator[av.VideoFrame]:
    """The frames of a file, by one thread."""
    with av.open(str(path)) as container:
        container.streams.video[0].codec_context.thread_count = 1
        yield from container.decode(video=0)


def before(path: Path, fit: Fit) -> bytes:
    """Pack as it was: RGB of full size, scaled by OpenCV, and back to 4:2:0."""
    buffer, convert = io.BytesIO(), VideoReformatter()

    def pictures() -> Iterator[np.ndarray]:
        for frame in decoded(path):
            picture = convert.reformat(frame, format="rgb24").to_ndarray()
            yield picture  # kept while the next one is made, which cost memory from the system each time

    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=25, options=OPTIONS)
        stream.width, stream.height, stream.pix_fmt = SIZE, SIZE, "yuv420p"
        stream.codec_context.thread_count = 1
        stream.codec_context.colorspace = Colorspace.ITU601
        for square in (fit_frame(picture, SIZE, fit) for picture in pictures()):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(square), format="rgb24")))
        container.mux(stream.encode())
    return buffer.getvalue()


def now(path: Path, fit: Fit) -> bytes:
    """Pack as `prepare` does."""
    task = Task(Clip("a", "train", "wind", VideoFile(path)), path.parent, "a.mp4", Packing(SIZE, fit), "")
    outcome = encode_clip(task)
    assert isinstance(outcome, tuple), outcome
    return outcome[1]


def alone(path: Path) -> int:
    """Decode and scale, and keep nothing."""
    convert, area = VideoReformatter(), Interpolation.AREA
    return sum(
        convert.reformat(frame, SIZE, SIZE, format="yuv420p", interpolation=area, threads=1).width > 0
        for frame in decoded(path)
    )


def run() -> str:
    """The table, as Markdown."""
    cv2.setNumThreads(1)
    signer = SignedSentence(("MORGEN", "REGEN", "NORD", "WIND"), signer=3, seed=5, fps=25.0).render(1080)
    frames = np.pad(signer, ((0, 0), (0, 0), (420, 420), (0, 0)), mode="edge")[:FRAMES]
    rows = []
    with tempfile.TemporaryDirectory() as name:
        for width, height, colours, fit in SOURCES:
            path = Path(name) / "source.mp4"
            write_source(path, frames, width, height, colours)
            rows.append(
                [f"{width} x {height}{', BT.709' if colours else ''}, {fit}", *_measure(path, fit, len(frames))]
            )
    header = ["source, --fit", "before, frames/s", "now, frames/s", "ratio", "decoding and scaling alone", "PSNR"]
    return f"{table(header, rows)}\n\nPacked at {SIZE} x {SIZE}, one core, best of {ROUNDS} turns. {machine()}."


def _measure(path: Path, fit: Fit, count: int) -> list[str]:
    works: dict[str, Callable[[], object]] = {
        "before": lambda: before(path, fit),
        "now": lambda: now(path, fit),
        "alone": lambda: alone(path),
    }
    best = dict.fromkeys(works, float("inf"))
    for _ in range(ROUNDS):
        for name, work in works.items():
            best[name] = min(best[name], cpu_seconds(work, repeats=1)[1])
    packed = []
    for data in (before(path, fit), now(path, fit)):
        (path.parent / "packed.mp4").write_bytes(data)
        packed.append(read_clip(path.parent / "packed.mp4").astype(np.float32))
    psnr = 10 * np.log10(255**2 / np.mean((packed[0] - packed[1]) ** 2))
    ratio = best["before"] / best["now"]
    rates = {name: f"{count / seconds:,.0f}" for name, seconds in best.items()}
    return [rates["before"], rates["now"], f"{ratio:.2f}", rates["alone"], f"{psnr:.1f}"]
