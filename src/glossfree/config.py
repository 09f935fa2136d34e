"""Recipes as files: TOML that holds only differences from the paper, overrides, checks, and the whole written out.

What a recipe holds, with meaning and standing of every value, is in `glossfree.recipe`. Loading reports all problems
at once, before anything is built.
"""

from __future__ import annotations

import difflib
import json
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from glossfree.errors import RecipeError
from glossfree.recipe import Recipe


def recipes_folder() -> Path:
    """Where the shipped recipes lie: inside the installed package, or at the root of a checkout."""
    packaged = Path(__file__).parent / "recipes"
    return packaged if packaged.is_dir() else Path(__file__).parents[2] / "recipes"


def load_recipe(source: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """A path to a TOML file, or the name of a shipped recipe, with `section.key=value` overrides -> Recipe.

    Raises RecipeError listing every problem at once; unknown keys come with the nearest spelling.
    """
    path = Path(source)
    if not path.is_file():
        path = recipes_folder() / f"{source}.toml"
    if not path.is_file():
        shipped = sorted(file.stem for file in recipes_folder().glob("*.toml"))
        raise RecipeError("no such recipe", where=str(source), remedy=f"a TOML file, or one of {shipped}")
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"not TOML ({error})", where=path, remedy="mend that line") from error
    for override in overrides:
        _apply(tables, override)
    return parse_recipe(tables, where=str(path))


def parse_recipe(tables: dict[str, Any], where: str = "recipe") -> Recipe:
    """Nested tables -> Recipe. Raises RecipeError with all problems."""
    try:
        recipe = Recipe.model_validate(tables)
    except ValidationError as error:
        problems = [_explain(item["loc"], item["type"], item["msg"]) for item in error.errors()]
        raise RecipeError("; ".join(problems), where=where, remedy="see docs/paper.md for every key") from error
    problems = list(_contradictions(recipe))
    if problems:
        raise RecipeError("; ".join(problems), where=where, remedy="change one of the two")
    return recipe


def _apply(tables: dict[str, Any], override: str) -> None:
    """One `section.key=value`, the value read as TOML where it is TOML, else as a string."""
    key, separator, text = override.partition("=")
    if not separator:
        raise RecipeError("no '=' in it", where=f"--set {override}", remedy="write section.key=value")
    try:
        parsed = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        parsed = text
    *sections, last = key.strip().split(".")
    table = tables
    for section in sections:
        table = table.setdefault(section, {})
        if not isinstance(table, dict):
            raise RecipeError(f"{section!r} is not a table", where=f"--set {override}", remedy="see docs/paper.md")
    table[last] = parsed


def _explain(location: tuple[int | str, ...], kind: str, message: str) -> str:
    key = ".".join(map(str, location))
    if kind != "extra_forbidden":
        return f"{key}: {message}"
    near = difflib.get_close_matches(key, list(fields()), n=1, cutoff=0.5)
    return f"unknown key {key!r}" + (f", did you mean {near[0]!r}?" if near else "")


def fields(model: type[BaseModel] = Recipe, prefix: str = "") -> Iterator[str]:
    """Every key of a recipe, dotted."""
    for name, info in model.model_fields.items():
        if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel):
            yield from fields(info.annotation, f"{prefix}{name}.")
        else:
            yield prefix + name


def _contradictions(recipe: Recipe) -> Iterator[str]:
    """What is wrong between fields that are fine alone."""
    for name in ("vision", "temporal", "language"):
        section = getattr(recipe, name)
        if section.hidden_size % section.num_heads:
            yield f"{name}.hidden_size {section.hidden_size} is not a multiple of {name}.num_heads {section.num_heads}"
    if recipe.data.crop_size > recipe.data.frame_size:
        yield f"data.crop_size {recipe.data.crop_size} exceeds data.frame_size {recipe.data.frame_size}"
    if recipe.data.crop_size % recipe.vision.patch_size:
        yield f"data.crop_size {recipe.data.crop_size} is no multiple of vision.patch_size {recipe.vision.patch_size}"
    if recipe.vision.adapter_layers > recipe.vision.num_layers:
        yield "vision.adapter_layers exceeds vision.num_layers"
    if recipe.temporal.window_size % 2 == 0:
        yield "temporal.window_size must be odd: as many neighbours on either side"
    if recipe.temporal.downsample_after > recipe.temporal.num_layers:
        yield "temporal.downsample_after exceeds temporal.num_layers"
    if recipe.vision.features == "cached":
        if recipe.vision.train != "none":
            yield f'vision.features "cached" needs vision.train = "none", not "{recipe.vision.train}"'
        for name in ("pretrain", "finetune1", "finetune2"):
            stage = getattr(recipe, name)
            if stage.epochs and stage.augment:
                yield f'vision.features "cached" needs {name}.augment = false: frames were seen once'
    if recipe.language.weights and not recipe.text.tokenizer:
        yield "language.weights needs text.tokenizer: each row of its token table belongs to a piece"
    if recipe.pretrain.epochs and recipe.pretrain.batch_size == 1:
        yield "pretrain.batch_size 1 has no negatives: eq 4 would be 0"
    for name in ("pretrain", "finetune2"):
        if getattr(recipe, name).cache_features:
            yield f"{name}.cache_features: the visual encoder trains in that stage, nothing can be cached"
    if recipe.finetune1.cache_features and recipe.finetune1.augment:
        yield "finetune1.cache_features needs finetune1.augment = false: cached frames cannot change between epochs"


def differences(old: Recipe, new: Recipe, *, apart_from: Sequence[str] = ()) -> list[str]:
    """Each key that two recipes differ in, as "section.key: old, now new"."""
    found = []
    for key in fields():
        *sections, name = key.split(".")
        before, after = (getattr(getattr(recipe, sections[0]) if sections else recipe, name) for recipe in (old, new))
        if before != after and key not in apart_from:
            found.append(f"{key}: {_toml(before)}, now {_toml(after)}")
    return found


def flat(recipe: Recipe) -> dict[str, Any]:
    """Every value of a recipe by its dotted key."""
    found: dict[str, Any] = {}
    for name, section in recipe.model_dump().items():
        values = section if isinstance(section, dict) else {"": section}
        found |= {f"{name}.{key}".rstrip("."): item for key, item in values.items()}
    return found


def dump_recipe(recipe: Recipe) -> str:
    """The whole recipe as TOML, every value written out: itself runnable."""
    top: list[str] = []
    tables: list[str] = []
    for name, section in recipe.model_dump().items():
        if isinstance(section, dict):
            tables.append("\n".join([f"[{name}]", *(f"{key} = {_toml(item)}" for key, item in section.items())]))
        else:
            top.append(f"{name} = {_toml(section)}")
    return "\n".join(top) + "\n\n" + "\n\n".join(tables) + "\n"


def _toml(item: Any) -> str:
    if isinstance(item, bool):
        return "true" if item else "false"
    if isinstance(item, str):
        return json.dumps(item, ensure_ascii=False)  # its escapes are all TOML's
    if isinstance(item, tuple):
        return f"[{', '.join(map(_toml, item))}]"
    return repr(item)
