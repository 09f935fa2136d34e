"""evaluate: scores of a run, and a note on empty hypotheses."""

from __future__ import annotations

from pathlib import Path

import pytest

from glossfree.cli.evaluate import evaluate
from glossfree.console import Silent
from glossfree.pipeline import decode
from glossfree.pipeline import evaluate as pipeline
from glossfree.scoring.metrics import score
from glossfree.scoring.predictions import Prediction


@pytest.mark.parametrize(("texts", "notes"), [(("es taut", "", " "), 1), (("es taut", "kalt", "x"), 0)])
def test_empty_hypotheses_are_noted(
    texts: tuple[str, ...], notes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    predictions = {str(number): Prediction(text, -1.0) for number, text in enumerate(texts)}
    evaluation = decode.Evaluation(predictions, score(texts, ["es taut", "kalt", "regen"], language="de"))
    monkeypatch.setattr(pipeline, "evaluate", lambda *_, **options: evaluation)
    result = evaluate(tmp_path, Silent(), "dev")
    assert len(result.notes) == len(result.to_dict()["notes"]) == notes
    assert result.to_text().count("are empty") == notes
