"""Clips per second of packing: workers of this machine and a Ray cluster with as many cores; and with workers killed.

Clips of 720p H.264, packed as `prepare` does, in turns, by the clock. The cluster's nodes are on this machine; starts
do not count, since only the second half of the clips does. About five minutes.
"""

from __future__ import annotations

import os
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.scale import CLIP_FRAMES, video_720p
from benchmarks.timing import machine, table
from glossfree.cluster import Cluster
from glossfree.corpora.manifest import Clip, VideoFile
from glossfree.video.pack import Packing
from glossfree.video.prepare import PrepareResult, prepare

CLIPS, CORES, ROUNDS, KILLS = 24, (1, 2), 3, 5
ENGINES = "--workers", "--engine ray"
ABOUT = {"name": "copies", "language": "de", "settings": {}}


@contextmanager
def nodes(number: int) -> Iterator[Any]:
    """A Ray cluster of so many nodes of one core, all on this machine."""
    from ray.cluster_utils import Cluster as Nodes

    memory = {"object_store_memory": 100 * 2**20}
    cluster = Nodes(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False, **memory})
    try:
        for _ in range(number - 1):
            cluster.add_node(wait=True, num_cpus=1, **memory)
        yield cluster
    finally:
        cluster.shutdown()


def workers() -> list[int]:
    """The processes that are doing an item right now."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            if path.read_bytes().startswith(b"ray::_call"):
                found.append(int(path.parent.name))
    return found


@contextmanager
def killer(most: int) -> Iterator[list[int]]:
    """Meanwhile so many workers are killed, each in the middle of its work -> the processes killed."""
    killed: list[int] = []
    ends = threading.Event()

    def kill() -> None:
        while len(killed) < most and not ends.wait(0.2):
            for process in set(workers()) - set(killed):
                if len(killed) == most or ends.wait(0.1):
                    return
                with suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
                    killed.append(process)
                    break

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        yield killed
    finally:
        ends.set()
        thread.join()


def run(clips: int = CLIPS, rounds: int = ROUNDS, kills: int = KILLS) -> str:
    """Measure everything -> a table in Markdown."""
    with tempfile.TemporaryDirectory() as name:
        folder, numbers = Path(name), count()
        source = VideoFile(video_720p(folder))
        corpus = [Clip(f"{number}", "train", "wind", source) for number in range(clips)]

        def pack(cluster: Cluster | None, cores: int) -> tuple[PrepareResult, float]:
            """The result, and clips/s of the second half: a start is not counted."""
            ends: list[float] = []
            out, progress = folder / str(next(numbers)), lambda *_: ends.append(time.perf_counter())
            result = prepare(corpus, out, Packing(), ABOUT, workers=cores, cluster=cluster, on_progress=progress)
            return result, clips / 2 / (ends[-1] - ends[clips // 2])

        rates: dict[tuple[str, int], float] = {}
        for cores in CORES:
            with nodes(cores) as cluster, Cluster(cluster.address) as ray:
                turns = [(pack(None, cores), pack(ray, cores)) for _ in range(rounds)]
                for number, engine in enumerate(ENGINES):
                    rates[engine, cores] = median(turn[number][1] for turn in turns)
                with killer(kills if cores == CORES[-1] else 0) as killed:
                    disturbed, _ = pack(ray, cores)
        said = _said(turns[0][0][0], disturbed, len(killed))
    header = ["clips/s packed", *(f"{cores} cores" if cores > 1 else "1 core" for cores in CORES)]
    rows = [[f"`{engine}`", *(f"{rates[engine, cores]:.2f}" for cores in CORES)] for engine in ENGINES]
    rows.append(["ratio", *(f"{rates[ENGINES[1], cores] / rates[ENGINES[0], cores]:.2f}" for cores in CORES)])
    note = f"{clips} clips of {CLIP_FRAMES} frames of 720p H.264 to 256 x 256; second half, medians of {rounds} turns."
    return f"{table(header, rows)}\n\n{note} {said} {machine()}."


def _said(plain: PrepareResult, disturbed: PrepareResult, kills: int) -> str:
    """What a run with killed workers came to."""
    here, there = (
        [(each.manifest.folder / clip.file).read_bytes() for clip in each.manifest] for each in (plain, disturbed)
    )
    same = "the same files to the byte" if here == there else "other files"
    lost = len(plain.manifest.clips) - len(disturbed.manifest.clips)
    return f"With Ray and {kills} workers killed in mid-clip: {lost} clips lost, {same}."
