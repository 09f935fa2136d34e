"""The two files of an evaluated split: predictions.SPLIT.jsonl and scores.SPLIT.json."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from glossfree.errors import RunError, shortened
from glossfree.files.disk import read_json, write_atomic, write_json
from glossfree.files.encoding import nfc
from glossfree.scoring.metrics import Scores

EVALUATE = "make it with: glossfree evaluate"
EVALUATE_AGAIN = "run glossfree evaluate again"


@dataclass(frozen=True)
class Prediction:
    """The best hypothesis of one clip and its score (mean log-probability); glosses, if a head recognises them."""

    text: str
    score: float
    glosses: tuple[str, ...] | None = None


def predictions_path(folder: Path, split: str, kind: str = "") -> Path:
    """The file with a run's predictions of a split; `kind` tells those apart that are not of the run as it is."""
    return folder / f"predictions.{split}{kind and f'.{kind}'}.jsonl"


def scores_path(folder: Path, split: str, kind: str = "") -> Path:
    """The file with a run's scores of a split."""
    return folder / f"scores.{split}{kind and f'.{kind}'}.json"


def measured_path(folder: Path, what: str, split: str, *kinds: str) -> Path:
    """The file with a run's "localisation" or "retrieval" of a split; `kinds`: what tells it from the run's own."""
    return folder / ".".join([what, split, *kinds, "json"])


def write_predictions(path: Path, predictions: Mapping[str, Prediction], references: Mapping[str, str]) -> None:
    """A line of JSON per clip, in the order of `references` ({id: text}): id, texts, score, glosses."""
    lines: list[dict[str, Any]] = []
    for id, reference in references.items():
        each = predictions[id]
        lines.append({"id": id, "hypothesis": each.text, "reference": reference, "score": each.score})
        if each.glosses is not None:
            lines[-1]["glosses"] = " ".join(each.glosses)
    write_atomic(path, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))


def read_predictions(run: Path, split: str) -> dict[str, Prediction]:
    """The predictions of a run for a split, by clip id. Raises RunError: missing, an invalid line, a repeated id."""
    path = predictions_path(run, split)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not text"
        remedy = f"glossfree evaluate {run} --split {split}"
        raise RunError(f"no predictions for {split} ({reason})", where=run, remedy=remedy) from error
    predictions: dict[str, Prediction] = {}
    for number, line in enumerate(text.split("\n"), start=1):
        if not line:
            continue
        try:
            values = json.loads(line)
            id, prediction = nfc(str(values["id"])), Prediction(str(values["hypothesis"]), float(values["score"]))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            problem = f"line {number} is not a prediction ({error})"
            raise RunError(problem, where=path, remedy=EVALUATE_AGAIN) from error
        if id in predictions:
            raise RunError(f"clip id {id!r} twice (line {number})", where=path, remedy=EVALUATE_AGAIN)
        predictions[id] = prediction
    return predictions


def write_scores(path: Path, scores: Scores) -> None:
    """Scores with their signatures and convention, as JSON."""
    write_json(path, scores.to_dict())


def read_scores(path: Path) -> Scores:
    """Inverse of `write_scores`. Raises RunError: missing or not scores."""
    values = read_json(path, RunError, remedy=EVALUATE)
    try:
        scores = Scores(**values)
        _check(scores)
    except (TypeError, ValueError, KeyError) as error:
        raise RunError(f"not scores ({error})", where=path, remedy=EVALUATE_AGAIN) from error
    return scores


def _check(scores: Scores) -> None:
    """Raise ValueError, TypeError or KeyError for values that no scores have, as after an edit by hand."""
    kinds: dict[Any, tuple[type, ...]] = {"float": (float, int), "int": (int,), "str": (str,)}  # else a dict
    for each in fields(Scores):
        value = getattr(scores, each.name)
        if type(value) not in kinds.get(each.type, (dict,)):
            raise ValueError(f"{each.name} is {shortened(repr(value), 40)}")
        if isinstance(value, float | int) and not (math.isfinite(value) and value >= 0):
            raise ValueError(f"{each.name} is {value}")
    if not all(isinstance(text, str) for text in scores.signatures.values()):
        raise ValueError("a signature is no text")
    _ = scores.gloss_line  # needs all values of `recognition`
