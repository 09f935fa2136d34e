"""Recipes with bases: what each file adds, and the standings in its comments."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.recipe_files import PAPER, recipe_file

from glossfree.errors import RecipeError
from glossfree.objectives.translation import Translation
from glossfree.recipe.files import load_recipe, merge, recipe_files
from glossfree.recipe.values import differences, explain


def test_a_recipe_holds_what_its_bases_hold_but_their_names(tmp_path: Path) -> None:
    ground = 'name = "ground"\nsummary = "low"\nseed = 1\n[data]\nstride = 2\nmax_frames = 77\n'
    recipe_file(tmp_path, ground, "below/deep/ground.toml")
    recipe_file(tmp_path, 'base = "deep/ground.toml"\nseed = 2\n[data]\nstride = 3\n', "below/middle.toml")
    top = recipe_file(tmp_path, 'base = "../below/middle.toml"\n[data]\nstride = 4\n', "own/top.toml")
    recipe = load_recipe(top)
    assert (recipe.seed, recipe.data.stride, recipe.data.max_frames) == (2, 4, 77)
    assert (recipe.name, recipe.summary) == ("top", "")
    assert [file.name for file in recipe_files(top)] == ["top", "middle", "ground"]


def test_a_base_is_looked_for_beside_the_file_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe_file(tmp_path, "seed = 7\n", "elsewhere/base.toml")
    recipe_file(tmp_path, "seed = 8\n", "own/base.toml")
    top = recipe_file(tmp_path, 'base = "base.toml"\n', "own/top.toml")
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert load_recipe(top).seed == 8


def test_a_shipped_recipe_is_a_base_by_its_name(tmp_path: Path) -> None:
    path = recipe_file(tmp_path, f'base = "{PAPER}"\n[pretrain.objectives.contrastive]\nloss = "divergence"\n')
    recipe = load_recipe(path)
    assert differences(load_recipe(PAPER), recipe, apart_from=("name", "summary", "paper")) == {
        "pretrain.objectives.contrastive.loss": ("cross_entropy", "divergence")
    }


def test_of_several_bases_each_overrides_those_before_it_but_not_what_it_shares_with_them(tmp_path: Path) -> None:
    recipe_file(tmp_path, "seed = 1\n[data]\nstride = 2\nmax_frames = 70\n", "ground.toml")
    recipe_file(tmp_path, 'base = "ground.toml"\n[data]\nmax_frames = 71\nfps = 5.0\n', "method.toml")
    recipe_file(tmp_path, 'base = "ground.toml"\n[data]\nfps = 6.0\nrotation = 3.0\n', "sizes.toml")
    top = recipe_file(tmp_path, 'base = ["method.toml", "sizes.toml"]\n[data]\nrotation = 4.0\n', "top.toml")
    assert [file.name for file in recipe_files(top)] == ["top", "sizes", "method", "ground"]
    data = load_recipe(top).data
    assert (data.stride, data.max_frames, data.fps, data.rotation) == (2, 71, 6.0, 4.0)


def test_a_shared_base_is_one_file_however_it_is_named(tmp_path: Path) -> None:
    recipe_file(tmp_path, "[data]\nmax_frames = 71\n", "ground.toml")
    recipe_file(tmp_path, 'base = "ground.toml"\n[data]\nmax_frames = 72\n', "a.toml")
    recipe_file(tmp_path, 'base = "../ground.toml"\n', "sub/b.toml")
    top = recipe_file(tmp_path, 'base = ["a.toml", "sub/b.toml"]\n', "top.toml")
    assert load_recipe(top).data.max_frames == 72
    for number in range(20):  # each twice, under two names
        below = f"chain{number - 1}.toml" if number else "ground.toml"
        recipe_file(tmp_path, f'base = ["{below}", "./sub/../{below}"]\n', f"chain{number}.toml")
    assert len(recipe_files(tmp_path / "chain19.toml")) == 21


def test_cyclic_bases_are_refused_with_their_names(tmp_path: Path) -> None:
    recipe_file(tmp_path, 'base = "b.toml"\n', "a.toml")
    recipe_file(tmp_path, 'base = "sub/c.toml"\n', "b.toml")
    recipe_file(tmp_path, 'base = "../a.toml"\n', "sub/c.toml")
    with pytest.raises(RecipeError, match=r"cycle: a -> b -> c -> a") as caught:
        load_recipe(tmp_path / "a.toml")
    assert caught.value.where == str(tmp_path / "sub/c.toml")
    own = recipe_file(tmp_path, 'base = "own.toml"\n', "own.toml")
    with pytest.raises(RecipeError, match=r"cycle: own -> own"):
        load_recipe(own)


def test_a_missing_base_is_named_with_its_child(tmp_path: Path) -> None:
    path = recipe_file(tmp_path, 'base = "hfa-phoenix15t"\n')
    with pytest.raises(RecipeError, match="no such recipe") as caught:
        load_recipe(path)
    assert "'hfa-phoenix15t'" in str(caught.value.where) and str(path) in str(caught.value.where)
    assert PAPER in str(caught.value.remedy)


def test_a_base_must_be_text(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="base"):
        load_recipe(recipe_file(tmp_path, "base = 3\n"))


TEMPORAL = "[temporal]\nhidden_size = 36\nnum_layers = 3\nnum_heads = 2\nwindow_size = 5\n"


@pytest.mark.parametrize(
    ("base", "own", "expected"),
    [
        (TEMPORAL, 'kind = "linear"', {"kind": "linear", "hidden_size": 512}),
        (TEMPORAL, 'kind = "linear"\nhidden_size = 9', {"kind": "linear", "hidden_size": 9}),
        (TEMPORAL, 'kind = "local_attention"\nnum_layers = 2', {"hidden_size": 36, "num_layers": 2, "window_size": 5}),
        (TEMPORAL + 'kind = "local_attention"\n', "num_layers = 2", {"hidden_size": 36, "num_layers": 2}),
        ('[temporal]\nkind = "linear"\nhidden_size = 9\n', "hidden_size = 7", {"kind": "linear", "hidden_size": 7}),
        ('[temporal]\nkind = "linear"\nhidden_size = 9\n', 'kind = "local_attention"', {"hidden_size": 512}),
    ],
)
def test_a_table_of_another_kind_replaces_the_base_s(
    tmp_path: Path, base: str, own: str, expected: dict[str, object]
) -> None:
    recipe_file(tmp_path, base, "base.toml")
    path = recipe_file(tmp_path, f'base = "base.toml"\n[temporal]\n{own}\n')
    overrides = [f"temporal.{line.replace(' = ', '=')}" for line in own.splitlines()]
    for recipe in (load_recipe(path), load_recipe(tmp_path / "base.toml", overrides)):
        values = recipe.temporal.model_dump()
        assert {key: values[key] for key in expected} == expected
        assert ("window_size" in values) == (values["kind"] == "local_attention")


STAGES = """stages = ["one", "two"]
[one]
epochs = 3
[one.objectives.translation]
[two]
epochs = 7
[two.objectives.translation]
label_smoothing = 0.3
"""


def test_a_stage_that_a_recipe_drops_goes_with_its_table(tmp_path: Path) -> None:
    recipe_file(tmp_path, STAGES, "ground.toml")
    recipe_file(tmp_path, 'base = "ground.toml"\nstages = ["one"]\n', "middle.toml")
    again = 'base = "middle.toml"\nstages = ["two", "one"]\n[two.objectives.translation]\n'
    top = recipe_file(tmp_path, again, "top.toml")
    (one,) = load_recipe(tmp_path / "middle.toml").stages
    assert (one.name, one.epochs) == ("one", 3)
    (one,) = load_recipe(tmp_path / "ground.toml", ['stages=["one"]']).stages
    assert (one.name, one.epochs) == ("one", 3)
    two, one = load_recipe(top).stages
    assert (two.name, two.epochs, one.epochs) == ("two", 100, 3)
    assert isinstance(two.objectives["translation"], Translation)
    assert two.objectives["translation"].label_smoothing == 0.2


def test_a_base_that_drops_a_stage_leaves_the_table_that_another_base_has_for_it(tmp_path: Path) -> None:
    recipe_file(tmp_path, STAGES, "ground.toml")
    recipe_file(tmp_path, 'base = "ground.toml"\nstages = ["one"]\none.epochs = 4\n', "dropping.toml")
    recipe_file(tmp_path, "two.epochs = 9\ntwo.batch_size = 5\n", "sizes.toml")
    recipe_file(tmp_path, 'stages = ["three"]\n[three]\nepochs = 6\n[three.objectives.translation]\n', "other.toml")
    both = 'base = ["other.toml", "dropping.toml"]\nstages = ["three", "one"]\n'
    stages = load_recipe(recipe_file(tmp_path, both, "both.toml")).stages
    assert [(stage.name, stage.epochs) for stage in stages] == [("three", 6), ("one", 4)]
    # even of a table that both bases inherit
    recipe_file(tmp_path, 'base = "ground.toml"\ntwo.batch_size = 5\n', "keeping.toml")
    shared = 'base = ["keeping.toml", "dropping.toml"]\nstages = ["two", "one"]\n'
    stages = load_recipe(recipe_file(tmp_path, shared, "shared.toml")).stages
    assert [(stage.name, stage.epochs, stage.batch_size) for stage in stages] == [("two", 7, 5), ("one", 4, 16)]
    # without a list of its own, the last base's counts, and nothing is left of the others' tables
    last = load_recipe(recipe_file(tmp_path, 'base = ["other.toml", "dropping.toml"]\n', "last.toml")).stages
    assert [(stage.name, stage.epochs) for stage in last] == [("one", 4)]
    # sizes for a stage that the recipe does not have come from a base without being asked for
    parts = load_recipe(recipe_file(tmp_path, 'base = ["dropping.toml", "sizes.toml"]\n', "parts.toml")).stages
    assert [stage.name for stage in parts] == ["one"]
    # but not from the recipe itself, nor from an override
    own = recipe_file(tmp_path, 'base = "dropping.toml"\n[two]\nepochs = 2\n', "own.toml")
    for path, overrides in ((own, []), (tmp_path / "last.toml", ["three.epochs=2"])):
        with pytest.raises(RecipeError, match=r"unknown key '(two|three)'"):
            load_recipe(path, overrides)


def test_stages_keep_their_tables_in_another_order(tmp_path: Path) -> None:
    recipe_file(tmp_path, STAGES, "ground.toml")
    path = recipe_file(tmp_path, 'base = "ground.toml"\nstages = ["two", "one"]\n')
    assert [(stage.name, stage.epochs) for stage in load_recipe(path).stages] == [("two", 7), ("one", 3)]


def known(path: Path, overrides: list[str] | None = None) -> dict[str, str]:
    """A recipe's file -> the standing of each of its values."""
    overrides = overrides or []
    standings = {key: setting.standing for key, setting in merge(recipe_files(path), overrides).items()}
    return {key: each.standing for key, each in explain(load_recipe(path, overrides), standings).items()}


def test_a_standing_comes_from_the_field_or_a_comment(tmp_path: Path) -> None:
    text = """
    # stated: above a key
    seed = 3
    # Not a standing: stated
    [data]
    # released, derived: two of them
    # and more words
    stride = 3
    max_frames = 77
    frame_size = 256  # stated: behind a value says nothing
    # released
    crop_size = 126
    [text]
    # stated: is forgotten at the next table
    [temporal]
    #derived: without a space
    num_layers = 3
    """
    standings = known(recipe_file(tmp_path, text))
    expected = {
        "seed": "stated",
        "data.stride": "released, derived",
        "data.max_frames": "assumed",  # not the default, and nothing is said
        "data.frame_size": "released",  # the default, and what its field says
        "data.crop_size": "released",
        "temporal.num_layers": "derived",
        "temporal.hidden_size": "stated",
        "temporal.kind": "stated",
    }
    assert {key: standings[key] for key in expected} == expected


def test_the_standing_comes_from_the_file_that_sets_the_value(tmp_path: Path) -> None:
    recipe_file(
        tmp_path,
        "# stated: a\nseed = 3\n[data]\n# stated: b\nstride = 3\n# stated: c\nmax_frames = 77\n"
        "# stated: d\nrotation = 5\n[temporal]\n# released: e\nhidden_size = 64\n# released: f\nnum_layers = 7\n",
        "ground.toml",
    )
    recipe_file(
        tmp_path, 'base = "ground.toml"\nseed = 4\n[data]\n# released: g\nstride = 4\nmax_frames = 300\n', "middle.toml"
    )
    top = recipe_file(tmp_path, 'base = "middle.toml"\n[temporal]\nkind = "linear"\nhidden_size = 64\n', "top.toml")
    expected = {
        "seed": "assumed",
        "data.stride": "released",
        "data.max_frames": "released",  # the default again
        "data.rotation": "stated",
        "temporal.kind": "assumed",
        "temporal.hidden_size": "assumed",  # the comment was on another table
    }
    standings = known(top)
    assert {key: standings[key] for key in expected} == expected
    standings = known(tmp_path / "middle.toml")
    assert (standings["temporal.hidden_size"], standings["temporal.num_layers"]) == ("released", "released")


def test_an_override_removes_the_standing_of_a_comment(tmp_path: Path) -> None:
    path = recipe_file(
        tmp_path, f'base = "{PAPER}"\n[data]\n# stated: x\nstride = 3\n[pretrain]\n# stated: y\nepochs = 9\n'
    )
    standings = known(path)
    assert (standings["data.stride"], standings["pretrain.epochs"], standings["data.fps"]) == (
        "stated",
        "stated",
        "derived",
    )
    standings = known(path, ["data.stride=2", "pretrain.epochs=100", "data.fps=30"])
    assert (standings["data.stride"], standings["pretrain.epochs"], standings["data.fps"]) == (
        "assumed",
        "stated",
        "assumed",
    )
