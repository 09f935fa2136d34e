"""A recipe as values: explained, compared, and written as TOML that is itself a recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.unit.recipe_files import PAPER, recipe_file

from glossfree.models.decoders.language_model import LanguageModelDecoding
from glossfree.recipe.files import load_recipe, parse_recipe, shipped_recipes
from glossfree.recipe.values import differences, dump_recipe, explain, flat, in_words


@pytest.mark.parametrize("path", shipped_recipes(), ids=lambda path: path.stem)
def test_a_dumped_recipe_is_the_recipe(path: Path, tmp_path: Path) -> None:
    recipe = load_recipe(path)
    text = dump_recipe(recipe)
    assert load_recipe(recipe_file(tmp_path, text)) == recipe
    assert dump_recipe(load_recipe(recipe_file(tmp_path, text))) == text
    written = {f"{key.rpartition('.')[2]} = " for key, value in flat(recipe).items() if value != {}}
    assert [line for line in written if f"\n{line}" not in f"\n{text}"] == [], "every value is written out"


def test_a_dump_keeps_quotes_control_characters_booleans_lists_tables_and_small_numbers(tmp_path: Path) -> None:
    content = {
        "name": 'a "b" C:\\d ü',
        "stages": ["one", "tw-o", "3"],
        "one": {
            "objectives": {"pseudo_gloss": {"learn_temperatures": False, "splits": ["dev", "train"]}},
            "learning_rate_factors": {"vision": 0.1, "pseudo_gloss": 3},
        },
        "tw-o": {"objectives": {"translation": {}}, "start": "none", "train": ["mapper", "decoder"]},
        "3": {"epochs": 0},
        "temporal": {"layer_scale": 3e-7},
        "scores": {"append": " .\t\n\u0001"},
        "language": {"kind": "none"},
        "decoder": {
            "kind": "language_model",
            "config": {"model_type": "llama", "rope_parameters": {"rope_theta": 5e5}, "pad_token_id": "none", "a": [1]},
        },
    }
    recipe = parse_recipe(content)
    text = dump_recipe(recipe)
    assert load_recipe(recipe_file(tmp_path, text)) == recipe
    assert 'splits = ["train", "dev"]\n' in text
    assert "[one.learning_rate_factors]\nvision = 0.1\npseudo_gloss = 3.0\n" in text
    commented_text = dump_recipe(recipe, {"one.epochs": 'stated; paper: "x" [y]', "seed": "assumed"})
    assert commented_text.count("#") == 2
    assert load_recipe(recipe_file(tmp_path, commented_text)) == recipe


def test_every_value_has_its_dotted_key() -> None:
    values = flat(load_recipe(PAPER, ["seed=3", "data.stride=2", "finetune2.learning_rate_factors.vision=0.1"]))
    assert (values["seed"], values["data.stride"], values["vision.kind"]) == (3, 2, "dinov2")
    assert values["stages"] == ["denoise", "pretrain", "finetune1", "finetune2"]
    assert values["pretrain.objectives.pseudo_gloss.splits"] == ("train",)
    assert values["finetune2.learning_rate_factors.vision"] == 0.1
    assert not {"pretrain.name", "finetune2.learning_rate_factors", "denoise.objectives"} & set(values)


def test_differences_of_two_recipes_are_named_with_both_values() -> None:
    old = load_recipe(PAPER)
    assert differences(old, old) == {}
    overrides = ["seed=3", "data.stride=2", 'text.language="nl_XX"', "finetune2.epochs=7", "temporal.kind=linear"]
    changes = differences(old, load_recipe(PAPER, [*overrides, "finetune1.learning_rate_factors.mapper=2"]))
    assert changes.pop("temporal.kind") == ("local_attention", "linear")
    assert changes.pop("temporal.num_layers") == (4, None)
    expected = {
        "seed": (0, 3),
        "data.stride": (1, 2),
        "text.language": ("", "nl_XX"),
        "finetune2.epochs": (200, 7),
        "finetune1.learning_rate_factors.mapper": (None, 2.0),
    }
    assert {key: values for key, values in changes.items() if key in expected} == expected
    left = {key.partition(".")[0] for key in changes if key not in expected}
    assert left == {"temporal", "finetune1"} and "finetune1.learning_rate_factors" in changes
    seedless = differences(old, load_recipe(PAPER, overrides), apart_from=("seed", "text.language"))
    assert [key for key in seedless if not key.startswith("temporal")] == ["data.stride", "finetune2.epochs"]


def test_differences_in_words() -> None:
    changes: dict[str, Any] = {"text.language": ("de_DE", "nl_XX"), "a.b": (None, 0.5), "c": (True, ("x", "y"))}
    assert in_words(changes) == 'text.language: "de_DE", now "nl_XX"; a.b: nothing, now 0.5; c: true, now ["x", "y"]'


def test_every_value_is_explained() -> None:
    recipe = load_recipe("signcl-phoenix14t", ["finetune2.learning_rate_factors.vision=0.1", "vision.kind=convnet"])
    explained = explain(recipe, {"seed": "stated"})
    assert {key: each.value for key, each in explained.items()} == flat(recipe)
    assert all(each.meaning for each in explained.values())
    pooling = explained["pretrain.objectives.contrastive.pooling"]
    assert (pooling.value, pooling.default, pooling.standing) == ("first", "mean", "assumed")
    assert "token" in pooling.meaning
    kind = explained["vision.kind"]
    assert (kind.default, kind.standing, kind.meaning) == ("dinov2", "assumed", "one of dinov2, convnet")
    factor = explained["finetune2.learning_rate_factors.vision"]
    assert factor.meaning == explained["pretrain.learning_rate_factors"].meaning
    rope = {"rope_type": "linear", "factor": 2.0}
    config = {"model_type": "llama", "rope_parameters": rope, "layer_types": ["full_attention"], "pad_token_id": "none"}
    decoder = LanguageModelDecoding(config=config)
    explained_config = explain(recipe.model_copy(update={"decoder": decoder}), {})
    nested = explained_config["decoder.config.rope_parameters.rope_type"]
    assert nested.value == "linear" and nested.meaning == explained_config["decoder.config.model_type"].meaning
    assert (explained["seed"].standing, explained["data.stride"].standing) == ("stated", "released")
