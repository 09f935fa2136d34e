"""A verb as a command: its own options and the common ones, one print of the result, its exit code."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import pytest
import typer

from glossfree.cli.verb import Written, as_command
from glossfree.console import Console, Result

app = typer.Typer()


@dataclass(frozen=True)
class Sum(Result):
    total: int

    @property
    def exit_code(self) -> int:
        return int(self.total > 9)

    def to_text(self) -> str:
        return f"the sum is {self.total}"


@app.command()
@as_command
def add(numbers: Annotated[list[int], typer.Argument(help="To add.")], console: Console, start: int = 0) -> Sum:
    """Add numbers."""
    console.say("adding")
    return Sum(start + sum(numbers))


@pytest.mark.parametrize(
    ("words", "code", "out", "err"),
    [
        ("2 3", 0, "the sum is 5\n", "adding\n"),
        ("2 3 --start 7", 1, "the sum is 12\n", "adding\n"),
        ("2 3 --json", 0, '{\n "total": 5\n}\n', "adding\n"),
        ("2 3 -q", 0, "the sum is 5\n", ""),
        ("2 3 --verbose", 0, "the sum is 5\n", "adding\n"),
    ],
)
def test_options_result_and_exit_code(
    words: str, code: int, out: str, err: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        app(words.split())
    assert (ended.value.code, *capsys.readouterr()) == (code, out, err)


def test_verbose_shows_no_progress_of_gensim() -> None:
    with pytest.raises(SystemExit):
        app(["2", "--verbose"])
    assert not logging.getLogger("gensim.models.word2vec").isEnabledFor(logging.INFO)


def test_only_the_first_process_prints(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("RANK", "1")
    with pytest.raises(SystemExit):
        app(["2", "3"])
    assert capsys.readouterr() == ("", "")


def test_a_path_is_text_and_data() -> None:
    written = Written(Path("a/b"))
    assert (list(written.lines(False)), written.to_dict()) == (["a/b"], {"path": str(Path("a/b"))})
