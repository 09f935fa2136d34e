"""A sweep on the real command line, two seeds at two points: stopped, killed, resumed, and equal to single runs.

The single runs are made in the nursery, where a start costs nothing; the sweep starts its own processes.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from benchmarks.__main__ import put
from tests.flow.nursery import STAGES, Nursery, hashes, killed, lines_of, records

from benchmarks import evidence

SHORT = ("denoise.epochs=0", "finetune1.epochs=0", "finetune2.epochs=4")  # 3 steps of pre-training, 12 of fine-tuning
SWEPT = "pretrain.objectives.pseudo_gloss.weight"
POINTS = [(weight, seed) for weight in (1, 10) for seed in (3, 42)]


def name(weight: int, seed: int) -> str:
    return f"{SWEPT}={weight},seed={seed}"


def sets(*changes: str) -> list[str]:
    return [word for change in changes for word in ("--set", change)]


class Started:
    """The sweep in a process group of its own; `source`: options that name what is swept."""

    def __init__(self, tiny: Any, runs: Path, *options: str, source: tuple[Any, ...] = ()) -> None:
        source = source or (*tiny.options, "--seeds", "3,42", "--grid", f"{SWEPT}=1,10")
        words = ["sweep", *source, "--runs", runs]
        command = [sys.executable, "-m", "glossfree", *map(str, words), *sets(*SHORT), *options]
        environment, pipe = {**os.environ, "OMP_NUM_THREADS": "1"}, subprocess.PIPE
        self.process = subprocess.Popen(
            command, env=environment, stdout=pipe, stderr=pipe, text=True, start_new_session=True
        )

    def wait_for(self, run: Path, lines: int) -> None:
        deadline = time.monotonic() + 300
        while lines_of(run) < lines:
            assert self.process.poll() is None and time.monotonic() < deadline, killed(self.process)
            time.sleep(0.002)

    def ended(self) -> tuple[int, str, str]:
        out, err = self.process.communicate(timeout=500)
        return self.process.returncode, out, err


def outcome(run: Path) -> dict[str, Any]:
    """Weights by hash, records without times, predictions and scores."""
    weights = {stage: hashes(run, stage) for stage in STAGES if (run / f"weights/{stage}.safetensors").exists()}
    assert set(weights) == {"pretrain", "finetune2"}
    files = {each: (run / each).read_bytes() for each in ("predictions.dev.jsonl", "scores.dev.json", "recipe.toml")}
    return {**weights, **files, "records": records(run)}


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="process groups as Linux has them")
def test_stopped_killed_and_resumed_a_sweep_is_its_single_runs(tiny: Any, nursery: Nursery, tmp_path: Path) -> None:
    runs, single = tmp_path / "runs", tmp_path / "single"
    folders = [runs / name(*point) for point in (POINTS[0], POINTS[2], POINTS[1], POINTS[3])]  # in their order

    first = Started(tiny, runs)  # Ctrl-C in a terminal, in the second cell: to the sweep, and to the training as well
    first.wait_for(folders[1], 6)
    os.killpg(first.process.pid, signal.SIGINT)
    code, out, err = first.ended()
    assert (code, out) == (130, ""), err
    assert err.splitlines()[-1].startswith("glossfree: ") and "--resume goes on" in err.splitlines()[-1]
    assert "stopped and saved at step" in err
    states = [cell["state"] for cell in json.loads((runs / "sweep.json").read_text())["cells"]]
    assert states == ["done", "waiting", "waiting", "waiting"]

    second = Started(tiny, runs, "--resume")  # killed in the third, with its training
    second.wait_for(folders[2], 2)
    os.killpg(second.process.pid, signal.SIGKILL)
    second.ended()

    code, out, err = Started(tiny, runs, "--resume", "--json").ended()
    assert code == 0, err
    result = json.loads(out)
    assert [cell["state"] for cell in result["cells"]] == ["done"] * 4

    for weight, seed in POINTS:
        run = single / name(weight, seed)
        changes = sets(*SHORT, f"{SWEPT}={weight}", f"seed={seed}")
        assert nursery.run("train", *tiny.options, *changes, "--run", run) == 0, nursery.err
        assert nursery.run("evaluate", run, "--split", "dev") == 0, nursery.err
        assert outcome(runs / run.name) == outcome(run), run.name
    scores = [json.loads((runs / name(*point) / "scores.dev.json").read_text())["chrf"] for point in POINTS]
    means = [row["chrf"]["mean"] for row in result["points"]]
    assert means == pytest.approx([sum(scores[:2]) / 2, sum(scores[2:]) / 2])
    assert len({json.dumps(records(each)[-1]) for each in folders}) == 4, "other seeds and weights, other runs"


@pytest.mark.slow
def test_a_cell_that_fails_is_named_and_the_next_is_trained(tiny: Any, tmp_path: Path, call: Any) -> None:
    words = ("--seeds", 0, "--grid", "finetune2.learning_rate=1e30,1e-3", *sets(*SHORT, "pretrain.epochs=0"))
    done = call("sweep", *tiny.options, "--runs", tmp_path, *words)
    assert done.code == 1, done.err
    bad, good = done.out.splitlines()[2:4]
    assert bad.split()[:3] == ["finetune2.learning_rate=1e+30", "dev", "0"]
    assert good.split()[:3] == ["finetune2.learning_rate=0.001", "dev", "1"]
    last = done.out.splitlines()[-1]
    assert last.startswith("failed: finetune2.learning_rate=1e+30,seed=0: train: finetune2: "), last


PLAN = """
learning_rate_factors = [0.5, 2.0]
seeds = [3, 42]

[[rows]]
group = "methods"
name = "all"
recipe = "tiny.toml"
reference = true

[[rows]]
group = "methods"
name = "none"
recipe = "tiny.toml"
set = ["pretrain.epochs=0"]

[[rows]]
group = "parts"
name = "few"
recipe = "tiny.toml"
set = ["data.train_clips=7"]
seeds = [42]
learning_rate_of = "all"
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="process groups as Linux has them")
def test_a_plan_is_stopped_killed_and_resumed_and_its_records_are_enough(tiny: Any, tmp_path: Path, call: Any) -> None:
    runs, records, plan = tmp_path / "runs", tmp_path / "records", tmp_path / "plan.toml"
    plan.write_text(PLAN)
    (tmp_path / "tiny.toml").write_text(tiny.recipe.read_text())
    source = ("--plan", plan, "--corpus", tiny.corpus, "--jobs", 2, "--records", records, "--test")

    first = Started(tiny, runs, source=source)
    for factor in ("0.5", "2"):  # two at a time
        first.wait_for(runs / f"row=all,learning_rate_factor={factor},seed=3", 2)
    os.kill(first.process.pid, signal.SIGTERM)
    code, out, err = first.ended()
    assert (code, out) == (143, "") and "--resume goes on" in err.splitlines()[-1], err
    assert len(list(runs.glob("row=*"))) == 2
    assert {cell["state"] for cell in json.loads((runs / "sweep.json").read_text())["cells"]} <= {"waiting", "done"}

    second = Started(tiny, runs, "--resume", source=source)
    second.wait_for(runs / "row=none,learning_rate_factor=0.5,seed=3", 2)
    os.killpg(second.process.pid, signal.SIGKILL)
    second.ended()

    code, out, err = Started(tiny, runs, "--resume", "--json", source=source).ended()
    assert code == 0, err
    result = json.loads(out)
    states = {cell["name"]: (cell["state"], sorted(cell["scores"])) for cell in result["cells"]}
    chosen = {row["point"]["row"]: row["learning_rate_factor"] for row in result["points"]}
    assert chosen["few"] == chosen["all"] and len(states) == 7
    tested = {name for name, state in states.items() if state == ("done", ["dev", "test"])}
    assert len(tested) == 5 and all(state[0] == "done" for state in states.values())
    recipe = (runs / f"row=few,learning_rate_factor={chosen['few']:g},seed=42/recipe.toml").read_text()
    assert "train_clips = 7" in recipe and f"learning_rate = {3e-3 * chosen['few']:g}" in recipe

    shutil.rmtree(runs)
    code, out, err = Started(tiny, runs, "--resume", "--json", source=source).ended()
    again = json.loads(out)
    assert code == 0 and not list(runs.glob("row=*")), "nothing is trained again"
    assert [row["bleu1"] for row in again["points"]] == [row["bleu1"] for row in result["points"]]

    page = tmp_path / "page.md"
    for name, text in evidence.run(records, page).items():
        put(page, name, text)
    lines = [line for line in page.read_text().splitlines() if " | gloss-free | " in line]
    assert [line.split(" | ")[:2] for line in lines[:3]] == [["| all", "2"], ["| none", "2"], ["| few", "1"]]
