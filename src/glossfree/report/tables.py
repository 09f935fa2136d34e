"""Scores, diagnosis and comparison -> tables in plain words: one representation for the terminal and for the page.

tables.toml has the words of each table. Shares are in percent; "-" means that there is no value.
"""

from __future__ import annotations

import textwrap
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, replace
from functools import cache
from importlib.resources import files
from typing import Any

from glossfree.console import aligned
from glossfree.report.diagnosis import Diagnosis, share
from glossfree.report.pointing import Pointing
from glossfree.report.systems import TITLES
from glossfree.scoring.metrics import COLUMNS, Scores
from glossfree.scoring.significance import Comparison, Interval

WIDTH = 80  # characters of a line of text in the terminal

Row = tuple[str, ...]
Values = Sequence[str | int | float | None]


@dataclass(frozen=True)
class Table:
    """`rows` under `columns`; the first cell of a row is its name. `reading`: how to read it; `limits`: what it does
    not show; `best`: (row, column) of cells to emphasise."""

    title: str
    columns: Row
    rows: tuple[Row, ...]
    reading: str = ""
    limits: str = ""
    best: frozenset[tuple[int, int]] = frozenset()


@cache
def _words() -> dict[str, dict[str, Any]]:
    return tomllib.loads(files("glossfree.report").joinpath("tables.toml").read_text(encoding="utf-8"))


def make_table(name: str, rows: Iterable[Values], **values: object) -> Table:
    """Rows of values -> the table that tables.toml describes under `name`, with `values` in its sentences."""
    words = _words()[name]
    return Table(
        title=words["title"].format(**values),
        columns=tuple(words["columns"]),
        rows=tuple(tuple(_cell(value) for value in row) for row in rows),
        reading=words.get("reading", "").format(**values),
        limits=words.get("limits", ""),
    )


def _cell(value: str | int | float | None) -> str:
    if value is None:
        return "-"
    return value if isinstance(value, str) else f"{value:,}" if isinstance(value, int) else f"{value:.2f}"


def score_tables(scores: Mapping[str, Mapping[str, Scores]]) -> list[Table]:
    """{model: {split: Scores}} -> a table for each split, the best value of a column emphasised.

    Scores under different conventions do not compare: then no value is emphasised.
    """
    keys = [*(key for key, _ in COLUMNS), "exact", "length_ratio"]
    tables = []
    for split in dict.fromkeys(split for by_split in scores.values() for split in by_split):
        models = {name: by_split[split] for name, by_split in scores.items() if split in by_split}
        first = next(iter(models.values()))
        values = [[getattr(model, key) for key in keys] for model in models.values()]
        best: set[tuple[int, int]] = set()
        if len(models) > 1 and all(model.convention == first.convention for model in models.values()):
            for column in range(len(COLUMNS)):
                highest = max(row[column] for row in values)
                best |= {(number, column + 1) for number, row in enumerate(values) if row[column] == highest}
        rows = [(name, *row) for name, row in zip(models, values, strict=True)]
        table = make_table("scores", rows, split=split, num_sentences=first.num_sentences)
        tables.append(replace(table, best=frozenset(best)))
    return tables


def signatures(scores: Mapping[str, Mapping[str, Scores]]) -> dict[str, list[tuple[str, str]]]:
    """{model: {split: Scores}} -> {title: [(metric, signature)]}, for each convention that models were scored under."""
    groups: dict[str, tuple[list[str], Scores]] = {}
    for name, by_split in scores.items():
        for first in list(by_split.values())[:1]:
            convention = ", ".join(f"{key} {value!r}" for key, value in first.convention.items())
            groups.setdefault(convention, ([], first))[0].append(name)
    return {
        f"How the scores of {', '.join(names)} are computed": [*first.signatures.items(), ("text", convention)]
        for convention, (names, first) in groups.items()
    }


def interval_table(scores: Scores, intervals: Mapping[str, Interval], split: str) -> Table:
    """The scores of a split beside {metric: Interval}."""
    rows = [(TITLES[key], getattr(scores, key), interval.to_text()) for key, interval in intervals.items()]
    return make_table("intervals", rows, split=split, num_sentences=scores.num_sentences)


def convention_table(conventions: Mapping[str, Scores], split: str) -> Table:
    """{convention: Scores} of the same sentences -> a row for each; chrF, the same under all of them, is left out."""
    rows = []
    for name, scores in conventions.items():
        values = [getattr(scores, key) for key, _ in COLUMNS[:5]]
        rows.append((name, *values, str(scores.convention.get("source") or "glossfree's default")))
    return make_table("conventions", rows, split=split)


def pointing_table(pointing: Pointing, split: str) -> Table:
    """Hit rates and mean average precision of a split, beside chance."""
    rows = [(measure, *values) for measure, values in pointing.rates.items()]
    return make_table("pointing", rows, split=split, pairs=pointing.pairs)


def comparison_table(comparison: Comparison) -> Table:
    """Two systems -> their scores, the difference with its interval, and both p-values."""
    rows = [
        (
            *(TITLES[name], metric.a, metric.b, f"{metric.difference:+.2f}"),
            f"{metric.interval.low:+.2f} to {metric.interval.high:+.2f}",
            probability(metric.p_bootstrap, comparison.samples),
            probability(metric.p_randomisation, comparison.samples),
        )
        for name, metric in comparison.metrics.items()
    ]
    return make_table("comparison", rows, samples=comparison.samples)


def probability(p: float, samples: int) -> str:
    """A p-value as text; 0 is shown as less than one sample in all."""
    return f"< {1 / samples:.2g}" if p == 0 else f"{p:.3f}"


def diagnosis_text(diagnosis: Diagnosis) -> str:
    """Diagnosis -> text for the terminal."""
    training = f", against {diagnosis.num_training:,} training sentences" if diagnosis.num_training else ""
    parts = [f"{diagnosis.num_sentences:,} sentences{training}"]
    for table in diagnosis_tables(diagnosis):
        notes = [*textwrap.wrap(table.reading, WIDTH), *textwrap.wrap(f"Not shown: {table.limits}", WIDTH)]
        parts.append("\n".join([table.title, "-" * len(table.title), *_lines(table), *notes]))
    return "\n\n".join(parts)


def _lines(table: Table) -> list[str]:
    """Its rows in columns; where they are too wide, the last column is below, wrapped."""
    rows = [table.columns, *table.rows]
    lines = aligned(rows)
    if max(map(len, lines)) <= WIDTH:
        return lines
    below = (f"{table.columns[-1]}, {row[0]}: {row[-1]}" for row in table.rows)
    return [*aligned([row[:-1] for row in rows]), *(line for text in below for line in textwrap.wrap(text, WIDTH))]


def diagnosis_tables(diagnosis: Diagnosis) -> list[Table]:
    """Diagnosis -> its tables; those without a row are left out."""
    rare = diagnosis.by_frequency[:2]  # words that training has at most twice
    text, count = diagnosis.most_frequent or ("", 0)
    tables = [
        make_table("length", map(astuple, diagnosis.by_length)),
        make_table("signer", map(astuple, diagnosis.by_signer)),
        make_table(
            "frequency",
            [astuple(each) for each in diagnosis.by_frequency if each.reference_words or each.hypothesis_words]
            if diagnosis.num_training
            else (),
            wanted=sum(each.distinct_in_references for each in rare),
            produced=sum(each.distinct_produced for each in rare),
            right=sum(each.distinct_right for each in rare),
        ),
        make_table(
            "repetition",
            _repetition(diagnosis),
            num_sentences=diagnosis.num_sentences,
            count=count,
            text=text or "(nothing)",
        ),
        make_table("support", _support(diagnosis)),
        make_table("numbers", _numbers(diagnosis), **vars(diagnosis.numbers)),
        make_table("names", _names(diagnosis)),
    ]
    return [table for table in tables if table.rows]


def _repetition(diagnosis: Diagnosis) -> Iterator[Values]:
    if diagnosis.num_training and diagnosis.num_sentences:
        yield "are a whole training sentence", *astuple(diagnosis.copies)
    if diagnosis.num_sentences:
        yield "differ (different ones / all)", *astuple(diagnosis.distinct)
        yield "repeat four words in a row", *astuple(diagnosis.repeated_ngram)
        yield "repeat a word at once", *astuple(diagnosis.repeated_word)


def _support(diagnosis: Diagnosis) -> Iterator[Values]:
    def listed(words: Sequence[tuple[str, int]]) -> str:
        return ", ".join(f"{word} {count:,}" for word, count in words) or "-"

    s = diagnosis.support
    if s.hypothesis_words or s.reference_words:
        yield "made up", s.hypothesis_words, s.unsupported, listed(s.commonest_unsupported)
        yield "left out", s.reference_words, s.omitted, listed(s.commonest_omitted)


def _numbers(diagnosis: Diagnosis) -> Iterator[Values]:
    n = diagnosis.numbers
    if n.in_references or n.invented:
        yield "right", n.right, share(n.right, n.in_references)
        yield "another number in its place", n.wrong, share(n.wrong, n.in_references)
        yield "missed", n.missed, share(n.missed, n.in_references)
        yield "in the translation, without any in the reference", n.invented, None
        yield "sentences with all numbers right", n.sentences_right, share(n.sentences_right, n.sentences)


def _names(diagnosis: Diagnosis) -> Iterator[Values]:
    n = diagnosis.names
    if n is not None and (n.in_references or n.in_hypotheses):
        yield "in references, and in the translation (recall)", n.in_references, n.recall
        yield "in translations, and right (precision)", n.in_hypotheses, n.precision


def flatten(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """A nested mapping -> (key, text) pairs, inner keys joined by dots."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from flatten(value, f"{prefix}{key}.")
        elif isinstance(value, Sequence) and not isinstance(value, str):
            yield f"{prefix}{key}", ", ".join(map(str, value)) or "none"
        elif isinstance(value, bool):
            yield f"{prefix}{key}", "yes" if value else "no"
        else:
            yield f"{prefix}{key}", "none" if value is None or value == "" else str(value)
