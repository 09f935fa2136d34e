"""Recipes as files: overrides, every problem at once, and a dump that is itself a recipe."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from glossfree.config import differences, dump_recipe, fields, flat, load_recipe, parse_recipe, recipes_folder
from glossfree.errors import RecipeError
from glossfree.recipe import DataConfig, Recipe

SHIPPED = sorted(recipes_folder().glob("*.toml"))


def leaves(model: type[BaseModel] = Recipe, prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Every value of a recipe with its dotted key."""
    for name, info in model.model_fields.items():
        if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel):
            yield from leaves(info.annotation, f"{prefix}{name}.")
        else:
            yield prefix + name, info


def value_of(recipe: Recipe, key: str) -> object:
    value: object = recipe
    for part in key.split("."):
        value = getattr(value, part)
    return value


def recipe_file(folder: Path, text: str) -> Path:
    path = folder / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_fields_lists_every_key_once() -> None:
    assert list(fields()) == [key for key, _ in leaves()]
    assert len(set(fields())) == len(list(fields()))
    assert {"seed", "vision.hidden_size", "pretrain.pseudo_gloss_weight"} <= set(fields())


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_shipped_recipe_loads_by_name_and_by_path(path: Path) -> None:
    by_name = load_recipe(path.stem)
    assert by_name == load_recipe(path)
    assert by_name.name == path.stem
    assert path.read_text(encoding="utf-8").startswith("#"), "a shipped recipe says what it is for"


def test_the_paper_is_shipped_and_is_the_defaults() -> None:
    assert "hfa-phoenix14t" in [path.stem for path in SHIPPED]
    """But for the rate of its corpus: by default a model sees that of the corpus it is trained on."""
    assert load_recipe("hfa-phoenix14t") == Recipe(data=DataConfig(fps=25.0))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_dumped_recipe_is_the_recipe(path: Path, tmp_path: Path) -> None:
    recipe = load_recipe(path)
    text = dump_recipe(recipe)
    assert load_recipe(recipe_file(tmp_path, text)) == recipe
    assert dump_recipe(load_recipe(recipe_file(tmp_path, text))) == text
    names = [key.rsplit(".", 1)[-1] for key in fields()]
    assert all(f"{name} = " in text for name in names), "every value is written out"


def test_a_dump_keeps_quotes_backslashes_control_characters_booleans_lists_and_small_numbers(tmp_path: Path) -> None:
    tables = {
        "name": 'a "b" C:\\d ü',
        "temporal": {"layer_scale": 3e-7},
        "pseudo_glosses": {"learn_temperatures": False, "splits": ["dev", "train"]},
        "scores": {"append": " .\t\n\u0001"},
    }
    recipe = parse_recipe(tables)
    assert load_recipe(recipe_file(tmp_path, dump_recipe(recipe))) == recipe
    assert 'splits = ["train", "dev"]\n' in dump_recipe(recipe)


@pytest.mark.parametrize(
    ("override", "key", "expected"),
    [
        ("seed=3", "seed", 3),
        ("pretrain.batch_size=8", "pretrain.batch_size", 8),
        ("pretrain.learning_rate=3e-4", "pretrain.learning_rate", 3e-4),
        ("finetune1.augment=false", "finetune1.augment", False),
        ("text.tokenizer=some/folder", "text.tokenizer", "some/folder"),
        ('text.tokenizer="with = sign"', "text.tokenizer", "with = sign"),
        ("text.tokenizer=a=b", "text.tokenizer", "a=b"),
        ("text.tokenizer=", "text.tokenizer", ""),
        (" vision.train =none", "vision.train", "none"),
        ("scores.append= .", "scores.append", " ."),
        ('pseudo_glosses.splits=["train","dev"]', "pseudo_glosses.splits", ("train", "dev")),
        ('pseudo_glosses.splits=["test", "train", "dev", "test"]', "pseudo_glosses.splits", ("train", "dev", "test")),
    ],
)
def test_an_override_sets_its_key_and_nothing_else(override: str, key: str, expected: object) -> None:
    recipe = load_recipe("hfa-phoenix14t", [override])
    assert value_of(recipe, key) == expected
    assert type(value_of(recipe, key)) is type(expected)
    assert [
        other for other in fields() if value_of(recipe, other) != value_of(load_recipe("hfa-phoenix14t"), other)
    ] in ([key], [])


def test_the_last_override_wins_and_overrides_win_over_the_file(tmp_path: Path) -> None:
    path = recipe_file(tmp_path, "seed = 3\n[data]\nstride = 2\nmax_frames = 77\n")
    recipe = load_recipe(path, ["data.stride=5", "data.stride=7"])
    assert (recipe.seed, recipe.data.stride, recipe.data.max_frames) == (3, 7, 77)


@pytest.mark.parametrize(
    ("override", "pieces"),
    [
        ("seed", ["--set seed", "no '='", "section.key=value"]),
        ("seed.deep=3", ["seed"]),
        ("pretrain.batchsize=3", ["'pretrain.batchsize'", "did you mean 'pretrain.batch_size'"]),
        ("pretrain.batch_size=many", ["pretrain.batch_size", "integer"]),
        ("pretrain.batch_size=0", ["pretrain.batch_size", "greater than or equal to 1"]),
        ("pretrain.learning_rate=nan", ["pretrain.learning_rate"]),
        ("vision.train=some", ["vision.train", "'adapters'"]),
        ("pretrain.contrastive_loss=kl", ["pretrain.contrastive_loss", "'divergence'"]),
        ("pseudo_glosses.splits=[]", ["pseudo_glosses.splits", "at least 1"]),
        ('pseudo_glosses.splits=["train","tset"]', ["pseudo_glosses.splits", "'test'"]),
        ("pseudo_glosses.splits=train,dev", ["pseudo_glosses.splits", "tuple"]),
        ("qwxzvy=1", ["unknown key 'qwxzvy'"]),
    ],
)
def test_a_bad_override_is_named_with_what_to_do(override: str, pieces: list[str]) -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe("hfa-phoenix14t", [override])
    assert [piece for piece in pieces if piece not in str(caught.value)] == []
    assert caught.value.remedy


def test_a_key_below_a_plain_value_of_the_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="'seed' is not a table"):
        load_recipe(recipe_file(tmp_path, "seed = 3\n"), ["seed.deep=3"])


def test_all_problems_are_reported_at_once_with_the_file(tmp_path: Path) -> None:
    path = recipe_file(tmp_path, "[temporal]\nhiden_size = 9\nnum_layers = 0\n[decode]\nnum_beams = 'four'\n")
    with pytest.raises(RecipeError) as caught:
        load_recipe(path)
    message = str(caught.value)
    assert caught.value.where == str(path)
    assert "unknown key 'temporal.hiden_size', did you mean 'temporal.hidden_size'?" in message
    assert "temporal.num_layers: " in message
    assert "decode.num_beams: " in message


@pytest.mark.parametrize(
    ("tables", "pieces"),
    [
        ({"vision": {"hidden_size": 385}}, ["vision.hidden_size 385", "vision.num_heads 6"]),
        ({"temporal": {"hidden_size": 510}}, ["temporal.hidden_size 510", "temporal.num_heads 8"]),
        ({"language": {"hidden_size": 1000}}, ["language.hidden_size 1000", "language.num_heads 16"]),
        ({"data": {"crop_size": 280}}, ["data.crop_size 280", "data.frame_size 256"]),
        ({"data": {"crop_size": 223}}, ["data.crop_size 223", "vision.patch_size 14"]),
        ({"vision": {"adapter_layers": 13}}, ["vision.adapter_layers", "vision.num_layers"]),
        ({"temporal": {"window_size": 6}}, ["temporal.window_size", "odd"]),
        ({"temporal": {"downsample_after": 5}}, ["temporal.downsample_after", "temporal.num_layers"]),
        ({"pretrain": {"batch_size": 1}}, ["pretrain.batch_size 1", "negatives"]),
        ({"language": {"weights": "mbart-large-cc25"}}, ["language.weights", "text.tokenizer"]),
        ({"vision": {"features": "cached"}}, ['vision.train = "none"', "pretrain.augment", "finetune2.augment"]),
    ],
)
def test_fields_that_contradict_each_other_are_both_named(tables: dict[str, Any], pieces: list[str]) -> None:
    with pytest.raises(RecipeError) as caught:
        parse_recipe(tables)
    assert [piece for piece in pieces if piece not in str(caught.value)] == []


def test_several_contradictions_are_reported_at_once() -> None:
    with pytest.raises(RecipeError, match=r"vision\.hidden_size 385.*temporal\.window_size"):
        parse_recipe({"vision": {"hidden_size": 385}, "temporal": {"window_size": 4}})


@pytest.mark.parametrize("text", ["seed = ", "seed 3", "[data\n"])
def test_a_file_that_is_not_toml_is_named(tmp_path: Path, text: str) -> None:
    path = recipe_file(tmp_path, text)
    with pytest.raises(RecipeError, match="not TOML") as caught:
        load_recipe(path)
    assert caught.value.where == str(path)


def test_a_file_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_bytes(b'name = "\xff\xfe"\n')
    with pytest.raises(RecipeError, match="not TOML"):
        load_recipe(path)


def test_an_unknown_recipe_names_the_shipped_ones() -> None:
    with pytest.raises(RecipeError, match=r"no-such-recipe: no such recipe -> .*hfa-phoenix14t"):
        load_recipe("no-such-recipe")


def test_differences_of_two_recipes_are_named_with_both_values() -> None:
    old = load_recipe("hfa-phoenix14t")
    assert differences(old, old) == []
    new = load_recipe("hfa-phoenix14t", ["seed=3", "data.stride=2", 'text.language="nl_XX"', "finetune2.epochs=7"])
    expected = ["seed: 0, now 3", "data.stride: 1, now 2"]
    expected += ['text.language: "de_DE", now "nl_XX"', "finetune2.epochs: 200, now 7"]
    assert differences(old, new) == expected
    assert differences(old, new, apart_from=("seed", "text.language")) == [expected[1], expected[3]]


def test_every_value_has_its_dotted_key() -> None:
    recipe = load_recipe("hfa-phoenix14t", ["seed=3", "data.stride=2"])
    found = flat(recipe)
    assert list(found) == list(fields())
    assert (found["seed"], found["data.stride"], found["pseudo_glosses.splits"]) == (3, 2, ("train",))


def test_a_setting_of_a_stage_leaves_its_other_defaults_alone() -> None:
    """Each stage has its own number of epochs, whatever else of it is set."""
    plain = load_recipe("hfa-phoenix14t")
    stages = ("denoise", "pretrain", "finetune1", "finetune2")
    assert [getattr(plain, stage).epochs for stage in stages] == [0, 100, 100, 200]
    for stage in stages:
        changed = load_recipe("hfa-phoenix14t", [f"{stage}.batch_size=9"])
        assert differences(plain, changed) == [f"{stage}.batch_size: 16, now 9"]


@pytest.mark.parametrize(
    "key", ["language.num_layers", "vision.adapter_rank", "temporal.mlp_size", "vision.image_size", "text.num_pieces"]
)
def test_a_number_far_beyond_any_model_is_refused_before_it_is_built(key: str) -> None:
    section, name = key.split(".")
    with pytest.raises(RecipeError, match=key):
        parse_recipe({section: {name: 2**31}})
