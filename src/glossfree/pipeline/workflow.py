"""The stages of a run, one after another: load those that are finished, train the others, save their weights."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from types import MappingProxyType

import torch
from torch import Tensor

from glossfree.console import Console, size
from glossfree.errors import name_some
from glossfree.models.hierarchy import HierarchicalEncoder, TranslationModel
from glossfree.models.weights import below, load
from glossfree.objectives.base import TEXT_NEEDS, Inputs
from glossfree.pipeline.assemble import load_model, prepare, training_stage
from glossfree.pipeline.decode import Decoder, evaluate_clips
from glossfree.pipeline.material import Material
from glossfree.pipeline.stages import TrainingStage
from glossfree.pipeline.text_features import TEXT_FEATURES, FrozenTextEncoder, text_features_of
from glossfree.recipe.schema import StageConfig
from glossfree.recipe.values import flat
from glossfree.training.device import best_device, compile_layers
from glossfree.training.loop import Plan, precision_of, train
from glossfree.training.processes import Processes
from glossfree.training.run import Run, load_facts, load_tensors, save_tensors
from glossfree.training.stage import Loader
from glossfree.training.status import Planned
from glossfree.training.trackers import Trackers
from glossfree.training.watch import Observe, Watch
from glossfree.video.sampler import explain_dead_workers

SKIPPED = "skipped_clips.json"  # {stage: {clip id: file}}
SHOWN = 20  # of them on the console
# what verbs measured of a run
MEASURED = ("scores.*.json", "predictions.*.jsonl", "localisation.*.json", "retrieval.*.json")


class Workflow:
    """A recipe on a corpus in a run folder.

    `build`: makes a model with the pretrained weights that the recipe names, without adapters. `origins`: the runs
    that finished stages are loaded from instead of trained, by stage. `track`: trackers by name.
    `observe`: see `Watch`.
    """

    def __init__(
        self,
        material: Material,
        build: Callable[[], TranslationModel],
        run: Run,
        console: Console,
        origins: Mapping[str, Run] = MappingProxyType({}),
        track: Sequence[str] = (),
        observe: Observe | None = None,
    ) -> None:
        self.recipe, self.material, self.run, self.console = material.recipe, material, run, console
        self.build, self.origins, self.track, self.observe = build, origins, track, observe
        self.device = best_device()
        self.group = Processes.here()

    def train(self, stages: Sequence[StageConfig], model: TranslationModel | None = None) -> None:
        """Run these stages of the recipe in order; finished ones are loaded, not trained again.

        `model`: the first one, if it was built before.
        """
        if self.group.is_main:
            self.run.clear()
        with self._watch(stages) as watch:
            model = model or self.build()
            inputs: Inputs | None = None
            before: tuple[str, ...] = ()
            for stage in stages:
                parents = self.recipe.parents(stage.name)
                if parents != before:  # it does not continue the stage before it
                    model, inputs = self._rebuilt(parents)
                inputs = self._train(stage, model, inputs, watch)
                before = (*parents, stage.name)

    def _watch(self, stages: Sequence[StageConfig]) -> Watch:
        """What reports on the run; trackers keep the resolved recipe with their curves."""
        trackers = None
        if self.track and self.group.is_main:
            precision = precision_of(self.recipe.training.precision)
            trackers = Trackers.start(self.track, self.run, flat(self.recipe), self.console, precision)
        planned = [Planned(stage.name, stage.epochs, stage.batches) for stage in stages]
        return Watch(self.run, self.console, planned=planned, group=self.group, trackers=trackers, observe=self.observe)

    def _rebuilt(self, parents: Sequence[str]) -> tuple[TranslationModel, Inputs | None]:
        """A new model with the weights that `parents`, all of them finished, have saved."""
        model = self.build()
        inputs: Inputs | None = None
        for name in parents:
            stage = self.recipe.stage(name)
            inputs = self._prepare(stage, model, inputs)
            self._load(stage, model)
        return model, inputs

    def _prepare(self, stage: StageConfig, model: TranslationModel, inputs: Inputs | None) -> Inputs | None:
        """Add the stage's adapters and mapper to the model, and make what objectives need while it is still plain.

        That is before the first stage that needs anything, or that has adapters.
        """
        # new modules get the same weights whether earlier stages were just trained or loaded
        torch.manual_seed(zlib.crc32(f"{self.recipe.seed}/{stage.name}".encode()))
        if inputs is None and (stage.needs or (stage.adapters and not model.is_adapted)):
            inputs = self._inputs(model)
        prepare(model, self.recipe, stage)
        return inputs

    def _inputs(self, model: TranslationModel) -> Inputs:
        """What the objectives of stages that are still to be trained need, by the plain text encoder."""
        due = [stage for stage in self.recipe.planned if self._epochs_done(stage.name)[0] < stage.epochs]
        needs = {need for stage in due for need in stage.needs}
        language = model.hierarchy.language
        if needs & TEXT_NEEDS:
            language.to(self.device)
        text = partial(text_features_of, language, self.material, self.run, self.console)
        return Inputs(
            vectors=self.material.vectors,
            document_frequencies=self.material.document_frequencies() if "document_frequencies" in needs else None,
            text_features=text(pooled=True) if "text_features" in needs else None,
            text_tokens=text(pooled=False) if "text_tokens" in needs else None,
            text_encoder=FrozenTextEncoder(language) if "text_encoder" in needs else None,
            sentence_vectors=self.material.sentence_vectors,
            glosses=None if self.material.gloss_vocabulary is None else self.material.gloss_vocabulary.inventory,
        )

    def _train(
        self, config: StageConfig, model: TranslationModel, inputs: Inputs | None, watch: Watch
    ) -> Inputs | None:
        """Train one stage, or load it if it is finished."""
        name = config.name
        inputs = self._prepare(config, model, inputs)
        done, best = self._epochs_done(name)
        if done:
            self._load(config, model)
            if done >= config.epochs or name in self.origins:
                finished = self._finished(name)
                assert finished is not None
                self.console.say(f"{name}: finished before")
                self.console.detail(f"{name}: weights from {finished.weights(name)}")
                if self.group.is_main:
                    self._tidy(name)  # a run that was killed after saving its weights did not do this
                return inputs
            self.console.say(
                f"{name}: {done} epoch{'s' * (done > 1)} before, continues to {config.epochs} with a new schedule"
            )
        stage = training_stage(model, self.recipe, config, inputs or Inputs())
        stage.move(self.device)
        if self.recipe.training.compile and "vision" in stage.parts():
            compile_layers(stage.parts()["vision"], self.device)
        if done:
            self._load_objectives(stage)
        else:
            self._continue_objectives(stage, config)
        precision = precision_of(self.recipe.training.precision).replace("no", "fp32")
        epochs = f"{config.epochs - done} epoch{'s' * (config.epochs - done > 1)}"
        self.console.say(f"{name}: {epochs}, batches of {config.batch_size}, {precision}")
        trained = list(stage.trained().values())
        memory = size(3 * sum(p.nbytes for p in trained))  # AdamW has two moments
        num_trained, num_parameters = sum(p.numel() for p in trained), _count(stage)
        counts = f"{num_trained:,} of {num_parameters:,} parameters train"
        self.console.detail(f"{name}: {counts}, whose gradients and optimiser take about {memory}")
        with explain_dead_workers(self.material.manifest.folder):
            train_loader, dev_loader = self._loaders(config, model)
            measure = None if dev_loader is None else (lambda: self._dev_scores(model, dev_loader))
            plan = replace(self._plan(config), begin=done, best=best)
            progress = train(stage, train_loader, dev_loader, plan, self.run, self.console, watch, measure)
        if done and config.keep != "last" and not progress.best_epoch:
            self.console.say(f"{name}: no epoch was better than the earlier ones, whose weights are kept")
            self._load(config, model)
            self._load_objectives(stage)
        self.group.wait()  # until all have read what the first process overwrites
        if self.group.is_main:
            self._record_skipped(name, progress.skipped)  # first: a stage that has weights is not trained again
            facts = {"stage": name, "epochs": config.epochs, "best": progress.best_loss}
            facts |= {"trained": num_trained, "parameters": num_parameters}
            save_tensors(self.run.weights(name), stage.result(), facts)
            stale = [path for pattern in MEASURED for path in sorted(self.run.folder.glob(pattern))]
            for path in stale:
                path.unlink(missing_ok=True)
            if stale:
                self.console.say(f"{name}: removed what is of earlier weights: {name_some([p.name for p in stale])}")
            self._tidy(name)
        self.group.wait()
        return inputs

    def _dev_scores(self, model: TranslationModel, loader: Loader) -> dict[str, float]:
        """Translate the dev split as it is now -> its scores, 0-100."""
        model.eval()
        loader.set_epoch(0)
        decoder = Decoder(model, self.material.tokenizer, self.recipe)
        scores = evaluate_clips(decoder, loader, self.material.clips("dev"), self.material.convention).scores
        return {"bleu4": scores.bleu4, "rouge_l": scores.rouge_l, "chrf": scores.chrf}

    def _record_skipped(self, name: str, clips: Sequence[str]) -> None:
        """Warn of the training clips that a stage could not read, and record them in the run."""
        if not clips:
            return
        sources = {clip.id: clip.source(self.material.manifest.folder) for clip in self.material.clips("train")}
        path = self.run.folder / SKIPPED
        known = self.run.read_json(SKIPPED) if path.is_file() else {}
        self.run.write_json(SKIPPED, {**known, name: {clip: str(sources[clip]) for clip in clips}})
        first = ", ".join(clips[:SHOWN]) + (" ..." if len(clips) > SHOWN else "")
        counted = f"{len(clips)} of {len(sources)} training clips could not be read and were left out"
        self.console.warn(f"{name}: {counted}: {first} (all of them in {path})")

    def _tidy(self, name: str) -> None:
        """Remove a finished stage's checkpoints, and text features that no later stage needs."""
        leftovers = [self.run.checkpoint(name, kind) for kind in ("last", "best")]
        due = [stage for stage in self.recipe.planned if self._finished(stage.name) is None]
        for pooled, need in ((True, "text_features"), (False, "text_tokens")):
            if not any(need in stage.needs for stage in due):
                leftovers.append(self.run.folder / TEXT_FEATURES[pooled])
        for leftover in leftovers:
            leftover.unlink(missing_ok=True)

    def _plan(self, config: StageConfig) -> Plan:
        return Plan(
            epochs=config.epochs,
            learning_rate=config.learning_rate,
            weight_decay=config.weight_decay,
            warmup=config.warmup,
            max_grad_norm=config.max_grad_norm,
            seed=self.recipe.seed,
            keep=config.keep,
            optimizer=config.optimizer,
            momentum=config.momentum,
            schedule=config.schedule,
            factors=config.learning_rate_factors,
            precision=self.recipe.training.precision,
            checkpoint_minutes=self.recipe.training.checkpoint_minutes,
        )

    def _loaders(self, config: StageConfig, model: TranslationModel) -> tuple[Loader, Loader | None]:
        """Batches of train and dev for a stage; segment features are computed now."""
        loaders: list[Loader | None] = []
        for split in ("train", "dev"):
            if config.batches != "segments":
                loaders.append(self.material.loader(split, config))
                continue
            video = self.material.clip_loader(split, config.batch_size, may_skip=split == "train")
            if video is None:
                loaders.append(None)
                continue
            features = segment_features(model.hierarchy, video, self.device, self.console, split)
            loaders.append(self.material.feature_loader(split, config, features))
        train_loader, dev_loader = loaders
        assert train_loader is not None  # gather has seen training clips
        return train_loader, dev_loader

    def _load(self, config: StageConfig, model: TranslationModel) -> None:
        """Load a finished stage's weights into the parts of the model that it used."""
        run = self._finished(config.name)
        assert run is not None
        path = run.weights(config.name)
        load_model(model, load_tensors(path)[0], where=str(path))

    def _load_objectives(self, stage: TrainingStage) -> None:
        """Load the objectives' own parameters, as the stage saved them before."""
        path = self.run.weights(stage.name)
        load(stage.objectives, below("objectives.", load_tensors(path)[0]), where=str(path))

    def _continue_objectives(self, stage: TrainingStage, config: StageConfig) -> None:
        """Load the parameters of objectives that continue, as the last stage before this one left them."""
        for name in (name for name, each in config.used_objectives.items() if each.continues):
            for parent in reversed(self.recipe.parents(config.name)):
                if name in self.recipe.stage(parent).used_objectives:
                    run = self._finished(parent)
                    assert run is not None
                    path = run.weights(parent)
                    own = below(f"objectives.{name}.", load_tensors(path)[0])
                    load(stage.objectives[name], own, where=str(path))
                    break

    def _epochs_done(self, name: str) -> tuple[int, float]:
        """The epochs of a finished stage, 0 if it has not finished, and the loss (or -score) of the best one."""
        run = self._finished(name)
        if run is None:
            return 0, math.inf
        facts = load_facts(run.weights(name))
        return int(facts["epochs"]), float(facts["best"])

    def _finished(self, name: str) -> Run | None:
        """The run that has finished a stage: this one, or the one that it started from."""
        runs = (self.run, self.origins.get(name))
        return next((run for run in runs if run is not None and run.weights(name).is_file()), None)


@torch.no_grad()
def segment_features(
    hierarchy: HierarchicalEncoder, loader: Loader, device: torch.device, console: Console, split: str
) -> dict[str, Tensor]:
    """Every clip of a loader -> {id: segment features (S, E)}, in evaluation mode."""
    hierarchy.eval()
    features: dict[str, Tensor] = {}
    with console.progress(f"features of {split}", len(loader)) as advance:
        for batch in (each.prepared(device) for each in loader):
            segments = hierarchy.segments(batch.frames, batch.lengths, batch.level, batch.keypoints)
            rows = segments.values.cpu()
            features |= {
                id: rows[i, :n] for i, (id, n) in enumerate(zip(batch.ids, segments.lengths.tolist(), strict=True))
            }
            advance(1)
    return {clip: rows for part in Processes.here().objects(features) for clip, rows in part.items()}


def _count(stage: TrainingStage) -> int:
    parts = [*stage.parts().values(), stage.objectives]
    return sum(p.numel() for p in {id(p): p for part in parts for p in part.parameters()}.values())
