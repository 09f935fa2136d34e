"""The page of two systems: all numbers, nobody's text as markup, nothing from outside."""

from __future__ import annotations

from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from glossfree.report.compare_page import (
    ChangedSentence,
    ComparisonData,
    render_comparison,
    write_comparison,
)
from glossfree.report.markup import VOID
from glossfree.scoring.significance import Change, Comparison, Difference, Interval
from glossfree.scoring.statistics import METRICS

METRIC = Difference(20.125, 23.5, 3.375, Interval(-0.75, 6.25), 0.0625, 0.125)
COMPARISON = Comparison(
    metrics=dict.fromkeys(METRICS, METRIC),
    sentence_metric="chrf",
    wins=1234,
    ties=56,
    losses=789,
    better=(Change(0, 10.0, 90.0),),
    worse=(),
    num_sentences=2079,
    samples=1000,
    seed=0,
)
EVIL = '<script>alert("1")</script>'
DATA = ComparisonData(
    a="old",
    b="new",
    subtitle="2,079 sentences, paired by id",
    comparison=COMPARISON,
    better=(ChangedSentence("clip-1", "es regnet im tal", "", "es regnet stark", 10.0, 90.0),),
    signatures={"BLEU-4": "order:4|tok:13a"},
    notes=("note: one hypothesis is empty",),
)


class Balance(HTMLParser):
    """Every element that is opened is closed, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.stack: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag not in VOID | {"meta"}:
            self.stack.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID | {"meta"}:
            assert self.stack.pop() == tag


def test_the_page_holds_scores_tests_and_sentences() -> None:
    page = render_comparison(DATA)
    for words in (
        *("old", "new", "2,079 sentences, paired by id", "20.12", "23.50", "+3.38", "-0.75 to +6.25", "0.062", "0.125"),
        *("1,234", "789", "clip-1", "es regnet im tal", "10 → 90", "(nothing)", "order:4|tok:13a", "one hypothesis"),
    ):
        assert words in page, words
    assert 'title="not in the reference">stark</mark>' in page
    assert "Where B loses most" not in page  # an empty part is left out


def test_the_markup_is_whole_and_points_nowhere() -> None:
    page = render_comparison(DATA)
    parser = Balance()
    parser.feed(page)
    assert parser.stack == []
    assert "http" not in page.replace("http://www.w3.org/2000/svg", "")


@pytest.mark.parametrize("field", ["a", "b", "subtitle"])
def test_nobodys_name_is_markup(field: str) -> None:
    assert EVIL not in render_comparison(replace(DATA, **{field: EVIL}))


def test_nobodys_sentence_is_markup() -> None:
    evil = ChangedSentence(EVIL, EVIL, EVIL, EVIL, 0.0, 1.0)
    assert EVIL not in render_comparison(replace(DATA, worse=(evil,), notes=(EVIL,), signatures={EVIL: EVIL}))


def test_it_is_written_whole(tmp_path: Path) -> None:
    path = write_comparison(tmp_path / "a/page.html", DATA)
    assert path.read_text(encoding="utf-8") == render_comparison(DATA)
    assert [file.name for file in path.parent.iterdir()] == ["page.html"]
