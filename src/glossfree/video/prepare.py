"""Clips of a corpus -> a prepared folder: packed videos, `manifest.jsonl`, `corpus.json` (docs/data.md).

Worker processes write the files themselves and return a small record, so memory does not grow with the corpus. A run
can be killed at any moment: writes are atomic, `packed.jsonl` lists each file with a fingerprint of its source and
settings, and the next run packs only what is missing or has changed.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import av
import cv2
import numpy as np

from glossfree.cluster import Cluster, Lost
from glossfree.console import Result
from glossfree.corpora.manifest import FORMAT, IDENTITY, MANIFEST, SPLITS, Clip, Manifest, PackedClip, SignSpan
from glossfree.errors import ClipError, CorpusError, GlossfreeError
from glossfree.files.disk import alone_in, write_atomic
from glossfree.video.decode import Reader, VideoReader, open_source
from glossfree.video.frames import fit_frame, fitted
from glossfree.video.intake import profile_of
from glossfree.video.pack import (
    SETTINGS,
    SUFFIXES,
    Packing,
    Record,
    append_record,
    encode,
    fingerprint,
    make_clean_folder,
    read_journal,
    write_journal,
)
from glossfree.video.timeline import Timeline

CLIPS = "clips"
Progress = Callable[[int, int, int], None]


@dataclass(frozen=True)
class PrepareResult(Result):
    """The result of `prepare`. `skipped` clips were packed before; `frames` and `seconds` count this run only.

    `failed`: (clip id, problem) of each clip that could not be read.
    """

    manifest: Manifest
    failed: tuple[tuple[str, str], ...]
    packed: int
    skipped: int
    frames: int
    seconds: float
    warnings: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        """1 if a clip could not be read."""
        return int(bool(self.failed))

    @property
    def splits(self) -> dict[str, int]:
        """Packed clips of each split."""
        return {split: sum(clip.split == split for clip in self.manifest) for split in SPLITS}

    @property
    def frames_per_second(self) -> float:
        """Frames packed per second of wall time, by all workers together."""
        return self.frames / self.seconds if self.seconds > 0 else 0.0

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "corpus": self.manifest.corpus["name"],
            "out": str(self.manifest.folder),
            "splits": self.splits,
            "packed": self.packed,
            "skipped": self.skipped,
            "failed": [{"id": clip_id, "message": message} for clip_id, message in self.failed],
            "warnings": list(self.warnings),
            "frames": self.frames,
            "seconds": self.seconds,
            "complete": not self.failed,
            "frames_per_second": round(self.frames_per_second, 1),
        }

    def to_text(self) -> str:
        """One line: counts and speed."""
        counts = f"{self.packed} clips packed, {self.skipped} there before"
        return f"{self.manifest.folder}: {counts}, {self.frames_per_second:.0f} frames/s"


@dataclass(frozen=True)
class Task:
    """One clip to pack: `file` is relative to the prepared folder `out`."""

    clip: Clip
    out: Path
    file: str
    packing: Packing
    fingerprint: str


def prepare(
    clips: Sequence[Clip],
    out: Path,
    packing: Packing,
    about: Mapping[str, Any],
    *,
    workers: int = 1,
    cluster: Cluster | None = None,
    strict: bool = False,
    on_progress: Progress = lambda done, total, frames: None,
) -> PrepareResult:
    """Pack clips into `out` and write its manifest, in the order of the corpus.

    `about`: name, title, language and settings of the corpus, for `corpus.json`. `workers` processes; 0 and
    1 mean this one. With a `cluster`, its workers instead.
    `on_progress(clips done, clips in all, frames packed)`. A clip that cannot be read is listed in `failed` and in
    corpus.json; with `strict` its ClipError is raised. Raises CorpusError: an id twice, no readable clip, `out` cannot
    be written; GlossfreeError: a worker died. After any of them, as after an interruption, the same call goes on where
    this one stopped.
    """
    tasks = _tasks(clips, out, packing)
    with alone_in(out):
        return _prepare(tasks, about, workers, cluster, strict, on_progress)


def _prepare(
    tasks: list[Task],
    about: Mapping[str, Any],
    workers: int,
    cluster: Cluster | None,
    strict: bool,
    on_progress: Progress,
) -> PrepareResult:
    out = tasks[0].out
    started = time.perf_counter()
    make_clean_folder(out / CLIPS)
    journal = read_journal(out)
    kept = {task.clip.id for task in tasks if _is_packed(task, journal)}
    todo = [task for task in tasks if task.clip.id not in kept]
    if any(task.fingerprint and (out / task.file).exists() for task in todo):
        (out / MANIFEST).unlink(missing_ok=True)  # its files are about to change; those without a source cannot
    failed: dict[str, str] = {}
    frames = 0
    on_progress(len(kept), len(tasks), frames)
    write_journal(out, journal.values())
    try:
        with closing(_pack_all(todo, workers) if cluster is None else _pack_on(cluster, todo)) as outcomes:
            for done, (clip_id, outcome) in enumerate(outcomes, start=len(kept) + 1):
                if isinstance(outcome, ClipError):
                    if strict:
                        raise outcome
                    failed[clip_id] = str(outcome)
                else:
                    journal[clip_id] = outcome
                    append_record(out, outcome)
                    frames += outcome.num_frames
                on_progress(done, len(tasks), frames)
    finally:
        make_clean_folder(out / CLIPS)
    manifest = _manifest(about, tasks, journal, failed)
    manifest.corpus["profile"] = profile_of(manifest)
    manifest.save()
    problems = tuple((task.clip.id, failed[task.clip.id]) for task in tasks if task.clip.id in failed)
    return PrepareResult(manifest, problems, len(todo) - len(failed), len(kept), frames, time.perf_counter() - started)


def _tasks(clips: Sequence[Clip], out: Path, packing: Packing) -> list[Task]:
    clip_id, count = Counter(clip.id for clip in clips).most_common(1)[0]
    if count > 1:
        raise CorpusError(f"clip id {clip_id!r} twice", where=out, remedy="give every clip an id of its own")
    return [Task(clip, out, _file(clip, packing), packing, fingerprint(clip, packing)) for clip in clips]


def _file(clip: Clip, packing: Packing) -> str:
    """The clip's file in the prepared folder; characters that a file name cannot hold become %XX."""
    return f"{CLIPS}/{quote(clip.split, safe=' ')}/{quote(clip.id, safe=' ()+,=@')}{SUFFIXES[packing.codec]}"


def _is_packed(task: Task, journal: dict[str, Record]) -> bool:
    record, path = journal.get(task.clip.id), task.out / task.file
    if record is None or not task.fingerprint or (record.file, record.fingerprint) != (task.file, task.fingerprint):
        return False
    if record.shard is not None:
        return record.shard.size == record.num_bytes and record.shard.below(task.out).is_there()
    return path.is_file() and path.stat().st_size == record.num_bytes


def _pack_all(tasks: list[Task], workers: int) -> Generator[tuple[str, Record | ClipError], None, None]:
    """Tasks -> (clip id, record or error) as they finish."""
    if workers <= 1 or len(tasks) <= 1:
        yield from map(_pack, tasks)
        return
    context = multiprocessing.get_context("spawn")  # fork would copy the parent's threads in the middle of their work
    pool = ProcessPoolExecutor(min(workers, len(tasks)), mp_context=context, initializer=_start_worker)
    try:
        for future in as_completed({pool.submit(_pack, task) for task in tasks}):
            yield future.result()
    except BrokenProcessPool as error:
        raise GlossfreeError(
            "a packing process died (killed, or out of memory)",
            where=tasks[0].out,
            remedy="run the same command again with fewer workers: packed clips are kept",
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _pack_on(cluster: Cluster, tasks: list[Task]) -> Generator[tuple[str, Record | ClipError], None, None]:
    """Tasks -> (clip id, record or error) as workers of a cluster finish; the files are written here."""
    for number, outcome in cluster.map(encode_clip, tasks):
        task = tasks[number]
        if isinstance(outcome, Lost):
            outcome = outcome.error(f"clip {task.clip.id}")
        yield task.clip.id, outcome if isinstance(outcome, ClipError) else _written(task, *outcome)


def _start_worker() -> None:
    """Use one thread. Ctrl-C ends the worker at once; so does the end of its parent, which may be killed."""
    cv2.setNumThreads(1)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def end_with_parent() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=end_with_parent, daemon=True).start()


def _pack(task: Task) -> tuple[str, Record | ClipError]:
    """Decode or render one clip and write its file. A problem of the clip is returned; a full disk is raised."""
    outcome = encode_clip(task)
    return task.clip.id, outcome if isinstance(outcome, ClipError) else _written(task, *outcome)


def encode_clip(task: Task) -> tuple[Record, bytes] | ClipError:
    """Decode or render one clip -> its line in the journal and the bytes of its file, or what is wrong with it."""
    clip, packing = task.clip, task.packing
    cv2.setNumThreads(1)
    try:
        reader = open_source(clip.source, clip.id, clip.fps, drawing_size=packing.frame_size)
        timeline, indices = reader.timeline, reader.timeline.at_rate(packing.fps)
        if not timeline.has_rate(packing.fps):
            timeline = Timeline.constant(len(indices), packing.fps)
        times = () if timeline.is_constant else tuple(np.round(timeline.times, 6).tolist())
        squares = _squares(reader, indices, packing)
        data = encode(squares, timeline.fps, times or None, codec=packing.codec)
    except ClipError as error:
        return error
    except MemoryError:
        remedy = "cut it into shorter clips, or use fewer workers"
        return ClipError("does not fit into memory", where=f"clip {clip.id}", remedy=remedy)
    facts = task.file, task.fingerprint, len(timeline), timeline.fps, len(data), round(reader.aspect, 4), times
    return Record(clip.id, *facts), data


def _squares(reader: Reader, indices: np.ndarray, packing: Packing) -> Iterator[np.ndarray | av.VideoFrame]:
    """The frames of a clip as they are packed."""
    size, fit = packing.frame_size, packing.fit
    if isinstance(reader, VideoReader) and size % 2 == 0:
        return reader.read_squares(indices, size, fit)
    return (fit_frame(frame, size, fit) for frame in reader.read(indices, fitted(size, fit)))


def _written(task: Task, record: Record, data: bytes) -> Record:
    """Write the file of a packed clip. Raises CorpusError."""
    write_atomic(task.out / task.file, data, parents=True)
    return record


def _spans_at(clip: Clip, fps: float) -> tuple[SignSpan, ...]:
    """The spans of a clip in frames of the packed one, which may have another rate."""
    ratio = fps / clip.fps if clip.spans and clip.fps else 1.0
    return tuple(SignSpan(span.gloss, round(span.start * ratio), round(span.end * ratio)) for span in clip.spans)


def _manifest(
    about: Mapping[str, Any], tasks: list[Task], journal: dict[str, Record], failed: dict[str, str]
) -> Manifest:
    """The manifest of everything that is packed. Raises CorpusError if nothing is."""
    out, good = tasks[0].out, [(task.clip, journal[task.clip.id]) for task in tasks if task.clip.id not in failed]
    if not good:
        first = next(iter(failed.values()))
        raise CorpusError(f"none of {len(tasks)} clips can be read; the first: {first}", where=out)
    packed = tuple(
        PackedClip(
            **{name: getattr(clip, name) for name in ("id", "split", "text", "signer", "glosses")},
            **{name: getattr(record, name) for name in ("file", "num_frames", "fps", "aspect", "times", "shard")},
            spans=_spans_at(clip, record.fps),
        )
        for clip, record in good
    )
    rates = [clip.fps for clip in packed]
    corpus = {
        "format": FORMAT,
        **{key: about[key] for key in IDENTITY if key in about},
        "frame_size": tasks[0].packing.frame_size,
        "fit": tasks[0].packing.fit,
        "fps": [min(rates), max(rates)],
        "codec": tasks[0].packing.codec,
        "container": SETTINGS[tasks[0].packing.codec],
        "settings": about["settings"],
        "splits": dict(Counter(clip.split for clip in packed)),
        "frames": sum(clip.num_frames for clip in packed),
        "problems": [{"id": task.clip.id, "message": failed[task.clip.id]} for task in tasks if task.clip.id in failed],
    }
    return Manifest(out, packed, corpus)
