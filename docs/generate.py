"""Tables of the documents that come out of the code: `python docs/generate.py` writes them anew.

Each stands between `<!-- generated: NAME -->` and `<!-- end -->` in its document. `tests/house/test_documents.py` fails
where one is stale.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from glossfree.cli.app import VERBS
from glossfree.cli.params import params
from glossfree.languages import PROFILES
from glossfree.objectives import OBJECTIVES
from glossfree.recipe.files import load_recipe, recipe_files, shipped_recipes
from glossfree.recipe.schema import CHOICES, Recipe, StageConfig
from glossfree.text.unigram import CODES_25

ROOT = Path(__file__).parents[1]
# functions and files that compare, check or write values: what nothing else reads has no effect
CHECKS = {"problems", "problems_with", "_problems_of"}
ONLY_READER_OF_ITS_ROOM = "recipe/schema.py"  # the rest of recipe/ checks, compares or writes values


@dataclass(frozen=True)
class Table:
    """A table of recipes: what its keys begin with, which `kind` it describes, and the class that declares its values.

    `variable`: what code calls a variable that holds it.
    """

    prefix: str
    options: type[BaseModel]
    variable: str
    kind: str = ""

    @property
    def title(self) -> str:
        """As TOML opens it."""
        table = f"[{self.prefix}]" if self.prefix else "top level"
        return f'{table} kind = "{self.kind}"' if self.kind else table

    def fields(self) -> dict[str, FieldInfo]:
        """The values that it holds: no tables within it, and not the `kind` that chooses it."""
        return {
            name: field
            for name, field in self.options.model_fields.items()
            if not isinstance(field.default, BaseModel) and name not in ("kind", "objectives") and not field.exclude
        }

    def names(self) -> set[str]:
        """What an expression that stands for it may be called: the variable, its class, and the classes below."""
        return {self.variable, *(each.__name__ for each in self.options.__mro__)} - {"BaseModel", "Section", "object"}


def tables() -> list[Table]:
    """All tables that a recipe may have; those of a stage once, under "STAGE"."""
    result = [Table("", Recipe, "recipe")]
    for section, field in Recipe.model_fields.items():
        if section in CHOICES:
            registry, _ = CHOICES[section]
            result += [Table(section, options, section, kind) for kind, options in registry.items()]
        elif section == "stages":
            result.append(Table("STAGE", StageConfig, "stage"))
            result += [Table(f"STAGE.objectives.{name}", each, "objective") for name, each in OBJECTIVES.items()]
        elif isinstance(field.default, BaseModel):
            result.append(Table(section, type(field.default), section))
    return result


def readers(trees: Mapping[str, ast.Module]) -> dict[tuple[str, str], list[str]]:
    """{file: its syntax tree} -> {(title of a table, key): the files that read it}."""
    is_reader = {name: not name.startswith("recipe/") or name == ONLY_READER_OF_ITS_ROOM for name in trees}
    reads = {name: reads_of(tree) for name, tree in trees.items() if is_reader[name]}
    return {
        (table.title, field): sorted(name for name, read in reads.items() if is_read(table, field, read))
        for table in tables()
        for field in table.fields()
    }


def is_read(table: Table, field: str, reads: Collection[tuple[str, str]]) -> bool:
    """Whether a field is read by its name, or passed on with all others (see `reads_of`)."""
    own = table.options.__name__
    passed_on = (own, "**") in reads and (own, f"-{field}") not in reads
    return passed_on or any((name, field) in reads for name in table.names())


@cache
def reads_of(tree: ast.Module) -> frozenset[tuple[str, str]]:
    """A module -> (class or variable, attribute) of every attribute that a function reads, and does not call.

    A variable goes by the classes that an annotation or an `isinstance` names, else by its own name; `self.x` and
    `f.x()` go by x. `**self.model_dump(exclude={"a"})` is (class, "**") and (class, "-a").
    """
    return frozenset(read for owner, function in functions(tree) for read in reads_in(owner, function))


def reads_in(owner: ast.ClassDef | None, function: ast.FunctionDef) -> Iterator[tuple[str, str]]:
    """The same for one function, or for a method of `owner`."""
    known = classes(function)
    if owner is not None:
        constructor = [each for each in owner.body if getattr(each, "name", "") == "__init__"]
        known = {**classes(*constructor), **known, "self": {owner.name}}
    called = {node.func for node in ast.walk(function) if isinstance(node, ast.Call)}
    for node in ast.walk(function):
        if isinstance(node, ast.Attribute) and node not in called:
            name = last_name(node.value)
            is_variable = isinstance(node.value, ast.Name) or ast.unparse(node.value) == f"self.{name}"
            yield from ((each, node.attr) for each in (known.get(name, {name}) if is_variable else {name}))
        elif isinstance(node, ast.keyword) and ast.unparse(node).startswith("**self.model_dump(") and owner:
            yield owner.name, "**"
            left_out = (each for each in ast.walk(node) if isinstance(each, ast.Constant))
            yield from ((owner.name, f"-{each.value!s}") for each in left_out)


def last_name(expression: ast.expr) -> str:
    """The last name in `x`, `y.x`, `x()`, `y.x()`; "" for anything else."""
    if isinstance(expression, ast.Call):
        return last_name(expression.func)
    return str(getattr(expression, "attr", getattr(expression, "id", "")))


def functions(tree: ast.Module) -> Iterator[tuple[ast.ClassDef | None, ast.FunctionDef]]:
    """(class, function) of every method and function of a module but those that only check values."""
    places: list[tuple[ast.ClassDef | None, list[ast.stmt]]] = [(None, tree.body)]
    places += [(node, node.body) for node in tree.body if isinstance(node, ast.ClassDef)]
    for owner, body in places:
        yield from ((owner, each) for each in body if isinstance(each, ast.FunctionDef) and each.name not in CHECKS)


def classes(*functions: ast.AST) -> dict[str, set[str]]:
    """Functions -> {variable: the classes that an annotation or an `isinstance` in them says it may be of}."""
    result: dict[str, set[str]] = {}
    for node in (node for function in functions for node in ast.walk(function)):
        name, annotation = "", None
        if isinstance(node, ast.arg):
            name, annotation = node.arg, node.annotation
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            name, annotation = node.target.id, node.annotation
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "") == "isinstance":
            name, annotation = getattr(node.args[0], "id", ""), node.args[1]
        if name and annotation is not None:
            result.setdefault(name, set()).update(n.id for n in ast.walk(annotation) if isinstance(n, ast.Name))
    return result


@cache
def source_trees() -> dict[str, ast.Module]:
    """{path below src/glossfree: syntax tree}."""
    source = ROOT / "src/glossfree"
    paths = sorted(source.rglob("*.py"))
    return {str(path.relative_to(source)): ast.parse(path.read_text(encoding="utf-8")) for path in paths}


def shown(value: object) -> str:
    """A default as it would stand in a recipe, floats with six digits."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, tuple):
        return f"[{', '.join(map(shown, value))}]"
    return f'"{value}"' if isinstance(value, str) else str(value)


def recipe_table() -> str:
    """Every value that a recipe may have, table by table: default, standing and meaning."""
    parts = []
    for table in tables():
        lines = [
            f"`{table.title}`",
            "",
            "| key | default | standing | meaning |",
            "| --- | --- | --- | --- |",
        ]
        for name, field in table.fields().items():
            extra = field.json_schema_extra
            standing = extra["standing"] if isinstance(extra, dict) else ""
            key = f"{table.prefix}.{name}".removeprefix(".")
            lines.append(f"| `{key}` | {shown(field.default)} | {standing} | {field.description} |")
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def table_3() -> str:
    """What `glossfree params --recipe hfa-phoenix14t` prints."""
    return f"```text\n{params('hfa-phoenix14t').to_text()}\n```"


def verbs() -> str:
    """Every verb of the command line, with what it does."""
    rows = [f"| `glossfree {name}` | {line} |" for name, line in VERBS.items()]
    return "\n".join(["| verb | what it does |", "| --- | --- |", *rows])


def methods() -> str:
    """The shipped recipes of the field's methods: paper, supervision, what each is, and what it is based on."""
    lines = ["| recipe | paper | supervision | what it is | based on |", "| --- | --- | --- | --- | --- |"]
    for path in shipped_recipes():
        if path.match("recipes/*-phoenix14t.toml") or path.match("methods/*-phoenix14t.toml"):
            recipe, (file, *_) = load_recipe(path), recipe_files(path)
            base = ", ".join(f"`{base.stem}`" for base in file.bases)
            lines.append(f"| `{recipe.name}` | {recipe.paper} | {recipe.supervision} | {recipe.summary} | {base} |")
    return "\n".join(lines)


def languages() -> str:
    """Every spoken language: what tags it, how it is scored, and what mBART calls it."""
    lines = ["| code | language | taggers, the best first | scores | mBART |", "| --- | --- | --- | --- | --- |"]
    for profile in PROFILES.values():
        names = ["spaCy"] * bool(profile.spacy) + ["HanTa"] * bool(profile.hanta)
        names += [profile.analyser] * bool(profile.analyser) + ["simplemma"] * bool(profile.simplemma)
        unit = f"{'characters' if profile.characters else 'words'}, {profile.bleu}"
        width = ", half width" * profile.half_width
        in_50 = " (50)" * (profile.mbart not in ("", *CODES_25))
        lines.append(
            f"| `{profile.code}` | {profile.name} | {', '.join(names)} | {unit}{width} | {profile.mbart}{in_50} |"
        )
    return "\n".join(lines)


SECTIONS_OF: dict[str, dict[str, Callable[[], str]]] = {
    "docs/paper.md": {"recipe": recipe_table, "table 3": table_3},
    "docs/data.md": {"languages": languages},
    "docs/index.md": {"verbs": verbs},
    "docs/methods.md": {"methods": methods},
}


def renewed(document: str) -> str:
    """The text of a document with its generated sections as they should be now. ValueError if a marker is missing."""
    text = (ROOT / document).read_text(encoding="utf-8")
    for name, make in SECTIONS_OF[document].items():
        opening, closing = f"<!-- generated: {name} -->", "<!-- end -->"
        pattern = re.compile(f"{re.escape(opening)}.*?{re.escape(closing)}", re.DOTALL)
        section = f"{opening}\n{make()}\n{closing}"
        text, count = pattern.subn(lambda _, section=section: section, text)  # type: ignore[misc]
        if count != 1:
            raise ValueError(f"{document}: {count} sections {opening}, 1 expected")
    return text


def main() -> None:
    for document in SECTIONS_OF:
        (ROOT / document).write_text(renewed(document), encoding="utf-8")
        sys.stdout.write(f"{document}\n")


if __name__ == "__main__":
    main()
