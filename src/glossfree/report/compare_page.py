"""Two systems on the same sentences -> one self-contained HTML file: scores with intervals, sentences won and lost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from glossfree.report.diagnosis_tables import Table
from glossfree.report.markup import Html, join, tag
from glossfree.report.page import framed, write_page
from glossfree.report.page_findings import NAMES, tables_section
from glossfree.report.tables import facts
from glossfree.report.words import marked
from glossfree.scoring.significance import Comparison

LIMITS = (
    "What another seed of training would change: intervals and p-values speak of the choice of sentences alone.",
    "Whether the systems would differ on other signers, or on another corpus.",
)


@dataclass(frozen=True)
class ChangedSentence:
    """One sentence on which the systems differ much, and what each of them scores on it (0-100)."""

    id: str
    reference: str
    a: str
    b: str
    score_a: float
    score_b: float


@dataclass(frozen=True)
class ComparisonData:
    """Systems A and B by name, and what the page shows of them; `better` and `worse`: where B gains and loses most."""

    a: str
    b: str
    subtitle: str
    comparison: Comparison
    better: Sequence[ChangedSentence] = ()
    worse: Sequence[ChangedSentence] = ()
    signatures: Mapping[str, str] = field(default_factory=dict)
    notes: Sequence[str] = ()


def write_comparison(path: str | Path, data: ComparisonData) -> Path:
    """Write the page, whole or not at all -> its path. Raises RunError where it cannot be written."""
    return write_page(path, render_comparison(data))


def render_comparison(data: ComparisonData) -> str:
    """The page as text, every text of `data` escaped."""
    systems = tag("p", tag("b", "A"), f" {data.a}", tag("br"), tag("b", "B"), f" {data.b}", class_="subtitle")
    header = join([tag("h1", "A against B"), systems, _headline(data.comparison)])
    metric = NAMES[data.comparison.sentence_metric]
    notes = tag("div", tag("ul", [tag("li", note) for note in data.notes]), class_="warn") if data.notes else ""
    parts = [
        ("scores", "Scores", join([tag("p", data.subtitle, class_="quiet"), notes, _scores(data.comparison)])),
        ("better", "Where B gains most", _cards(data.better, metric)),
        ("worse", "Where B loses most", _cards(data.worse, metric)),
        ("signatures", "How these scores are computed", facts(data.signatures) if data.signatures else Html("")),
        ("limits", "What this does not show", tag("ul", [tag("li", limit) for limit in LIMITS])),
    ]
    return framed(f"{data.b} against {data.a}", header, parts)


def probability(p: float, samples: int) -> str:
    """A p-value -> three digits; where none of the samples speaks against the difference, less than one of them."""
    return f"< {1 / samples:.2g}" if p == 0 else f"{p:.3f}"


def _headline(found: Comparison) -> Html:
    metric = found.metrics["bleu4"]
    sentences = f"sentences of {found.num_sentences:,} on which B is better; worse on {found.losses:,}"
    tiles = [
        (f"{metric.difference:+.2f}", f"BLEU-4, {metric.a:.2f} to {metric.b:.2f}"),
        (f"{metric.interval.low:+.2f} to {metric.interval.high:+.2f}", "95 % interval of the difference"),
        (probability(metric.p_randomisation, found.samples), "p, two-sided randomisation"),
        (f"{found.wins:,}", f"{sentences}, as good on {found.ties:,}"),
    ]
    return tag(
        "div", [tag("div", tag("b", value), tag("span", what), class_="tile") for value, what in tiles], class_="tiles"
    )


def _scores(found: Comparison) -> Html:
    rows = tuple(
        (
            title,
            f"{found.metrics[name].a:.2f}",
            f"{found.metrics[name].b:.2f}",
            f"{found.metrics[name].difference:+.2f}",
            f"{found.metrics[name].interval.low:+.2f} to {found.metrics[name].interval.high:+.2f}",
            probability(found.metrics[name].p_bootstrap, found.samples),
            probability(found.metrics[name].p_randomisation, found.samples),
        )
        for name, title in NAMES.items()
    )
    return tables_section(
        [
            Table(
                "Is B better, and how sure is it?",
                ("score", "A", "B", "B − A", "95 % interval", "p, bootstrap", "p, randomisation"),
                rows,
                f"Interval and first p: both systems on the same {found.samples:,} draws of the sentences; p is the "
                "share of draws in which the one that is ahead here is not. Second p: how often exchanging the two "
                "systems' sentences at random makes at least this difference. Small p: hardly chance.",
                "Many scores are tested at once: one p below 0.05 among them proves little.",
            )
        ]
    )


def _cards(sentences: Sequence[ChangedSentence], metric: str) -> Html:
    return join([_card(sentence, number, metric) for number, sentence in enumerate(sentences, start=1)])


def _card(sentence: ChangedSentence, number: int, metric: str) -> Html:
    change = f"{metric} {sentence.score_a:.0f} → {sentence.score_b:.0f}"
    badge = tag("span", change, class_="badge", title="of this sentence alone")
    said = [(name, marked(text, sentence.reference)[0]) for name, text in (("A", sentence.a), ("B", sentence.b))]
    return tag(
        "article",
        tag("header", tag("h3", tag("span", f"{number}", class_="count"), sentence.id), badge),
        tag(
            "dl",
            tag("div", tag("dt", "reference"), tag("dd", sentence.reference)),
            [tag("div", tag("dt", name), tag("dd", text)) for name, text in said],
            class_="sentences",
        ),
        class_="card",
    )
