"""Intervals and paired tests against loops that score lists of sentences with sacrebleu, one draw at a time."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF

from glossfree.scoring import significance
from glossfree.scoring.conventions import Convention, convention_for
from glossfree.scoring.metrics import score
from glossfree.scoring.significance import NUM_CHANGES, compare, few_sentences, intervals
from glossfree.scoring.statistics import METRICS, Statistics

PLAIN = convention_for("de")
WORDS = ("regen", "schnee", "im", "tal", "und", "wind", "heute", "morgen", "kommt")
N, SAMPLES, SEED = 17, 29, 5


def corpus(num_sentences: int = N, seed: int = 3) -> tuple[list[str], list[str], list[str]]:
    """References, and hypotheses of a worse and of a better system; one of each is empty."""
    rng = random.Random(seed)
    references = [" ".join(rng.choices(WORDS, k=rng.randint(1, 9))) for _ in range(num_sentences)]

    def translate(correct: float) -> list[str]:
        return [" ".join(w if rng.random() < correct else rng.choice(WORDS) for w in r.split()) for r in references]

    worse, better = translate(0.5), translate(0.6)
    worse[1 % num_sentences] = better[2 % num_sentences] = ""
    return references, worse, better


REFERENCES, A, B = corpus()


def of(hypotheses: list[str], convention: Convention = PLAIN) -> Statistics:
    return Statistics.of(hypotheses, REFERENCES, convention)


def bleu4_and_chrf(hypotheses: list[str], references: list[str]) -> tuple[float, float]:
    return (
        BLEU().corpus_score(hypotheses, [references]).score,
        CHRF().corpus_score(hypotheses, [references]).score,
    )


def middle(values: list[float], level: float) -> tuple[float, float]:
    """Percentiles by hand: sorted values, straight lines between them."""
    ordered = sorted(values)

    def at(share: float) -> float:
        place = share * (len(ordered) - 1)
        below = int(place)
        above = min(below + 1, len(ordered) - 1)
        return ordered[below] + (place - below) * (ordered[above] - ordered[below])

    return at((1 - level) / 2), at((1 + level) / 2)


def test_intervals_equal_those_of_resampled_lists() -> None:
    draws = np.random.default_rng([SEED, 0]).integers(0, N, size=(SAMPLES, N))
    scored = [bleu4_and_chrf([A[i] for i in draw], [REFERENCES[i] for i in draw]) for draw in draws]
    result = intervals(of(A), samples=SAMPLES, seed=SEED)
    for name, values in zip(("bleu4", "chrf"), zip(*scored, strict=True), strict=True):
        assert (result[name].low, result[name].high) == pytest.approx(middle(list(values), 0.95), abs=1e-9)
    assert set(result) == set(METRICS)


def test_an_interval_covers_the_score_and_narrows_with_more_sentences() -> None:
    widths = []
    for size in (30, 480):
        references, hypotheses, _ = corpus(size)
        statistics = Statistics.of(hypotheses, references, PLAIN)
        result, scores = intervals(statistics), statistics.scores()
        assert all(result[name].low <= scores[name] <= result[name].high for name in METRICS)
        widths.append(result["rouge_l"].high - result["rouge_l"].low)
    assert 2.5 < widths[0] / widths[1] < 6.5  # sqrt(480 / 30) = 4


@pytest.mark.parametrize("convention", [PLAIN, Convention("b", average="batches", size=4)])
def test_one_sentence_gives_its_score_twice(convention: Convention) -> None:
    statistics = Statistics.of(["regen im tal heute und"], ["regen im tal heute"], convention)
    for name, interval in intervals(statistics, samples=7).items():
        assert interval.low == interval.high == pytest.approx(statistics.scores()[name])


def test_empty_hypotheses_score_zero_and_never_nan() -> None:
    result = intervals(of([""] * N), samples=SAMPLES)
    assert [(interval.low, interval.high) for interval in result.values()] == [(0.0, 0.0)] * len(METRICS)
    compared = compare(of([""] * N), of(A), samples=SAMPLES)
    assert all(np.isfinite([m.a, m.b, m.interval.low, m.p_randomisation]).all() for m in compared.metrics.values())


def test_the_paired_bootstrap_equals_that_of_lists() -> None:
    draws = np.random.default_rng([SEED, 0]).integers(0, N, size=(SAMPLES, N))
    differences = []
    for draw in draws:
        references = [REFERENCES[i] for i in draw]
        of_a, of_b = (bleu4_and_chrf([texts[i] for i in draw], references)[0] for texts in (A, B))
        differences.append(of_b - of_a)
    result = compare(of(A), of(B), samples=SAMPLES, seed=SEED).metrics["bleu4"]
    assert result.difference == pytest.approx(bleu4_and_chrf(B, REFERENCES)[0] - bleu4_and_chrf(A, REFERENCES)[0])
    assert result.difference > 0
    assert (result.interval.low, result.interval.high) == pytest.approx(middle(differences, 0.95), abs=1e-9)
    assert result.p_bootstrap == sum(difference <= 0 for difference in differences) / SAMPLES


def test_the_randomisation_equals_that_of_lists() -> None:
    coins = np.random.default_rng([SEED, 1]).integers(0, 2, size=(SAMPLES, N)).astype(bool)
    result = compare(of(A), of(B), samples=SAMPLES, seed=SEED).metrics
    for place, name in enumerate(("bleu4", "chrf")):
        observed = abs(bleu4_and_chrf(B, REFERENCES)[place] - bleu4_and_chrf(A, REFERENCES)[place])
        as_large = 0
        for row in coins:
            first = [b if coin else a for a, b, coin in zip(A, B, row, strict=True)]
            second = [a if coin else b for a, b, coin in zip(A, B, row, strict=True)]
            change = bleu4_and_chrf(second, REFERENCES)[place] - bleu4_and_chrf(first, REFERENCES)[place]
            as_large += abs(change) >= observed - 1e-9
        assert 0 < as_large < SAMPLES
        assert result[name].p_randomisation == (as_large + 1) / (SAMPLES + 1)


@pytest.mark.parametrize("convention", [PLAIN, Convention("s", average="shards", size=3)])
def test_identical_systems_tie_everywhere(convention: Convention) -> None:
    result = compare(of(A, convention), of(list(A), convention), samples=SAMPLES)
    assert (result.wins, result.ties, result.losses) == (0, N, 0)
    assert result.better == result.worse == ()
    for metric in result.metrics.values():
        assert (metric.difference, metric.p_bootstrap, metric.p_randomisation) == (0.0, 1.0, 1.0)
        assert (metric.interval.low, metric.interval.high) == (0.0, 0.0)


def test_a_clear_difference_is_significant_and_chance_is_not() -> None:
    references, _, _ = corpus(200)
    wrong = ["wind"] * 200
    clear = compare(Statistics.of(wrong, references, PLAIN), Statistics.of(references, references, PLAIN), samples=99)
    assert clear.metrics["bleu4"].p_bootstrap == 0.0
    assert clear.metrics["bleu4"].p_randomisation == 1 / 100
    # two halves of wrong sentences: as good as each other
    first = [r if i % 2 else "wind" for i, r in enumerate(references)]
    second = ["wind" if i % 2 else r for i, r in enumerate(references)]
    chance = compare(Statistics.of(first, references, PLAIN), Statistics.of(second, references, PLAIN), samples=99)
    assert chance.metrics["exact"].p_randomisation > 0.3


def test_swapping_the_systems_only_changes_signs() -> None:
    there, back = (compare(x, y, samples=SAMPLES, seed=SEED) for x, y in ((of(A), of(B)), (of(B), of(A))))
    for name in METRICS:
        ours, theirs = there.metrics[name], back.metrics[name]
        assert (ours.a, ours.b, ours.difference) == (theirs.b, theirs.a, -theirs.difference)
        assert (ours.interval.low, ours.interval.high) == pytest.approx((-theirs.interval.high, -theirs.interval.low))
        assert (ours.p_bootstrap, ours.p_randomisation) == (theirs.p_bootstrap, theirs.p_randomisation)
    assert (there.wins, there.ties, there.losses) == (back.losses, back.ties, back.wins)
    assert [change.index for change in there.better] == [change.index for change in back.worse]


def test_sentences_are_won_by_chrf_and_the_largest_changes_come_first() -> None:
    result = compare(of(A), of(B), samples=1)
    chrf = [[score([h], [r], language="de").chrf for h, r in zip(texts, REFERENCES, strict=True)] for texts in (A, B)]
    change = [b - a for a, b in zip(*chrf, strict=True)]
    assert result.sentence_metric == "chrf"
    assert (result.wins, result.losses) == (sum(c > 1e-9 for c in change), sum(c < -1e-9 for c in change))
    assert result.ties == N - result.wins - result.losses and result.wins > result.losses > 0
    gains = sorted((c for c in change if c > 1e-9), reverse=True)[:NUM_CHANGES]
    assert [c.b - c.a for c in result.better] == pytest.approx(gains)
    assert [c.b - c.a for c in result.worse] == pytest.approx(sorted(c for c in change if c < -1e-9)[:NUM_CHANGES])
    for shown in (*result.better, *result.worse):
        assert (shown.a, shown.b) == pytest.approx((chrf[0][shown.index], chrf[1][shown.index]))


def test_the_seed_changes_the_result_and_chunks_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = compare(of(A), of(B), samples=SAMPLES, seed=SEED)
    assert compare(of(A), of(B), samples=SAMPLES, seed=SEED) == expected
    assert compare(of(A), of(B), samples=SAMPLES, seed=SEED + 1).metrics != expected.metrics
    ours = intervals(of(A), samples=SAMPLES, seed=SEED)
    monkeypatch.setattr(significance, "CHUNK", 3)
    pieces = compare(of(A), of(B), samples=SAMPLES, seed=SEED)
    for name in METRICS:
        assert pieces.metrics[name].p_randomisation == expected.metrics[name].p_randomisation
        again = intervals(of(A), samples=SAMPLES, seed=SEED)[name]
        assert (again.low, again.high) == pytest.approx((ours[name].low, ours[name].high))


def test_with_five_sentences_even_a_system_that_is_always_right_cannot_win() -> None:
    """One swap in 2^(N-1) differs as much, so that N = 5 says p = 0.06 where the bootstrap says 0."""
    right, wrong = ["es wird kalt am meer"] * 5, ["morgen scheint die sonne hier"] * 5
    metric = compare(*(Statistics.of(side, right, PLAIN) for side in (wrong, right)), samples=2000).metrics["bleu4"]
    assert metric.p_bootstrap == 0 and metric.p_randomisation == pytest.approx(1 / 16, abs=0.02)
    assert ["0.062" in note for note in few_sentences(5)] == [True]
    assert [len([*few_sentences(count)]) for count in (1, 6, 19, 20)] == [1, 1, 1, 0]
    assert not any("too few" in note for note in few_sentences(6))


def test_incomparable_systems_are_refused() -> None:
    with pytest.raises(ValueError, match="same sentences"):
        compare(of(A), of(B).select([0, 1]))
    with pytest.raises(ValueError, match="same sentences"):
        compare(of(A), of(B, replace(PLAIN, lowercase=True)))
    with pytest.raises(ValueError, match="0 samples"):
        intervals(of(A), samples=0)


def test_packed_statistics_have_the_significance_of_the_sentences() -> None:
    expected = compare(of(A), of(B), samples=SAMPLES, seed=SEED)
    packed = [Statistics.unpacked(of(each).packed(), PLAIN) for each in (A, B)]
    found = compare(*packed, samples=SAMPLES, seed=SEED)
    assert found.metrics["bleu4"] == expected.metrics["bleu4"] and found.metrics["bleu1"] == expected.metrics["bleu1"]
    rouge, rounded = expected.metrics["rouge_l"], found.metrics["rouge_l"]
    assert (rounded.p_bootstrap, rounded.p_randomisation) == (rouge.p_bootstrap, rouge.p_randomisation)
    assert rounded.difference == pytest.approx(rouge.difference, abs=2e-3)
    assert found.metrics["chrf"].p_bootstrap == 1, "which is left out, and so shows nothing"
