"""Pseudo-gloss timelines and true sign spans -> how well they locate signs: peaks and rankings, compared with chance.

Two measures for each pair of a clip and a pseudo-gloss that is signed in it. *Hit rate*: does the highest segment lie
in a true span? *Average precision* (AP): segments are ranked by their score, and precision is averaged over the ranks
of those in a true span. Its mean over pairs also shows whether the timeline covers the sign, not only its best moment.

Only corpora with known sign times (the drawn ones) can be measured. Avatar glosses are names ("FUENFZEHN"),
pseudo-glosses are lemmas ("fünfzehn"). Only those that agree after `fold` are counted.
Units: frames of the packed clip; rates on 0-100.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from glossfree.corpora.manifest import SignSpan

TOLERANCES = {0: "inside the sign", 2: "within 2 frames of the sign"}
FOLDING = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss"})


@dataclass(frozen=True)
class TimedClip:
    """A clip with known sign times: `timeline` (S, P), the frame in the middle of each segment (S,), the true spans."""

    timeline: np.ndarray
    middles: np.ndarray
    spans: tuple[SignSpan, ...]


@dataclass(frozen=True)
class Pair:
    """A clip and a pseudo-gloss that is signed in it: its `column`, `scores` (S,), the clip's `middles`, its spans."""

    column: int
    scores: np.ndarray
    middles: np.ndarray
    spans: tuple[SignSpan, ...]

    def inside(self, tolerance: int = 0) -> np.ndarray:
        """(S,) bool: which segments look at a frame of the sign, or at most `tolerance` frames beside it."""
        inside = np.zeros(len(self.middles), dtype=bool)
        for span in self.spans:
            inside |= (self.middles >= span.start - tolerance) & (self.middles < span.end + tolerance)
        return inside


@dataclass(frozen=True)
class Pointing:
    """Over `pairs` of clip and pseudo-gloss, {measure: (its value, its value by chance)} on 0-100.

    By chance, a peak is inside the sign as often as the clip's segments are. Average precision is over the pairs with
    at least one segment in a span (at a large stride a sign can fall between two); by chance, it is the exact
    expectation under a random ranking, a little above the share of segments in the span.
    """

    pairs: int
    rates: dict[str, tuple[float, float]]


def fold(name: str) -> str:
    """A gloss or a lemma -> the spelling that both share: lower case, umlauts and sharp s written out."""
    return name.lower().translate(FOLDING)


def segment_middles(num_segments: int, seen: np.ndarray, middles: Sequence[int]) -> np.ndarray:
    """(S,) the packed clip's frame in the middle of each segment.

    `seen` (T,) are the indices of the packed frames that the model saw, `middles` (S,) those of them in the middle of
    each segment. Raises ValueError where their number is not S.
    """
    if num_segments != len(middles):
        raise ValueError(f"{num_segments} segments do not come from {len(seen)} frames")
    return np.take(seen, middles)


def columns_of(names: Sequence[str]) -> dict[str, int]:
    """P pseudo-glosses -> {spelling that glosses share: its column in a timeline}."""
    return {fold(name): column for column, name in enumerate(names)}


def pairs_of(clip: TimedClip, columns: Mapping[str, int]) -> list[Pair]:
    """A clip -> a Pair for each pseudo-gloss that is signed in it, in the order of the columns."""
    spans: dict[int, list[SignSpan]] = {}
    for span in clip.spans:
        if (column := columns.get(fold(span.gloss))) is not None:
            spans.setdefault(column, []).append(span)
    return [Pair(column, clip.timeline[:, column], clip.middles, tuple(spans[column])) for column in sorted(spans)]


def measure_pair(pair: Pair, scores: np.ndarray) -> dict[str, float]:
    """Scores (S,) of a pair's segments -> {measure: its value in [0, 1]}. Equal scores give the level of chance.

    Of several highest segments, each counts alike. There is no AP where no segment is in a span.
    """
    values = {}
    known = np.where(np.isnan(scores), -np.inf, scores)
    for tolerance, place in TOLERANCES.items():
        inside = pair.inside(tolerance)
        values[f"peak {place}"] = float(inside[known == known.max()].mean())
        if inside.any():
            values[f"mAP {place}"] = average_precision(scores, inside)
    return values


def measure_pointing(clips: Iterable[TimedClip], names: Sequence[str]) -> Pointing | None:
    """Timelines (S, P) over P pseudo-glosses -> Pointing; None where no gloss of a clip is a pseudo-gloss.

    A sign that occurs more than once in a clip is one pair: its peak may lie in any of its spans.
    """
    columns = columns_of(names)
    values = defaultdict[str, list[tuple[float, float]]](list)
    pairs = [pair for clip in clips for pair in pairs_of(clip, columns)]
    for pair in pairs:
        by_chance = measure_pair(pair, np.zeros(len(pair.scores)))
        for name, value in measure_pair(pair, pair.scores).items():
            values[name].append((value, by_chance[name]))
    if not pairs:
        return None
    means = {name: 100 * np.mean(each, axis=0) for name, each in values.items()}
    return Pointing(len(pairs), {name: (float(value), float(chance)) for name, (value, chance) in means.items()})


def average_precision(scores: np.ndarray, relevant: np.ndarray) -> float:
    """Scores (S,) and which segments are relevant (S,) bool -> average precision in [0, 1] of the ranking by score.

    With R relevant segments, AP = 1/R sum over ranks k of relevant ones of (relevant ones among the first k) / k.
    Of equal scores, the expectation over all of their orders is used. In a group of m equal ones with
    r relevant, after n others with p relevant, rank n + j holds a relevant one with probability r/m, and then
    (j-1)(r-1)/(m-1) others of the group are expected before it. One group of all is thus the exact level of chance.
    NaN ranks last. Raises ValueError where nothing is relevant.
    """
    total = int(np.sum(relevant))
    if total == 0:
        raise ValueError("no segment is relevant")
    _, groups = np.unique(np.where(np.isnan(scores), np.inf, -scores), return_inverse=True)  # 0: the highest score
    sizes, hits = np.bincount(groups), np.bincount(groups, weights=relevant)
    n, p = np.cumsum(sizes) - sizes, np.cumsum(hits) - hits
    m, r, n, p = (np.repeat(of_group, sizes) for of_group in (sizes, hits, n, p))  # (S,) by rank
    rank = np.arange(1, len(m) + 1)
    others = (rank - n - 1) * (r - 1) / np.maximum(m - 1, 1)
    return float(np.sum(r / m * (p + 1 + others) / rank)) / total
