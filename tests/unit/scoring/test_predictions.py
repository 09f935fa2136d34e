"""The files of an evaluated split, as people edit them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from glossfree.errors import RunError
from glossfree.scoring.metrics import Scores, score
from glossfree.scoring.predictions import read_scores, write_scores


def scored() -> Scores:
    """Scores of two sentences."""
    return score(["morgen regen", "wind"], ["morgen regnet es", "wind"], language="de")


def test_scores_are_read_as_they_were_written(tmp_path: Path) -> None:
    path, scores = tmp_path / "scores.test.json", replace(scored(), rerank=1.5, supervision="glosses")
    write_scores(path, scores)
    assert read_scores(path) == scores


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("bleu4", value) for value in ("high", None, -5, float("nan"), True)],
        *[("num_sentences", value) for value in ("x", 2.5, -1)],
        *[("signatures", {"bleu4": 3}), ("convention", []), ("supervision", 7), ("recognition", {"words": 7})],
    ],
)
def test_edited_scores_are_refused(tmp_path: Path, name: str, value: Any) -> None:
    path = tmp_path / "scores.test.json"
    path.write_text(json.dumps({**scored().to_dict(), name: value}), encoding="utf-8")
    with pytest.raises(RunError, match="not scores") as caught:
        read_scores(path)
    assert "scores.test.json" in str(caught.value) and caught.value.remedy == "run glossfree evaluate again"
