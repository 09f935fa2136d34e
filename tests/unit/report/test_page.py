"""The report as a file: complete in itself, well formed, nobody's text is markup."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from glossfree.corpora.manifest import SignSpan
from glossfree.errors import RunError
from glossfree.report import ReportClip, ReportData, write_report
from glossfree.report.diagnosis import Diagnosis, diagnose
from glossfree.report.page import render
from glossfree.report.spans import Pointing
from glossfree.scoring.metrics import score
from glossfree.scoring.significance import Interval

NASTY = "<script>alert('x')</script> & \"regen\""
NAMES = ("nebel", "regen", "sonne")
NEVER_CLOSED = {"meta", "img", "col", "input", "br"}


class Checker(HTMLParser):
    """Counts tags, holds that they are balanced, and collects addresses."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.addresses: list[str] = []
        self.ids: list[str] = []
        self.counts: dict[str, int] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.counts[tag] = self.counts.get(tag, 0) + 1
        for key, value in attrs:
            if key in ("src", "href", "poster", "action", "srcset", "data"):
                self.addresses.append(value or "")
            if key == "id":
                self.ids.append(value or "")
        if tag not in NEVER_CLOSED:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in NEVER_CLOSED:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def checked(page: str) -> Checker:
    checker = Checker()
    checker.feed(page)
    checker.close()
    assert checker.open == []
    return checker


def clip(**changes: object) -> ReportClip:
    rng = np.random.default_rng(5)
    base = ReportClip(
        id="clip-a",
        reference="im süden regen",
        hypothesis="im norden regen",
        fps=12.5,
        frames=rng.integers(0, 255, (11, 30, 22, 3), dtype=np.uint8),
        timeline=rng.random((6, 3)) * 0.1,
        names=NAMES,
        expected=("regen",),
        spans=(SignSpan("SUED", 1, 4), SignSpan("REGEN", 5, 9)),
        alternatives=(("im süden nebel", -0.7),),
        score=-0.25,
        signer="3",
    )
    return replace(base, **changes)  # type: ignore[arg-type]


def diagnosis(said: str, meant: str) -> Diagnosis:
    names = frozenset({said, meant})
    sides = {"a": said, "b": f"{meant} drei"}, {"a": meant, "b": f"{meant} vier"}
    return diagnose(*sides, training=[said], content=lambda text: names, names=lambda text: names & {text})


def full() -> ReportData:
    ours, theirs = score(["a b c d e"], ["a b c d e"]), score(["a b c d x"], ["a b c d e"])
    return ReportData(
        title="Demo",
        subtitle="all of it",
        scores={"with": {"dev": ours, "test": ours}, "without": {"test": theirs}},
        intervals={"test": {"bleu4": Interval(61.25, 98.75), "length_ratio": Interval(0.75, 1.25)}},
        conventions={"test": {"plain": ours, "others'": theirs}},
        diagnosis={"test": diagnosis("im norden regen", "im süden regen")},
        clips=(clip(), clip(id="clip-b", hypothesis="im süden regen")),
        curves={"pretrain": [{"step": i, "lr": 1e-3, "loss": 3.0 - i} for i in range(3)]},
        pointing={"test": Pointing(7, 3, 2, {0: 57.0, 2: 71.0}, {0: 19.0, 2: 31.0})},
        settings={"recipe": "demo", "train": {"batch_size": 8, "lora": {"targets": ["q", "v"]}}},
        environment={"python": "3.11"},
        seconds={"pretrain": 61.0, "finetune": 5.5},
        notes=("drawn signs are not signing",),
    )


def test_the_page_is_complete_in_itself(tmp_path):
    page = write_report(tmp_path / "deep" / "report.html", full()).read_text(encoding="utf-8")
    checker = checked(page)
    for address in checker.addresses:
        assert address.startswith(("data:", "#")), address[:80]
        assert not address.startswith("#") or address[1:] in checker.ids
    assert not re.search(r"@import|url\(|https?://", page)
    assert checker.counts["video"] == 2 and checker.counts["article"] == 2
    assert len(set(checker.ids)) == len(checker.ids)


def test_every_part_is_there():
    page = render(full())
    for text in ("BLEU-4", "ROUGE-L", "chrF", "+33.1", "57.0 %", "19.0 %", "batch_size", "q, v", "tok:13a"):
        assert text in page
    for text in ("61.25 to 98.75", "0.75 to 1.25", "others&#x27;", "Are rare words ever produced?"):
        assert text in page
    assert page.count("Not shown") == 9  # interval, conventions, six tables of the diagnosis, timelines
    for anchor in (
        "scores",
        "conventions",
        "diagnosis",
        "timelines",
        "clips",
        "training",
        "settings",
        "times",
        "environment",
        "limits",
    ):
        assert f'id="{anchor}"' in page and f'href="#{anchor}"' in page


def test_nobodys_text_is_markup():
    rows = {NASTY: {"test": score(["a"], ["a"])}}
    data = ReportData(
        title=NASTY,
        subtitle=NASTY,
        scores=rows,
        clips=[
            clip(
                id=NASTY,
                reference=NASTY,
                hypothesis=NASTY + " x",
                names=(NASTY, "b", "c"),
                expected=(NASTY,),
                spans=(SignSpan(NASTY, 1, 5),),
                alternatives=((NASTY, -1.0),),
                signer=NASTY,
            ),
            clip(frames=None, problem=NASTY),
        ],
        intervals={"test": {"bleu4": Interval(1.0, 2.0)}},
        conventions={NASTY: {NASTY: score(["a"], ["a"])}},
        diagnosis={NASTY: diagnosis(NASTY, NASTY + " x")},
        curves={NASTY: [{"step": 0, NASTY: 1.0}]},
        pointing={NASTY: Pointing(1, 1, 1, {0: 50.0}, {0: 5.0})},
        settings={NASTY: {NASTY: NASTY}},
        environment={NASTY: NASTY},
        seconds={NASTY: 1.0},
        notes=[NASTY],
    )
    page = render(data)
    assert "alert('x')" not in page and "&lt;script&gt;" in page
    assert checked(page).counts["script"] == 1


def test_nothing_is_shown_of_nothing():
    checker = checked(render(ReportData(title="empty")))
    assert checker.ids == ["main"]


def test_clips_without_frames_are_said():
    page = render(ReportData(title="x", clips=[clip(), clip(id="lost", frames=None, problem="packed clip is damaged")]))
    assert "1 of 2 clips could not be shown" in page
    assert page.count("packed clip is damaged") == 2
    assert checked(page).counts["video"] == 1


def test_a_corpus_without_spans_has_no_bars():
    page = render(ReportData(title="x", clips=[clip(spans=())]))
    assert 'class="signs"' not in page and 'class="truth"' not in page and "truly makes" not in page
    assert 'class="heat expected"' in page


def test_a_run_without_pseudo_glosses_still_shows_its_clips():
    page = render(ReportData(title="x", clips=[clip(timeline=None, names=())]))
    assert "no pseudo-gloss head" in page and checked(page).counts["video"] == 1


def test_the_same_data_gives_the_same_bytes():
    assert render(full()) == render(full())


def test_an_unwritable_place_is_one_error(tmp_path):
    (tmp_path / "file").write_text("x", encoding="utf-8")
    with pytest.raises(RunError, match="cannot be written"):
        write_report(tmp_path / "file" / "report.html", ReportData(title="x"))
