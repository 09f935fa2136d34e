"""Words, content words, numbers and names, counted by hand."""

from __future__ import annotations

import pytest

from glossfree.report.faults import FrequencyBin, by_frequency, compared_names, compared_numbers, support


def test_words_fall_into_bins_by_their_count_in_training() -> None:
    # training: a 12 times, b 3 times, c twice, d once; e never
    training = [("a",) * 12, ("b", "b", "c"), ("b", "c", "d")]
    said = [("a", "a", "b", "d"), ("b", "c", "a")]
    meant = [("a", "b", "b", "e"), ("c", "d", "a")]
    never, rare, few, some, many = by_frequency(said, meant, training)
    assert never == FrequencyBin("0", 1, 0.0, 0, None, 1, 0, 0)
    # c: right once; d: wanted in the second sentence, said in the first
    assert rare == FrequencyBin("1-2", 2, 50.0, 2, 50.0, 2, 2, 1)
    assert few == FrequencyBin("3-10", 2, 50.0, 2, 50.0, 1, 1, 1)
    # a: wanted twice; said three times, of which the second "a" of one sentence has no partner
    assert some == FrequencyBin("11-100", 2, 100.0, 3, pytest.approx(200 / 3), 1, 1, 1)
    assert many == FrequencyBin("over 100", 0, None, 0, None, 0, 0, 0)


def test_support_counts_each_content_word_once_per_sentence() -> None:
    said = [frozenset({"regen", "wind"}), frozenset({"sonne"}), frozenset()]
    meant = [frozenset({"regen"}), frozenset({"wolke", "schnee", "nebel"}), frozenset({"nebel"})]
    found = support(said, meant)
    assert (found.hypothesis_words, found.reference_words) == (3, 5)
    assert found.unsupported == pytest.approx(200 / 3) and found.omitted == pytest.approx(80.0)
    assert found.commonest_unsupported == (("sonne", 1), ("wind", 1))
    assert found.commonest_omitted == (("nebel", 2), ("schnee", 1), ("wolke", 1))


def test_support_of_nothing_is_none() -> None:
    found = support([], [])
    assert (found.unsupported, found.omitted, found.hypothesis_words) == (None, None, 0)


def test_numbers_are_right_wrong_missed_or_invented() -> None:
    said = [[5, 7], [3], [], [8, 8], [1, 2], [4]]
    meant = [[5, 9], [3], [6, 6], [8], [], [4, 4]]
    # [5 right, 7 for 9], [right], [2 missed], [right, one invented], [2 invented], [right, one missed]
    found = compared_numbers(said, meant)
    assert (found.right, found.wrong, found.missed, found.invented) == (4, 1, 3, 3)
    assert found.in_references == 8
    assert (found.sentences, found.sentences_right) == (5, 1)


def test_names_by_hand() -> None:
    found = compared_names([frozenset({"rhein", "elbe"}), frozenset({"main"})], [frozenset({"rhein"}), frozenset()])
    assert (found.in_references, found.in_hypotheses, found.right) == (1, 3, 1)
    assert found.recall == 100.0 and found.precision == pytest.approx(100 / 3)
    nothing = compared_names([], [])
    assert (nothing.recall, nothing.precision) == (None, None)
