"""Every shipped recipe can be used, and every value of a recipe is read by something."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping

import pytest
from pydantic import BaseModel

from glossfree.commands.params import params
from glossfree.config import recipes_folder
from glossfree.recipe import Recipe, StageConfig

SHIPPED = sorted(recipes_folder().glob("*.toml"))
SECTIONS = set(Recipe.model_fields)
STAGES = {name for name, info in Recipe.model_fields.items() if issubclass(info.annotation or str, StageConfig)}
ANY_STAGE = "a stage"  # what a variable stands for that may hold the settings of any stage
# where values are only defined, written and checked against each other
NOT_A_READER = {"glossfree.recipe", "glossfree.config"}
# Settings that every stage has and this one has no use for. A list that shrinks.
WITHOUT_USE = {
    "denoise.augment": "sentences are not augmented; their noise is mask_ratio and mean_span",
    "denoise.cache_features": "a sentence's tokens are no features",
    "pretrain.label_smoothing": "eqs 3 and 4 have no labels to smooth",
}


def leaves(model: type[BaseModel] = Recipe, section: str = "") -> Iterator[tuple[str, str]]:
    """(section, field) of every value; the section of `name` and `seed` is ""."""
    for name, info in model.model_fields.items():
        if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel):
            yield from leaves(info.annotation, name)
        else:
            yield section, name


def meaning(node: ast.expr | None, known: Mapping[str, str]) -> str:
    """What section of a recipe an expression stands for: "" for the whole recipe or for nothing of it."""
    if isinstance(node, ast.Name):
        return known.get(node.id, "")
    if isinstance(node, ast.Attribute):
        return node.attr if node.attr in SECTIONS else ""
    if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "getattr":
        return ANY_STAGE
    return ""


def reads(tree: ast.Module) -> set[tuple[str, str]]:
    """(section, field) that a module takes out of a recipe, followed through local names and annotated arguments."""
    found: set[tuple[str, str]] = set()
    functions = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)]
    for function in functions:
        known = {name: name for name in SECTIONS}
        arguments = [*function.args.args, *function.args.kwonlyargs]
        known |= {a.arg: ANY_STAGE for a in arguments if getattr(a.annotation, "id", "") == "StageConfig"}
        for node in ast.walk(function):
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                known[node.target.id] = meaning(node.value, known)
            if isinstance(node, ast.Assign):
                for target in node.targets:
                    pairs = [(target, node.value)]
                    if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
                        pairs = list(zip(target.elts, node.value.elts, strict=True))
                    known |= {name.id: meaning(value, known) for name, value in pairs if isinstance(name, ast.Name)}
        for node in ast.walk(function):
            if isinstance(node, ast.Attribute):
                found.add((meaning(node.value, known), node.attr))
    return found


def unread(trees: Mapping[str, ast.Module]) -> set[str]:
    """Dotted keys that no module of `trees` reads."""
    found = set().union(*(reads(tree) for name, tree in trees.items() if name not in NOT_A_READER))
    missing = set()
    for section, field in leaves():
        ways = {(section, field)}
        if section in STAGES and f"{section}.{field}" not in WITHOUT_USE:
            ways.add((ANY_STAGE, field))
        if not ways & found:
            missing.add(f"{section}.{field}".removeprefix("."))
    return missing


def test_every_value_is_read(trees: dict[str, ast.Module]) -> None:
    assert unread(trees) == set(WITHOUT_USE)


def test_every_shipped_recipe_builds_its_models() -> None:
    assert {"demo", "hfa-phoenix14t"} <= {path.stem for path in SHIPPED}
    for path in SHIPPED:
        counts = params(path)
        assert counts.recipe == path.stem
        for stage in counts.parts:
            trainable, total = counts.total(stage)
            assert 0 < trainable <= total


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("def f(recipe):\n    return recipe.data.stride", ("data", "stride")),
        ("def f(self):\n    data = self.recipe.data\n    return data.stride", ("data", "stride")),
        (
            "def f(r):\n    v, t = r.vision, r.temporal\n    return t.num_layers",
            ("temporal", "num_layers"),
        ),
        ("def f(stage: StageConfig):\n    return stage.epochs", (ANY_STAGE, "epochs")),
        ("def f(r, name):\n    return getattr(r, name).keep", (ANY_STAGE, "keep")),
    ],
)
def test_reads_are_followed(text: str, expected: tuple[str, str]) -> None:
    assert expected in reads(ast.parse(text))


def test_what_nobody_reads_is_found(trees: dict[str, ast.Module]) -> None:
    without = {name: tree for name, tree in trees.items() if name != "glossfree.assemble"}
    assert {"vision.adapter_rank", "temporal.window_size", "pseudo_glosses.dropout"} <= unread(without)
    assert "temporal.window_size" not in unread({"glossfree.new": ast.parse("def f(temporal): temporal.window_size")})
    assert "language.window_size" not in unread({})  # no such key
