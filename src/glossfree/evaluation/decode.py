"""A split and a translator -> {clip id: Prediction} -> scores, and the two files that keep them.

Predictions are gathered by clip id, checked against the manifest and scored once over the whole split: batches,
their order and the number of processes cannot move a score. References come from the manifest, never through a
tokenizer.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from glossfree.corpora.manifest import PackedClip, nfc, write_atomic
from glossfree.errors import CorpusError, RunError
from glossfree.evaluation.conventions import Convention
from glossfree.evaluation.ids import check_ids
from glossfree.evaluation.metrics import Scores, score
from glossfree.video.batch import ClipBatch


@dataclass(frozen=True)
class Prediction:
    """The best hypothesis of one clip, its score (mean log-probability), and the runners-up, best first."""

    text: str
    score: float
    alternatives: tuple[tuple[str, float], ...] = ()


Translate = Callable[[ClipBatch], Sequence[Prediction]]
Gather = Callable[[dict[str, Prediction]], Sequence[dict[str, Prediction]]]


@dataclass(frozen=True)
class Evaluation:
    """What one split gave: its predictions by clip id, in manifest order, and their scores."""

    split: str
    predictions: dict[str, Prediction]
    scores: Scores


def decode_split(
    translate: Translate, loader: Iterable[ClipBatch], *, on_progress: Callable[[int], None] | None = None
) -> dict[str, Prediction]:
    """Batches of one split -> {clip id: Prediction}; `on_progress` is told the number of clips of each batch.

    Raises CorpusError for an id that comes twice, ValueError where `translate` gives more or fewer than one
    prediction per clip.
    """
    predictions: dict[str, Prediction] = {}
    for batch in loader:
        translated = translate(batch)
        if len(translated) != len(batch):
            raise ValueError(f"{len(translated)} predictions for a batch of {len(batch)} clips")
        for id, prediction in zip(batch.ids, translated, strict=True):
            _put(predictions, id, prediction)
        if on_progress is not None:
            on_progress(len(batch))
    return predictions


def joined(parts: Iterable[Mapping[str, Prediction]]) -> dict[str, Prediction]:
    """Predictions of several processes -> of all of them. Raises CorpusError for an id that comes twice."""
    predictions: dict[str, Prediction] = {}
    for part in parts:
        for id, prediction in part.items():
            _put(predictions, id, prediction)
    return predictions


def _put(predictions: dict[str, Prediction], id: str, prediction: Prediction) -> None:
    if id in predictions:
        raise CorpusError("decoded twice", where=f"clip {id}", remedy="give every clip once, under its own id")
    predictions[id] = prediction


def score_split(
    predictions: Mapping[str, Prediction], clips: Sequence[PackedClip], *, convention: Convention | None = None
) -> Scores:
    """Predictions by id and the clips of the same split -> Scores. Raises CorpusError where the ids differ."""
    check_ids(predictions, clips)
    return score([predictions[clip.id].text for clip in clips], [clip.text for clip in clips], convention=convention)


def evaluate(
    translate: Translate,
    loader: Iterable[ClipBatch],
    clips: Sequence[PackedClip],
    *,
    split: str,
    folder: Path | None = None,
    convention: Convention | None = None,
    on_progress: Callable[[int], None] | None = None,
    gather: Gather | None = None,
) -> Evaluation:
    """Decode a split, check its ids, score it; with a `folder`, write `predictions.*` and `scores.*` there.

    `convention`: German's if left out. `gather`: the predictions of one of several processes -> those of each.
    """
    decoded = decode_split(translate, loader, on_progress=on_progress)
    if gather is not None:
        decoded = joined(gather(decoded))
    scores = score_split(decoded, clips, convention=convention)
    evaluation = Evaluation(split, {clip.id: decoded[clip.id] for clip in clips}, scores)
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        write_predictions(predictions_path(folder, split), evaluation.predictions, clips)
        write_scores(scores_path(folder, split), scores)
    return evaluation


def predictions_path(folder: Path, split: str) -> Path:
    """Where a run keeps the predictions of a split."""
    return folder / f"predictions.{split}.jsonl"


def scores_path(folder: Path, split: str) -> Path:
    """Where a run keeps the scores of a split."""
    return folder / f"scores.{split}.json"


def write_predictions(path: Path, predictions: Mapping[str, Prediction], clips: Iterable[PackedClip]) -> None:
    """One line of JSON per clip, in manifest order: id, hypothesis, reference, score (and alternatives, if any)."""
    lines = []
    for clip in clips:
        prediction = predictions[clip.id]
        line: dict[str, Any] = {
            "id": clip.id,
            "hypothesis": prediction.text,
            "reference": clip.text,
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
