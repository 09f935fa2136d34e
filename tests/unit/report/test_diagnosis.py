"""The diagnosis of a few sentences, worked out by hand."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest

from glossfree.report.diagnosis import (
    FrequencyBin,
    Shares,
    count_by_frequency,
    count_names,
    count_numbers,
    count_support,
    diagnose,
    find_names,
)
from glossfree.report.diagnosis import split_words as words
from glossfree.scoring.metrics import score
from glossfree.text.tagging import Token

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


def tag(sentence: str) -> list[Token]:
    """Names are content words too."""
    kinds = {**dict.fromkeys(CONTENT, "NOUN"), **dict.fromkeys(NAMES, "PROPN")}
    return [Token(word, word, kinds.get(word, "DET")) for word in words(sentence)]


def measured(**changes):
    return diagnose(
        HYPOTHESES, REFERENCES, **{"training": TRAINING, "language": "de", "signers": SIGNERS, "tag": tag, **changes}
    )


def test_groups_by_length_are_quarters_and_hold_every_sentence_once():
    # lengths 3, 6, 9, 6, 9: the quartiles are 6, 6, 9
    groups = measured().by_length
    assert [(group.name, group.num_sentences) for group in groups] == [("3-6", 3), ("7-9", 2)]
    ids = ("b", "d")
    expected = score([HYPOTHESES[id] for id in ids], [REFERENCES[id] for id in ids], language="de")
    assert (groups[1].bleu4, groups[1].rouge_l, groups[1].chrf) == pytest.approx(
        (expected.bleu4, expected.rouge_l, expected.chrf)
    )


def test_groups_by_signer_leave_out_unknown_signers():
    groups = measured().by_signer
    assert [(group.name, group.num_sentences) for group in groups] == [("1", 2), ("2", 2)]
    assert groups[0].rouge_l < groups[1].rouge_l
    assert measured(signers=None).by_signer == ()
    assert measured(signers=dict.fromkeys(REFERENCES, "1")).by_signer == ()


def test_copies_ignore_case_and_punctuation():
    # a, c, d, e are training sentences; of the references, c alone
    assert measured().copies == Shares(80.0, 20.0)
    assert measured().distinct == Shares(60.0, 100.0)
    assert measured().most_frequent == ("am tag regen", 2)


def test_repetition_is_compared_with_the_references():
    assert measured().repeated_word == Shares(20.0, 0.0)
    assert measured().repeated_ngram == Shares(0.0, 20.0)  # d: "wind und schnee im"


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
    result = diagnose({"a": sentence}, {"a": ""}, training=[], language="de", tag=tag)
    assert (result.repeated_ngram.hypotheses, result.repeated_word.hypotheses) == (100.0 * ngram, 100.0 * word)


def test_unsupported_and_omitted_words():
    # hypotheses: c {tag, regen} d {tag, regen} e {tag, regen} a {nacht, grad} b {main, grad, regen}: 11,
    # of which 5 are made up: main, and those of d and e
    # references: c {tag, regen} a {nacht, grad} b {rhein, grad, regen} e {wind} d {schnee, wind, harz}: 11, 5 are lost
    result = measured().support
    assert (result.hypothesis_words, result.reference_words) == (11, 11)
    assert result.unsupported == result.omitted == pytest.approx(500 / 11)
    assert result.commonest_omitted == (("wind", 2), ("harz", 1), ("rhein", 1), ("schnee", 1))


def test_numbers_and_names():
    result = measured()
    # a: 3 for -3; b: 5 right, 7 missed
    numbers = result.numbers
    assert (numbers.in_references, numbers.right, numbers.wrong, numbers.missed, numbers.invented) == (3, 1, 1, 1, 0)
    assert result.names is not None
    assert (result.names.in_references, result.names.in_hypotheses, result.names.right) == (2, 1, 0)
    assert (result.names.recall, result.names.precision) == (0.0, 0.0)
    assert measured(tag=lambda sentence: []).names is None


def test_rare_words_are_those_of_training():
    never, rare, *_ = measured().by_frequency
    # unseen and in references: minus, morgen, rhein, fünf, bis, sieben, und, süden, kommt, abends, auf, schnee, harz
    assert never.distinct_in_references == 13
    assert never.distinct_produced == 4 and never.distinct_right == 3  # morgen, fünf, und; no reference has main
    assert rare.distinct_in_references == 10  # all words of training but "norden"


def test_sentences_without_spaces_are_cut_into_characters():
    result = diagnose({"a": "今天下雨"}, {"a": "今天下雪。"}, training=["今天 下雨。"], language="zh", tag=tag)
    assert result.copies == Shares(100.0, 0.0)
    assert result.by_length[0].name == "4"
    assert [(entry.name, entry.reference_words) for entry in result.by_frequency if entry.reference_words] == [
        ("0", 1),
        ("1-2", 3),
    ]


def test_shares_of_no_sentences_are_none():
    result = diagnose({}, {}, training=[], language="de", tag=tag)
    assert (result.num_sentences, result.by_length, result.most_frequent) == (0, (), None)
    assert result.copies == result.repeated_word == Shares(None, None)
    assert "NaN" not in json.dumps(asdict(result))


def test_empty_sentences_are_defined():
    result = diagnose({"a": "", "b": "x"}, {"a": "", "b": ""}, training=[""], language="de", tag=tag)
    assert result.copies == Shares(50.0, 100.0)
    assert "NaN" not in json.dumps(asdict(result))


def test_ids_must_be_the_same():
    with pytest.raises(ValueError, match="2 are in one side only"):
        diagnose({"a": "x"}, {"b": "x"}, training=[], language="de", tag=tag)


def test_the_order_of_ids_changes_nothing():
    backwards = dict(reversed(REFERENCES.items()))
    assert diagnose(HYPOTHESES, backwards, training=TRAINING, language="de", tag=tag).support == measured().support


def test_words_fall_into_bins_by_their_count_in_training() -> None:
    # training: a 12 times, b 3 times, c twice, d once; e never
    training = [("a",) * 12, ("b", "b", "c"), ("b", "c", "d")]
    hypotheses = [("a", "a", "b", "d"), ("b", "c", "a")]
    references = [("a", "b", "b", "e"), ("c", "d", "a")]
    never, rare, few, some, many = count_by_frequency(hypotheses, references, training)
    assert never == FrequencyBin("0", 1, 0.0, 0, None, 1, 0, 0)
    # c: right once; d: wanted in the second sentence, hypotheses in the first
    assert rare == FrequencyBin("1-2", 2, 50.0, 2, 50.0, 2, 2, 1)
    assert few == FrequencyBin("3-10", 2, 50.0, 2, 50.0, 1, 1, 1)
    # a: wanted twice; hypotheses three times, of which the second "a" of one sentence has no partner
    assert some == FrequencyBin("11-100", 2, 100.0, 3, pytest.approx(200 / 3), 1, 1, 1)
    assert many == FrequencyBin("over 100", 0, None, 0, None, 0, 0, 0)


def test_support_counts_each_content_word_once_per_sentence() -> None:
    hypotheses = [set({"regen", "wind"}), set({"sonne"}), set()]
    references = [set({"regen"}), set({"wolke", "schnee", "nebel"}), set({"nebel"})]
    result = count_support(hypotheses, references)
    assert (result.hypothesis_words, result.reference_words) == (3, 5)
    assert result.unsupported == pytest.approx(200 / 3) and result.omitted == pytest.approx(80.0)
    assert result.commonest_unsupported == (("sonne", 1), ("wind", 1))
    assert result.commonest_omitted == (("nebel", 2), ("schnee", 1), ("wolke", 1))


def test_support_of_nothing_is_none() -> None:
    result = count_support([], [])
    assert (result.unsupported, result.omitted, result.hypothesis_words) == (None, None, 0)


def test_numbers_are_right_wrong_missed_or_invented() -> None:
    hypotheses = [[5, 7], [3], [], [8, 8], [1, 2], [4]]
    references = [[5, 9], [3], [6, 6], [8], [], [4, 4]]
    # [5 right, 7 for 9], [right], [2 missed], [right, one invented], [2 invented], [right, one missed]
    result = count_numbers(hypotheses, references)
    assert (result.right, result.wrong, result.missed, result.invented) == (4, 1, 3, 3)
    assert result.in_references == 8
    assert (result.sentences, result.sentences_right) == (5, 1)


def test_names_by_hand() -> None:
    result = count_names([set({"rhein", "elbe"}), set({"main"})], [set({"rhein"}), set()])
    assert (result.in_references, result.in_hypotheses, result.right) == (1, 3, 1)
    assert result.recall == 100.0 and result.precision == pytest.approx(100 / 3)
    nothing = count_names([], [])
    assert (nothing.recall, nothing.precision) == (None, None)


GERMAN = [
    *("am rhein scheint die sonne", "im norden regen", "am rhein und an der elbe zehn grad", "an der elbe regen"),
    *("er scheint im norden", "deutschlands nordsee", "über deutschland liegt ein tief"),
]


def test_content_words_and_names_of_lower_case_german() -> None:
    result = diagnose(
        {"a": "am rhein scheint die sonne", "b": "er kommt aus deutschlands norden"},
        {"a": "an der elbe scheint die sonne", "b": "über deutschland regnet es"},
        training=GERMAN,
        language="de",
        signers={"a": "1", "b": "2"},
    )
    assert result.names is not None
    # deutschlands and deutschland are one name
    assert (result.names.in_references, result.names.in_hypotheses, result.names.right) == (2, 2, 1)
    unsupported = dict(result.support.commonest_unsupported)
    assert "rhein" in unsupported and not {"er", "die", "aus", "scheinen", "deutschland"} & unsupported.keys()
    assert result.copies.hypotheses == 50.0 and len(result.by_signer) == 2


def test_a_word_is_a_name_if_most_of_its_tags_are() -> None:
    readings = {"x": ["PROPN", "PROPN", "PROPN", "PROPN", "NOUN"], "y": ["PROPN", "PROPN", "PROPN", "NOUN"]}

    def tag(sentence: str) -> list[Token]:
        word, place = sentence.split()
        return [Token(word.upper(), f"{word}-lemma", readings[word][int(place)])]

    sentences = [f"{word} {place}" for word, kinds in readings.items() for place in range(len(kinds))]
    assert find_names(sentences, tag) == {"x": "x-lemma"}


def test_a_language_without_a_tagger_has_content_words_but_no_names() -> None:
    result = diagnose({"a": "明天下雨"}, {"a": "今天下雨 15 度"}, training=["今天下雪"], language="zh")
    assert result.names is None and result.support.reference_words > 0
    assert result.numbers.missed == 1


@pytest.mark.parametrize("language", ["de", "zh", "en", "ko"])
def test_empty_texts_are_no_error(language: str) -> None:
    assert diagnose({}, {}, training=[], language=language).num_sentences == 0
    result = diagnose({"a": ""}, {"a": "."}, training=[], language=language)
    assert (result.support.unsupported, result.names) == (None, None)
