"""What a report is made of: plain values. Empty parts are left out of the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from glossfree.corpora.manifest import SignSpan
from glossfree.report.diagnosis import Diagnosis
from glossfree.report.pointing import Pointing, TimedClip
from glossfree.scoring.metrics import Scores
from glossfree.scoring.significance import Interval


@dataclass(frozen=True)
class ReportClip:
    """One translated clip. T frames, S segments, P pseudo-glosses.

    `frames` (T, H, W, 3) uint8 RGB, any size; None where they could not be read, and `problem` says why.
    `timed`: its pseudo-glosses in time over `names` (P); `expected`: those of the reference. `score`: the mean
    log-probability of the hypothesis; `alternatives`: other hypotheses with theirs.
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
    alternatives: Sequence[tuple[str, float]] = ()
    score: float | None = None
    signer: str = ""


@dataclass(frozen=True)
class ReportData:
    """One run, ready to be shown.

    `scores`: {run: {split: Scores}}; the first is this run, a second one is what it is compared with. By split, and of
    this run: `intervals` {metric: Interval}, `conventions` {convention: Scores}, `diagnosis`, `pointing`.
    `curves`: {stage: records} as a run logs them: steps ({"step", "lr", loss terms}) and epochs
    ({"step", "train": {...}, "dev": {...}}). `seconds`: {stage: wall time}. `notes`: what the numbers do not show.
    """

    title: str
    subtitle: str = ""
    scores: Mapping[str, Mapping[str, Scores]] = field(default_factory=dict)
    intervals: Mapping[str, Mapping[str, Interval]] = field(default_factory=dict)
    conventions: Mapping[str, Mapping[str, Scores]] = field(default_factory=dict)
    diagnosis: Mapping[str, Diagnosis] = field(default_factory=dict)
    clips: Sequence[ReportClip] = ()
    curves: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    pointing: Mapping[str, Pointing] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, Any] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    notes: Sequence[str] = ()
