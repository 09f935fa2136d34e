"""What no corpus should hold and every one does: empty sides, odd spacing, one sentence, another script, very many."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest

from glossfree.scoring.conventions import CONVENTIONS, Convention, published_for
from glossfree.scoring.statistics import METRICS, Statistics, chrf

Pairs = list[tuple[str, str]]
EVERY = [*CONVENTIONS.values(), *published_for("de"), *(how for how in published_for("zh") if how.characters)]
SECONDS = 20  # of a processor, for 5,000 sentences under one convention: it takes one to three
OF_CHINESE = [CONVENTIONS["plain-chinese"], CONVENTIONS["plain-characters"], *published_for("zh")]
SPLIT = [how for how in OF_CHINESE if how.characters or how.tokenize == "zh"]


def name(how: Convention) -> str:
    return f"{how.name}-{'characters' if how.characters else 'words'}"


def scores(pairs: Pairs, how: Convention) -> dict[str, float]:
    """All scores, held to be numbers of their range."""
    found = Statistics.of([a for a, _ in pairs], [b for _, b in pairs], how).scores()
    assert set(found) == set(METRICS)
    assert all(math.isfinite(value) and value >= 0 for value in found.values()), found
    assert all(value <= 100 + 1e-9 for metric, value in found.items() if metric != "length_ratio"), found
    return found


@pytest.mark.parametrize("how", EVERY, ids=name)
@pytest.mark.parametrize(
    "pairs",
    [
        [("", "am rhein bleibt es trüb")],
        [("am rhein bleibt es trüb", "")],
        [("", "")],
        [("   ", "\t"), ("", " ")],
        [(".", "..."), ("。", "？")],
        [("  im   süden\u00a0regen ", "im süden  regen"), ("", "x")],
        [("über straßen fließt öl", "ÜBER Straßen fließt Öl")],
        [("u\u0308ber", "über")],  # the same letter, written in one and in two characters
        [("3,5 grad um 18-20 uhr", "3,5 grad um 18-20 uhr")],
        [("ein wort", "kein anderes")],
        [("我今天去学校", "我今天去学校"), ("我 今 天", "我今天")],
    ],
    ids=lambda pairs: repr(pairs[0]),
)
def test_scores_are_defined(pairs: Pairs, how: Convention) -> None:
    scores(pairs, how)
    statistics = Statistics.of([a for a, _ in pairs], [b for _, b in pairs], how)
    sentence_scores = chrf(statistics.table)
    assert sentence_scores.shape == (len(pairs),) and np.isfinite(sentence_scores).all()
    draws = np.zeros((2, len(pairs)), dtype=int)
    assert all(np.isfinite(values).all() for values in statistics.resampled(draws).values())


@pytest.mark.parametrize("how", EVERY, ids=name)
def test_empty_hypotheses_score_nothing(how: Convention) -> None:
    """All of them empty: 0; but a full stop that is appended to both sides is found on both."""
    found = scores([("", "im süden regen"), ("", "schnee")], how)
    stop_alone = 0.0 if not how.append else 100 * math.exp(1 - 6 / 2)  # 2 words, both right, for 4 and their 2 stops
    assert found["exact"] == 0
    assert found["bleu4"] == 0 or how.append
    if not how.characters and how.average == "corpus":
        assert found["bleu1"] == pytest.approx(stop_alone)
    assert found["rouge_l"] == 0 or how.append


@pytest.mark.parametrize("how", EVERY, ids=name)
def test_lists_must_match_and_hold_something(how: Convention) -> None:
    for hypotheses, references in (([], []), (["a"], ["a", "b"])):
        with pytest.raises(ValueError, match=r"no sentence|hypotheses for"):
            Statistics.of(hypotheses, references, how)


@pytest.mark.parametrize("how", EVERY, ids=name)
def test_one_sentence_and_itself(how: Convention) -> None:
    text = "über dem harz fällt morgen leichter schnee"
    found = scores([(text, text)], how)
    assert [found[f"bleu{order}"] for order in range(1, 5)] == pytest.approx([100.0] * 4)
    assert (found["rouge_l"], found["chrf"], found["exact"]) == pytest.approx((100.0, 100.0, 100.0))


def test_bleu4_of_a_short_sentence_is_0_as_in_the_originals() -> None:
    """Two words have no 4-gram. 13a with "exp" and the changed copies of sacrebleu 1.4.2 all give 0."""
    for how in (*published_for("de"), CONVENTIONS["plain"]):
        words = 3 if how.append else 2
        found = scores([("viel regen", "viel regen")], how)
        expected = [100.0 if order <= words else 0.0 for order in range(1, 5)]
        assert [found[f"bleu{order}"] for order in range(1, 5)] == pytest.approx(expected), how.name


def test_what_is_never_found_is_0_or_smoothed() -> None:
    """Of 5 words 3 are right, and no 2-gram: without smoothing BLEU-2..4 are 0, "exp" halves for each such order."""
    pair = [("ost a west b nord", "ost c west d nord")]
    for how in (convention for convention in published_for("de") if not convention.append):
        found = scores(pair, how)
        assert found["bleu1"] == pytest.approx(60.0)
        smoothed = how.name in ("gfslt-vlp", "spamo", "uni-sign")
        precisions = [3 / 5, 1 / (2 * 4), 1 / (4 * 3), 1 / (8 * 2)] if smoothed else [3 / 5, 0, 0, 0]
        for order in range(2, 5):
            assert found[f"bleu{order}"] == pytest.approx(100 * math.prod(precisions[:order]) ** (1 / order)), how.name


@pytest.mark.parametrize("how", SPLIT, ids=name)
@pytest.mark.parametrize("of_set", ["chinese", "chinese-spaced"])
def test_identical_chinese_scores_100_where_characters_are_split(
    of_set: str, how: Convention, pairs: dict[str, Pairs]
) -> None:
    same = [(reference, reference) for _, reference in pairs[of_set]]
    found = scores(same, how)
    assert [found[f"bleu{order}"] for order in range(1, 5)] == pytest.approx([100.0] * 4)
    assert found["exact"] == pytest.approx(100.0)
    if how.rouge in ("mscoco", "seq2seq"):
        assert found["rouge_l"] == pytest.approx(100.0)


def test_identical_chinese_is_0_where_they_are_not() -> None:
    """One sentence is one word: no 2-gram. The README of one convention cannot be another's."""
    same = [("我今天去学校", "我今天去学校"), ("天气很好", "天气很好")]
    for how in (CONVENTIONS["plain"], *published_for("de")):
        found = scores(same, how)
        assert found["bleu4"] == 0
        assert found["bleu1"] == pytest.approx(100.0)
        google = how.rouge.startswith("google")  # its words are made of a-z and 0-9: there is none
        assert found["rouge_l"] == pytest.approx(0.0 if google else 100.0)


def test_spaces_in_chinese_change_nothing_where_characters_are_split(pairs: dict[str, Pairs]) -> None:
    """But for "zh", which keeps "WiFi" as one word, and cuts it where there is a space."""
    for how in SPLIT:
        if not how.characters or how.tokenize == "zh":
            continue
        without, spaced = scores(pairs["chinese"], how), scores(pairs["chinese-spaced"], how)
        for metric in ("bleu1", "bleu4", "rouge_l"):
            assert spaced[metric] == pytest.approx(without[metric]), (how.name, metric)


def test_blanks_around_and_between_words() -> None:
    """BLEU reads any white space as one; ROUGE-L of the captioning code counts every blank, seq2seq's does not."""
    pair = [("  viel  regen ", "viel regen")]
    tidy = [("viel regen", "viel regen")]
    for how in published_for("de"):
        odd, plain = scores(pair, how), scores(tidy, how)
        assert odd["bleu2"] == pytest.approx(plain["bleu2"])
        if how.rouge == "mscoco":
            assert odd["rouge_l"] < plain["rouge_l"]
        else:
            assert odd["rouge_l"] == pytest.approx(plain["rouge_l"])


@pytest.mark.parametrize("how", [CONVENTIONS["plain"], *published_for("de")], ids=name)
def test_five_thousand_sentences(how: Convention, pairs: dict[str, Pairs]) -> None:
    """Twice as many as How2Sign's test split: the corpus's scores are those of its part, in seconds."""
    part = pairs["german"][:500]
    start = time.process_time()
    many = scores(part * 10, how)
    assert time.process_time() - start < SECONDS
    few = scores(part, how)
    for metric in ("rouge_l", "chrf", "exact", "length_ratio", *(() if how.size else ("bleu1", "bleu4"))):
        assert many[metric] == pytest.approx(few[metric], abs=1e-6)
