"""The benchmark of scores, on a few sentences: what it times is the scoring that it says."""

from __future__ import annotations

from pathlib import Path

from benchmarks import scoring


def test_pairs_are_the_same_for_a_seed_and_spoilt_in_part() -> None:
    made = scoring.pairs(40, seed=3)
    assert made == scoring.pairs(40, seed=3) != scoring.pairs(40, seed=5)
    assert 0 < sum(hypothesis == reference for hypothesis, reference in made) < 20
    said, meant = (sum(len(pair[side].split()) for pair in made) for side in (0, 1))
    assert 0.8 * meant < said < meant


def test_both_kinds_are_timed_on_the_sentences(tmp_path: Path) -> None:
    one, every, found = scoring.measure(37, tmp_path, samples=5, rounds=1)
    assert 0 < one < every
    assert (len(found.systems.references), found.samples) == (37, 5)
    assert 0 < found.rows[0].scores["bleu4"] < 100


def test_the_table_has_a_row_for_each_size() -> None:
    lines = scoring.run({13: 2, 29: 3}, samples=7, rounds=1).splitlines()
    assert [line.split(" | ")[0] for line in lines[2:4]] == ["| 13", "| 29"]
    assert "7 bootstrap samples" in lines[-1]
