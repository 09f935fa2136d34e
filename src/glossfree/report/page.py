"""Plain data -> one self-contained HTML page that opens without a network and without our code.

`templates/` holds the pages. Every text of the data is escaped; styles and script are inline.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from glossfree.console import duration
from glossfree.report import media, tables, timeline
from glossfree.report.curves import draw_charts
from glossfree.report.diagnosis import Diagnosis
from glossfree.report.pointing import Pointing
from glossfree.report.systems import TITLES
from glossfree.report.timeline import ReportClip
from glossfree.scoring.metrics import Scores
from glossfree.scoring.rouge import rouge_l
from glossfree.scoring.significance import Interval

SHOWN_SPLITS = ("test", "dev")  # the headline shows the first of these with scores

Words = list[tuple[str, bool]]


@dataclass(frozen=True)
class ReportData:
    """One run, ready to be shown; empty parts are left out of the page.

    `scores`: {run: {split: Scores}}; the first is this run, the second one is what the headline compares it with.
    Of `split` and this run: `conventions` {convention: Scores}, the run's own first, with its `intervals`
    {metric: Interval}; `diagnosis` and `pointing`. `curves`: {stage: records} as a run logs them: steps
    ({"step", "lr", loss terms}) and epochs ({"step", "train": {...}, "dev": {...}}). `seconds`: {stage: wall time}.
    `notes`: what the numbers do not show.
    """

    title: str
    subtitle: str = ""
    split: str = ""
    scores: Mapping[str, Mapping[str, Scores]] = field(default_factory=dict)
    conventions: Mapping[str, Scores] = field(default_factory=dict)
    intervals: Mapping[str, Interval] = field(default_factory=dict)
    diagnosis: Diagnosis | None = None
    pointing: Pointing | None = None
    clips: Sequence[ReportClip] = ()
    curves: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, Any] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    notes: Sequence[str] = ()
    score_notes: Sequence[str] = ()


def mark_words(hypothesis: str, reference: str) -> tuple[Words, Words]:
    """Two sentences -> the words of each, and whether they match the other sentence, in order."""
    sides = hypothesis.split(), reference.split()
    blocks = SequenceMatcher(a=sides[0], b=sides[1], autojunk=False).get_matching_blocks()
    in_hypothesis = {block.a + offset for block in blocks for offset in range(block.size)}
    in_reference = {block.b + offset for block in blocks for offset in range(block.size)}
    return (
        [(word, number in in_hypothesis) for number, word in enumerate(sides[0])],
        [(word, number in in_reference) for number, word in enumerate(sides[1])],
    )


FUNCTIONS = (  # what templates call
    *(mark_words, rouge_l, duration),
    *(media.video_uri, media.poster_uri, media.strip_uri),
    *(timeline.heat_rows, timeline.sign_labels, timeline.ticks),
    *(tables.score_tables, tables.signatures, tables.interval_table, tables.convention_table, tables.flatten),
    *(tables.pointing_table, tables.diagnosis_tables, tables.comparison_table, tables.probability),
)


def render(template: str, **values: Any) -> str:
    """A template of `templates/` and what it shows -> the page."""
    environment = Environment(
        loader=PackageLoader("glossfree.report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.globals |= {function.__name__: function for function in FUNCTIONS}
    environment.globals["titles"] = TITLES
    return environment.get_template(template).render(**values)


def render_report(data: ReportData) -> str:
    """A run -> its page: clips with their timelines first, then scores, then the rest."""
    charts = {stage: draw_charts(records) for stage, records in data.curves.items()}
    general = {key: value for key, value in data.settings.items() if not isinstance(value, Mapping)}
    sections = {key: value for key, value in data.settings.items() if isinstance(value, Mapping)}
    return render(
        "report.html",
        data=data,
        headline=_headline(data),
        charts={stage: of_stage for stage, of_stage in charts.items() if of_stage},
        settings={"general": general, **sections} if general else sections,
    )


def _headline(data: ReportData) -> list[tuple[str, str]]:
    """The main numbers of a run: (value, meaning)."""
    tiles: list[tuple[str, str]] = []
    if data.scores:
        (_, ours), *others = data.scores.items()
        split = next(name for name in (*SHOWN_SPLITS, *ours) if name in ours)
        scores = ours[split]
        tiles.append((f"{scores.bleu4:.1f}", f"BLEU-4 on {scores.num_sentences:,} {split} sentences"))
        tiles.append((f"{scores.rouge_l:.1f}", f"ROUGE-L, {split}"))
        if others and split in others[0][1]:
            name, bleu4 = others[0][0], others[0][1][split].bleu4
            tiles.append((f"{scores.bleu4 - bleu4:+.1f}", f"BLEU-4 against “{name}” ({bleu4:.1f})"))
    if data.pointing:
        value, chance = data.pointing.rates["peak inside the sign"]
        meaning = f"of pseudo-gloss peaks inside the true sign, {data.split} (chance {chance:.0f} %)"
        tiles.append((f"{value:.0f} %", meaning))
    if data.seconds:
        tiles.append((duration(sum(data.seconds.values())), "of training"))
    return tiles
