"""Intervals, conventions and the diagnosis as tables of the page."""

from __future__ import annotations

import re
from html import unescape

from glossfree.report.diagnosis import diagnose, words
from glossfree.report.diagnosis_tables import Table
from glossfree.report.page_findings import (
    conventions_section,
    diagnosis_section,
    intervals_section,
    reading,
    tables_section,
)
from glossfree.scoring.conventions import convention_for, published_for
from glossfree.scoring.metrics import score
from glossfree.scoring.significance import Interval

SIDES = ["am tag regen im norden", "wind"], ["am tag regen im süden", "viel wind"]


def text(html: str) -> str:
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]*>", " ", html)))


def test_intervals_stand_beside_the_scores_of_their_split() -> None:
    ours = score(*SIDES)
    found = text(
        intervals_section(
            {"test": ours, "dev": ours}, {"test": {"bleu4": Interval(1.0, 2.5)}, "other": {"bleu4": Interval(7.0, 8.0)}}
        )
    )
    assert f"BLEU-4 {ours.bleu4:.2f} 1.00 to 2.50" in found
    assert "7.00" not in found and "ROUGE-L" not in found and "2 sentences" in found


def test_each_convention_is_a_row_with_its_source() -> None:
    rows = {how.name: score(*SIDES, convention=how) for how in (convention_for("de"), *published_for("de"))}
    found = text(conventions_section({"test": rows}))
    for name, scores in rows.items():
        values = " ".join(f"{getattr(scores, key):.2f}" for key in ("bleu1", "bleu2", "bleu3", "bleu4", "rouge_l"))
        source = scores.convention["source"] or "glossfree's default"
        assert f"{name} {values} {source}" in found


def test_the_diagnosis_names_what_it_rests_on() -> None:
    nothing = diagnose({}, {}, training=[], content=lambda sentence: frozenset())
    some = diagnose({"a": "x"}, {"a": "y"}, training=["x"], content=lambda sentence: frozenset(words(sentence)))
    found = text(diagnosis_section({"dev": nothing, "test": some}))
    assert "1 sentences of test, against 1 training sentences" in found and "dev" not in found
    assert "are a whole training sentence 100.0 % 0.0 %" in found


def test_a_table_without_rows_is_left_out() -> None:
    assert tables_section([Table("t", ("a", "b"), (), "r", "l")]) == ""
    assert intervals_section({}, {}) == conventions_section({}) == diagnosis_section({}) == ""


def test_long_cells_may_break_and_every_text_is_escaped() -> None:
    html = tables_section([Table("<t>", ("a", "b", "c"), (("<x>", "1", "word " * 9),), "<how>", "<not>")])
    assert html.count('class="words"') == 1
    assert "<t>" not in html and "<x>" not in html and "&lt;how&gt;" in html
    assert "Not shown: " in text(reading("how", "not"))
