"""A folder of one's own videos and a table of sentences -> clips.

ROOT holds videos or image folders anywhere below it, and one `sentences.csv`, `.tsv` or `.jsonl` with the columns
`text`, `split` (train, dev, test) and `path` (relative to ROOT) or `id` (a file's stem, or an image folder's name);
`signer` is optional, so are start and end of a segment (see `segments`), and `fps` of image folders. Everything that is
wrong with the table is reported at once, with the lines. A row whose file is missing is a clip that cannot be packed.
"""

from __future__ import annotations

import difflib
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from glossfree.corpora.checks import overlap_warning, safe_id
from glossfree.corpora.files import VIDEOS, Files
from glossfree.corpora.manifest import SPLITS, Clip, FrameFolder, Segment, VideoFile
from glossfree.corpora.segments import COLUMNS, SIGNAL_NOTE, decimal, segment_label, segment_of
from glossfree.errors import CorpusError, name_some, shortened
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
    if not tables:
        for path in here:
            if path.suffix.lower() in SPREADSHEETS:
                raise spreadsheet_error(path)
        raise CorpusError("no sentence file in it", where=root, remedy=f"write {_REMEDY}")
    if len(tables) > 1:
        names = ", ".join(path.name for path in tables)
        raise CorpusError(f"more than one sentence file: {names}", where=root, remedy="keep one of them")
    return tables[0]


def read_rows(path: Path) -> Table:
    """A sentence file -> its table, columns under the names of SYNONYMS, fields stripped.

    Raises CorpusError as `read_table` does, and for a missing column (and which are there), and for no row.
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
    """A row that can be used: `name` is the id before it is made a file name, `place` the file, None if missing."""

    row: Row
    name: str
    place: Path | None
    segment: Segment | None

    @property
    def reference(self) -> str:
        return self.row.fields.get("path") or self.row.fields["id"]


def read_clips(root: Path) -> list[Clip]:
    """ROOT -> every clip of its sentence file, in order. Raises CorpusError with all problems, ten of them by name."""
    return _read(root)[0]


def _read(root: Path) -> tuple[list[Clip], list[str]]:
    """ROOT -> its clips, and notes on how the sentence file was read."""
    path = sentence_file(root)
    table = read_rows(path)
    files = Files(root)
    problems: list[str] = []
    entries: list[_Entry] = []
    for row in table.rows:
        wrong = [*_row_problems(row)]
        try:
            entries.append(_entry(files, row))
        except ValueError as error:
            wrong.append(str(error))
        problems += [f"line {row.line}: {problem}" for problem in wrong]
    if entries and not problems and all(entry.place is None for entry in entries):
        missing = name_some([entry.reference for entry in entries])
        remedy = "paths are relative to --root, ids are names of videos or image folders below it"
        raise CorpusError(
            f"none of {len(entries):,} files of {path.name} is there: {missing}", where=root, remedy=remedy
        )
    named, note = _named_apart(entries)
    lines: dict[str, int] = {}
    clips = []
    for entry in named:
        clip = _clip(root, entry)
        if clip.id in lines:
            first = f"(first in line {lines[clip.id]})"
            problems.append(f"line {entry.row.line}: duplicate id {shortened(clip.id)!r} {first}")
        lines.setdefault(clip.id, entry.row.line)
        clips.append(clip)
    if problems:
        problems += _missing(entries)
        several = f"{len(problems):,} problems: " if len(problems) > 1 else ""
        listed = "; ".join(problems[:10]) + (f"; and {len(problems) - 10:,} more" if len(problems) > 10 else "")
        raise CorpusError(several + listed, where=path, remedy="mend these lines")
    return clips, [*table.notes, *note, *_notes(table, entries)]


def _row_problems(row: Row) -> Iterator[str]:
    split = row.fields["split"]
    if split_of(split) not in SPLITS:
        near = difflib.get_close_matches(split[:40].lower(), SPLITS, n=1, cutoff=0.5)
        expected = f"did you mean {near[0]!r}?" if near else f"one of {', '.join(SPLITS)} expected"
        yield f"split {shortened(split, 40)!r}, {expected}"
    if not row.fields["text"]:
        yield f"empty sentence of {shortened(row.fields.get('id') or row.fields.get('path', ''))!r}"
    if (fps := row.fields.get("fps")) and (decimal(fps) or 0) <= 0:
        yield f"fps {shortened(fps, 40)!r} is no number of frames a second"


def _entry(files: Files, row: Row) -> _Entry:
    """A row -> what it names. Raises ValueError: neither path nor id, a path out of ROOT, two files, a bad segment."""
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
        problem = f"{kind} {shortened(reference or clip_id)!r} fits {len(places)} files: {listed}"
        raise ValueError(f"{problem}; name one in a column path")
    bare = relative.with_suffix("") if relative.suffix.lower() in VIDEOS else relative
    name = clip_id if reference and clip_id else "__".join(bare.parts) if reference else clip_id
    return _Entry(row, name, places[0] if places else None, segment_of(row.fields))


def _named_apart(entries: Sequence[_Entry]) -> tuple[list[_Entry], list[str]]:
    """Entries of one video and one name -> names with their times, where these differ; and a note that says so."""
    groups: dict[str, list[_Entry]] = {}
    for entry in entries:
        groups.setdefault(entry.name, []).append(entry)
    shared = {
        name
        for name, group in groups.items()
        if len({entry.place or entry.reference for entry in group}) == 1
        and len({segment_label(entry.segment) for entry in group}) > 1
    }
    if not shared:
        return list(entries), []
    named = [
        replace(entry, name=f"{entry.name}__{segment_label(entry.segment)}") if entry.name in shared else entry
        for entry in entries
    ]
    changed = [entry.name for entry in named if entry not in groups.get(entry.name, ())]
    return named, [f"{len(changed):,} rows share a video without an id of their own: called by time, as {changed[0]}"]


def _clip(root: Path, entry: _Entry) -> Clip:
    fields, place = entry.row.fields, entry.place or root / entry.reference.replace("\\", "/")
    text = " ".join(fields["text"].split())  # a quoted field may hold line breaks
    signer = " ".join(fields.get("signer", "").split())
    is_folder = entry.place is not None and place.is_dir()
    source = FrameFolder(place, entry.segment) if is_folder else VideoFile(place, entry.segment)
    fps = decimal(fields.get("fps", "")) if is_folder else None  # a video file has a rate of its own
    return Clip(safe_id(entry.name), split_of(fields["split"]), text, source, signer=signer, fps=fps)


def _notes(table: Table, entries: Sequence[_Entry]) -> Iterator[str]:
    """How splits, times and rates were read, as lines for the user; files that are missing."""
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
    yield from _missing(entries)


def _missing(entries: Sequence[_Entry]) -> Iterator[str]:
    missing = [entry.reference for entry in entries if entry.place is None]
    if missing:
        noun = "file is" if len(missing) == 1 else "files are"
        yield f"{len(missing):,} listed {noun} missing: {name_some(missing)}"


def clips(root: Path | None, split: str, *, limit: int | None = None) -> Iterator[Clip]:
    """ROOT -> the clips of one split in the order of the sentence file, the first `limit` of them."""
    if root is None:
        raise CorpusError("needs --root", where="folder", remedy="--root is the folder with the videos")
    yield from [clip for clip in read_clips(root) if clip.split == split][:limit]


def check(root: Path) -> list[str]:
    """ROOT -> what is odd but does not end the work: how the table was read where it is not plain, missing files,
    empty splits, sentences in two splits, files without a sentence.

    Raises CorpusError, as `read_clips`, for what does.
    """
    all_clips, problems = _read(root)
    problems += [f"no clip in split {split}" for split in SPLITS if all(clip.split != split for clip in all_clips)]
    sources = [clip.source.path for clip in all_clips if isinstance(clip.source, VideoFile | FrameFolder)]
    used = {os.path.realpath(path) for path in sources}
    places = [place for places in Files(root).sources.values() for place in places]
    spare = sorted(str(place.relative_to(root)) for place in places if os.path.realpath(place) not in used)
    if spare:
        noun = "video or image folder has" if len(spare) == 1 else "videos or image folders have"
        problems.append(f"{len(spare):,} {noun} no sentence: {name_some(spare)}")
    warning = overlap_warning(all_clips)
    return [*problems, warning] if warning else problems
