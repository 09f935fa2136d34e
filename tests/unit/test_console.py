"""A console that keeps quiet, for tests and programs; durations as people say them."""

from __future__ import annotations

import pytest

from glossfree.console import Console, Silent, duration, size


def test_silent_keeps_what_was_said_and_shows_nothing(capsys: object) -> None:
    console = Silent()
    given: Console = console
    given.say("one")
    with given.progress("work", 3) as advance:
        advance()
        advance(2, note="done")
        given.detail("two")
        given.warn("three")
    assert console.lines == ["one", "two", "warning: three"]
    assert capsys.readouterr() == ("", "")  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        *((-3, "0 s"), (0.4, "0 s"), (41, "41 s"), (99.4, "99 s"), (99.6, "2 min"), (431, "7 min")),
        *((5900, "98 min"), (6000, "1 h 40 min"), (11_100, "3 h 05 min"), (172_700, "47 h 58 min")),
        *((172_800, "2 d 00 h"), (200_000, "2 d 08 h"), (2_000_000, "23 d 04 h")),
    ],
)
def test_a_duration_is_said_in_two_units_at_most(seconds: float, said: str) -> None:
    assert duration(seconds) == said


@pytest.mark.parametrize(
    ("num_bytes", "text"),
    [
        (3_140_000, "3.14 MB"),
        (127_000, "0.127 MB"),
        (812_400_000, "812 MB"),
        (999_600_000, "1.0 GB"),
        (1.24e10, "12.4 GB"),
    ],
)
def test_a_size_has_three_digits(num_bytes: float, text: str) -> None:
    assert size(num_bytes) == text
