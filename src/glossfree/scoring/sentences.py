"""Files of anybody's system -> hypotheses or references, and both paired by id, or by line.

It reads plain text (a sentence a line), tables as `table_file` reads them, JSONL and JSON by id, a run folder (the
predictions of a split) and a prepared corpus (its references, from the manifest). A sentence is brought into composed
Unicode form (NFC) and otherwise taken as it stands: blanks count in some of the published scores.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from glossfree.corpora.manifest import MANIFEST, Manifest
from glossfree.errors import CorpusError, RunError, shortened
from glossfree.files.encoding import nfc, read_text, split_lines
from glossfree.files.tables import JSON_LINES, SYNONYMS, TABLES, form_notes, has_header, name_columns, read_table
from glossfree.scoring.ids import id_problems

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
    `notes` say how the source was read, where that is not plain.
    """

    ids: tuple[str, ...]
    texts: tuple[str, ...]
    source: Path
    numbered: bool = False
    language: str = ""
    notes: tuple[str, ...] = ()

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
    from glossfree.scoring.predictions import predictions_path, read_predictions  # only here: it loads torch

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
        text_of = dict(zip(map(nfc, hypotheses.ids), hypotheses.texts, strict=True))
        return Pairs(references.ids, tuple(text_of[nfc(id)] for id in references.ids), references.texts)
    if len(hypotheses) != len(references):
        problem = f"{len(hypotheses):,} hypotheses for {len(references):,} references in {references.source}"
        remedy = "without ids on both sides, line belongs to line: give as many, an empty line for no hypothesis"
        raise CorpusError(problem, where=hypotheses.source, remedy=remedy)
    ids = hypotheses.ids if references.numbered else references.ids
    return Pairs(ids, hypotheses.texts, references.texts, by_line=True)


def _read_file(path: Path, side: str) -> Sentences:
    text = read_text(path)
    suffix = path.suffix.lower()
    notes: Sequence[str] = ()
    if suffix in JSON_LINES or suffix == ".json":
        rows = _json_rows(path, text)
    elif suffix in TABLES or has_header(text):
        table = read_table(path, text)
        notes = (*table.notes, *_used_synonyms(table.columns, side))
        rows = ((row.line, row.fields) for row in table.rows)
    else:
        lines = split_lines(text)
        numbers = [str(number) for number in range(1, len(lines) + 1)]
        return _checked(numbers, lines, path, numbered=True)
    ids, texts = [], []
    for line, row in rows:
        where = f"{path}, line {line}"
        id, sentence = row[_column(row, ID_COLUMNS, "id", where)], row[_column(row, TEXT_COLUMNS[side], "text", where)]
        if isinstance(id, bool) or not isinstance(id, str | int) or not str(id).strip():
            raise CorpusError(f"{_described(id)} is no id", where=where, remedy="write the clip's id")
        if not isinstance(sentence, str):
            problem = f"{_described(sentence)} is no sentence"
            raise CorpusError(problem, where=where, remedy='write a text, "" for no words')
        ids.append(str(id).strip())
        texts.append(sentence)
    return _checked(ids, texts, path, notes=notes)


def _checked(
    ids: Sequence[str],
    texts: Sequence[str],
    source: Path,
    *,
    numbered: bool = False,
    language: str = "",
    notes: Sequence[str] = (),
) -> Sentences:
    """Check that there are sentences, and that they are text (JSON can spell halves of a character); in NFC."""
    if not texts:
        raise CorpusError("no sentence in it", where=source, remedy="give at least one sentence")
    for id, text in zip(ids, texts, strict=True):
        try:
            (id + text).encode("utf-8")
        except UnicodeEncodeError as error:
            problem = f"the sentence of {shortened(ascii(id))} is no text ({error.reason})"
            raise CorpusError(problem, where=source, remedy="write whole characters") from error
    composed = tuple(map(nfc, texts))
    changed = sum(text != other for text, other in zip(texts, composed, strict=True))
    all_notes = (*notes, *form_notes(changed, len(texts), "sentences"))
    return Sentences(tuple(map(nfc, ids)), composed, source, numbered, language, all_notes)


def _described(value: Any) -> str:
    """A value as a message shows it: what kind it is, if it is a large one."""
    if isinstance(value, _Object):
        return f"an object with the keys {name_columns([key for key, _ in value])}"
    return f"a list of {len(value):,}" if isinstance(value, list) else shortened(repr(value), 60)


def _used_synonyms(columns: Sequence[str], side: str) -> Iterator[str]:
    """Which columns are read under a name that is none of ours, for the user."""
    for meaning, names, synonyms in (
        ("id", ID_COLUMNS, SYNONYMS["id"]),
        (side, TEXT_COLUMNS[side], SYNONYMS["text"]),
    ):
        used = next((name for name in (*names, *synonyms) if name in columns), None)
        if used and used not in names:
            yield f"column {used} is read as {meaning}"


def _column(row: Mapping[str, Any], names: Sequence[str], meaning: str, where: str) -> str:
    """The first of `names`, or else of the synonyms of a column, that a row has."""
    for name in (*names, *SYNONYMS[meaning]):
        if name in row:
            return name
    remedy = f"name a column {' or '.join(names)}"
    problem = f"no column {' | '.join(names)}; columns here: {name_columns(map(str, row))}"
    raise CorpusError(problem, where=where, remedy=remedy)


def _json_rows(path: Path, text: str) -> Iterator[_Row]:
    """One object a line; a file that is one value as a whole: {id: sentence}, or a list of such objects."""
    lines = [(number, line) for number, line in enumerate(split_lines(text), start=1) if line.strip()]
    values = [(number, _json(line)) for number, line in lines]
    if any(value is _BROKEN for _, value in values) or (path.suffix.lower() == ".json" and len(values) == 1):
        whole = _json(text)
        if isinstance(whole, _Object) and not {*ID_COLUMNS} & {key for key, _ in whole}:
            for id, sentence in whole:
                if not isinstance(sentence, str):
                    problem = f"unknown layout: {_described(sentence)} is no sentence (key {shortened(id, 40)!r})"
                    raise CorpusError(problem, where=path, remedy='{"id": "sentence", ...} or one object per line')
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
