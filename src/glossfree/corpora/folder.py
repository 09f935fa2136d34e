"""A folder of the user's videos and a table of sentences -> clips.

ROOT holds videos or image folders anywhere below it, and one `sentences.csv`, `.tsv` or `.jsonl` with the columns
`text`, `split` (train, dev, test) and `path` (relative to ROOT) or `id` (a file's stem, or an image folder's name);
`signer` is optional, and so are `glosses` (separated by blanks), start and end of a segment (see `segments`) and `fps`
of image folders. All problems of the table are reported at once, with their lines. A row whose file is missing becomes
a clip that cannot be packed.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from glossfree.corpora.files import VIDEOS, Files, safe_id
from glossfree.corpora.manifest import SPLITS, Clip, FrameFolder, Segment, VideoFile, overlap_warning
from glossfree.corpora.segments import COLUMNS, SIGNAL_NOTE, decimal, segment_label, segment_of
from glossfree.errors import CorpusError, did_you_mean, name_groups, name_some, shortened
from glossfree.files.encoding import SPREADSHEETS, spreadsheet_error
from glossfree.files.tables import (
    JSON_LINES,
    SYNONYMS,
    Row,
    Table,
    name_columns,
    read_table,
    rename_columns,
    split_of,
)

SENTENCES = ("sentences.csv", "sentences.tsv", "sentences.jsonl")
_REMEDY = f"{' or '.join(SENTENCES)} with the columns text, split, and path or id"


def sentence_file(root: Path) -> Path:
    """ROOT -> its one sentence file. Raises CorpusError: ROOT missing, no sentence file, more than one."""
    if not root.is_dir():
        raise CorpusError("no such folder", where=root, remedy="--root is the folder with the videos")
    here = sorted(path for path in root.iterdir() if path.stem.lower() == "sentences" and path.is_file())
    tables = [path for path in here if path.name.lower() in SENTENCES]
    workbooks = [path for path in here if path.suffix.lower() in SPREADSHEETS]
    if workbooks and not tables:
        raise spreadsheet_error(workbooks[0])
    if not tables:
        raise CorpusError("no sentence file in it", where=root, remedy=f"write {_REMEDY}")
    if len(tables) > 1:
        names = ", ".join(path.name for path in tables)
        raise CorpusError(f"more than one sentence file: {names}", where=root, remedy="keep one of them")
    return tables[0]


def read_rows(path: Path) -> Table:
    """A sentence file -> its table, columns renamed to those of SYNONYMS, fields stripped.

    Raises CorpusError as `read_table` does, for a missing column, and for a table without rows.
    """
    table = rename_columns(read_table(path), SYNONYMS)
    lines = path.suffix.lower() in JSON_LINES
    if not lines and (table.columns or table.rows):
        _check_columns(path, table.columns)
    for row in table.rows if lines else ():
        _check_columns(f"{path}, line {row.line}", row.fields)
    if not table.rows:
        raise CorpusError("no sentences in it", where=path, remedy="one line per clip")
    rows = (Row(row.line, {name: value.strip() for name, value in row.fields.items()}) for row in table.rows)
    return replace(table, rows=tuple(rows))


def _check_columns(where: str | Path, columns: Iterable[str]) -> None:
    missing = [column for column in ("text", "split") if column not in columns]
    if not {"path", "id"} & set(columns):
        missing.append("path (or id)")
    if missing:
        problem = f"missing column {', '.join(missing)}; columns here: {name_columns(columns)}"
        raise CorpusError(problem, where=where, remedy=_REMEDY)


@dataclass(frozen=True)
class _Entry:
    """A valid row: `name` is the id before `safe_id`, `place` the file (None if it is missing)."""

    row: Row
    name: str
    place: Path | None
    segment: Segment | None

    @property
    def reference(self) -> str:
        return self.row.fields.get("path") or self.row.fields["id"]


def read_clips(root: Path) -> list[Clip]:
    """ROOT -> all clips of its sentence file, in order. Raises CorpusError with all problems, the first ten in full."""
    return _read(root)[0]


def _read(root: Path) -> tuple[list[Clip], list[str]]:
    """ROOT -> its clips, and notes on how the sentence file was read."""
    path = sentence_file(root)
    table = read_rows(path)
    files = Files(root)
    problems: list[str] = []
    entries: list[_Entry] = []
    for row in table.rows:
        row_problems = [*_row_problems(row)]
        try:
            entries.append(_entry(files, row))
        except ValueError as error:
            row_problems.append(str(error))
        problems += [f"line {row.line}: {problem}" for problem in row_problems]
    missing = [entry.reference for entry in entries if entry.place is None]
    if missing and not problems and len(missing) == len(entries):
        problem = f"none of {len(entries):,} files of {path.name} exists: {name_some(missing)}"
        remedy = "paths are relative to --root, ids are names of videos or image folders below it"
        raise CorpusError(problem, where=root, remedy=remedy)
    named, notes = _rename_segments(entries)
    clips: dict[str, tuple[Clip, int]] = {}  # by id, with the line
    for entry in named:
        clip = _clip(root, entry)
        if clip.id in clips:
            first = f"(first in line {clips[clip.id][1]})"
            problems.append(f"line {entry.row.line}: duplicate id {shortened(clip.id)!r} {first}")
        clips.setdefault(clip.id, (clip, entry.row.line))
    notes += _notes(table, entries)
    notes += name_groups({"listed files missing": missing})
    if problems:
        problems += notes[-1:] if missing else []
        several = f"{len(problems):,} problems: " if len(problems) > 1 else ""
        listed = "; ".join(problems[:10]) + (f"; and {len(problems) - 10:,} more" if len(problems) > 10 else "")
        raise CorpusError(several + listed, where=path, remedy="correct these lines")
    return [clip for clip, _ in clips.values()], [*table.notes, *notes]


def _row_problems(row: Row) -> Iterator[str]:
    split = row.fields["split"]
    if split_of(split) not in SPLITS:
        guess = did_you_mean(split[:40].lower(), SPLITS) or f", one of {', '.join(SPLITS)} expected"
        yield f"split {shortened(split, 40)!r}{guess}"
    if not row.fields["text"]:
        yield f"empty sentence of {shortened(row.fields.get('id') or row.fields.get('path', ''))!r}"
    if (fps := row.fields.get("fps")) and (decimal(fps) or 0) <= 0:
        yield f"fps {shortened(fps, 40)!r} is not a number of frames per second"


def _entry(files: Files, row: Row) -> _Entry:
    """A row -> its entry. Raises ValueError: no path and no id, a path out of ROOT, several files, a bad segment."""
    reference, clip_id = row.fields.get("path", "").replace("\\", "/"), row.fields.get("id", "")
    if not reference and not clip_id:
        raise ValueError("neither path nor id")
    if reference:
        relative = PurePosixPath(reference)
        if relative.is_absolute() or ".." in relative.parts or reference[1:2] == ":" or not relative.name:
            problem = f"path {shortened(reference)!r} leads out of the folder: paths are relative to {files.root}"
            raise ValueError(problem)
        places = files.by_path(relative)
    else:
        relative = PurePosixPath(clip_id)
        places = files.by_id(clip_id)
    if len(places) > 1:
        listed = name_some([str(place.relative_to(files.root)) for place in places])
        kind = "path" if reference else "id"
        problem = f"{kind} {shortened(reference or clip_id)!r} matches {len(places)} files: {listed}"
        raise ValueError(f"{problem}; name one in a column path")
    bare = relative.with_suffix("") if relative.suffix.lower() in VIDEOS else relative
    name = clip_id if reference and clip_id else "__".join(bare.parts) if reference else clip_id
    return _Entry(row, name, places[0] if places else None, segment_of(row.fields))


def _rename_segments(entries: Sequence[_Entry]) -> tuple[list[_Entry], list[str]]:
    """Add the times to the names of segments of one video that share a name; and a note about it."""
    places: dict[str, set[Path | str]] = {}
    labels: dict[str, set[str]] = {}
    for entry in entries:
        places.setdefault(entry.name, set()).add(entry.place or entry.reference)
        labels.setdefault(entry.name, set()).add(segment_label(entry.segment))
    shared = {name for name in places if len(places[name]) == 1 and len(labels[name]) > 1}
    named = [
        replace(entry, name=f"{entry.name}__{segment_label(entry.segment)}") if entry.name in shared else entry
        for entry in entries
    ]
    changed = [new.name for new, entry in zip(named, entries, strict=True) if entry.name in shared]
    note = f"{len(changed):,} rows share a video and have no id: they are named by time, as {''.join(changed[:1])}"
    return named, [note] if shared else []


def _clip(root: Path, entry: _Entry) -> Clip:
    fields, place = entry.row.fields, entry.place or root / entry.reference.replace("\\", "/")
    text = " ".join(fields["text"].split())  # a quoted field may contain line breaks
    signer = " ".join(fields.get("signer", "").split())
    is_folder = entry.place is not None and place.is_dir()
    source = FrameFolder(place, entry.segment) if is_folder else VideoFile(place, entry.segment)
    fps = decimal(fields.get("fps", "")) if is_folder else None  # a video file has its own rate
    glosses = tuple(fields.get("glosses", "").split())
    return Clip(safe_id(entry.name), split_of(fields["split"]), text, source, signer, fps=fps, glosses=glosses)


def _notes(table: Table, entries: Sequence[_Entry]) -> Iterator[str]:
    """Notes for the user on how splits, times and rates were read."""
    splits = Counter(row.fields["split"] for row in table.rows)
    others = [
        f"{name} as {split_of(name)} ({count:,} rows)" for name, count in splits.items() if split_of(name) != name
    ]
    if others:
        yield f"splits are read under other names: {', '.join(others)}"
    if any(row.fields.get(column) for row in table.rows for column in COLUMNS["signal"]):
        yield SIGNAL_NOTE
    rates = sum(bool(entry.row.fields.get("fps")) and bool(entry.place and entry.place.is_file()) for entry in entries)
    if rates:
        yield f"column fps counts for folders of images: {rates:,} video files keep their own rate"


def clips(root: Path, split: str, *, limit: int | None = None) -> Iterator[Clip]:
    """ROOT -> the clips of one split in the order of the sentence file, the first `limit` of them."""
    yield from [clip for clip in read_clips(root) if clip.split == split][:limit]


def check(root: Path) -> list[str]:
    """ROOT -> notes on how the table was read, missing files, empty splits, shared sentences, files without a sentence.

    Raises CorpusError as `read_clips` does.
    """
    all_clips, problems = _read(root)
    problems += [f"no clip in split {split}" for split in SPLITS if all(clip.split != split for clip in all_clips)]
    sources = [clip.source.path for clip in all_clips if isinstance(clip.source, VideoFile | FrameFolder)]
    used = {os.path.realpath(path) for path in sources}
    places = [place for places in Files(root).sources.values() for place in places]
    unused = sorted(str(place.relative_to(root)) for place in places if os.path.realpath(place) not in used)
    problems += name_groups({"videos or image folders without a sentence": unused})
    warning = overlap_warning(all_clips)
    return [*problems, warning] if warning else problems
