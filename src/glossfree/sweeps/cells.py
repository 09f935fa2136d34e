"""Rows of a plan, or points of a grid -> the cells of a sweep, each with its own recipe, name and commands.

A row is a recipe with changes. If it has several factors of the learning rate, one seed is trained at each of them:
its first, or one of its own for this, so that no score of the row was chosen. The best BLEU-4 on dev decides, then
chrF; all other seeds are trained with that factor alone.
"""

from __future__ import annotations

import hashlib
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from glossfree.errors import RecipeError
from glossfree.recipe.files import load_recipe
from glossfree.recipe.schema import Recipe
from glossfree.recipe.values import flat
from glossfree.training.run import FAILED

LONGEST_NAME = 120  # characters; a file system takes 255
DONE, WAITING, UNDER_WAY = "done", "waiting", "under way"  # states of a cell, besides FAILED
Outcomes = Mapping[str, Mapping[str, Any]]  # {name of a cell: its state, scores, problem}


@dataclass(frozen=True)
class Row:
    """A recipe, by path or name, with changes (--set), trained with `seeds`.

    `point`: its grid values by dotted key, or {"row": its name in a plan}. `factors`: of the learning rate, to choose
    from on dev; () where it takes over the choice of the row `follows`. `choosing_seed`: trained at each factor; the
    first of `seeds` where None. `groups`, `is_reference`: what a plan says of it.
    """

    point: dict[str, Any]
    source: str
    changes: tuple[str, ...]
    seeds: tuple[int, ...]
    factors: tuple[float, ...] = (1.0,)
    follows: str = ""
    groups: tuple[str, ...] = ()
    is_reference: bool = False
    choosing_seed: int | None = None

    @property
    def name(self) -> str:
        """Its name in a plan; "" at a point of a grid."""
        return str(self.point.get("row", ""))

    def cells(self, seeds: Sequence[int], factors: Sequence[float]) -> list[Cell]:
        """A cell for each seed with each factor; factors vary fastest."""
        return [Cell(self, seed, factor) for seed in seeds for factor in factors]

    def first(self) -> list[Cell]:
        """The cells to train first: those to choose the factor from, or one; none where the row follows another."""
        choosing = self.choosing_seed if len(self.factors) > 1 else None
        return self.cells([self.seeds[0] if choosing is None else choosing], self.factors)

    def choice(self, outcomes: Outcomes) -> float | None:
        """Its own factor that is best on dev; None before all cells to choose from have ended, or if all failed."""
        if len(self.factors) == 1:
            return self.factors[0]
        ended = [outcomes.get(cell.name, {}) for cell in self.first()]
        if any("scores" not in each and each.get("state") != FAILED for each in ended):
            return None
        dev = {
            factor: each["scores"]["dev"] for factor, each in zip(self.factors, ended, strict=True) if "scores" in each
        }
        return max(dev, key=lambda factor: (dev[factor]["bleu4"], dev[factor]["chrf"]), default=None)


@dataclass(frozen=True)
class Cell:
    """One run of a sweep."""

    row: Row
    seed: int
    factor: float = 1.0

    @cached_property
    def changes(self) -> tuple[str, ...]:
        """All its --set options."""
        rates: tuple[str, ...] = ()
        if self.factor != 1:
            stages = load_recipe(self.row.source, self.row.changes).planned
            rates = tuple(f"{stage.name}.learning_rate={stage.learning_rate * self.factor:.6g}" for stage in stages)
        return (*self.row.changes, *rates, f"seed={self.seed}")

    @cached_property
    def recipe(self) -> Recipe:
        """Its resolved recipe. Raises RecipeError."""
        return load_recipe(self.row.source, self.changes)

    @cached_property
    def name(self) -> str:
        """The name of its folder: readable, valid on any file system, equal for equal values."""
        factor = [] if self.factor == 1 else [("learning_rate_factor", self.factor)]
        return folder_name([*self.row.point.items(), *factor, ("seed", self.seed)])

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"name": self.name, "point": self.row.point, "learning_rate_factor": self.factor, "seed": self.seed}


def choices_of(rows: Sequence[Row], outcomes: Outcomes) -> dict[int, float | None]:
    """{index of a row: the factor chosen for it, by itself or by the row that it follows; None: not yet}."""
    by_name = {row.name: row for row in rows}
    return {index: (by_name[row.follows] if row.follows else row).choice(outcomes) for index, row in enumerate(rows)}


def known_cells(rows: Sequence[Row], outcomes: Outcomes, only: Sequence[str] = ()) -> Iterator[Cell]:
    """The cells that are to be trained by what is known so far, in their order.

    First the cells to choose from, or one of each row; then the other seeds of rows that choose for themselves; then
    rows that follow others. A row waits for its choice. `only`: names and groups of rows; of rows that these follow,
    the cells to choose from are kept.
    """
    chosen = choices_of(rows, outcomes)
    wanted = [not only or bool({row.name, *row.groups} & {*only}) for row in rows]
    followed = {row.follows for row, is_wanted in zip(rows, wanted, strict=True) if is_wanted}
    for row, is_wanted in zip(rows, wanted, strict=True):
        if is_wanted or (row.name in followed and len(row.factors) > 1):
            yield from row.first()
    for is_following in (False, True):
        for index, row in enumerate(rows):
            if wanted[index] and bool(row.follows) == is_following and (factor := chosen[index]) is not None:
                first = row.first()
                yield from (cell for cell in row.cells(row.seeds, [factor]) if cell not in first)


def rows_of(source: str, overrides: Sequence[str], seeds: Sequence[int], grid: Sequence[str]) -> list[Row]:
    """A row for every point of the grid, in the order of the arguments; the last key varies fastest.

    `grid`: lines of `section.key=a,b,c`. Raises RecipeError: an invalid value, a key or a point twice.
    """
    keys, texts = zip(*map(parse_grid, grid), strict=True) if grid else ((), ())
    fixed = ["seed", *{override.partition("=")[0].strip() for override in overrides}, *keys]
    if duplicates := [key for key in fixed if fixed.count(key) > 1]:
        raise RecipeError("set twice", where=duplicates[0], remedy="keep one of --seeds, --set and --grid key=a,b,c")
    if len(set(seeds)) < len(seeds) or not seeds:
        raise RecipeError("needs seeds that differ", where="--seeds", remedy="as in --seeds 0,42,100")
    rows: list[Row] = []
    for values in itertools.product(*texts):
        changes = (*overrides, *(f"{key}={text}" for key, text in zip(keys, values, strict=True)))
        settings = flat(load_recipe(source, changes))
        if tables := [key for key in keys if key not in settings]:
            raise RecipeError("a table, not a value", where=f"--grid {tables[0]}", remedy="name one of its keys")
        point = {key: settings[key] for key in keys}
        if any(point == row.point for row in rows):
            raise RecipeError(f"{point} occurs twice", where="--grid", remedy="name each value once")
        rows.append(Row(point, source, changes, tuple(seeds)))
    return rows


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
