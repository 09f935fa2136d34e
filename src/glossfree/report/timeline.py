"""One clip's gloss scores over time -> rows of a table that share one time axis: signs, frames, heat map, seconds.

Frame f fills [f, f+1) of the axis, T frames fill it. A segment's cell reaches halfway to its neighbours' middles, so
that heat, thumbnails and sign spans stand exactly under one another.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from glossfree.corpora.manifest import SignSpan
from glossfree.report import media
from glossfree.report.data import ReportClip
from glossfree.report.markup import Html, hidden, join, tag
from glossfree.report.spans import fold, segment_frames

NUM_ROWS = 8  # pseudo-glosses with the highest peaks; expected ones are added
GAMMA = 0.6  # faint scores stay visible
FAINTEST = 0.03  # below this share of the clip's maximum, nothing is drawn


def choose_rows(timeline: np.ndarray, names: Sequence[str], expected: Sequence[str]) -> list[int]:
    """(S, P) -> columns to show: the highest peaks and every expected name, ordered by when they peak.

    Expected ones come first: they are what the eye looks for.
    """
    peaks = timeline.max(axis=0)
    wanted = set(expected)
    shown = {column for column, name in enumerate(names) if name in wanted}
    shown |= set(np.argsort(-peaks, kind="stable")[:NUM_ROWS].tolist())
    when = timeline.argmax(axis=0)
    return sorted(shown, key=lambda column: (names[column] not in wanted, int(when[column]), names[column]))


def cell_edges(middles: np.ndarray, num_frames: int) -> np.ndarray:
    """(S,) middle frames -> (S+1,) edges on the axis [0, T], halfway between neighbours."""
    centres = middles + 0.5
    return np.concatenate([[0.0], (centres[1:] + centres[:-1]) / 2, [float(num_frames)]])


def timeline_table(clip: ReportClip) -> Html:
    """A clip with frames -> its timeline; rows that have nothing to show (no spans, no scores) are left out."""
    assert clip.frames is not None
    num_frames = len(clip.frames)
    rows = []
    if clip.spans:
        rows.append(_row("signs", _bars(clip.spans, num_frames), "", kind="signs"))
    count = media.thumbnails(num_frames)
    strip = tag("img", src=media.strip_uri(clip.frames, count), alt=f"film strip: {count} of {num_frames} frames")
    rows.append(_row("frames", [strip], "", kind="strip"))
    if clip.timeline is not None and clip.timeline.size:
        rows += _heat_rows(clip, np.nan_to_num(clip.timeline), num_frames)
    rows.append(_row("seconds", _ticks(num_frames, clip.fps), "", kind="axis"))
    columns = tag("colgroup", *(tag("col", class_=name) for name in ("names", "track", "sums")))
    caption = tag("caption", hidden(f"Timeline of clip {clip.id}: {num_frames} frames at {clip.fps:g} per second"))
    return tag("table", caption, columns, tag("tbody", rows), class_="timeline")


def _row(name: str, track: Sequence[Html], value: str, *, kind: str, **attributes: object) -> Html:
    label = attributes.pop("label", name)
    return tag(
        "tr",
        tag("th", label if isinstance(label, str) else name, scope="row"),
        tag("td", tag("div", track, class_="lane")),
        tag("td", value, class_="sum"),
        class_=kind,
        **attributes,
    )


def _place(start: float, end: float, num_frames: int) -> str:
    return f"left:{100 * start / num_frames:.2f}%;width:{100 * (end - start) / num_frames:.2f}%"


def _bars(spans: Sequence[SignSpan], num_frames: int) -> list[Html]:
    """One bar per sign. Its name may reach into the transitions on both sides, up to halfway to the next sign."""
    bars: list[Html] = []
    for number, span in enumerate(spans):
        before = spans[number - 1].end - span.start if number else -2 * span.start
        after = span.end - spans[number + 1].start if number + 1 < len(spans) else 2 * (span.end - num_frames)
        room = max(0.0, min(-before, -after) / 2)
        title = f"{span.gloss}: frames {span.start} to {span.end - 1}"
        bars.append(
            tag(
                "span",
                class_="bar",
                style=_place(span.start, span.end, num_frames),
                data_gloss=span.gloss,
                data_start=span.start,
                data_end=span.end,
            )
        )
        place = _place(span.start - room, span.end + room, num_frames)
        bars.append(tag("span", span.gloss, class_="sign", style=place, title=title))
    return bars


def _heat_rows(clip: ReportClip, timeline: np.ndarray, num_frames: int) -> list[Html]:
    edges = cell_edges(segment_frames(len(timeline), num_frames, clip.seen, clip.frames_per_segment), num_frames)
    columns = choose_rows(timeline, clip.names, clip.expected)
    highest = max(float(timeline[:, columns].max()), 1e-9)
    rows = []
    for column in columns:
        name, values = clip.names[column], timeline[:, column]
        is_expected = name in clip.expected
        truth = [span for span in clip.spans if fold(span.gloss) == fold(name)]
        boxes = [
            tag("span", class_="truth", style=_place(span.start, span.end, num_frames), title=f"{span.gloss} is here")
            for span in truth
        ]
        peak = (edges[values.argmax()] + edges[values.argmax() + 1]) / 2
        spoken = f"{'expected, ' if is_expected else ''}peak at {peak / clip.fps:.2f} seconds"
        mark = tag("span", "●", class_="dot", title="in the reference", aria_hidden="true") if is_expected else ""
        rows.append(
            _row(
                name,
                [_heat(values / highest, edges, num_frames), *boxes, hidden(spoken)],
                f"{values.sum():.2f}",
                kind="heat expected" if is_expected else "heat",
                label=join([tag("span", name, class_="name", title=name), mark]),
                data_name=name,
                data_edges=" ".join(f"{edge:g}" for edge in edges),
                data_values=" ".join(f"{value:.3g}" for value in values),
            )
        )
    return rows


def _heat(values: np.ndarray, edges: np.ndarray, num_frames: int) -> Html:
    """(S,) values in [0, 1] of the clip's maximum -> cells, stronger where more opaque."""
    cells = [
        tag("rect", x=f"{left:g}", width=f"{right - left:g}", height=1, opacity=f"{max(value, 0.0) ** GAMMA:.2f}")
        for value, left, right in zip(values, edges[:-1], edges[1:], strict=True)
        if value >= FAINTEST
    ]
    return tag("svg", cells, viewBox=f"0 0 {num_frames} 1", preserveAspectRatio="none", aria_hidden="true")


def _ticks(num_frames: int, fps: float) -> list[Html]:
    """Marks at round seconds: about six of them."""
    seconds = num_frames / fps
    step = next((step for step in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50) if seconds / step <= 8), 100)
    times = np.arange(0, seconds, step)
    return [tag("span", f"{time:g}", class_="tick", style=f"left:{100 * time / seconds:.2f}%") for time in times]
