"""Every shipped recipe can be used, and every value of a recipe is read by something."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import pytest

from glossfree.cli.params import params
from glossfree.models.temporal import TEMPORAL
from glossfree.models.temporal.local_attention import LocalAttention
from glossfree.objectives import OBJECTIVES
from glossfree.objectives.translation import Translation
from glossfree.recipe.files import load_recipe, recipe_files, shipped_recipes
from glossfree.recipe.values import differences, explain, flat
from glossfree.settings import value

PAPER, RELEASED = "hfa-phoenix14t", "hfa-phoenix14t-as-released"
SHIPPED = shipped_recipes()
STANDING = re.compile(r"#\s*(stated|released|derived|assumed)\b")

# all that the paper's recipe says: the rest are defaults
PAPERS = {
    "data.fps": 25.0,
    "denoise.batches": "sentences",
    "denoise.train": ("language", "decoder"),
    "denoise.adapters": False,
    "denoise.epochs": 0,
    "pretrain.train": ("vision", "temporal", "language"),
    "finetune1.train": ("mapper", "decoder"),
    "finetune1.mapper": True,
    "finetune2.mapper": True,
    "finetune2.epochs": 200,
}
# what the authors' public code does otherwise than the paper (or than its defaults here)
AS_RELEASED = {
    "pretrain.objectives.pseudo_gloss.splits": ("train", "dev", "test"),
    "pretrain.objectives.pseudo_gloss.learn_temperatures": False,
    "pretrain.objectives.pseudo_gloss.loss": "sigmoid_cross_entropy",
    "pretrain.objectives.pseudo_gloss.weight": 1.0,
    "pretrain.objectives.contrastive.loss": "divergence",
    "pretrain.objectives.contrastive.average_padding": True,
    "pretrain.objectives.contrastive.equal_sentences": "negatives",
    "finetune2.warmup": 10.0,
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
    "finetune1.objectives.translation.label_smoothing": 0.2,
    "finetune2.objectives.translation.label_smoothing": 0.2,
    "decode.num_beams": 4,
    "pretrain.objectives.pseudo_gloss.num_pseudo_glosses": 2322,
    "pretrain.objectives.pseudo_gloss.train_prototypes": True,
    "vision.adapter_rank": 4,
    "vision.adapter_layers": 3,
    "pretrain.warmup": 5.0,
    "finetune1.warmup": 5.0,
} | {
    f"{stage}.{field}": content
    for stage in ("pretrain", "finetune1", "finetune2")
    for field, content in {"learning_rate": 6e-4, "weight_decay": 0.01, "max_grad_norm": 1.0}.items()
}


def test_the_paper_s_recipe_says_these_values_and_leaves_all_others_to_their_defaults() -> None:
    recipe = load_recipe(PAPER)
    changed = {key: each.value for key, each in explain(recipe, {}).items() if each.value != each.default}
    assert {key: changed.pop(key) for key in ("name", "stages")} == {
        "name": PAPER,
        "stages": ["denoise", "pretrain", "finetune1", "finetune2"],
    }
    assert changed.pop("summary") and changed.pop("paper")
    assert changed == PAPERS
    objectives = {stage.name: [*stage.used_objectives] for stage in recipe.planned}
    assert objectives == {
        "pretrain": ["pseudo_gloss", "contrastive"],
        "finetune1": ["translation"],
        "finetune2": ["translation"],
    }


def test_the_released_recipe_differs_from_the_paper_in_these_values_and_no_others() -> None:
    released = load_recipe(RELEASED)
    changes = differences(load_recipe(PAPER), released, apart_from=("name", "summary", "paper"))
    assert {key: new for key, (_, new) in changes.items()} == AS_RELEASED
    values = flat(released)
    assert {key: values[key] for key in RELEASED_DEFAULTS} == RELEASED_DEFAULTS


def standings_in(path: Path) -> dict[str, str]:
    """The standings that comments of a recipe's file give to its values."""
    settings = recipe_files(path)[0].settings
    return {key: setting.standing for key, setting in settings.items() if setting.standing}


def test_every_difference_of_the_released_recipe_says_that_it_is_released() -> None:
    standings = standings_in(recipe_files(RELEASED)[0].path)
    assert set(standings) == set(AS_RELEASED)
    assert set(standings.values()) == {"released", "released, derived"}


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_comment_that_names_a_standing_reaches_a_value(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    comments = [line for line in lines if STANDING.match(line)]
    assert len(standings_in(path)) == len(comments)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_shipped_recipe_loads_is_printed_as_itself_and_builds_its_models(
    path: Path, tmp_path: Path, call: Any
) -> None:
    recipe = load_recipe(path.stem)
    assert recipe.name == path.stem and recipe.summary and recipe.planned
    assert "drawn" not in recipe.summary, "cards have it, whatever the corpus was; they name that themselves"
    assert path.read_text(encoding="utf-8").startswith("#"), "a shipped recipe says what it is for"
    shown = call("recipe", path.stem)
    assert (shown.code, shown.err) == (0, "")
    printed = tmp_path / "printed.toml"
    printed.write_text(shown.out, encoding="utf-8")
    assert load_recipe(printed) == recipe
    counts = params(path.stem)
    assert counts.recipe == path.stem
    assert [*counts.parts] == [stage.name for stage in recipe.planned]
    for stage in recipe.planned:
        trainable, total = counts.total(stage.name)
        assert 0 < trainable <= total
        assert {f"objective {name}" for name in stage.used_objectives} <= set(counts.parts[stage.name])


# what of a recipe is read


def unread(generate: ModuleType, trees: dict[str, ast.Module]) -> set[str]:
    """Keys, each behind its table, that none of the files reads."""
    return {f"{title} {key}" for (title, key), files in generate.readers(trees).items() if not files}


def test_every_value_is_read(generate: ModuleType) -> None:
    assert unread(generate, generate.source_trees()) == set()


def test_the_table_of_the_documents_lists_every_key_of_every_shipped_recipe(generate: ModuleType) -> None:
    listed = set(re.findall(r"^\| `([\w.]+)` \|", generate.recipe_table(), re.MULTILINE))
    kinds = set(re.findall(r'^`\[(\w+)\] kind = "(\w+)"`$', generate.recipe_table(), re.MULTILINE))
    for path in SHIPPED:
        recipe = load_recipe(path)
        stages = "|".join(stage.name for stage in recipe.stages)
        for key, content in flat(recipe).items():
            if key.endswith(".kind"):
                assert (key.removesuffix(".kind"), content) in kinds
            else:
                key = re.sub(rf"^(?:{stages})\.", "STAGE.", key)
                assert {key, re.sub(r"(learning_rate_factors|config)\.[\w.]+$", r"\1", key)} & listed


def test_the_table_says_how_well_a_default_is_known(generate: ModuleType) -> None:
    lines = {line.split("`")[1]: line for line in generate.recipe_table().splitlines() if line.startswith("| `")}
    assert lines["STAGE.warmup"].startswith("| `STAGE.warmup` | 5 | stated | epochs in which ")
    label_smoothing = "STAGE.objectives.translation.label_smoothing"
    assert lines[label_smoothing] == f"| `{label_smoothing}` | 0.2 | released | of eq 6 |"
    train = [line for line in generate.recipe_table().splitlines() if line.startswith("| `vision.train` |")]
    assert [line.split(" | ")[1:3] for line in train] == [['"adapters"', "stated"], ['"all"', "assumed"]]


class Louder(Translation):
    volume: float = value(1.0, "assumed", "a value that nothing reads")


class Wider(LocalAttention):
    kind: Literal["wider"] = "wider"  # type: ignore[assignment]
    width: int = value(1, "assumed", "a value that nothing reads")


def test_a_new_value_that_nothing_reads_is_found(generate: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(OBJECTIVES, "louder", Louder)
    monkeypatch.setitem(TEMPORAL, "wider", Wider)
    missing = unread(generate, generate.source_trees())
    assert "[STAGE.objectives.louder] volume" in missing
    assert '[temporal] kind = "wider" width' in missing
    assert "[STAGE.objectives.louder] label_smoothing" not in missing, "the class below reads it"


@pytest.mark.parametrize(
    "key",
    [
        "[STAGE] train",
        "[STAGE] warmup",
        "[STAGE] start",
        "[STAGE.objectives.pseudo_gloss] splits",
        "[STAGE.objectives.contrastive] pooling",
        "[data] stride",
        '[vision] kind = "dinov2" adapter_rank',
        '[vision] kind = "convnet" image_size',
        '[temporal] kind = "local_attention" window_size',
    ],
)
def test_what_nothing_reads_any_more_is_found(generate: ModuleType, key: str) -> None:
    trees = generate.source_trees()
    (readers,) = [files for (title, name), files in generate.readers(trees).items() if f"{title} {name}" == key]
    assert key in unread(generate, {name: tree for name, tree in trees.items() if name not in readers})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("def f(recipe): return recipe.data.stride", {("recipe", "data"), ("data", "stride")}),
        ("def f(recipe):\n    data = recipe.data\n    return data.stride", {("recipe", "data"), ("data", "stride")}),
        ("def f(config: StageConfig): return config.epochs", {("StageConfig", "epochs")}),
        ("def f(a: Backbone | Language): return a.train", {("Backbone", "train"), ("Language", "train")}),
        ("def f(stage: Stage): return stage.epochs", {("Stage", "epochs")}),
        ("def f(recipe, name): return recipe.stage(name).start", {("stage", "start")}),
        (
            "def f(recipe):\n    options = recipe.objective()\n    if isinstance(options, Mine):\n        options.size",
            {("Mine", "size")},
        ),
        (
            "class Loss:\n    def __init__(self, options: Mine): self.options = options\n"
            "    def forward(self):\n        options = self.options\n        return options.size, self.options.width",
            {("Mine", "size"), ("Mine", "width"), ("Loss", "options")},
        ),
        (
            "class Mine:\n    def build(self): return Part(self.size, **self.model_dump(exclude={'kind'}))",
            {("Mine", "size"), ("Mine", "**"), ("Mine", "-kind")},
        ),
        ("class Mine:\n    def sizes(self): return self.model_dump()", set()),
        ("class Mine:\n    def problems(self):\n        if self.size > 3: yield 'size'", set()),
    ],
)
def test_reads_are_followed(generate: ModuleType, text: str, expected: set[tuple[str, str]]) -> None:
    assert set(generate.reads_of(ast.parse(text))) == expected
