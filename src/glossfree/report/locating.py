"""Pseudo-gloss timelines and true sign spans -> where the scores put signs, and how far off their boundaries are.

The predicted span of a pseudo-gloss: the segments around its highest one, without a gap, whose score is at least half
of the highest. A segment reaches halfway to the middles of its neighbours, the first to the clip's start and the last
to its end. Of several true spans of one sign in a clip, the one with the highest IoU counts, the nearest if all are 0.

Two values stand beside those of a run:

- *chance*: for peaks and rankings, a random order of the segments; for boundaries, the run's own span put at every
  place of the clip, averaged. Both are exact.
- *length alone*: a guess that knows nothing but the clip's length. Its score falls linearly from 1 in the middle of the
  clip to 0 at both ends, for every pseudo-gloss, so that its span is the middle half of the clip.

Boundaries are frames of the packed clip, and fractions of them; rates and IoU are on 0-100.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from glossfree.corpora.manifest import SignSpan
from glossfree.report.diagnosis import FREQUENCIES, frequency_name, lengths_in_quarters
from glossfree.report.pointing import Pair, TimedClip, columns_of, measure_pair, pairs_of
from glossfree.report.timeline import cell_edges
from glossfree.serving.translations import around_peak

PERCENT = ("peak", "mAP", "IoU")  # measures that are shares, by how their names begin

Span = tuple[float, float]


@dataclass(frozen=True)
class Value:
    """The mean of a measure over pairs: of the run, by chance, and of the guess from the length alone."""

    run: float
    chance: float
    length_alone: float


@dataclass(frozen=True)
class Location:
    """Over `pairs` of a clip and a pseudo-gloss that is signed in it, {measure: Value}."""

    name: str
    pairs: int
    values: dict[str, Value]


@dataclass(frozen=True)
class Localisation:
    """All pairs of `clips` clips; by the length of their signs in frames (quarters of the pairs); by how often training
    has the pseudo-gloss. `clip_map`: {clip: mean AP of its pairs, inside the sign}."""

    clips: int
    overall: Location
    by_length: tuple[Location, ...]
    by_frequency: tuple[Location, ...]
    clip_map: dict[str, float]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, without single clips."""
        values = asdict(self)
        del values["clip_map"]
        return values


def predicted_span(scores: np.ndarray, middles: np.ndarray, num_frames: int) -> Span:
    """Scores (S,), the middle frame of each segment (S,) -> the predicted span, in frames of the clip."""
    first, last = around_peak(scores)
    edges = cell_edges(middles, num_frames)
    return float(edges[first]), float(edges[last])


def guess_from_length(middles: np.ndarray, num_frames: int) -> np.ndarray:
    """(S,) scores that fall linearly from 1 in the middle of the clip to 0 at both ends."""
    return 1 - np.abs(2 * (middles + 0.5) / num_frames - 1)


def iou(span: Span, sign: SignSpan) -> float:
    """Frames that both have, of those that either has."""
    shared = max(0.0, min(span[1], sign.end) - max(span[0], sign.start))
    return shared / (span[1] - span[0] + sign.end - sign.start - shared)


def nearest_sign(span: Span, signs: Sequence[SignSpan]) -> SignSpan:
    """The true span that a predicted one is compared with: the highest IoU, then the nearest middle."""
    return max(signs, key=lambda sign: (iou(span, sign), -abs(sum(span) - sign.start - sign.end)))


def boundaries(span: Span, signs: Sequence[SignSpan], fps: float) -> dict[str, float]:
    """A predicted span and the true ones of that sign -> {measure: value}; IoU in [0, 1]."""
    sign = nearest_sign(span, signs)
    start, end, overlap = abs(span[0] - sign.start), abs(span[1] - sign.end), iou(span, sign)
    return {
        "start error, frames": start,
        "end error, frames": end,
        "start error, s": start / fps,
        "end error, s": end / fps,
        "IoU": overlap,
        "IoU at least 50 %": float(overlap >= 0.5),
    }


def boundaries_by_chance(pair: Pair, num_frames: int, fps: float) -> dict[str, float]:
    """The same, averaged over all places of the predicted segments in the clip."""
    first, last = around_peak(pair.scores)
    edges, width = cell_edges(pair.middles, num_frames), last - first
    places = [
        boundaries((float(edges[place]), float(edges[place + width])), pair.spans, fps)
        for place in range(len(pair.scores) - width + 1)
    ]
    return {name: float(np.mean([place[name] for place in places])) for name in places[0]}


def measure_location(pair: Pair, num_frames: int, fps: float) -> dict[str, Value]:
    """A pair of a clip of `num_frames` -> {measure: Value}."""
    guess = guess_from_length(pair.middles, num_frames)
    run, alone = (
        measure_pair(pair, scores) | boundaries(predicted_span(scores, pair.middles, num_frames), pair.spans, fps)
        for scores in (pair.scores, guess)
    )
    chance = measure_pair(pair, np.zeros(len(guess))) | boundaries_by_chance(pair, num_frames, fps)
    return {name: Value(value, chance[name], alone[name]) for name, value in run.items()}


def locate_all(
    timed: Mapping[str, TimedClip],
    sizes: Mapping[str, tuple[int, float]],
    names: Sequence[str],
    counts: Mapping[str, int],
) -> Localisation | None:
    """{clip: its timeline over the pseudo-glosses `names`} -> Localisation; None where no true sign is one of them.

    `sizes`: {clip: its frames and frames per second}. `counts`: {pseudo-gloss: times in training}.
    """
    columns = columns_of(names)
    measured: list[tuple[str, float, int, dict[str, Value]]] = []
    for id, clip in timed.items():
        for pair in pairs_of(clip, columns):
            length = float(np.mean([span.end - span.start for span in pair.spans]))
            values = measure_location(pair, *sizes[id])
            measured.append((id, length, counts.get(names[pair.column], 0), values))
    if not measured:
        return None
    by_clip: dict[str, list[float]] = defaultdict(list)
    for id, _, _, values in measured:
        if "mAP inside the sign" in values:
            by_clip[id].append(100 * values["mAP inside the sign"].run)
    lengths = [round(length) for _, length, _, _ in measured]
    return Localisation(
        clips=len({id for id, *_ in measured}),
        overall=_mean("all", [values for *_, values in measured]),
        by_length=tuple(
            _mean(name, [measured[row][-1] for row in rows]) for name, rows in lengths_in_quarters(lengths).items()
        ),
        by_frequency=tuple(
            _mean(frequency_name(low, high), group)
            for low, high in FREQUENCIES
            if (group := [values for *_, times, values in measured if low <= times <= high])
        ),
        clip_map={id: float(np.mean(values)) for id, values in by_clip.items()},
    )


def _mean(name: str, pairs: Iterable[Mapping[str, Value]]) -> Location:
    """The mean of each measure over the pairs that have it."""
    pairs = list(pairs)
    values: dict[str, list[tuple[float, float, float]]] = defaultdict(list)
    for pair in pairs:
        for measure, value in pair.items():
            values[measure].append((value.run, value.chance, value.length_alone))
    means = {
        measure: (100 if measure.startswith(PERCENT) else 1) * np.mean(rows, axis=0) for measure, rows in values.items()
    }
    return Location(name, len(pairs), {measure: Value(*map(float, mean)) for measure, mean in means.items()})
