"""Hypothesis and reference -> both as markup, words that the other side lacks marked."""

from __future__ import annotations

from difflib import SequenceMatcher

from glossfree.report.markup import Html, join, tag


def marked(hypothesis: str, reference: str) -> tuple[Html, Html]:
    """Two sentences -> (hypothesis with its extra words marked, reference with its missed words marked)."""
    said, meant = hypothesis.split(), reference.split()
    blocks = SequenceMatcher(a=said, b=meant, autojunk=False).get_matching_blocks()
    common_said = {block.a + i for block in blocks for i in range(block.size)}
    common_meant = {block.b + i for block in blocks for i in range(block.size)}
    if not said:
        return tag("em", "(nothing)", class_="empty"), _words(meant, common_meant, "missed", "not in the hypothesis")
    return (
        _words(said, common_said, "extra", "not in the reference"),
        _words(meant, common_meant, "missed", "not in the hypothesis"),
    )


def _words(words: list[str], common: set[int], kind: str, why: str) -> Html:
    pieces: list[str] = []
    for position, word in enumerate(words):
        pieces.append(word if position in common else tag("mark", word, class_=kind, title=why))
        pieces.append(" ")
    return join(pieces[:-1])
