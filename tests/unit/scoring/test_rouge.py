"""The four ROUGE-L against their formulas, written out once more, and against a table filled cell by cell."""

from __future__ import annotations

import random

import pytest

from glossfree.scoring.conventions import Convention
from glossfree.scoring.rouge import (
    longest_common_subsequence,
    rouge_l,
    rouge_l_of_sets,
    rouge_l_seq2seq,
    rouge_of,
    rouge_signature,
)


def table(a: list[str], b: list[str]) -> int:
    """Cell by cell."""
    cells = [[0] * (len(b) + 1) for _ in range(len(a) + 1)]
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            cells[i + 1][j + 1] = cells[i][j] + 1 if x == y else max(cells[i][j + 1], cells[i + 1][j])
    return cells[-1][-1]


def test_bits_count_the_same_as_a_table():
    rng = random.Random(3)
    for _ in range(400):
        a = rng.choices("abcde", k=rng.randint(0, 90))
        b = rng.choices("abcdf", k=rng.randint(0, 70))
        assert longest_common_subsequence(a, b) == table(a, b)
    assert longest_common_subsequence(["a", "b", "c", "d", "e"], ["e", "a", "x", "c", "b", "d"]) == 3


def test_mscoco_by_hand():
    # LCS("regen und wind", "regen mit viel wind") = 2: P = 2/3, R = 2/4, b^2 = 1.44.
    by_hand = 2.44 * (2 / 3) * 0.5 / (0.5 + 1.44 * 2 / 3)
    assert rouge_l(["regen", "und", "wind"], ["regen", "mit", "viel", "wind"]) == pytest.approx(by_hand)
    assert rouge_l(["a"], ["b"]) == 0.0
    assert rouge_l(["a", "b", "c", "d"], ["a", "b"]) > rouge_l(["a", "b"], ["a", "b", "c", "d"]), "recall counts more"


def test_seq2seq_by_hand():
    # P = 2/3, R = 1/2, b = 4/3: F = (25/9) (1/3) / (1/2 + (16/9) (2/3))
    expected = 25 / 9 / 3 / (1 / 2 + 16 / 9 * 2 / 3)
    assert rouge_l_seq2seq(["regen", "und", "wind"], ["regen", "mit", "viel", "wind"]) == pytest.approx(expected)
    assert rouge_l_seq2seq(["a"], ["b"]) == 0.0


def test_google_knows_only_latin_letters_and_digits():
    pairs = [("Regen im Tal", "regen im tal"), ("今天有雨", "今天有雨"), ("running winds", "run wind"), ("", "wind")]
    assert rouge_of(pairs, Convention("g", rouge="google")) == [1.0, 0.0, 0.0, 0.0]
    assert rouge_of(pairs, Convention("g", rouge="google-stemmed")) == [1.0, 0.0, 1.0, 0.0]


def test_a_convention_sets_the_variant_and_its_words():
    pairs = [("ab c", "a bd"), ("", "a")]
    assert rouge_of(pairs, Convention("w")) == [0.0, 0.0]
    precision = recall = 2 / 3
    of_characters = rouge_of(pairs, Convention("c", characters=True, rouge_beta=1.0))
    assert of_characters == pytest.approx([2 * precision * recall / (precision + recall), 0.0])
    assert rouge_of([("", "")], Convention("w")) == [1.0], "an empty sentence is one empty word"
    assert "beta:1.0" in rouge_signature(Convention("c", rouge_beta=1.0))
    assert "variant:google-stemmed" in rouge_signature(Convention("g", rouge="google-stemmed"))


def test_sets_of_words_by_hand():
    # Words of the hypothesis 3 (wind once), of the reference 4; in common "regen", "wind": P = 2/3, R = 2/4.
    expected = 2 * (2 / 3) * 0.5 / (2 / 3 + 0.5)
    assert rouge_l_of_sets("regen wind und wind", "regen mit viel  wind") == pytest.approx(expected, abs=1e-7)
    assert rouge_l_of_sets("wind . regen", "regen . wind") == pytest.approx(1.0), "sentences are matched each with each"
    assert rouge_l_of_sets("wind regen", "regen wind") == pytest.approx(0.5)
    assert rouge_l_of_sets("", "wind") == rouge_l_of_sets("wind", " . ") == 0.0
