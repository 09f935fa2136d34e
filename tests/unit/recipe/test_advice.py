"""Warnings before training: one for each costly difference from the shipped recipe, otherwise none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from glossfree.recipe.advice import _of_all_stages, advice, model_of, random_weights
from glossfree.recipe.files import load_recipe, shipped_recipes

PAPER = "hfa-phoenix14t"
BOTH = ("fp16", "bf16")
STAGES = tuple(stage.name for stage in load_recipe(PAPER).stages)


def lines_of(*overrides: str, recipe: str = PAPER, stages: tuple[str, ...] = STAGES, fast: Any = BOTH) -> list[str]:
    return advice(load_recipe(recipe, overrides), "wetter", stages, fast)


@pytest.mark.parametrize("recipe", [path.stem for path in shipped_recipes()])
@pytest.mark.parametrize("fast", [(), ("fp16",), BOTH])
def test_a_shipped_recipe_as_it_is_needs_no_advice(recipe: str, fast: tuple[str, ...]) -> None:
    assert lines_of(recipe=recipe, fast=fast) == []


def test_an_own_recipe_is_compared_with_the_paper_only_on_its_corpus(tiny: Any) -> None:
    own = load_recipe(tiny.recipe)
    assert model_of(own, "wetter") is None and model_of(own, "phoenix14t-avatar") is None
    assert advice(own, "wetter", STAGES, ()) == []
    assert model_of(own, "phoenix14t") == load_recipe(PAPER)
    lines = advice(own, "phoenix14t", STAGES, ())
    assert any("data.stride is 3, hfa-phoenix14t has 1" in line for line in lines)
    assert any("pretrain.epochs is 1, hfa-phoenix14t has 100" in line for line in lines)


def test_a_recipe_is_compared_with_the_shipped_one_of_its_name() -> None:
    assert model_of(load_recipe("demo", ["seed=3"]), "phoenix14t") == load_recipe("demo")


def test_a_smaller_step_with_the_same_rate_names_the_cost_that_others_report() -> None:
    (pretrain,) = lines_of("pretrain.batch_size=4")
    assert pretrain.startswith("pretrain.batch_size is 4, hfa-phoenix14t has 16: the learning rate is still 0.0006, ")
    assert "8 to 16 instead of 21" in pretrain and "fewer others" in pretrain and "max_frames_per_batch" in pretrain
    (finetune,) = lines_of("finetune1.batch_size=4")
    assert "others;" not in finetune and "8 to 16 instead of 21" in finetune
    (alone,) = lines_of("pretrain.batch_size=4", "pretrain.objectives.contrastive.weight=0")
    assert "others;" not in alone, "a loss of weight 0 compares nothing"


def test_a_stage_that_only_one_recipe_has_is_not_compared() -> None:
    own = (
        "name=mine",
        'stages=["pretrain","finetune2","more"]',
        "more.objectives.translation.weight=1",
        "more.epochs=3",
        "more.mapper=true",
    )
    recipe = load_recipe(PAPER, own)
    assert advice(recipe, "phoenix14t", ("pretrain", "finetune2", "more"), BOTH) == []


def test_a_changed_learning_rate_is_named_instead() -> None:
    (line,) = lines_of("finetune1.batch_size=64", "finetune1.learning_rate=1.2e-3")
    assert "the learning rate is 0.0012, not 0.0006" in line
    assert "8 to 16" not in line and "max_frames_per_batch" not in line
    (larger,) = lines_of("pretrain.batch_size=64", "pretrain.learning_rate=1.2e-3")
    assert "more others" in larger
    assert lines_of("finetune1.learning_rate=1.2e-3") == [], "a rate alone is tuned, not scaled"


def test_epochs_fewer_more_none_and_a_stage_more() -> None:
    lines = lines_of("pretrain.epochs=10", "finetune1.epochs=0", "finetune2.epochs=300", "denoise.epochs=5")
    assert [line.split(":")[0] for line in lines] == [
        "denoise.epochs is 5, hfa-phoenix14t has 0",
        "pretrain.epochs is 10, hfa-phoenix14t has 100",
        "finetune1.epochs is 0, hfa-phoenix14t has 100",
        "finetune2.epochs is 300, hfa-phoenix14t has 200",
    ]
    expected = ("not planned", "sooner", "without it", "later")
    assert all(word in line for word, line in zip(expected, lines, strict=True))


def test_only_stages_still_to_be_trained_are_compared() -> None:
    changed = ("pretrain.epochs=10", "finetune1.batch_size=8")
    assert len(lines_of(*changed)) == 2
    (line,) = lines_of(*changed, stages=("finetune1", "finetune2"))
    assert line.startswith("finetune1.batch_size")
    assert lines_of("pretrain.batch_size=8", "pretrain.epochs=0", stages=("denoise",)) == []
    assert len(lines_of("pretrain.batch_size=8", "pretrain.epochs=0")) == 1, "of a stage that is left out only that"


@pytest.mark.parametrize(("stride", "words"), [(2, "short signs keep few frames"), (1, "")])
def test_stride(stride: int, words: str) -> None:
    lines = lines_of(f"data.stride={stride}")
    assert len(lines) == bool(words)
    assert all(words in line for line in lines)


def test_a_smaller_stride_than_the_recipe_s() -> None:
    own = load_recipe(PAPER).model_copy(update={"name": "demo"})
    strided = own.model_copy(update={"data": own.data.model_copy(update={"stride": 3})})
    (line,) = _of_all_stages(own, strided)
    assert line.startswith("data.stride is 1, demo has 3: more time and memory")


@pytest.mark.parametrize(
    ("precision", "fast", "words"),
    [
        ("fp32", BOTH, ["about twice the time"]),
        ("fp16", BOTH, ["65,504"]),
        ("bf16", BOTH, ["three digits"]),
        ("bf16", ("fp16",), ["hundreds of times", "three digits"]),
        ("bf16", (), ["hundreds of times", "three digits"]),
        ("fp16", (), ["hundreds of times", "65,504"]),
        ("auto", (), []),
    ],
)
def test_precision(precision: str, fast: tuple[str, ...], words: list[str]) -> None:
    lines = lines_of(f"training.precision={precision}", fast=fast)
    assert len(lines) == len(words)
    for line, word in zip(lines, words, strict=True):
        assert word in line and line.startswith(f"training.precision is {precision}")


def test_a_slow_precision_is_named_for_any_recipe(tiny: Any) -> None:
    (line,) = advice(load_recipe(tiny.recipe, ["training.precision=bf16"]), "wetter", STAGES, ())
    assert "hundreds of times" in line


def test_frozen_blocks_in_a_slow_precision_are_named() -> None:
    assert lines_of("vision.frozen_precision=bf16") == []
    (line,) = lines_of("vision.frozen_precision=bf16", fast=())
    assert line.startswith("vision.frozen_precision is bf16") and "hundreds of times" in line


def test_each_is_one_line() -> None:
    lines = lines_of("pretrain.batch_size=4", "pretrain.epochs=3", "data.stride=2", "training.precision=fp32")
    assert len(lines) == 4 and not any("\n" in line for line in lines)


def test_a_frozen_part_without_pretrained_weights_is_named(tmp_path: Path) -> None:
    def parts(*overrides: str, recipe: str = PAPER) -> list[str]:
        return [line.partition(" ")[0] for line in random_weights(load_recipe(recipe, overrides))]

    assert parts() == ["vision.weights", "language.weights"]
    assert parts(*(f"{key}={tmp_path}" for key in ("vision.weights", "language.weights", "text.tokenizer"))) == []
    assert parts("vision.train=all", "language.train=none") == ["language.weights"]
    assert parts("denoise.epochs=3") == ["vision.weights"], "the text stage trains all of mBART"
    assert parts(recipe="demo") == []
    assert parts(recipe="sign2gpt-phoenix14t") == ["vision.weights", "decoder.weights"]
    assert parts("decoder.train=all", recipe="sign2gpt-phoenix14t") == ["vision.weights"]
    of_mbart, of_xglm = (
        random_weights(load_recipe(name))[1] for name in ("sign2gpt-phoenix14t", "sign2gpt-xglm-phoenix14t")
    )
    assert "text.tokenizer" in of_mbart and "text.tokenizer" not in of_xglm, "it brings its own"
