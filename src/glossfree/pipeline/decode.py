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
from glossfree.errors import CorpusError, RunError
from glossfree.models.backbones.dinov2 import Dinov2ClassToken
from glossfree.models.decoders.mbart import MBartDecoder
from glossfree.models.hierarchy import TranslationModel
from glossfree.models.int8 import pack_int8
from glossfree.models.packed import pack
from glossfree.objectives.pseudo_gloss import PseudoGlossHead
from glossfree.padded import Padded
from glossfree.pipeline.assemble import beams_of
from glossfree.pipeline.denoising import pad
from glossfree.recipe.schema import Recipe
from glossfree.scoring.conventions import Convention
from glossfree.scoring.metrics import Scores, score
from glossfree.scoring.predictions import Prediction
from glossfree.scoring.sentences import check_ids
from glossfree.text.noise import encoder_ids
from glossfree.text.tokenizer import SentenceTokenizer, Tokenizer
from glossfree.training.device import best_device, fast_precisions
from glossfree.training.processes import Processes
from glossfree.video.batch import ClipBatch


def made_fast(model: TranslationModel, *, int8: bool = False) -> TranslationModel:
    """A model -> itself on the best device, to translate with and nothing else: it can no longer train or be saved.

    Adapters are merged and the decoder's weights packed, in place. That changes logits by rounding. What a backbone
    computes in bfloat16 it computes in float32 on a device that is slow in the other. `int8`: the decoder's weights
    come from 8 bits, and the layers of mBART's decoder keep these. Those that write logits do not: bfloat16 is too
    coarse to tell likely tokens apart.
    """
    model.merge_adapters()
    model = model.to(best_device()).eval().requires_grad_(False)
    if int8 and isinstance(model.decoder, MBartDecoder):
        pack_int8(model.decoder.adapted)
    pack(model.decoder)
    backbone = model.hierarchy.visual.backbone
    if "bf16" not in fast_precisions() and isinstance(backbone, Dinov2ClassToken):
        backbone.frozen_in_bf16 = False
    return model


@dataclass(frozen=True)
class Decoder:
    """A model in evaluation mode, its tokenizer and its recipe: clips -> sentences.

    `recognise`: segments Padded (B, S, E) -> the glosses of each clip, which go into its predictions. `find_words`:
    segments -> words of each clip; then the decoder reads these, and nothing else of the video.
    """

    model: TranslationModel
    tokenizer: Tokenizer
    recipe: Recipe
    recognise: Callable[[Padded], Sequence[tuple[str, ...]]] | None = None
    find_words: Callable[[Padded], Sequence[Sequence[str]]] | None = None

    @torch.no_grad()
    def hypotheses(
        self,
        frames: Tensor,
        lengths: Tensor,
        num_hypotheses: int = 1,
        level: str = "frames",
        keypoints: Tensor | None = None,
    ) -> list[tuple[Prediction, ...]]:
        """Packed frames and lengths (B,), with `keypoints` (N, J, 3) for a model that reads them -> for each clip its
        best sentences, best first."""
        glosses: Sequence[tuple[str, ...] | None] = [None] * len(lengths)
        if self.recognise is not None or self.find_words is not None:
            segments = self.model.hierarchy.segments(frames, lengths, level, keypoints)
            glosses = glosses if self.recognise is None else self.recognise(segments)
            frames, lengths, level = segments.pack(), segments.lengths, "segment_features"
        beams, start = beams_of(self.recipe, num_hypotheses), self.tokenizer.start_id
        suppressed = self.tokenizer.never_written
        if self.find_words is not None:
            words = self._read(self.find_words(segments)).to(frames.device)
            read = self.model.hierarchy.language.read(words)
            translations = self.model.decoder.generate(read, beams, start, suppressed)
        else:
            translations = self.model.translate(
                frames,
                lengths,
                level,
                beams=beams,
                start_id=start,
                suppressed=suppressed,
                keypoints=keypoints,
            )
        return [
            tuple(
                Prediction(self.tokenizer.decode(ids), score, recognised)
                for ids, score in zip(sequences.tolist(), scores.tolist(), strict=True)
            )
            for sequences, scores, recognised in zip(translations.sequences, translations.scores, glosses, strict=True)
        ]

    def _read(self, words: Sequence[Sequence[str]]) -> Tensor:
        """Words of each clip -> token ids (B, L), as in the stage that learnt to write from words."""
        assert isinstance(self.tokenizer, SentenceTokenizer)  # a language encoder reads them
        limit, rows = self.recipe.text.max_tokens, [encoder_ids(self.tokenizer, clip) for clip in words]
        return pad([[*row[: limit - 2], *row[-2:]] if len(row) > limit else row for row in rows], self.tokenizer.pad_id)

    def __call__(self, batch: ClipBatch) -> list[Prediction]:
        """A batch -> the best sentence of each clip."""
        batch = batch.prepared(best_device())
        lists = self.hypotheses(batch.frames, batch.lengths, 1, batch.level, batch.keypoints)
        return [best for best, *_ in lists]


@dataclass(frozen=True)
class WordFinder:
    """A pseudo-gloss head and its inventory: the first step of CSGCR's cascade, the words that a video has."""

    head: PseudoGlossHead
    inventory: Sequence[str]
    threshold: float

    @classmethod
    def of(cls, recipe: Recipe, head: PseudoGlossHead | None, inventory: Sequence[str]) -> WordFinder | None:
        """What finds the words that the recipe's decoder reads; None if it reads videos. Raises RunError: no head."""
        if recipe.decode.source == "video":
            return None
        if head is None:
            problem = "no weights of a stage that scores pseudo-glosses, and its decoder reads nothing else"
            raise RunError(problem, where=recipe.name, remedy="restore them, or train that stage again")
        return cls(head, inventory, recipe.decode.word_threshold)

    @torch.no_grad()
    def __call__(self, segments: Padded) -> list[list[str]]:
        """Segments Padded (B, S, E) -> of each clip the words whose score reaches the threshold, or else the best one.

        The best come first.
        """
        scores, order = self.head(segments).scores.sort(dim=1, descending=True, stable=True)
        numbers = (scores >= self.threshold).sum(dim=1).clamp(min=1).tolist()
        return [
            [self.inventory[word] for word in words[:number]]
            for words, number in zip(order.tolist(), numbers, strict=True)
        ]


@dataclass(frozen=True)
class Evaluation:
    """The predictions of a split by clip id, in the manifest's order, and their scores."""

    predictions: dict[str, Prediction]
    scores: Scores


def evaluate_clips(
    translate: Callable[[ClipBatch], Sequence[Prediction]],
    loader: Iterable[ClipBatch],
    clips: Sequence[PackedClip],
    convention: Convention,
    on_progress: Callable[[int], object] = lambda num_clips: None,
) -> Evaluation:
    """Batches of a split, its clips and what translates a batch -> predictions and scores.

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
