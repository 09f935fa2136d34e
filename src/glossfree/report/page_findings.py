"""Intervals, published conventions and the diagnosis -> tables, each with how to read it and what it does not show."""

from __future__ import annotations

from collections.abc import Mapping

from glossfree.report.diagnosis import Diagnosis
from glossfree.report.diagnosis_tables import Table, diagnosis_tables
from glossfree.report.markup import Html, join, tag
from glossfree.scoring.metrics import COLUMNS, Scores
from glossfree.scoring.significance import Interval

NAMES = {**dict(COLUMNS), "exact": "exact match %", "length_ratio": "length ratio"}


def intervals_section(scores: Mapping[str, Scores], intervals: Mapping[str, Mapping[str, Interval]]) -> Html:
    """{split: Scores} of one run and {split: {metric: Interval}} -> a table per split that has both."""
    tables = []
    for split, found in intervals.items():
        if split not in scores:
            continue
        rows = [
            (name, f"{getattr(scores[split], key):.2f}", f"{found[key].low:.2f} to {found[key].high:.2f}")
            for key, name in NAMES.items()
            if key in found
        ]
        tables.append(
            Table(
                f"How sure are the scores? ({split})",
                ("score", "value", "95 % interval"),
                tuple(rows),
                f"Bootstrap: the {scores[split].num_sentences:,} sentences are drawn again and again, with repeats, "
                "and scored each time; 95 % of the draws lie in the interval. A gain smaller than its half-width may "
                "be luck of the sentences.",
                "How much another seed of training would change, or other signers. Two intervals that overlap do not "
                "prove a tie: `glossfree compare` tests two systems on the same sentences.",
            )
        )
    return tables_section(tables)


def conventions_section(conventions: Mapping[str, Mapping[str, Scores]]) -> Html:
    """{split: {convention: Scores}} of the same sentences -> a table per split, one row for each convention."""
    columns = COLUMNS[:5]  # chrF is the corpus's own in every one
    tables = [
        Table(
            f"The same translations under each published convention ({split})",
            ("convention", *(title for _, title in columns), "whose code"),
            tuple(
                (
                    name,
                    *(f"{getattr(scores, key):.2f}" for key, _ in columns),
                    str(scores.convention.get("source") or "glossfree's default"),
                )
                for name, scores in rows.items()
            ),
            "Nothing differs but how both sides are cut, smoothed and averaged. Compare a published score only with "
            "the row of its own convention; docs/metrics.md says what each does.",
            "Which convention is right, and how those systems translate: a gap between two rows is the metric's alone.",
        )
        for split, rows in conventions.items()
    ]
    return tables_section(tables)


def diagnosis_section(diagnoses: Mapping[str, Diagnosis]) -> Html:
    """{split: Diagnosis} -> its tables."""
    parts = []
    for split, found in diagnoses.items():
        if not found.num_sentences:
            continue
        head = f"{found.num_sentences:,} sentences of {split}, against {found.num_training:,} training sentences."
        parts += [tag("p", head, class_="quiet"), tables_section(diagnosis_tables(found))]
    return join(parts)


def tables_section(tables: list[Table]) -> Html:
    """Tables, one below the other."""
    return join([_table(table) for table in tables if table.rows])


def _table(table: Table) -> Html:
    head = tag("tr", [tag("th", title, scope="col") for title in table.columns])
    body = [
        tag("tr", tag("th", name, scope="row"), [tag("td", cell, class_=_kind(cell)) for cell in cells])
        for name, *cells in table.rows
    ]
    caption = tag("caption", tag("b", table.title))
    shown = tag("table", caption, tag("thead", head), tag("tbody", body), class_="scores")
    return tag("div", shown, reading(table.reading, table.limits), class_="wide")


def _kind(cell: str) -> str | None:
    """Cells of running words may break over lines, others never."""
    return "words" if len(cell) > 30 else None


def reading(how: str, limits: str) -> Html:
    """What a table says in plain words, and what it does not."""
    return tag("p", how, " ", tag("b", "Not shown: "), limits, class_="quiet")
