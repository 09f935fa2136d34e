"""Pseudo-gloss timelines and true sign spans -> how often the peak finds the sign, against chance.

Only corpora whose sign times are known (the drawn ones) can be measured. Avatar glosses are names ("FUENFZEHN"),
pseudo-glosses are lemmas ("fünfzehn"): the two meet by folded spelling alone, and only those that meet are counted.
Units: frames of the packed clip; rates on 0-100.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from glossfree.corpora.manifest import SignSpan

FRAMES_PER_SEGMENT = 2  # the temporal encoder halves: segment s averages the frames 2s-1, 2s and 2s+1
TOLERANCES = (0, 2)  # frames
FOLDING = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss"})


@dataclass(frozen=True)
class TimedClip:
    """One clip with a known timeline: `timeline` (S, P), the true `spans`, and the frame that each segment looks at.

    `frames` (T,) are the indices of the packed clip's frames that the model saw (None: every one, T = `num_frames`).
    `targets` limits the count to the pseudo-glosses of the clip's own sentence (None: any that was signed).
    """

    id: str
    timeline: np.ndarray
    spans: tuple[SignSpan, ...]
    num_frames: int
    frames: np.ndarray | None = None
    targets: frozenset[str] | None = None


@dataclass(frozen=True)
class Pointing:
    """Over `pairs` of clip and pseudo-gloss: share of peaks inside a true span (0-100), by tolerance in frames.

    `chance` is what a segment drawn blindly would reach: the share of the clip's segments that lie in the span.
    """

    pairs: int
    clips: int
    pseudo_glosses: int
    hit_rate: dict[int, float]
    chance: dict[int, float]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON (whose keys are strings)."""
        values = asdict(self)
        for name in ("hit_rate", "chance"):
            values[name] = {str(tolerance): rate for tolerance, rate in values[name].items()}
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Pointing:
        """Inverse of `to_dict`. Raises TypeError or ValueError on anything else."""
        rates = {name: {int(key): float(rate) for key, rate in values[name].items()} for name in ("hit_rate", "chance")}
        return cls(**{**values, **rates})


def fold(name: str) -> str:
    """A gloss or a lemma -> the spelling under which both meet: lower case, umlauts and sharp s written out."""
    return name.lower().translate(FOLDING)


def segment_frames(num_segments: int, num_frames: int, frames: np.ndarray | None = None) -> np.ndarray:
    """(S,) the packed clip's frame in the middle of each segment; `frames` (T,) as in TimedClip.

    Raises ValueError where S is not ceil(T / 2).
    """
    seen = np.arange(num_frames) if frames is None else np.asarray(frames)
    if num_segments != -(-len(seen) // FRAMES_PER_SEGMENT):
        raise ValueError(f"{num_segments} segments do not come from {len(seen)} frames")
    middles: np.ndarray = seen[::FRAMES_PER_SEGMENT]
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
    seen_clips: set[str] = set()
    seen_names: set[str] = set()
    for clip in clips:
        middles = segment_frames(len(clip.timeline), clip.num_frames, clip.frames)
        wanted = None if clip.targets is None else {fold(name) for name in clip.targets}
        for name, spans in _spans_by_name(clip.spans).items():
            if name not in columns or (wanted is not None and name not in wanted):
                continue
            peak = int(np.argmax(clip.timeline[:, columns[name]]))
            for tolerance in tolerances:
                inside = _inside(middles, spans, tolerance)
                hits[tolerance].append(bool(inside[peak]))
                chances[tolerance].append(float(inside.mean()))
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
    )


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
