"""Texts are escaped, elements are not."""

from __future__ import annotations

from glossfree.report.markup import Html, join, tag


def test_texts_are_escaped_and_elements_pass():
    assert tag("p", "a < b", tag("b", '"c"')) == "<p>a &lt; b<b>&quot;c&quot;</b></p>"
    assert join(["&", [Html("<i>"), "<i>"]]) == "&amp;<i>&lt;i&gt;"


def test_attributes():
    assert tag("p", class_="x", data_at=3, title='"', hidden=True, id=None, open=False) == (
        '<p class="x" data-at="3" title="&quot;" hidden></p>'
    )
    assert tag("svg", viewBox="0 0 1 1") == '<svg viewBox="0 0 1 1"></svg>'
    assert tag("br") == "<br/>"
