"""A model folder and a video file -> a sentence. Needs no corpus.

The folder holds `model.json` (what it is, and the SHA-256 of every other file), `recipe.toml`, `model.safetensors`,
`tokenizer/` and, if the model scores pseudo-glosses, `pseudo_glosses.json`: a model trained without them has no
timeline, and `model.json` says so. None of its files is ever executed or unpickled. `README.md` and `config.json` are
for the hub: nothing reads them, and their owner may change them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from glossfree.models.hierarchy import TranslationModel
from glossfree.models.int8 import INT8, from_int8
from glossfree.objectives.pseudo_gloss import PseudoGlossHead
from glossfree.pipeline.decode import Decoder, WordFinder, made_fast
from glossfree.pipeline.hub import model_folder
from glossfree.pipeline.material import sampling_of, view_of
from glossfree.pipeline.trained import TOKENIZER, TrainedRun, load_model_and_head
from glossfree.recipe.files import load_recipe
from glossfree.recipe.schema import Recipe
from glossfree.scoring.predictions import Prediction
from glossfree.serving.folder import RECIPE, WEIGHTS, Verified, training_of, verify_but_weights
from glossfree.serving.onnx import OnnxTranslator, is_onnx
from glossfree.serving.translations import About, PseudoGlossTrack, Translator
from glossfree.text.language_model import load_tokenizer
from glossfree.text.pseudo_glosses import PSEUDO_GLOSSES, PseudoGlosses
from glossfree.text.tokenizer import Tokenizer
from glossfree.training.device import best_device
from glossfree.training.run import load_tensors
from glossfree.video.intake import Intake, ModelClip


class SignTranslator(Translator):
    """A model of torch, on the best device."""

    def __init__(
        self,
        recipe: Recipe,
        tokenizer: Tokenizer,
        model: TranslationModel,
        head: PseudoGlossHead | None = None,
        pseudo_glosses: Sequence[str] = (),
        training: Mapping[str, Any] | None = None,
        int8: bool = False,
    ) -> None:
        """The model can only translate afterwards (`int8`: see `made_fast`).

        `training`: what the training clips looked like, if known (see `video.intake.validate_profile`).
        """
        self.recipe, self.tokenizer, self.pseudo_glosses = recipe, tokenizer, tuple(pseudo_glosses)
        self.device = best_device()
        self.model = made_fast(model, int8=int8)
        self.head = None if head is None else head.to(self.device).eval()
        finder = WordFinder.of(recipe, self.head, self.pseudo_glosses)
        self.decoder = Decoder(self.model, tokenizer, recipe, find_words=finder)
        self.intake = Intake(
            view_of(recipe), sampling_of(recipe), recipe.data.fit, dict(training or {}), recipe.keypoints.joints_read
        )
        self.about = About(
            name=recipe.name,
            summary=recipe.summary,
            language=recipe.text.language,
            supervision=recipe.supervision,
            fps=recipe.data.fps,
            frame_size=recipe.data.frame_size,
            batch_size=recipe.decode.batch_size,
            has_timeline=head is not None,
            is_on_cpu=self.device.type == "cpu",
        )

    @classmethod
    def from_pretrained(cls, source: str | Path, *, revision: str | None = None) -> Translator:
        """A folder made by `glossfree export`, or the owner/name of one on the hub -> its translator.

        `revision`: a branch, tag or commit of the repository. A folder that is there wins; a path is fetched only as
        "hub:owner/name". Raises ModelError: missing or altered file, nothing to fetch.
        """
        folder = model_folder(source, revision)
        if is_onnx(folder):
            return OnnxTranslator(folder)
        return cls.of_folder(folder, verify_but_weights(folder))

    @classmethod
    def of_folder(cls, folder: Path, verified: Verified) -> SignTranslator:
        """A verified model folder -> its translator. Raises ModelError."""
        training = training_of(verified.card, folder)
        recipe = load_recipe(folder / RECIPE)
        tokenizer = load_tokenizer(folder / TOKENIZER)
        verified.check_weights()
        where = folder / WEIGHTS
        tensors, facts = load_tensors(where)
        int8 = facts.get(INT8) is True
        tensors = from_int8(tensors, where=str(where))
        stage = facts.get("stage")
        model, head = load_model_and_head(recipe, len(tokenizer), tensors, stage=stage, where=where, merged=int8)
        inventory = () if head is None else PseudoGlosses.load(folder / PSEUDO_GLOSSES).inventory
        return cls(recipe, tokenizer, model, head, inventory, training, int8)

    @classmethod
    def of_run(cls, trained: TrainedRun) -> SignTranslator:
        """A trained run -> SignTranslator, as `glossfree export` would save it. Raises RunError, ModelError."""
        model, head = trained.model()
        inventory = () if head is None else trained.pseudo_glosses().inventory
        return cls(trained.recipe, trained.tokenizer, model, head, inventory)

    def middles(self, num_frames: int) -> Sequence[int]:
        """The frame, of those that the model saw, in the middle of each segment of a timeline."""
        return self.model.hierarchy.temporal.middles(num_frames)

    @torch.no_grad()
    def answer(
        self, clips: Sequence[ModelClip], num_hypotheses: int, num_tracks: int
    ) -> tuple[Sequence[tuple[Prediction, ...]], Sequence[tuple[PseudoGlossTrack, ...]]]:
        """As of Translator; the clips are one batch."""
        frames = torch.from_numpy(np.concatenate([clip.frames for clip in clips])).to(self.device)
        lengths = torch.tensor([len(clip.frames) for clip in clips], device=self.device)
        points = [torch.from_numpy(clip.keypoints) for clip in clips if clip.keypoints is not None]
        keypoints = torch.cat(points).to(self.device) if points else None
        # once for sentence and timeline: it takes nearly all of the time
        segments = self.model.hierarchy.segments(frames, lengths, keypoints=keypoints)
        rows, level = segments.pack(), "segment_features"
        hypotheses = self.decoder.hypotheses(rows, segments.lengths, num_hypotheses, level)
        return hypotheses, self.tracks(rows, segments.lengths, num_tracks, level)

    @torch.no_grad()
    def tracks(
        self, frames: Tensor, lengths: Tensor, num_tracks: int, level: str = "frames"
    ) -> list[tuple[PseudoGlossTrack, ...]]:
        """Packed rows at `level` and lengths (B,) -> for each clip its strongest pseudo-glosses over time (eqs 1-3)."""
        if self.head is None or not num_tracks:
            return [() for _ in range(len(lengths))]
        scores = self.head(self.model.hierarchy.segments(frames, lengths, level))
        tracks = []
        for clip, length in enumerate(scores.lengths.tolist()):
            strongest = scores.scores[clip].topk(min(num_tracks, len(self.pseudo_glosses)))
            timeline = scores.timeline[clip, :length]
            tracks.append(
                tuple(
                    PseudoGlossTrack(self.pseudo_glosses[index], value, tuple(timeline[:, index].tolist()))
                    for value, index in zip(strongest.values.tolist(), strongest.indices.tolist(), strict=True)
                )
            )
        return tracks
