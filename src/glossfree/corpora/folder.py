"""A folder of one's own videos and a file of sentences -> clips.

ROOT holds videos or image folders anywhere below it, and one `sentences.csv`, `.tsv` or `.jsonl` with the columns
`text`, `split` (train, dev, test) and `path` (relative to ROOT) or `id` (a file's stem, or an image folder's name);
`signer` is optional. Everything that is wrong with it is reported at once, with the lines.
"""

from __future__ import annotations

import csv
import difflib
import io
import json
import os
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from glossfree.corpora.checks import overlap_warning, read_text, safe_id
from glossfree.corpora.manifest import CORPUS, MANIFEST, SPLITS, Clip, FrameFolder, VideoFile
from glossfree.errors import CorpusError, name_some

SENTENCES = ("sentences.csv", "sentences.tsv", "sentences.jsonl")
VIDEOS = frozenset({".mp4", ".mkv", ".webm", ".avi", ".mov"})
IMAGES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp"})
_REMEDY = f"{' or '.join(SENTENCES)} with the columns text, split, and path or id"


@dataclass(frozen=True)
class Row:
    """One line of the sentence file: its number, and its fields by column, stripped."""

    line: int
    fields: dict[str, str]


def sentence_file(root: Path) -> Path:
    """ROOT -> its one sentence file. Raises CorpusError: ROOT missing, no sentence file, more than one."""
    if not root.is_dir():
        raise CorpusError("no such folder", where=root, remedy="--root is the folder with the videos")
    found = [root / name for name in SENTENCES if (root / name).is_file()]
    if not found:
        raise CorpusError("no sentence file in it", where=root, remedy=f"write {_REMEDY}")
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        raise CorpusError(f"more than one sentence file: {names}", where=root, remedy="keep one of them")
    return found[0]


def read_rows(path: Path) -> list[Row]:
    """A sentence file -> its rows; empty lines are skipped.

    Raises CorpusError: not UTF-8, broken quoting or JSON, missing column (and which are there), wrong number of fields.
    """
    text = read_text(path)
    rows = _json_rows(path, text) if path.suffix == ".jsonl" else _table_rows(path, text)
    if not rows:
        raise CorpusError("no sentences in it", where=path, remedy="one line per clip")
    return rows


def _table_rows(path: Path, text: str) -> list[Row]:
    header = text.split("\n", 1)[0]
    semicolons = header.count(";") > header.count(",")  # what spreadsheets write where the comma is a decimal sign
    delimiter = "\t" if path.suffix == ".tsv" else ";" if semicolons else ","
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows: list[Row] = []
    columns: list[str] = []
    try:
        for values in reader:
            if not any(values):
                continue
            if not columns:
                columns = [value.strip() for value in values]
                _need_columns(path, columns)
            elif len(values) != len(columns):
                raise CorpusError(
                    f"{len(values)} fields, {len(columns)} expected",
                    where=f"{path}, line {reader.line_num}",
                    remedy="put quotes around a field that holds the separator",
                )
            else:
                fields = (value.strip() for value in values)
                rows.append(Row(reader.line_num, dict(zip(columns, fields, strict=True))))
    except csv.Error as error:
        where = f"{path}, line {reader.line_num}"
        raise CorpusError(f"broken quoting ({error})", where=where, remedy="close the quotes") from error
    return rows


def _json_rows(path: Path, text: str) -> list[Row]:
    rows = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            values = json.loads(line)
        except ValueError as error:
            where = f"{path}, line {number}"
            raise CorpusError(f"not JSON ({error})", where=where, remedy="one JSON object per line") from error
        if not isinstance(values, dict):
            raise CorpusError("not an object", where=f"{path}, line {number}", remedy="one JSON object per line")
        plain = {key: value for key, value in values.items() if not isinstance(value, dict | list)}
        _need_columns(f"{path}, line {number}", list(plain))
        rows.append(Row(number, {key: "" if value is None else str(value).strip() for key, value in plain.items()}))
    return rows


def _need_columns(where: str | Path, columns: list[str]) -> None:
    missing = [column for column in ("text", "split") if column not in columns]
    if not {"path", "id"} & set(columns):
        missing.append("path (or id)")
    if missing:
        problem = f"missing column {', '.join(missing)}; columns here: {', '.join(columns)}"
        raise CorpusError(problem, where=where, remedy=_REMEDY)


def find_sources(root: Path) -> dict[str, list[Path]]:
    """Stem of a video or name of an image folder (NFC) -> where it lies below ROOT, sorted.

    Hidden names and prepared folders (they hold packed copies of the same clips) are passed over.
    """
    sources: dict[str, list[Path]] = {}
    for place, folders, files in os.walk(root):
        here = Path(place)
        if here != root and {MANIFEST, CORPUS} & set(files):
            folders.clear()
            continue
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        visible = [Path(name) for name in sorted(files) if not name.startswith(".")]
        for name in visible:
            if name.suffix.lower() in VIDEOS:
                sources.setdefault(_nfc(name.stem), []).append(here / name)
        if here != root and any(name.suffix.lower() in IMAGES for name in visible):
            sources.setdefault(_nfc(here.name), []).append(here)
    return sources


def read_clips(root: Path) -> list[Clip]:
    """ROOT -> every clip of its sentence file, in order. Raises CorpusError with all problems, ten of them by name."""
    path = sentence_file(root)
    rows = read_rows(path)
    sources = find_sources(root) if any(not row.fields.get("path") for row in rows) else {}
    problems: list[str] = []
    missing: list[str] = []
    found: dict[str, tuple[int, Clip]] = {}
    for row in rows:
        problems += [f"line {row.line}: {problem}" for problem in _row_problems(row)]
        source, clip_id, problem = _locate(root, row, sources)
        if problem:
            problems.append(f"line {row.line}: {problem}")
        elif source is None:
            missing.append(row.fields.get("path") or row.fields["id"])
        elif clip_id in found:
            problems.append(f"line {row.line}: duplicate id {clip_id!r} (first in line {found[clip_id][0]})")
        else:
            found[clip_id] = row.line, _clip(row, clip_id, source)
    if missing:
        noun = "file is" if len(missing) == 1 else "files are"
        problems.append(f"{len(missing):,} listed {noun} missing: {name_some(missing)}")
    if problems:
        several = f"{len(problems):,} problems: " if len(problems) > 1 else ""
        listed = "; ".join(problems[:10]) + (f"; and {len(problems) - 10:,} more" if len(problems) > 10 else "")
        raise CorpusError(several + listed, where=path, remedy="mend these lines")
    return [clip for _, clip in found.values()]


def _row_problems(row: Row) -> Iterator[str]:
    split = row.fields["split"]
    if split not in SPLITS:
        near = difflib.get_close_matches(split.lower(), SPLITS, n=1, cutoff=0.5)
        yield f"split {split!r}, " + (f"did you mean {near[0]!r}?" if near else f"one of {', '.join(SPLITS)} expected")
    if not row.fields["text"]:
        yield f"empty sentence of {row.fields.get('id') or row.fields.get('path')!r}"


def _locate(root: Path, row: Row, sources: dict[str, list[Path]]) -> tuple[Path | None, str, str]:
    """A row -> (its file or folder, None if missing; clip id; what is wrong with the reference, "" if nothing)."""
    given, clip_id = row.fields.get("path", "").replace("\\", "/"), row.fields.get("id", "")
    if not given and not clip_id:
        return None, "", "neither path nor id"
    if given:
        relative = PurePosixPath(given)
        if relative.is_absolute() or ".." in relative.parts or given[1:2] == ":" or not relative.name:
            return None, "", f"path {given!r} leads out of the folder: paths are relative to {root}"
        bare = relative.with_suffix("") if relative.suffix.lower() in VIDEOS else relative
        return _existing(root / relative), safe_id(clip_id or "__".join(bare.parts)), ""
    places = sources.get(_nfc(clip_id), [])
    if len(places) > 1:
        listed = name_some([str(place.relative_to(root)) for place in places])
        return None, "", f"id {clip_id!r} fits {len(places)} files: {listed}; name one in a column path"
    return (places[0] if places else None), safe_id(clip_id), ""


def _existing(path: Path) -> Path | None:
    try:
        return path if path.exists() else None
    except OSError:  # a name that the file system refuses, as one that is too long
        return None


def _clip(row: Row, clip_id: str, source: Path) -> Clip:
    text = " ".join(row.fields["text"].split())  # a quoted field may hold line breaks
    frames = FrameFolder(source) if source.is_dir() else VideoFile(source)
    return Clip(clip_id, row.fields["split"], text, frames, signer=" ".join(row.fields.get("signer", "").split()))


def clips(root: Path | None, split: str, *, limit: int | None = None) -> Iterator[Clip]:
    """ROOT -> the clips of one split in the order of the sentence file, the first `limit` of them."""
    if root is None:
        raise CorpusError("needs --root", where="folder", remedy="--root is the folder with the videos")
    yield from [clip for clip in read_clips(root) if clip.split == split][:limit]


def check(root: Path) -> list[str]:
    """ROOT -> what is odd but does not end the work: empty splits, sentences in two splits, files without a sentence.

    Raises CorpusError, as `read_clips`, for what does.
    """
    found = read_clips(root)
    problems = [f"no clip in split {split}" for split in SPLITS if all(clip.split != split for clip in found)]
    used = {clip.source.path for clip in found if isinstance(clip.source, VideoFile | FrameFolder)}
    spare = [str(place.relative_to(root)) for places in find_sources(root).values() for place in places]
    spare = sorted(name for name in spare if root / name not in used)
    if spare:
        noun = "video or image folder has" if len(spare) == 1 else "videos or image folders have"
        problems.append(f"{len(spare):,} {noun} no sentence: {name_some(spare)}")
    warning = overlap_warning(found)
    return [*problems, warning] if warning else problems


def _nfc(name: str) -> str:
    """One spelling of umlauts: some systems store them as two characters."""
    return unicodedata.normalize("NFC", name)
