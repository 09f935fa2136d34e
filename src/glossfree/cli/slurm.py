"""The cells of a sweep as jobs of a SLURM cluster, one job each, through submitit (an extra: `glossfree[slurm]`).

A job that comes near its time limit, or has to make room, stops its training, which saves, and is queued again. What
came of a job it writes into its cell's folder, where a later call finds it.
"""

from __future__ import annotations

import subprocess
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from glossfree.cli.cell_run import DONE, FAILED, OUTCOME, CellRun, Outcome
from glossfree.console import Console
from glossfree.errors import RunError
from glossfree.training.run import Run

JOB, JOBS = "job.json", "jobs"  # in a cell's folder: its last job; beside the cells: what submitit keeps
UNDER_WAY = "under way"
TO_SAVE = 60.0  # seconds that a training has to stop; submitit's jobs are told 90 s before their end
# what submitit calls the same on every cluster; SLURM's own options go by slurm_...
SHARED = {
    "mem_gb",
    "nodes",
    "cpus_per_task",
    "gpus_per_node",
    "tasks_per_node",
    "timeout_min",
    "name",
    "stderr_to_stdout",
}
REQUEUES = 1000  # after so many time limits a job ends: there is no reason to, since each goes on where it stopped


@dataclass(frozen=True)
class Slurm:
    """What each job asks for. `options`: `key=value` for submitit, such as account=NAME or cpus_per_task=8."""

    partition: str | None = None
    gpus: int = 1
    hours: float = 24.0
    options: tuple[str, ...] = ()


class CellJob(CellRun):
    """A cell as submitit runs it: `checkpoint` is called when the job is to be queued again."""

    def checkpoint(self) -> Any:
        """Stop the training, which saves, and say what is to be run next: the same."""
        from submitit.helpers import DelayedSubmission

        self.stop(TO_SAVE)
        return DelayedSubmission(CellJob(self.folder, self.corpus, self.splits, self.processes, self.track))


def submit(work: Sequence[CellRun], settings: Slurm, runs: Path, *, again: bool, console: Console) -> list[Outcome]:
    """Submit a job for each cell that is not done and has none -> the outcomes of all; those of jobs that are queued
    or run are {"state": UNDER_WAY, "job": ..., "problem": what SLURM says}.

    `again`: also cells whose job has ended without scores. Raises RunError without submitit or SLURM, and for an
    option that there is none of.
    """
    submitit = the_submitit()
    executor = None
    outcomes = []
    for run in work:
        found = _collected(submitit, run, runs)
        if found is None or (again and found["state"] == FAILED):
            executor = executor or _executor(submitit, settings, runs)
            run.forget()
            processes = run.processes if run.processes > 1 else max(1, settings.gpus)
            job = CellJob(run.folder.resolve(), run.corpus.resolve(), run.splits, processes, run.track)
            with _refused():
                number = str(executor.submit(job).job_id)
            Run(run.folder).write_json(JOB, {"job": number, "cluster": executor.cluster})
            console.say(f"{run.folder.name}: job {number} submitted")
            found = {"state": UNDER_WAY, "job": number, "problem": "submitted"}
        outcomes.append(found)
    return outcomes


def _collected(submitit: Any, run: CellRun, runs: Path) -> Outcome | None:
    """What came of a cell's job so far; None if it never had one."""
    found = run.outcome()
    if found["state"] == DONE or not (run.folder / JOB).is_file():
        return found if found["state"] in (DONE, FAILED) else None
    last = Run(run.folder).read_json(JOB)
    kind = submitit.LocalJob if last["cluster"] == "local" else submitit.SlurmJob
    job = kind(folder=runs.resolve() / JOBS, job_id=last["job"])
    if run.is_locked() or not job.done():
        return {"state": UNDER_WAY, "job": last["job"], "problem": str(job.state)}
    found = run.outcome()  # it may have ended just now
    if found["state"] in (DONE, FAILED):
        return {**found, "job": last["job"]}
    if (run.folder / OUTCOME).is_file():  # done, but for a split that is wanted only now
        return None
    problem = f"ended as {job.state} and left no scores (see {run.folder}/log.txt and {job.paths.stderr})"
    return {"state": FAILED, "job": last["job"], "problem": problem}


def the_submitit() -> Any:
    """The package. Raises RunError where it is not installed."""
    try:
        import submitit
    except ImportError as error:
        raise RunError("needs submitit", where="--slurm", remedy="pip install glossfree[slurm]") from error
    return submitit


def _executor(submitit: Any, settings: Slurm, runs: Path) -> Any:
    """What submits: SLURM's, or with the option cluster=local processes of this machine, to try things out."""
    options = dict(_option(text) for text in settings.options)
    cluster = options.pop("cluster", "slurm")
    own: dict[str, Any] = {"nodes": 1, "tasks_per_node": 1, "timeout_min": max(1, round(60 * settings.hours))}
    # what is None, submitit leaves to the cluster
    own |= {
        "slurm_partition": settings.partition,
        "gpus_per_node": settings.gpus or None,
        "name": f"glossfree-{runs.name}",
    }
    with _refused():
        requeues = {"slurm_max_num_timeout": REQUEUES} if cluster == "slurm" else {}
        executor = submitit.AutoExecutor(folder=runs.resolve() / JOBS, cluster=cluster, **requeues)
        named = {key if key in SHARED or key.startswith("slurm_") else f"slurm_{key}": v for key, v in options.items()}
        executor.update_parameters(**{**own, **named})
    return executor


def _option(text: str) -> tuple[str, Any]:
    key, separator, value = text.partition("=")
    if not separator:
        raise RunError("no '=' in it", where=f"--slurm-option {text}", remedy="write key=value")
    try:
        return key.strip(), tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return key.strip(), value


@contextmanager
def _refused() -> Iterator[None]:
    """submitit's ways to say no -> RunError."""
    try:
        yield
    except (RuntimeError, NameError, ValueError, TypeError, AssertionError, OSError) as error:
        lines = str(error).splitlines() or [type(error).__name__]
        raise RunError(lines[0], where="--slurm", remedy="see docs/cluster.md, or ask who runs the cluster") from error
    except subprocess.SubprocessError as error:
        raise RunError(str(error), where="--slurm", remedy="try sbatch by hand") from error
