"""Frames per second of a loader that reads loose files, shards on this disk, and shards at an address.

The address is a web server on localhost that waits before each answer, as a bucket far away would; its bytes are as
near as the disk's. An epoch at the paper's sizes, in turns, by the clock. About two minutes.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from functools import partial
from itertools import count
from pathlib import Path

from benchmarks.loader import LENGTHS, VIEW, packed
from benchmarks.object_store import Store, object_store
from benchmarks.timing import in_turns, machine, table
from glossfree.corpora.manifest import Manifest, PackedClip
from glossfree.corpora.remote import local_folder
from glossfree.video.dataset import ClipDataset
from glossfree.video.sampler import ClipLoader, ClipSampler
from glossfree.video.shards import write_shards

COPIES = 8  # of five clips
LATENCIES = (0.0, 0.05)  # seconds
WORKERS = (1, 2)
ROUNDS = 3


def corpus(folder: Path, copies: int) -> Manifest:
    """A prepared folder of so many copies of the loader's clips."""
    folder.mkdir()
    numbers, clips = count(), []
    for clip in packed(folder, VIEW):
        for number in (next(numbers) for _ in range(copies)):
            (folder / "clips/train").mkdir(parents=True, exist_ok=True)
            file = f"clips/train/{number}.mp4"
            shutil.copyfile(folder / clip.file, folder / file)
            clips.append(PackedClip(f"{number}", "train", "wind", file, clip.num_frames, 25.0))
    manifest = Manifest(folder, tuple(clips), {"name": "copies", "language": "de", "frame_size": VIEW.frame_size})
    manifest.save()
    return manifest


def epoch(loader: ClipLoader) -> int:
    """One epoch -> its frames."""
    loader.set_epoch(0)
    return sum(len(batch.frames) for batch in loader)


def loader(folder: Path, workers: int) -> ClipLoader:
    """The loader of training on a prepared folder, with its workers started."""
    dataset = ClipDataset(folder, Manifest.load(folder).split("train"), VIEW, augment=True)
    sampler = ClipSampler(dataset.lengths, batch_size=8, shuffle=True, seed=0)
    made = ClipLoader(dataset, sampler, num_workers=workers)
    epoch(made)
    return made


def run(copies: int = COPIES, rounds: int = ROUNDS) -> str:
    """Measure everything -> a table in Markdown."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["GLOSSFREE_CACHE"] = str(folder / "cache")
        loose = corpus(folder / "loose", copies)
        shutil.copytree(loose.folder, folder / "sharded")
        write_shards(Manifest.load(folder / "sharded"))
        with object_store(folder) as store:
            places = {"loose files": (loose.folder, 0.0), "shards": (folder / "sharded", 0.0)}
            far = local_folder(f"{store.address}/sharded")
            places |= {f"shards at an address, {1000 * each:.0f} ms away": (far, each) for each in LATENCIES}
            seconds = _seconds(store, places, rounds)
    frames, header = copies * sum(LENGTHS), ["frames/s, clips in", *(f"{each} workers" for each in WORKERS), "ratio"]
    rows = []
    for label in places:
        rates = [frames / seconds[f"{label}, {workers}"] for workers in WORKERS]
        ratio = seconds[f"loose files, {WORKERS[-1]}"] / seconds[f"{label}, {WORKERS[-1]}"]
        rows.append([label, *(f"{each:,.0f}" for each in rates), f"{ratio:.2f}"])
    note = f"An epoch of {len(loose.clips)} clips, 256 -> 224, augmented, batches of 8; medians of {rounds} turns."
    return f"{table(header, rows)}\n\n{note} {machine()}."


def _seconds(store: Store, places: Mapping[str, tuple[Path, float]], rounds: int) -> dict[str, float]:
    """Median seconds of an epoch from each place with each number of workers."""

    def measured(one: ClipLoader, latency: float) -> int:
        store.latency = latency
        return epoch(one)

    variants = {
        f"{label}, {workers}": partial(measured, loader(folder, workers), latency)
        for label, (folder, latency) in places.items()
        for workers in WORKERS
    }
    return in_turns(variants, rounds)
