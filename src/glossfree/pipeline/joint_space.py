"""The joint space of videos and sentences that a run has learnt: for retrieval, and to re-rank n-best lists."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from glossfree.console import Silent
from glossfree.errors import RunError
from glossfree.models.choices import LanguageEncoder
from glossfree.models.hierarchy import HierarchicalEncoder, Levels
from glossfree.models.tokens import IGNORED
from glossfree.models.weights import below, load
from glossfree.objectives.base import Inputs, JointLoss, Objective, Sizes
from glossfree.padded import Padded
from glossfree.pipeline.assemble import load_model, prepare
from glossfree.pipeline.decode import Decoder
from glossfree.pipeline.material import Material
from glossfree.pipeline.start import build_model
from glossfree.pipeline.text_features import FrozenTextEncoder, encode
from glossfree.pipeline.trained import TrainedRun
from glossfree.pipeline.weights import check_same_sources, weight_sources
from glossfree.recipe.schema import StageConfig
from glossfree.scoring.predictions import Prediction
from glossfree.training.device import best_device
from glossfree.training.run import load_tensors
from glossfree.video.batch import ClipBatch


@dataclass(frozen=True)
class JointSpace:
    """Encoder of videos, frozen encoder of sentences, and the objective of `stage` that compares them."""

    stage: str
    hierarchy: HierarchicalEncoder
    reader: LanguageEncoder
    options: Objective
    objective: JointLoss
    prefix: Tensor | None  # (1, E), what the stage puts in front of every clip's segments
    texts: dict[str, Tensor]  # features of sentences, kept for the objective
    material: Material

    @classmethod
    def load(cls, trained: TrainedRun, material: Material) -> JointSpace:
        """The space of the last finished stage that has one. Raises RunError if none has.

        Pretrained weights are loaded again from where the recipe says. Raises ModelError if they are missing; RunError
        if they are no longer those of training.
        """
        config, name = _stage_with_space(trained)
        options, recipe = config.used_objectives[name], material.recipe
        sources = weight_sources(recipe)
        check_same_sources(sources, trained.run.read_json("run.json").get("weights", {}), where=trained.run.folder)
        model, _ = build_model(material, sources, Silent())
        reader: LanguageEncoder | None = None
        for stage in recipe.lineage(config.name):
            if reader is None and (stage.needs or (stage.adapters and not model.is_adapted)):
                reader = model.hierarchy.language.copied()  # before it gets adapters and learns to read videos
            prepare(model, recipe, stage)
            path = trained.weights_of(stage.name)
            tensors, _ = load_tensors(path)
            load_model(model, tensors, where=str(path))
        assert reader is not None  # the stage itself has needs
        texts: dict[str, Tensor] = {}
        reader = reader.to(best_device()).eval()
        encoder = FrozenTextEncoder(reader) if "text_encoder" in options.needs else None
        inputs = Inputs(vectors=material.vectors, text_features=texts, text_tokens=texts, text_encoder=encoder)
        sizes = Sizes(recipe.temporal.hidden_size, recipe.language.hidden_size, model.vocabulary_size)
        objective = options.build(sizes, inputs)
        assert isinstance(objective, JointLoss)
        load(objective, below(f"objectives.{name}.", tensors), where=f"stage {config.name}")
        objective = objective.to(best_device()).eval()
        hierarchy = model.hierarchy.to(best_device()).eval()
        # that of any of its objectives: all of them read the same features
        prefix = next((t.to(best_device()) for key, t in tensors.items() if key.endswith(".prefix")), None)
        return cls(config.name, hierarchy, reader, options, objective, prefix, texts, material)

    @torch.no_grad()
    def levels(self, batch: ClipBatch) -> Levels:
        """The features of a prepared batch."""
        levels: Levels = self.hierarchy(
            batch.frames, batch.lengths, batch.level, prefix=self.prefix, keypoints=batch.keypoints
        )
        return levels

    @torch.no_grad()
    def features(
        self, levels: Levels, batch: ClipBatch, sentences: Sequence[str]
    ) -> tuple[Tensor | Padded, Tensor | Padded]:
        """Levels of a prepared batch, and a sentence for each of its clips -> what is compared: videos and texts."""
        device, needs = best_device(), self.options.needs
        unread = [text for text in dict.fromkeys(sentences) if text not in self.texts]
        if unread and ("text_features" in needs or "text_tokens" in needs):
            ids = self.material.token_ids(unread)
            self.texts.update(encode(self.reader, unread, ids, pooled="text_features" in needs))
        labels = nn.utils.rnn.pad_sequence(self.material.token_ids(sentences), True, IGNORED).to(device)
        paired = replace(batch, texts=tuple(sentences), labels=labels)
        video, text, *_ = self.objective.features(levels, paired)
        return video, text

    @torch.no_grad()
    def similarities(self, loader: Iterable[ClipBatch]) -> tuple[list[str], Tensor]:
        """Batches of N clips in all -> their sentences, and how similar each video is to each sentence: (N, N)."""
        sentences: list[str] = []
        pairs = []
        for batch in loader:
            prepared = batch.prepared(best_device())
            pairs.append(self.features(self.levels(prepared), prepared, batch.texts))
            sentences += batch.texts
        rows = [[self.objective.similarity(video, text).cpu() for _, text in pairs] for video, _ in pairs]
        return sentences, torch.cat([torch.cat(row, dim=1) for row in rows])


@dataclass(frozen=True)
class Reranker:
    """Translates with a decoder, and of its n best sentences prefers what resembles the video (CSGCR's third step).

    A sentence's score is log-probability / length ** length_penalty + `weight` * similarity; n = decode.num_beams.
    """

    decoder: Decoder
    space: JointSpace
    weight: float

    @torch.no_grad()
    def __call__(self, batch: ClipBatch) -> list[Prediction]:
        """A batch -> the best sentence of each clip, with that score."""
        batch = batch.prepared(best_device())
        number = self.decoder.recipe.decode.num_beams
        lists = self.decoder.hypotheses(batch.frames, batch.lengths, number, batch.level, batch.keypoints)
        levels = self.space.levels(batch)
        scores = torch.empty(len(batch), number)
        for rank in range(number):
            texts = [hypotheses[rank].text for hypotheses in lists]
            similarity = self.space.objective.similarity(*self.space.features(levels, batch, texts))
            scores[:, rank] = self.weight * similarity.diagonal().cpu()
            scores[:, rank] += torch.tensor([hypotheses[rank].score for hypotheses in lists])
        self.space.texts.clear()  # a corpus has more hypotheses than memory holds features of
        best = scores.argmax(dim=1).tolist()
        return [replace(lists[row][rank], score=float(scores[row, rank])) for row, rank in enumerate(best)]


def _stage_with_space(trained: TrainedRun) -> tuple[StageConfig, str]:
    """The last finished stage that compares videos with sentences, and the name of its objective."""
    names = []
    for stage in reversed(trained.recipe.planned):
        for name, options in stage.used_objectives.items():
            if options.compares_sentences:
                names.append(stage.name)
                if trained.run.finisher(stage.name) is not None:
                    return stage, name
    problem = f"stage {names[0]} has not finished" if names else "no stage of its recipe compares videos with sentences"
    remedy = (
        "finish it: glossfree train --resume"
        if names
        else "train one with contrastive, or token_alignment of the text encoder's tokens"
    )
    raise RunError(problem, where=trained.run.folder, remedy=remedy)
