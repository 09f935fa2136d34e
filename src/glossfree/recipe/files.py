"""Recipes as files: TOML that inherits and holds only differences, overrides, checks, and the whole written out.

What a recipe holds, with meaning and standing of every value, is in `glossfree.recipe.schema`. Loading reports all
problems at once, before anything is built.
"""

from __future__ import annotations

import copy
import difflib
import json
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from glossfree.errors import RecipeError
from glossfree.models.backbones import BACKBONES
from glossfree.models.decoders import DECODERS
from glossfree.models.language import LANGUAGE
from glossfree.models.temporal import TEMPORAL
from glossfree.objectives import OBJECTIVES
from glossfree.recipe.schema import Recipe, StageConfig, tables
from glossfree.settings import Section

# what can be chosen by its `kind`: the entries, and the one that is meant where none is named
CHOICES: dict[str, tuple[Mapping[str, type[BaseModel]], str]] = {
    "vision": (BACKBONES, "dinov2"),
    "temporal": (TEMPORAL, "local_attention"),
    "language": (LANGUAGE, "mbart"),
    "decoder": (DECODERS, "mbart"),
}
OWN = ("base", "name", "summary")  # keys of a file that are not inherited
# tables and keys that recipes had up to version 0.1.0, which named no stages, and that none without stages has now
EARLIER = {
    *("pseudo_glosses", "backbone", "label_smoothing", "cache_features", "average_padding", "identity_sharpness"),
    *("pseudo_gloss_weight", "pseudo_gloss_loss", "contrastive_weight", "contrastive_loss"),
}
STANDING = re.compile(r"#\s*((?:stated|released|derived|assumed)(?:, (?:stated|released|derived|assumed))*)(?:: |$)")
ASSIGNMENT = re.compile(r"([\w.]+)\s*=")
STAGE_NAME = re.compile(r"[\w-]+", re.ASCII)  # a bare key of TOML, and a part of a file's name


@dataclass(frozen=True)
class RecipeFile:
    """One file: its own tables, and the standing that a comment above a key gives its value."""

    path: Path
    tables: dict[str, Any]
    standings: dict[str, str]

    @property
    def name(self) -> str:
        """What it calls itself; else its file's name."""
        return str(self.tables.get("name", self.path.stem))


def recipes_folder() -> Path:
    """Where the shipped recipes lie: inside the installed package, or at the root of a checkout."""
    packaged = Path(__file__).parents[1] / "recipes"
    return packaged if packaged.is_dir() else Path(__file__).parents[3] / "recipes"


def shipped_recipes() -> list[Path]:
    """The files of the shipped recipes."""
    return sorted(recipes_folder().glob("*.toml"))


def load_recipe(source: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """A path to a TOML file, or the name of a shipped recipe, with `table.key=value` overrides -> Recipe.

    Raises RecipeError listing every problem at once; unknown keys come with the nearest spelling.
    """
    files = recipe_files(source)
    content = inherited(files)
    if "stages" not in content and any(EARLIER.intersection(key.split(".")) for key, _ in _leaves(content)):
        remedy = "start its run anew, with a recipe of this version (glossfree recipe --list)"
        raise RecipeError("written by an earlier version of glossfree", where=files[0].path, remedy=remedy)
    for override in overrides:
        _apply(content, override)
    return parse_recipe(content, where=str(files[0].path))


def recipe_files(source: str | Path) -> list[RecipeFile]:
    """A recipe -> its file, the one that it is based on, and so on. Raises RecipeError: missing, no TOML, a cycle."""
    files = [_read(_find(source))]
    while "base" in files[-1].tables:
        base, below = files[-1].tables["base"], files[-1].path
        path = _find(base, beside=below)
        if path.resolve() in {file.path.resolve() for file in files}:
            names = " -> ".join([*(file.name for file in files), str(base)])
            raise RecipeError(f"its bases go in a circle: {names}", where=below, remedy="base it on another recipe")
        files.append(_read(path))
    return files


def inherited(files: Sequence[RecipeFile]) -> dict[str, Any]:
    """A recipe's files, itself first -> its tables: what each file says, over what its base says."""
    content: dict[str, Any] = {section: {"kind": default} for section, (_, default) in CHOICES.items()}
    for file in reversed(files):
        for key in OWN:
            content.pop(key, None)
        _put_over(content, {key: item for key, item in file.tables.items() if key != "base"})
        content["name"] = file.name
    return content


def commented(files: Sequence[RecipeFile]) -> dict[str, str]:
    """A recipe's files, itself first -> the standing that a comment gives a value, by dotted key.

    Of a value that several files set, the comment in the first one counts: without one there is none.
    """
    standings: dict[str, str] = {}
    for first in reversed(range(len(files))):
        file, own = files[first], dict(_leaves(files[first].tables))
        keys = [key for key, _ in _leaves(inherited(files[first:]))]
        standings = {key: (file.standings if key in own else standings).get(key, "") for key in keys}
    return {key: standing for key, standing in standings.items() if standing}


def overriding(overrides: Sequence[str]) -> RecipeFile:
    """Overrides, as if a file in front of all others held them."""
    content: dict[str, Any] = {}
    for override in overrides:
        _apply(content, override)
    return RecipeFile(Path("--set"), content, {})


def parse_recipe(content: Mapping[str, Any], where: str = "recipe") -> Recipe:
    """Nested tables -> Recipe. Raises RecipeError with all problems."""
    problems: list[str] = []
    content = dict(content)
    values: dict[str, Any] = {}
    for section, (registry, default) in CHOICES.items():
        values[section] = _chosen(section, registry, default, content.pop(section, {}), problems)
    names = content.pop("stages", [])
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        problems.append("stages: a list of names expected")
        names = []
    taken = {*Recipe.model_fields, *OWN, "none"}  # `start = "none"` means no stage
    problems += [f"stages: {name!r} is the name of a table already, or no name" for name in names if name in taken]
    problems += [f"stages: {name!r} comes twice" for name in dict.fromkeys(names) if names.count(name) > 1]
    odd = [name for name in names if not STAGE_NAME.fullmatch(name)]
    problems += [f"stages: {name!r} is no name: letters, digits, _ and - expected" for name in odd]
    names = [name for name in dict.fromkeys(names) if name not in (*taken, *odd)]
    stages = tuple(_stage(name, content.pop(name, {}), problems) for name in names)
    values["stages"] = None if None in stages else stages
    for key in [key for key in content if key not in Recipe.model_fields]:
        problems.append(_unknown(key, [*Recipe.model_fields, *names]))
        del content[key]
    for key, field in Recipe.model_fields.items():
        if key in content and isinstance(field.default, Section):
            table = _table(content.pop(key), key, problems)
            values[key] = None if table is None else _validated(type(field.default), table, key, problems)
    complete = {key: item for key, item in values.items() if item is not None}
    recipe = _validated(Recipe, {**content, **complete}, "", problems)
    if isinstance(recipe, Recipe) and not problems:
        problems += recipe.problems()
    if problems:
        remedy = "glossfree recipe NAME prints every key of a recipe; docs/paper.md says what each means"
        raise RecipeError("; ".join(problems), where=where, remedy=remedy)
    assert isinstance(recipe, Recipe)
    return recipe


def differences(old: Recipe, new: Recipe, *, apart_from: Sequence[str] = ()) -> dict[str, tuple[Any, Any]]:
    """Each key that two recipes differ in -> its values, None where a recipe has no such key."""
    before, after = flat(old), flat(new)
    return {
        key: (before.get(key), after.get(key))
        for key in {**before, **after}
        if before.get(key) != after.get(key) and key not in apart_from
    }


def in_words(changes: Mapping[str, tuple[Any, Any]]) -> str:
    """Differences -> "table.key: old, now new; ..."."""
    return "; ".join(f"{key}: {as_toml(before)}, now {as_toml(after)}" for key, (before, after) in changes.items())


def flat(recipe: Recipe) -> dict[str, Any]:
    """Every value of a recipe by its dotted key."""
    return dict(_leaves(tables(recipe)))


def dump_recipe(recipe: Recipe, comments: Mapping[str, str] | None = None) -> str:
    """The whole recipe as TOML, every value written out: itself runnable. `comments`: behind values, by dotted key."""
    groups: dict[str, list[str]] = {}
    for key, item in _leaves(tables(recipe)):
        if item is None or item == {}:
            continue
        table, _, name = key.rpartition(".")
        line = f"{name} = {as_toml(item)}"
        comment = (comments or {}).get(key)
        groups.setdefault(table, []).append(f"{line:44}  # {comment}" if comment else line)
    return "\n\n".join("\n".join(([f"[{table}]"] if table else []) + lines) for table, lines in groups.items()) + "\n"


def as_toml(item: Any) -> str:
    """A value as TOML writes it; "nothing" for none."""
    if item is None:
        return "nothing"
    if isinstance(item, bool):
        return "true" if item else "false"
    if isinstance(item, str):
        return json.dumps(item, ensure_ascii=False)  # its escapes are all TOML's
    if isinstance(item, tuple | list):
        return f"[{', '.join(map(as_toml, item))}]"
    return repr(item)


def declarations(recipe: Recipe) -> dict[str, tuple[Any, str, str]]:
    """Every key of a recipe -> the default of its field, that default's standing, and what the value means."""
    return dict(_declared(recipe, ""))


def standing_of(
    key: str, content: Any, declared: Mapping[str, tuple[Any, str, str]], comments: Mapping[str, str]
) -> str:
    """How well a value is known: what a comment says (see `commented`), else what its field says of its default."""
    default, standing, _ = declared.get(key, (None, "assumed", ""))
    return comments.get(key) or (standing if content == default else "assumed")


def _find(source: str | Path, beside: Path | None = None) -> Path:
    """The file of a recipe: a path (of a base, from its own folder), or the name of a shipped one."""
    folders = [] if beside is None else [beside.parent]
    for path in (*(folder / source for folder in folders), Path(source), recipes_folder() / f"{source}.toml"):
        if path.is_file():
            return path
    shipped = ", ".join(file.stem for file in shipped_recipes())
    where = str(source) if beside is None else f"base {source!r} of {beside}"
    raise RecipeError("no such recipe", where=where, remedy=f"a TOML file, or one of {shipped}")


def _read(path: Path) -> RecipeFile:
    try:
        text = path.read_text(encoding="utf-8")
        content = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"not TOML ({error})", where=path, remedy="mend that line") from error
    if not isinstance(content.get("base", ""), str):
        raise RecipeError("base: the name or path of a recipe expected", where=path, remedy='base = "hfa-phoenix14t"')
    return RecipeFile(path, content, dict(_standings(text)))


def _standings(text: str) -> Iterator[tuple[str, str]]:
    """A recipe's text -> (dotted key, standing) of each value above which a comment names one: "# released: ..."."""
    table, standing = "", ""
    for line in map(str.strip, text.splitlines()):
        if comment := STANDING.match(line):
            standing = comment[1]
        elif line.startswith("["):
            table, standing = line.strip("[] ") + ".", ""
        elif (assignment := ASSIGNMENT.match(line)) and standing:
            yield table + assignment[1], standing
            standing = ""


def _put_over(content: dict[str, Any], own: Mapping[str, Any]) -> None:
    """Put a file's tables, or an override, over others, in place. A stage that `stages` drops goes with its table."""
    below, stages = content.get("stages"), own.get("stages")
    if isinstance(below, list) and isinstance(stages, list):
        for dropped in (name for name in below if isinstance(name, str) and name not in stages):
            content.pop(dropped, None)
    _merge(content, copy.deepcopy(own))


def _merge(content: dict[str, Any], own: Mapping[str, Any]) -> None:
    """Put tables over others, in place. A table of another `kind` takes the other's place as a whole."""
    for key, item in own.items():
        below = content.get(key)
        same_kind = isinstance(below, dict) and isinstance(item, dict) and item.get("kind") in (None, below.get("kind"))
        if isinstance(below, dict) and isinstance(item, dict) and same_kind:
            _merge(below, item)
        else:
            content[key] = item


def _apply(content: dict[str, Any], override: str) -> None:
    """One `table.key=value`, the value read as TOML where it is TOML, else as a string."""
    key, separator, text = override.partition("=")
    if not separator:
        raise RecipeError("no '=' in it", where=f"--set {override}", remedy="write table.key=value")
    try:
        parsed = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        parsed = text
    *sections, last = key.strip().split(".")
    item: Any = {last: parsed}
    table: Any = content
    for section in sections:
        table = table.get(section, {}) if isinstance(table, dict) else None
        if not isinstance(table, dict):
            raise RecipeError(f"{section!r} is not a table", where=f"--set {override}", remedy="see docs/paper.md")
    for section in reversed(sections):
        item = {section: item}
    _put_over(content, item)


def _table(item: Any, where: str, problems: list[str]) -> dict[str, Any] | None:
    if isinstance(item, dict):
        return item
    problems.append(f"{where}: a table expected, not {as_toml(item)}")
    return None


def _chosen(
    section: str, registry: Mapping[str, type[BaseModel]], default: str, item: Any, problems: list[str]
) -> BaseModel | None:
    """A table that says its `kind` -> the options of that entry; None with a problem."""
    table = _table(item, section, problems)
    if table is None:
        return None
    kind = table.get("kind", default)
    if not isinstance(kind, str) or kind not in registry:
        near = difflib.get_close_matches(str(kind), registry, n=1)
        hint = f", did you mean {near[0]!r}?" if near else ""
        problems.append(f"{section}.kind: no {kind!r}, one of {', '.join(registry)}{hint}")
        return None
    return _validated(registry[kind], table, section, problems)


def _stage(name: str, item: Any, problems: list[str]) -> StageConfig | None:
    table = _table(item, name, problems)
    if table is None:
        return None
    objectives = {}
    for objective, options in (_table(table.get("objectives", {}), f"{name}.objectives", problems) or {}).items():
        where = f"{name}.objectives.{objective}"
        if objective not in OBJECTIVES:
            problems.append(_unknown(where, [f"{name}.objectives.{known}" for known in OBJECTIVES]))
        elif _table(options, where, problems) is not None:
            objectives[objective] = _validated(OBJECTIVES[objective], options, where, problems)
    if "name" in table:
        problems.append(f"unknown key '{name}.name': `stages` names it")
    valid = {objective: options for objective, options in objectives.items() if options is not None}
    stage = _validated(StageConfig, {**table, "objectives": valid, "name": name}, name, problems)
    return stage if isinstance(stage, StageConfig) else None


def _validated(model: type[BaseModel], table: Mapping[str, Any], where: str, problems: list[str]) -> BaseModel | None:
    try:
        return model.model_validate(table)
    except ValidationError as error:
        for item in error.errors():
            key = ".".join(map(str, (*([where] if where else []), *item["loc"]))).removesuffix(".")
            if item["type"] == "extra_forbidden":
                problems.append(_unknown(key, _keys(model, where)))
            else:
                problems.append(f"{key}: {item['msg']}")
        return None


def _keys(model: type[BaseModel], where: str) -> list[str]:
    """The keys of a table; those of the whole recipe under ""."""
    return [f"{where}.{name}".removeprefix(".") for name, field in model.model_fields.items() if not field.exclude]


def _unknown(key: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    return f"unknown key {key!r}" + (f", did you mean {near[0]!r}?" if near else "")


def _leaves(content: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Nested tables -> (dotted key, value) of every value."""
    for key, item in content.items():
        if isinstance(item, dict) and item:
            yield from _leaves(item, f"{prefix}{key}.")
        else:
            yield prefix + key, item


def _declared(section: BaseModel, prefix: str) -> Iterator[tuple[str, tuple[Any, str, str]]]:
    for name, field in type(section).model_fields.items():
        content = getattr(section, name)
        if name == "stages":
            yield "stages", ((), "stated", field.description or "")
            for stage in content:
                yield from _declared(stage, f"{stage.name}.")
        elif name == "objectives":
            for objective, options in content.items():
                yield from _declared(options, f"{prefix}objectives.{objective}.")
        elif isinstance(content, BaseModel):
            yield from _declared(content, f"{prefix}{name}.")
        elif name == "kind":
            registry, default = CHOICES[prefix.removesuffix(".")]
            yield prefix + name, (default, "stated", f"one of {', '.join(registry)}")
        elif not field.exclude:
            extra = field.json_schema_extra
            standing = str(extra["standing"]) if isinstance(extra, dict) else "assumed"
            keys = [f"{name}.{entry}" for entry in content] if isinstance(content, dict) and content else [name]
            yield from ((prefix + key, (field.default, standing, field.description or "")) for key in keys)
