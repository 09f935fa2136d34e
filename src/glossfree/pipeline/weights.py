"""Pretrained weights that a recipe names: fetched, hashed, loaded into the model and recorded with a census.

A recipe names a file, a folder, or `hub:owner/name`, whose files are fetched once into the hub's own cache. A visual
backbone may also come from a run or an exported model of this project: it is loaded plain, its adapters merged.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from glossfree.console import Console
from glossfree.errors import ModelError, RecipeError, RunError
from glossfree.files.disk import digest
from glossfree.models.adapters import merge_lora
from glossfree.models.choices import Backbone
from glossfree.models.decoders.language_model import LanguageModelDecoding
from glossfree.models.hierarchy import TranslationModel
from glossfree.models.int8 import INT8, from_int8
from glossfree.models.weights import Census, below, load, state, weight_files
from glossfree.pipeline.assemble import adapt_vision, visual_encoder
from glossfree.pipeline.hub import HUB, fetch
from glossfree.recipe.files import load_recipe
from glossfree.recipe.schema import Recipe
from glossfree.text.language_model import LanguageModelTokenizer
from glossfree.training.run import Run, load_facts, load_tensors

RECIPE, MODEL = "recipe.toml", "model.safetensors"
BACKBONE = "hierarchy.visual.backbone."
# Alternatives, the first that a repository has: mBART lies there in both formats, 2.4 GB each.
WEIGHTS = (
    ("model.safetensors", "model.safetensors.index.json", "model-*-of-*.safetensors", "config.json", RECIPE),
    ("pytorch_model.bin", "pytorch_model.bin.index.json", "pytorch_model-*-of-*.bin", "config.json"),
)
TOKENIZER = (
    ("sentencepiece.bpe.model", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"),
    ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"),  # as transformers 5 saves it
)
DATA = (".json", ".toml")  # files that say something of weights
LANGUAGE_MODEL = (  # with its own tokenizer
    (*WEIGHTS[0], "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"),
)


def folder_of(source: str, alternatives: Sequence[Sequence[str]]) -> Path:
    """A folder or file as it is; for `hub:owner/name[@revision]` the folder that its files were fetched into.

    `alternatives` (WEIGHTS, TOKENIZER, LANGUAGE_MODEL): names of the files to fetch, those of the first that a
    repository has; it has one if it has its first file, or another that is neither JSON nor TOML. Raises ModelError
    where there is no such repository, no such file in it or no network; what was fetched before needs none.
    """
    if not source.startswith(HUB):
        return Path(source)
    for patterns in alternatives:
        folder = fetch(source, patterns)
        others = (path for pattern in patterns for path in folder.glob(pattern) if path.suffix not in DATA)
        if (folder / patterns[0]).is_file() or any(others):
            return folder
    expected = " or ".join(patterns[0] for patterns in alternatives)
    raise ModelError(f"has no {expected}", where=source, remedy="name a repository that has")


def with_language_model(recipe: Recipe) -> Recipe:
    """The recipe with what its decoder takes over from the folder of a language model: architecture, special ids.

    Unchanged if it names none. Raises ModelError if the folder lacks a file or has a bad one, RecipeError for a
    recipe that does not fit the model.
    """
    options = recipe.decoder
    if not (isinstance(options, LanguageModelDecoding) and options.weights):
        return recipe
    folder = folder_of(options.weights, LANGUAGE_MODEL)
    tokenizer = LanguageModelTokenizer.load(folder)
    options = options.as_in(folder, tokenizer.start_id, tokenizer.end_id, len(tokenizer))
    recipe = recipe.model_copy(update={"decoder": options})
    for problem in recipe.problems():
        raise RecipeError(problem, where=options.weights, remedy="change the recipe, or name another model")
    return recipe


def is_ours(source: Path) -> bool:
    """Whether this is a run or a model folder of this project."""
    return (source / RECIPE).is_file()


def encoder_files(source: Path) -> list[Path]:
    """The files that hold a backbone's weights. Raises ModelError where there are none."""
    if not is_ours(source):
        return weight_files(source)
    # the last stage that is finished counts, of those that see video
    seeing = [stage.name for stage in reversed(load_recipe(source / RECIPE).planned) if stage.batches != "sentences"]
    for path in (*(Run(source).weights(stage) for stage in seeing), source / MODEL):
        if path.is_file():
            return [path]
    raise ModelError("no stage has finished that sees video", where=source, remedy="train it, or name other weights")


def load_backbone(backbone: nn.Module, options: Backbone, source: Path) -> Census:
    """Weights of a backbone, into a plain one of the same kind and sizes, in place.

    Raises ModelError: missing, damaged, another backbone; RecipeError: foreign files for a backbone that reads none.
    """
    if is_ours(source):
        return load(backbone, _trained(source), where=str(source))
    return options.load(backbone, source)


def backbone_tensors(path: Path) -> dict[str, Tensor]:
    """The weights of a stage that sees video, or of a model -> those of the backbone as it was trained, by name.

    Those of a model in 8 bits are floats again, their adapters merged. Raises ModelError: damaged.
    """
    tensors, _ = load_tensors(path)
    return from_int8(below(BACKBONE, tensors), where=str(path))


def _trained(source: Path) -> dict[str, Tensor]:
    """The backbone of a run or model folder, plain, by name."""
    recipe = load_recipe(source / RECIPE)
    (path,) = encoder_files(source)
    visual, facts = visual_encoder(recipe), load_facts(path)
    stage = facts.get("stage", recipe.planned[-1].name)
    if any(each.adapters for each in recipe.lineage(stage)) and not facts.get(INT8):
        adapt_vision(visual, recipe)
    load(visual.backbone, backbone_tensors(path), where=str(path))
    merge_lora(visual.backbone)
    return state(visual.backbone)


@dataclass(frozen=True)
class Source:
    """Weights for one role: `name` as the recipe has it, `path` as it is here, `files` {file name: SHA-256}."""

    role: str
    name: str
    path: Path
    files: dict[str, str]


def weight_sources(recipe: Recipe) -> tuple[Source, ...]:
    """Find and hash what the recipe names for vision, language and decoder.

    Raises ModelError if there is nothing there, RecipeError for a run or model with stronger supervision than the
    recipe says.
    """
    vision, language, decoder = recipe.vision.weights, recipe.language.weights, recipe.decoder.source()
    named = {"vision": vision, "language": language, "decoder": decoder}
    sources = tuple(_source(role, name) for role, name in named.items() if name)
    for source in sources:
        if is_ours(source.path) and recipe.was_given_less_than(theirs := load_recipe(source.path / RECIPE)):
            problem = f'was trained with supervision = "{theirs.supervision}"; the recipe says "{recipe.supervision}"'
            remedy = f"name other weights, or say it: --set supervision={theirs.supervision}"
            raise RecipeError(problem, where=f"{source.role}.weights: {source.name}", remedy=remedy)
    return sources


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
        "decoder": lambda path: recipe.decoder.load(model.decoder, path, kept_ids() or None),
    }
    if not sources:
        return {}
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
