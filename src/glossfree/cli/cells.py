"""A recipe, seeds and a grid of values -> the cells of a sweep, each with its own recipe, name and commands."""

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

LONGEST_NAME = 120  # characters; a file system takes 255


@dataclass(frozen=True)
class Cell:
    """One run of a sweep. `point`: its grid values by dotted key; `changes`: all its --set options."""

    point: dict[str, Any]
    seed: int
    recipe: Recipe
    changes: tuple[str, ...]

    @property
    def name(self) -> str:
        """The name of its folder: readable, valid on any file system, equal for equal values."""
        return folder_name([*self.point.items(), ("seed", self.seed)])

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"name": self.name, "point": self.point, "seed": self.seed}


def cells_of(source: str | Path, overrides: Sequence[str], seeds: Sequence[int], grid: Sequence[str]) -> list[Cell]:
    """Every seed at every point of the grid, in the order of the arguments; seeds vary fastest, then the last key.

    `grid`: lines of `section.key=a,b,c`. Raises RecipeError: an invalid value, a key or a point twice.
    """
    keys, texts = zip(*map(parse_grid, grid), strict=True) if grid else ((), ())
    fixed = ["seed", *{override.partition("=")[0].strip() for override in overrides}, *keys]
    if duplicates := [key for key in fixed if fixed.count(key) > 1]:
        raise RecipeError("set twice", where=duplicates[0], remedy="keep one of --seeds, --set and --grid key=a,b,c")
    if len(set(seeds)) < len(seeds) or not seeds:
        raise RecipeError("needs seeds that differ", where="--seeds", remedy="as in --seeds 0,42,100")
    cells: list[Cell] = []
    for values in itertools.product(*texts):
        changes = (*overrides, *(f"{key}={text}" for key, text in zip(keys, values, strict=True)))
        settings = flat(load_recipe(source, changes))
        if tables := [key for key in keys if key not in settings]:
            raise RecipeError("a table, not a value", where=f"--grid {tables[0]}", remedy="name one of its keys")
        point = {key: settings[key] for key in keys}
        if any(point == cell.point for cell in cells):
            raise RecipeError(f"{point} occurs twice", where="--grid", remedy="name each value once")
        for seed in seeds:
            seeded = (*changes, f"seed={seed}")
            cells.append(Cell(point, seed, load_recipe(source, seeded), seeded))
    return cells


def parse_grid(line: str) -> tuple[str, list[str]]:
    """`section.key=a,b,c` -> the key and its values; commas within brackets or quotes do not separate."""
    key, separator, text = line.partition("=")
    if not separator or not key.strip():
        raise RecipeError("no key and values", where=f"--grid {line}", remedy="write section.key=a,b,c")
    values: list[str] = []
    for piece in text.split(","):
        if values and _is_open(values[-1]):
            values[-1] += f",{piece}"
        else:
            values.append(piece)
    return key.strip(), [value.strip() for value in values]


def _is_open(text: str) -> bool:
    """Whether a quote or a bracket in the text is still open."""
    unquoted = re.sub(r"\"[^\"]*\"|'[^']*'", "", text)
    depth = sum(unquoted.count(opening) - unquoted.count(closing) for opening, closing in ("[]", "{}"))
    return depth > 0 or '"' in unquoted or "'" in unquoted


def parse_seeds(text: str) -> list[int]:
    """`0,42,100` -> the numbers. Raises RecipeError."""
    try:
        return [int(word) for word in text.split(",")]
    except ValueError as error:
        raise RecipeError("not whole numbers", where=f"--seeds {text}", remedy="as in --seeds 0,42,100") from error


def value_text(value: Any) -> str:
    """A value of a recipe as text, for a name or a table."""
    if isinstance(value, tuple | list):
        return "+".join(map(value_text, value))
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        value = int(value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def folder_name(values: Sequence[tuple[str, Any]]) -> str:
    """Keys and values -> the name of a folder; a hash distinguishes names that had to be changed."""
    text = ",".join(f"{key}={value_text(value)}" for key, value in values)
    valid = re.sub(r"[^\w.,=+-]+", "_", text)
    if valid == text and len(text) <= LONGEST_NAME:
        return text
    return f"{valid[:LONGEST_NAME]}-{hashlib.sha256(text.encode()).hexdigest()[:6]}"
