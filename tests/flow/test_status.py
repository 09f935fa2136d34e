"""`glossfree status` of a real run: while it trains, killed, asked to stop, failed, finished; estimates, warnings and
trackers on the real command line."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from tests.flow.nursery import STAGES, Nursery, lines_of, records, train

LONG = ("pretrain.epochs=400", "training.checkpoint_minutes=0.005")  # of three steps each


def looked_at(call: Any, run: Path) -> dict[str, Any]:
    shown = call("status", run, "--json")
    assert (shown.code, shown.err) == (0, "")
    return json.loads(shown.out)


def until(ready: Any, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def line_behind(nursery: Nursery, words: str) -> str:
    """The one line of standard error that holds `words`."""
    (line,) = [line for line in nursery.err.splitlines() if words in line]
    return line


@pytest.mark.slow
def test_from_the_first_step_to_a_kill_a_stop_and_the_end(
    tiny: Any, nursery: Nursery, call: Any, tmp_path: Path
) -> None:
    run, command = tmp_path / "run", train(tiny, tmp_path / "run", *LONG)
    child = nursery.start(*command)
    until(lambda: lines_of(run) > 40)
    live = looked_at(call, run)
    assert (live["state"], live["stage"], live["pid"]) == ("training", "pretrain", child)
    assert (live["epochs"], live["steps"]) == (400, 1200)
    assert 20 < live["step"] < 1200 and live["epoch"] == pytest.approx(live["step"] / 3, abs=1.1)
    assert list(live["losses"]) == ["loss", "pseudo_gloss", "contrastive"] and live["dev_losses"]["loss"] > 0
    assert live["best_loss"] <= live["dev_losses"]["loss"] and 1 <= live["best_epoch"] <= live["epoch"]
    assert live["speed"] > 0 and 0 <= live["waiting"] <= 1 and 0 < live["learning_rate"] <= 3e-3
    assert live["stage_seconds_left"] > 0 and live["all_seconds_left"] > live["stage_seconds_left"]
    assert live["without"] == ["finetune1"] and live["memory_bytes"] > 50e6
    assert live["checkpoint_seconds_ago"] < 30 and live["sign_seconds_ago"] < 30
    text = call("status", run).out
    assert "state       training\n" in text and "stage       pretrain, epoch " in text and "last sign   " in text

    os.kill(child, signal.SIGKILL)
    assert nursery.wait() == -signal.SIGKILL
    dead = looked_at(call, run)
    assert (dead["state"], dead["pid"], dead["stage_seconds_left"]) == ("no longer alive", child, None)
    assert dead["step"] >= live["step"] and dead["checkpoint_seconds_ago"] is not None

    before = lines_of(run)
    child = nursery.start(*command)
    until(lambda: lines_of(run) > before + 20)
    again = looked_at(call, run)
    assert (again["state"], again["pid"]) == ("training", child) and again["elapsed_seconds"] < 60
    os.kill(child, signal.SIGTERM)
    assert nursery.wait() == 128 + signal.SIGTERM
    stopped = looked_at(call, run)
    assert stopped["state"] == "stopped"
    assert stopped["problem"] == f"stopped and saved at step {stopped['step']} of 1200 of pretrain"
    steps = [record for record in records(run) if record["kind"] == "step" and record["stage"] == "pretrain"]
    assert [record["step"] for record in steps] == list(range(1, stopped["step"] + 1))


def test_a_finished_run_says_so_and_told_its_needs_on_the_way(
    tiny: Any, nursery: Nursery, call: Any, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    assert nursery.run(*train(tiny, run)) == 0, nursery.err
    done = looked_at(call, run)
    assert (done["state"], done["stage"], done["epoch"], done["step"]) == ("finished", "finetune2", 2, 6)
    assert (done["stage_seconds_left"], done["checkpoint_seconds_ago"], done["problem"]) == (None, None, None)
    assert call("status", run).out.startswith(f"run         {run}\nstate       finished\n")
    warned = [line.split()[1] for line in nursery.err.splitlines() if line.startswith("warning: ")]
    assert warned == ["vision.weights"], "the tiny recipe is compared with none; only its backbone stays random"
    for stage in STAGES:
        assert "without validation; memory up to about " in line_behind(nursery, f"{stage}: an epoch takes about ")
    assert nursery.run(*train(tiny, run)) == 0
    assert looked_at(call, run)["state"] == "finished", "also where nothing was left to do"


def test_a_failed_run_says_why_even_where_the_disk_is_full(
    tiny: Any, nursery: Nursery, call: Any, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    assert nursery.run(*train(tiny, run), largest=100_000) == 2  # no checkpoint is so small
    error = nursery.err.splitlines()[-1].removeprefix("glossfree: ")
    failed = looked_at(call, run)
    assert (failed["state"], failed["problem"]) == ("failed", error)
    (run / "status.json").unlink()
    assert nursery.run(*train(tiny, run), largest=600) == 2  # nor a status
    again = nursery.err.splitlines()[-1]
    assert "status.json" not in again and "Traceback" not in nursery.err
    assert not list(run.glob(".*"))


def test_a_recipe_that_differs_from_its_name_s_is_warned_of_once(tiny: Any, nursery: Nursery, tmp_path: Path) -> None:
    recipe = tmp_path / "mine.toml"
    recipe.write_text(tiny.recipe.read_text().replace('name = "tiny"', 'name = "hfa-phoenix14t"'))
    named = ("--recipe", recipe, "--corpus", tiny.corpus, "--run", tmp_path / "run")
    command = ("train", *named, "--until", "pretrain", "--resume")
    assert nursery.run(*command) == 0, nursery.err
    warned = [line for line in nursery.err.splitlines() if line.startswith("warning: ")]
    stages = [f"{stage}.{key}" for stage in STAGES for key in ("epochs", "batch_size")]
    assert [line.split()[1] for line in warned] == ["vision.weights", "data.stride", *stages], (
        "of those behind --until as well"
    )
    assert nursery.err.index("warning: ") < nursery.err.index("batches of"), "before anything starts"
    assert nursery.run(*command) == 0
    assert "warning: " not in nursery.err


FAKE = """
import json, pathlib
told = pathlib.Path(__file__).with_name("told.jsonl")
def tell(*line):
    with told.open("a") as file:
        file.write(json.dumps(line) + "\\n")
tell("imported")
class config:
    @staticmethod
    def update(values, allow_val_change):
        tell("config", values)
class Kept:
    def log(self, values, step):
        tell("log", values, step)
    def finish(self):
        tell("finish")
def init(project, **options):
    tell("init", project, options)
    return Kept()
"""


@pytest.mark.slow
def test_a_tracker_is_told_of_every_step_and_only_if_asked_for(
    tiny: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A package that calls itself wandb stands on the path of a nursery of its own."""
    packages = tmp_path / "packages"
    (packages / "wandb-9.0.dist-info").mkdir(parents=True)
    (packages / "wandb-9.0.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: wandb\nVersion: 9.0\n")
    (packages / "wandb.py").write_text(FAKE)
    monkeypatch.setenv("PYTHONPATH", str(packages), prepend=os.pathsep)
    (tmp_path / "said").mkdir()
    own, run, silent = Nursery(tmp_path / "said"), tmp_path / "run", tmp_path / "silent"
    try:
        assert own.run(*train(tiny, silent)) == 0, own.err
        assert not (packages / "told.jsonl").exists(), "nobody asked for it"
        assert own.run(*train(tiny, run), "--track", "wandb", "--track", "mlflow") == 2
        assert own.err == "glossfree: --track mlflow: not installed -> pip install mlflow\n" and not run.exists()
        assert own.run(*train(tiny, run), "--track", "wandb") == 0, own.err
    finally:
        own.close()
    told = [json.loads(line) for line in (packages / "told.jsonl").read_text().splitlines()]
    assert [line[0] for line in told[:3]] == ["imported", "init", "config"] and told[-1] == ["finish"]
    assert (told[1][1], told[1][2]["name"]) == ("glossfree", "run")
    assert told[2][1]["data.stride"] == 3 and told[2][1]["name"] == "tiny"
    logged = [(values, step) for kind, values, step in (line for line in told if line[0] == "log")]
    steps = [step for _, step in logged]
    assert steps == sorted(steps) and set(steps) == set(range(1, 25))
    dev = ("loss", "translation", "bleu4", "rouge_l", "chrf")
    assert logged[-1][0].keys() == {f"finetune2/dev/{name}" for name in dev}
    found = [values[f"{record['stage']}/loss"] for (values, _), record in zip(
        [each for each in logged if "/dev/" not in "".join(each[0])],
        [each for each in records(run) if each["kind"] == "step"], strict=True)]  # fmt: skip
    assert found == [record["loss"] for record in records(run) if record["kind"] == "step"]
    assert records(run) == records(silent)
