"""A recipe, seeds and a grid of values -> the cells of a sweep, each with a recipe and a name of its own."""

from __future__ import annotations

import hashlib
import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from glossfree.errors import RecipeError
from glossfree.recipe.files import load_recipe
from glossfree.recipe.schema import Recipe
from glossfree.recipe.values import flat

LONGEST_NAME = 120  # letters; a file system takes 255


@dataclass(frozen=True)
class Cell:
    """One run of a sweep. `point`: the values of the grid that it has, by dotted key."""

    point: dict[str, Any]
    seed: int
    recipe: Recipe

    @property
    def name(self) -> str:
        """What its folder is called: readable, the same for the same values, fit for any file system."""
        return named([*self.point.items(), ("seed", self.seed)])


def cells_of(source: str | Path, overrides: Sequence[str], seeds: Sequence[int], grid: Sequence[str]) -> list[Cell]:
    """Every seed at every point of the grid, in the order given, the last key's values and then the seeds fastest.

    `grid`: `section.key=a,b,c`. Raises RecipeError: a value that no recipe takes, a key or a point that comes twice.
    """
    keys, texts = zip(*(values_of(line) for line in grid), strict=True) if grid else ((), ())
    if len(set(keys)) < len(keys):
        raise RecipeError("a key twice", where="--grid", remedy="write all its values in one: section.key=a,b,c")
    fixed = {override.partition("=")[0].strip() for override in overrides}
    for key in sorted(fixed & set(keys)):
        raise RecipeError("in --set and in --grid", where=key, remedy="leave one of the two out")
    if "seed" in fixed | set(keys):
        raise RecipeError("given in two ways", where="seed", remedy="--seeds says it")
    if len(set(seeds)) < len(seeds) or not seeds:
        raise RecipeError("needs seeds that differ", where="--seeds", remedy="as in --seeds 0,42,100")
    cells: list[Cell] = []
    for values in itertools.product(*texts):
        chosen = [f"{key}={text}" for key, text in zip(keys, values, strict=True)]
        recipe = load_recipe(source, [*overrides, *chosen])
        held = flat(recipe)
        if tables := [key for key in keys if key not in held]:
            raise RecipeError("a table, not a value", where=f"--grid {tables[0]}", remedy="name one of its keys")
        point = {key: held[key] for key in keys}
        if any(point == cell.point for cell in cells):
            raise RecipeError(f"{', '.join(chosen)} comes twice", where="--grid", remedy="name each value once")
        cells += [Cell(point, seed, load_recipe(source, [*overrides, *chosen, f"seed={seed}"])) for seed in seeds]
    return cells


def values_of(line: str) -> tuple[str, list[str]]:
    """`section.key=a,b,c` -> the key and its values; commas within brackets and quotes divide nothing."""
    key, separator, text = line.partition("=")
    if not separator or not key.strip():
        raise RecipeError("no key and values", where=f"--grid {line}", remedy="write section.key=a,b,c")
    values, depth, quote = [""], 0, ""
    for letter in text:
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "\"'":
            quote = letter
        depth += (letter in "[{") - (letter in "]}") if not quote else 0
        if letter == "," and not depth and not quote:
            values.append("")
        else:
            values[-1] += letter
    return key.strip(), [value.strip() for value in values]


def seeds_of(text: str) -> list[int]:
    """`0,42,100` -> the numbers. Raises RecipeError."""
    try:
        return [int(word) for word in text.split(",")]
    except ValueError as error:
        raise RecipeError("not whole numbers", where=f"--seeds {text}", remedy="as in --seeds 0,42,100") from error


def shown(value: Any) -> str:
    """A value of a recipe, in a name or a table."""
    if isinstance(value, tuple | list):
        return "+".join(map(shown, value))
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        value = int(value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def named(values: Sequence[tuple[str, Any]]) -> str:
    """Keys and values -> the name of a folder; what does not fit into one is told apart by a hash."""
    whole = ",".join(f"{key}={shown(value)}" for key, value in values)
    fitting = re.sub(r"[^\w.,=+-]+", "_", whole)
    if fitting == whole and len(whole) <= LONGEST_NAME:
        return whole
    return f"{fitting[:LONGEST_NAME]}-{hashlib.sha256(whole.encode()).hexdigest()[:6]}"
