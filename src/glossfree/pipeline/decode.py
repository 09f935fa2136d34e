"""A model and a split of a corpus -> {clip id: Prediction} -> scores.

Predictions are gathered by clip id, checked against the manifest and scored once over the whole split: batches, their
order and the number of processes cannot change a score. References come from the manifest, never through a tokenizer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from glossfree.corpora.manifest import PackedClip
from glossfree.errors import CorpusError
from glossfree.models.hierarchy import TranslationModel
from glossfree.padded import Padded
from glossfree.pipeline.assemble import beams_of
from glossfree.recipe.schema import Recipe
from glossfree.scoring.conventions import Convention
from glossfree.scoring.metrics import Scores, score
from glossfree.scoring.predictions import Prediction
from glossfree.scoring.sentences import check_ids
from glossfree.text.tokenizer import SentenceTokenizer
from glossfree.training.device import best_device
from glossfree.training.processes import Processes
from glossfree.video.batch import ClipBatch


@dataclass(frozen=True)
class Decoder:
    """A model in evaluation mode, its tokenizer and its recipe: clips -> sentences.

    `recognise`: segments Padded (B, S, E) -> the glosses of each clip, which go into its predictions.
    """

    model: TranslationModel
    tokenizer: SentenceTokenizer
    recipe: Recipe
    recognise: Callable[[Padded], Sequence[tuple[str, ...]]] | None = None

    @torch.no_grad()
    def hypotheses(
        self, frames: Tensor, lengths: Tensor, num_hypotheses: int = 1, level: str = "frames"
    ) -> list[tuple[Prediction, ...]]:
        """Packed frames and lengths (B,) -> for each clip its best sentences, best first."""
        glosses: Sequence[tuple[str, ...] | None] = [None] * len(lengths)
        if self.recognise is not None:
            segments = self.model.hierarchy.segments(frames, lengths, level)
            glosses = self.recognise(segments)
            frames, lengths, level = segments.pack(), segments.lengths, "segment_features"
        translations = self.model.translate(
            frames,
            lengths,
            level,
            beams=beams_of(self.recipe, num_hypotheses),
            language_id=self.tokenizer.language_id,
            suppressed=self.tokenizer.never_written,
        )
        return [
            tuple(
                Prediction(self.tokenizer.decode(ids), score, recognised)
                for ids, score in zip(sequences.tolist(), scores.tolist(), strict=True)
            )
            for sequences, scores, recognised in zip(translations.sequences, translations.scores, glosses, strict=True)
        ]

    def __call__(self, batch: ClipBatch) -> list[Prediction]:
        """A batch -> the best sentence of each clip."""
        batch = batch.prepared(best_device())
        return [best for best, *_ in self.hypotheses(batch.frames, batch.lengths, level=batch.level)]


@dataclass(frozen=True)
class Evaluation:
    """The predictions of a split by clip id, in the manifest's order, and their scores."""

    predictions: dict[str, Prediction]
    scores: Scores


def evaluate_clips(
    translate: Callable[[ClipBatch], Sequence[Prediction]],
    loader: Iterable[ClipBatch],
    clips: Sequence[PackedClip],
    convention: Convention | None = None,
    on_progress: Callable[[int], object] = lambda num_clips: None,
) -> Evaluation:
    """Batches of a split, its clips and what translates a batch -> predictions and scores (by default as of German).

    Each of several processes has a part of the batches; all get the result of all. Raises CorpusError unless every clip
    is decoded exactly once, ValueError where `translate` does not give one prediction per clip.
    """
    decoded: list[tuple[str, Prediction]] = []
    for batch in loader:
        decoded += zip(batch.ids, translate(batch), strict=True)
        on_progress(len(batch))
    predictions: dict[str, Prediction] = {}
    for id, prediction in (pair for part in Processes.here().objects(decoded) for pair in part):
        if id in predictions:
            raise CorpusError("decoded twice", where=f"clip {id}", remedy="give every clip once, under its own id")
        predictions[id] = prediction
    check_ids(predictions, [clip.id for clip in clips])
    predictions = {clip.id: predictions[clip.id] for clip in clips}
    hypotheses = [prediction.text for prediction in predictions.values()]
    return Evaluation(predictions, score(hypotheses, [clip.text for clip in clips], convention=convention))
