"""Frame features that a frozen backbone computed once: where they are stored, and whether they fit a run."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from glossfree import __version__
from glossfree.cluster import Cluster, Lost
from glossfree.console import Console, Result
from glossfree.corpora.manifest import Manifest, PackedClip
from glossfree.errors import ClipError, RecipeError, RunError
from glossfree.files.disk import digest
from glossfree.models.hierarchy import TranslationModel, VisualEncoder
from glossfree.models.weights import fingerprint, state
from glossfree.pipeline.assemble import visual_encoder
from glossfree.pipeline.fitting import check_frames
from glossfree.pipeline.material import Material, view_of
from glossfree.pipeline.weights import (
    RECIPE,
    WEIGHTS,
    backbone_tensors,
    encoder_files,
    folder_of,
    is_ours,
    load_backbone,
)
from glossfree.recipe.advice import slow_backbone
from glossfree.recipe.files import load_recipe
from glossfree.recipe.schema import Recipe
from glossfree.training.device import best_device, fast_precisions
from glossfree.training.run import Run
from glossfree.video.dataset import ClipDataset
from glossfree.video.features import FeatureStore, clip_identities, features_key
from glossfree.video.sampler import explain_dead_workers
from glossfree.video.timeline import Sampling

LIGHT = "hfa-phoenix14t-light"
Seen = Iterator[tuple[PackedClip, Tensor | ClipError]]


@dataclass(frozen=True)
class FeaturesReport(Result):
    """What was computed, what was there before, and which clips could not be read."""

    folder: str
    written: int
    kept: int
    bad: tuple[str, ...]
    width: int
    frames_per_second: float

    @property
    def exit_code(self) -> int:
        """1 if a clip could not be read."""
        return int(bool(self.bad))

    def to_text(self) -> str:
        """A line for people, and one for each clip that could not be read."""
        speed = f"{self.frames_per_second:.0f} frames/s"
        lines = [f"{self.folder}: {self.written} clips written, {self.kept} there before, {speed}"]
        return "\n".join([*lines, *(f"not read: {problem}" for problem in self.bad)])


def compute_features(
    corpus: Path,
    encoder: str,
    *,
    console: Console,
    recipe: str | Path | None = None,
    overrides: Sequence[str] = (),
    cluster: Cluster | None = None,
) -> FeaturesReport:
    """Write the features of every clip of a prepared corpus, going on where an earlier call stopped.

    `encoder`: what vision.weights may name; all of it counts as frozen. `recipe`: sizes and crop; by default those of a
    run or model folder of ours, else of the light recipe. With a `cluster`, its workers look at the clips. Raises
    ModelError, RecipeError, CorpusError (full disk).
    """
    source = folder_of(encoder, WEIGHTS)
    chosen = load_recipe(recipe or usual_recipe(source), ["vision.train=none", *overrides])
    for line in slow_backbone(chosen, fast_precisions()):
        console.warn(line)
    manifest = Manifest.load(corpus)
    check_frames(chosen, manifest)
    look = Look(chosen, source, manifest.folder)
    visual = look.visual
    store = store_of(chosen, manifest.folder, visual, encoder)
    about = {
        "encoder": encoder,
        "files": {file.name: digest(file) for file in encoder_files(source)},
        "weights": fingerprint(state(visual.backbone)),
        "width": store.width,
        **{key.partition(".")[2]: content for key, content in deciding_settings(chosen).items()},
        "glossfree": __version__,
    }
    store.begin(about)
    identities = clip_identities(manifest.folder, manifest.clips)
    due = [clip for clip in manifest.clips if not store.has(clip, identities[clip.id])]
    bad: dict[str, str] = {}
    frames, begun = 0, time.perf_counter()
    with explain_dead_workers(manifest.folder), console.progress("features", len(due)) as advance:
        seen = _seen(look, due) if cluster is None else _seen_on(cluster, Look(chosen, source, manifest.folder), due)
        for clip, rows in seen:
            if isinstance(rows, ClipError):
                store.drop(clip)
                bad[clip.id] = str(rows)
            else:
                store.write(clip, rows, identities[clip.id])
                frames += len(rows)
            advance(1)
    store.describe(about, {clip: identities[clip] for clip in bad})
    speed = frames / max(time.perf_counter() - begun, 1e-9)
    written, kept = len(due) - len(bad), len(manifest.clips) - len(due)
    return FeaturesReport(str(store.folder), written, kept, tuple(bad.values()), store.width, speed)


@dataclass(frozen=True)
class Look:
    """A clip of a prepared `folder` -> what the backbone of a recipe, with the weights of `source`, makes of it."""

    recipe: Recipe
    source: Path
    folder: Path

    @cached_property
    def visual(self) -> VisualEncoder:
        """The backbone, loaded where it is first used. Raises ModelError."""
        visual = visual_encoder(self.recipe)
        load_backbone(visual.backbone, self.recipe.vision, self.source)
        return visual.to(best_device()).eval().requires_grad_(False)

    def dataset(self, clips: Sequence[PackedClip]) -> ClipDataset:
        """All frames of some clips, cropped."""
        longest = max((clip.num_frames for clip in clips), default=1)
        return ClipDataset(self.folder, clips, view_of(self.recipe), sampling=Sampling(max_frames=longest))

    @torch.no_grad()
    def rows(self, frames: Tensor) -> Tensor:
        """Frames (T, 3, crop, crop) -> rows (T, W)."""
        return self.visual.look(frames.to(best_device())).float().cpu()

    def __call__(self, clip: PackedClip) -> Tensor | ClipError:
        """The rows (T, W) of a clip, or what stands in the way."""
        (item,) = _one_by_one(self.dataset([clip]))
        return item if isinstance(item, ClipError) else self.rows(item.frames)


def _seen_on(cluster: Cluster, look: Look, clips: Sequence[PackedClip]) -> Seen:
    """Each clip with its rows (T, W), or with the error that stands in the way, as workers of a cluster finish."""
    for number, rows in cluster.map(look, clips, on_gpu=True):
        clip = clips[number]
        yield clip, rows.error(f"clip {clip.id}") if isinstance(rows, Lost) else rows


def _seen(look: Look, clips: Sequence[PackedClip]) -> Seen:
    """Each clip with its rows (T, W), or with the error that stands in the way; decoded beside, by loader processes."""
    dataset, workers = look.dataset(clips), look.recipe.data.num_workers
    # one item a time, in order; errors come as items, and the collating default would not take them
    loader = torch.utils.data.DataLoader(dataset, batch_size=None, num_workers=workers, collate_fn=lambda item: item)
    items = iter(loader) if workers else _one_by_one(dataset)
    for clip, item in zip(clips, items, strict=True):
        yield clip, item if isinstance(item, ClipError) else look.rows(item.frames)


def _one_by_one(dataset: ClipDataset) -> Any:
    """The items of a dataset in this process, a clip that cannot be read as its error."""
    for index in range(len(dataset)):
        try:
            yield dataset[index]
        except ClipError as error:
            yield error


def store_of(recipe: Recipe, corpus: Path, visual: VisualEncoder, encoder: str) -> FeatureStore:
    """Where the features of these weights and this preprocessing lie."""
    key = _key(recipe, state(visual.backbone))
    usual = deciding_settings(load_recipe(usual_recipe(Path(encoder))))
    settings = deciding_settings(recipe)
    changes = [f"--set {name}={value}" for name, value in settings.items() if value != usual.get(name)]
    command = ["glossfree features", shlex.quote(str(corpus)), "--encoder", shlex.quote(encoder), *changes]
    return FeatureStore(corpus, key, recipe.vision.hidden_size, f"make them: {' '.join(command)}")


def _key(recipe: Recipe, tensors: Mapping[str, Tensor]) -> str:
    """The name of the folder with the features of a backbone's tensors."""
    data = recipe.data
    return features_key(fingerprint(tensors), data.frame_size, data.crop_size, *recipe.vision.variant)


def deciding_settings(recipe: Recipe) -> dict[str, object]:
    """The settings, by key, that decide whether weights fit and what they see."""
    data = recipe.data
    sizes = {f"vision.{name}": value for name, value in recipe.vision.sizes().items()}
    return {"data.frame_size": data.frame_size, "data.crop_size": data.crop_size, **sizes}


def usual_recipe(source: Path) -> str | Path:
    """The recipe whose sizes and crop are taken where none is named."""
    return source / RECIPE if is_ours(source) else LIGHT


def check_weights_named(recipe: Recipe) -> None:
    """Raise RecipeError if features of no weights in particular are asked for: no shipped recipe can name them."""
    if recipe.vision.features == "cached" and not recipe.vision.weights:
        raise RecipeError(
            'vision.features is "cached", and vision.weights names no weights',
            where=recipe.name,
            remedy="name those that the features were made with: --set vision.weights=FOLDER",
        )


def stored_features(material: Material, model: TranslationModel, taken: Mapping[str, Run]) -> FeatureStore:
    """The store that a recipe with cached features trains from, made with the backbone that the model has.

    Raises CorpusError: features of a clip are missing, or older than the clip; RunError: the stages `taken` from other
    runs used another backbone, whose weights would replace this one's.
    """
    recipe, visual = material.recipe, model.hierarchy.visual
    encoder = recipe.vision.weights
    store = store_of(recipe, material.manifest.folder, visual, encoder)
    seen = [name for name in taken if recipe.stage(name).batches != "sentences"]
    if seen:
        start = taken[seen[-1]]
        path = start.weights(seen[-1])
        if fingerprint(backbone_tensors(path)) != fingerprint(state(visual.backbone)):
            raise RunError(
                f"its backbone is not that of {encoder}, which the features were made with",
                where=path,
                remedy=f"features of its own: --encoder {start.folder}, then --set vision.weights={start.folder}",
            )
    store.check(material.clips("train"), recipe.data.on_bad_clip)
    store.check(material.clips("dev"))
    return store


def features_of_run(material: Material, weights: Path, splits: Sequence[str]) -> FeatureStore | None:
    """The stored features that the backbone of a stage's `weights` gives; None unless those of all clips of these
    splits are here and up to date."""
    recipe, folder = material.recipe, material.manifest.folder
    key = _key(recipe, backbone_tensors(weights))
    store = FeatureStore(folder, key, recipe.vision.hidden_size, f"make them again: glossfree features {folder}")
    clips = [clip for split in splits for clip in material.manifest.split(split)]
    identities = clip_identities(folder, clips)
    return store if all(store.has(clip, identities[clip.id]) for clip in clips) else None
