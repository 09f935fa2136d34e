"""A recipe and a prepared corpus: what the recipe asks of the corpus, and what it leaves to it."""

from __future__ import annotations

from dataclasses import replace

from glossfree.corpora.manifest import Manifest
from glossfree.errors import CorpusError, RecipeError
from glossfree.languages import profile_of
from glossfree.recipe.schema import Recipe
from glossfree.video.timeline import mixed_rates, usual_rate


def check_frames(recipe: Recipe, manifest: Manifest) -> None:
    """Raise RecipeError unless the corpus was packed with the frame size and fit of the recipe."""
    fit = manifest.corpus.get("fit", "stretch")
    if fit != recipe.data.fit:
        raise RecipeError(
            f"data.fit is {recipe.data.fit}, the corpus was packed with {fit}",
            where=manifest.folder,
            remedy=f"prepare it again with --fit {recipe.data.fit}, or --set data.fit={fit}",
        )
    data, patch = recipe.data, recipe.vision.patch_size
    size = manifest.corpus.get("frame_size", data.frame_size)
    if size != data.frame_size:
        settings = f"--set data.frame_size={size}"
        if data.crop_size > size:  # in the recipe's proportion, in whole patches
            crop = max(1, size * data.crop_size // data.frame_size // patch) * patch
            settings += f" --set data.crop_size={crop}"
        raise RecipeError(
            f"data.frame_size is {data.frame_size}, the corpus was packed at {size}",
            where=manifest.folder,
            remedy=f"prepare it again with --frame-size {data.frame_size}, or {settings}",
        )


def corpus_of(recipe: Recipe, manifest: Manifest) -> Manifest:
    """A corpus without the training clips that data.train_clips leaves out."""
    count = recipe.data.train_clips
    kept = {clip.id for clip in [clip for clip in manifest if clip.split == "train"][: count or None]}
    return replace(manifest, clips=tuple(clip for clip in manifest if clip.split != "train" or clip.id in kept))


def language_of(recipe: Recipe, manifest: Manifest) -> str:
    """What the tokenizer calls the language: text.language or, if it is empty, the code of the corpus's."""
    return recipe.text.language or profile_of(manifest.language).token


def for_corpus(recipe: Recipe, manifest: Manifest) -> Recipe:
    """The recipe with what it leaves to the corpus: data.fps, if it is 0, and text.language, if it is empty.

    Raises CorpusError if the corpus has several rates, or names no language.
    """
    text = recipe.text.model_copy(update={"language": language_of(recipe, manifest)})
    recipe = recipe.model_copy(update={"text": text})
    if recipe.data.fps:
        return recipe
    usual = usual_rate(manifest.clips)
    if problem := mixed_rates(manifest.clips):
        raise CorpusError(
            problem,
            where=manifest.folder,
            remedy=f"--set data.fps={usual:g} resamples them, or pack them with: glossfree prepare --fps {usual:g}",
        )
    return recipe.model_copy(update={"data": recipe.data.model_copy(update={"fps": usual})})
