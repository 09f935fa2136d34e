"""Sums of rows against the library's own scores, for every kind of selection."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF

from glossfree.scoring.conventions import CONVENTIONS, PUBLISHED, Convention
from glossfree.scoring.statistics import BLEUS, METRICS, Statistics, bleu, chrf

WORDS = ["regen", "Schnee", "im", "tal", "und", "wind", "heute", "süden", "3,5", "-"]
SMOOTHINGS = [("exp", None), ("floor", None), ("floor", 0.0), ("floor", 0.37), ("none", None)]

PLAIN = CONVENTIONS["plain"]


def pairs(number: int, seed: int = 7, shortest: int = 0) -> tuple[list[str], list[str]]:
    rng = random.Random(seed)
    hypotheses = [" ".join(rng.choices(WORDS, k=rng.randint(shortest, 9))) for _ in range(number)]
    references = [
        " ".join(rng.choices(WORDS, k=rng.randint(1, 8))) if rng.random() < 0.6 else text or "wind"
        for text in hypotheses
    ]
    return hypotheses, references


def library(hypotheses: list[str], references: list[str], convention: Convention) -> dict[str, float]:
    """sacrebleu's own scores, without ROUGE-L."""
    prepared = [convention.prepare(text) for text in hypotheses], [convention.prepare(text) for text in references]
    spaced = [[convention.spaced(text) for text in side] for side in prepared]
    result = {}
    for order in range(1, 5):
        metric = BLEU(
            tokenize=convention.tokenize,
            smooth_method=convention.smooth_method,
            smooth_value=convention.smooth_value,
            effective_order=convention.effective_order,
            max_ngram_order=order,
            force=True,
        )
        corpus = metric.corpus_score(spaced[0], [spaced[1]])
        result[f"bleu{order}"] = corpus.score
        result["length_ratio"] = corpus.sys_len / corpus.ref_len
    result["chrf"] = CHRF().corpus_score(prepared[0], [prepared[1]]).score
    result["exact"] = 100 * np.mean([a == b for a, b in zip(*prepared, strict=True)])
    return result


@pytest.mark.parametrize("effective_order", [False, True])
@pytest.mark.parametrize(("smooth_method", "smooth_value"), SMOOTHINGS)
@pytest.mark.parametrize("tokenize", ["13a", "none", "char", "zh"])
def test_the_librarys_scores_to_the_last_digit(tokenize, smooth_method, smooth_value, effective_order):
    convention = Convention(
        "x", tokenize=tokenize, smooth_method=smooth_method, smooth_value=smooth_value, effective_order=effective_order
    )
    for number, seed in ((1, 3), (2, 1), (13, 5), (61, 2)):
        hypotheses, references = pairs(number, seed)
        scores = Statistics.of(hypotheses, references, convention).scores()
        assert set(scores) == set(METRICS)
        for name, expected in library(hypotheses, references, convention).items():
            assert scores[name] == pytest.approx(expected, abs=1e-9), name


@pytest.mark.parametrize("name", ["plain", "neccam-slt", "plain-characters"])
def test_draws_with_repeats_are_the_scores_of_the_drawn_sentences(name):
    convention = (CONVENTIONS | PUBLISHED)[name]
    hypotheses, references = pairs(23)
    statistics = Statistics.of(hypotheses, references, convention)
    draws = np.random.default_rng(1).integers(0, 23, size=(71, 23))  # more than one chunk
    result = statistics.resampled(draws)
    for row in (0, 63, 64, 70):
        drawn = [hypotheses[i] for i in draws[row]], [references[i] for i in draws[row]]
        for metric, expected in library(*drawn, convention).items():
            assert result[metric][row] == pytest.approx(expected, abs=1e-9), metric
        assert result["rouge_l"][row] == pytest.approx(Statistics.of(*drawn, convention).scores()["rouge_l"])


@pytest.mark.parametrize("name", ["plain", "spamo", "gfslt-vlp"])
def test_two_systems_can_be_mixed(name):
    convention = PUBLISHED.get(name) or CONVENTIONS[name]
    one, references = pairs(19, shortest=1)
    other = pairs(19, seed=11)[0]
    a, b = (Statistics.of(hypotheses, references, convention) for hypotheses in (one, other))
    masks = np.random.default_rng(2).random((67, 19)) < 0.5
    result = a.swapped(b, masks)
    for row in (0, 66):
        mixed = [y if swap else x for x, y, swap in zip(one, other, masks[row], strict=True)]
        expected = Statistics.of(mixed, references, convention).scores()
        assert {metric: result[metric][row] for metric in METRICS} == pytest.approx(expected)


@pytest.mark.parametrize(
    ("average", "size", "groups", "weights"),
    [
        ("batches", 5, [range(5), range(5, 10), range(10, 15), [15, 16]], [5, 5, 5, 2]),
        ("shards", 5, [[0, 5, 10, 15], [1, 6, 11, 16], [2, 7, 12, 0], [3, 8, 13, 1], [4, 9, 14, 2]], [1] * 5),
        ("shards", 37, [[i % 17] for i in range(37)], [1] * 37),
    ],
)
def test_means_over_batches_and_shards(average, size, groups, weights):
    hypotheses, references = pairs(17, shortest=2)
    statistics = Statistics.of(hypotheses, references, Convention("x", average=average, size=size))
    each = [
        Statistics.of([hypotheses[i] for i in group], [references[i] for i in group], Convention("y")).scores()
        for group in groups
    ]
    total = Statistics.of(hypotheses, references, Convention("y")).scores()
    for metric, result in statistics.scores().items():
        mean = np.average([scores[metric] for scores in each], weights=weights)
        assert result == pytest.approx(mean if metric in BLEUS else total[metric]), metric
    draw = np.random.default_rng(3).integers(0, 17, size=(1, 17))
    drawn = statistics.select(draw[0])
    assert {name: value[0] for name, value in statistics.resampled(draw).items()} == pytest.approx(drawn.scores())


def test_scores_of_single_sentences():
    hypotheses, references = pairs(12)
    table = Statistics.of(hypotheses, references, CONVENTIONS["plain"]).table
    bleu4_scores, chrf_scores = bleu(table, 4, Convention("single sentence", effective_order=True)), chrf(table)
    metric = BLEU(effective_order=True)
    for row, (hypothesis, reference) in enumerate(zip(hypotheses, references, strict=True)):
        assert bleu4_scores[row] == pytest.approx(metric.sentence_score(hypothesis, [reference]).score)
        assert chrf_scores[row] == pytest.approx(CHRF().sentence_score(hypothesis, [reference]).score)


def test_a_subset_has_the_scores_of_its_sentences():
    hypotheses, references = pairs(9)
    statistics = Statistics.of(hypotheses, references, CONVENTIONS["plain"])
    chosen = Statistics.of([hypotheses[2], hypotheses[7]], [references[2], references[7]], CONVENTIONS["plain"])
    assert statistics.select([2, 7]).scores() == pytest.approx(chosen.scores())
    assert statistics.select(np.array([2, 7])).num_sentences == 2
    with pytest.raises(ValueError, match="no sentence"):
        statistics.select([])


def test_empty_hypotheses_have_finite_scores():
    for convention in (*CONVENTIONS.values(), *PUBLISHED.values()):
        scores = Statistics.of(["", " "], ["regen im tal", ""], convention).scores()
        assert all(np.isfinite(value) for value in scores.values()), convention.name


def test_signatures_extend_the_librarys():
    convention = replace(PUBLISHED["gfslt-vlp"], append=" .", size=3)
    signatures = Statistics.of(["a"], ["a"], convention).signatures
    assert set(signatures) == {"bleu1", "bleu2", "bleu3", "bleu4", "chrf", "rouge_l"}
    assert signatures["bleu4"].endswith('|append:" ."|average:shards:3') and "case:lc" in signatures["bleu4"]
    assert "eff:no" in signatures["bleu4"] and "smooth:exp" in signatures["bleu4"]
    assert signatures["chrf"].endswith('|append:" ."') and signatures["rouge_l"].endswith('|append:" ."')
    raw = replace(PUBLISHED["slrt"], append="", characters=True, effective_order=True)
    raw_signatures = Statistics.of(["a"], ["a"], raw).signatures
    assert "eff:yes" in raw_signatures["bleu1"] and "smooth:floor[0.00]" in raw_signatures["bleu1"]
    assert raw_signatures["bleu1"].endswith("|words:characters") and "beta:P/R" in raw_signatures["rouge_l"]


def test_packed_statistics_hold_what_bleu_and_rouge_need() -> None:
    hypotheses, references = pairs(41, shortest=0)
    statistics = Statistics.of(hypotheses, references, PLAIN)
    packed = statistics.packed()
    again = Statistics.unpacked(packed, PLAIN)
    np.testing.assert_array_equal(again.table[:, :10], statistics.table[:, :10])
    np.testing.assert_allclose(again.table[:, 10:13], statistics.table[:, 10:13], atol=1e-5)
    assert {name: again.scores()[name] for name in BLEUS} == {name: statistics.scores()[name] for name in BLEUS}
    assert packed.isascii()
    with pytest.raises(ValueError, match="not packed"):
        Statistics.unpacked("x" + packed[::-1][1:], PLAIN)
