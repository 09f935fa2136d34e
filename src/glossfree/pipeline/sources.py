"""The pretrained weights that a recipe names -> files here with their hashes, and into the models, with a census."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from glossfree.console import Console
from glossfree.errors import RunError
from glossfree.files.disk import digest
from glossfree.models.translator import TranslationModel
from glossfree.models.weights import Census, weight_files
from glossfree.pipeline.encoders import encoder_files, load_backbone
from glossfree.pipeline.hub import WEIGHTS, folder_of
from glossfree.recipe.schema import Recipe


@dataclass(frozen=True)
class Source:
    """Weights for one role: `name` as the recipe has it, `path` as it is here, `files` {file name: SHA-256}."""

    role: str
    name: str
    path: Path
    files: dict[str, str]


def weight_sources(recipe: Recipe) -> tuple[Source, ...]:
    """Find and hash what the recipe names for vision and for language. Raises ModelError if there is nothing there."""
    named = {"vision": recipe.vision.weights, "language": recipe.language.weights}
    return tuple(_source(role, name) for role, name in named.items() if name)


def load_sources(
    model: TranslationModel,
    recipe: Recipe,
    sources: Sequence[Source],
    kept_ids: Callable[[], Sequence[int]],
    console: Console,
) -> dict[str, dict[str, Any]]:
    """Load the sources into the model, in place, say each census, and return what a run keeps of it, by role.

    Must come before the adapters. `kept_ids`: the rows of the token table to keep, none for all. Raises ModelError.
    """
    load: dict[str, Callable[[Path], Census]] = {
        "vision": lambda path: load_backbone(model.hierarchy.visual.backbone, recipe.vision, path),
        "language": lambda path: recipe.language.load(model.hierarchy.language, path, kept_ids() or None),
    }
    record = {}
    with console.progress("pretrained weights", len(sources)) as advance:
        for source in sources:
            census = load[source.role](source.path)
            console.say(f"{source.name}: {census}")
            record[source.role] = {"source": source.name, "files": source.files, "census": census.counts()}
            advance(1)
    return record


def check_same_sources(sources: Sequence[Source], recorded: Mapping[str, Any], *, where: Path) -> None:
    """Raise RunError for a source whose files have not the hashes that a run, at `where`, recorded for its role."""
    for source in sources:
        files: dict[str, str] = recorded.get(source.role, {}).get("files", source.files)
        if source.files != files:
            odd = sorted(name for name in {*files, *source.files} if files.get(name) != source.files.get(name))
            raise RunError(
                f"{source.name} is not what this run's {source.role} weights came from ({', '.join(odd)} differ)",
                where=where,
                remedy="put back the files whose SHA-256 stand in run.json, or start a new run",
            )


def _source(role: str, name: str) -> Source:
    path = folder_of(name, WEIGHTS)
    files = encoder_files(path) if role == "vision" else weight_files(path)
    return Source(role, name, path, {file.name: digest(file) for file in files})
