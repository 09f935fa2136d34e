"""`glossfree doctor` on a corpus of 10,000 rows: seconds from the start of its process to its end, and its memory.

NUM_VIDEOS different videos, drawn at 1280 x 720, are linked under ten thousand names, so that
every row has a file of its own to open; in a second corpus the rows are segments of these few videos. The third row is
`doctor` alone. About a minute on two cores.
"""

from __future__ import annotations

import csv
import os
import tempfile
from pathlib import Path

import av
import cv2

from benchmarks.loader import signer
from benchmarks.processes import Finished, finish
from benchmarks.timing import machine, table
from glossfree.corpora.manifest import SPLITS

ROWS, NUM_VIDEOS, FRAMES = 10_000, 300, 60
WIDTH, HEIGHT, FPS = 1280, 720, 25
DIFFERENT = 10  # pictures of their own: headers are alike anyway, and encoding takes long


def write_video(path: Path, seed: int, frames: int, size: tuple[int, int]) -> None:
    """A drawn signer as an encoder of the wild would write it."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        for frame in signer(frames, seed):
            picture = av.VideoFrame.from_ndarray(cv2.resize(frame, size), format="rgb24")
            container.mux(stream.encode(picture))
        container.mux(stream.encode())


def write_corpus(
    root: Path, rows: int, videos: int, frames: int, *, segments: bool, size: tuple[int, int] = (WIDTH, HEIGHT)
) -> Path:
    """A folder corpus of so many rows: each with a file of its own, or with a segment of one of the few videos."""
    root.mkdir()
    for number in range(videos):
        path = root / f"video{number}.mp4"
        if number < DIFFERENT:
            write_video(path, number, frames, size)
        else:
            path.write_bytes((root / f"video{number % DIFFERENT}.mp4").read_bytes())
    with (root / "sentences.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "id", "text", "split", *(["start", "end"] if segments else [])])
        for row in range(rows):
            name = f"video{row % videos}.mp4"
            if not segments and row >= videos:
                (root / f"clip{row}.mp4").hardlink_to(root / name)
                name = f"clip{row}.mp4"
            part = [0.01 * (row // videos), frames / FPS] if segments else []
            writer.writerow([name, f"clip{row}", f"am tag {row} regnet es", SPLITS[row % 3], *part])
    return root


def check(root: Path, rows: int) -> Finished:
    """`doctor` on a corpus. Raises AssertionError if it did not see every row."""
    done = finish("glossfree", "doctor", root)
    assert f"{rows:,} clips" in done.output, done.output
    return done


def run(
    rows: int = ROWS, videos: int = NUM_VIDEOS, frames: int = FRAMES, size: tuple[int, int] = (WIDTH, HEIGHT)
) -> str:
    """All three -> a table in Markdown."""
    lines = []
    with tempfile.TemporaryDirectory() as name:
        for label, segments in ((f"{rows:,} files", False), (f"{rows:,} segments of {videos:,} files", True)):
            root = write_corpus(Path(name) / str(segments), rows, videos, frames, segments=segments, size=size)
            done = check(root, rows)
            lines.append([label, f"{done.seconds:.1f}", f"{rows / done.seconds:,.0f}", f"{done.peak_gigabytes:.2f}"])
    alone = finish("glossfree", "doctor")
    lines.append(["the installation", f"{alone.seconds:.1f}", "", f"{alone.peak_gigabytes:.2f}"])
    note = (
        f"Videos of {size[0]} x {size[1]}, H.264 in MP4, in the system's memory; {os.cpu_count()} cores; the start of "
        f"the process is included. {machine()}."
    )
    return f"{table(['`glossfree doctor`', 's', 'rows/s', 'peak memory, GB'], lines)}\n\n{note}"
