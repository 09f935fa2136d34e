"""The command line itself: verbs, exit codes, one line for a mistake. What the verbs do is tested in tests/flow."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from glossfree import __version__
from glossfree.cli.app import VERBS, command
from glossfree.errors import CorpusError


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_and_every_option_explains_itself(verb: str, call: Any) -> None:
    shown = call(verb, "--help")
    assert (shown.code, shown.err) == (0, "")
    assert VERBS[verb].split()[0] in shown.out
    assert [option.name for option in command(verb).params if not option.help] == []


def test_the_help_names_every_verb_at_once(call: Any) -> None:
    shown = call("--help").out
    assert [verb for verb in VERBS if verb not in shown] == []


def test_a_verb_that_is_mistyped_gets_the_nearest_spelling(call: Any) -> None:
    shown = call("trian")
    assert shown.code == 2 and "'train'" in shown.err


def test_version_and_no_arguments(call: Any) -> None:
    assert call("--version").out == f"{__version__}\n"
    assert "Usage" in call().out + call().err


def test_a_mistake_is_one_line_on_standard_error(monkeypatch: pytest.MonkeyPatch, call: Any) -> None:
    def mistaken(*_: object) -> None:
        raise CorpusError("is odd", where="a/b", remedy="mend it")

    monkeypatch.setattr("glossfree.corpora.inspection.inspect", mistaken)
    shown = call("inspect", "x")
    assert (shown.code, shown.out, shown.err) == (2, "", "glossfree: a/b: is odd -> mend it\n")
    with pytest.raises(CorpusError):
        call("inspect", "x", "--debug")


def test_a_message_is_one_line_whatever_a_file_put_into_it(monkeypatch: pytest.MonkeyPatch, call: Any) -> None:
    def mistaken(*_: object) -> None:
        raise CorpusError("no column a\u2028b\r\n\x1b[2Jc", where="kühl\udcff")

    monkeypatch.setattr("glossfree.corpora.inspection.inspect", mistaken)
    assert call("inspect", "x").err == "glossfree: kühl\udcff: no column a\\u2028b\\r\\n\\x1b[2Jc\n"


def test_a_name_that_the_locale_cannot_write_is_one_line(monkeypatch: pytest.MonkeyPatch, call: Any) -> None:
    def unwritable(*_: object) -> None:
        ("x" * 999 + "clips/grün.mp4").encode("ascii")

    monkeypatch.setattr("glossfree.corpora.inspection.inspect", unwritable)
    shown = call("inspect", "x")
    assert (shown.code, shown.out) == (2, "") and shown.err.count("\n") == 1
    assert "clips/gr\\xfcn.mp4" in shown.err and " -> " in shown.err and len(shown.err) < 300


def test_our_own_mistakes_are_not_hidden(monkeypatch: pytest.MonkeyPatch, call: Any) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("glossfree.corpora.inspection.inspect", broken)
    with pytest.raises(ZeroDivisionError):
        call("inspect", "x")


def test_interrupted_is_130_and_says_how_to_go_on(monkeypatch: pytest.MonkeyPatch, call: Any) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("glossfree.corpora.inspection.inspect", interrupted)
    shown = call("inspect", "x")
    assert (shown.code, shown.out) == (130, "")
    assert "--resume" in shown.err and shown.err.count("\n") == 1


def test_nothing_heavy_is_imported_before_a_verb_needs_it() -> None:
    heavy = ("torch", "transformers", "cv2", "av", "numpy", "gensim", "pydantic")
    code = f"import sys, glossfree.cli.app; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "[]\n"
