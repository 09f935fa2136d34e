"""The studio's benchmark: what counts as lost, and a short run of all of it."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import pytest
from benchmarks.studio import LOST, Answers, main
from tests.conftest import Tiny


def test_whatever_is_no_sentence_is_lost() -> None:
    answers = Answers([0.1, 0.2, 0.3, 9.0], Counter({"200": 2, "429": 1, LOST: 1}))
    assert answers.lost == 2
    assert answers.quantile(50) == pytest.approx(0.25) and 0.3 < answers.quantile(95) < 9


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux for memory and children of processes")
def test_a_short_run_loses_nothing(tiny_model: Path, tiny: Tiny) -> None:
    clip = next((tiny.corpus / "clips/test").glob("*.mp4"))
    size = ["--clients", "3", "--seconds", "1", "--mutations", "8"]
    text = main(["--model", str(tiny_model), "--clip", str(clip), *size])
    rows = [line.split("|") for line in text.splitlines() if line.startswith("| ")][2:]
    assert len(rows) == 3 and [row[-2].strip() for row in rows] == ["0"] * 3
    assert "8 damaged uploads" in text and "workers lost: 0" in text
