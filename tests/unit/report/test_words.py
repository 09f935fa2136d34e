"""Word differences between two sentences."""

from __future__ import annotations

import re

from glossfree.report.words import marked


def words(html: str, kind: str) -> list[str]:
    return re.findall(rf'<mark class="{kind}"[^>]*>([^<]*)</mark>', html)


def test_both_sides_show_what_the_other_lacks():
    hypothesis, reference = marked("im norden viel regen", "im süden regen und wind")
    assert words(hypothesis, "extra") == ["norden", "viel"]
    assert words(reference, "missed") == ["süden", "und", "wind"]


def test_equal_sentences_have_no_marks():
    hypothesis, reference = marked("am tag sonne", "am  tag sonne")
    assert hypothesis == reference == "am tag sonne"


def test_an_empty_hypothesis_is_said():
    hypothesis, reference = marked("", "am tag")
    assert "(nothing)" in hypothesis and words(reference, "missed") == ["am", "tag"]
