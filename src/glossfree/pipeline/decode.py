"""A split and a translator -> {clip id: Prediction} -> scores, and the two files that keep them.

Predictions are gathered by clip id, checked against the manifest and scored once over the whole split: batches,
their order and the number of processes cannot move a score. References come from the manifest, never through a
tokenizer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from glossfree.corpora.manifest import PackedClip
from glossfree.errors import CorpusError
from glossfree.scoring.conventions import Convention
from glossfree.scoring.ids import check_ids
from glossfree.scoring.metrics import Scores, score
from glossfree.scoring.predictions import Prediction, predictions_path, scores_path, write_predictions, write_scores
from glossfree.video.batch import ClipBatch

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
        references = {clip.id: clip.text for clip in clips}
        write_predictions(predictions_path(folder, split), evaluation.predictions, references)
        write_scores(scores_path(folder, split), scores)
    return evaluation
