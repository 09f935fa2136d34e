"""The two files that keep what a split was translated into: predictions.SPLIT.jsonl and scores.SPLIT.json."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from glossfree.errors import RunError
from glossfree.files.disk import write_atomic
from glossfree.files.encoding import nfc
from glossfree.scoring.metrics import Scores


@dataclass(frozen=True)
class Prediction:
    """The best hypothesis of one clip, its score (mean log-probability), and the runners-up, best first."""

    text: str
    score: float
    alternatives: tuple[tuple[str, float], ...] = ()


def predictions_path(folder: Path, split: str) -> Path:
    """Where a run keeps the predictions of a split."""
    return folder / f"predictions.{split}.jsonl"


def scores_path(folder: Path, split: str) -> Path:
    """Where a run keeps the scores of a split."""
    return folder / f"scores.{split}.json"


def write_predictions(path: Path, predictions: Mapping[str, Prediction], references: Mapping[str, str]) -> None:
    """One line of JSON per clip, in the order of `references` ({id: text}): id, hypothesis, reference, score."""
    lines = []
    for id, reference in references.items():
        prediction = predictions[id]
        line: dict[str, Any] = {
            "id": id,
            "hypothesis": prediction.text,
            "reference": reference,
            "score": prediction.score,
        }
        if prediction.alternatives:
            line["alternatives"] = [[text, value] for text, value in prediction.alternatives]
        lines.append(json.dumps(line, ensure_ascii=False) + "\n")
    write_atomic(path, "".join(lines))


def read_predictions(path: Path) -> dict[str, Prediction]:
    """Inverse of `write_predictions`. Raises RunError: missing, no prediction in a line, an id twice."""
    predictions: dict[str, Prediction] = {}
    for number, line in enumerate(_read(path).split("\n"), start=1):
        if not line:
            continue
        try:
            values = json.loads(line)
            id = nfc(str(values["id"]))
            alternatives = tuple((str(text), float(value)) for text, value in values.get("alternatives", ()))
            prediction = Prediction(str(values["hypothesis"]), float(values["score"]), alternatives)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            problem = f"line {number} is not a prediction ({error})"
            raise RunError(problem, where=path, remedy="run glossfree evaluate again") from error
        if id in predictions:
            raise RunError(f"clip id {id!r} twice (line {number})", where=path, remedy="run glossfree evaluate again")
        predictions[id] = prediction
    return predictions


def write_scores(path: Path, scores: Scores) -> None:
    """Scores with their signatures and convention, as JSON."""
    write_atomic(path, json.dumps(scores.to_dict(), ensure_ascii=False, indent=1) + "\n")


def read_scores(path: Path) -> Scores:
    """Inverse of `write_scores`. Raises RunError: missing or not scores."""
    try:
        return Scores.from_dict(json.loads(_read(path)))
    except (ValueError, TypeError) as error:
        raise RunError(f"not scores ({error})", where=path, remedy="run glossfree evaluate again") from error


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not text"
        raise RunError(f"cannot be read ({reason})", where=path, remedy="make it with: glossfree evaluate") from error
