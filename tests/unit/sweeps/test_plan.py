"""Plans: what a file says, what is wrong with one, and rows that choose, follow, fail, stop and are recorded."""

from __future__ import annotations

import json
import os
import shutil
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from tests.unit.cli.test_sweep import StandIn, stand_in, start

from glossfree.corpora.manifest import Manifest
from glossfree.errors import Interrupted, RecipeError, RunError
from glossfree.pipeline.fitting import for_corpus
from glossfree.recipe.files import load_recipe
from glossfree.recipe.values import dump_recipe
from glossfree.sweeps.cells import folder_name
from glossfree.sweeps.plan import Plan

assert stand_in  # a fixture
PLAN = """
name = "evidence"
learning_rate_factors = [0.5, 1, 2.0]
seeds = [0, 42]
axes = { parts = "pretrain.objectives.pseudo_gloss.weight" }

[[rows]]
group = "methods"
name = "hfa"
recipe = "tiny.toml"
reference = true

[[rows]]
groups = ["parts", "more"]
name = "without pseudo-glosses"
recipe = "tiny.toml"
set = ["pretrain.objectives.pseudo_gloss.weight=0"]
seeds = [0]
learning_rate_of = "hfa"

[[rows]]
group = "methods"
name = "none"
recipe = "tiny.toml"
set = ["pretrain.epochs=0"]
"""
HFA = ["row=hfa,learning_rate_factor=0.5,seed=0", "row=hfa,seed=0", "row=hfa,learning_rate_factor=2,seed=0"]
NONE = [name.replace("hfa", "none") for name in HFA]
PART = folder_name([("row", "without pseudo-glosses"), ("learning_rate_factor", 0.5), ("seed", 0)])


@pytest.fixture
def plan(tiny: Any, tmp_path: Path) -> Path:
    shutil.copy(tiny.recipe, tmp_path / "tiny.toml")
    path = tmp_path / "plan.toml"
    path.write_text(PLAN)
    return path


def test_a_plan_is_read(plan: Path) -> None:
    loaded = Plan.load(plan, ["data.stride=2"])
    hfa, part, none = loaded.rows
    assert (loaded.name, loaded.axes) == ("evidence", {"parts": "pretrain.objectives.pseudo_gloss.weight"})
    assert (hfa.name, hfa.groups, hfa.seeds, hfa.factors, hfa.is_reference) == (
        ("hfa", ("methods",), (0, 42), (0.5, 1.0, 2.0), True)
    )
    assert part.changes == ("pretrain.objectives.pseudo_gloss.weight=0", "data.stride=2")
    assert (part.groups, part.seeds, part.factors, part.follows) == (("parts", "more"), (0,), (), "hfa")
    assert Path(none.source) == plan.parent / "tiny.toml"
    again = Plan.of(json.loads(json.dumps(loaded.to_dict())))
    assert again.to_dict() == loaded.to_dict() and str(plan.parent) not in json.dumps(loaded.to_dict())


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("seeds = [0, 42]", "sedes = [0]", "unknown key 'sedes', did you mean 'seeds'"),
        ("seeds = [0, 42]", "seeds = [0, 0]", "row 'hfa': needs seeds that differ"),
        ("[0.5, 1, 2.0]", "[0.5, 0]", "numbers above 0"),
        ("[0.5, 1, 2.0]", "[nan]", "finite numbers"),
        ("axes = { parts", "axes = { pasts", "no row is in the group 'pasts'"),
        ("[0.5, 1, 2.0]", '["a"]', "learning_rate_factors: has the wrong type"),
        ("[0.5, 1, 2.0]", "[true]", "learning_rate_factors: has the wrong type"),
        ('name = "none"', 'name = "hfa"', "the name of two rows"),
        ('learning_rate_of = "hfa"', 'learning_rate_of = "x"', "'x' is no row with a choice"),
        ('recipe = "tiny.toml"\nset', "set", "needs recipe"),
        ('groups = ["parts", "more"]', "groups = 3", "groups: has the wrong type"),
        ("[[rows]]", "[[rows", "not TOML"),
    ],
)
def test_what_is_wrong_with_a_plan_is_said(plan: Path, old: str, new: str, words: str) -> None:
    assert old in PLAN
    plan.write_text(PLAN.replace(old, new))
    with pytest.raises(RecipeError) as refused:
        Plan.load(plan)
    assert words in str(refused.value)


def test_rows_choose_and_others_follow(tiny: Any, plan: Path, stand_in: StandIn) -> None:
    runs = plan.parent / "runs"
    further = ["row=hfa,learning_rate_factor=0.5,seed=42", "row=none,learning_rate_factor=2,seed=42"]
    scores = (11, 8, 6, 4, 6, 8, 6, 8, 10)
    stand_in.does(**dict(zip([*HFA, *NONE, *further, PART], scores, strict=True)))
    result = start(tiny, runs, plan=plan, test=True)
    assert stand_in.trained() == [*HFA, *NONE, *further, PART]
    points = [
        (each["point"]["row"], each["split"], each["learning_rate_factor"], each["n"]) for each in result.points()
    ]
    factors = (("hfa", 0.5, 2), ("without pseudo-glosses", 0.5, 1), ("none", 2.0, 2))
    assert points == [(name, split, factor, n) for name, factor, n in factors for split in ("dev", "test")]
    tested = {cell["name"] for cell in result.cells if "test" in cell["scores"]}
    assert tested == {HFA[0], NONE[2], *further, PART}, "only what dev chose is scored on test"
    first = result.to_text().splitlines()[2].split()
    assert first[:5] == ["hfa", "dev", "0.5", "2", "77.27"], first
    assert start(tiny, runs, plan=plan, test=True, resume=True) == result and stand_in.trained() == []


def test_a_seed_that_only_chooses_counts_for_no_score(tiny: Any, plan: Path, stand_in: StandIn) -> None:
    text = plan.read_text(encoding="utf-8").replace("[[rows]]", "learning_rate_seed = 7\n[[rows]]", 1)
    plan.write_text(text, encoding="utf-8")
    choosing = [name.replace("seed=0", "seed=7") for name in (*HFA, *NONE)]
    scored = [HFA[1], HFA[1].replace("seed=0", "seed=42"), NONE[0], NONE[0].replace("seed=0", "seed=42")]
    part = folder_name([("row", "without pseudo-glosses"), ("seed", 0)])
    stand_in.does(**dict(zip(choosing, (1, 9, 1, 9, 1, 1), strict=True)), **dict.fromkeys([*scored, part], 5))
    result = start(tiny, plan.parent / "runs", plan=plan, test=True)
    assert stand_in.trained() == [*choosing, *scored, part]
    assert {cell["name"] for cell in result.cells if "test" in cell["scores"]} == {*scored, part}
    assert [each["n"] for each in result.points() if each["split"] == "dev"] == [2, 1, 2]


def test_a_cell_of_other_settings_does_not_choose(tiny: Any, plan: Path, stand_in: StandIn) -> None:
    text = plan.read_text(encoding="utf-8").replace("[[rows]]", "learning_rate_seed = 7\n[[rows]]", 1)
    plan.write_text(text, encoding="utf-8")
    recipe = load_recipe(tiny.recipe, ["pretrain.batch_size=3", "seed=7"])
    chosen = plan.parent / "runs/row=hfa,seed=7"
    chosen.mkdir(parents=True)
    (chosen / "recipe.toml").write_text(dump_recipe(for_corpus(recipe, Manifest.load(tiny.corpus))))
    with pytest.raises(RunError, match=r"pretrain\.batch_size"):
        start(tiny, plan.parent / "runs", plan=plan)
    with pytest.raises(RecipeError, match="its own seeds"):
        start(tiny, plan.parent / "other", plan=plan, overrides=["seed=3"])
    assert stand_in.calls() == []


def test_where_the_scored_seeds_choose_nothing_test_is_scored_at_once(tiny: Any, plan: Path, stand_in: StandIn) -> None:
    text = plan.read_text(encoding="utf-8").replace("[[rows]]", "learning_rate_seed = 7\n[[rows]]", 1)
    plan.write_text(text, encoding="utf-8")
    choosing = [name.replace("seed=0", "seed=7") for name in HFA]
    scored = [HFA[1], HFA[1].replace("seed=0", "seed=42")]
    stand_in.does(**dict(zip(choosing, (1, 9, 1), strict=True)), **dict.fromkeys(scored, 5))
    start(tiny, plan.parent / "runs", plan=plan, test=True, only=["hfa"])
    calls = [(words[0], words[-3] if words[0] == "evaluate" else "") for words in stand_in.calls()]
    kinds = [verb if verb != "evaluate" else split for verb, split in calls if verb in ("train", "evaluate")]
    assert kinds == ["train", "dev"] * 3 + ["train", "dev", "test"] * 2
    assert Plan.load(plan).chooses_apart
    plan.write_text(text.replace("learning_rate_seed = 7", "learning_rate_seed = 42"), encoding="utf-8")
    assert not Plan.load(plan).chooses_apart, "42 is scored, too"


def test_a_row_whose_cells_all_fail_chooses_nothing(tiny: Any, plan: Path, stand_in: StandIn) -> None:
    further = "row=none,seed=42"
    stand_in.does(**dict.fromkeys(HFA, "train fails"), **dict(zip([*NONE, further], (4, 8, 6, 6), strict=True)))
    result = start(tiny, plan.parent / "runs", plan=plan)
    assert stand_in.trained() == [*HFA, *NONE, further] and result.exit_code == 1
    assert result.facts["rows_without_choice"] == ["hfa", "without pseudo-glosses"]
    assert "waiting: row hfa: no learning rate is chosen" in result.to_text().splitlines()


def test_several_cells_at_a_time(tiny: Any, plan: Path, stand_in: StandIn, capfd: pytest.CaptureFixture[str]) -> None:
    runs = plan.parent / "runs"
    stand_in.does(**dict.fromkeys([*HFA, "row=hfa,learning_rate_factor=0.5,seed=42"], 6))
    one = start(tiny, runs, plan=plan, jobs=3, only=["hfa"])
    assert [cell["state"] for cell in one.cells] == ["done"] * 4
    assert capfd.readouterr() == ("", "") and (runs / HFA[0] / "log.txt").read_text().count("on standard output") == 2
    with pytest.raises(RecipeError, match="did you mean 'methods'"):
        start(tiny, runs, plan=plan, only=["method"], resume=True)
    with pytest.raises(RunError, match="a plan and a grid"):
        start(tiny, runs, plan=plan, seeds="0")


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_a_stop_reaches_all_that_run(tiny: Any, plan: Path, stand_in: StandIn) -> None:
    runs = plan.parent / "runs"
    stand_in.does(**dict.fromkeys(HFA, "train is slow"))

    def stop() -> None:
        deadline = time.monotonic() + 30
        while not all((runs / name / "begun").exists() for name in HFA[:2]) and time.monotonic() < deadline:
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=stop)
    stand_in_ignores = signal.getsignal(signal.SIGINT)
    thread.start()
    with pytest.raises(Interrupted):
        start(tiny, runs, plan=plan, jobs=2)
    thread.join()
    assert signal.getsignal(signal.SIGINT) == stand_in_ignores
    assert sorted(stand_in.trained()) == sorted(HFA[:2]), "the third is not started any more"
    states = [cell["state"] for cell in json.loads((runs / "sweep.json").read_text())["cells"]]
    assert states == ["waiting"] * 6
