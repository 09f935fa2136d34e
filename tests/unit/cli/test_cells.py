"""The cells of a sweep: every seed at every point, readable names, and what is refused before anything starts."""

from __future__ import annotations

from typing import Any

import pytest

from glossfree.cli.cells import LONGEST_NAME, cells_of, folder_name, parse_grid, parse_seeds, value_text
from glossfree.errors import RecipeError
from glossfree.recipe.files import load_recipe

GRID = ["pretrain.objectives.pseudo_gloss.weight=1,10", "finetune2.learning_rate=6e-4,8e-4,1e-3"]


def test_every_seed_at_every_point(tiny: Any) -> None:
    cells = cells_of(tiny.recipe, ["finetune2.epochs=3"], [0, 42], GRID)
    assert [(*cell.point.values(), cell.seed) for cell in cells] == [
        (weight, rate, seed) for weight in (1, 10) for rate in (6e-4, 8e-4, 1e-3) for seed in (0, 42)
    ]
    changes = [
        "finetune2.epochs=3",
        "pretrain.objectives.pseudo_gloss.weight=10",
        "finetune2.learning_rate=8e-4",
        "seed=42",
    ]
    assert cells[9].recipe == load_recipe(tiny.recipe, changes)
    assert cells[9].name == "pretrain.objectives.pseudo_gloss.weight=10,finetune2.learning_rate=0.0008,seed=42"
    assert len({cell.name for cell in cells}) == len(cells) == 12


def test_without_a_grid_there_are_only_seeds(tiny: Any) -> None:
    assert [cell.name for cell in cells_of(tiny.recipe, [], [7, 3], [])] == ["seed=7", "seed=3"]


@pytest.mark.parametrize(
    ("line", "values"),
    [
        ("a.b=1,2", ["1", "2"]),
        ("a.b = x , y", ["x", "y"]),
        ('a.b=["train"],["train","dev"]', ['["train"]', '["train","dev"]']),
        ('a.b=" .","x,y"', ['" ."', '"x,y"']),
        ("a.b='[',2", ["'['", "2"]),
        ("a.b=", [""]),
    ],
)
def test_commas_within_brackets_and_quotes_divide_nothing(line: str, values: list[str]) -> None:
    assert parse_grid(line) == ("a.b", values)


def test_a_list_is_one_value(tiny: Any) -> None:
    cells = cells_of(tiny.recipe, [], [0], ['finetune2.train=["decoder"],["mapper","decoder"]'])
    assert [cell.recipe.stage("finetune2").train for cell in cells] == [("decoder",), ("mapper", "decoder")]
    assert [cell.name for cell in cells] == [
        f"finetune2.train={value},seed=0" for value in ("decoder", "mapper+decoder")
    ]


def test_parts_of_the_model_can_be_compared(tiny: Any) -> None:
    cells = cells_of(tiny.recipe, [], [5], ["temporal.kind=local_attention,linear", "temporal.hidden_size=40"])
    assert [(cell.recipe.temporal.kind, cell.recipe.temporal.hidden_size) for cell in cells] == [
        ("local_attention", 40),
        ("linear", 40),
    ]
    assert cells[1].name == "temporal.kind=linear,temporal.hidden_size=40,seed=5"


@pytest.mark.parametrize(
    ("overrides", "seeds", "grid", "words"),
    [
        (
            [],
            [0],
            ["pretrain.objectives.pseudo_gloss.wieght=1,2"],
            "did you mean 'pretrain.objectives.pseudo_gloss.weight'",
        ),
        ([], [0], ["pretrain.batch_size=5,1"], "no negatives"),
        ([], [0], ["pretrain.batch_size"], "write section.key=a,b,c"),
        ([], [0], ["seed=1,2"], "seed: set twice"),
        (["seed=1"], [0], [], "seed: set twice"),
        (["pretrain.epochs=1"], [0], ["pretrain.epochs=1,2"], "pretrain.epochs: set twice"),
        ([], [0], ["pretrain.epochs=1", "pretrain.epochs=2"], "pretrain.epochs: set twice"),
        ([], [0], ["pretrain.learning_rate=6e-4,0.0006"], "occurs twice"),
        ([], [0], ["pretrain={epochs=1},{epochs=2}"], "a table, not a value"),
        ([], [3, 3], [], "seeds that differ"),
        ([], [], [], "seeds that differ"),
        ([], [-1], [], "seed"),
    ],
)
def test_what_cannot_be_run_is_refused(
    tiny: Any, overrides: list[str], seeds: list[int], grid: list[str], words: str
) -> None:
    with pytest.raises(RecipeError) as refused:
        cells_of(tiny.recipe, overrides, seeds, grid)
    assert words in str(refused.value)


def test_seeds_are_numbers() -> None:
    assert parse_seeds("0,42, 100") == [0, 42, 100]
    with pytest.raises(RecipeError, match="--seeds 0,x"):
        parse_seeds("0,x")


def test_names_fit_into_a_file_system_and_stay_apart() -> None:
    paths = [
        folder_name([("vision.weights", path), ("seed", 0)]) for path in ("a/b", "a_b", "a:b", "w" * 300, "w" * 301)
    ]
    assert paths[1] == "vision.weights=a_b,seed=0" and paths[0].startswith("vision.weights=a_b,seed=0-")
    assert len(set(paths)) == 5 and max(map(len, paths)) <= LONGEST_NAME + 7
    assert not any(set(path) & set("/:\\ ") for path in paths)


@pytest.mark.parametrize(("value", "text"), [(True, "true"), (10.0, "10"), (6e-4, "0.0006"), (("a", "b"), "a+b")])
def test_values_are_shown_as_people_write_them(value: Any, text: str) -> None:
    assert value_text(value) == text
