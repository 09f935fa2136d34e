"""`recipe`: what a recipe says, value by value, and which recipes there are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from glossfree.cli.options import Overrides
from glossfree.console import Result, text_table
from glossfree.errors import RecipeError
from glossfree.recipe.files import OWN, load_recipe, merge, recipe_files, shipped_recipes
from glossfree.recipe.schema import Recipe
from glossfree.recipe.values import as_toml, dump_recipe, explain, flat, unused


@dataclass(frozen=True)
class Value:
    """A value, how well it is known, what it means, and what the base recipe has in its place, if that differs."""

    value: Any
    standing: str
    meaning: str
    base: Any = None
    is_changed: bool = False


@dataclass(frozen=True)
class Description(Result):
    """A recipe, resolved: `values` by dotted key. `base`: the name of the recipe that it is based on, if any."""

    recipe: Recipe
    base: str | None
    values: dict[str, Value]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        values = {}
        for key, each in self.values.items():
            values[key] = {"value": each.value, "standing": each.standing, "meaning": each.meaning}
            if each.is_changed:
                values[key]["base"] = each.base
        return {"name": self.recipe.name, "summary": self.recipe.summary, "base": self.base, "values": values}

    def to_text(self) -> str:
        """A recipe in TOML, itself runnable, with a comment behind each value."""
        comments = {}
        skipped = {f"{stage.name}.epochs" for stage in self.recipe.stages if not stage.epochs}
        for key, each in self.values.items():
            comments[key] = each.standing + (", skipped" if key in skipped else "")
            if each.is_changed:
                comments[key] += f"; {self.base}: {as_toml(each.base)}"
        for key in (*OWN, "stages"):
            comments.pop(key, None)
        hidden = {key for key in unused(self.recipe) if not self.values[key].is_changed}
        return dump_recipe(self.recipe, comments, hidden).rstrip()


@dataclass(frozen=True)
class Difference(Result):
    """What differs between two recipes by dotted key: the value of each, None for a recipe without the key."""

    names: tuple[str, str]
    values: dict[str, tuple[Value | None, Value | None]]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "recipes": self.names,
            "values": {
                key: [each and {"value": each.value, "standing": each.standing} for each in pair]
                for key, pair in self.values.items()
            },
        }

    def to_text(self) -> str:
        """A line for each key, with both values and how well each is known."""
        if not self.values:
            return f"{self.names[0]} and {self.names[1]}: the same values"
        rows = [
            (key, *("-" if each is None else f"{as_toml(each.value)} ({each.standing})" for each in pair))
            for key, pair in self.values.items()
        ]
        return text_table(("", *self.names), rows, left=3)


@dataclass(frozen=True)
class Shipped(Result):
    """The shipped recipes by name, each with the names of its bases."""

    recipes: dict[str, tuple[Recipe, list[str]]]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        keys = ("summary", "paper", "supervision")
        return {
            name: {"base": bases, **each.model_dump(include={*keys})} for name, (each, bases) in self.recipes.items()
        }

    def to_text(self) -> str:
        """Two lines for each: name, paper and supervision; what it is."""
        width, lines = max(map(len, self.recipes)), []
        for name, (recipe, _) in self.recipes.items():
            lines += [f"{name:{width}}  {recipe.supervision:10}  {recipe.paper}".rstrip(), f"  {recipe.summary}"]
        return "\n".join(lines)


def recipe(
    overrides: Overrides = None,
    name: Annotated[str | None, typer.Argument(help="A TOML file, or the name of a shipped recipe.")] = None,
    list_: Annotated[bool, typer.Option("--list", help="All shipped recipes, two lines each.")] = False,
    against: Annotated[
        str | None, typer.Option(metavar="RECIPE", help="Show only what differs from this recipe.")
    ] = None,
) -> Description | Difference | Shipped:
    """One recipe, what differs between two, or all that are shipped. Raises RecipeError for both or neither."""
    if (name is None) != list_ or (list_ and against is not None):
        raise RecipeError(
            "the name of a recipe, or --list, expected", where="glossfree recipe", remedy="glossfree recipe --list"
        )
    if name is None:
        return shipped()
    return describe(name, overrides or ()) if against is None else difference(name, against, overrides or ())


def describe(source: str | Path, overrides: Sequence[str] = ()) -> Description:
    """A recipe and overrides -> every value of it. Raises RecipeError."""
    recipe, files = load_recipe(source, overrides), recipe_files(source)
    base = next((file for file in files[1:] if file.path.samefile(files[0].bases[0])), None)
    below = flat(load_recipe(base.path)) if base is not None else {}
    standings = {key: setting.standing for key, setting in merge(files, overrides).items()}
    values = {}
    for key, each in explain(recipe, standings).items():
        is_changed = base is not None and key not in OWN and below.get(key) != each.value
        values[key] = Value(each.value, each.standing, each.meaning, below.get(key) if is_changed else None, is_changed)
    return Description(recipe, None if base is None else base.name, values)


def difference(source: str | Path, other: str | Path, overrides: Sequence[str] = ()) -> Difference:
    """A recipe with overrides, and another one -> what differs, without names, and values that nothing uses.

    Of a stage, an objective or a kind of module that only one of them has, there is one line. Raises RecipeError.
    """
    both = describe(source, overrides), describe(other)
    values, others = ({key: each for key, each in it.values.items() if key not in unused(it.recipe)} for it in both)
    pairs: dict[str, tuple[Value | None, Value | None]] = {}
    for key in {**values, **others}:
        mine, theirs = values.get(key), others.get(key)
        if mine is not None and theirs is not None:
            if mine.value != theirs.value and key not in OWN:
                pairs[key] = mine, theirs
        elif key.endswith(".weight") and all(key.partition(".")[0] in _names(each.recipe) for each in both):
            pairs[key] = mine, theirs
    return Difference((both[0].recipe.name, both[1].recipe.name), pairs)


def _names(recipe: Recipe) -> set[str]:
    return {stage.name for stage in recipe.stages}


def shipped() -> Shipped:
    """All shipped recipes."""
    bases = {path: [base.stem for base in recipe_files(path)[0].bases] for path in shipped_recipes()}
    return Shipped({path.stem: (load_recipe(path), bases[path]) for path in bases})
