"""A recipe as values by dotted key: explained, compared with another recipe, and written as TOML."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from glossfree.recipe.schema import CHOICES, Recipe
from glossfree.settings import Section


@dataclass(frozen=True)
class Explained:
    """A value of a recipe, with the default, standing and meaning of its key."""

    value: Any
    default: Any
    standing: str
    meaning: str


def leaves(tables: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Nested tables -> (dotted key, value) of every value. An empty table counts as a value."""
    for key, item in tables.items():
        if isinstance(item, dict) and item:
            yield from leaves(item, f"{prefix}{key}.")
        else:
            yield prefix + key, item


def flat(recipe: Recipe) -> dict[str, Any]:
    """Every value of a recipe by dotted key, in the order of its file. Each stage is a table with the stage's name."""
    content = recipe.model_dump()
    tables = {stage.name: table for stage, table in zip(recipe.stages, content["stages"], strict=True)}
    return dict(leaves({**content, "stages": [*tables], **tables}))


def differences(old: Recipe, new: Recipe, *, apart_from: Sequence[str] = ()) -> dict[str, tuple[Any, Any]]:
    """Keys that differ between two recipes -> (old, new) value, None for a recipe without the key."""
    before, after = flat(old), flat(new)
    return {
        key: (before.get(key), after.get(key))
        for key in {**before, **after}
        if before.get(key) != after.get(key) and key not in apart_from
    }


def in_words(changes: Mapping[str, tuple[Any, Any]]) -> str:
    """Differences -> "table.key: old, now new; ..."."""
    return "; ".join(f"{key}: {as_toml(before)}, now {as_toml(after)}" for key, (before, after) in changes.items())


def explain(recipe: Recipe, standings: Mapping[str, str]) -> dict[str, Explained]:
    """Every value of a recipe by dotted key, explained.

    `standings`: standings that a file gives to its values, by dotted key. Other values have the standing of their field
    if they are the default, else "assumed".
    """
    declared = {f"{prefix}{name}": field for prefix, name, *field in _fields(recipe)}
    explained = {}
    for key, content in flat(recipe).items():
        field = key
        while field not in declared:  # a key within a table that is one value
            field = field.rpartition(".")[0]
        default, standing, meaning = declared[field]
        known = standings.get(key) or (standing if content == default else "assumed")
        explained[key] = Explained(content, default, known, meaning)
    return explained


def _fields(recipe: Recipe) -> Iterator[tuple[str, str, Any, str, str]]:
    """(prefix of the key, name, default, standing, meaning) of every field of a recipe's tables."""
    tables: dict[str, Section] = {"": recipe}
    tables |= {f"{name}.": content for name, content in recipe if isinstance(content, Section)}
    for stage in recipe.stages:
        tables[f"{stage.name}."] = stage
        tables |= {f"{stage.name}.objectives.{name}.": options for name, options in stage.objectives.items()}
    for prefix, options in tables.items():
        for name, field in type(options).model_fields.items():
            if name == "kind":
                registry, default = CHOICES[prefix.removesuffix(".")]
                yield prefix, name, default, "stated", f"one of {', '.join(registry)}"
            elif isinstance(field.json_schema_extra, dict):
                yield prefix, name, field.default, str(field.json_schema_extra["standing"]), field.description or ""


def unused(recipe: Recipe) -> set[str]:
    """The dotted keys of values that nothing reads and that have their defaults."""
    keys = {f"{stage.name}.{key}" for stage in recipe.stages for key in stage.unused}
    return {key for key, each in explain(recipe, {}).items() if key in keys and each.value == each.default}


def dump_recipe(recipe: Recipe, comments: Mapping[str, str] | None = None, leave_out: Collection[str] = ()) -> str:
    """A recipe as runnable TOML with every value. `comments`: comments after values, by dotted key.

    `leave_out`: dotted keys of values that are not written.
    """
    groups: dict[str, list[str]] = {}
    for key, item in flat(recipe).items():
        if item == {} or key in leave_out:
            continue
        table, _, name = key.rpartition(".")
        line = f"{name} = {as_toml(item)}"
        comment = (comments or {}).get(key)
        groups.setdefault(table, []).append(f"{line:44}  # {comment}" if comment else line)
    return "\n\n".join("\n".join(([f"[{table}]"] if table else []) + lines) for table, lines in groups.items()) + "\n"


def as_toml(item: Any) -> str:
    """A value in TOML; "nothing" for None."""
    if item is None:
        return "nothing"
    text = json.dumps(item, ensure_ascii=False, default=str)
    return text.replace("\x7f", "\\u007f")  # TOML has all other escapes of JSON
