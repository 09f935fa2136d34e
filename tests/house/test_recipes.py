"""Every shipped recipe can be used, and every value of a recipe is read by something."""

from __future__ import annotations

import ast
from pathlib import Path
from types import ModuleType

import pytest

from glossfree.commands.params import params
from glossfree.config import fields, recipes_folder

SHIPPED = sorted(recipes_folder().glob("*.toml"))
# read everywhere, under names too common to follow
COMMON = {"name", "seed"}


def unread(generate: ModuleType, trees: dict[str, ast.Module]) -> set[str]:
    """Dotted keys that none of the files reads."""
    return {key for key, files in generate.readers(trees).items() if not files} - COMMON


def test_every_value_is_read(generate: ModuleType) -> None:
    assert set(generate.readers({})) == set(fields())
    assert unread(generate, generate.source_trees()) == set(generate.WITHOUT_USE)


@pytest.mark.parametrize("recipe", SHIPPED, ids=lambda path: path.stem)
def test_every_shipped_recipe_builds_its_models(recipe: Path) -> None:
    counts = params(recipe)
    assert counts.recipe == recipe.stem
    for stage in counts.parts:
        trainable, total = counts.total(stage)
        assert 0 < trainable <= total


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("def f(recipe):\n    return recipe.data.stride", ("data", "stride")),
        ("def f(self):\n    data = self.recipe.data\n    return data.stride", ("data", "stride")),
        ("def f(r):\n    v, t = r.vision, r.temporal\n    return t.num_layers", ("temporal", "num_layers")),
        ("def f(stage: StageConfig):\n    return stage.epochs", ("a stage", "epochs")),
        ("def f(r, name):\n    return getattr(r, name).keep", ("a stage", "keep")),
    ],
)
def test_reads_are_followed(generate: ModuleType, text: str, expected: tuple[str, str]) -> None:
    assert expected in generate.reads(ast.parse(text))


def test_what_nobody_reads_is_found(generate: ModuleType) -> None:
    trees = {name: tree for name, tree in generate.source_trees().items() if name != "assemble.py"}
    assert {"vision.adapter_rank", "temporal.window_size", "pseudo_glosses.dropout"} <= unread(generate, trees)
    key, other = "temporal.window_size", "temporal.mlp_size"
    only = unread(generate, {"new.py": ast.parse("def f(temporal): temporal.window_size")})
    assert key not in only
    assert other in only
