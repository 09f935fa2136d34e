"""Where the locale has no umlauts: what can be printed is printed, the rest is escaped; no traceback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

HYPOTHESES, REFERENCES = "es wird kühl\nim süden 🙂\n", "es wird kühl 明天\nim süden\n"
UTF8 = {"PYTHONUTF8": "1"}
ASCII = {"PYTHONUTF8": "0", "LC_ALL": "POSIX"}


@dataclass(frozen=True)
class Printed:
    code: int
    out: bytes
    err: bytes


Glossfree = Callable[..., Printed]


@pytest.fixture
def glossfree(tmp_path: Path) -> Glossfree:
    """The command line in a process of its own, in the folder of the test."""

    def run(environment: dict[str, str], *arguments: str | bytes) -> Printed:
        others = ("LC_", "LANG", "PYTHONUTF8", "PYTHONIOENCODING")
        own = {name: value for name, value in os.environ.items() if not name.startswith(others)}
        command = [sys.executable, "-m", "glossfree", *arguments]
        done = subprocess.run(command, cwd=tmp_path, env={**own, **environment}, capture_output=True, timeout=120)
        assert b"Traceback" not in done.stderr, done.stderr.decode(errors="replace")
        return Printed(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, ...]:
    """Options of `score`: one of the files has an umlaut in its name."""
    (tmp_path / "hypothesen_ü.txt").write_text(HYPOTHESES, encoding="utf-8")
    (tmp_path / "references.txt").write_text(REFERENCES, encoding="utf-8")
    named = ("--hypotheses", "hypothesen_ü.txt", "--references", "references.txt")
    return (*named, "--language", "de", "--samples", "5", "--diagnose")


def test_results_are_escaped(glossfree: Glossfree, files: tuple[str, ...]) -> None:
    shown = glossfree(ASCII, "score", *files)
    assert shown.code == 0
    assert b"k\\u00fchl" in shown.out and "kühl".encode() not in shown.out


def test_json_stays_json_and_says_the_same(glossfree: Glossfree, files: tuple[str, ...]) -> None:
    shown = [glossfree(environment, "score", *files, "--json") for environment in (ASCII, UTF8)]
    assert [each.code for each in shown] == [0, 0]
    assert json.loads(shown[0].out) == json.loads(shown[1].out)  # the name of the file, too: its bytes are UTF-8
    assert "kühl" in shown[1].out.decode("utf-8")


def test_a_mistake_names_the_path_as_it_was_typed(glossfree: Glossfree) -> None:
    for environment in (ASCII, UTF8):
        shown = glossfree(environment, "vocabulary", "--tokenizer", "x", "--sentences", "nichts_dä.txt")
        assert (shown.code, shown.out) == (2, b"")
        assert "nichts_dä.txt: ".encode() in shown.err


def test_a_path_that_is_no_utf8_is_escaped_where_text_must_be(glossfree: Glossfree) -> None:
    shown = glossfree(UTF8, "vocabulary", "--tokenizer", "x", "--sentences", b"nichts_d\xe4.txt")
    assert shown.code == 2 and b"nichts_d\\udce4.txt: " in shown.err


def test_help_is_printed(glossfree: Glossfree) -> None:
    for environment in (ASCII, UTF8):
        assert b"Usage" in glossfree(environment, "prepare", "--help").out
