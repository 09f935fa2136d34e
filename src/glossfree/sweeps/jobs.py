"""A cell of a sweep as a SLURM job: the script for `sbatch`, and the state of the job."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from glossfree.errors import RunError
from glossfree.sweeps.cells import UNDER_WAY
from glossfree.training.run import FAILED, Run

# SLURM signals the processes of srun, not the script: training saves, then the script requeues the job
SCRIPT = """#!/bin/bash
{directives}
step() {{
  srun "$@" && return
  code=$?
  if [ $code = 143 ] || {status} --json | grep -q '"state": "stopped"'; then scontrol requeue "$SLURM_JOB_ID"; fi
  exit $code
}}
{steps}
"""


@dataclass(frozen=True)
class Slurm:
    """The resources of each job. `options`: `key=value` for sbatch, such as account=NAME or cpus_per_task=8."""

    partition: str = ""
    gpus: int = 1
    hours: float = 24.0
    options: tuple[str, ...] = ()

    def outcome(
        self,
        run: Path,
        commands: Sequence[Sequence[str]],
        earlier: Mapping[str, Any],
        states: Mapping[str, str],
        *,
        again: bool,
    ) -> dict[str, Any]:
        """Submit a cell that has no scores -> {"state", "job", "problem"}. Raises RunError if SLURM refuses.

        `earlier`: the cell after the last call; `states`: as `job_states` returns them. A job that is under way is not
        submitted twice; `again` resubmits a job that ended without scores.
        """
        job = earlier.get("job")
        if job is not None:
            if job in states:
                return {"state": UNDER_WAY, "job": job, "problem": states[job]}
            if not again:
                return {"state": FAILED, "job": job, "problem": f"ended without scores (see {run / 'log.txt'})"}
        script = Run(run).write("job.sh", self.script(run, commands))
        job = _call("sbatch", "--parsable", str(script)).partition(";")[0]
        return {"state": UNDER_WAY, "job": job, "problem": "submitted"}

    def script(self, run: Path, commands: Sequence[Sequence[str]]) -> str:
        """A script that runs the commands one after another, and requeues its job after a stop."""
        options = [
            *("requeue", "nodes=1", "ntasks-per-node=1", "signal=TERM@120", "open-mode=append"),
            *(
                f"job-name={shlex.quote(f'glossfree-{run.resolve().parent.name}')}",
                f"output={shlex.quote(str(run.resolve() / 'log.txt'))}",
            ),
            f"time={max(1, round(60 * self.hours))}",
            *([f"gpus-per-node={self.gpus}"] if self.gpus else []),
            *([f"partition={self.partition}"] if self.partition else []),
        ]
        for option in self.options:
            key, separator, value = option.partition("=")
            if not separator:
                raise RunError("no '=' in it", where=f"--slurm-option {option}", remedy="write key=value")
            options.append(f"{key.strip().removeprefix('slurm_').replace('_', '-')}={shlex.quote(value)}")
        return SCRIPT.format(
            directives="\n".join(f"#SBATCH --{option}" for option in options),
            status=shlex.join([sys.executable, "-m", "glossfree", "status", str(run)]),
            steps="\n".join(f"step {shlex.join(command)}" for command in commands),
        )


def job_states() -> dict[str, str]:
    """The states of the user's jobs that wait or run, by number. Raises RunError if SLURM does not answer."""
    lines = _call("squeue", "--me", "--noheader", "--format=%i %T").splitlines()
    return dict(line.split(maxsplit=1) for line in lines)


def _call(*words: str) -> str:
    """Run a command of SLURM and return its output. Raises RunError with its first line if it fails."""
    try:
        return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError) as error:
        lines = [*(getattr(error, "stderr", None) or str(error)).strip().splitlines(), "fails"]
        remedy = "call it where sbatch works; see docs/cluster.md"
        raise RunError(f"{words[0]}: {lines[0]}", where="--slurm", remedy=remedy) from error
