"""The stages one after another: build, restore what is finished, train what is not, keep what each leaves behind."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from glossfree.assemble import Parts
from glossfree.config import differences, dump_recipe, flat, load_recipe
from glossfree.device import best_device
from glossfree.errors import RunError
from glossfree.material import Material, with_rate
from glossfree.models.hierarchy import HierarchicalEncoder
from glossfree.models.translator import TranslationModel
from glossfree.models.weights import load
from glossfree.progress import Console
from glossfree.recipe import Recipe, StageConfig
from glossfree.stages import STAGES, BaseStage, DenoisingStage, PretrainingStage, TranslationStage, objectives
from glossfree.text.pseudo_glosses import PSEUDO_GLOSSES, PseudoGlosses
from glossfree.text.tokenizer import SentenceTokenizer
from glossfree.text_features import TEXT_FEATURES, text_features_of
from glossfree.training.loop import Plan, precision_of, train
from glossfree.training.processes import Processes
from glossfree.training.run import Run, load_tensors, save_tensors
from glossfree.training.stage import Loader
from glossfree.training.status import Planned
from glossfree.training.trackers import Trackers
from glossfree.training.watch import Watch
from glossfree.video.sampler import dead_workers_explained

TOKENIZER = "tokenizer"
SKIPPED = "skipped_clips.json"  # {stage: {clip id: file}}
SHOWN = 20  # of them on the console
# what a run may be resumed with: no number depends on it
MAY_CHANGE = ("data.num_workers", "data.cache_megabytes", "training.checkpoint_minutes")


class Workflow:
    """A recipe on a corpus in a run folder. Weights of finished stages come from `run`, else from `start`.

    `parts`: for this many tokens, with the pretrained weights that the recipe names. `track`: trackers by name.
    """

    def __init__(
        self,
        recipe: Recipe,
        material: Material,
        parts: Parts,
        run: Run,
        console: Console,
        start: Run | None = None,
        track: Sequence[str] = (),
    ) -> None:
        self.recipe, self.material, self.run, self.console, self.start = recipe, material, run, console, start
        self.parts, self.track = parts, track
        self.device = best_device()
        self.group = Processes.here()
        self.translation: TranslationModel | None = None

    def train(self, stages: Sequence[str] = STAGES) -> None:
        """Run the stages in order; those with 0 epochs are left out, finished ones are loaded, not trained again."""
        if self.group.is_main:
            self.run.clear()
        with self._watch(stages) as watch:
            self._train(stages, watch)

    def _watch(self, stages: Sequence[str]) -> Watch:
        """What tells how the run goes; trackers have the resolved recipe beside their curves."""
        planned = [Planned(name, getattr(self.recipe, name).epochs, self._kind(name)) for name in stages]
        trackers = None
        if self.track and self.group.is_main:
            precision = precision_of(self.recipe.training.precision)
            trackers = Trackers.start(self.track, self.run, flat(self.recipe), self.console, precision)
        told = [stage for stage in planned if stage.epochs]
        return Watch(self.run, self.console, planned=told, group=self.group, trackers=trackers)

    def _kind(self, name: str) -> str:
        """What the batches of a stage are: an epoch of one kind tells how long another's may take."""
        if name == "denoise":
            return "sentences"
        return "segments" if getattr(self.recipe, name).cache_features else "clips"

    def _train(self, stages: Sequence[str], watch: Watch) -> None:
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
            precision = precision_of(self.recipe.training.precision).replace("no", "fp32")
            begins = f"{name}: {settings.epochs} epochs, batches of {settings.batch_size}, {precision}"
            self.console.say(f"{begins}, {counts}")
            with dead_workers_explained(self.material.manifest.folder):
                train_loader, dev_loader = self._loaders(name, settings)
                done = train(stage, train_loader, dev_loader, self._plan(settings), self.run, self.console, watch)
            if self.group.is_main:
                self._name_skipped(name, done.skipped)
                save_tensors(self.run.weights(name), stage.left_behind(), {"stage": name})
                self._tidy(name)
            self.group.wait()

    def _name_skipped(self, name: str, clips: Sequence[str]) -> None:
        """Say which training clips a stage has left out, and keep it in the run."""
        if not clips:
            return
        files = {clip.id: clip.file for clip in self.material.clips("train")}
        path, folder = self.run.folder / SKIPPED, self.material.manifest.folder
        known = self.run.read_json(SKIPPED) if path.is_file() else {}
        self.run.write_json(SKIPPED, {**known, name: {clip: str(folder / files[clip]) for clip in clips}})
        first = ", ".join(clips[:SHOWN]) + (" ..." if len(clips) > SHOWN else "")
        counted = f"{len(clips)} of {len(files)} training clips could not be read and were left out"
        self.console.say(f"{name}: {counted}: {first} (all of them in {path})")

    def _tidy(self, name: str) -> None:
        """Remove what a finished stage only needed on the way."""
        leftovers = [self.run.checkpoint(name, kind) for kind in ("last", "best")]
        for leftover in (*leftovers, *([] if name == "denoise" else [self.run.folder / TEXT_FEATURES])):
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
            video = self.material.clip_loader(split, settings, may_skip=split == "train")
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
        if self.group.is_main:
            self._tidy(name)  # a run that was killed just behind its weights has not come to it
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
    # runs of 0.1.0 do not say their rate
    earlier, now = (with_rate(each, material.manifest) for each in (load_recipe(run.recipe), recipe))
    changed = differences(earlier, now, apart_from=MAY_CHANGE)
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
