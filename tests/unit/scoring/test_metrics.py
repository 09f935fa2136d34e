"""Scores against values computed by hand."""

from __future__ import annotations

import json
import math
from collections import Counter
from dataclasses import replace

import pytest
from sacrebleu.metrics.bleu import BLEU

from glossfree.errors import CorpusError
from glossfree.scoring.conventions import CONVENTIONS, Convention, convention_for
from glossfree.scoring.metrics import Scores, score, scores_table


def test_cumulative_bleu_by_hand():
    # 1-grams 4/5, 2-grams 2/4, 3-grams 1/3, 4-grams 0/2 -> smoothed 1/(2*2); the brevity penalty is exp(1 - 6/5).
    hypotheses, references = ["morgen regnet es am meer"], ["heute regnet es am meer kaum"]
    expected_precisions = [4 / 5, 3 / 4, 2 / 3, 1 / 2]
    penalty = math.exp(1 - 6 / 5)
    scores = score(hypotheses, references, language="de")
    for order, value in enumerate((scores.bleu1, scores.bleu2, scores.bleu3, scores.bleu4), start=1):
        mean = math.prod(expected_precisions[:order]) ** (1 / order)
        assert value == pytest.approx(100 * penalty * mean, abs=1e-6)
    assert scores.length_ratio == pytest.approx(5 / 6)
    assert scores.exact == 0.0


def test_missing_ngrams_are_smoothed_exponentially():
    scores = score(["schnee im tal"], ["regen im tal"], language="de")
    # 1-grams 2/3; "im tal" is a shared 2-gram: 1/2; the only 3-gram is not shared: 1/(2*1); there is no 4-gram.
    assert scores.bleu2 == pytest.approx(100 * math.sqrt(2 / 3 * 1 / 2))
    assert scores.bleu3 == pytest.approx(100 * (2 / 3 * 1 / 2 * 1 / 2) ** (1 / 3))
    assert scores.bleu4 == 0.0


def test_bleu_is_of_the_corpus_not_the_mean_of_sentences():
    scores = score(["a b c d", "x"], ["a b c d", "y"], language="de")
    assert scores.bleu1 == pytest.approx(100 * 4 / 5)
    assert scores.exact == 50.0


def test_rouge_l_by_hand():
    # LCS("regen und wind", "regen mit viel wind") = 2: P = 2/3, R = 2/4, b^2 = 1.44.
    by_hand = 2.44 * (2 / 3) * 0.5 / (0.5 + 1.44 * 2 / 3)
    scores = score(["regen und wind", "sonne"], ["regen mit viel wind", "sonne"], language="de")
    assert scores.rouge_l == pytest.approx(100 * (by_hand + 1) / 2)


def test_empty_hypotheses_score_zero_without_nan():
    scores = score(["", ""], ["am tag regen", "schnee"], language="de")
    values = [scores.bleu1, scores.bleu4, scores.rouge_l, scores.chrf, scores.exact, scores.length_ratio]
    assert values == [0.0] * 6
    json.dumps(scores.to_dict(), allow_nan=False)


def test_empty_on_both_sides_is_no_nan():
    json.dumps(score([""], [""], language="de").to_dict(), allow_nan=False)


def test_identical_sentences_score_100():
    text = ["in der nacht fällt auf den höhen schnee", "süßes wetter für übermorgen im süden"]
    scores = score(text, text, language="de")
    for value in (scores.bleu1, scores.bleu4, scores.rouge_l, scores.chrf, scores.exact):
        assert value == pytest.approx(100.0)
    assert scores.num_sentences == 2


def test_hypotheses_come_first():
    # BLEU-1's precision counts hypothesis words: 1/3 one way, 1 times the brevity penalty the other way.
    assert score(["a b c"], ["a"], language="de").bleu1 == pytest.approx(100 / 3)
    assert score(["a"], ["a b c"], language="de").bleu1 == pytest.approx(100 * math.exp(1 - 3))


def test_lists_must_match():
    with pytest.raises(ValueError, match="2 hypotheses for 1"):
        score(["a", "b"], ["a"], language="de")
    with pytest.raises(ValueError, match="no sentence"):
        score([], [], language="de")


def test_each_score_carries_its_signature():
    scores = score(["a b c d e"], ["a b c d e"], language="de")
    assert set(scores.signatures) == {"bleu1", "bleu2", "bleu3", "bleu4", "chrf", "rouge_l"}
    assert "order:3" in scores.signatures["bleu3"] and "tok:13a" in scores.signatures["bleu3"]
    assert "beta:1.2" in scores.signatures["rouge_l"]
    assert scores.convention["name"] == "plain" and scores.convention["append"] == ""


def test_an_appended_stop_raises_scores_and_shows():
    hypotheses, references = ["heute viel regen im norden"], ["morgen viel regen im süden"]
    stop = Convention("stop", append=" .")
    plain, stopped = score(hypotheses, references, language="de"), score(hypotheses, references, convention=stop)
    assert stopped.bleu1 == pytest.approx(100 * 4 / 6) and plain.bleu1 == pytest.approx(100 * 3 / 5)
    assert stopped.rouge_l > plain.rouge_l
    assert all(signature.endswith('|append:" ."') for signature in stopped.signatures.values())


def test_lower_case_is_a_setting():
    lower = Convention("lower", lowercase=True)
    assert score(["Regen im Tal heute"], ["regen im tal heute"], language="de").exact == 0.0
    lowered = score(["Regen im Tal heute"], ["regen im tal heute"], convention=lower)
    assert lowered.bleu4 == pytest.approx(100.0)
    assert "case:lc" in lowered.signatures["bleu4"]


@pytest.mark.parametrize("language", ["zh", "zh_CN", "ja"])
def test_languages_without_spaces_count_characters(language):
    text = ["今天晚上有雨"]
    assert score(text, text, language="de").bleu4 == 0.0
    scores = score(text, text, language=language)
    assert scores.bleu4 == pytest.approx(100.0) and scores.rouge_l == pytest.approx(100.0)
    assert score(["今天 晚上 有雨"], text, language=language).rouge_l == pytest.approx(100.0)


CHINESE = [  # hypothesis, reference; no Latin letter and no digit, so that zh cuts every character
    ("今天晚上有大雨", "今天晚上会有大雨。"),
    ("明天我跟朋友一起去火车站", "明天我和朋友一起去火车站"),
    ("他没有找到那本书。", "他没找到那本书。"),
    ("", "好"),
]


def counts(text, order):
    return Counter(text[start : start + order] for start in range(len(text) - order + 1))


def naive_bleu(pairs, order):
    """BLEU over characters by its definition; every order has a match."""
    logarithm = 0.0
    for n in range(1, order + 1):
        matches = sum((counts(hypothesis, n) & counts(reference, n)).total() for hypothesis, reference in pairs)
        logarithm += math.log(matches / sum(counts(hypothesis, n).total() for hypothesis, _ in pairs)) / order
    length, expected = (sum(len(pair[side]) for pair in pairs) for side in (0, 1))
    return 100 * min(1.0, math.exp(1 - expected / length)) * math.exp(logarithm)


def naive_rouge(hypothesis, reference):
    """F with b = 1.2 over characters, the longest common subsequence by its recursion."""
    lengths = [[0] * (len(reference) + 1) for _ in range(len(hypothesis) + 1)]
    for i, a in enumerate(hypothesis):
        for j, b in enumerate(reference):
            lengths[i + 1][j + 1] = lengths[i][j] + 1 if a == b else max(lengths[i][j + 1], lengths[i + 1][j])
    common = lengths[-1][-1]
    if not common:
        return 0.0
    precision, recall = common / len(hypothesis), common / len(reference)
    return 100 * 2.44 * precision * recall / (recall + 1.44 * precision)


@pytest.mark.parametrize("language", ["zh", "ja", "th"])
def test_characters_are_counted_as_a_naive_loop_counts_them(language):
    scores = score(*zip(*CHINESE, strict=True), language=language)
    for order in (1, 2, 3, 4):
        assert getattr(scores, f"bleu{order}") == pytest.approx(naive_bleu(CHINESE, order))
    assert scores.rouge_l == pytest.approx(sum(naive_rouge(*pair) for pair in CHINESE) / len(CHINESE))


def test_chinese_is_scored_as_sacrebleus_zh_scores_it():
    pairs = [*CHINESE, ("WiFi密码是3.5公斤米", "密码WiFi是3.5公斤的米,对吗?")]
    hypotheses, references = (list(side) for side in zip(*pairs, strict=True))
    bleu = BLEU(tokenize="zh")
    theirs = bleu.corpus_score(hypotheses, [references])
    ours = score(hypotheses, references, language="zh")
    assert ours.bleu4 == pytest.approx(theirs.score)
    assert ours.signatures["bleu4"] == f"order:4|{bleu.get_signature().format()}|width:half"


def test_width_is_no_difference_in_chinese():
    reference = ["明天，有１０度吗？好！"]
    half = ["明天,有10度吗?好!"]
    for hypothesis in (half, reference):
        scores = score(hypothesis, reference, language="zh")
        assert scores.bleu4 == scores.rouge_l == scores.chrf == scores.exact == pytest.approx(100)
        assert all("|width:half" in signature for signature in scores.signatures.values())
    assert score(half, reference, convention=CONVENTIONS["plain-chinese"]).bleu4 < 50
    assert score(["10 grad"], ["１０ grad"], language="de").bleu1 == pytest.approx(50)


def test_a_score_needs_a_language_or_a_convention():
    with pytest.raises(CorpusError, match="no such language"):
        score(["a"], ["a"])


def test_german_is_unchanged():
    assert convention_for("de") == CONVENTIONS["plain"]
    assert CONVENTIONS["plain"].prepare("Am  Tag") == "Am  Tag"


def test_scores_survive_json():
    scores = score(["a b"], ["a c"], language="de")
    assert Scores(**json.loads(json.dumps(scores.to_dict()))) == scores


def test_table_shows_every_row():
    scores = score(["a b c d e"], ["a b c d e"], language="de")
    lines = scores_table({"hfa": {"dev": scores, "test": scores}, "ohne": {"test": scores}}).splitlines()
    assert len(lines) == 5
    assert lines[0].split() == [
        "model",
        "split",
        "BLEU-1",
        "BLEU-2",
        "BLEU-3",
        "BLEU-4",
        "ROUGE-L",
        "chrF",
        "sentences",
    ]
    assert lines[4].split()[:3] == ["ohne", "test", "100.00"]
    assert len({len(line) for line in lines}) == 1


@pytest.mark.parametrize(
    ("language", "name"), [("de", "plain"), ("zh_CN", "plain-chinese"), ("ja", "plain-characters")]
)
def test_append_is_part_of_every_languages_convention(language, name):
    convention = convention_for(language, append=" .")
    assert (convention.name, convention.append) == (name, " .")
    assert convention_for(language).append == ""
    hypotheses, references = ["今天 晚上 有雨 吗"], ["今天 上午 有雨 吧"]
    plain = score(hypotheses, references, language=language)
    stopped = score(hypotheses, references, convention=convention)
    assert stopped.bleu1 > plain.bleu1 and stopped.rouge_l > plain.rouge_l
    assert stopped.convention == {**plain.convention, "append": " ."}
    assert [stopped.signatures[key] for key in plain.signatures] == [
        f'{s}|append:" ."' for s in plain.signatures.values()
    ]


def test_the_table_names_the_appended_text():
    plain = score(["a b"], ["a c"], language="de")
    stopped = score(["a b"], ["a c"], convention=convention_for("de", append=" ."))
    lines = scores_table({"ours": {"dev": stopped, "test": stopped}, "theirs": {"test": plain}}).splitlines()
    assert lines[5:] == ['ours: " ." behind every hypothesis and reference']
    assert len(scores_table({"theirs": {"test": plain}}).splitlines()) == 3


def test_the_table_names_supervision_by_glosses_once():
    free, glosses = (
        replace(score(["a b"], ["a c"], language="de"), supervision=name) for name in ("gloss-free", "glosses")
    )
    lines = scores_table({"ours": {"dev": free}, "theirs": {"dev": glosses, "test": glosses}}).splitlines()
    assert lines[5:] == ['theirs: trained with annotated glosses (supervision = "glosses")']
