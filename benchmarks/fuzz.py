"""Random damage to valid inputs: no traceback, no hang, no flood of memory, and every refusal names the file.

A case is a kind of input, a command that reads it, and one to four mutations of one of its files, all drawn from the
seed and the case's number. The command line itself is called, in processes that are watched: a case that takes over
10 s of time, or memory over 2 GB, is a finding, and so is one that ends the process. `--case N` runs one case alone,
shows what it prints, and leaves its files. About 10 cases a second and core.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import io
import json
import multiprocessing
import os
import random
import resource
import shutil
import tempfile
import time
import traceback
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from multiprocessing.connection import Connection, wait
from pathlib import Path

from benchmarks import fuzz_seeds
from benchmarks.mutations import mutate
from benchmarks.timing import table

COUNT, SEED = 300, 1
SECONDS, MEMORY = 10.0, 2 << 30  # what a case may take; a machine under load gets twice the time
HEADROOM = 4 << 30  # bytes of addresses that a case may map before it ends in an error
ACCEPTED, REFUSED, FINDING = "accepted", "refused", "finding"
PATIENCE = 120.0  # seconds until a process has imported everything


@dataclass(frozen=True)
class Kind:
    """What is damaged, and what reads it. `folder`: copied for each case; `files`: patterns in it, one is mutated.

    In `commands`, `{folder}` is the copy, `{file}` the mutated file, `{seeds}` what is valid, `{out}` is new.
    """

    folder: str
    files: tuple[str, ...]
    commands: tuple[str, ...]
    is_signed: bool = False


PREPARE = "prepare folder --root {folder} --out {out} --language de --frame-size 28 --workers 1"
SCORE = "score --hypotheses {file} --references {seeds}/sentences.csv/sentences.csv --language de --samples 5"
TRANSLATE = "translate {seeds}/model {file} --json"
COUNT_TOKENS = "vocabulary --tokenizer {folder} --sentences {seeds}/words.txt --language de"
KINDS: dict[str, Kind] = {
    **{form: Kind(form, (f"clip.{form}",), (TRANSLATE, TRANSLATE, PREPARE)) for form in fuzz_seeds.FORMS},
    **{name: Kind(name, (name,), (PREPARE, SCORE)) for name in fuzz_seeds.TABLES},
    "utf-16": Kind("utf-16", ("sentences.csv",), (PREPARE, SCORE)),
    "sentences.txt": Kind(
        "sentences.txt", ("sentences.txt",), (f"{SCORE}", "glosses --sentences {file} --language de --out {out}")
    ),
    "model": Kind("model", ("*.*", "*/*.*"), ("translate {folder} {seeds}/mp4/clip.mp4",)),
    "signed model": Kind("model", ("*.*", "*/*.*"), ("translate {folder} {seeds}/mp4/clip.mp4",), is_signed=True),
    "tokenizer": Kind("model/tokenizer", ("*.model", "*.json"), (COUNT_TOKENS,)),
    "tokenizer.json": Kind("tokenizer", ("tokenizer.json",), (COUNT_TOKENS,)),
    "recipe": Kind("recipe", ("recipe.toml",), ("params --recipe {file}",)),
    "corpus": Kind(
        "corpus",
        ("corpus.json", "manifest.jsonl", "pseudo_glosses.json", "prototypes.safetensors"),
        (
            "inspect {folder}",
            "glosses {folder} --out {out}",
            "evaluate {seeds}/evaluated_run --split dev --corpus {folder}",
        ),
    ),
    "run": Kind("run", ("*.toml", "*.json*", "weights/*"), ("evaluate {folder} --split dev", "status {folder}")),
    **{
        name: Kind(name, (name,), ("translate {seeds}/model {seeds}/square.mp4 --segments {file} --json",))
        for name in fuzz_seeds.CAPTIONS
        if importlib.util.find_spec("glossfree.corpora.captions")
    },
}


@dataclass
class Outcome:
    """How a case ended. `problem`: one line on a finding, the same for the same cause; `printed`: standard error."""

    case: int
    kind: str
    ended: str
    problem: str = ""
    printed: str = ""


@dataclass
class Report:
    """All outcomes, counted by kind; findings by cause, with the cases that show each."""

    seed: int
    counts: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    findings: dict[tuple[str, str], list[int]] = field(default_factory=lambda: defaultdict(list))

    def add(self, outcome: Outcome) -> None:
        self.counts[outcome.kind][outcome.ended] += 1
        if outcome.ended == FINDING:
            self.findings[outcome.kind, outcome.problem].append(outcome.case)

    def to_text(self) -> str:
        """A table in Markdown, and a line for each cause of findings."""
        rows = [
            [kind, f"{counts.total():,}", *(f"{counts[ended]:,}" for ended in (REFUSED, ACCEPTED, FINDING))]
            for kind, counts in self.counts.items()
        ]
        totals = [sum(counts[ended] for counts in self.counts.values()) for ended in (REFUSED, ACCEPTED, FINDING)]
        rows.append(["all", *(f"{number:,}" for number in (sum(totals), *totals))])
        lines = [table(["input", "cases", "refused", "accepted", "findings"], rows), "", f"Seed {self.seed}."]
        for (kind, problem), cases in sorted(self.findings.items(), key=lambda item: -len(item[1])):
            lines.append(f"- {kind}: {problem} ({len(cases)} times, first --case {cases[0]})")
        return "\n".join(lines)


def prepare_case(number: int, seed: int, seeds: Path, folder: Path) -> tuple[str, list[str], Path]:
    """Write the damaged input of a case into a new folder -> kind, command line, mutated file."""
    rng = random.Random(f"{seed} {number}")
    name = list(KINDS)[number % len(KINDS)]
    kind = KINDS[name]
    copy = folder / Path(kind.folder).name
    shutil.copytree(seeds / kind.folder, copy)
    paths = sorted({path for pattern in kind.files for path in copy.glob(pattern) if path.is_file()})
    path = rng.choice(paths)
    path.write_bytes(mutate(path.read_bytes(), path.suffix, rng))
    if kind.is_signed:
        _sign(copy)
    places = {"{folder}": copy, "{file}": path, "{seeds}": seeds, "{out}": folder / "out"}
    return name, _command(rng.choice(kind.commands), places), path


def _command(words: str, places: dict[str, Path]) -> list[str]:
    for place, path in places.items():
        words = words.replace(place, str(path))
    return words.split()


def _sign(model: Path) -> None:
    """Write the hashes of its files into a model's card again, if it still has a list of them."""
    with contextlib.suppress(ValueError, KeyError, TypeError, AttributeError):
        card = json.loads((model / "model.json").read_bytes())
        for name in card["files"]:
            if (model / name).is_file():
                card["files"][name] = hashlib.sha256((model / name).read_bytes()).hexdigest()
        if json.dumps(card).isprintable():
            (model / "model.json").write_text(json.dumps(card))


def call(command: Sequence[str]) -> tuple[int, str, BaseException | None]:
    """The command line in this process -> exit code, standard error, and an error that is not a user's mistake."""
    from glossfree.cli.app import main

    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main([*command])
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
            return code, err.getvalue(), None
        except BaseException as error:  # noqa: BLE001 - any other is what this looks for
            return 1, err.getvalue(), error
    return 0, err.getvalue(), None


def judge(
    number: int, kind: str, path: Path, command: Sequence[str], result: tuple[int, str, BaseException | None]
) -> Outcome:
    """What a call of `command` came to, where `path` is damaged -> Outcome. A refusal names that, or another input."""
    code, printed, error = result
    if error is not None:
        places = [frame for frame in traceback.extract_tb(error.__traceback__) if "glossfree" in frame.filename]
        place = f"{Path(places[-1].filename).name}, {places[-1].name}" if places else "nowhere in the package"
        shown = "".join(traceback.format_exception(error))
        return Outcome(number, kind, FINDING, f"{type(error).__name__} in {place}", f"{printed}{shown}")
    if code not in (0, 1, 2):
        return Outcome(number, kind, FINDING, f"exit code {code}", printed)
    if code == 2:
        last = (printed.splitlines() or [""])[-1]
        if not last.startswith("glossfree: "):
            return Outcome(number, kind, FINDING, "refused without a line", printed)
        if not any(name in last for name in (path.name, str(path.parent), *(word for word in command if "/" in word))):
            words = " ".join(last.split()[:9])
            return Outcome(number, kind, FINDING, f"refused without a name: {words}", printed)
    return Outcome(number, kind, REFUSED if code == 2 else ACCEPTED, printed=printed)


def run_case(number: int, seed: int, seeds: Path, folder: Path) -> Outcome:
    """One case in this process, with its files in `folder`."""
    kind, command, path = prepare_case(number, seed, seeds, folder)
    _reset_peak()
    outcome = judge(number, kind, path, command, call(command))
    peak = _peak()
    if peak > MEMORY and outcome.ended != FINDING:
        return Outcome(number, kind, FINDING, f"{peak / 2**30:.1f} GB of memory", outcome.printed)
    return outcome


def _reset_peak() -> None:
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _peak() -> int:
    """Largest resident memory since the last reset, in bytes; 0 where the system does not tell."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) << 10
    return 0


def check_seeds(seeds: Path) -> None:
    """Run each command on valid input. Raises AssertionError if one is refused: its cases would tell nothing."""
    with tempfile.TemporaryDirectory() as folder:
        for name, kind in KINDS.items():
            for number, words in enumerate(kind.commands):
                copy = Path(folder) / f"{name} {number}".replace(" ", "_") / Path(kind.folder).name
                shutil.copytree(seeds / kind.folder, copy)
                file = next(copy.glob(kind.files[0]))
                places = {"{folder}": copy, "{file}": file, "{seeds}": seeds, "{out}": copy.parent / "out"}
                code, printed, error = call(_command(words, places))
                assert code in (0, 1) and error is None, f"{name}: {words}: {printed}{error!r}"


def work(connection: Connection, seed: int, seeds: Path) -> None:
    """A process that runs the cases whose numbers come in, and sends their outcomes back."""
    log = os.open(os.devnull, os.O_WRONLY)
    os.dup2(log, 2)  # what libraries in C print
    os.environ["OMP_NUM_THREADS"] = "1"
    call(["translate", str(seeds / "model"), str(seeds / "mp4/clip.mp4")])  # imports what takes long to import
    mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (mapped + HEADROOM, resource.RLIM_INFINITY))
    connection.send(None)
    while (number := connection.recv()) is not None:
        with tempfile.TemporaryDirectory() as folder:
            connection.send(run_case(number, seed, seeds, Path(folder)))


class Watched:
    """A process that works on one case after another, and is replaced when it dies or hangs."""

    def __init__(self, seed: int, seeds: Path) -> None:
        self.seed, self.seeds, self.case = seed, seeds, -1
        self.start()

    def start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, other = context.Pipe()
        self.process = context.Process(target=work, args=(other, self.seed, self.seeds), daemon=True)
        self.process.start()
        other.close()
        if not self.connection.poll(PATIENCE):
            raise TimeoutError("a process that runs cases does not start")
        self.connection.recv()

    def give(self, case: int) -> None:
        self.case, self.since, self.spent = case, time.monotonic(), self._seconds()
        self.connection.send(case)

    def _seconds(self) -> float:
        """Seconds that the process has computed."""
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
            return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        return 0.0

    def is_late(self) -> bool:
        elapsed = time.monotonic() - self.since
        return elapsed > SECONDS and (elapsed > 2 * SECONDS or self._seconds() - self.spent > SECONDS)

    def take(self) -> Outcome | None:
        """The outcome of the case, if it has one by now."""
        kind = list(KINDS)[self.case % len(KINDS)]
        try:
            if self.connection.poll():
                outcome: Outcome = self.connection.recv()
                return outcome
        except (EOFError, ConnectionResetError):
            self.process.join()
            problem = f"ended the process ({self.process.exitcode})"
        else:
            if not self.is_late():
                return None
            problem = f"over {SECONDS:.0f} s"
        self.stop()
        self.start()
        return Outcome(self.case, kind, FINDING, problem)

    def stop(self) -> None:
        self.process.kill()
        self.process.join()
        self.connection.close()


def outcomes(cases: Sequence[int], seed: int, seeds: Path, processes: int) -> Iterator[Outcome]:
    """Case numbers -> their outcomes, in the order in which they end."""
    left = iter(cases)
    busy: list[Watched] = []
    for case in islice(left, processes):
        worker = Watched(seed, seeds)
        worker.give(case)
        busy.append(worker)
    while busy:
        wait([worker.connection for worker in busy], timeout=0.5)
        for worker in [*busy]:
            outcome = worker.take()
            if outcome is None:
                continue
            yield outcome
            if (coming := next(left, None)) is None:
                worker.stop()
                busy.remove(worker)
            else:
                worker.give(coming)


def measure(count: int = COUNT, seed: int = SEED, seeds: Path | None = None, processes: int | None = None) -> Report:
    """`count` cases -> Report. `seeds`: valid inputs, see `fuzz_seeds.make`; made here if left out."""
    report = Report(seed)
    with tempfile.TemporaryDirectory() as folder:
        valid = seeds or fuzz_seeds.make(Path(folder))
        check_seeds(valid)
        for outcome in outcomes(range(count), seed, valid, processes or os.cpu_count() or 1):
            report.add(outcome)
    return report


def run(count: int = COUNT, seed: int = SEED, case: int | None = None) -> str:
    """So many cases -> a table in Markdown; or one case, what it printed and where its files are."""
    if case is None:
        return measure(count, seed).to_text()
    folder = Path(tempfile.mkdtemp(prefix=f"fuzz-{seed}-{case}-"))
    seeds = fuzz_seeds.make(folder / "seeds")
    (folder / "case").mkdir()
    kind, command, path = prepare_case(case, seed, seeds, folder / "case")
    outcome = judge(case, kind, path, command, call(command))
    return f"{' '.join(command)}\n\n{outcome.printed}\n{outcome.kind}: {outcome.ended} {outcome.problem}\n{path}"
