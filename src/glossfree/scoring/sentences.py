"""Files of any system -> hypotheses or references -> pairs, by id or by line.

Plain text (a sentence a line), tables as `files.tables` reads them, JSONL, and JSON by id. Sentences are
normalised to NFC and otherwise unchanged: some published scores count spaces.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from glossfree.errors import CorpusError, name_some, shortened
from glossfree.files.encoding import nfc, read_text, split_lines
from glossfree.files.tables import JSON_LINES, SYNONYMS, TABLES, form_notes, has_header, name_columns, read_table

ID_COLUMNS = ("id", "name", "clip")
# Columns of the sentence. The first one present is used, since a file may contain both sides.
TEXT_COLUMNS = {
    "hypotheses": ("hypothesis", "prediction", "text", "translation"),
    "references": ("reference", "translation", "text"),
}


@dataclass(frozen=True)
class Sentences:
    """Sentences in the order of their source. `numbered`: the ids are line numbers ("1", "2", ...), not clip ids.

    `source` is the path that the user named, `language` the spoken language (ISO 639-1) or "" if the source does not
    say. `notes` tell the user how the source was read.
    """

    ids: tuple[str, ...]
    texts: tuple[str, ...]
    source: Path
    numbered: bool = False
    language: str = ""
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.texts)

    @classmethod
    def of(
        cls,
        ids: Sequence[str],
        texts: Sequence[str],
        source: Path,
        *,
        numbered: bool = False,
        language: str = "",
        notes: Sequence[str] = (),
    ) -> Sentences:
        """Sentences in NFC. Raises CorpusError: no sentence, or an unpaired surrogate, which JSON allows."""
        if not texts:
            raise CorpusError("no sentence in it", where=source, remedy="give at least one sentence")
        for id, text in zip(ids, texts, strict=True):
            try:
                (id + text).encode("utf-8")
            except UnicodeEncodeError as error:
                problem = f"the sentence of {shortened(ascii(id))} is no text ({error.reason})"
                raise CorpusError(problem, where=source, remedy="write whole characters") from error
        composed = tuple(map(nfc, texts))
        num_changed = sum(text != other for text, other in zip(texts, composed, strict=True))
        notes = (*notes, *form_notes(num_changed, len(texts), "sentences"))
        return cls(tuple(map(nfc, ids)), composed, source, numbered, language, notes)


@dataclass(frozen=True)
class Pairs:
    """Hypotheses and references, in the order of the references. `by_line`: at least one side has no ids."""

    ids: tuple[str, ...]
    hypotheses: tuple[str, ...]
    references: tuple[str, ...]
    by_line: bool = False


def read_sentences(path: Path, side: str) -> Sentences:
    """A file of "hypotheses" or "references" -> Sentences.

    Raises CorpusError: missing, empty, not UTF-8, no such column, no text.
    """
    text = read_text(path)
    suffix = path.suffix.lower()
    notes: list[str] = []
    if suffix in JSON_LINES or suffix == ".json":
        rows = _json_rows(path, text)
    elif suffix in TABLES or has_header(text):
        table = read_table(path, text)
        rows = ((f"{path}, line {row.line}", row.fields) for row in table.rows)
        notes += table.notes
        for meaning, names in (("id", ID_COLUMNS), (side, TEXT_COLUMNS[side])):
            column = _find_column(table.columns, names)
            notes += [f"column {column} is read as {meaning}"] if column and column not in names else []
    else:
        lines = split_lines(text)
        return Sentences.of([str(number) for number in range(1, len(lines) + 1)], lines, path, numbered=True)
    ids, texts = [], []
    for where, row in rows:
        id, sentence = _value(row, ID_COLUMNS, where), _value(row, TEXT_COLUMNS[side], where)
        if isinstance(id, bool) or not isinstance(id, str | int) or not str(id).strip():
            raise CorpusError(f"{_describe(id)} is no id", where=where, remedy="write the clip's id")
        if not isinstance(sentence, str):
            problem = f"{_describe(sentence)} is no sentence"
            raise CorpusError(problem, where=where, remedy='write a text, "" for no words')
        ids.append(str(id).strip())
        texts.append(sentence)
    return Sentences.of(ids, texts, path, notes=notes)


def pair(hypotheses: Sentences, references: Sentences) -> Pairs:
    """Two sides -> Pairs: by id where both have ids, else by line.

    Raises CorpusError: ids as in `check_ids`; by line, different numbers of lines.
    """
    by_line = hypotheses.numbered or references.numbered
    check_ids(hypotheses.ids, references.ids, where=hypotheses.source, by_line=by_line)
    if not by_line:
        text_of = dict(zip(map(nfc, hypotheses.ids), hypotheses.texts, strict=True))
        return Pairs(references.ids, tuple(text_of[nfc(id)] for id in references.ids), references.texts)
    if len(hypotheses) != len(references):
        problem = f"{len(hypotheses):,} hypotheses for {len(references):,} references in {references.source}"
        remedy = "without ids on both sides, lines are paired: give as many, an empty line for no hypothesis"
        raise CorpusError(problem, where=hypotheses.source, remedy=remedy)
    ids = hypotheses.ids if references.numbered else references.ids
    return Pairs(ids, hypotheses.texts, references.texts, by_line=True)


def check_ids(
    hypotheses: Iterable[str], references: Iterable[str], *, where: str | Path = "predictions", by_line: bool = False
) -> None:
    """Check that each reference has exactly one hypothesis, by ids compared in NFC; `by_line`: only that none repeats.

    Raises CorpusError with the ids that are missing, unknown or repeated.
    """
    ours, theirs = Counter(map(nfc, hypotheses)), Counter(map(nfc, references))
    problems = {
        "without a hypothesis": [] if by_line else [id for id in theirs if id not in ours],
        "without a reference": [] if by_line else [id for id in ours if id not in theirs],
        "twice in the hypotheses": [id for id, count in ours.items() if count > 1],
        "twice in the references": [id for id, count in theirs.items() if count > 1],
    }
    text = "; ".join(f"{len(ids):,} {problem}: {name_some(ids)}" for problem, ids in problems.items() if ids)
    if text:
        raise CorpusError(text, where=where, remedy="give one hypothesis for each reference, under the same id")


def _find_column(columns: Iterable[str], names: Sequence[str]) -> str | None:
    """The first of `names`, or else of their synonyms, that is a column."""
    synonyms = SYNONYMS["id" if names is ID_COLUMNS else "text"]
    return next((name for name in (*names, *synonyms) if name in columns), None)


def _value(row: Mapping[str, Any], names: Sequence[str], where: str) -> Any:
    """The value of the first column of `names`, or of their synonyms, in a row."""
    column = _find_column(row, names)
    if column is None:
        problem = f"no column {' | '.join(names)}; columns here: {name_columns(map(str, row))}"
        raise CorpusError(problem, where=where, remedy=f"name a column {' or '.join(names)}")
    return row[column]


def _describe(value: Any) -> str:
    """A value for a message; of a large one, only its type."""
    if isinstance(value, _Object):
        return f"an object with the keys {name_columns([key for key, _ in value])}"
    return f"a list of {len(value):,}" if isinstance(value, list) else shortened(repr(value), 60)


def _json_rows(path: Path, text: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """(Place, values) of each row: of {id: sentence}, a list of objects, or one object a line."""
    content = _parse_json(text)
    is_file_of_one = path.suffix.lower() == ".json" or len(split_lines(text.strip())) > 1  # or one row of JSONL
    if isinstance(content, _Object) and is_file_of_one and not {*ID_COLUMNS} & {key.lower() for key, _ in content}:
        for id, sentence in content:
            yield f"{path}, {shortened(repr(id), 60)}", {"id": id, "text": sentence, "reference": sentence}
        return
    if isinstance(content, list) and not isinstance(content, _Object):
        values = list(enumerate(content, start=1))
    else:
        lines = enumerate(split_lines(text), start=1)
        values = [(number, _parse_json(line)) for number, line in lines if line.strip()]
    for number, value in values:
        where = f"{path}, line {number}"
        if not isinstance(value, _Object):
            problem = "not JSON" if value is _BROKEN else "not an object"
            raise CorpusError(problem, where=where, remedy='one object per line, as {"id": "...", "text": "..."}')
        yield where, {key.lower(): inner for key, inner in value}


class _Object(list[tuple[str, Any]]):
    """The items of a JSON object, with repeated keys: in {id: sentence} they are repeated clips."""


_BROKEN = object()


def _parse_json(text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_Object)
    except (ValueError, RecursionError):
        return _BROKEN
