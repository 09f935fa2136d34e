"""Tables (and one picture) of the documents that come out of the code: `python docs/generate.py` writes them anew.

Each stands between `<!-- generated: NAME -->` and `<!-- end -->` in its document. `tests/house/test_documents.py` fails
where one is stale.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import typer
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from glossfree.cli import app
from glossfree.commands.params import params
from glossfree.corpora.avatar import wetter
from glossfree.corpora.avatar.signing import SignedSentence
from glossfree.corpora.manifest import Clip
from glossfree.recipe import Recipe, StageConfig

ROOT = Path(__file__).parents[1]
SECTIONS = frozenset(Recipe.model_fields)
STAGES = frozenset(
    n
    for n, info in Recipe.model_fields.items()
    if isinstance(info.annotation, type) and issubclass(info.annotation, StageConfig)
)
ANY_STAGE = "a stage"  # what a variable stands for that may hold the settings of any stage
NOT_A_READER = ("recipe.py", "config.py")  # where values are defined, written and checked against each other
# Settings that every stage has and this one has no use for.
WITHOUT_USE = {
    "denoise.augment": "sentences have noise instead: mask_ratio and mean_span",
    "denoise.cache_features": "a sentence's tokens are no features",
    "pretrain.label_smoothing": "eqs 3 and 4 have no labels to smooth",
}


def leaves(model: type[BaseModel] = Recipe, section: str = "") -> Iterator[tuple[str, str, FieldInfo]]:
    """(section, field, what it is) of every value; the section of `name` and `seed` is ""."""
    for name, info in model.model_fields.items():
        if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel):
            yield from leaves(info.annotation, name)
        else:
            yield section, name, info


def meaning(node: ast.expr | None, known: Mapping[str, str]) -> str:
    """What section of a recipe an expression stands for: "" for the whole recipe or for nothing of it."""
    if isinstance(node, ast.Name):
        return known.get(node.id, "")
    if isinstance(node, ast.Attribute):
        return node.attr if node.attr in SECTIONS else ""
    if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "getattr":
        return ANY_STAGE
    return ""


@cache
def reads(tree: ast.Module) -> set[tuple[str, str]]:
    """(section, field) that a module takes out of a recipe, followed through local names and annotated arguments."""
    found: set[tuple[str, str]] = set()
    for function in (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)):
        known = {name: name for name in SECTIONS}
        arguments = [*function.args.args, *function.args.kwonlyargs]
        known |= {a.arg: ANY_STAGE for a in arguments if getattr(a.annotation, "id", "") == "StageConfig"}
        for node in ast.walk(function):
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                known[node.target.id] = meaning(node.value, known)
            elif isinstance(node, ast.Assign):
                for name, value in assigned(node):
                    known[name] = meaning(value, known)
        attributes = (node for node in ast.walk(function) if isinstance(node, ast.Attribute))
        found |= {(meaning(node.value, known), node.attr) for node in attributes}
    return found


def assigned(node: ast.Assign) -> Iterator[tuple[str, ast.expr]]:
    """`a, b = x, y` -> (a, x), (b, y)."""
    for target in node.targets:
        pairs: list[tuple[ast.expr, ast.expr]] = [(target, node.value)]
        if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
            pairs = list(zip(target.elts, node.value.elts, strict=True))
        yield from ((name.id, value) for name, value in pairs if isinstance(name, ast.Name))


def readers(trees: Mapping[str, ast.Module]) -> dict[str, list[str]]:
    """{file: its syntax tree} -> {dotted key: the files that read it}."""
    found = {name: reads(tree) for name, tree in trees.items() if name not in NOT_A_READER}
    result = {}
    for section, field, _ in leaves():
        key = f"{section}.{field}".removeprefix(".")
        ways = {(section, field)}
        if section in STAGES and key not in WITHOUT_USE:
            ways.add((ANY_STAGE, field))
        # "name" and "seed" are common words: only `recipe.name` and the like count
        result[key] = sorted(name for name, read in found.items() if ways & read) if section else []
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
    """Every value of a recipe: key, default, standing, meaning, and the files that read it."""
    paper = Recipe()
    read_in = readers(source_trees())
    lines = ["| key | default | standing | meaning | read in |", "| --- | --- | --- | --- | --- |"]
    for section, field, info in leaves():
        key = f"{section}.{field}".removeprefix(".")
        default = getattr(getattr(paper, section) if section else paper, field)
        extra = info.json_schema_extra
        standing = extra["standing"] if isinstance(extra, dict) else ""
        files = ", ".join(f"`{name}`" for name in read_in[key]) if section else "everywhere"
        if key in WITHOUT_USE:
            files = f"nothing: {WITHOUT_USE[key]}"
        lines.append(f"| `{key}` | {shown(default)} | {standing} | {info.description} | {files} |")
    return "\n".join(lines)


def table_3() -> str:
    """What `glossfree params --recipe hfa-phoenix14t` prints."""
    return f"```text\n{params('hfa-phoenix14t').to_text()}\n```"


def verbs() -> str:
    """Every verb of the command line, with what it does."""
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    rows = [f"| `glossfree {name}` | {(command.help or '').splitlines()[0]} |" for name, command in commands.items()]
    return "\n".join(["| verb | what it does |", "| --- | --- |", *rows])


SECTIONS_OF: dict[str, dict[str, Callable[[], str]]] = {
    "docs/paper.md": {"recipe": recipe_table, "table 3": table_3},
    "docs/index.md": {"verbs": verbs},
}


def signers(count: int = 4, size: int = 128) -> np.ndarray:
    """One frame each of the first signers of `wetter`, in the middle of a sign, side by side: (size, N, 3) RGB."""
    first: dict[str, Clip] = {}
    for clip in wetter.clips(None, "test", limit=50):
        first.setdefault(clip.signer, clip)
    frames = []
    for clip in list(first.values())[:count]:
        assert isinstance(clip.source, SignedSentence)
        sign = clip.source.spans[1]
        frames.append(clip.source.render(size)[(sign.start + sign.end) // 2])
    return np.concatenate(frames, axis=1)


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
    picture = ROOT / "docs/images/signers.png"
    picture.parent.mkdir(exist_ok=True)
    cv2.imwrite(str(picture), signers()[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 9])
    sys.stdout.write(f"{picture.relative_to(ROOT)}\n")


if __name__ == "__main__":
    main()
