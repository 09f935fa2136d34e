"""Every shipped recipe can be used, and every value of a recipe is read by something."""

from __future__ import annotations

import ast
from pathlib import Path
from types import ModuleType

import pytest

from glossfree.commands.params import params
from glossfree.config import fields, load_recipe, recipes_folder
from glossfree.recipe import Recipe

SHIPPED = sorted(recipes_folder().glob("*.toml"))
# read everywhere, under names too common to follow
COMMON = {"name", "seed"}


# what the authors' public code does otherwise than the paper (or than its defaults here)
AS_RELEASED = {
    "name": "hfa-phoenix14t-as-released",
    "pseudo_glosses.splits": ("train", "dev", "test"),
    "pseudo_glosses.learn_temperatures": False,
    "pretrain.pseudo_gloss_loss": "sigmoid_cross_entropy",
    "pretrain.pseudo_gloss_weight": 1.0,
    "pretrain.contrastive_loss": "divergence",
    "pretrain.average_padding": True,
    "scores.append": " .",
}
# and what it does as the paper says, or what the paper does not say: the defaults
RELEASED_DEFAULTS = {
    "data.stride": 1,
    "data.max_frames": 300,
    "data.augment_probability": 0.5,
    "data.rotation": 30.0,
    "data.resize": 0.2,
    "data.translation": 10.0,
    "finetune1.label_smoothing": 0.2,
    "finetune2.label_smoothing": 0.2,
    "decode.num_beams": 4,
    "pseudo_glosses.num_pseudo_glosses": 2322,
    "pseudo_glosses.train_prototypes": True,
    "vision.adapter_rank": 4,
    "vision.adapter_layers": 3,
} | {
    f"{stage}.{field}": value
    for stage in ("pretrain", "finetune1", "finetune2")
    for field, value in {"learning_rate": 6e-4, "weight_decay": 0.01, "warmup": 0.05, "max_grad_norm": 1.0}.items()
}


def value_of(recipe: Recipe, key: str) -> object:
    value: object = recipe
    for part in key.split("."):
        value = getattr(value, part)
    return value


def unread(generate: ModuleType, trees: dict[str, ast.Module]) -> set[str]:
    """Dotted keys that none of the files reads."""
    return {key for key, files in generate.readers(trees).items() if not files} - COMMON


def test_every_value_is_read(generate: ModuleType) -> None:
    assert set(generate.readers({})) == set(fields())
    assert unread(generate, generate.source_trees()) == set(generate.WITHOUT_USE)


def test_the_released_recipe_differs_from_the_paper_in_these_values_and_no_others() -> None:
    paper, released = load_recipe("hfa-phoenix14t"), load_recipe("hfa-phoenix14t-as-released")
    different = {key for key in fields() if value_of(paper, key) != value_of(released, key)}
    assert {key: value_of(released, key) for key in different} == AS_RELEASED
    assert {key: value_of(released, key) for key in RELEASED_DEFAULTS} == RELEASED_DEFAULTS


def test_every_difference_of_the_released_recipe_has_a_line_that_says_how_well_it_is_known() -> None:
    (path,) = [path for path in SHIPPED if path.stem == "hfa-phoenix14t-as-released"]
    lines = path.read_text(encoding="utf-8").splitlines()
    values = [number for number, line in enumerate(lines) if " = " in line and not line.startswith(("#", "name"))]
    assert len(values) == len(AS_RELEASED)  # without the name, with the rate of the corpus
    for number in values:
        assert lines[number - 1].startswith(("# released: ", "# released, derived: ")), lines[number]


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
