"""Diagnosis -> tables in plain words, for the terminal and for the report: each says how to read it, and what not."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from glossfree.console import aligned
from glossfree.report.diagnosis import Diagnosis, Group, Habit
from glossfree.report.faults import share

WIDTH = 100  # characters of a line of text in the terminal
NOTHING = "-"  # in place of a share of nothing


@dataclass(frozen=True)
class Table:
    """`rows` under `columns`, their first cell being the name of the row; how to read it; what it does not show."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    reading: str
    limits: str


def diagnosis_tables(found: Diagnosis) -> list[Table]:
    """Diagnosis -> its tables; those without a row are left out."""
    tables = [
        _groups(
            "Scores by length of the reference",
            "words",
            found.by_length,
            "Quarters of the sentences, shortest first. A fall towards the end says that long sentences are not "
            "followed to their end; BLEU-4 of sentences below four words is 0.",
            "Long sentences also have rarer words: the table cannot tell length from content.",
        ),
        _groups(
            "Scores by signer",
            "signer",
            found.by_signer,
            "A signer far below the others is one whose signing the model reads badly.",
            "Signers sign different sentences, and groups are small: a difference of a few points over fewer than a "
            "hundred sentences is within chance.",
        ),
        _frequencies(found),
        _habits(found),
        _support(found),
        _numbers(found),
        _names(found),
    ]
    return [table for table in tables if table.rows]


def tables_text(tables: Iterable[Table]) -> str:
    """Tables -> text for the terminal."""
    return "\n\n".join(_text(table) for table in tables)


def diagnosis_text(found: Diagnosis) -> str:
    """Diagnosis -> text for the terminal; what it rests on stands first."""
    head = f"{found.num_sentences:,} sentences, against {found.num_training:,} training sentences"
    return "\n\n".join(part for part in (head, tables_text(diagnosis_tables(found))) if part)


def _text(table: Table) -> str:
    text = [table.title, "-" * len(table.title), *aligned([table.columns, *table.rows])]
    for note in (table.reading, f"Not shown: {table.limits}"):
        text += textwrap.wrap(note, WIDTH)
    return "\n".join(text)


def percent(value: float | None) -> str:
    """A share (0-100) as people read it."""
    return NOTHING if value is None else f"{value:.1f} %"


def _groups(title: str, what: str, groups: Sequence[Group], reading: str, limits: str) -> Table:
    rows = [(g.name, f"{g.num_sentences:,}", f"{g.bleu4:.2f}", f"{g.rouge_l:.2f}", f"{g.chrf:.2f}") for g in groups]
    return Table(title, (what, "sentences", "BLEU-4", "ROUGE-L", "chrF"), tuple(rows), reading, limits)


def _frequencies(found: Diagnosis) -> Table:
    rows = [
        (
            *(entry.name, f"{entry.reference_words:,}", percent(entry.recall)),
            *(f"{entry.hypothesis_words:,}", percent(entry.precision)),
            *(f"{entry.distinct_in_references:,}", f"{entry.distinct_produced:,}", f"{entry.distinct_right:,}"),
        )
        for entry in found.by_frequency
        if found.num_training and (entry.reference_words or entry.hypothesis_words)
    ]
    rare = found.by_frequency[:2]  # unseen, and once or twice
    wanted, produced, right = (
        sum(getattr(entry, name) for entry in rare)
        for name in ("distinct_in_references", "distinct_produced", "distinct_right")
    )
    return Table(
        "Words by how often training has them",
        (
            *("times in training", "in references", "said", "in hypotheses", "right"),
            *("different: wanted", "ever said", "ever right"),
        ),
        tuple(rows),
        "“said”: share of the references' words that their translations have too; “right”: share of the words in "
        "translations that their references have too. Are rare words ever produced? Of words that training has at "
        f"most twice, the references hold {wanted:,} different ones; the translations say {produced:,} such words, "
        f"{right:,} of them in a sentence whose reference has them.",
        "A synonym counts as wrong, an inflected form as another word.",
    )


def _habits(found: Diagnosis) -> Table:
    def row(name: str, habit: Habit) -> tuple[str, ...]:
        return name, percent(habit.hypotheses), percent(habit.references)

    most = ""
    if found.most_frequent is not None:
        text, count = found.most_frequent
        most = f" The commonest translation comes {count:,} times: “{text or '(nothing)'}”."
    return Table(
        "Copies and repetition",
        ("share of the sentences that", "translations", "references"),
        (
            *([row("are a whole training sentence", found.copies)] if found.num_training else []),
            row("differ (different ones / all)", found.distinct),
            row("repeat four words in a row", found.repeated_ngram),
            row("repeat a word at once", found.repeated_word),
        )
        if found.num_sentences
        else (),
        "The references show what is natural in this corpus. Far more copies than they have, or far fewer different "
        "sentences, says that the decoder recites training sentences in place of reading the video." + most,
        "A copy is not wrong where the reference is one too; a training sentence with one word changed is no copy.",
    )


def _support(found: Diagnosis) -> Table:
    support = found.support
    rows = (
        (
            *("said, not in the reference", f"{support.hypothesis_words:,}", percent(support.unsupported)),
            _listed(support.commonest_unsupported),
        ),
        (
            *("in the reference, not said", f"{support.reference_words:,}", percent(support.omitted)),
            _listed(support.commonest_omitted),
        ),
    )
    return Table(
        "Content words without support (hallucination), and left out",
        ("content words", "in all", "share", "commonest"),
        rows if support.hypothesis_words or support.reference_words else (),
        "Content words are compared by their dictionary form, each once per sentence. The first line is what the "
        "translation made up, the second what it lost.",
        "A synonym counts as made up, and so does what was signed but is not in the reference; the tagger errs.",
    )


def _listed(words: Sequence[tuple[str, int]]) -> str:
    return ", ".join(f"{word} {count:,}" for word, count in words) or NOTHING


def _numbers(found: Diagnosis) -> Table:
    n = found.numbers
    named = (("right", n.right), ("another number in its place", n.wrong), ("missed", n.missed))
    rows = [(name, f"{count:,}", percent(share(count, n.in_references))) for name, count in named]
    rows.append(("said without any in the reference", f"{n.invented:,}", NOTHING))
    rows.append(
        ("sentences with all numbers right", f"{n.sentences_right:,}", percent(share(n.sentences_right, n.sentences)))
    )
    return Table(
        "Numbers, in digits and in words",
        ("numbers of the references", "count", "share"),
        tuple(rows) if n.in_references or n.invented else (),
        f"{n.in_references:,} numbers in {n.sentences:,} references. A wrong temperature or date is a wrong "
        "translation, however well the rest scores.",
        "Whether a number stands for the right thing; words for numbers are known in German, English and Chinese, "
        "elsewhere digits alone.",
    )


def _names(found: Diagnosis) -> Table:
    n = found.names
    rows: tuple[tuple[str, ...], ...] = ()
    if n is not None and (n.in_references or n.in_hypotheses):
        rows = (
            ("in references, and said (recall)", f"{n.in_references:,}", percent(n.recall)),
            ("in translations, and right (precision)", f"{n.in_hypotheses:,}", percent(n.precision)),
        )
    return Table(
        "Place names and other proper names",
        ("names", "count", "share"),
        rows,
        "A wrong name is a wrong translation: rain in another place is another forecast.",
        "Which words are names is the tagger's guess from the sentences themselves: some are missing, some are none.",
    )
