"""Lines of points in a row of small panels, as one SVG picture: the curves of docs/evidence.md."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from glossfree.report.curves import number

COLOURS = ("#0b6e99", "#c2410c", "#4d7c0f", "#7e22ce", "#b91c1c", "#52525b")
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM, ACROSS = 300, 190, 44, 10, 26, 34, 3  # pixels of a panel, panels in a line
Line = list[tuple[float, float, float]]  # x, y, deviation


def panel(title: str, lines: dict[str, Line], ticks: Sequence[str], span: tuple[float, float] | None = None) -> str:
    """Lines of points with deviations -> the inside of a picture of WIDTH x HEIGHT; `ticks` lie evenly over `span`."""
    points = [point for line in lines.values() for point in line]
    left, right = span or (0.0, max(1.0, len(ticks) - 1.0))
    low = min((y - deviation for _, y, deviation in points), default=0.0)
    high = max((y + deviation for _, y, deviation in points), default=1.0)
    high = high if high > low else low + 1

    def at(x: float, y: float) -> tuple[float, float]:
        across = LEFT + (x - left) / ((right - left) or 1.0) * (WIDTH - LEFT - RIGHT)
        return across, HEIGHT - BOTTOM - (y - low) / (high - low) * (HEIGHT - BOTTOM - TOP)

    parts = [f'<text x="{LEFT}" y="14" font-weight="bold">{escape(title)}</text>']
    for level in (low, (low + high) / 2, high):
        _, y = at(left, level)
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="#d4d4d8"/>')
        parts.append(f'<text x="{LEFT - 5}" y="{y + 3.5:.1f}" text-anchor="end">{number(level)}</text>')
    for place, tick in enumerate(ticks):
        x, _ = at(left + (right - left) * place / max(1, len(ticks) - 1), low)
        anchor = "end" if place and place == len(ticks) - 1 else "middle" if place else "start"
        parts.append(f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 13}" text-anchor="{anchor}">{escape(tick)}</text>')
    legend = float(LEFT)
    for (name, line), colour in zip(lines.items(), COLOURS * (1 + len(lines) // len(COLOURS)), strict=False):
        path = " ".join("{:.1f},{:.1f}".format(*at(x, y)) for x, y, _ in line)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        for x, y, deviation in line if len(line) <= len(ticks) else ():
            cx, cy = at(x, y)
            parts.append(f'<circle cx="{cx:.1f}" cy="{cy:.1f}" r="2.5" fill="{colour}"/>')
            if deviation:
                (across, top), (_, bottom) = at(x, y + deviation), at(x, y - deviation)
                ends = f'x1="{across:.1f}" x2="{across:.1f}" y1="{top:.1f}" y2="{bottom:.1f}"'
                parts.append(f'<line {ends} stroke="{colour}"/>')
        parts.append(f'<text x="{legend:.0f}" y="{HEIGHT - 6}" fill="{colour}">{escape(name)}</text>')
        legend += 6 + 5.5 * len(name)
    return "\n".join(parts)


def svg(panels: Sequence[str]) -> str:
    """Panels -> one picture, ACROSS of them in a line."""
    width, height = WIDTH * min(ACROSS, max(1, len(panels))), HEIGHT * max(1, -(-len(panels) // ACROSS))
    places = [(WIDTH * (index % ACROSS), HEIGHT * (index // ACROSS)) for index in range(len(panels))]
    inside = "\n".join(
        f'<g transform="translate({x} {y})">\n{each}\n</g>' for (x, y), each in zip(places, panels, strict=True)
    )
    opening = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    )
    background = f'<rect width="{width}" height="{height}" fill="white"/>'
    return f'{opening} font-family="sans-serif" font-size="10">\n{background}\n{inside}\n</svg>\n'
