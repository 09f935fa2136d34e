"""Annotated glosses of a prepared corpus, for recipes with `supervision = "glosses"`: ids, and what is refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from glossfree.corpora.manifest import Manifest, PackedClip
from glossfree.errors import CorpusError, RunError
from glossfree.models.tokens import IGNORED
from glossfree.objectives.gloss_ctc import recognise, segments_needed
from glossfree.padded import Padded
from glossfree.pipeline.denoising import pad
from glossfree.scoring.predictions import Prediction
from glossfree.scoring.word_errors import word_errors
from glossfree.text.glosses import GLOSSES, GlossVocabulary, gloss_sentence


def gloss_vocabulary_of(manifest: Manifest) -> GlossVocabulary:
    """The annotated glosses of the training split. Raises CorpusError if train, or a dev split, has none."""
    for split in ("train", "dev"):
        clips = [clip for clip in manifest.clips if clip.split == split]
        if clips and not any(clip.glosses for clip in clips):
            raise CorpusError(
                f"no clip of {split} has glosses, and the recipe trains on them",
                where=manifest.folder,
                remedy="if the corpus has them, run glossfree prepare again, which packs nothing anew; or take a "
                "gloss-free recipe (glossfree recipe --list)",
            )
    return GlossVocabulary.of(clip.glosses for clip in manifest.split("train"))


def gloss_ids(vocabulary: GlossVocabulary, clips: Sequence[PackedClip]) -> dict[str, np.ndarray]:
    """Clips -> {clip id: ids of its glosses (U,)}, all as long as the longest, -100 behind the last."""
    return padded_rows(clips, [vocabulary.ids(clip.glosses) for clip in clips])


def padded_rows(clips: Sequence[PackedClip], rows: Sequence[Sequence[int]]) -> dict[str, np.ndarray]:
    """Clips and a row of ids for each -> {clip id: row}, all as long as the longest, -100 behind the last id."""
    return {clip.id: row for clip, row in zip(clips, pad(rows, IGNORED).numpy(), strict=True)}


def words_of_glosses(clips: Sequence[PackedClip]) -> dict[str, list[list[str]]]:
    """Clips -> {sentence: the glosses of each clip that has it, as words}."""
    words: dict[str, list[list[str]]] = {}
    for clip in clips:
        words.setdefault(clip.text, []).append(gloss_sentence(clip.glosses).split())
    return words


def clips_too_short(vocabulary: GlossVocabulary, clips: Sequence[PackedClip], segments: Tensor) -> list[str]:
    """Clips and their numbers of segments (B,) -> the ids of those that have too few for their glosses."""
    ids = torch.from_numpy(np.stack([*gloss_ids(vocabulary, clips).values()]))
    is_short = segments < segments_needed(ids)
    return [clip.id for clip, short in zip(clips, is_short.tolist(), strict=True) if short]


@dataclass(frozen=True)
class Recogniser:
    """A head of `gloss_ctc` and its glosses: segments -> glosses."""

    head: nn.Linear
    vocabulary: GlossVocabulary
    num_beams: int

    @torch.no_grad()
    def __call__(self, segments: Padded) -> list[tuple[str, ...]]:
        """Segments Padded (B, S, E) -> the glosses of each clip (see `objectives.gloss_ctc.recognise`)."""
        ids = recognise(segments.with_values(self.head(segments.values)), self.num_beams)
        return [tuple(self.vocabulary.inventory[id - 1] for id in clip) for clip in ids]


def gloss_errors(
    predictions: Mapping[str, Prediction], clips: Sequence[PackedClip], recogniser: Recogniser
) -> dict[str, Any]:
    """Recognised glosses of clips -> `Scores.recognition`; {} if none of the clips is annotated.

    Clips without glosses are left out; annotated glosses that training does not have count.
    """
    annotated = [clip for clip in clips if clip.glosses]
    if not annotated:
        return {}
    errors = word_errors(
        [predictions[clip.id].glosses or () for clip in annotated], [clip.glosses for clip in annotated]
    )
    return {**errors.to_dict(), "num_beams": recogniser.num_beams}


def check_same_glosses(vocabulary: GlossVocabulary, run: Path) -> None:
    """Raise RunError if a run whose stages are taken knows other glosses: its weights have a row for each."""
    path = run / GLOSSES
    if path.is_file() and GlossVocabulary.load(path) != vocabulary:
        raise RunError("was trained with other glosses", where=path, remedy="take a run on the same corpus")
