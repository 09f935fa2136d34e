"""The page: self-contained, well formed, every text escaped."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np

from glossfree.cli.compare import compare
from glossfree.corpora.manifest import SignSpan
from glossfree.report.diagnosis import Diagnosis, diagnose
from glossfree.report.page import ReportData, mark_words
from glossfree.report.page import render_report as render
from glossfree.report.pointing import Pointing, TimedClip
from glossfree.report.timeline import ReportClip
from glossfree.scoring.metrics import score
from glossfree.scoring.significance import Interval
from glossfree.text.tagging import Token

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


def timed(timeline: np.ndarray) -> TimedClip:
    return TimedClip(timeline, np.arange(0, 11, 2), ())


def clip(**changes: object) -> ReportClip:
    rng = np.random.default_rng(5)
    base = ReportClip(
        id="clip-a",
        reference="im süden regen",
        hypothesis="im norden regen",
        fps=12.5,
        frames=rng.integers(0, 255, (11, 30, 22, 3), dtype=np.uint8),
        timed=timed(rng.random((6, 3)) * 0.1),
        names=NAMES,
        expected=("regen",),
        spans=(SignSpan("SUED", 1, 4), SignSpan("REGEN", 5, 9)),
        score=-0.25,
        signer="3",
    )
    return replace(base, **changes)  # type: ignore[arg-type]


def diagnosis(hypothesis: str, reference: str) -> Diagnosis:
    sides = {"a": hypothesis, "b": f"{reference} drei"}, {"a": reference, "b": f"{reference} vier"}
    return diagnose(*sides, training=[hypothesis], language="de", tag=lambda text: [Token(text, text, "PROPN")])


def full() -> ReportData:
    ours, theirs = (
        score(["a b c d e"], ["a b c d e"], language="de"),
        score(["a b c d x"], ["a b c d e"], language="de"),
    )
    return ReportData(
        title="Demo",
        subtitle="all of it",
        scores={"with": {"dev": ours, "test": ours}, "without": {"test": theirs}},
        split="test",
        conventions={"plain": ours, "others'": theirs},
        intervals={"bleu4": Interval(61.25, 98.75), "length_ratio": Interval(0.75, 1.25)},
        diagnosis=diagnosis("im norden regen", "im süden regen"),
        clips=(clip(), clip(id="clip-b", hypothesis="im süden regen")),
        curves={"pretrain": [{"step": i, "lr": 1e-3, "loss": 3.0 - i} for i in range(3)]},
        pointing=Pointing(7, {"peak inside the sign": (57.0, 19.0)}),
        settings={"recipe": "demo", "train": {"batch_size": 8, "lora": {"targets": ["q", "v"]}}},
        environment={"python": "3.11"},
        seconds={"pretrain": 61.0, "finetune": 5.5},
        notes=("drawn signs are not signing",),
    )


def test_the_page_is_self_contained():
    page = render(full())
    checker = checked(page)
    for address in checker.addresses:
        assert address.startswith(("data:", "#")), address[:80]
        assert not address.startswith("#") or address[1:] in checker.ids
    assert not re.search(r"@import|url\(|https?://", page)
    assert checker.counts["video"] == 2 and checker.counts["article"] == 2
    assert len(set(checker.ids)) == len(checker.ids)


def test_every_part_is_there():
    page = render(full())
    for text in ("BLEU-4", "ROUGE-L", "chrF", "+33.1", "57.00", "19.00", "batch_size", "q, v", "tok:13a"):
        assert text in page
    for text in ("61.25 to 98.75", "0.75 to 1.25", "others&#39;", "Are rare words ever produced?"):
        assert text in page
    assert page.count("Not shown") == 9  # interval, conventions, six tables of the diagnosis, timelines
    anchors = re.findall(r'<section id="(.*?)"', page)
    assert anchors == [
        *("clips", "scores", "timelines", "conventions", "training", "diagnosis", "settings", "times"),
        *("environment", "limits"),
    ]
    for anchor in anchors:
        assert f'id="{anchor}"' in page and f'href="#{anchor}"' in page


def test_every_text_is_escaped():
    rows = {NASTY: {"test": score(["a"], ["a"], language="de")}}
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
                signer=NASTY,
            ),
            clip(frames=None, problem=NASTY),
        ],
        split=NASTY,
        conventions={NASTY: score(["a"], ["a"], language="de")},
        intervals={"bleu4": Interval(1.0, 2.0)},
        diagnosis=diagnosis(NASTY, NASTY + " x"),
        curves={NASTY: [{"step": 0, NASTY: 1.0}]},
        pointing=Pointing(1, {"peak inside the sign": (50.0, 5.0)}),
        settings={NASTY: {NASTY: NASTY}},
        environment={NASTY: NASTY},
        seconds={NASTY: 1.0},
        notes=[NASTY],
    )
    page = render(data)
    assert "alert('x')" not in page and "&lt;script&gt;" in page
    assert checked(page).counts["script"] == 1


def test_empty_data_show_no_part():
    checker = checked(render(ReportData(title="empty")))
    assert checker.ids == ["main"]


def test_clips_without_frames_are_listed():
    page = render(ReportData(title="x", clips=[clip(), clip(id="lost", frames=None, problem="packed clip is damaged")]))
    assert "1 of 2 clips could not be shown" in page
    assert page.count("packed clip is damaged") == 2
    assert checked(page).counts["video"] == 1


def test_a_corpus_without_spans_has_no_bars():
    page = render(ReportData(title="x", clips=[clip(spans=())]))
    assert 'class="signs"' not in page and 'class="truth"' not in page and "truly makes" not in page
    assert 'class="heat expected"' in page


def test_a_run_without_pseudo_glosses_still_shows_its_clips():
    page = render(ReportData(title="x", clips=[clip(timed=None, names=())]))
    assert "no pseudo-gloss head" in page and checked(page).counts["video"] == 1


def test_the_same_data_gives_the_same_bytes():
    assert render(full()) == render(full())


def marked(page: str, kind: str) -> list[str]:
    return re.findall(rf'<mark class="{kind}" title=[^>]*>([^<]*)</mark>', page)


def test_both_sentences_show_what_the_other_lacks():
    page = render(
        ReportData(title="x", clips=[clip(hypothesis="im norden viel regen", reference="im süden regen bald")])
    )
    assert marked(page, "extra") == ["norden", "viel"]
    assert marked(page, "missed") == ["süden", "bald"]
    assert re.search(r"<dd[^>]*>im <mark[^>]*>norden</mark> <mark[^>]*>viel</mark> regen</dd>", page)
    assert mark_words("am tag sonne", "am  tag sonne")[0] == [("am", True), ("tag", True), ("sonne", True)]


def test_an_empty_hypothesis_is_shown_as_nothing():
    page = render(ReportData(title="x", clips=[clip(hypothesis="", reference="am tag")]))
    assert "(nothing)" in page and marked(page, "missed") == ["am", "tag"]


def test_exact_translations_are_marked():
    right = clip(hypothesis="Am Tag Sonne", reference="Am Tag Sonne")
    wrong = clip(id="Clip-B", hypothesis="Am Tag", reference="Am Tag Sonne")
    page = render(ReportData(title="x", clips=[right, wrong]))
    assert page.count('data-exact="yes"') == 1 and page.count('data-exact="no"') == 1
    assert "word for word" in page and "ROUGE-L 77" in page  # P = 1, R = 2/3
    assert 'data-text="clip-b am tag sonne am tag"' in page  # for the search


def test_the_legend_names_only_what_occurs():
    page = render(ReportData(title="x", clips=[clip(timed=None, names=(), spans=())]))
    assert "score of a pseudo-gloss" not in page and "avatar" not in page


def test_a_clip_without_frames_keeps_its_sentences():
    page = render(ReportData(title="x", clips=[clip(frames=None, problem="missing file", hypothesis="abend")]))
    assert "missing file" in page and "<video" not in page and "abend" in page


def test_only_the_first_clips_are_unfolded():
    page = render(ReportData(title="x", clips=[clip(id=f"clip-{number}") for number in range(11)]))
    assert checked(page).counts["article"] == 11 and "3 more clips" in page


def test_heat_and_true_spans_share_one_axis():
    timeline = np.zeros((6, 3))
    timeline[3, 1] = 0.2
    page = render(ReportData(title="x", clips=[clip(timed=timed(timeline), spans=(SignSpan("REGEN", 5, 8),))]))
    assert '<rect x="5.5" width="2" height="1" opacity="1.00"/>' in page and "nan" not in page
    places = re.findall(r'class="(?:bar|truth)" style="(.*?)"', page)
    assert places == ["left:45.45%;width:27.27%"] * 2


def test_charts_are_described_in_words():
    page = render(full())
    assert 'aria-label="pretrain, loss: step from 3 to 1"' in page and page.count("<polyline") == 2


def test_the_page_of_a_comparison_is_self_contained(tmp_path):
    for name, text in (("a", "am tag\n\n"), ("b", "am tag regen\nwind\n"), ("references", "am tag regen\nwind\n")):
        (tmp_path / f"{name}.txt").write_text(text, encoding="utf-8")
    compared = compare(
        tmp_path / "a.txt", tmp_path / "b.txt", references=tmp_path / "references.txt", language="de", samples=5
    )
    checker = checked(compared.to_html())
    assert checker.counts["article"] == 2 and all(address[1:] in checker.ids for address in checker.addresses)
