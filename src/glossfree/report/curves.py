"""A stage's log -> the points of small line charts: one for each loss term and one for the learning rate."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

import numpy as np

WIDTH, HEIGHT = 280, 150
LEFT, RIGHT, TOP, BOTTOM = 44, 8, 10, 22
MAX_POINTS = 160  # steps are averaged down to this many
NOT_LOSSES = frozenset(
    {"step", "epoch", "seconds", "processor_seconds", "waited", "frames", "clips", "kind", "stage", "time"}
)
KINDS = ("step", "train", "dev")

Point = tuple[float, float]
Lines = dict[str, list[Point]]


@dataclass(frozen=True)
class Chart:
    """One quantity over steps, in pixels of a picture of WIDTH x HEIGHT.

    `lines`: {"step", "train" or "dev": points}; `levels`: (y, label) of the horizontal lines; `ends`: labels of the
    first and the last step; `value`: the number beside the title; `summary`: a text description.
    """

    name: str
    lines: Lines
    levels: tuple[tuple[float, str], ...]
    ends: tuple[str, str]
    value: str
    summary: str


def read_curves(records: Iterable[Mapping[str, Any]]) -> dict[str, Lines]:
    """Logged records -> {quantity: {kind: [(step, value)]}}: the total loss first, the learning rate last.

    Values that are not finite are left out, and so are quantities without a value.
    """
    curves: dict[str, Lines] = {}
    for number, record in enumerate(records):
        x = float(record.get("step", record.get("epoch", number)))
        for kind, values in (("step", record), ("train", record.get("train")), ("dev", record.get("dev"))):
            for name, value in values.items() if isinstance(values, Mapping) else ():
                is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
                if is_number and name not in NOT_LOSSES and isfinite(value):
                    lines = curves.setdefault(name, {kind: [] for kind in KINDS})
                    lines[kind].append((x, float(value)))
    return dict(sorted(curves.items(), key=lambda item: (item[0] == "lr", item[0] != "loss")))


def thin(points: Sequence[Point], limit: int = MAX_POINTS) -> list[Point]:
    """Many points -> at most `limit`, each the mean of its neighbours."""
    if len(points) <= limit:
        return list(points)
    return [(float(x), float(y)) for x, y in (part.mean(0) for part in np.array_split(np.array(points), limit))]


def draw_charts(records: Iterable[Mapping[str, Any]]) -> list[Chart]:
    """The records of one stage -> its charts."""
    return [_draw(name, lines) for name, lines in read_curves(records).items()]


def _draw(name: str, curve: Lines) -> Chart:
    lines = {kind: np.array(thin(points)) for kind, points in curve.items() if points}
    (start, low), (end, high) = (bound(np.concatenate(list(lines.values())), axis=0) for bound in (np.min, np.max))
    low = 0.0 if 0 < low < high / 2 else low
    scale = (WIDTH - LEFT - RIGHT) / (end - start or 1.0), -(HEIGHT - TOP - BOTTOM) / (high - low or 1.0)
    last = next(lines[kind] for kind in ("dev", "train", "step") if kind in lines)
    origin = LEFT, HEIGHT - BOTTOM
    levels = (low, low + (high - low or 1.0) / 2, high)
    return Chart(
        name=name,
        lines={kind: ((line - (start, low)) * scale + origin).tolist() for kind, line in lines.items()},
        levels=tuple((origin[1] + (level - low) * scale[1], number(level)) for level in levels),
        ends=(f"{start:,.0f}", f"{end:,.0f}"),
        value=number(high if name == "lr" else last[-1][1]),
        summary="; ".join(f"{kind} from {number(line[0][1])} to {number(line[-1][1])}" for kind, line in lines.items()),
    )


def number(value: float) -> str:
    """A value -> about three digits."""
    return f"{value:.1e}" if value and abs(value) < 1e-3 else f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"
