"""Cells as jobs, against a stand-in for submitit: what is submitted, collected, queued again, refused."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from glossfree.cli.cell_run import CellRun
from glossfree.cli.slurm import CellJob, Slurm, submit
from glossfree.console import Silent
from glossfree.errors import RunError


class Cluster:
    """What is queued, by number, and in which state it is."""

    def __init__(self) -> None:
        self.jobs: dict[str, CellJob] = {}
        self.states: dict[str, str] = {}
        self.made: list[dict[str, Any]] = []
        self.parameters: dict[str, Any] = {}
        self.refuses: Exception | None = None

    def module(self) -> ModuleType:
        cluster = self

        class Executor:
            def __init__(self, folder: Path, cluster: str, **options: Any) -> None:
                outer.made.append({"folder": folder, "cluster": cluster, **options})
                self.cluster = cluster

            def update_parameters(self, **parameters: Any) -> None:
                if "slurm_colour" in parameters:
                    raise NameError("Unknown argument 'colour'\nand much more")
                outer.parameters.update(parameters)

            def submit(self, job: CellJob) -> Any:
                if outer.refuses is not None:
                    raise outer.refuses
                number = str(70 + len(outer.jobs))
                outer.jobs[number], outer.states[number] = job, "PENDING"
                return SimpleNamespace(job_id=number)

        class Job:
            def __init__(self, folder: Path, job_id: str) -> None:
                self.state = outer.states[job_id]
                self.paths = SimpleNamespace(stderr=folder / f"{job_id}_0_log.err")

            def done(self) -> bool:
                return self.state not in ("PENDING", "RUNNING")

        outer = cluster
        found = ModuleType("submitit")
        helpers = ModuleType("submitit.helpers")
        found.__dict__.update(AutoExecutor=Executor, SlurmJob=Job, LocalJob=Job, helpers=helpers)
        helpers.__dict__.update(DelayedSubmission=lambda job: ("again", job))
        return found


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    cluster = Cluster()
    found = cluster.module()
    monkeypatch.setitem(sys.modules, "submitit", found)
    monkeypatch.setitem(sys.modules, "submitit.helpers", found.helpers)
    return cluster


def cells(runs: Path, count: int = 3) -> list[CellRun]:
    found = [CellRun(runs / f"seed={seed}", runs / "corpus", ("dev",)) for seed in range(count)]
    for cell in found:
        cell.folder.mkdir(parents=True, exist_ok=True)
    return found


def put(cell: CellRun, **outcome: Any) -> None:
    (cell.folder / "cell.json").write_text(json.dumps(outcome))


def send(work: list[CellRun], runs: Path, *, again: bool = False, settings: Slurm = Slurm()) -> list[dict[str, Any]]:  # noqa: B008
    return submit(work, settings, runs, again=again, console=Silent())


def test_each_cell_becomes_a_job_and_a_second_call_collects(cluster: Cluster, tmp_path: Path) -> None:
    work = cells(tmp_path)
    put(work[0], state="done", scores={"dev": {}})
    settings = Slurm(partition="gpu", gpus=4, hours=1.5, options=("account=slt", "cpus_per_task=8", "mem_gb=64"))
    first = send(work, tmp_path, settings=settings)
    assert [found["state"] for found in first] == ["done", "under way", "under way"]
    assert [found.get("job") for found in first] == [None, "70", "71"]
    assert cluster.made == [{"folder": tmp_path / "jobs", "cluster": "slurm", "slurm_max_num_timeout": 1000}]
    assert cluster.parameters == {
        "name": f"glossfree-{tmp_path.name}",
        "timeout_min": 90,
        "nodes": 1,
        "tasks_per_node": 1,
        "gpus_per_node": 4,
        "slurm_partition": "gpu",
        "slurm_account": "slt",
        "cpus_per_task": 8,
        "mem_gb": 64,
    }
    job = cluster.jobs["70"]
    assert (job.folder, job.processes, job.splits) == (work[1].folder, 4, ("dev",))
    cluster.states["70"] = "RUNNING"
    assert [found.get("problem") for found in send(work, tmp_path)] == [None, "RUNNING", "PENDING"]
    put(work[1], state="done", scores={"dev": {"bleu4": 3.0}})
    cluster.states |= {"70": "COMPLETED", "71": "TIMEOUT"}
    found = send(work, tmp_path)
    assert found[1] == {"state": "done", "scores": {"dev": {"bleu4": 3.0}}}
    assert found[2]["state"] == "failed" and found[2]["problem"].startswith("ended as TIMEOUT and left no scores")
    assert len(cluster.jobs) == 2


def test_what_has_failed_is_submitted_again_when_asked(cluster: Cluster, tmp_path: Path) -> None:
    work = cells(tmp_path, 2)
    send(work, tmp_path)
    put(work[0], state="failed", problem="train: is odd")
    cluster.states["70"] = "COMPLETED"
    found = send(work, tmp_path)
    assert found[0] == {"state": "failed", "problem": "train: is odd", "job": "70"} and len(cluster.jobs) == 2
    found = send(work, tmp_path, again=True)
    assert found[0] == {"state": "under way", "problem": "submitted", "job": "72"} and found[1]["job"] == "71"
    cluster.states["72"] = "NODE_FAIL"
    assert "ended as NODE_FAIL" in send(work, tmp_path)[0]["problem"]  # not the error of the job before


def test_a_split_that_is_wanted_later_makes_another_job(cluster: Cluster, tmp_path: Path) -> None:
    work = cells(tmp_path, 1)
    send(work, tmp_path)
    put(work[0], state="done", scores={"dev": {}})
    cluster.states["70"] = "COMPLETED"
    both = [CellRun(work[0].folder, work[0].corpus, ("dev", "test"))]
    assert send(both, tmp_path)[0]["job"] == "71" and cluster.jobs["71"].splits == ("dev", "test")


def test_a_job_without_gpus_is_one_process(cluster: Cluster, tmp_path: Path) -> None:
    send(cells(tmp_path, 1), tmp_path, settings=Slurm(gpus=0))
    assert cluster.jobs["70"].processes == 1 and cluster.parameters["gpus_per_node"] is None


def test_before_its_time_limit_a_job_stops_its_training_and_is_queued_again(cluster: Cluster, tmp_path: Path) -> None:
    stopped: list[float | None] = []

    class Watched(CellJob):
        def stop(self, seconds: float | None = None) -> None:
            stopped.append(seconds)

    job = Watched(tmp_path, tmp_path / "corpus", ("dev", "test"), 2, ("wandb",))
    word, later = job.checkpoint()
    assert (word, stopped) == ("again", [60.0])
    assert type(later) is CellJob and vars(later) == vars(job)


def test_without_submitit_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(RunError, match=r"pip install glossfree\[slurm\]"):
        send(cells(tmp_path), tmp_path)


@pytest.mark.parametrize(
    ("settings", "refuses", "words"),
    [
        (Slurm(options=("colour=red",)), None, "Unknown argument 'colour'"),
        (Slurm(options=("account",)), None, "write key=value"),
        (Slurm(), RuntimeError('Could not detect "srun"'), 'Could not detect "srun"'),
    ],
)
def test_what_submitit_refuses_is_one_line(
    cluster: Cluster, tmp_path: Path, settings: Slurm, refuses: Exception | None, words: str
) -> None:
    cluster.refuses = refuses
    with pytest.raises(RunError) as refused:
        send(cells(tmp_path), tmp_path, settings=settings)
    assert words in str(refused.value) and "\n" not in str(refused.value)
    assert not list(tmp_path.rglob("job.json"))


def test_a_local_job_is_told_by_its_lock(cluster: Cluster, tmp_path: Path) -> None:
    """submitit's local jobs tell nothing to another process: it is the log that is locked."""
    work = cells(tmp_path, 1)
    send(work, tmp_path, settings=Slurm(options=("cluster=local",)))
    assert json.loads((work[0].folder / "job.json").read_text()) == {"job": "70", "cluster": "local"}
    cluster.states["70"] = "NO PROCESS AND NO RESULT"
    with work[0]._alone(lambda: None, lambda note: None):
        assert send(work, tmp_path)[0]["state"] == "under way"
    assert send(work, tmp_path)[0]["state"] == "failed"
