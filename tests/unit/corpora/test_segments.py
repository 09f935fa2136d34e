"""Start and end of a segment, in every unit and spelling, and what is no segment."""

from __future__ import annotations

import pytest

from glossfree.corpora.manifest import Segment
from glossfree.corpora.segments import decimal, segment_label, segment_of


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"start": "1.5", "end": "2.75"}, Segment(1.5, 2.75)),
        ({"start": "1,5", "end": "2,75"}, Segment(1.5, 2.75)),
        ({"start": "00:01:02.500", "end": "1:02:03"}, Segment(62.5, 3723.0)),
        ({"start": "1:02,5", "end": "75:10"}, Segment(62.5, 4510.0)),
        ({"start": "", "end": "2"}, Segment(0.0, 2.0)),
        ({"end": "2"}, Segment(0.0, 2.0)),
        ({"start": "2", "end": ""}, Segment(2.0, None)),
        ({"start_ms": "400", "end_ms": "1200.5"}, Segment(0.4, 1.2005)),
        ({"start": "", "end": "", "start_ms": "400", "end_ms": ""}, Segment(0.4, None)),
        ({"start_frame": "12", "end_frame": "40.0"}, Segment(12.0, 40.0, "frames")),
        ({"end_frame": "7"}, Segment(0.0, 7.0, "frames")),
        ({"signal_start": "250", "signal_end": "1750"}, Segment(0.25, 1.75)),
        ({"signal_start": "250", "signal_end": "0"}, Segment(0.25, None)),
        ({"signal_start": "0", "signal_end": "0"}, None),
        ({"start": "0", "end": ""}, None),
        ({"start": "", "end": ""}, None),
        ({"text": "7"}, None),
    ],
)
def test_fields_become_a_segment(fields: dict[str, str], expected: Segment | None) -> None:
    segment = segment_of(fields)
    assert segment == expected
    if expected is not None and segment is not None:
        assert segment.unit == expected.unit


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"start": "2", "end": "2"}, "end 2 is not after start 2"),
        ({"start": "2", "end": "1.5"}, "end 1.5 is not after start 2"),
        ({"end": "0"}, "end 0 is not after start 0"),
        ({"start": "-1", "end": "-1"}, "'-1' is negative"),
        ({"start": "nan"}, "start 'nan'"),
        ({"end": "inf"}, "end 'inf'"),
        ({"start": "bald"}, "start 'bald'"),
        ({"start": "00:75:10"}, "start '00:75:10'"),
        ({"start": "00:01:02:12"}, "start '00:01:02:12'"),
        ({"start": "1.234,5"}, "start '1.234,5'"),
        ({"start": "1_000"}, "start '1_000'"),
        ({"start_ms": "00:00:01"}, "start_ms '00:00:01'"),
        ({"start_frame": "1.5"}, "whole number"),
        ({"start": "1", "end_ms": "2000"}, "two units"),
        ({"end": "2", "end_frame": "50"}, "two units"),
        ({"start": "x" * 100_000}, "start 'xxx"),
    ],
)
def test_what_is_no_segment_says_why(fields: dict[str, str], words: str) -> None:
    with pytest.raises(ValueError) as caught:
        segment_of(fields)
    assert words in str(caught.value)
    assert len(str(caught.value)) < 150


def test_labels_tell_segments_apart() -> None:
    segments = [None, Segment(0.4, 1.2), Segment(0.4, None), Segment(400, 1200, "frames"), Segment(12, None, "frames")]
    assert [segment_label(segment) for segment in segments] == ["whole", "400-1200", "400-end", "f400-1200", "f12-end"]


def test_numbers_have_a_point_or_a_comma() -> None:
    assert [decimal(text) for text in ("12,5", "12.5", "1e1", "1,2,3", "NaN", "")] == [
        12.5,
        12.5,
        10.0,
        None,
        None,
        None,
    ]
