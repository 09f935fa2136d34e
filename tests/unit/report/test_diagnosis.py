"""The diagnosis of a few sentences, worked out by hand."""

from __future__ import annotations

import json

import pytest

from glossfree.report.diagnosis import Habit, diagnose, has_repeated_ngram, has_repeated_word, words
from glossfree.scoring.metrics import score

TRAINING = ["am tag regen", "in der nacht drei grad", "im norden wind"]
REFERENCES = {
    "c": "am tag regen",
    "a": "in der nacht minus drei grad",
    "b": "morgen am rhein fünf bis sieben grad und regen",
    "e": "im süden kommt abends wind auf",
    "d": "wind und schnee im harz wind und schnee im",
}
HYPOTHESES = {
    "a": "in der nacht drei grad",
    "b": "morgen am main fünf grad und und regen",
    "c": "Am Tag Regen.",
    "d": "am tag regen",
    "e": "am tag regen",
}
SIGNERS = {"a": "2", "b": "2", "c": "1", "d": "1", "e": ""}
CONTENT = frozenset({"tag", "regen", "nacht", "grad", "wind", "schnee"})
NAMES = frozenset({"rhein", "main", "harz"})


def content(sentence: str) -> frozenset[str]:
    return CONTENT & set(words(sentence))


def names(sentence: str) -> frozenset[str]:
    return NAMES & set(words(sentence))


def found(**changes):
    settings = {"training": TRAINING, "content": content, "names": names, "signers": SIGNERS, **changes}
    return diagnose(HYPOTHESES, REFERENCES, **settings)


def test_groups_by_length_are_quarters_and_hold_every_sentence_once():
    # lengths 3, 6, 9, 6, 9: the quartiles are 6, 6, 9
    groups = found().by_length
    assert [(group.name, group.num_sentences) for group in groups] == [("3-6", 3), ("7-9", 2)]
    ids = ("b", "d")
    expected = score([HYPOTHESES[id] for id in ids], [REFERENCES[id] for id in ids])
    assert (groups[1].bleu4, groups[1].rouge_l, groups[1].chrf) == pytest.approx(
        (expected.bleu4, expected.rouge_l, expected.chrf)
    )


def test_groups_by_signer_leave_out_who_is_not_known():
    groups = found().by_signer
    assert [(group.name, group.num_sentences) for group in groups] == [("1", 2), ("2", 2)]
    assert groups[0].rouge_l < groups[1].rouge_l
    assert found(signers=None).by_signer == ()
    assert found(signers=dict.fromkeys(REFERENCES, "1")).by_signer == ()


def test_copies_ignore_case_and_punctuation():
    # a, c, d, e are training sentences; of the references, c alone
    assert found().copies == Habit(80.0, 20.0)
    assert found().distinct == Habit(60.0, 100.0)
    assert found().most_frequent == ("am tag regen", 2)


def test_repetition_stands_beside_the_references():
    assert found().repeated_word == Habit(20.0, 0.0)
    assert found().repeated_ngram == Habit(0.0, 20.0)  # d: "wind und schnee im"


@pytest.mark.parametrize(
    ("sentence", "ngram", "word"),
    [
        ("a b c d a b c d", True, False),
        ("a a a a a", True, True),
        ("a b c d a b c e", False, False),
        ("a a b", False, True),
        ("", False, False),
    ],
)
def test_repeated(sentence, ngram, word):
    assert (has_repeated_ngram(words(sentence)), has_repeated_word(words(sentence))) == (ngram, word)


def test_words_without_support_and_left_out():
    # said: c {tag, regen} d {tag, regen} e {tag, regen} a {nacht, grad} b {grad, regen}: 10, of which d and e's 4
    # meant: c {tag, regen} a {nacht, grad} b {grad, regen} e {wind} d {schnee, wind}: 9, of which 3 are lost
    result = found().support
    assert (result.hypothesis_words, result.reference_words) == (10, 9)
    assert result.unsupported == 40.0 and result.omitted == pytest.approx(100 / 3)
    assert result.commonest_omitted == (("wind", 2), ("schnee", 1))


def test_numbers_and_names():
    result = found()
    # a: 3 for -3; b: 5 right, 7 missed
    numbers = result.numbers
    assert (numbers.in_references, numbers.right, numbers.wrong, numbers.missed, numbers.invented) == (3, 1, 1, 1, 0)
    assert result.names is not None
    assert (result.names.in_references, result.names.in_hypotheses, result.names.right) == (2, 1, 0)
    assert (result.names.recall, result.names.precision) == (0.0, 0.0)
    assert found(names=None).names is None


def test_rare_words_are_those_of_training():
    never, rare, *_ = found().by_frequency
    # unseen and in references: minus, morgen, rhein, fünf, bis, sieben, und, süden, kommt, abends, auf, schnee, harz
    assert never.distinct_in_references == 13
    assert never.distinct_produced == 4 and never.distinct_right == 3  # morgen, fünf, und; main is nowhere meant
    assert rare.distinct_in_references == 10  # all words of training but "norden"


def test_sentences_without_spaces_are_cut_into_characters():
    result = diagnose({"a": "今天下雨"}, {"a": "今天下雪。"}, training=["今天 下雨。"], content=content, language="zh")
    assert result.copies == Habit(100.0, 0.0)
    assert result.by_length[0].name == "4"
    assert [(entry.name, entry.reference_words) for entry in result.by_frequency if entry.reference_words] == [
        ("0", 1),
        ("1-2", 3),
    ]


def test_nothing_at_all_is_none_and_never_a_crash():
    result = diagnose({}, {}, training=[], content=content, names=names)
    assert (result.num_sentences, result.by_length, result.most_frequent) == (0, (), None)
    assert result.copies == result.repeated_word == Habit(None, None)
    assert "NaN" not in json.dumps(result.to_dict())


def test_empty_sentences_are_defined():
    result = diagnose({"a": "", "b": "x"}, {"a": "", "b": ""}, training=[""], content=content, names=names)
    assert result.copies == Habit(50.0, 100.0)
    assert "NaN" not in json.dumps(result.to_dict())


def test_ids_must_be_the_same():
    with pytest.raises(ValueError, match="2 have only one side"):
        diagnose({"a": "x"}, {"b": "x"}, training=[], content=content)


def test_the_order_of_ids_changes_nothing():
    backwards = dict(reversed(REFERENCES.items()))
    assert diagnose(HYPOTHESES, backwards, training=TRAINING, content=content).support == found().support
