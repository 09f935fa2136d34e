"""SIGTERM and SIGINT on the real command line, as a scheduler and a terminal send them: to the whole process group, the
loader's workers included. It saves, says so in one line, and goes on bit for bit; with any number of workers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from tests.flow.nursery import Nursery, different, killed, lines_of, order_of, outcome, train

WORKERS = "data.num_workers=2"


def children_of(process: int) -> list[int]:
    """Processes that it has started and that are still there; Linux only."""
    return [int(word) for word in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


def in_a_group(*arguments: object) -> subprocess.Popen[str]:
    """The command line in a process group of its own."""
    command = [sys.executable, "-m", "glossfree", *map(str, arguments)]
    pipe, environment = subprocess.PIPE, {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, env=environment, stdout=pipe, stderr=pipe, text=True, start_new_session=True)


def wait_for(process: subprocess.Popen[str], run: Path, lines: int, workers: int) -> None:
    """Until the run has logged so many lines and has so many workers."""
    deadline = time.monotonic() + 120
    while lines_of(run) < lines or len(children_of(process.pid)) < workers:
        assert process.poll() is None and time.monotonic() < deadline, killed(process)
        time.sleep(0.002)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")
@pytest.mark.parametrize(("number", "code", "lines"), [(signal.SIGTERM, 143, 9), (signal.SIGINT, 130, 17)])
def test_a_signal_to_the_whole_group_is_saved_and_resumed(
    tiny: Any, nursery: Nursery, undisturbed: Any, tmp_path: Path, number: signal.Signals, code: int, lines: int
) -> None:
    run = tmp_path / "run"
    process = in_a_group(*train(tiny, run, WORKERS))
    try:
        wait_for(process, run, lines, workers=2)
        workers = children_of(process.pid)
        os.killpg(process.pid, number)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert (process.returncode, out) == (code, "")
    spoken = [line for line in err.splitlines() if line.startswith("glossfree: ")]
    assert spoken == err.splitlines()[-1:] and str(run) in spoken[0] and "--resume goes on" in spoken[0]
    assert "stopped and saved at step" in spoken[0] and "Traceback" not in err
    assert [worker for worker in workers if Path(f"/proc/{worker}").exists()] == []
    logged = lines_of(run)
    assert lines <= logged < 32
    assert nursery.run(*train(tiny, run, WORKERS), seen=tmp_path / "seen") == 0, nursery.err
    assert order_of(tmp_path / "seen") == undisturbed.order[-len(order_of(tmp_path / "seen")) :]
    assert different(outcome(run, nursery), undisturbed.outcome) == []


@pytest.mark.parametrize("workers", [1, 2])
def test_one_seed_gives_one_result_with_any_number_of_workers(
    tiny: Any, nursery: Nursery, undisturbed: Any, tmp_path: Path, workers: int
) -> None:
    """`undisturbed` has none."""
    command = train(tiny, tmp_path / "run", f"data.num_workers={workers}")
    assert nursery.run(*command, seen=tmp_path / "seen") == 0, nursery.err
    assert different(outcome(tmp_path / "run", nursery), undisturbed.outcome) == []
    assert order_of(tmp_path / "seen") == undisturbed.order


def test_another_seed_gives_another_result(tiny: Any, nursery: Nursery, undisturbed: Any, tmp_path: Path) -> None:
    command = train(tiny, tmp_path / "run", "seed=1")
    assert nursery.run(*command, seen=tmp_path / "seen") == 0, nursery.err
    found = outcome(tmp_path / "run", nursery)
    assert "records" in different(found, undisturbed.outcome) and order_of(tmp_path / "seen") != undisturbed.order
