"""What a prepared folder already holds: `packed.jsonl`, one line per packed file, with a fingerprint of its making.

Written line by line while packing goes on, so that a run killed at any moment loses at most the clips under way.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from glossfree.corpora.manifest import Clip, FrameFolder, VideoFile
from glossfree.errors import GlossfreeError
from glossfree.files.disk import write_atomic
from glossfree.video.fit import Fit
from glossfree.video.pack import SETTINGS

JOURNAL = "packed.jsonl"


@dataclass(frozen=True)
class Record:
    """A line of the journal: one packed file, and what it was made from; `aspect`, `times` as in `PackedClip`."""

    id: str
    file: str
    fingerprint: str
    num_frames: int
    fps: float
    num_bytes: int
    aspect: float = 0.0
    times: tuple[float, ...] = ()


def read_journal(out: Path) -> dict[str, Record]:
    """`packed.jsonl` -> the last record of each clip id; a half-written line, left by a kill, counts for nothing."""
    path = out / JOURNAL
    records: dict[str, Record] = {}
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else ():
        try:
            values = json.loads(line)
            record = Record(**{**values, "times": tuple(values.get("times", ()))})
        except (ValueError, TypeError, AttributeError):
            continue
        records[record.id] = record
    return records


def fingerprint(clip: Clip, frame_size: int, fit: Fit = "stretch", fps: float = 0.0) -> str:
    """What a packed file depends on, as a hash: the source's identity, the rate, the size, how packing is done.

    `fps`: the rate that it is resampled to, 0 for its own.

    A video file is known by path, size and time of change; a frame folder by path, time of change and number of files;
    a drawing by its `repr`. Empty where the source cannot be looked at: such a clip is never taken as packed.
    """
    source = clip.source
    try:
        if isinstance(source, VideoFile):
            status = Path(source.path).stat()
            identity = [str(Path(source.path).resolve()), status.st_size, status.st_mtime_ns]
        elif isinstance(source, FrameFolder):
            folder = Path(source.path)
            identity = [str(folder.resolve()), folder.stat().st_mtime_ns, sum(1 for _ in os.scandir(folder))]
        else:
            identity = [type(source).__qualname__, repr(source)]
    except OSError:
        return ""
    segment = getattr(source, "segment", None)
    unusual = [] if (fit, fps, segment) == ("stretch", 0, None) else [fit, fps, str(segment)]
    made_of = [SETTINGS, frame_size, clip.fps, identity, *unusual]
    return hashlib.sha256(json.dumps(made_of).encode()).hexdigest()[:32]


@contextmanager
def appending(out: Path, journal: dict[str, Record]) -> Iterator[Callable[[Record], None]]:
    """The journal rewritten without its torn lines, then open for one line per packed clip, flushed at once."""
    write_atomic(out / JOURNAL, "".join(_line(record) for record in journal.values()))
    with (out / JOURNAL).open("a", encoding="utf-8") as file:

        def append(record: Record) -> None:
            try:
                file.write(_line(record))
                file.flush()
            except OSError as error:
                raise GlossfreeError(
                    f"cannot be written ({error.strerror})",
                    where=out / JOURNAL,
                    remedy="check space, then run it again",
                ) from error

        yield append


def _line(record: Record) -> str:
    return json.dumps(asdict(record), ensure_ascii=False) + "\n"
