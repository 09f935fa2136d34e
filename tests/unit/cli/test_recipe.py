"""recipe: every value with its standing, beside what the base has; and the shipped recipes."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from glossfree.cli.recipe import describe, shipped
from glossfree.recipe.files import load_recipe, shipped_recipes
from glossfree.recipe.values import flat, unused

OWN = """base = "hfa-phoenix14t"
name = "mine"
summary = "a recipe of my own"
[data]
# stated: in my paper
stride = 3
[temporal]
kind = "linear"
[pretrain.objectives.contrastive]
# released
loss = "divergence"
"""


@pytest.fixture
def own(tmp_path: Path) -> Path:
    path = tmp_path / "own.toml"
    path.write_text(OWN, encoding="utf-8")
    return path


def line_of(text: str, table: str, key: str) -> str:
    """The line of a key below the heading of its table."""
    below = text.split(f"[{table}]\n")[1].split("\n\n")[0]
    (line,) = [line for line in below.splitlines() if line.startswith(f"{key} = ")]
    return line


def test_the_text_is_the_recipe_with_a_comment_behind_each_value(own: Path, tmp_path: Path, call: Any) -> None:
    shown = call("recipe", own)
    assert (shown.code, shown.err) == (0, "")
    again = tmp_path / "again.toml"
    again.write_text(shown.out, encoding="utf-8")
    assert load_recipe(again) == load_recipe(own)
    head, *tables = shown.out.strip().split("\n\n")
    assert 'name = "mine"\n' in head and 'summary = "a recipe of my own"\n' in head and "base = " not in shown.out
    values = [line for table in tables for line in table.splitlines()[1:]]
    kept = [key for key in flat(load_recipe(own)) if "." in key and "factors" not in key]
    assert len(values) == len([key for key in kept if key not in unused(load_recipe(own))])
    for line in values:
        comment = line.rpartition("  # ")[2]
        assert comment.partition(";")[0].split(", ")[0] in ("stated", "released", "derived", "assumed"), line


def test_stages_without_epochs_are_marked_as_skipped(own: Path) -> None:
    description = describe(own, ["finetune1.epochs=0"])
    text, stages = description.to_text(), description.recipe.stages
    skipped = [stage.name for stage in stages if "skipped" in line_of(text, stage.name, "epochs")]
    assert skipped == ["denoise", "finetune1"] == [stage.name for stage in stages if not stage.epochs]


def test_a_value_is_shown_beside_the_one_of_the_base_where_they_differ(own: Path) -> None:
    text = describe(own).to_text()
    assert line_of(text, "data", "stride").endswith("# stated; hfa-phoenix14t: 1")
    assert line_of(text, "data", "fps").endswith("# derived")
    assert line_of(text, "temporal", "kind").endswith('# assumed; hfa-phoenix14t: "local_attention"')
    assert line_of(text, "pretrain.objectives.contrastive", "loss").endswith(
        '# released; hfa-phoenix14t: "cross_entropy"'
    )
    assert line_of(text, "decode", "num_beams").endswith("# released")


def test_values_that_nothing_reads_are_left_out_unless_somebody_sets_them(own: Path, call: Any) -> None:
    text = describe(own, ["pretrain.objectives.pseudo_gloss.weight=0", "finetune1.mask_ratio=0.2"]).to_text()
    (lines,) = [part.splitlines()[1:] for part in text.split("\n\n") if part.startswith("[pretrain.objectives.pseudo")]
    assert [line.split(" =")[0] for line in lines] == ["weight"] and "hfa-phoenix14t: 10.0" in lines[0]
    assert line_of(text, "finetune1", "mask_ratio").startswith("mask_ratio = 0.2 ")
    noise = {"noise", "mask_ratio", "mean_span", "word_order", "missing_rate", "wrong_rate"}
    for stage, shown in (("denoise", {"noise", "mask_ratio", "mean_span"}), ("finetune1", {"mask_ratio"})):
        below = text.split(f"[{stage}]\n")[1].split("\n\n")[0]
        assert {line.split(" =")[0] for line in below.splitlines()} & noise == shown
    assert "pretrain.noise" in json.loads(call("recipe", own, "--json").out)["values"]


def test_two_recipes_are_compared_key_by_key(own: Path, call: Any) -> None:
    shown = call("recipe", own, "--against", "pgp-phoenix14t", "--set", "denoise.epochs=3")
    assert (shown.code, shown.err) == (0, "")
    header, _, *lines = shown.out.splitlines()
    assert header.split() == ["mine", "pgp-phoenix14t"]
    rows = {line.split()[0]: line.split(maxsplit=1)[1].strip() for line in lines}
    assert rows["data.stride"].split("  ")[0] == "3 (stated)" and rows["data.stride"].endswith("1 (released)")
    assert rows["temporal.kind"].startswith('"linear" (assumed)') and "temporal.window_size" not in rows
    assert rows["denoise.epochs"].startswith("3 (assumed)")
    assert rows["pretrain.objectives.contrastive.weight"].startswith("1.0 (stated)")
    assert "name" not in rows and "pretrain.learning_rate" not in rows
    data = json.loads(call("recipe", own, "--against", "pgp-phoenix14t", "--set", "denoise.epochs=3", "--json").out)
    assert data["recipes"] == ["mine", "pgp-phoenix14t"] and {*data["values"]} == {*rows}
    assert data["values"]["data.stride"][0] == {"value": 3, "standing": "stated"}


def test_of_an_objective_or_a_stage_that_one_recipe_has_there_is_one_line(call: Any) -> None:
    data = json.loads(call("recipe", "hfa-signcl-phoenix14t", "--against", "hfa-phoenix14t", "--json").out)["values"]
    assert data["pretrain.objectives.sign_contrast.weight"][1] is None
    assert {*data} == {f"{stage}.objectives.sign_contrast.weight" for stage in ("pretrain", "finetune2")}
    data = json.loads(call("recipe", "csgcr-phoenix14t", "--against", "hfa-phoenix14t", "--json").out)["values"]
    assert "stages" in data and not [key for key in data if key.startswith(("words_to_text.", "finetune"))]


def test_a_recipe_does_not_differ_from_itself(call: Any) -> None:
    shown = call("recipe", "demo", "--against", "demo")
    assert (
        len(shown.out.splitlines()) == 1
        and json.loads(call("recipe", "demo", "--against", "demo", "--json").out)["values"] == {}
    )
    assert call("recipe", "--list", "--against", "demo").code == 2


def test_overrides_are_in_it_and_are_assumed(own: Path, call: Any) -> None:
    shown = call("recipe", own, "--set", "data.stride=5", "--set", "decode.num_beams=7")
    assert line_of(shown.out, "data", "stride").startswith("stride = 5 ")
    assert line_of(shown.out, "data", "stride").endswith("# assumed; hfa-phoenix14t: 1")
    assert line_of(shown.out, "decode", "num_beams").endswith("# assumed; hfa-phoenix14t: 4")


def test_a_recipe_without_a_base_differs_from_none(call: Any) -> None:
    shown = call("recipe", "hfa-phoenix14t")
    assert line_of(shown.out, "finetune2", "epochs").endswith("# stated")
    assert ";" not in "".join(line.partition("#")[2] for line in shown.out.splitlines())


def test_a_program_gets_each_value_with_standing_meaning_and_what_the_base_has(own: Path, call: Any) -> None:
    shown = call("recipe", own, "--json")
    data = json.loads(shown.out)
    assert (data["name"], data["summary"], data["base"]) == ("mine", "a recipe of my own", "hfa-phoenix14t")
    recipe = load_recipe(own)
    assert {key: each["value"] for key, each in data["values"].items()} == json.loads(json.dumps(flat(recipe)))
    stride = data["values"]["data.stride"]
    assert {key: stride[key] for key in ("value", "standing", "base")} == {"value": 3, "standing": "stated", "base": 1}
    assert all(each["meaning"] and each["standing"] for each in data["values"].values())
    changed = {key for key, each in data["values"].items() if "base" in each}
    assert changed == {"data.stride", "temporal.kind", "pretrain.objectives.contrastive.loss"}
    assert json.loads(call("recipe", "hfa-phoenix14t", "--json").out)["base"] is None


def test_the_list_names_every_shipped_recipe_and_what_it_is(call: Any) -> None:
    names = [path.stem for path in shipped_recipes()]
    lines = call("recipe", "--list").out.splitlines()
    assert [line.split()[0] for line in lines[::2]] == names
    for name, line, below in zip(names, lines[::2], lines[1::2], strict=True):
        recipe = load_recipe(name)
        assert line.endswith(recipe.paper) and recipe.supervision in line
        assert below == f"  {recipe.summary}" and recipe.summary


def test_the_list_for_programs_says_what_each_is_based_on(call: Any) -> None:
    data = json.loads(call("recipe", "--list", "--json").out)
    bases = {path.stem: tomllib.loads(path.read_text(encoding="utf-8")).get("base", []) for path in shipped_recipes()}
    bases = {name: base if isinstance(base, list) else [base] for name, base in bases.items()}
    assert {name: each["base"] for name, each in data.items()} == bases
    assert data == shipped().to_dict()


@pytest.mark.parametrize("arguments", [(), ("demo", "--list")])
def test_either_a_recipe_or_the_list_is_expected(arguments: tuple[str, ...], call: Any) -> None:
    shown = call("recipe", *arguments)
    assert (shown.code, shown.out) == (2, "")
    assert "--list" in shown.err and shown.err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "piece"),
    [(("no-such-recipe",), "no such recipe"), (("demo", "--set", "data.strde=3"), "did you mean 'data.stride'")],
)
def test_a_mistake_is_one_line(arguments: tuple[str, ...], piece: str, call: Any) -> None:
    shown = call("recipe", *arguments)
    assert (shown.code, shown.out) == (2, "")
    assert piece in shown.err and shown.err.count("\n") == 1
