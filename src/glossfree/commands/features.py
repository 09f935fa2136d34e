"""`features`: every frame of a prepared corpus, seen once by a frozen backbone, for many runs to train from."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from glossfree import __version__
from glossfree.assemble import Parts, visual_encoder
from glossfree.config import load_recipe
from glossfree.corpora.manifest import Manifest, PackedClip
from glossfree.device import best_device
from glossfree.encoders import RECIPE, encoder_files, is_ours, load_backbone
from glossfree.errors import ClipError, RecipeError
from glossfree.hub import WEIGHTS, folder_of
from glossfree.material import Material, check_frame_size, view_of
from glossfree.models.vision import VisualEncoder
from glossfree.models.weights import digest, fingerprint, state
from glossfree.progress import Console
from glossfree.recipe import Recipe
from glossfree.video.dataset import ClipDataset
from glossfree.video.features import FeatureStore, features_key, stamps
from glossfree.video.sampler import dead_workers_explained

LIGHT = "hfa-phoenix14t-light"


@dataclass(frozen=True)
class FeaturesReport:
    """What was computed, what was there before, and which clips could not be read."""

    folder: str
    written: int
    kept: int
    bad: tuple[str, ...]
    width: int
    frames_per_second: float

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    def to_text(self) -> str:
        """A line for people, and one for each clip that could not be read."""
        speed = f"{self.frames_per_second:.0f} frames/s"
        lines = [f"{self.folder}: {self.written} clips written, {self.kept} there before, {speed}"]
        return "\n".join([*lines, *(f"not read: {problem}" for problem in self.bad)])


def features(
    corpus: Path, encoder: str, *, console: Console, recipe: str | Path | None = None, overrides: Sequence[str] = ()
) -> FeaturesReport:
    """Write the features of every clip of a prepared corpus, going on where an earlier call stopped.

    `encoder`: what vision.weights may name. `recipe`: sizes and crop; by default those of a run or model folder of
    ours, else of the light recipe. Raises ModelError, RecipeError, CorpusError (full disk).
    """
    source = folder_of(encoder, WEIGHTS)
    chosen = load_recipe(recipe or (source / RECIPE if is_ours(source) else LIGHT), overrides)
    manifest = Manifest.load(corpus)
    check_frame_size(chosen, manifest)
    visual = visual_encoder(chosen)
    load_backbone(visual.backbone, source)
    store = store_of(chosen, manifest.folder, visual, encoder)
    store.describe(
        {
            "encoder": encoder,
            "files": {file.name: digest(file) for file in encoder_files(source)},
            "backbone": chosen.vision.backbone,
            "weights": fingerprint(state(visual.backbone)),
            "width": chosen.vision.hidden_size,
            "frame_size": chosen.data.frame_size,
            "crop_size": chosen.data.crop_size,
            "glossfree": __version__,
        }
    )
    marks = stamps(manifest.folder, manifest.clips)
    due = [clip for clip in manifest.clips if not store.has(clip, marks[clip.id])]
    bad, frames, begun = [], 0, time.perf_counter()
    with dead_workers_explained(manifest.folder), console.progress("features", len(due)) as advance:
        for clip, rows in _seen(chosen, manifest, due, visual):
            if isinstance(rows, ClipError):
                bad.append(str(rows))
            else:
                store.write(clip, rows, marks[clip.id])
                frames += len(rows)
            advance(1)
    speed = frames / max(time.perf_counter() - begun, 1e-9)
    written, kept = len(due) - len(bad), len(manifest.clips) - len(due)
    return FeaturesReport(str(store.folder), written, kept, tuple(bad), chosen.vision.hidden_size, speed)


def _seen(recipe: Recipe, manifest: Manifest, clips: Sequence[PackedClip], visual: VisualEncoder) -> Any:
    """Each clip with its rows (T, W), or with the error that stands in the way; decoded beside, by loader processes."""
    device, longest = best_device(), max((clip.num_frames for clip in clips), default=1)
    dataset = ClipDataset(manifest.folder, clips, view_of(recipe), max_frames=longest)
    # one item a time, in order; errors come as items, and the collating default would not take them
    loader = torch.utils.data.DataLoader(
        dataset, batch_size=None, num_workers=recipe.data.num_workers, collate_fn=lambda item: item
    )
    visual.to(device).eval()
    items = iter(loader) if recipe.data.num_workers else _one_by_one(dataset)
    with torch.no_grad():
        for clip, item in zip(clips, items, strict=True):
            yield clip, item if isinstance(item, ClipError) else visual.look(item.frames.to(device)).float().cpu()


def _one_by_one(dataset: ClipDataset) -> Any:
    """The items of a dataset in this process, a clip that cannot be read as its error."""
    for index in range(len(dataset)):
        try:
            yield dataset[index]
        except ClipError as error:
            yield error


def store_of(recipe: Recipe, corpus: Path, visual: VisualEncoder, encoder: str) -> FeatureStore:
    """Where the features of these weights and this preprocessing lie."""
    weights = fingerprint(state(visual.backbone))
    key = features_key(weights, recipe.data.frame_size, recipe.data.crop_size)
    return FeatureStore(corpus, key, f"make them: glossfree features {corpus} --encoder {encoder}")


def stored_features(recipe: Recipe, material: Material, parts: Parts) -> FeatureStore:
    """The store that a recipe with cached features trains from. Raises RecipeError: no weights named; CorpusError:
    features of a clip that are missing, or older than the clip."""
    if not recipe.vision.weights:
        raise RecipeError(
            'vision.features is "cached", and vision.weights names no weights',
            where=recipe.name,
            remedy="name those that the features were made with: --set vision.weights=FOLDER",
        )
    store = store_of(recipe, material.manifest.folder, parts.visual, recipe.vision.weights)
    store.check([*material.clips("train"), *material.clips("dev")])
    return store
