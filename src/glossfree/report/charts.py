"""A stage's log -> small line charts, one per loss term and one for the learning rate, as inline SVG."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import isfinite
from typing import Any

from glossfree.report.markup import Html, join, tag

WIDTH, HEIGHT = 280, 150
LEFT, RIGHT, TOP, BOTTOM = 44, 8, 10, 22
MAX_POINTS = 160  # steps are averaged down to so many
NOT_LOSSES = frozenset({"step", "epoch", "seconds", "frames", "kind", "stage", "time"})
KINDS = ("step", "train", "dev")

Point = tuple[float, float]


@dataclass
class Curve:
    """One quantity over steps: single steps, means over an epoch of training, and the dev split."""

    name: str
    lines: dict[str, list[Point]] = field(default_factory=lambda: {kind: [] for kind in KINDS})


def curves_of(records: Iterable[Mapping[str, Any]]) -> list[Curve]:
    """Logged lines -> one Curve per quantity; the total first, the learning rate last, nothing that is not finite."""
    curves: dict[str, Curve] = {}
    for number, record in enumerate(records):
        x = float(record.get("step", record.get("epoch", number)))
        for kind, values in (("step", record), ("train", record.get("train")), ("dev", record.get("dev"))):
            for name, value in values.items() if isinstance(values, Mapping) else ():
                if name in NOT_LOSSES or isinstance(value, bool) or not isinstance(value, (int, float)):
                    continue
                if isfinite(value):
                    curves.setdefault(name, Curve(name)).lines[kind].append((x, float(value)))
    return sorted(curves.values(), key=lambda curve: (curve.name == "lr", curve.name != "loss"))


def thin(points: Sequence[Point], limit: int = MAX_POINTS) -> list[Point]:
    """Many points -> at most `limit`, each the mean of a stretch."""
    if len(points) <= limit:
        return list(points)
    bounds = [round(i * len(points) / limit) for i in range(limit + 1)]
    stretches = [points[a:b] for a, b in pairwise(bounds)]
    return [(sum(x for x, _ in part) / len(part), sum(y for _, y in part) / len(part)) for part in stretches]


def stage_charts(stage: str, records: Sequence[Mapping[str, Any]]) -> Html:
    """The charts of one stage, with a heading; an empty string where nothing was logged."""
    drawn = [_chart(stage, curve) for curve in curves_of(records) if any(curve.lines.values())]
    return tag("section", tag("h3", stage), tag("div", drawn, class_="charts"), class_="stage") if drawn else Html("")


def _chart(stage: str, curve: Curve) -> Html:
    lines = {kind: thin(points) for kind, points in curve.lines.items() if points}
    points = [point for line in lines.values() for point in line]
    x0, x1 = min(x for x, _ in points), max(x for x, _ in points)
    low, high = min(y for _, y in points), max(y for _, y in points)
    low = 0.0 if 0 < low < high / 2 else low
    x_span, y_span = (x1 - x0) or 1.0, (high - low) or 1.0

    def at(x: float, y: float) -> tuple[float, float]:
        right = LEFT + (x - x0) / x_span * (WIDTH - LEFT - RIGHT)
        return right, HEIGHT - BOTTOM - (y - low) / y_span * (HEIGHT - TOP - BOTTOM)

    grid = []
    for share in (0.0, 0.5, 1.0):
        y = at(x0, low + share * y_span)[1]
        grid.append(tag("line", x1=LEFT, x2=WIDTH - RIGHT, y1=f"{y:.1f}", y2=f"{y:.1f}", class_="grid"))
        grid.append(tag("text", number(low + share * y_span), x=LEFT - 6, y=f"{y + 3.5:.1f}", text_anchor="end"))
    for x, anchor in ((x0, "start"), (x1, "end")):
        grid.append(tag("text", f"{x:,.0f}", x=f"{at(x, low)[0]:.1f}", y=HEIGHT - 6, text_anchor=anchor))
    grid.append(tag("text", "step", x=(WIDTH + LEFT) / 2, y=HEIGHT - 6, text_anchor="middle"))
    drawn = [_line(kind, [at(*point) for point in line]) for kind, line in lines.items()]
    told = "; ".join(f"{kind} from {number(line[0][1])} to {number(line[-1][1])}" for kind, line in lines.items())
    is_rate = curve.name == "lr"
    title = tag("figcaption", "learning rate" if is_rate else curve.name.replace("_", " "))
    last = lines.get("dev") or lines.get("train") or lines["step"]
    what, value = ("highest", high) if is_rate else ("last value", last[-1][1])
    ending = tag("span", number(value), class_="last", title=what)
    picture = tag(
        "svg", grid, drawn, viewBox=f"0 0 {WIDTH} {HEIGHT}", role="img", aria_label=f"{stage}, {curve.name}: {told}"
    )
    return tag("figure", tag("div", join([title, ending]), class_="head"), picture, class_="chart")


def _line(kind: str, points: Sequence[tuple[float, float]]) -> Html:
    path = tag("polyline", points=" ".join(f"{x:.1f},{y:.1f}" for x, y in points), class_=kind)
    if kind == "step" and len(points) > 1:
        return path
    return join([path, [tag("circle", cx=f"{x:.1f}", cy=f"{y:.1f}", r=2.2, class_=kind) for x, y in points]])


def number(value: float) -> str:
    """A few digits, whatever the size."""
    return f"{value:.1e}" if value and abs(value) < 1e-3 else f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"
