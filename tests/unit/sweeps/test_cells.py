"""The cells of a sweep: every seed at every point, readable names, and what is refused before anything starts."""

from __future__ import annotations

from typing import Any

import pytest

from glossfree.errors import RecipeError
from glossfree.recipe.files import load_recipe
from glossfree.sweeps.cells import (
    LONGEST_NAME,
    Cell,
    Row,
    folder_name,
    known_cells,
    parse_grid,
    parse_seeds,
    rows_of,
    value_text,
)

GRID = ["pretrain.objectives.pseudo_gloss.weight=1,10", "finetune2.learning_rate=6e-4,8e-4,1e-3"]


def cells_of(*arguments: Any) -> list[Cell]:
    return [cell for row in rows_of(*arguments) for cell in row.cells(row.seeds, row.factors)]


def test_every_seed_at_every_point(tiny: Any) -> None:
    cells = cells_of(tiny.recipe, ["finetune2.epochs=3"], [0, 42], GRID)
    assert [(*cell.row.point.values(), cell.seed) for cell in cells] == [
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
        _ = [cell.recipe for cell in cells_of(tiny.recipe, overrides, seeds, grid)]
    assert words in str(refused.value)


HFA = Row({"row": "hfa"}, "hfa", (), (3, 42, 7), (0.5, 1.0, 2.0), groups=("methods",))
NONE = Row({"row": "none"}, "none", (), (3, 42), (0.5, 1.0, 2.0), groups=("methods",))
PART = Row({"row": "part"}, "hfa", ("a.b=0",), (3,), (), follows="hfa", groups=("parts",))
ROWS = (HFA, PART, NONE)


def ended(*scores: float, of: Row) -> dict[str, Any]:
    """The cells of the first seed, at each factor, with these dev scores; a negative one has failed."""
    return {
        cell.name: {"state": "failed"}
        if score < 0
        else {"state": "done", "scores": {"dev": {"bleu4": float(int(score)), "chrf": 100 * score}}}
        for cell, score in zip(of.cells(of.seeds[:1], of.factors), scores, strict=False)
    }


def places(outcomes: Any, *only: str) -> list[tuple[str, int, float]]:
    return [(cell.row.name, cell.seed, cell.factor) for cell in known_cells(ROWS, outcomes, only)]


FIRST = [(name, 3, factor) for name in ("hfa", "none") for factor in (0.5, 1.0, 2.0)]


def test_the_first_seeds_of_all_rows_come_first_and_what_depends_on_them_waits() -> None:
    assert places({}) == places(ended(1, 2, of=HFA)) == FIRST
    assert places(ended(1, 2, 0, of=HFA)) == [*FIRST, ("hfa", 42, 1.0), ("hfa", 7, 1.0), ("part", 3, 1.0)]
    both = {**ended(1, 2, 0, of=HFA), **ended(1, 1, 3, of=NONE)}
    assert places(both) == [*FIRST, ("hfa", 42, 1.0), ("hfa", 7, 1.0), ("none", 42, 2.0), ("part", 3, 1.0)]


@pytest.mark.parametrize(
    ("scores", "factor"), [((3, 2, 1), 0.5), ((0.25, 0.5, 0), 1.0), ((-1, 0, 1), 2.0), ((2, 2, 2), 0.5)]
)
def test_the_best_bleu_chooses_then_chrf_then_the_first(scores: tuple[float, ...], factor: float) -> None:
    assert HFA.choice(ended(*scores, of=HFA)) == factor


def test_without_any_score_nothing_is_chosen() -> None:
    assert HFA.choice(ended(-1, -1, -1, of=HFA)) is None
    assert places(ended(-1, -1, -1, of=HFA)) == FIRST


def test_some_rows_and_what_they_need() -> None:
    assert places({}, "part") == places({}, "parts") == [("hfa", 3, factor) for factor in HFA.factors]
    assert places(ended(0, 0, 1, of=HFA), "part") == [*places({}, "part"), ("part", 3, 2.0)]
    assert places(ended(0, 0, 1, of=NONE), "methods", "none") == [*FIRST, ("none", 42, 2.0)]


def test_a_factor_times_every_rate_of_the_recipe(tiny: Any) -> None:
    row = Row({"row": "a"}, str(tiny.recipe), ("pretrain.learning_rate=2e-3", "denoise.epochs=0"), (3,), (0.5, 1.0))
    half, whole = row.cells([3], [0.5, 1.0])
    assert {stage.name: stage.learning_rate for stage in half.recipe.planned} == {
        "pretrain": 1e-3,
        "finetune1": 1.5e-3,
        "finetune2": 1.5e-3,
    }
    assert whole.recipe == load_recipe(tiny.recipe, [*row.changes, "seed=3"])
    assert (half.name, whole.name) == ("row=a,learning_rate_factor=0.5,seed=3", "row=a,seed=3")


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
