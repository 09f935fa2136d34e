"""A run that has trained -> its recipe, corpus, tokenizer, weights and model."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from glossfree.corpora.manifest import Manifest
from glossfree.errors import ModelError, RunError
from glossfree.models.hierarchy import PREFIXES, HierarchicalEncoder, TranslationModel
from glossfree.models.weights import below, load
from glossfree.objectives.gloss_ctc import GlossCtc
from glossfree.objectives.pseudo_gloss import PseudoGloss, PseudoGlossHead
from glossfree.pipeline.assemble import load_model, restored
from glossfree.pipeline.features import features_of_run
from glossfree.pipeline.glosses import Recogniser
from glossfree.pipeline.material import Material, gather
from glossfree.recipe.files import load_recipe
from glossfree.recipe.schema import Recipe, StageConfig
from glossfree.text.glosses import GLOSSES, GlossVocabulary
from glossfree.text.language_model import load_tokenizer
from glossfree.text.pseudo_glosses import PSEUDO_GLOSSES, PseudoGlosses
from glossfree.text.tokenizer import Tokenizer
from glossfree.training.device import best_device
from glossfree.training.run import Run, load_tensors

TOKENIZER = "tokenizer"  # folder of a run and of a model
HEAD = "head."  # in front of the names of a pseudo-gloss head's tensors


@dataclass(frozen=True)
class Scorer:
    """The encoder as `stage` left it, a pseudo-gloss head, and the pseudo-glosses that it scores."""

    stage: str
    hierarchy: HierarchicalEncoder
    head: PseudoGlossHead
    glosses: PseudoGlosses


class TrainedRun:
    """A run folder opened to use what it has trained. Raises RunError if it holds no recipe."""

    def __init__(self, folder: Path) -> None:
        self.run = Run(folder)
        self.recipe = recipe_of(self.run)

    @cached_property
    def tokenizer(self) -> Tokenizer:
        return load_tokenizer(self.run.folder / TOKENIZER)

    def material(self, corpus: Path | None = None, splits: Sequence[str] = ()) -> Material:
        """The corpus that the run was trained on, or another one, as its recipe sees it.

        `splits`: what will be read. If the run trained from stored features, and they are there for all clips of these
        splits, they are read in place of video. Raises RunError if the run's own corpus was moved.
        """
        folder = corpus or Path(str(self._facts().get("corpus")))
        if corpus is None and not os.path.isdir(folder):  # noqa: PTH112 - False for what is no file name, too
            raise RunError(
                f"its corpus {folder} is no longer there",
                where=self.run.folder,
                remedy=f'evaluate --corpus FOLDER; for other verbs, change "corpus" in {self.run.folder}/run.json',
            )
        material = gather(self.recipe, folder, tokenizer=self.tokenizer, to_train=False)
        seeing = self._last_finished(lambda stage: stage.batches != "sentences")
        if splits and seeing is not None and self.recipe.vision.features == "cached":
            run, stage = seeing
            material = replace(material, store=features_of_run(material, run.weights(stage.name), splits))
        return material

    def is_own(self, manifest: Manifest) -> bool:
        """Whether a corpus is the one that the run was trained on: the same folder, or what was moved from there."""
        facts = self._facts()
        folder = Path(str(facts.get("corpus")))
        if os.path.isdir(folder):  # noqa: PTH112
            return folder.resolve() == manifest.folder.resolve()
        return bool(facts.get("profile")) and facts.get("profile") == manifest.corpus.get("profile")

    def kinds(self, manifest: Manifest) -> list[str]:
        """What the names of files of results say of a corpus: nothing of the run's own."""
        return [] if self.is_own(manifest) else [f"corpus-{manifest.folder.resolve().name}"]

    @property
    def last_stage(self) -> str:
        """The last finished stage that translates. Raises RunError if none has finished."""
        for stage in reversed(self._translating):
            if self.run.weights(stage).is_file():
                return stage
        names = ", ".join(self._translating) or "this recipe has none"
        raise RunError(
            f"no stage that learns to translate has finished ({names})",
            where=self.run.folder,
            remedy="resume it, or glossfree train --from this run with a recipe that has one",
        )

    def weights_of(self, stage: str) -> Path:
        """The file of a stage's weights. Raises RunError if no run has finished the stage."""
        run = self.run.finisher(stage)
        if run is None:
            remedy = "restore it, or train it again: glossfree train --resume"
            raise RunError("missing", where=self.run.weights(stage), remedy=remedy)
        return run.weights(stage)

    def missing_weights(self) -> list[str]:
        """What the model lacks because weights are missing: later stages, the pseudo-gloss head."""
        later = self._translating[self._translating.index(self.last_stage) + 1 :]
        lines = [f"stage {', '.join(later)} has not finished: the model is that of {self.last_stage}"] if later else []
        scoring = [
            stage.name
            for stage in self.recipe.lineage(self.last_stage)
            if any(isinstance(objective, PseudoGloss) for objective in stage.used_objectives.values())
        ]
        if scoring and self._head is None:
            lines.append(f"no weights of stage {scoring[-1]}, which scores pseudo-glosses: the model has no timeline")
        return lines

    def tensors(self) -> dict[str, Tensor]:
        """The weights of the last stage, and of the pseudo-gloss head if there is one, its names behind "head.".

        A stage of sentences has only parts of the model: the others are those of the stages before it.
        """
        tensors: dict[str, Tensor] = {}
        for stage in reversed(self.recipe.lineage(self.last_stage)):
            saved, _ = load_tensors(self.weights_of(stage.name))
            known = [part for part in PREFIXES.values() if any(name.startswith(part) for name in tensors)]
            tensors |= {name: t for name, t in saved.items() if not name.startswith(("objectives.", *known))}
            if stage.batches != "sentences":
                break
        return tensors | self.head_tensors()

    def head_tensors(self) -> dict[str, Tensor]:
        """The weights of the pseudo-gloss head, each name behind "head."; {} without a head."""
        if self._head is None:
            return {}
        run, stage, prefix = self._head
        return {HEAD + name: tensor for name, tensor in below(prefix, load_tensors(run.weights(stage))[0]).items()}

    def pseudo_glosses(self) -> PseudoGlosses:
        """What the head scores, from beside its weights: this run's own corpus may have others."""
        run = self.run if self._head is None else self._head[0]
        return PseudoGlosses.load(run.folder / PSEUDO_GLOSSES)

    def scorer(self, stage: str = "") -> Scorer:
        """What scores pseudo-glosses as `stage` left it, on the best device.

        "": the last finished stage that sees video and has a head, its own or an earlier stage's. Raises RunError: no
        such stage, or it has not finished.
        """

        def scores(each: StageConfig) -> bool:
            return each.batches != "sentences" and stage in ("", each.name) and self._head_of(each.name) is not None

        last = self._last_finished(scores)
        if last is None:
            raise RunError(
                f"no finished stage {stage or 'of it'} scores pseudo-glosses",
                where=self.run.folder,
                remedy=f"of {', '.join(each.name for each in self.recipe.planned)}, finish one that has the objective "
                "pseudo_gloss, or comes after it",
            )
        run, config = last
        head_at = self._head_of(config.name)
        assert head_at is not None
        path = run.weights(config.name)
        model = restored(self.recipe, len(self.tokenizer), config.name)
        load_model(model, load_tensors(path)[0], where=str(path))
        head_run, stage_of_head, prefix = head_at
        path = head_run.weights(stage_of_head)
        head = _load_head(self.recipe, below(prefix, load_tensors(path)[0]), path)
        glosses = PseudoGlosses.load(head_run.folder / PSEUDO_GLOSSES)
        device = best_device()
        return Scorer(config.name, model.hierarchy.to(device).eval(), head.to(device).eval(), glosses)

    def model(self) -> tuple[TranslationModel, PseudoGlossHead | None]:
        """The model as its last stage left it, and its pseudo-gloss head if there is one."""
        where = self.run.weights(self.last_stage)
        return load_model_and_head(self.recipe, len(self.tokenizer), self.tensors(), stage=self.last_stage, where=where)

    def recogniser(self) -> Recogniser | None:
        """What recognises glosses in the segments of `model`; None if no head was trained on segments as they are now.

        That is one of the last stage, or of an earlier one if no later stage trained what makes segments.
        """
        for stage in reversed(self.recipe.lineage(self.last_stage)):
            for name, objective in stage.used_objectives.items():
                if isinstance(objective, GlossCtc) and (run := self.run.finisher(stage.name)) is not None:
                    path, vocabulary = run.weights(stage.name), GlossVocabulary.load(run.folder / GLOSSES)
                    head = nn.Linear(self.recipe.language.hidden_size, len(vocabulary) + 1)
                    load(head, below(f"objectives.{name}.head.", load_tensors(path)[0]), where=str(path))
                    return Recogniser(head.to(best_device()), vocabulary, self.recipe.decode.num_beams)
            if stage.batches == "clips" and {"vision", "temporal", "keypoints"}.intersection(stage.train):
                return None
        return None

    @property
    def _translating(self) -> list[str]:
        return [stage.name for stage in self.recipe.planned if self.recipe.translates(stage)]

    @cached_property
    def _head(self) -> tuple[Run, str, str] | None:
        """The pseudo-gloss head of the last stage that translates."""
        return self._head_of(self.last_stage)

    def _head_of(self, name: str) -> tuple[Run, str, str] | None:
        """The run and stage whose weights hold the head, and the prefix of its names; None without a head.

        The run is this one or the one that it started from; the stage is the last one before `name` (or itself) that
        scored pseudo-glosses.
        """
        for stage in reversed(self.recipe.lineage(name)):
            for objective_name, objective in stage.used_objectives.items():
                if isinstance(objective, PseudoGloss) and (run := self.run.finisher(stage.name)) is not None:
                    return run, stage.name, f"objectives.{objective_name}.head."
        return None

    def _last_finished(self, is_wanted: Callable[[StageConfig], bool]) -> tuple[Run, StageConfig] | None:
        """The last finished stage of a kind, and the run that has its weights; None if there is none."""
        finished = (
            (self.run.finisher(stage.name), stage) for stage in reversed(self.recipe.planned) if is_wanted(stage)
        )
        return next(((run, stage) for run, stage in finished if run is not None), None)

    def _facts(self) -> dict[str, Any]:
        return self.run.read_json("run.json")


def recipe_of(run: Run) -> Recipe:
    """The resolved recipe of a run. Raises RunError if there is none."""
    if not run.recipe.is_file():
        raise RunError("no recipe.toml: not a run", where=run.folder, remedy="name the folder given to --run")
    if (run.folder / "model.json").is_file():
        raise RunError("a model, not a run", where=run.folder, remedy="name the run that it was exported from")
    return load_recipe(run.recipe)


def load_model_and_head(
    recipe: Recipe,
    vocabulary_size: int,
    tensors: Mapping[str, Tensor],
    *,
    stage: str | None = None,
    where: Path,
    merged: bool = False,
) -> tuple[TranslationModel, PseudoGlossHead | None]:
    """Tensors of a stage (None: the recipe's last) -> model, and pseudo-gloss head if they hold one.

    `merged`: adapters are merged into these weights. Raises ModelError if they do not belong to the recipe.
    """
    model = restored(recipe, vocabulary_size, stage)
    if merged:
        model.merge_adapters()
    head_tensors = below(HEAD, tensors)
    head = _load_head(recipe, head_tensors, where) if head_tensors else None
    load(model, {name: t for name, t in tensors.items() if not name.startswith(HEAD)}, where=str(where))
    return model, head


def _load_head(recipe: Recipe, tensors: Mapping[str, Tensor], where: Path) -> PseudoGlossHead:
    """The head's tensors by its own names -> the pseudo-gloss head. Raises ModelError as `load_model_and_head`."""
    options = recipe.objective(PseudoGloss)
    if not isinstance(options, PseudoGloss) or "prototypes" not in tensors:
        missing = "prototypes" if isinstance(options, PseudoGloss) else "a recipe that has one"
        remedy = "make the folder again: glossfree export RUN FOLDER"
        raise ModelError(f"a pseudo-gloss head without {missing}", where=where, remedy=remedy)
    head = options.head(recipe.language.hidden_size, torch.ones_like(tensors["prototypes"]))
    load(head, tensors, where=str(where))
    return head
