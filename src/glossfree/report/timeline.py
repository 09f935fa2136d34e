"""One clip's pseudo-gloss scores over time -> the rows of its timeline: signs, frames, heat and seconds on one axis.

Frame f fills [f, f+1) of the axis, and T frames fill it. The cell of a segment reaches halfway to the middles of its
neighbours, so that heat, thumbnails and signs line up. All positions are frames; the template scales them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from glossfree.corpora.manifest import SignSpan
from glossfree.report.pointing import TimedClip, fold

NUM_ROWS = 8  # rows with the highest peaks; expected pseudo-glosses are added
GAMMA = 0.6  # keeps faint scores visible
FAINTEST = 0.03  # scores below this share of the clip's maximum are not drawn


@dataclass(frozen=True)
class ReportClip:
    """One translated clip. T frames, S segments, P pseudo-glosses.

    `frames` (T, H, W, 3) uint8 RGB, any size; None where they could not be read, and `problem` says why.
    `timed`: the scores of the pseudo-glosses `names` (P) over time; `expected`: the pseudo-glosses of the reference.
    `score`: the mean log-probability of the hypothesis.
    """

    id: str
    reference: str
    hypothesis: str
    fps: float
    frames: np.ndarray | None = None
    problem: str = ""
    timed: TimedClip | None = None
    names: Sequence[str] = ()
    expected: Sequence[str] = ()
    spans: Sequence[SignSpan] = ()
    score: float | None = None
    signer: str = ""


@dataclass(frozen=True)
class HeatRow:
    """One pseudo-gloss: `cells` are (start, width, opacity), `peak` is in seconds, `total` is its gloss score.

    `edges` (S+1) and `values` (S) are for the text under the pointer; `truth` are the signs of that name.
    """

    name: str
    is_expected: bool
    cells: tuple[tuple[float, float, float], ...]
    truth: tuple[SignSpan, ...]
    peak: float
    total: float
    edges: Sequence[float]
    values: Sequence[float]


def choose_rows(timeline: np.ndarray, names: Sequence[str], expected: Sequence[str]) -> list[int]:
    """(S, P) -> columns to show: every expected name, then the highest peaks; both in the order of their peaks."""
    wanted = set(expected)
    shown = {column for column, name in enumerate(names) if name in wanted}
    shown |= set(np.argsort(-timeline.max(axis=0), kind="stable")[:NUM_ROWS].tolist())
    peaks = timeline.argmax(axis=0)
    return sorted(shown, key=lambda column: (names[column] not in wanted, int(peaks[column]), names[column]))


def cell_edges(middles: np.ndarray, num_frames: int) -> np.ndarray:
    """(S,) middle frames -> (S+1,) edges on the axis [0, T], halfway between neighbours."""
    centres = middles + 0.5
    return np.concatenate([[0.0], (centres[1:] + centres[:-1]) / 2, [float(num_frames)]])


def heat_rows(clip: ReportClip) -> list[HeatRow]:
    """The rows of a clip's pseudo-glosses; [] for a clip without scores."""
    if clip.timed is None or not clip.timed.timeline.size or clip.frames is None:
        return []
    timeline = np.nan_to_num(clip.timed.timeline)
    edges = cell_edges(clip.timed.middles, len(clip.frames))
    columns = choose_rows(timeline, clip.names, clip.expected)
    highest = max(float(timeline[:, columns].max()), 1e-9)
    rows = []
    for column in columns:
        name, values = clip.names[column], timeline[:, column]
        shares = values / highest
        peak = values.argmax()
        rows.append(
            HeatRow(
                name=name,
                is_expected=name in clip.expected,
                cells=tuple(
                    (left, right - left, share**GAMMA)
                    for share, left, right in zip(shares, edges[:-1], edges[1:], strict=True)
                    if share >= FAINTEST
                ),
                truth=tuple(span for span in clip.spans if fold(span.gloss) == fold(name)),
                peak=float(edges[peak] + edges[peak + 1]) / 2 / clip.fps,
                total=float(values.sum()),
                edges=edges.tolist(),
                values=values.tolist(),
            )
        )
    return rows


def sign_labels(spans: Sequence[SignSpan], num_frames: int) -> list[tuple[SignSpan, float, float]]:
    """Signs -> (sign, start and end of its label): a label may reach halfway to the next sign on either side."""
    labels = []
    for number, span in enumerate(spans):
        before = span.start - spans[number - 1].end if number else 2 * span.start
        after = spans[number + 1].start - span.end if number + 1 < len(spans) else 2 * (num_frames - span.end)
        room = max(0.0, min(before, after) / 2)
        labels.append((span, span.start - room, span.end + room))
    return labels


def ticks(seconds: float) -> list[float]:
    """A duration -> about six round times."""
    step = next((step for step in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50) if seconds / step <= 8), 100)
    return [float(time) for time in np.arange(0, seconds, step)]
