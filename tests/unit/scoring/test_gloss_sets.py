"""Sets of pseudo-glosses against plain loops."""

from __future__ import annotations

import numpy as np
import pytest

from glossfree.scoring.gloss_sets import choose_threshold, set_scores


def naive(scores: np.ndarray, targets: np.ndarray, threshold: float) -> tuple[list[float], list[list[float]]]:
    """Micro precision, recall and F1, and those of each pseudo-gloss that occurs."""

    def rates(columns: list[int]) -> list[float]:
        right = wrong = missed = 0
        for clip in range(len(scores)):
            for gloss in columns:
                predicted, true = scores[clip, gloss] >= threshold, targets[clip, gloss] > 0
                right += predicted and true
                wrong += predicted and not true
                missed += true and not predicted
        precision = right / (right + wrong) if right + wrong else 0.0
        recall = right / (right + missed) if right + missed else 0.0
        f1 = 2 * precision * recall / (precision + recall) if right else 0.0
        return [100 * precision, 100 * recall, 100 * f1]

    every = list(range(scores.shape[1]))
    return rates(every), [rates([gloss]) for gloss in every if targets[:, gloss].any()]


def drawn(seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    targets = (rng.random((7, 5)) < 0.3).astype(np.float32)
    targets[:, 3] = 0
    return np.round(rng.random((7, 5)) + 0.4 * targets, 1), targets


@pytest.mark.parametrize("seed", range(5))
def test_rates_are_those_of_loops(seed: int) -> None:
    scores, targets = drawn(seed)
    for threshold in (0.0, 0.35, 0.8, 5.0):
        found = set_scores(scores, targets, threshold)
        micro, each = naive(scores, targets, threshold)
        assert [found.precision, found.recall, found.f1] == pytest.approx(micro)
        macro = np.mean(each, axis=0)
        assert [found.macro_precision, found.macro_recall, found.macro_f1] == pytest.approx(macro)
        assert found.per_clip == pytest.approx((scores >= threshold).sum() / 7)


@pytest.mark.parametrize("seed", range(5))
def test_the_threshold_is_the_best_of_all(seed: int) -> None:
    scores, targets = drawn(seed)
    f1 = {threshold: naive(scores, targets, threshold)[0][2] for threshold in np.unique(scores)}
    chosen = choose_threshold(scores, targets)
    assert f1[chosen] == pytest.approx(max(f1.values()))
    assert all(value < f1[chosen] - 1e-9 for threshold, value in f1.items() if threshold > chosen)


def test_the_same_scores_for_every_clip_choose_how_many_of_the_most_frequent() -> None:
    counts = np.array([9.0, 5.0, 5.0, 1.0])
    targets = np.array([[1, 1, 0, 0], [1, 0, 1, 0], [1, 0, 0, 1]], dtype=np.float32)
    # one for every clip: P 1, R 1/2; three, as the next two are equally frequent: P 5/9, R 5/6
    assert choose_threshold(np.tile(counts, (3, 1)), targets) == 9.0  # their F1 are 2/3 and 2/3: the higher one
    assert choose_threshold(np.tile(counts, (3, 1)), np.array([[1, 1, 1, 0]] * 3, dtype=np.float32)) == 5.0


def test_no_scores_and_other_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="equal shapes"):
        choose_threshold(np.zeros((2, 3)), np.zeros((3, 2)))
    with pytest.raises(ValueError, match="not empty"):
        choose_threshold(np.zeros((0, 3)), np.zeros((0, 3)))


def test_without_targets_nothing_is_right() -> None:
    scores = np.array([[0.2, 0.4]])
    assert choose_threshold(scores, np.zeros((1, 2))) == 0.4
    found = set_scores(scores, np.zeros((1, 2)), 0.4)
    assert (found.precision, found.recall, found.macro_f1, found.per_clip) == (0.0, 0.0, 0.0, 1.0)
