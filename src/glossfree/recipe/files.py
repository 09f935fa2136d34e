"""Read recipes: TOML files that inherit from each other, and overrides. All problems are reported at once.

`glossfree.recipe.schema` declares the values; `glossfree.recipe.values` explains, compares and writes them.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from glossfree.errors import RecipeError, did_you_mean, name_some, shortened
from glossfree.objectives import OBJECTIVES
from glossfree.recipe.schema import CHOICES, Recipe, StageConfig
from glossfree.recipe.values import as_toml, leaves
from glossfree.settings import Section

OWN = ("base", "name", "summary", "paper")  # keys of a file that are not inherited
PARTS = "parts"  # the folder of files that are bases only
STANDING = re.compile(r"#\s*((?:stated|released|derived|assumed)(?:, (?:stated|released|derived|assumed))*)(?:: |$)")
ASSIGNMENT = re.compile(r"([\w.]+)\s*=")
STAGE_NAME = re.compile(r"[\w-]+", re.ASCII)  # a bare key of TOML, and a part of a file's name
REMEDY = "glossfree recipe NAME prints every key of a recipe; docs/paper.md says what each means"
EARLIER = {  # keys of recipes before stages were data
    *("pseudo_glosses", "backbone", "label_smoothing", "cache_features", "average_padding", "identity_sharpness"),
    *("pseudo_gloss_weight", "pseudo_gloss_loss", "contrastive_weight", "contrastive_loss"),
}


@dataclass(frozen=True)
class Setting:
    """A value that a file sets, and its standing from the comment above its key ("" without one)."""

    value: Any
    standing: str = ""


Settings = dict[str, Setting]  # by dotted key


@dataclass(frozen=True)
class RecipeFile:
    """A recipe file: its own settings, without inherited ones."""

    path: Path
    settings: Settings
    bases: tuple[Path, ...] = ()

    @property
    def name(self) -> str:
        """The recipe's name, by default that of the file."""
        return str(self.settings["name"].value) if "name" in self.settings else self.path.stem


def recipes_folder() -> Path:
    """The folder of the shipped recipes: inside the installed package, or at the root of a checkout."""
    packaged = Path(__file__).parents[1] / "recipes"
    return packaged if packaged.is_dir() else Path(__file__).parents[3] / "recipes"


def shipped_recipes() -> list[Path]:
    """The files of the shipped recipes, sorted by name."""
    return [path for path in _shipped().values() if path.parent.name != PARTS]


def _shipped() -> dict[str, Path]:
    """All shipped files by name."""
    return {path.stem: path for path in sorted(recipes_folder().rglob("*.toml"), key=lambda path: path.stem)}


def load_recipe(source: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """A path to a TOML file, or the name of a shipped recipe, with `table.key=value` overrides -> Recipe.

    Raises RecipeError with all problems at once, and the nearest spelling of unknown keys.
    """
    try:
        files = recipe_files(source)
        settings, path = merge(files, overrides), files[0].path
        if "stages" not in settings and EARLIER.intersection(part for key in settings for part in key.split(".")):
            remedy = "start its run anew, with a recipe of this version (glossfree recipe --list)"
            raise RecipeError("written by an earlier version of glossfree", where=path, remedy=remedy)
        where = f"{path} with {name_some(overrides)}" if overrides else str(path)
        return parse_recipe(_nested(settings, where), where=where)
    except RecursionError as error:
        problem = "tables or lists are nested too deeply"
        raise RecipeError(problem, where=shortened(str(source)), remedy=REMEDY) from error


def recipe_files(source: str | Path) -> list[RecipeFile]:
    """A recipe -> its file, then those it is based on: each comes before its own bases, and a later base before an
    earlier one. Raises RecipeError if one is missing or not TOML, and for a cycle."""
    return _with_bases(_find(source), (), {})


def _with_bases(path: Path, children: tuple[RecipeFile, ...], known: dict[Path, list[RecipeFile]]) -> list[RecipeFile]:
    """`children`: the files that led to this one. `known`: what was found for a file before, by its real path."""
    real = path.resolve()
    if real in {each.path.resolve() for each in children}:
        names = " -> ".join(each.name for each in (*children, _read(path)))
        problem = f"its bases form a cycle: {names}"
        raise RecipeError(problem, where=children[-1].path, remedy="base it on another recipe")
    if real not in known:
        file = _read(path)
        files = [file]
        for base in reversed(file.bases):
            below = _with_bases(base, (*children, file), known)
            again = {each.path.resolve() for each in below}
            files = [each for each in files if each.path.resolve() not in again] + below
        known[real] = files
    return known[real]


def merge(files: Sequence[RecipeFile], overrides: Iterable[str] = ()) -> Settings:
    """A recipe's files, bases last, and overrides -> its settings; each file overrides its bases.

    A list of `stages` drops the tables of other stages that its file inherits, except those of files that another base
    inherits, too. In the end, no table is inherited for a stage that the last list does not name.
    """
    settings: Settings = {}
    origins: dict[str, Path | None] = {}  # of each setting; None: an override
    listed: set[str] = set()
    everywhere = {file.path.resolve() for file in files}
    layers: list[tuple[Path | None, Settings, set[Path]]] = []
    lineages: dict[Path, set[Path]] = {}  # of the files below, each with itself
    for file in reversed(files):
        own = {"name": Setting(file.path.stem), **file.settings}
        own.pop("base", None)
        path, bases = file.path.resolve(), _ancestors(file, files)
        others = set[Path]().union(*(lineage for each, lineage in lineages.items() if each not in bases))
        layers.append((path, own, bases - others))
        lineages[path] = {path, *bases}
    for origin, own, inherited in [*layers, *((None, _override(text), everywhere) for text in overrides)]:
        if origin is not None:
            settings = {key: setting for key, setting in settings.items() if key not in OWN}
        if "stages" in own:
            settings = _without(settings, listed.difference(_listed(own)), origins, inherited)
        settings = _put_over(settings, own)
        origins |= dict.fromkeys(own, origin)
        listed |= {*_listed(own)}
    return _without(settings, listed.difference(_listed(settings)), origins, everywhere - {files[0].path.resolve()})


def _ancestors(file: RecipeFile, files: Sequence[RecipeFile]) -> set[Path]:
    """The files that a file is based on, directly or not."""
    paths = {base.resolve() for base in file.bases}
    return paths.union(*(_ancestors(each, files) for each in files if each.path.resolve() in paths))


def _without(
    settings: Settings, stages: Collection[str], origins: Mapping[str, Path | None], files: Collection[Path]
) -> Settings:
    """Settings without those that any of `files` has for `stages`."""
    tables = tuple(f"{name}." for name in stages)
    return {key: each for key, each in settings.items() if not key.startswith(tables) or origins[key] not in files}


def _listed(settings: Settings) -> list[str]:
    """The names in `stages`; [] for anything else that it may be."""
    names = settings.get("stages", Setting(None)).value
    return [name for name in names if isinstance(name, str)] if isinstance(names, list) else []


def parse_recipe(content: Mapping[str, Any], where: str = "recipe") -> Recipe:
    """Nested tables -> Recipe. Raises RecipeError with all problems."""
    parser = _Parser()
    recipe = parser.recipe(content)
    if recipe is None or parser.problems:
        raise RecipeError("; ".join(parser.problems), where=where, remedy=REMEDY)
    return recipe


class _Parser:
    """Validates tables; `problems` collects what is wrong with them."""

    def __init__(self) -> None:
        self.problems: list[str] = []

    def recipe(self, tables: Mapping[str, Any]) -> Recipe | None:
        """All tables of a recipe -> the recipe, or None if it has a problem."""
        content, values = dict(tables), dict[str, Any]()
        for key, item in leaves(content):
            if isinstance(item, int) and not -(2**63) <= item < 2**63:
                self.problems.append(f"{key}: a whole number of more than 64 bits")
        for section in CHOICES:
            values[section] = self._chosen(section, content.pop(section, {}))
        for section, field in Recipe.model_fields.items():
            if isinstance(field.default, Section) and section in content:
                values[section] = self._validated(type(field.default), content.pop(section), section)
        names = self._stage_names(content.pop("stages", []))
        stages = [self._stage(name, content.pop(name, {})) for name in names]
        values["stages"] = None if None in stages else tuple(stages)
        content |= {key: item for key, item in values.items() if item is not None}
        recipe: Recipe | None = self._validated(Recipe, content, "", other_keys=names)
        if recipe is not None and not self.problems:
            self.problems += recipe.problems()
        return recipe

    def _chosen(self, section: str, table: Any) -> Any:
        """A table with a `kind` -> the options of that entry."""
        registry, default = CHOICES[section]
        kind = table.get("kind", default) if isinstance(table, dict) else default
        if not isinstance(kind, str) or kind not in registry:
            near = did_you_mean(str(kind), registry)
            self.problems.append(f"{section}.kind: no {kind!r}, one of {', '.join(registry)}{near}")
            return None
        return self._validated(registry[kind], table, section)

    def _stage_names(self, names: Any) -> list[str]:
        """`stages` -> its valid names, each once."""
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            self.problems.append("stages: a list of names expected")
            return []
        taken = {*Recipe.model_fields, *OWN, "none"}  # `start = "none"` means no stage
        valid = [name for name in dict.fromkeys(names) if STAGE_NAME.fullmatch(name) and name not in taken]
        for name in dict.fromkeys(names):
            if name in taken:
                self.problems.append(f"stages: {name!r} is already the name of a table")
            elif name not in valid:
                self.problems.append(f"stages: {name!r} is not a name: only letters, digits, _ and - are allowed")
            elif names.count(name) > 1:
                self.problems.append(f"stages: {name!r} is listed twice")
        return valid

    def _stage(self, name: str, table: Any) -> Any:
        """The table of a stage -> the stage with its objectives."""
        if isinstance(table, dict) and isinstance(table.get("objectives", {}), dict):
            if "name" in table:
                self.problems.append(f"unknown key '{name}.name': `stages` names it")
            objectives = {}
            for key, options in table.get("objectives", {}).items():
                where = f"{name}.objectives.{key}"
                if key in OBJECTIVES:
                    objectives[key] = self._validated(OBJECTIVES[key], options, where)
                else:
                    near = did_you_mean(where, [f"{name}.objectives.{known}" for known in OBJECTIVES])
                    self.problems.append(f"unknown key {where!r}{near}")
            valid = {key: options for key, options in objectives.items() if options is not None}
            table = {**table, "objectives": valid, "name": name}
        elif isinstance(table, dict):
            self.problems.append(f"{name}.objectives: a table expected, not {as_toml(table['objectives'])}")
            return None
        return self._validated(StageConfig, table, name)

    def _validated(self, model: type[Section], table: Any, where: str, other_keys: Sequence[str] = ()) -> Any:
        """A table -> an object of the class that declares its values, or None if it has a problem."""
        if not isinstance(table, dict):
            self.problems.append(f"{where}: a table expected, not {as_toml(table)}")
            return None
        try:
            return model.model_validate(table)
        except ValidationError as error:
            known = [name for name, field in model.model_fields.items() if not field.exclude]
            known = [f"{where}.{name}".removeprefix(".") for name in (*known, *other_keys)]
            stages = f" (its stages: {', '.join(other_keys)})" if other_keys else ""
            for item in error.errors():
                key = ".".join(map(str, (where, *item["loc"]))).strip(".")
                unknown = item["type"] == "extra_forbidden"
                self.problems.append(
                    f"unknown key {key!r}{did_you_mean(key, known)}{stages}" if unknown else f"{key}: {item['msg']}"
                )
            return None


def _find(source: str | Path, beside: Path | None = None) -> Path:
    """The file of a recipe: a path (a base: relative to its child's folder), or the name of a shipped recipe."""
    folders = [] if beside is None else [beside.parent]
    with suppress(OSError):  # a name that is too long
        for path in (*(folder / source for folder in folders), Path(source)):
            if path.is_file():
                return path
        if (known := _shipped().get(str(source))) is not None:
            return known
    shipped = [file.stem for file in shipped_recipes()]
    near = difflib.get_close_matches(str(source), shipped, n=3, cutoff=0.5) or ["hfa-phoenix14t"]
    name = shortened(str(source))
    where = name if beside is None else f"base {name!r} of {beside}"
    raise RecipeError(
        "no such recipe",
        where=where,
        remedy=f"a TOML file, or a shipped one, as {', '.join(near)} (glossfree recipe --list)",
    )


def _read(path: Path) -> RecipeFile:
    try:
        text = path.read_text(encoding="utf-8")
        content = tomllib.loads(text)
    except OSError as error:
        raise RecipeError(f"cannot be read ({error.strerror})", where=path, remedy="check its rights") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"not TOML ({error})", where=path, remedy="correct that line") from error
    if not content:
        raise RecipeError("empty", where=path, remedy='restore it, or begin it with base = "hfa-phoenix14t"')
    standings, bases = dict(_standings(text)), content.get("base", [])
    bases = bases if isinstance(bases, list) else [bases]
    if not all(isinstance(base, str) for base in bases):
        raise RecipeError("base: names or paths of recipes expected", where=path, remedy='base = "demo"')
    settings = {key: Setting(item, standings.get(key, "")) for key, item in leaves(content)}
    return RecipeFile(path, settings, tuple(_find(base, beside=path) for base in bases))


def _standings(text: str) -> Iterator[tuple[str, str]]:
    """A recipe's text -> (dotted key, standing) of each value with a comment above it such as "# released: ..."."""
    table, standing = "", ""
    for line in map(str.strip, text.splitlines()):
        if comment := STANDING.match(line):
            standing = comment[1]
        elif line.startswith("["):
            table, standing = line.strip("[] ") + ".", ""
        elif (assignment := ASSIGNMENT.match(line)) and standing:
            yield table + assignment[1], standing
            standing = ""


def _override(text: str) -> Settings:
    """`table.key=value` -> settings. The value is parsed as TOML if possible, else it is a string."""
    key, separator, value = text.partition("=")
    if not separator:
        raise RecipeError("no '=' in it", where=f"--set {shortened(text)}", remedy="write table.key=value")
    try:
        parsed = tomllib.loads(f"value = {value}")
    except tomllib.TOMLDecodeError:
        parsed = {}
    item = parsed["value"] if len(parsed) == 1 else value  # a second line of TOML is not part of the value
    return {name: Setting(each) for name, each in leaves({key.strip(): item})}


def _put_over(below: Settings, own: Settings) -> Settings:
    """Settings over those of a base. The base's table of another `kind` is removed entirely."""
    replaced = [key for key, setting in own.items() if setting.value != {}]  # a value replaces a table
    for section, (_, default) in CHOICES.items():
        kind = below.get(f"{section}.kind", Setting(default)).value
        if own.get(f"{section}.kind", Setting(kind)).value != kind:
            replaced.append(section)
    kept = {key: item for key, item in below.items() if not key.startswith(tuple(f"{name}." for name in replaced))}
    for key in (key for key, setting in own.items() if setting.value == {}):
        if key.endswith((".objectives", ".learning_rate_factors")) and any(each.startswith(f"{key}.") for each in kept):
            remedy = "weight = 0 switches an objective off; a factor of 1 changes nothing"
            raise RecipeError(f"{key}: an empty table removes nothing", remedy=remedy)
    return kept | own


def _nested(settings: Settings, where: str) -> dict[str, Any]:
    """Settings -> nested tables. Raises RecipeError if a key lies below a value."""
    content: dict[str, Any] = {}
    for key, setting in settings.items():
        *tables, last = key.split(".")
        table = content
        for name in tables:
            table = table.setdefault(name, {})
            if not isinstance(table, dict):
                raise RecipeError(f"{key}: {name!r} is not a table", where=where, remedy=REMEDY)
        if setting.value == {}:
            table.setdefault(last, {})
        else:
            table[last] = setting.value
    return content
