"""A variant in a process of its own: its peak memory is its own, and several variants can take turns (A B A B).

A worker is `python -m benchmarks.NAME ...` that prepares itself and calls `serve`: for each line on its standard input
it does its work once and answers with one line of JSON. Whoever is not asked waits, and computes nothing.

On Linux a process's ru_maxrss begins with that of the process that started it. So a process asks the kernel about its
own memory (VmHWM), and what is measured from outside is started by a process that has next to none: this module, run.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
GIGA = 1e9
UNIT = 1 if sys.platform == "darwin" else 1024  # bytes of one ru_maxrss


class Worker:
    """A process that does its work each time it is asked to; made when it is ready. Raises RuntimeError if it dies."""

    def __init__(self, module: str, *arguments: object) -> None:
        self.command = [sys.executable, "-m", module, *map(str, arguments)]
        self.process = subprocess.Popen(
            self.command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.answer()

    def once(self) -> dict[str, Any]:
        """One piece of work -> what the process says of it."""
        self.ask()
        return self.answer()

    def ask(self) -> None:
        """Let it begin a piece of work."""
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):  # the missing answer says so
            self.process.stdin.write("\n")
            self.process.stdin.flush()

    def answer(self) -> dict[str, Any]:
        """What it says of the work that it was asked for, when it is done."""
        assert self.process.stdout is not None
        answer = self.process.stdout.readline()
        if not answer:
            raise RuntimeError(f"{' '.join(self.command)}: ended with exit code {self.process.wait()}")
        found: dict[str, Any] = json.loads(answer)
        return found

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if kind is not None:  # it may be in the middle of minutes of work
            self.process.kill()
        self.process.communicate()


def serve(work: Callable[[], Mapping[str, Any]]) -> None:
    """A worker's side: an empty answer when it is ready, then one for each line, until there are no more."""
    print("{}", flush=True)
    for _ in sys.stdin:
        print(json.dumps(work()), flush=True)


def in_turns(workers: Mapping[str, Worker], rounds: int, warm_up: int = 1) -> dict[str, list[dict[str, Any]]]:
    """Ask all workers one after another, so many rounds behind `warm_up` ones that do not count -> their answers."""
    answers: dict[str, list[dict[str, Any]]] = {name: [] for name in workers}
    for number in range(warm_up + rounds):
        for name, worker in workers.items():
            answer = worker.once()
            if number >= warm_up:
                answers[name].append(answer)
    return answers


def peak_gigabytes() -> float:
    """The most memory that this process has had so far."""
    from glossfree.training.device import peak_resident  # not above: what starts others needs next to no memory

    return peak_resident() / GIGA


@dataclass(frozen=True)
class Finished:
    """A process that ran to its end: what it printed, seconds by the clock and of processors, its peak memory."""

    output: str
    seconds: float
    cpu_seconds: float
    peak_gigabytes: float


def finish(module: str, *arguments: object) -> Finished:
    """`python -m module ...`, to its end. Raises RuntimeError with its exit code."""
    command = [sys.executable, "-m", module, *map(str, arguments)]
    starter = [sys.executable, "-m", "benchmarks.processes", *command]
    done = subprocess.run(starter, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    found = json.loads(done.stdout)
    if code := found.pop("code"):
        raise RuntimeError(f"{' '.join(command)}: ended with exit code {code}")
    return Finished(**found)


def main() -> None:
    """Run the command that the arguments are, and print what it was like, as JSON."""
    start = time.perf_counter()
    done = subprocess.run(sys.argv[1:], stdout=subprocess.PIPE, text=True, check=False)
    seconds = time.perf_counter() - start
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    answer = {"code": done.returncode, "output": done.stdout, "seconds": seconds}
    answer |= {"cpu_seconds": usage.ru_utime + usage.ru_stime, "peak_gigabytes": usage.ru_maxrss * UNIT / GIGA}
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
