"""What people see: standard error only, a bar where there is a terminal, a line now and then elsewhere."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from time import sleep

import pytest
from rich.console import Console

from glossfree.cli import terminal
from glossfree.cli.terminal import NORMAL, QUIET, SHOWS_STEPS, VERBOSE, Terminal


class Clock:
    """Seconds that pass by one at every look."""

    def __init__(self, step: float) -> None:
        self.now, self.step = 0.0, step

    def monotonic(self) -> float:
        self.now += self.step
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    clock = Clock(1.0)
    monkeypatch.setattr(terminal, "time", clock)
    yield clock


def test_lines_go_to_standard_error_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    Terminal().say("[bold]no markup[/bold] " + "x" * 200)
    out, err = capsys.readouterr()
    assert (out, err) == ("", "[bold]no markup[/bold] " + "x" * 200 + "\n")


def test_quiet_prints_warnings_and_errors_only_and_verbose_prints_details(capsys: pytest.CaptureFixture[str]) -> None:
    lines = {}
    for verbosity in (QUIET, NORMAL, VERBOSE):
        console = Terminal(verbosity)
        console.say("a line")
        console.detail("a detail")
        console.warn("odd")
        console.error("lost")
        with console.progress("packing", 3) as advance:
            advance(3)
        lines[verbosity] = capsys.readouterr().err.splitlines()
    assert lines[QUIET] == ["warning: odd", "glossfree: lost"]
    assert lines[NORMAL] == ["a line", "warning: odd", "glossfree: lost"]
    assert lines[VERBOSE] == ["a line", "a detail", "warning: odd", "glossfree: lost"]


def test_without_a_terminal_a_line_now_and_then(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with Terminal().progress("packing", 200) as advance:
        for _ in range(200):
            advance(note="9 frames/s")
    out, err = capsys.readouterr()
    lines = err.splitlines()
    assert out == "" and "\x1b" not in err and 3 <= len(lines) <= 10
    assert lines[0].startswith("packing: ") and "/200 " in lines[0] and lines[0].endswith("9 frames/s")
    done = [int(line.split()[1].split("/")[0]) for line in lines]
    assert done == sorted(set(done))


def test_without_a_terminal_work_that_says_lines_itself_has_no_others(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    console = Terminal()
    with console.progress("pretrain", 200, says_steps=True) as advance:
        for step in range(200):
            advance(note="loss 2.1")
            if step % 100 == 99:
                console.say(f"epoch {step // 100 + 1}")
    assert capsys.readouterr().err == "epoch 1\nepoch 2\n"


def test_lines_tell_what_is_left_at_the_speed_since_the_first_advance(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of a run that goes on, the first advance is what an earlier one had done: 600 steps in no time."""
    with Terminal().progress("pretrain", 1000) as advance:
        advance(600)
        for _ in range(62):
            advance(1, note="loss 2.1")
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2  # one second and one step at each look, after two looks at the start
    assert lines[0].startswith("pretrain: 629/1000  ") and lines[0].endswith("  loss 2.1")
    assert ", 6 min left  " in lines[0] and ", 6 min left  " in lines[1]  # 371 and 341 seconds


def test_nothing_is_told_of_what_is_left_before_there_is_a_speed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(terminal, "time", Clock(32.0))
    with Terminal().progress("packing", 5) as advance:
        advance(2, note="a note")
    assert capsys.readouterr().err == "packing: 2/5  64 s  a note\n"


def test_work_that_is_over_at_once_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with Terminal().progress("packing", 5) as advance:
        advance(5)
    assert capsys.readouterr() == ("", "")


def test_on_a_terminal_a_bar_that_is_wiped_away_and_lines_above_it() -> None:
    shown, watched = io.StringIO(), Terminal()
    watched.console = Console(file=shown, force_terminal=True, width=120)
    with watched.progress("packing", 3) as advance:
        advance(1, note="7 frames/s")
        watched.say("a line")
        advance(2)
    text = shown.getvalue()
    assert "packing" in text and "a line" in text and "3/3" in text
    assert text.rstrip().endswith("\x1b[2K")


NOTE = "loss 12.579  epoch 12/100  140 frames/s  contrastive 2.123  pseudo_gloss 1.456  34 % waiting  lr 1.2e-05"


def rendered(width: int, task: str, total: int, note: str) -> str:
    """The last line that a terminal of so many columns shows after two fifths of the work."""
    shown, watched = io.StringIO(), Terminal()
    watched.console = Console(file=shown, force_terminal=True, width=width, soft_wrap=True)
    with watched.progress(task, total) as advance:
        for _ in range(2):
            advance(total // 5, note=note)
            sleep(0.1)  # rich measures a speed
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.getvalue()).replace("\r", "\n")
    lines = [line for line in text.splitlines() if line.strip()]
    assert max(map(len, lines)) <= width and all(line.startswith(task) for line in lines)  # never a second line
    return lines[-1]


@pytest.mark.parametrize("width", [80, 97, 110, 120, 193])
@pytest.mark.parametrize(("task", "total"), [("finetune2", 123_455), ("pretrain", 35)])
def test_bar_share_time_to_go_and_loss_are_seen_whatever_the_width(width: int, task: str, total: int) -> None:
    line = rendered(width, task, total, NOTE)
    assert line.count("━") >= 9 and " 40%" in line and "loss 12.579" in line
    assert re.search(r"(\d+:)?\d\d:\d\d", line), line
    assert (f"{2 * total // 5}/{total}" in line) == (width >= SHOWS_STEPS)
    shown = line[line.index("loss") :].rstrip().split("  ")
    assert NOTE.split("  ")[: len(shown)] == shown, "whole parts of the note, the last ones left out"
    assert len(shown) >= 2 and (len(shown) == len(NOTE.split("  "))) == (width > 170)


def test_an_error_inside_the_work_comes_out_of_either_kind() -> None:
    for is_terminal in (True, False):
        watched = Terminal()
        watched.console = Console(file=io.StringIO(), force_terminal=is_terminal)
        with pytest.raises(KeyError), watched.progress("packing", 3):
            raise KeyError("a")
