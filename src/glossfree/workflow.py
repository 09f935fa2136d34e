"""The stages one after another: build, restore what is finished, train what is not, keep what each leaves behind."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from glossfree.assemble import Parts
from glossfree.config import differences, dump_recipe, load_recipe
from glossfree.device import best_device
from glossfree.errors import RunError
from glossfree.material import Material
from glossfree.models.hierarchy import HierarchicalEncoder
from glossfree.models.translator import TranslationModel
from glossfree.models.weights import load
from glossfree.progress import Console
from glossfree.recipe import Recipe, StageConfig
from glossfree.stages import STAGES, BaseStage, DenoisingStage, PretrainingStage, TranslationStage, objectives
from glossfree.text.pseudo_glosses import PSEUDO_GLOSSES, PseudoGlosses
from glossfree.text.tokenizer import SentenceTokenizer
from glossfree.text_features import TEXT_FEATURES, text_features_of
from glossfree.training.loop import Plan, train
from glossfree.training.processes import Processes
from glossfree.training.run import Run, load_tensors, save_tensors
from glossfree.training.stage import Loader

TOKENIZER = "tokenizer"
# what a run may be resumed with: no number depends on it
MAY_CHANGE = ("data.num_workers", "data.cache_megabytes", "training.checkpoint_minutes")


class Workflow:
    """A recipe on a corpus in a run folder. Weights of finished stages come from `run`, else from `start`.

    `parts`: for this many tokens, with the pretrained weights that the recipe names.
    """

    def __init__(
        self, recipe: Recipe, material: Material, parts: Parts, run: Run, console: Console, start: Run | None = None
    ) -> None:
        self.recipe, self.material, self.run, self.console, self.start = recipe, material, run, console, start
        self.parts = parts
        self.device = best_device()
        self.group = Processes.here()
        self.translation: TranslationModel | None = None

    def train(self, stages: Sequence[str] = STAGES) -> None:
        """Run the stages in order; those with 0 epochs are left out, finished ones are loaded, not trained again."""
        features: dict[str, Tensor] = {}
        for name in stages:
            # new modules start the same whether the stages before were trained just now or loaded from files
            torch.manual_seed(zlib.crc32(f"{self.recipe.seed}/{name}".encode()))
            if name == "pretrain" and self._planned(name) and self._finished(name) is None:
                nn.Module.to(self.parts.mbart, self.device)
                if self.recipe.pretrain.average_padding:  # a sentence's features then depend on its batch
                    self.parts.keep_text_encoder()
                else:
                    features = text_features_of(self.parts, self.material, self.run, self.console)
            if name != "denoise" and not self.parts.trainable:
                self.parts.adapt()
            if not self._planned(name):
                continue
            settings: StageConfig = getattr(self.recipe, name)
            stage = self._build(name, features).to(self.device)
            if self._restore(name, stage):
                continue
            counts = f"{sum(p.numel() for p in stage.trained().values()):,} of {_count(stage):,} parameters train"
            self.console.say(f"{name}: {settings.epochs} epochs, batches of {settings.batch_size}, {counts}")
            train_loader, dev_loader = self._loaders(name, settings)
            train(stage, train_loader, dev_loader, self._plan(settings), self.run, self.console)
            if self.group.is_main:
                self._leave(name, stage)
            self.group.wait()

    def _leave(self, name: str, stage: BaseStage) -> None:
        """Keep the weights of a finished stage, and nothing that was only needed on the way."""
        save_tensors(self.run.weights(name), stage.left_behind(), {"stage": name})
        checkpoints = [self.run.checkpoint(name, kind) for kind in ("last", "best")]
        for leftover in (*checkpoints, self.run.folder / TEXT_FEATURES):
            leftover.unlink(missing_ok=True)

    def _planned(self, name: str) -> bool:
        return bool(getattr(self.recipe, name).epochs)

    def _plan(self, settings: StageConfig) -> Plan:
        return Plan(
            epochs=settings.epochs,
            learning_rate=settings.learning_rate,
            weight_decay=settings.weight_decay,
            warmup=settings.warmup,
            max_grad_norm=settings.max_grad_norm,
            seed=self.recipe.seed,
            keep=settings.keep,
            precision=self.recipe.training.precision,
            checkpoint_minutes=self.recipe.training.checkpoint_minutes,
        )

    def _build(self, name: str, features: dict[str, Tensor]) -> BaseStage:
        """The module of a stage, around the shared parts."""
        material, parts = self.material, self.parts
        if name == "denoise":
            return DenoisingStage(parts.mbart, material.tokenizer.pad_id, self.recipe.denoise.label_smoothing)
        if name == "pretrain":
            pretrain, model = self.recipe.pretrain, parts.pretraining(material.vectors)
            weights = pretrain.pseudo_gloss_weight, pretrain.contrastive_weight
            return PretrainingStage(model, features, *weights, *objectives(pretrain))
        if self.translation is None:
            self.translation = parts.translation()
        parts.thaw()
        settings: StageConfig = getattr(self.recipe, name)
        return TranslationStage(name, self.translation, settings.label_smoothing, name == "finetune1")

    def _loaders(self, name: str, settings: StageConfig) -> tuple[Loader, Loader | None]:
        """Batches of train and dev of a stage."""
        if name == "denoise":
            train_loader, dev_loader = self.material.text_loader("train"), self.material.text_loader("dev")
        else:
            train_loader, dev_loader = self._clip_loaders(settings)
        assert train_loader is not None  # gather has seen training clips
        return train_loader, dev_loader

    def _clip_loaders(self, settings: StageConfig) -> tuple[Loader | None, Loader | None]:
        """Batches of train and dev: from video, or from segment features where the stage lets them be kept."""
        if not settings.cache_features:
            return (
                self.material.clip_loader("train", settings, training=True),
                self.material.clip_loader("dev", settings),
            )
        assert self.translation is not None
        loaders: list[Loader | None] = []
        for split in ("train", "dev"):
            video = self.material.clip_loader(split, settings)
            if video is None:
                loaders.append(None)
                continue
            features = segment_features(self.translation.hierarchy, video, self.device, self.console, split)
            loaders.append(self.material.feature_loader(split, settings, features, training=split == "train"))
        return loaders[0], loaders[1]

    def _restore(self, name: str, stage: BaseStage) -> bool:
        """Load the weights of a stage that is finished."""
        run = self._finished(name)
        if run is None:
            return False
        tensors, _ = load_tensors(run.weights(name))
        load(stage.model, tensors, where=str(run.weights(name)))
        self.console.say(f"{name}: finished before, weights from {run.weights(name)}")
        return True

    def _finished(self, name: str) -> Run | None:
        """The run that has finished a stage: this one or, before fine-tuning, the one that it starts from."""
        runs = (self.run, self.start if name in ("denoise", "pretrain") else None)
        return next((run for run in runs if run is not None and run.weights(name).is_file()), None)


@torch.no_grad()
def segment_features(
    hierarchy: HierarchicalEncoder, loader: Loader, device: torch.device, console: Console, split: str
) -> dict[str, Tensor]:
    """Every clip of a loader -> {id: segment features (S, E)}, in evaluation mode."""
    hierarchy.eval()
    features: dict[str, Tensor] = {}
    with console.progress(f"features of {split}", len(loader)) as advance:
        for batch in (each.to(device) for each in loader):
            segments = hierarchy.segments(batch.frames, batch.lengths, batch.level)
            rows = segments.values.cpu()
            features |= {
                id: rows[i, :n] for i, (id, n) in enumerate(zip(batch.ids, segments.lengths.tolist(), strict=True))
            }
            advance(1)
    return {clip: rows for part in Processes.here().objects(features) for clip, rows in part.items()}


def start_run(folder: Path, recipe: Recipe, material: Material, *, resume: bool, facts: dict[str, object]) -> Run:
    """Make (or reopen) a run folder that holds all that its model needs: recipe, tokenizer, pseudo-glosses.

    Raises RunError as `reopens` does.
    """
    run = Run(folder)
    if not reopens(run, recipe, material, resume=resume):
        material.tokenizer.save(folder / TOKENIZER)
        material.glosses.save(folder / PSEUDO_GLOSSES)
        # the recipe is written last: where one is, all the rest is
        run.start(dump_recipe(recipe), {"corpus": str(material.manifest.folder.resolve()), **facts}, resume=resume)
    return run


def reopens(run: Run, recipe: Recipe, material: Material, *, resume: bool) -> bool:
    """Whether there is a run already, to go on with; nothing is written.

    Raises RunError if there is one that is not to be resumed, or one of another recipe or other sentences.
    """
    if not run.reopens(resume=resume):
        return False
    changed = differences(load_recipe(run.recipe), recipe, apart_from=MAY_CHANGE)
    if changed:
        problem = f"was started with another recipe ({'; '.join(changed)})"
        raise RunError(problem, where=run.recipe, remedy="resume without --set, or start anew")
    mine = SentenceTokenizer.load(run.folder / TOKENIZER), PseudoGlosses.load(run.folder / PSEUDO_GLOSSES)
    if [each.sha256 for each in mine] != [material.tokenizer.sha256, material.glosses.sha256]:
        problem = f"was started with other sentences or pseudo-glosses, from {run.read_json('run.json')['corpus']}"
        raise RunError(problem, where=run.folder, remedy="resume with that corpus as it was, or name another --run")
    return True


def _count(stage: BaseStage) -> int:
    return sum(p.numel() for p in stage.model.parameters())


def require(run: Run, stage: str) -> None:
    """Raise RunError unless `stage` of `run` has finished."""
    if not run.weights(stage).is_file():
        raise RunError(f"stage {stage} has not finished", where=run.folder, remedy="resume it: --resume")
