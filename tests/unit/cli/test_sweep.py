"""sweep: which cells are run and what becomes of them, what is refused before, what is reported.

Instead of glossfree a few lines of Python run, which start at once and do what the test says.
"""

from __future__ import annotations

import itertools
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from glossfree.cli.sweep import Commands, Sweep, sweep
from glossfree.console import Silent
from glossfree.corpora.manifest import Manifest
from glossfree.errors import CorpusError, Interrupted, RecipeError, RunError
from glossfree.pipeline.fitting import for_corpus
from glossfree.recipe.files import load_recipe
from glossfree.recipe.values import dump_recipe
from glossfree.scoring.conventions import convention_for
from glossfree.scoring.metrics import score
from glossfree.sweeps import running as module
from glossfree.training.run import Run
from glossfree.training.status import Status

GRID = ["pretrain.objectives.pseudo_gloss.weight=1,10"]
WORDS = ["es", "taut", "morgen", "im", "norden", "und", "im", "süden", "wird", "es", "kalt"]
NAMES = [f"pretrain.objectives.pseudo_gloss.weight={weight},seed={seed}" for weight in (1, 10) for seed in (0, 42)]
IN_ORDER = [NAMES[index] for index in (0, 2, 1, 3)]  # every point's first seed before any second one
STAND_IN = """
import json, os, shutil, signal, sys, time
from pathlib import Path
here, verb = Path(__file__).parent, sys.argv[1]
run = Path(sys.argv[sys.argv.index("--run") + 1] if "--run" in sys.argv else sys.argv[2])
with (here / "calls").open("a") as calls:
    calls.write(json.dumps(sys.argv[1:]) + "\\n")
print("on standard output")
if (here / f"stop {run.name}").exists():
    (here / f"stop {run.name}").unlink()
    os.kill(os.getpid(), signal.SIGTERM)
does = json.loads((here / "does.json").read_text())[run.name]
if (here / f"fail {verb}").exists():
    sys.exit(3)
if does == "nothing":
    sys.exit()
if does == verb + " fails":
    sys.exit(2)
if does == verb + " dies":
    os.kill(os.getpid(), signal.SIGKILL)
run.mkdir(parents=True, exist_ok=True)
if does == verb + " says why":
    (run / "recipe.toml").touch()
    shutil.copy(here / "status.json", run)
    sys.exit(2)
if does == verb + " is slow":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    (run / "begun.part").write_text(str(os.getpid()))
    os.replace(run / "begun.part", run / "begun")
    time.sleep(60)
if verb == "evaluate":
    split = sys.argv[sys.argv.index("--split") + 1]
    shutil.copy(here / f"{does}.json", run / f"scores.{split}.json")
if verb in ("locate", "retrieve"):
    (run / {"locate": "localisation.test.pretrain.json", "retrieve": "retrieval.test.json"}[verb]).write_text("{}")
"""


@dataclass
class StandIn:
    """What `python -m glossfree` does in each cell: so many of eleven words right, or "VERB fails", "VERB dies"."""

    folder: Path

    def does(self, **cells: Any) -> None:
        path = self.folder / "glossfree/does.json"
        before = json.loads(path.read_text()) if path.exists() else {}
        path.write_text(json.dumps({**before, **cells}))
        for count in (each for each in cells.values() if isinstance(each, int)):
            hypothesis = " ".join([*WORDS[:count], *["x"] * (len(WORDS) - count)])
            scores = score([hypothesis], [" ".join(WORDS)], language="de").to_dict()
            (self.folder / f"glossfree/{count}.json").write_text(json.dumps(scores))

    def calls(self) -> list[list[str]]:
        path = self.folder / "glossfree/calls"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def trained(self) -> list[str]:
        """The cells that were trained since the last call, by name."""
        names = [Path(words[words.index("--run") + 1]).name for words in self.calls() if words[0] == "train"]
        (self.folder / "glossfree/calls").unlink(missing_ok=True)
        return names


@pytest.fixture
def stand_in(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    folder = tmp_path_factory.mktemp("stand_in")
    (folder / "glossfree").mkdir()
    (folder / "glossfree/__init__.py").touch()
    (folder / "glossfree/__main__.py").write_text(STAND_IN)
    monkeypatch.setenv("PYTHONPATH", str(folder))
    monkeypatch.setattr(module, "POLL", 0.02)
    stand_in = StandIn(folder)
    stand_in.does(**dict(zip(NAMES, (4, 6, 8, 11), strict=True)))
    return stand_in


def start(tiny: Any, runs: Path, *, grid: list[str] = GRID, **options: Any) -> Any:
    own = {} if "plan" in options else {"recipe": str(tiny.recipe), "seeds": "0,42", "grid": grid}
    return sweep(**{"corpus": tiny.corpus, "runs": runs, "console": Silent(), **own, **options})


def problems(result: Sweep) -> dict[str, str]:
    return {cell["name"]: cell["problem"] for cell in result.cells if cell["state"] == "failed"}


def test_every_cell_is_run_once_and_reported_with_mean_and_deviation(
    tiny: Any, tmp_path: Path, stand_in: StandIn, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # a second passes whenever it is asked
    monkeypatch.setattr(module, "time", SimpleNamespace(time=itertools.count(1.0).__next__))
    result = start(tiny, tmp_path / "runs")
    out, err = capfd.readouterr()
    assert (out, err.count("on standard output")) == ("", 8)
    assert stand_in.trained() == IN_ORDER and result.exit_code == 0
    first, second = result.points()
    assert (first["point"], first["split"], first["n"]) == ({"pretrain.objectives.pseudo_gloss.weight": 1.0}, "dev", 2)
    # BLEU-1 of k right words of eleven, of the same length, is k / 11; a sample of two deviates by |a - b| / sqrt 2
    assert first["bleu1"]["mean"] == pytest.approx(100 * 5 / 11)
    assert first["bleu1"]["deviation"] == pytest.approx(100 * 2 / 11 / 2**0.5)
    assert second["bleu1"]["mean"] == pytest.approx(100 * 9.5 / 11)
    assert json.loads((tmp_path / "runs/sweep.json").read_text()) == result.to_dict()
    lines = result.to_text().splitlines()
    assert lines[0].split() == ["grid", "point", "split", "n", *(f"BLEU-{n}" for n in (1, 2, 3, 4)), "ROUGE-L", "chrF"]
    assert lines[2].startswith("pretrain.objectives.pseudo_gloss.weight=1   dev    2  45.45 ± 12.86 ")
    assert lines[3].startswith("pretrain.objectives.pseudo_gloss.weight=10  dev    2  86.36 ± 19.28 ")
    assert len(lines) == 5
    again = start(tiny, tmp_path / "runs", resume=True)
    assert again == result and all(cell["seconds"] > 0 for cell in again.cells)


def test_a_cell_is_trained_and_then_evaluated(tiny: Any, tmp_path: Path, stand_in: StandIn) -> None:
    start(tiny, tmp_path, overrides=["finetune2.epochs=2"], track=[])
    recipe, corpus, run = str(tiny.recipe), str(tiny.corpus), str(tmp_path / NAMES[3])
    changes = ["finetune2.epochs=2", "pretrain.objectives.pseudo_gloss.weight=10", "seed=42"]
    assert stand_in.calls()[-2:] == [
        ["train", "--recipe", recipe, "--corpus", corpus, "--run", run, "--resume"]
        + [word for change in changes for word in ("--set", change)],
        ["evaluate", run, "--split", "dev", "--corpus", corpus],
    ]


def test_test_is_scored_when_all_are_trained(tiny: Any, tmp_path: Path, stand_in: StandIn) -> None:
    result = start(tiny, tmp_path, test=True)
    scored = [(words[0], words[words.index("--split") + 1]) for words in stand_in.calls() if words[0] == "evaluate"]
    assert [split for _, split in scored] == ["dev"] * 4 + ["test"] * 4
    assert [(row["split"], row["n"]) for row in result.points()] == [("dev", 2), ("test", 2)] * 2


@pytest.mark.parametrize(
    ("does", "problem"),
    [
        ("train fails", "train: exit code 2"),
        ("evaluate fails", "evaluate: exit code 2"),
        ("train dies", "train: ended by SIGKILL"),
        ("train says why", "train: loss is nan"),
    ],
)
def test_a_cell_that_fails_is_named_and_the_others_go_on(
    tiny: Any, tmp_path: Path, stand_in: StandIn, does: str, problem: str
) -> None:
    Run(stand_in.folder / "glossfree").write_json(
        "status.json", {**vars(Status([], state="failed", problem="loss is nan")), "written": time.time() + 60}
    )
    stand_in.does(**{NAMES[1]: does})
    result = start(tiny, tmp_path)
    assert stand_in.trained() == IN_ORDER and problems(result) == {NAMES[1]: problem} and result.exit_code == 1
    first, second = result.points()
    assert (first["n"], second["n"]) == (1, 2)
    assert first["bleu1"] == {"mean": pytest.approx(100 * 4 / 11), "deviation": None}
    assert result.to_text().splitlines()[-1] == f"failed: {NAMES[1]}: {problem}"
    (tmp_path / NAMES[1] / "recipe.toml").unlink(missing_ok=True)
    stand_in.does(**{NAMES[1]: 6})
    again = start(tiny, tmp_path, resume=True)
    assert stand_in.trained() == [NAMES[1]] and again.exit_code == 0 and next(again.points())["n"] == 2


@pytest.mark.skipif(sys.platform == "win32", reason="processes cannot be seen there")
def test_a_cell_that_another_process_trains_is_left_alone(tiny: Any, tmp_path: Path, stand_in: StandIn) -> None:
    for name in NAMES:
        Run(tmp_path / name).write_json("status.json", vars(Status([])))
    records = tmp_path / "records"
    for cell in start(tiny, tmp_path, records=records).cells:
        assert cell["state"] == "under way" and f"process {os.getpid()} is still training" in cell["problem"]
    assert stand_in.trained() == [] and not list(records.glob("*.json")), "none of them has failed"


def test_a_cell_whose_status_cannot_be_understood_has_failed_until_it_is_removed(
    tiny: Any, tmp_path: Path, stand_in: StandIn
) -> None:
    path = Run(tmp_path / NAMES[2]).write("status.json", '{"planned": [], "mood": "good"}')
    result = start(tiny, tmp_path)
    assert [*problems(result)] == [NAMES[2]] and f"{path}: not a status" in problems(result)[NAMES[2]]
    assert NAMES[2] not in stand_in.trained() and path.is_file(), "another version may be training there"
    path.unlink()
    again = start(tiny, tmp_path, resume=True)
    assert stand_in.trained() == [NAMES[2]] and again.exit_code == 0


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_a_training_that_somebody_stops_has_not_failed_but_goes_on(
    tiny: Any, tmp_path: Path, stand_in: StandIn
) -> None:
    (stand_in.folder / "glossfree" / f"stop {NAMES[1]}").touch()
    assert start(tiny, tmp_path).exit_code == 0
    assert sorted(stand_in.trained()) == sorted([*NAMES, NAMES[1]])


def test_a_measurement_that_failed_is_made_when_the_sweep_goes_on(tiny: Any, tmp_path: Path, stand_in: StandIn) -> None:
    fails = stand_in.folder / "glossfree/fail retrieve"
    fails.touch()
    result = start(tiny, tmp_path, test=True)
    assert set(problems(result).values()) == {"retrieve: exit code 3"} and len(problems(result)) == 4
    assert [row["n"] for row in result.points()] == [2, 2, 2, 2], "scores are there"
    stand_in.trained()
    fails.unlink()
    again = start(tiny, tmp_path, test=True, resume=True)
    assert [words[0] for words in stand_in.calls()] == ["retrieve"] * 4 and again.exit_code == 0


def test_commands_that_end_well_and_leave_nothing_are_not_started_for_ever(
    tiny: Any, tmp_path: Path, stand_in: StandIn
) -> None:
    stand_in.does(**dict.fromkeys(NAMES, "nothing"))
    result = start(tiny, tmp_path)
    assert stand_in.trained() == IN_ORDER and all("left no results" in each for each in problems(result).values())
    assert len(problems(result)) == 4


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_after_an_error_of_the_sweep_itself_no_training_is_left_alone(
    tiny: Any, tmp_path: Path, stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in.does(**{NAMES[2]: "train is slow"})
    saves, begun, deadline = 0, tmp_path / NAMES[2] / "begun", time.monotonic() + 30

    def full(run: Run, *_: Any) -> None:
        nonlocal saves
        saves += 1
        if saves > 1:
            while not begun.exists() and time.monotonic() < deadline:
                time.sleep(0.01)
            raise RunError("cannot be written (No space left on device)", where=run.folder)

    monkeypatch.setattr(Run, "write_json", full)
    with pytest.raises(RunError, match="No space"):
        start(tiny, tmp_path, jobs=2)
    with pytest.raises(ProcessLookupError):
        os.kill(int(begun.read_text()), 0)


def test_a_point_without_scores_has_none(tiny: Any, tmp_path: Path, stand_in: StandIn) -> None:
    stand_in.does(**dict.fromkeys(NAMES, "train fails"))
    result = start(tiny, tmp_path)
    assert next(result.points())["bleu4"] == {"mean": None, "deviation": None}
    assert result.to_text().splitlines()[2].split() == [GRID[0].removesuffix(",10"), "dev", "0", *"------"]


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_a_stop_is_passed_on_and_the_sweep_can_be_resumed(tiny: Any, tmp_path: Path, stand_in: StandIn) -> None:
    stand_in.does(**{NAMES[2]: "train is slow"})

    def stop() -> None:
        deadline = time.monotonic() + 30
        while not (tmp_path / NAMES[2] / "begun").exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=stop)
    thread.start()
    with pytest.raises(Interrupted) as stopped:
        start(tiny, tmp_path)
    thread.join()
    assert stopped.value.signal == signal.SIGTERM
    states = [cell["state"] for cell in json.loads((tmp_path / "sweep.json").read_text())["cells"]]
    assert states == ["done", "waiting", "waiting", "waiting"]
    stand_in.does(**{NAMES[2]: 8})
    stand_in.trained()
    with pytest.raises(RunError, match="--resume"):
        start(tiny, tmp_path)
    assert start(tiny, tmp_path, resume=True).exit_code == 0 and stand_in.trained() == IN_ORDER[1:]


def test_seeds_points_and_splits_can_be_added(tiny: Any, tmp_path: Path, stand_in: StandIn) -> None:
    start(tiny, tmp_path, grid=["pretrain.objectives.pseudo_gloss.weight=1"])
    assert [row["n"] for row in start(tiny, tmp_path, resume=True).points()] == [2, 2]
    assert stand_in.trained() == NAMES  # those of the first point, then of the second
    with_test = start(tiny, tmp_path, resume=True, test=True)
    assert [(row["split"], row["n"]) for row in with_test.points()] == [("dev", 2), ("test", 2)] * 2


def test_the_commands_are_printed_and_can_be_run_elsewhere(tiny: Any, tmp_path: Path, stand_in: StandIn) -> None:
    printed = start(tiny, tmp_path / "a b", print_=True)
    assert isinstance(printed, Commands) and not (tmp_path / "a b").exists() and stand_in.calls() == []
    assert printed.to_dict() == {"commands": printed.to_text().splitlines()} and len(printed.commands) == 4
    for line in printed.commands[:3]:
        subprocess.run(["sh", "-c", line], check=True)
    stand_in.trained()
    assert start(tiny, tmp_path / "a b").exit_code == 0 and stand_in.trained() == IN_ORDER[3:]
    several = start(tiny, tmp_path, print_=True, processes=3, corpus=tmp_path / "elsewhere").commands[0]
    words = shlex.split(several)
    assert words[1:8] == ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "3", "-m", "--"]
    assert words[8:10] == ["glossfree", "train"]


def test_another_recipe_or_corpus_is_refused_before_anything_is_written(
    tiny: Any, tmp_path: Path, stand_in: StandIn
) -> None:
    start(tiny, tmp_path)
    for name in NAMES:
        seed = f"seed={name.rpartition('=')[2]}"
        recipe = for_corpus(load_recipe(tiny.recipe, [name.partition(",")[0], seed]), Manifest.load(tiny.corpus))
        (tmp_path / name / "recipe.toml").write_text(dump_recipe(recipe))
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    with pytest.raises(RunError, match=r"finetune2.epochs: 1, now 2"):
        start(tiny, tmp_path, overrides=["finetune2.epochs=2"], resume=True)
    other = tmp_path.parent / "other"
    shutil.copytree(tiny.corpus, other)
    manifest = other / "manifest.jsonl"
    manifest.write_text("".join(manifest.read_text().splitlines(keepends=True)[1:]))
    with pytest.raises(RunError, match="another corpus"):
        start(tiny, tmp_path, corpus=other, resume=True)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
    start(tiny, tmp_path, overrides=["data.num_workers=1"], resume=True)  # no number depends on it


def test_what_cannot_be_swept_is_refused_at_once(
    tiny: Any, tmp_path: Path, stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(RecipeError, match="nothing to score"):
        start(tiny, tmp_path / "runs", overrides=["finetune1.epochs=0", "finetune2.epochs=0"])
    with pytest.raises(CorpusError, match="no manifest"):
        start(tiny, tmp_path / "runs", corpus=tmp_path)
    with pytest.raises(RecipeError, match=r"no recipe .* stage.*pretrain"):
        start(tiny, tmp_path / "runs", from_=tmp_path, after="pretrian", print_=True)
    with pytest.raises(RunError, match="not a run"):
        start(tiny, tmp_path / "runs", from_=tmp_path, after="pretrain")
    with pytest.raises(RunError, match="no such tracker"):
        start(tiny, tmp_path / "runs", track=["paper"])
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(RunError, match="--processes"):
        start(tiny, tmp_path / "runs")
    assert stand_in.calls() == [] and not (tmp_path / "runs").exists()


def test_what_is_appended_is_named(tiny: Any, tmp_path: Path, stand_in: StandIn) -> None:
    path = stand_in.folder / "glossfree/4.json"
    path.write_text(json.dumps(score(["es taut"], ["es"], convention=convention_for("de", append=" .")).to_dict()))
    assert start(tiny, tmp_path).to_text().splitlines()[-1] == '" ." behind every hypothesis and reference'


def test_supervision_by_glosses_is_named(tiny: Any, tmp_path: Path, stand_in: StandIn) -> None:
    path = stand_in.folder / "glossfree/4.json"
    path.write_text(json.dumps({**score(["es taut"], ["es"], language="de").to_dict(), "supervision": "glosses"}))
    assert "trained with annotated glosses" in start(tiny, tmp_path).to_text().splitlines()[-1]


def test_the_command_line_binds_it(tiny: Any, tmp_path: Path, stand_in: StandIn, call: Any) -> None:
    words = ("sweep", *tiny.options, "--seeds", "0,42", "--grid", GRID[0])
    called = call(*words, "--runs", tmp_path / "a", "--json")
    assert called.code == 0 and [row["n"] for row in json.loads(called.out)["points"]] == [2, 2]
    stand_in.does(**{NAMES[0]: "train fails"})
    called = call(*words, "--runs", tmp_path / "b")
    assert called.code == 1 and called.out.splitlines()[-1] == f"failed: {NAMES[0]}: train: exit code 2"
    refused = call(*words, "--runs", tmp_path / "c", "--slurm-gpus", 4)
    assert refused.code == 2 and "without --slurm" in refused.err
    refused = call("sweep", *tiny.options, "--runs", tmp_path / "c", "--seeds", "none")
    assert refused.code == 2 and "--seeds none" in refused.err and not (tmp_path / "c").exists()
