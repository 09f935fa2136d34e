"""Long videos: memory of `prepare` and `translate` by the length of the video, and segments of an hour.

A drawn signer at 25 frames/s, over and over, packed at 256 x 256 pixels; H.264 with a key frame every ten seconds. Each
step is a process of its own, `prepare` with one worker. The demo's model translates (--demo names the folder of a
finished `make demo`). About three minutes on two cores.
"""

from __future__ import annotations

import csv
import tempfile
from pathlib import Path

import av

from benchmarks.loader import signer
from benchmarks.processes import Finished, finish
from benchmarks.timing import machine, table

FPS, GROUP = 25, 250  # frames per second; frames from key frame to key frame
MINUTES = (1, 10)
HOUR, SEGMENT, NUM_SEGMENTS = 60, 10, 60  # minutes; seconds; so many segments, spread over the hour


def run(demo: Path = Path("runs/demo"), minutes: tuple[int, ...] = MINUTES, hour: int = HOUR) -> str:
    """Both tables in Markdown."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = []
        for length in minutes:
            video = write_video(folder / f"{length}/video.mp4", length)
            write_sentences(video.parent, [("video.mp4", 0, length * 60)])
            packed = prepare(video.parent)
            windows = finish("glossfree", "translate", demo / "model", video, "--window", 5)
            whole = finish("glossfree", "translate", demo / "model", video)
            peaks = (f"{1000 * each.peak_gigabytes:.0f}" for each in (packed, windows, whole))
            rows.append([f"{length} min", f"{packed.seconds:.1f}", *peaks])
        long = write_video(folder / "hour/video.mp4", hour)
        step = (hour * 60 - SEGMENT) / (NUM_SEGMENTS - 1)
        parts = [
            ("video.mp4", round(number * step, 2), round(number * step, 2) + SEGMENT) for number in range(NUM_SEGMENTS)
        ]
        write_sentences(long.parent, parts)
        packed = prepare(long.parent)
        frames = NUM_SEGMENTS * SEGMENT * FPS
    header = ["video", "prepare, s", "prepare, MB", "translate --window 5, MB", "translate, MB"]
    note = (
        f"Peak memory of the process. {NUM_SEGMENTS} segments of {SEGMENT} s, of a video of {hour} minutes: packed in "
        f"{packed.seconds:.1f} s, {frames / packed.seconds:,.0f} of their own frames/s, in "
        f"{1000 * packed.peak_gigabytes:.0f} MB. {machine()}."
    )
    return f"{table(header, rows)}\n\n{note}"


def prepare(root: Path) -> Finished:
    """`glossfree prepare folder` with one worker."""
    options = ("--language", "de", "--workers", 1)
    return finish("glossfree", "prepare", "folder", "--root", root, "--out", root / "out", *options)


def write_video(path: Path, minutes: int) -> Path:
    """A drawn signer for so many minutes."""
    path.parent.mkdir(parents=True)
    pictures = [av.VideoFrame.from_ndarray(frame, format="rgb24") for frame in signer(GROUP, seed=0)]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"preset": "ultrafast", "g": str(GROUP)})
        stream.width, stream.height, stream.pix_fmt = pictures[0].width, pictures[0].height, "yuv420p"
        for number in range(minutes * 60 * FPS):
            picture = pictures[number % GROUP]
            picture.pts = None
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    return path


def write_sentences(root: Path, parts: list[tuple[str, float, float]]) -> None:
    """A sentence file with a row for each part (file, start, end)."""
    with (root / "sentences.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "path", "start", "end", "text", "split"])
        for number, (name, start, end) in enumerate(parts):
            writer.writerow([f"part{number}", name, start, end, f"am tag {number} regnet es", "train"])
