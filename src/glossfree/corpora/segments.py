"""Columns of a table row -> a segment of a video."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from glossfree.corpora.manifest import Segment
from glossfree.errors import shortened

# Unit -> columns of start and end. `signal_*` is what multimodalhugs calls them.
COLUMNS = {
    "seconds": ("start", "end"),
    "milliseconds": ("start_ms", "end_ms"),
    "frames": ("start_frame", "end_frame"),
    "signal": ("signal_start", "signal_end"),
}
SIGNAL_NOTE = "columns signal_start and signal_end are read in milliseconds; an end of 0 is the end of the video"
_CLOCK = re.compile(r"(?:(\d{1,4}):([0-5]?\d)|(\d{1,4})):([0-5]?\d(?:[.,]\d{1,9})?)")  # h:mm:ss or mm:ss


def segment_of(fields: Mapping[str, str]) -> Segment | None:
    """Fields of a row -> its segment; None: the complete video. An empty end is the end of the video.

    Seconds may be written `1.5`, `1,5` or `00:01:02.500`. Raises ValueError: not a number, negative, an end that is not
    after its start, two units in one row.
    """
    units = [unit for unit, columns in COLUMNS.items() if any(fields.get(column) for column in columns)]
    if not units:
        return None
    if len(units) > 1:
        names = " and ".join("/".join(COLUMNS[unit]) for unit in units)
        raise ValueError(f"two units of time in one row ({names})")
    [unit] = units
    first, last = COLUMNS[unit]
    start = _number(first, fields.get(first, ""), unit) or 0.0
    end = _number(last, fields.get(last, ""), unit)
    if unit == "signal" and end == 0:
        end = None
    if end is not None and end <= start:
        edges = (f"{column} {shortened(fields.get(column) or '0', 40)}" for column in (last, first))
        raise ValueError(" is not after ".join(edges))
    return None if start == 0 and end is None else Segment(start, end, "frames" if unit == "frames" else "seconds")


def segment_label(segment: Segment | None) -> str:
    """A segment as part of an id: `400-1200` in milliseconds, `f10-30` in frames; "whole" without a segment."""
    if segment is None:
        return "whole"
    mark, scale = ("f", 1) if segment.unit == "frames" else ("", 1000)
    end = "end" if segment.end is None else round(scale * segment.end)
    return f"{mark}{round(scale * segment.start)}-{end}"


def _number(column: str, text: str, unit: str) -> float | None:
    """A field -> seconds or frames; None if it is empty."""
    if not text:
        return None
    shown = f"{column} {shortened(text, 40)!r}"
    if unit == "seconds" and (clock := _CLOCK.fullmatch(text)):
        hours, minutes, only_minutes, seconds = clock.groups()
        return 3600 * int(hours or 0) + 60 * int(minutes or only_minutes) + float(seconds.replace(",", "."))
    value = decimal(text)
    if value is None:
        kind = "number of seconds or a time as 00:01:02.5" if unit == "seconds" else "number"
        raise ValueError(f"{shown} is not a {kind}")
    if value < 0:
        raise ValueError(f"{shown} is negative")
    if unit == "frames" and value != int(value):
        raise ValueError(f"{shown} is not a whole number")
    return value / 1000 if unit in ("milliseconds", "signal") else value


def decimal(text: str) -> float | None:
    """A number with a point or a comma -> its value; None if it is not a finite number."""
    try:
        value = float(text.replace(",", ".", 1))
    except ValueError:
        return None
    return value if math.isfinite(value) and "_" not in text else None
