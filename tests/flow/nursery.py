"""The command line in forked children that can be killed, or starved of space, at a chosen moment.

The nursery is a process that has imported everything and started no thread yet: a fork of it costs milliseconds where a
start costs seconds, and what is killed is a whole process all the same. Nothing in the package knows of this: a child
wraps the few functions through which everything is written (`Path.replace`, `Path.unlink`, `Run.log`) and the step of
the loop, and sends itself SIGKILL at the moment that it was told.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import resource
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

STAGES = ("denoise", "pretrain", "finetune1", "finetune2")
CACHED = ("vision.features=cached", "vision.train=none", "pretrain.augment=false", "finetune2.augment=false")
LONGEST = 500  # seconds that a child may take
STEPS = 6  # of each stage: 12 clips in batches of 5, twice


def options(*overrides: object) -> list[str]:
    """What sets them on the command line."""
    return [word for override in overrides for word in ("--set", str(override))]


# two epochs of each stage; one stage with another optimiser and schedule, one that keeps its epoch by a dev score
SETTINGS = (
    *options(*(f"{stage}.epochs=2" for stage in STAGES)),
    *options("finetune1.optimizer=sgd", "finetune1.schedule=cosine", "finetune1.learning_rate=0.3"),
    *options("finetune2.keep=bleu4"),
)


@dataclass(frozen=True)
class Moment:
    """The `nth` time that `phase` comes to `what`, counted from a child's start.

    A file that is written whole (its name): before, half (of its bytes are in the temporary file), written (all of
    them, not renamed yet), renamed. "a line" of steps.jsonl: before, half, after. A stage's step ("step of pretrain"):
    before, after (the optimiser has moved, nothing is logged). "removal of" a file: before, after.
    `number`: the signal that the child gets then; only SIGKILL leaves half a file behind.
    """

    what: str
    phase: str
    nth: int = 1
    number: int = signal.SIGKILL


class Nursery:
    """Starts the command line in forked children; `out`, `err` and `wait` are about the one that was started last."""

    def __init__(self, folder: Path) -> None:
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        self.folder = folder  # where children write what they say
        self.child = 0

    def start(
        self,
        *arguments: object,
        kill: Moment | None = None,
        seen: Path | None = None,
        largest: int = 0,
        environment: Mapping[str, str] | None = None,
    ) -> int:
        """A child's process id. `kill`: when it dies; `seen`: a file for the clips of each step, one line each;
        `largest`: bytes of a file, beyond which writing fails; `environment`: its variables beside those of all."""
        order = {
            "arguments": [str(argument) for argument in arguments],
            "kill": None if kill is None else asdict(kill),
            "seen": None if seen is None else str(seen),
            "largest": largest,
            "environment": dict(environment or {}),
            "said": str(self.folder),
        }
        self.child = self._asked(order)
        return self.child

    def wait(self, child: int = 0) -> int:
        """The exit code of a child, -9 where it was killed."""
        return self._asked(child or self.child)

    def run(self, *arguments: object, **options: Any) -> int:
        """A child from start to end -> its exit code."""
        self.start(*arguments, **options)
        return self.wait()

    def said(self, child: int, name: str) -> str:
        """What a child wrote to standard output ("out") or error ("err")."""
        return (self.folder / f"{child}.{name}").read_text(encoding="utf-8")

    @property
    def out(self) -> str:
        return self.said(self.child, "out")

    @property
    def err(self) -> str:
        return self.said(self.child, "err")

    def _asked(self, question: object) -> int:
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(json.dumps(question) + "\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def close(self) -> None:
        assert self.process.stdin
        # said, not left to the end of the pipe: a loader's worker that was forked meanwhile may hold it open
        self.process.stdin.write("\n")
        self.process.stdin.close()
        self.process.wait(timeout=60)


def train(tiny: Any, run: Path, *overrides: str) -> tuple[object, ...]:
    """The command that trains the tiny recipe, or goes on with it."""
    return ("train", *tiny.options, *SETTINGS, *options(*overrides), "--run", run, "--resume")


def outcome(run: Path, nursery: Nursery) -> dict[str, Any]:
    """All that a finished run may be compared by: a hash of every weight of every stage, records without times,
    predictions and scores of dev and test."""
    for split in ("dev", "test"):
        assert nursery.run("evaluate", run, "--split", split) == 0, nursery.err
    names = [f"{kind}.{split}" for split in ("dev", "test") for kind in ("predictions", "scores")]
    found = {path.name: path.read_bytes() for path in run.iterdir() if path.stem in names}
    assert len(found) == 4
    weights = {f"{stage}/{name}": value for stage in STAGES for name, value in hashes(run, stage).items()}
    return {**found, **weights, "records": records(run)}


def hashes(run: Path, stage: str) -> dict[str, str]:
    """{name: hash of the bytes} of the weights that a stage has left."""
    from safetensors.torch import load_file

    tensors = load_file(run / f"weights/{stage}.safetensors")
    return {name: hashlib.sha256(tensor.numpy().tobytes()).hexdigest() for name, tensor in tensors.items()}


def different(found: dict[str, Any], expected: dict[str, Any]) -> list[str]:
    """The names under which two outcomes are not the same."""
    return sorted(name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name))


def records(run: Path) -> list[dict[str, Any]]:
    """The lines of steps.jsonl without times."""
    lines = [json.loads(line) for line in (run / "steps.jsonl").read_text(encoding="utf-8").splitlines()]
    return [
        {key: value for key, value in line.items() if key not in ("seconds", "processor_seconds", "waited")}
        for line in lines
    ]


def lines_of(run: Path) -> int:
    """Lines of steps.jsonl so far."""
    try:
        return (run / "steps.jsonl").read_bytes().count(b"\n")
    except FileNotFoundError:
        return 0


def killed(process: subprocess.Popen[str]) -> tuple[str, str]:
    """End a process that leads a group, and that group -> what it has said, for the message of an assertion."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    return process.communicate()


def order_of(seen: Path) -> list[str]:
    """The clips of each step, each step once; a step that was trained again after a kill had the same ones."""
    lines = seen.read_text(encoding="utf-8").splitlines()
    steps: dict[str, str] = {}
    for line in lines:
        place, _, clips = line.partition(":")
        assert steps.setdefault(place, clips) == clips, f"other clips the second time: {line}"
    return [f"{place}:{clips}" for place, clips in steps.items()]


# what follows runs in the nursery and in its children


class Trap:
    """Kills this process at a moment, or stops it."""

    def __init__(self, what: str, phase: str, nth: int, number: int) -> None:
        self.place, self.left, self.number = (what, phase), nth, number

    def passed(self, what: str, phase: str, ready: Callable[[], object] = lambda: None) -> None:
        """This process has come here. `ready`: what is to be left behind when it dies."""
        if (what, phase) == self.place:
            self.left -= 1
            if self.left == 0:
                if self.number == signal.SIGKILL:
                    ready()
                os.kill(os.getpid(), self.number)


def set_trap(trap: Trap) -> None:
    """Wrap what everything is written through."""
    from glossfree.training.run import Run

    replace, unlink, log = Path.replace, Path.unlink, Run.log

    def replacing(self: Path, target: Path) -> Path:
        name = Path(target).name
        trap.passed(name, "before", lambda: unlink(self))
        trap.passed(name, "half", lambda: os.truncate(self, self.stat().st_size // 2))
        trap.passed(name, "written")
        done = replace(self, target)
        trap.passed(name, "renamed")
        return done

    def unlinking(self: Path, missing_ok: bool = False) -> None:
        there = self.exists()
        if there:
            trap.passed(f"removal of {self.name}", "before")
        unlink(self, missing_ok=missing_ok)
        if there:
            trap.passed(f"removal of {self.name}", "after")

    def logging(self: Run, record: dict[str, Any]) -> None:
        line = json.dumps(record)
        trap.passed("a line", "before")
        trap.passed("a line", "half", lambda: os.write(os.open(self.steps, APPEND), line[: len(line) // 2].encode()))
        log(self, record)
        trap.passed("a line", "after")

    Path.replace, Path.unlink, Run.log = replacing, unlinking, logging  # type: ignore[method-assign,assignment]


def watch_steps(trap: Trap | None, seen: str | None) -> None:
    """Write down the clips of each step, and spring the trap before or after one."""
    from glossfree.training.loop import _Training

    step = _Training._step

    def stepping(self: Any, batches: Sequence[Any], *rest: Any) -> Any:
        name = self.stage.name
        if seen is not None:
            clips = [list(batch.ids) for batch in batches]
            with Path(seen).open("a", encoding="utf-8") as file:
                file.write(f"{name} {self.progress.step}:{clips}\n")
        if trap is not None:
            trap.passed(f"step of {name}", "before")
        done = step(self, batches, *rest)
        if trap is not None:
            trap.passed(f"step of {name}", "after")
        return done

    _Training._step = stepping  # type: ignore[method-assign]


APPEND = os.O_WRONLY | os.O_APPEND | os.O_CREAT


def child(order: dict[str, Any]) -> int:
    """Run the command line as it was ordered -> its exit code."""
    from glossfree.cli.app import main

    os.environ.update(order["environment"])
    for number, name in ((1, "out"), (2, "err")):
        file = os.open(Path(order["said"]) / f"{os.getpid()}.{name}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, number)
    trap = None if order["kill"] is None else Trap(**order["kill"])
    if trap is not None:
        set_trap(trap)
    if trap is not None or order["seen"] is not None:
        watch_steps(trap, order["seen"])
    if order["largest"]:
        resource.setrlimit(resource.RLIMIT_FSIZE, (order["largest"], order["largest"]))
    try:
        main(order["arguments"])
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0


def ended(child: int) -> int:
    """Its exit code; it is killed if it never ends."""
    deadline = time.monotonic() + LONGEST
    while not (found := os.waitpid(child, os.WNOHANG))[0]:
        if time.monotonic() > deadline:
            os.kill(child, signal.SIGKILL)
        time.sleep(0.005)
    return os.waitstatus_to_exitcode(found[1])


def serve() -> None:
    """Fork a child for each order on standard input -> its process id; for the id of a child -> its exit code."""
    from glossfree.cli.app import VERBS, load

    for verb in VERBS:  # imported once, before the first fork
        load(verb)
    importlib.import_module("torch._dynamo")  # 3 s, which the first step of an optimiser would take in each child

    answers = os.fdopen(os.dup(1), "w")
    for line in sys.stdin:
        if not line.strip():
            break
        order = json.loads(line)
        if isinstance(order, int):
            print(ended(order), file=answers, flush=True)
            continue
        born = os.fork()
        if born == 0:
            answers.close()  # who waits for an answer must notice that the nursery is gone
            code = 1
            try:
                code = child(order)
            finally:
                if sys.exc_info()[0] is not None:
                    traceback.print_exc()
                for stream in (sys.stdout, sys.stderr):
                    stream.flush()
                os._exit(code)
        print(born, file=answers, flush=True)


if __name__ == "__main__":
    serve()
