"""Gloss error rate: by hand, and against every alignment."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from glossfree.scoring.word_errors import align, word_errors


@pytest.mark.parametrize(
    ("hypothesis", "reference", "edits"),
    [
        ("", "", (0, 0, 0)),
        ("A B", "", (0, 2, 0)),
        ("", "A B C", (0, 0, 3)),
        ("REGEN NORD", "REGEN NORD", (0, 0, 0)),
        ("REGEN SUED", "REGEN NORD", (1, 0, 0)),
        ("JETZT REGEN NORD", "REGEN NORD", (0, 1, 0)),
        ("NORD", "REGEN NORD", (0, 0, 1)),
        ("B C", "A B", (0, 1, 1)),  # a deletion and an insertion cost 6, two substitutions 8
        ("A X C D", "A B C", (1, 1, 0)),
        ("regen", "REGEN", (1, 0, 0)),
    ],
)
def test_edits_by_hand(hypothesis: str, reference: str, edits: tuple[int, int, int]) -> None:
    assert align(hypothesis.split(), reference.split()) == edits


def every_alignment(hypothesis: Sequence[str], reference: Sequence[str]) -> list[tuple[int, int, int]]:
    """The edits of all alignments, by recursion over first words."""
    if not hypothesis or not reference:
        return [(0, len(hypothesis), len(reference))]
    changed = int(hypothesis[0] != reference[0])
    return [
        *((s + changed, i, d) for s, i, d in every_alignment(hypothesis[1:], reference[1:])),
        *((s, i + 1, d) for s, i, d in every_alignment(hypothesis[1:], reference)),
        *((s, i, d + 1) for s, i, d in every_alignment(hypothesis, reference[1:])),
    ]


def test_edits_are_those_of_the_cheapest_of_all_alignments() -> None:
    draw = random.Random(3)
    for _ in range(120):
        hypothesis, reference = (draw.choices("ABCD", k=draw.randrange(6)) for _ in range(2))
        cheapest = min(every_alignment(hypothesis, reference), key=lambda e: (4 * e[0] + 3 * (e[1] + e[2]), sum(e)))
        assert align(hypothesis, reference) == cheapest


def test_errors_of_all_clips_are_divided_by_all_annotated_glosses() -> None:
    errors = word_errors([["A", "X"], [], ["C", "D", "E"]], [["A", "B", "C"], ["B"], ["C"]])
    assert (errors.substitutions, errors.insertions, errors.deletions) == (1, 2, 2)
    assert errors.wer == pytest.approx(100 * 5 / 5) and (errors.num_glosses, errors.num_clips) == (5, 3)
    assert errors.to_dict()["wer"] == errors.wer
    assert "100.00 %" in errors.to_text() and "40.00 insertions" in errors.to_text()


def test_nothing_annotated_has_no_rate() -> None:
    with pytest.raises(ValueError, match="no annotated gloss"):
        word_errors([["A"]], [[]])
    with pytest.raises(ValueError, match="argument 2"):
        word_errors([["A"]], [["A"], ["B"]])
