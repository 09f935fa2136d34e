"""Files of anybody's system -> hypotheses or references, and both paired by id, or by line.

Read are plain text (a sentence a line), CSV, TSV and PHOENIX's `name|...|translation`, JSONL and JSON by id, a run
folder (the predictions of a split) and a prepared corpus (its references, from the manifest). A sentence is taken as it
stands: not one blank is added or removed, because blanks count in some of the published scores.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from glossfree.corpora.manifest import MANIFEST, Manifest
from glossfree.errors import CorpusError, RunError
from glossfree.evaluation.ids import id_problems

ID_COLUMNS = ("id", "name", "clip")
# Which column holds the sentence, the first that is there: a file may hold both sides.
TEXT_COLUMNS = {
    "hypotheses": ("hypothesis", "prediction", "text", "translation"),
    "references": ("reference", "translation", "text"),
}
_Row = tuple[int, Mapping[str, Any]]  # line, {column: value}


@dataclass(frozen=True)
class Sentences:
    """Sentences in the order of their source. `numbered`: the ids are line numbers, "1", "2", ..., and name no clip.

    `source` is what the user named, `language` the spoken language (ISO 639-1) where the source knows it, else "".
    """

    ids: tuple[str, ...]
    texts: tuple[str, ...]
    source: Path
    numbered: bool = False
    language: str = ""

    def __len__(self) -> int:
        return len(self.texts)


@dataclass(frozen=True)
class Pairs:
    """Hypotheses beside their references, in the order of the references. `by_line`: at least one side had no ids."""

    ids: tuple[str, ...]
    hypotheses: tuple[str, ...]
    references: tuple[str, ...]
    by_line: bool = False


def read_hypotheses(path: str | Path, *, split: str = "test") -> Sentences:
    """A file, or a run folder (its predictions of `split`) -> Sentences.

    Raises CorpusError: missing, empty, not UTF-8, no such column, no text; RunError: a folder without predictions.
    """
    path = Path(path)
    if not path.is_dir():
        return _read_file(path, "hypotheses")
    if (path / MANIFEST).is_file():
        remedy = "name a run or a file as hypotheses, and this folder with --references"
        raise CorpusError("a prepared corpus holds references, no hypotheses", where=path, remedy=remedy)
    from glossfree.evaluation.decode import predictions_path, read_predictions  # only here: it loads torch

    if not predictions_path(path, split).is_file():
        remedy = f"glossfree evaluate {path} --split {split}"
        raise RunError(f"no predictions for {split}", where=path, remedy=remedy)
    predictions = read_predictions(predictions_path(path, split))
    texts = [prediction.text for prediction in predictions.values()]
    return _checked(list(predictions), texts, path)


def read_references(path: str | Path, *, split: str = "test") -> Sentences:
    """A file, or a prepared corpus (the sentences of `split` in its manifest) -> Sentences. Raises CorpusError."""
    path = Path(path)
    if not path.is_dir():
        return _read_file(path, "references")
    if not (path / MANIFEST).is_file():
        remedy = "name a file, or a folder made by `glossfree prepare`"
        raise CorpusError(f"no {MANIFEST}: a folder without references", where=path, remedy=remedy)
    manifest = Manifest.load(path)
    clips = manifest.split(split)
    return _checked([clip.id for clip in clips], [clip.text for clip in clips], path, language=manifest.language)


def pair(hypotheses: Sentences, references: Sentences) -> Pairs:
    """Two sides -> Pairs: by id where both have ids, else by line.

    Raises CorpusError: ids that are missing, too many or there twice, by name; by line, different numbers of lines.
    """
    by_line = hypotheses.numbered or references.numbered
    problems = id_problems(hypotheses.ids, references.ids, by_line=by_line)
    if problems:
        remedy = "one hypothesis for each reference, under the same id"
        raise CorpusError("; ".join(problems), where=hypotheses.source, remedy=remedy)
    if not by_line:
        text_of = dict(zip(hypotheses.ids, hypotheses.texts, strict=True))
        return Pairs(references.ids, tuple(text_of[id] for id in references.ids), references.texts)
    if len(hypotheses) != len(references):
        problem = f"{len(hypotheses):,} hypotheses for {len(references):,} references in {references.source}"
        remedy = "without ids on both sides, line belongs to line: give as many, an empty line for no hypothesis"
        raise CorpusError(problem, where=hypotheses.source, remedy=remedy)
    ids = hypotheses.ids if references.numbered else references.ids
    return Pairs(ids, hypotheses.texts, references.texts, by_line=True)


def _read_file(path: Path, side: str) -> Sentences:
    text = _text_of(path)
    suffix = path.suffix.lower()
    if suffix in (".csv", ".tsv"):
        rows = _table_rows(path, text, tabs=suffix == ".tsv")
    elif suffix in (".jsonl", ".json"):
        rows = _json_rows(path, text)
    else:
        lines = _lines(text)
        numbers = [str(number) for number in range(1, len(lines) + 1)]
        return _checked(numbers, lines, path, numbered=True)
    ids, texts = [], []
    for line, row in rows:
        where = f"{path}, line {line}"
        id, sentence = row[_column(row, ID_COLUMNS, where)], row[_column(row, TEXT_COLUMNS[side], where)]
        if isinstance(id, bool) or not isinstance(id, str | int) or not str(id).strip():
            raise CorpusError(f"{id!r} is no id", where=where, remedy="write the clip's id")
        if not isinstance(sentence, str):
            raise CorpusError(f"{sentence!r} is no sentence", where=where, remedy='write a text, "" for no words')
        ids.append(str(id).strip())
        texts.append(sentence)
    return _checked(ids, texts, path)


def _checked(
    ids: Sequence[str], texts: Sequence[str], source: Path, *, numbered: bool = False, language: str = ""
) -> Sentences:
    """Hold that there are sentences, and that they are text: JSON can spell halves of a character."""
    if not texts:
        raise CorpusError("no sentence in it", where=source, remedy="give at least one sentence")
    for id, text in zip(ids, texts, strict=True):
        try:
            (id + text).encode("utf-8")
        except UnicodeEncodeError as error:
            problem = f"the sentence of {id!a} is no text ({error.reason})"
            raise CorpusError(problem, where=source, remedy="write whole characters") from error
    return Sentences(tuple(ids), tuple(texts), source, numbered, language)


def _text_of(path: Path) -> str:
    """A UTF-8 file, with or without a byte order mark, line ends as they are."""
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        problem = f"not UTF-8 (byte {error.start:,})"
        raise CorpusError(problem, where=path, remedy="save the file as UTF-8") from error
    except OSError as error:
        raise CorpusError(f"cannot be read ({error.strerror})", where=path, remedy="check the path") from error


def _lines(text: str) -> list[str]:
    """Text -> its lines, cut at \\n and \\r\\n alone (a sentence may hold U+2028), empty ones too."""
    if not text:
        return []
    return [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")]


def _column(row: Mapping[str, Any], names: Sequence[str], where: str) -> str:
    for name in names:
        if name in row:
            return name
    here = ", ".join(str(column) for column in row) or "none"
    remedy = f"name a column {' or '.join(names)}"
    raise CorpusError(f"no column {' | '.join(names)}; columns here: {here}", where=where, remedy=remedy)


def _table_rows(path: Path, text: str, *, tabs: bool) -> Iterator[_Row]:
    """Lines below the header. '|' in the header: PHOENIX's way, without quotes; else tabs, ';' or ','."""
    lines = _lines(text)
    header = lines[0] if lines else ""
    if "|" in header and not tabs:
        split_lines = ((number, line.split("|")) for number, line in enumerate(lines, start=1) if line.strip())
        yield from _with_header(split_lines, path)
        return
    delimiter = "\t" if tabs or "\t" in header else ";" if header.count(";") > header.count(",") else ","
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        yield from _with_header(((reader.line_num, values) for values in reader if values), path)
    except csv.Error as error:
        where = f"{path}, line {reader.line_num}"
        raise CorpusError(f"broken quoting ({error})", where=where, remedy="close the quotes") from error


def _with_header(lines: Iterator[tuple[int, list[str]]], path: Path) -> Iterator[_Row]:
    columns: list[str] = []
    for number, values in lines:
        if not columns:
            columns = [value.strip().lower() for value in values]
        elif len(values) != len(columns):
            problem = f"{len(values)} fields, {len(columns)} expected"
            remedy = "put quotes around a field that holds the separator"
            raise CorpusError(problem, where=f"{path}, line {number}", remedy=remedy)
        else:
            yield number, dict(zip(columns, values, strict=True))


def _json_rows(path: Path, text: str) -> Iterator[_Row]:
    """One object a line; a file that is one value as a whole: {id: sentence}, or a list of such objects."""
    lines = [(number, line) for number, line in enumerate(_lines(text), start=1) if line.strip()]
    values = [(number, _json(line)) for number, line in lines]
    if any(value is _BROKEN for _, value in values) or (path.suffix.lower() == ".json" and len(values) == 1):
        whole = _json(text)
        if isinstance(whole, _Object) and not {*ID_COLUMNS} & {key for key, _ in whole}:
            yield from ((1, {"id": id, "text": sentence, "reference": sentence}) for id, sentence in whole)
            return
        if isinstance(whole, list):
            values = list(enumerate(whole, start=1))
    for number, value in values:
        where = f"{path}, line {number}"
        if not isinstance(value, _Object):
            problem = "not JSON" if value is _BROKEN else "not an object"
            raise CorpusError(problem, where=where, remedy='one object per line, as {"id": "...", "text": "..."}')
        yield number, {key.lower(): inner for key, inner in value}


class _Object(list[tuple[str, Any]]):
    """A JSON object that keeps a key which comes twice: in {id: sentence} it is a clip that comes twice."""


_BROKEN = object()


def _json(text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_Object)
    except (ValueError, RecursionError):
        return _BROKEN
