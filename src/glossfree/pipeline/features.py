"""Frame features that a frozen backbone computed once: where they are stored, and whether they fit a run."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from glossfree.errors import RecipeError, RunError
from glossfree.models.hierarchy import TranslationModel, VisualEncoder
from glossfree.models.weights import fingerprint, state
from glossfree.pipeline.material import Material
from glossfree.pipeline.weights import RECIPE, backbone_tensors, is_ours
from glossfree.recipe.files import load_recipe
from glossfree.recipe.schema import Recipe
from glossfree.training.run import Run
from glossfree.video.features import FeatureStore, features_key

LIGHT = "hfa-phoenix14t-light"


def store_of(recipe: Recipe, corpus: Path, visual: VisualEncoder, encoder: str) -> FeatureStore:
    """Where the features of these weights and this preprocessing lie."""
    weights = fingerprint(state(visual.backbone))
    key = features_key(weights, recipe.data.frame_size, recipe.data.crop_size)
    usual = deciding_settings(load_recipe(usual_recipe(Path(encoder))))
    settings = deciding_settings(recipe)
    changes = [f"--set {name}={value}" for name, value in settings.items() if value != usual.get(name)]
    command = ["glossfree features", shlex.quote(str(corpus)), "--encoder", shlex.quote(encoder), *changes]
    return FeatureStore(corpus, key, recipe.vision.hidden_size, f"make them: {' '.join(command)}")


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


def stored_features(
    material: Material, model: TranslationModel, start: Run | None = None, taken: Sequence[str] = ()
) -> FeatureStore:
    """The store that a recipe with cached features trains from, made with the backbone that the model has.

    Raises CorpusError: features of a clip are missing, or older than the clip; RunError: the stages `taken` from the
    run `start` used another backbone, whose weights would replace this one's.
    """
    recipe, visual = material.recipe, model.hierarchy.visual
    encoder = recipe.vision.weights
    store = store_of(recipe, material.manifest.folder, visual, encoder)
    seen = [name for name in taken if recipe.stage(name).batches != "sentences"]
    if start is not None and seen:
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
