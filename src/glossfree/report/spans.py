"""Pseudo-gloss timelines and true sign spans -> does the timeline find the sign? Peaks and rankings, against chance.

Two measures per pair of a clip and a pseudo-gloss that is signed in it. *Hit rate*: does the highest segment lie in a
true span? *Average precision* (AP): segments are ranked by their score, and precision is averaged over the ranks of
those that lie in a true span; its mean over pairs also sees whether the whole sign is found, not its best moment alone.

Only corpora whose sign times are known (the drawn ones) can be measured. Avatar glosses are names ("FUENFZEHN"),
pseudo-glosses are lemmas ("fünfzehn"): the two meet by folded spelling alone, and only those that meet are counted.
Units: frames of the packed clip; rates on 0-100.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from glossfree.corpora.manifest import SignSpan

TOLERANCES = (0, 2)  # frames
RATES = ("hit_rate", "chance", "mean_average_precision", "chance_precision")  # the fields by tolerance
FOLDING = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss"})


@dataclass(frozen=True)
class TimedClip:
    """One clip with a known timeline: `timeline` (S, P), the true `spans`, and the frame that each segment looks at.

    `frames` (T,) are the indices of the packed clip's frames that the model saw (None: every one, T = `num_frames`).
    `frames_per_segment` of those make a segment. `targets` limits the count to the pseudo-glosses of the clip's own
    sentence (None: any that was signed).
    """

    id: str
    timeline: np.ndarray
    spans: tuple[SignSpan, ...]
    num_frames: int
    frames: np.ndarray | None = None
    frames_per_segment: int = 2  # the paper's: segment s averages the frames 2s-1, 2s and 2s+1
    targets: frozenset[str] | None = None


@dataclass(frozen=True)
class Pointing:
    """Over `pairs` of clip and pseudo-gloss: share of peaks inside a true span (0-100), by tolerance in frames.

    `chance` is what a segment drawn blindly would reach: the share of the clip's segments that lie in the span.
    `mean_average_precision` (0-100) is over the pairs of which at least one segment lies in a span (at a large stride
    a sign can fall between two); `chance_precision` is its exact expectation under a random ranking, a little above
    the share of segments in the span. Both are empty in files that were written before they were measured.
    """

    pairs: int
    clips: int
    pseudo_glosses: int
    hit_rate: dict[int, float]
    chance: dict[int, float]
    mean_average_precision: dict[int, float] = field(default_factory=dict)
    chance_precision: dict[int, float] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON (whose keys are strings)."""
        values = asdict(self)
        for name in RATES:
            values[name] = {str(tolerance): rate for tolerance, rate in values[name].items()}
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Pointing:
        """Inverse of `to_dict`. Raises TypeError or ValueError on anything else."""
        rates = {name: {int(key): float(rate) for key, rate in values.get(name, {}).items()} for name in RATES}
        if not rates["hit_rate"]:
            raise ValueError("no hit rate")
        return cls(**{**values, **rates})


def fold(name: str) -> str:
    """A gloss or a lemma -> the spelling under which both meet: lower case, umlauts and sharp s written out."""
    return name.lower().translate(FOLDING)


def segment_frames(
    num_segments: int, num_frames: int, frames: np.ndarray | None = None, frames_per_segment: int = 2
) -> np.ndarray:
    """(S,) the packed clip's frame in the middle of each segment; `frames` (T,) as in TimedClip.

    Raises ValueError where S is not ceil(T / frames_per_segment).
    """
    seen = np.arange(num_frames) if frames is None else np.asarray(frames)
    if num_segments != -(-len(seen) // frames_per_segment):
        raise ValueError(f"{num_segments} segments do not come from {len(seen)} frames")
    middles: np.ndarray = seen[::frames_per_segment]
    return middles


def pointing(
    clips: Iterable[TimedClip], inventory: Sequence[str], *, tolerances: Sequence[int] = TOLERANCES
) -> Pointing | None:
    """Timelines (S, P) over `inventory` (P names) -> Pointing; None where no gloss meets a pseudo-gloss.

    A sign that comes more than once in a clip is one pair: its peak may lie in any of its spans.
    """
    columns = {fold(name): column for column, name in enumerate(inventory)}
    hits: dict[int, list[bool]] = {tolerance: [] for tolerance in tolerances}
    chances: dict[int, list[float]] = {tolerance: [] for tolerance in tolerances}
    precisions: dict[int, list[tuple[float, float]]] = {tolerance: [] for tolerance in tolerances}
    seen_clips: set[str] = set()
    seen_names: set[str] = set()
    for clip in clips:
        middles = segment_frames(len(clip.timeline), clip.num_frames, clip.frames, clip.frames_per_segment)
        wanted = None if clip.targets is None else {fold(name) for name in clip.targets}
        for name, spans in _spans_by_name(clip.spans).items():
            if name not in columns or (wanted is not None and name not in wanted):
                continue
            scores = clip.timeline[:, columns[name]]
            peak = int(np.argmax(scores))
            for tolerance in tolerances:
                inside = _inside(middles, spans, tolerance)
                hits[tolerance].append(bool(inside[peak]))
                chances[tolerance].append(float(inside.mean()))
                if inside.any():
                    blind = np.zeros(len(inside))
                    precisions[tolerance].append((average_precision(scores, inside), average_precision(blind, inside)))
            seen_clips.add(clip.id)
            seen_names.add(name)
    pairs = len(hits[tolerances[0]])
    if pairs == 0:
        return None
    return Pointing(
        pairs=pairs,
        clips=len(seen_clips),
        pseudo_glosses=len(seen_names),
        hit_rate={tolerance: 100.0 * float(np.mean(values)) for tolerance, values in hits.items()},
        chance={tolerance: 100.0 * float(np.mean(values)) for tolerance, values in chances.items()},
        mean_average_precision={key: 100.0 * float(np.mean(found, 0)[0]) for key, found in precisions.items() if found},
        chance_precision={key: 100.0 * float(np.mean(found, 0)[1]) for key, found in precisions.items() if found},
    )


def average_precision(scores: np.ndarray, relevant: np.ndarray) -> float:
    """Scores (S,) and which segments are relevant (S,) bool -> average precision in [0, 1] of the ranking by score.

    With R relevant segments, AP = 1/R sum over ranks k of relevant ones of (relevant ones among the first k) / k.
    Equal scores stand in no order: the expectation over all of their orders is taken. In a group of m equal ones with
    r relevant, behind n others with p relevant, rank n + j holds a relevant one with probability r/m, and then
    (j-1)(r-1)/(m-1) others of the group are expected before it. One group of all is thus the exact level of chance.
    Not-a-number ranks last. Raises ValueError where nothing is relevant.
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


def _spans_by_name(spans: Iterable[SignSpan]) -> dict[str, list[SignSpan]]:
    found: dict[str, list[SignSpan]] = {}
    for span in spans:
        found.setdefault(fold(span.gloss), []).append(span)
    return found


def _inside(middles: np.ndarray, spans: Iterable[SignSpan], tolerance: int) -> np.ndarray:
    """(S,) whether each segment's middle lies in one of the spans, widened by `tolerance` frames on either side."""
    inside = np.zeros(len(middles), dtype=bool)
    for span in spans:
        inside |= (middles >= span.start - tolerance) & (middles < span.end + tolerance)
    return inside
