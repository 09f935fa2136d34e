"""A table file -> rows by column: the one reader for corpora, scoring and sentences.

Fields are separated by commas, semicolons, tabs or `|` (as in PHOENIX14T); JSON lines are read too. The separator is
detected in the header, whatever the file's ending, or named by a first line `sep=;`. With commas and semicolons a
quoted field may contain separators and line breaks; with tabs and `|` a quotation mark is an ordinary character. Text
is returned in NFC, otherwise unchanged.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from glossfree.errors import CorpusError, name_some, shortened
from glossfree.files.encoding import nfc, read_text, split_lines

TABLES = frozenset({".csv", ".tsv", ".tab"})
JSON_LINES = frozenset({".jsonl", ".ndjson"})
SEPARATORS = (",", "\t", ";", "|")
UNQUOTED = ("\t", "|")  # in these files a quotation mark is an ordinary character
# Column -> other names in use, best first.
SYNONYMS: dict[str, tuple[str, ...]] = {
    "id": ("name", "clip", "clip_id", "clip_name", "sentence_name", "sample_id"),
    "path": (
        *("file", "filename", "file_name", "filepath", "file_path", "video", "video_path", "video_file"),
        *("video_name", "clip_path", "signal"),
    ),
    "text": ("sentence", "translation", "transcript", "transcription", "caption", "output"),
    "split": ("subset", "partition", "set"),
    "signer": ("speaker", "signer_id"),
    "start": ("start_realigned", "start_s", "start_sec", "start_seconds", "start_time", "begin"),
    "end": ("end_realigned", "end_s", "end_sec", "end_seconds", "end_time", "stop"),
    "start_ms": ("begin_ms",),
    "end_ms": ("stop_ms",),
    "start_frame": ("frame_start", "begin_frame"),
    "end_frame": ("frame_end", "stop_frame"),
    "fps": ("frame_rate", "framerate"),
}
SPLIT_NAMES = {
    **dict.fromkeys(("validation", "val", "valid", "development"), "dev"),
    "training": "train",
    "testing": "test",
}
_SENTENCES = frozenset({"text", *SYNONYMS["text"], "hypothesis", "prediction", "reference"})
_COLUMNS = frozenset({*SYNONYMS, *_SENTENCES, *(name for names in SYNONYMS.values() for name in names)})
_SPLITS = frozenset({"train", "dev", "test", *SPLIT_NAMES})
_SEPARATOR_LINE = re.compile(r'"?sep=(.)"?', re.IGNORECASE)


@dataclass(frozen=True)
class Row:
    """One row: the line on which it begins, and its fields by column."""

    line: int
    fields: dict[str, str]


@dataclass(frozen=True)
class Table:
    """A table: columns (lower case, `_` for blanks), rows, and `notes` for the user on how it was read."""

    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()


def read_table(path: Path, text: str | None = None) -> Table:
    """A table file -> Table, without empty rows. `text` is the file's content if it has been read already.

    Raises CorpusError with the line: no text, wrong number of fields, broken or suspicious quoting, no JSON.
    """
    text = read_text(path) if text is None else text
    table = (_json_rows if path.suffix.lower() in JSON_LINES else _delimited)(path, text)
    rows = tuple(Row(row.line, {name: nfc(value) for name, value in row.fields.items()}) for row in table.rows)
    changed = sum(row.fields != other.fields for row, other in zip(rows, table.rows, strict=True))
    return replace(table, rows=rows, notes=(*table.notes, *form_notes(changed, len(rows), "rows")))


def read_columns(path: Path, needed: Sequence[str]) -> Table:
    """A table file that has all `needed` columns -> Table.

    Raises CorpusError as `read_table` does, and for a missing column.
    """
    table = read_table(path)
    if missing := [column for column in needed if column not in table.columns]:
        problem = f"missing column {', '.join(missing)}; columns here: {name_columns(table.columns)}"
        raise CorpusError(problem, where=path, remedy=f"columns are {', '.join(needed)}")
    return table


def rename_columns(table: Table, columns: Iterable[str]) -> Table:
    """Rename synonyms of `columns` to the columns themselves; a note lists them."""
    names: dict[str, str] = {}
    used = []
    for column in columns:
        present = [name for name in (column, *SYNONYMS[column]) if name in table.columns]
        if present:
            names[present[0]] = column
        if present and present != [column]:
            others = f", not {' or '.join(present[1:])}" if len(present) > 1 else ""
            used.append(f"{column} from {present[0]}{others}")
    notes = (*table.notes, f"columns are read under other names: {'; '.join(used)}") if used else table.notes
    rows = (Row(row.line, {names.get(name, name): text for name, text in row.fields.items()}) for row in table.rows)
    return replace(table, columns=tuple(names.get(name, name) for name in table.columns), rows=tuple(rows), notes=notes)


def split_of(name: str) -> str:
    """A common name of a split -> train, dev or test; any other name unchanged."""
    return SPLIT_NAMES.get(name.lower(), name)


def has_header(text: str) -> bool:
    """Whether a text begins with a table's header: a column of sentences and another known column."""
    lines = split_lines(text[:100_000])
    start, separator = _layout(lines)
    names = {column_name(cell) for cell in lines[start].split(separator)} if lines else set()
    return bool(names & _SENTENCES) and len(names & _COLUMNS) > 1


def column_name(cell: str) -> str:
    """A cell of the header -> the name of the column: `"Start (ms) "` -> `start_ms`."""
    return re.sub(r"[\s_\-.:/()\[\]\"\ufeff]+", "_", nfc(cell)).strip("_").lower()


def name_columns(columns: Iterable[str]) -> str:
    """Columns, listed for a message."""
    return name_some([shortened(column, 40) for column in columns]) or "none"


def form_notes(changed: int, total: int, noun: str) -> list[str]:
    """A note on how many of all `noun` were not in composed form; no note if all were."""
    note = f"{changed:,} of {total:,} {noun} are in decomposed Unicode form (NFD): read as composed (NFC)"
    return [note] if changed else []


def _delimited(path: Path, text: str) -> Table:
    lines = list(io.StringIO(text, newline=""))
    start, separator = _layout(lines)
    records = _unquoted(lines, start, separator) if separator in UNQUOTED else _quoted(path, lines, start, separator)
    header: list[str] = []
    rows, multiline, wrapped = [], [], 0
    for first, last, values in records:
        if not any(value.strip() for value in values):
            continue
        where = f"{path}, line {first}"
        if last > first:
            multiline.append(f"{first} to {last}")
            _check_merged_rows(lines[first - 1 : last], separator, header or values, first, where)
        if not header:
            header = [column_name(value) for value in values]
            if duplicates := [name for name, count in Counter(header).items() if name and count > 1]:
                remedy = "give every column its own name (capitals and blanks do not count)"
                raise CorpusError(f"column {shortened(duplicates[0], 40)!r} twice", where=where, remedy=remedy)
            continue
        width = len(header)
        if len(values) < width or any(values[width:]):  # spreadsheets add empty fields
            runs = f"; a quoted field runs from line {first} to line {last}" if last > first else ""
            remedy = "put quotes around a field that holds the separator"
            raise CorpusError(f"{len(values)} fields, {width} expected{runs}", where=where, remedy=remedy)
        wrapped += sum(map(_is_wrapped, values))
        rows.append(Row(first, {name: value for name, value in zip(header, values[:width], strict=True) if name}))
    notes = []
    if multiline:
        notes.append(f"{len(multiline):,} quoted fields contain line breaks, the first in lines {multiline[0]}")
    if wrapped and separator in UNQUOTED:
        notes.append(f"{wrapped:,} fields are in quotation marks, which are kept between tabs or |")
    return Table(tuple(name for name in header if name), tuple(rows), tuple(notes))


def _layout(lines: Sequence[str]) -> tuple[int, str]:
    """Lines -> index of the header, and the separator that gives the most known columns, then the most columns."""
    start = next((number for number, line in enumerate(lines) if line.strip()), 0)
    header = lines[start].strip("\r\n") if lines else ""
    if named := _SEPARATOR_LINE.fullmatch(header.strip(" \ufeff")):
        return min(start + 1, len(lines) - 1), named[1]

    def rank(separator: str) -> tuple[int, int]:
        names = [column_name(cell) for cell in header.split(separator)]
        return len(_COLUMNS.intersection(names)), len(names)

    return start, max(SEPARATORS, key=rank)


_Record = tuple[int, int, list[str]]  # first line, last line, fields


def _quoted(path: Path, lines: Sequence[str], start: int, separator: str) -> Iterator[_Record]:
    reader = csv.reader(lines[start:], delimiter=separator, strict=True)
    first = start + 1
    try:
        for values in reader:
            yield first, start + reader.line_num, values
            first = start + reader.line_num + 1
    except csv.Error as error:
        how = "is never closed" if "end of data" in str(error) else "is not closed at a separator"
        problem = f"broken quoting: a field {how}, from line {first} to line {start + reader.line_num} ({error})"
        remedy = f"close the quotes in line {first}, or double a quotation mark that is part of the text"
        raise CorpusError(problem, where=f"{path}, line {first}", remedy=remedy) from error


def _unquoted(lines: Sequence[str], start: int, separator: str) -> Iterator[_Record]:
    """Every line is a row. Between tabs, quotes are removed only where they are certainly not part of the text.

    Some programs write TSV by the rules of CSV: they quote the header or a field with a tab, or double the marks.
    """
    width, quoted = 0, False
    for number, line in enumerate(lines[start:], start=start + 1):
        line = line.rstrip("\r\n")
        values = line.split(separator)
        if separator == "\t" and width and (quoted or len(values) != width):
            values = _unquote_line(line, separator, width) or values
        elif separator == "\t":
            values = [value[1:-1].replace('""', '"') if _is_doubled(value) else value for value in values]
        if not width and line.strip():
            width, quoted = len(values), all(map(_is_wrapped, values))
        yield number, number, values


def _unquote_line(line: str, separator: str, width: int) -> list[str]:
    """The fields of one line by the rules of CSV; none if their number is not `width`."""
    try:
        values = next(csv.reader([line], delimiter=separator, strict=True), [])
    except csv.Error:
        return []
    return values if len(values) == width else []


def _is_wrapped(value: str) -> bool:
    return len(value) > 1 and value[0] == value[-1] == '"'


def _is_doubled(value: str) -> bool:
    """Whether a field is quoted and all quotation marks in it are doubled."""
    inner = value[1:-1]
    return value == '""' or (_is_wrapped(value) and '""' in inner and '"' not in inner.replace('""', ""))


def _check_merged_rows(lines: Sequence[str], separator: str, header: Sequence[str], first: int, where: str) -> None:
    """Raise CorpusError if a record of several lines looks like several rows, merged by a stray quotation mark.

    That is so if its first line and another line are rows by themselves: they have a split in the right column or, in a
    table without splits, all columns and no field that begins with a blank, as prose does after a comma.
    """
    width, edge = len(header), re.escape(separator) + "\r\n"
    split = next((header.index(name) for name in ("split", *SYNONYMS["split"]) if name in header), None)
    closed = re.compile(rf'(?<![^{edge}])"(?:[^"]|"")*"(?![^{edge}])')  # a quoted field that ends on its own line

    def is_row(line: str) -> bool:
        fields = [field.strip('"\r\n') for field in closed.sub("x", line).split(separator)]
        if split is not None:
            return len(fields) >= width and not _SPLITS.isdisjoint(
                field.strip().lower() for field in (fields[split], fields[split - width])
            )
        return len(fields) == width > 1 and not any(field.startswith(" ") for field in fields[1:])

    if is_row(lines[0]) and any(map(is_row, lines[1:])):
        problem = f"a quoted field that opens in line {first} and closes in line {first + len(lines) - 1} swallows rows"
        remedy = f"close the quotes in line {first}, or write the sentence on one line"
        raise CorpusError(problem, where=where, remedy=remedy)


def _json_rows(path: Path, text: str) -> Table:
    """One object a line; values that are objects or lists are ignored."""
    rows: list[Row] = []
    columns: dict[str, None] = {}
    for number, line in enumerate(split_lines(text), start=1):
        if not line.strip():
            continue
        try:
            plain = {column_name(key): value for key, value in json.loads(line).items()}
            fields = {
                key: "" if value is None else str(value)
                for key, value in plain.items()
                if not isinstance(value, dict | list)
            }
            "".join((*fields, *fields.values())).encode("utf-8")  # JSON can escape lone surrogates
        except (ValueError, RecursionError, AttributeError) as error:
            problem = "not an object" if isinstance(error, AttributeError) else f"not JSON ({shortened(str(error))})"
            raise CorpusError(problem, where=f"{path}, line {number}", remedy="one JSON object per line") from error
        columns.update(dict.fromkeys(fields))
        rows.append(Row(number, fields))
    return Table(tuple(columns), tuple(rows))
