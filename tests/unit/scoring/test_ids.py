"""Ids that do not fit are counted and named."""

from __future__ import annotations

import pytest

from glossfree.corpora.manifest import PackedClip
from glossfree.errors import CorpusError
from glossfree.scoring.ids import check_ids, id_problems


def clip(id: str, text: str = "heute scheint die sonne") -> PackedClip:
    return PackedClip(id, "test", text, f"{id}.mp4", 7, 25.0)


def test_ids_that_fit_pass():
    check_ids({"b": 1, "a": 2}, [clip("a"), clip("b")])


def test_wrong_ids_are_named():
    with pytest.raises(CorpusError) as caught:
        check_ids(["a", "a", "x"], [clip("a"), clip("b"), clip("c")])
    message = str(caught.value)
    assert "2 without a hypothesis: b, c" in message
    assert "1 without a reference: x" in message
    assert "1 twice in the hypotheses: a" in message


def test_many_wrong_ids_are_counted():
    with pytest.raises(CorpusError, match=r"1,011 without a hypothesis: k0, .*, k9 and 1,001 more"):
        check_ids({}, [clip(f"k{i}") for i in range(1011)])


def test_many_culprits_are_counted() -> None:
    (problem,) = id_problems([], [f"clip-{number}" for number in range(1234)])
    assert problem.startswith("1,234 without a hypothesis: clip-0, clip-1, clip-2, clip-3, clip-4")
    assert problem.endswith(" more") and len(problem) < 200


def test_ids_are_compared_in_either_unicode_form() -> None:
    assert id_problems(["gru\u0308n", "a"], ["a", "grün"]) == []
    assert id_problems(["gru\u0308n", "grün"], ["grün"]) == ["1 twice in the hypotheses: grün"]


def test_a_very_long_id_is_cut() -> None:
    assert len(id_problems(["x" * 50_000], [])[0]) < 200
