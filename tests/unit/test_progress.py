"""A console that keeps quiet, for tests and programs."""

from __future__ import annotations

from glossfree.progress import Console, Silent


def test_silent_keeps_what_was_said_and_shows_nothing(capsys: object) -> None:
    console = Silent()
    given: Console = console
    given.say("one")
    with given.progress("work", 3) as advance:
        advance()
        advance(2, note="done")
        given.say("two")
    assert console.lines == ["one", "two"]
    assert capsys.readouterr() == ("", "")  # type: ignore[attr-defined]
