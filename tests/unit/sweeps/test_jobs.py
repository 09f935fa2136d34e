"""Cells as SLURM jobs, against small programs in the place of sbatch, squeue, srun and scontrol."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.unit.cli.test_sweep import NAMES, StandIn, stand_in, start

from glossfree.errors import RunError
from glossfree.sweeps.jobs import Slurm, job_states

assert stand_in  # a fixture
SBATCH = """n=$(($(ls "$CLUSTER"/queued | wc -l) + 70))
cp "$2" "$CLUSTER/queued/$n"
echo "$n;main"
"""
COMMANDS = [["train", "a b"], ["evaluate", "a b"]]


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder: queued/NUMBER is a submitted script, `states` what squeue prints, `asked` a line for each of its
    calls, `requeued` what scontrol got."""
    if sys.platform == "win32":
        pytest.skip("SLURM and its scripts are of POSIX")
    folder = tmp_path / "cluster"
    (folder / "queued").mkdir(parents=True)
    (folder / "bin").mkdir()
    (folder / "states").touch()
    programs = {"sbatch": SBATCH, "squeue": 'echo "$@" >> "$CLUSTER/asked"\ncat "$CLUSTER/states"\n', "srun": '"$@"\n'}
    programs["scontrol"] = 'echo "$@" >> "$CLUSTER/requeued"\n'
    for name, text in programs.items():
        (folder / "bin" / name).write_text(f"#!/bin/sh\n{text}")
        (folder / "bin" / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("CLUSTER", str(folder))
    return folder


def test_a_cell_is_submitted_once_and_followed(cluster: Path, tmp_path: Path) -> None:
    run, slurm = tmp_path / "runs/seed=0", Slurm()
    first = slurm.outcome(run, COMMANDS, {}, {}, again=False)
    assert first == {"state": "under way", "job": "70", "problem": "submitted"}
    assert (cluster / "queued/70").read_text() == slurm.script(run, COMMANDS)
    (cluster / "states").write_text("69 RUNNING\n70 PENDING\n")
    followed = slurm.outcome(run, COMMANDS, first, job_states(), again=True)
    assert followed == {"state": "under way", "job": "70", "problem": "PENDING"}
    (cluster / "states").write_text("69 RUNNING\n")
    failed = slurm.outcome(run, COMMANDS, first, job_states(), again=False)
    assert (failed["state"], failed["job"]) == ("failed", "70") and "log.txt" in failed["problem"]
    assert slurm.outcome(run, COMMANDS, failed, job_states(), again=True)["job"] == "71"


def test_what_a_job_asks_for(tmp_path: Path) -> None:
    options = ("account=slt", "cpus_per_task=8", "slurm_qos=long")
    lines = Slurm("gpu", 4, 1.5, options).script(tmp_path / "runs/seed=0", COMMANDS).splitlines()
    asked = {line.removeprefix("#SBATCH --") for line in lines if line.startswith("#SBATCH")}
    assert asked >= {"partition=gpu", "gpus-per-node=4", "time=90", "account=slt", "cpus-per-task=8", "qos=long"}
    assert asked >= {"requeue", "signal=TERM@120", "job-name=glossfree-runs"}
    assert not [line for line in Slurm(gpus=0).script(tmp_path, COMMANDS).splitlines() if "gpus" in line]


@pytest.mark.parametrize(
    ("train", "evaluate", "state", "code", "requeued"),
    [
        ("exit 0", "exit 0", "finished", 0, False),
        ("exit 143", "exit 0", "training", 143, True),  # one process, stopped and saved
        ("exit 1", "exit 0", "stopped", 1, True),  # torchrun has an exit code of its own
        ("exit 2", "exit 0", "failed", 2, False),
        ("exit 0", "exit 7", "finished", 7, False),
    ],
)
def test_a_job_that_was_stopped_is_queued_again(
    cluster: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    train: str,
    evaluate: str,
    state: str,
    code: int,
    requeued: bool,
) -> None:
    (tmp_path / "glossfree").mkdir()
    (tmp_path / "glossfree/__init__.py").touch()
    (tmp_path / "glossfree/__main__.py").write_text(f"print({json.dumps({'state': state}, indent=1)!r})")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    commands = [["sh", "-c", f"echo train >> '{tmp_path}/steps'; {train}"]]
    commands += [["sh", "-c", f"echo evaluate >> '{tmp_path}/steps'; {evaluate}"]]
    script = Slurm().script(tmp_path / "a run", commands)
    ended = subprocess.run(["bash", "-c", script], env={**os.environ, "SLURM_JOB_ID": "70"}, check=False)
    assert ended.returncode == code
    assert (tmp_path / "steps").read_text().split() == ["train", "evaluate"][: 2 if train == "exit 0" else 1]
    assert (cluster / "requeued").exists() is requeued


@pytest.mark.parametrize("program", ["exit 1", "echo 'sbatch: error: invalid account' >&2; exit 1", None])
def test_what_slurm_refuses_is_one_line(cluster: Path, tmp_path: Path, program: str | None, monkeypatch: Any) -> None:
    if program is None:
        monkeypatch.setenv("PATH", str(tmp_path))
    else:
        (cluster / "bin/sbatch").write_text(f"#!/bin/sh\n{program}\n")
    with pytest.raises(RunError) as refused:
        Slurm().outcome(tmp_path / "run", COMMANDS, {}, {}, again=False)
    assert "sbatch: " in str(refused.value) and "\n" not in str(refused.value)


def test_an_option_needs_a_value(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="write key=value"):
        Slurm(options=("account",)).script(tmp_path, COMMANDS)


def test_numbers_of_jobs_outlive_a_slurm_that_does_not_answer(
    tiny: Any, tmp_path: Path, stand_in: StandIn, cluster: Path
) -> None:
    runs, grid = tmp_path / "runs", ["pretrain.objectives.pseudo_gloss.weight=1"]
    first = start(tiny, runs, grid=grid, slurm=True)
    jobs = [cell["job"] for cell in first.cells]
    assert jobs == ["70", "71"]
    squeue = cluster / "bin/squeue"
    program = squeue.read_text()
    squeue.write_text("#!/bin/sh\nexit 1\n")
    with pytest.raises(RunError, match="squeue"):
        start(tiny, runs, grid=grid, slurm=True)
    squeue.write_text(program)
    (cluster / "states").write_text("70 RUNNING\n71 PENDING\n")
    again = start(tiny, runs, grid=grid, slurm=True).cells
    assert [(cell["job"], cell["problem"]) for cell in again] == [("70", "RUNNING"), ("71", "PENDING")]
    assert len((cluster / "asked").read_text().splitlines()) == 1, "once for all jobs, and not before there are any"


def test_a_job_that_did_its_work_has_not_failed_when_more_is_asked_for(
    tiny: Any, tmp_path: Path, stand_in: StandIn, cluster: Path
) -> None:
    runs, grid = tmp_path / "runs", ["pretrain.objectives.pseudo_gloss.weight=1"]
    start(tiny, runs, grid=grid, slurm=True)
    for name in NAMES[:2]:
        shutil.copy(stand_in.folder / "glossfree/4.json", runs / name / "scores.dev.json")
    assert [cell["state"] for cell in start(tiny, runs, grid=grid, slurm=True).cells] == ["done"] * 2
    result = start(tiny, runs, grid=grid, slurm=True, test=True)
    assert [(cell["state"], cell["job"], set(cell["scores"])) for cell in result.cells] == [
        ("under way", "72", {"dev"}),
        ("under way", "73", {"dev"}),
    ]
    assert "train" not in (cluster / "queued/72").read_text().split()
