"""The studio as its users meet it: start, latency alone and among others, damaged uploads, a killed worker.

`python -m benchmarks studio --model M --clip C [--clients 20] [--seconds 60] [--mutations 1000] [--no-write]`. The
server is a process of its own, as `glossfree studio` starts it; clients are threads that send a clip, wait for the
sentence and send it again. Linux only (memory and children of processes). With these defaults about three minutes.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import quantiles

import httpx

from benchmarks.mutations import mutate
from benchmarks.timing import machine, table

STUDIO = "studio"
ALONE = 50  # requests, one after another
SENDERS = 4  # clients that send damaged videos
KILLS = 3  # of a worker, while all clients wait
LOST = "lost"  # no answer at all


@dataclass(frozen=True)
class Answers:
    """What clients were told: seconds of each answer, and how many had which status."""

    seconds: list[float]
    statuses: Counter[str]

    def quantile(self, percent: int) -> float:
        """Seconds within which so many percent were answered."""
        return quantiles(self.seconds, n=100, method="inclusive")[percent - 1] if len(self.seconds) > 1 else 0.0

    @property
    def lost(self) -> int:
        """Requests without a sentence."""
        return self.statuses.total() - self.statuses["200"]


@dataclass
class Server:
    """A running studio. `page`, `ready`: seconds from the start of the process to its page, and to the open model."""

    process: subprocess.Popen[str]
    url: str
    page: float
    ready: float

    @property
    def worker(self) -> int:
        """The worker's process id."""
        pid = self.process.pid
        return int(Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()[-1])

    def memory(self) -> str:
        """Resident megabytes of the server and of its worker."""
        texts = [Path(f"/proc/{pid}/status").read_text(encoding="utf-8") for pid in (self.process.pid, self.worker)]
        sizes = [int(re.search(r"VmRSS:\s+(\d+)", text)[1]) / 1024 for text in texts]  # type: ignore[index]
        return " + ".join(f"{each:.0f}" for each in sizes)

    def restarts(self) -> int:
        """Workers that were lost so far."""
        text = httpx.get(f"{self.url}metrics").text
        return int(re.search(r"^glossfree_worker_restarts_total (\d+)", text, re.MULTILINE)[1])  # type: ignore[index]

    def send(self, client: httpx.Client, content: bytes) -> tuple[float, str]:
        """Upload a video and wait for its end -> seconds and status."""
        start = time.perf_counter()
        try:
            answer = client.post(f"{self.url}v1/translations?wait=true", files={"video": content})
            status = str(answer.status_code)
            answer.json()
        except (httpx.HTTPError, ValueError):
            status = LOST
        return time.perf_counter() - start, status


@contextmanager
def started(model: Path) -> Iterator[Server]:
    """`glossfree studio`, until the block ends."""
    command = [sys.executable, "-m", "glossfree", "studio", str(model), "--no-open", "--port", "0"]
    start = time.perf_counter()
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        line = process.stderr.readline()
        url = re.search(r"http://\S+", line)
        if url is None:
            raise RuntimeError(f"{' '.join(command)}: {line}{process.stderr.read()}")
        httpx.get(url[0], timeout=60).raise_for_status()
        page = time.perf_counter() - start
        httpx.get(f"{url[0]}v1/models", timeout=600).raise_for_status()
        yield Server(process, url[0], page, time.perf_counter() - start)
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate()


def together(clients: int, work: Callable[[httpx.Client], Iterator[tuple[float, str]]]) -> Answers:
    """Clients that work at the same time -> all that they were told."""

    def one(_: int) -> list[tuple[float, str]]:
        with httpx.Client(timeout=600) as client:
            return list(work(client))

    with ThreadPoolExecutor(clients) as pool:
        told = [answer for answers in pool.map(one, range(clients)) for answer in answers]
    return Answers([seconds for seconds, _ in told], Counter(status for _, status in told))


def load(server: Server, content: bytes, clients: int, seconds: float) -> Answers:
    """So many clients send the clip again and again for so long."""
    end = time.monotonic() + seconds

    def work(client: httpx.Client) -> Iterator[tuple[float, str]]:
        while time.monotonic() < end:
            yield server.send(client, content)

    return together(clients, work)


def killed(server: Server, content: bytes, clients: int) -> Answers:
    """All clients send the clip KILLS times, and each time the worker is killed while they wait."""

    def work(client: httpx.Client) -> Iterator[tuple[float, str]]:
        yield server.send(client, content)

    seconds, statuses = [], Counter[str]()
    for _ in range(KILLS):
        with ThreadPoolExecutor(1) as pool:
            pending = pool.submit(together, clients, work)
            time.sleep(0.15)
            os.kill(server.worker, signal.SIGKILL)
            answers = pending.result()
        time.sleep(0.5)  # where all had been answered, nobody else notices that the worker is gone
        httpx.get(f"{server.url}v1/models", timeout=600).raise_for_status()
        seconds += answers.seconds
        statuses += answers.statuses
    return Answers(seconds, statuses)


def damaged(server: Server, content: bytes, suffix: str, count: int) -> Answers:
    """So many uploads of the clip, each with other damage."""
    numbers = iter(range(count))

    def work(client: httpx.Client) -> Iterator[tuple[float, str]]:
        for number in numbers:  # shared by all clients
            yield server.send(client, mutate(content, suffix, random.Random(f"studio {number}")))

    return together(SENDERS, work)


def run(model: Path, clip: Path, clients: int = 20, seconds: float = 60, mutations: int = 1000) -> str:
    """All measurements as a table in Markdown."""
    content = clip.read_bytes()
    rows: list[list[str]] = []

    def add(what: str, answers: Answers) -> None:
        times = (f"{answers.quantile(50):.2f}", f"{answers.quantile(95):.2f}", f"{max(answers.seconds):.2f}")
        rows.append([what, f"{len(answers.seconds):,}", *times, f"{answers.lost}"])

    with started(model) as server:
        alone = together(1, lambda client: (server.send(client, content) for _ in range(ALONE)))
        add("alone", alone)
        add(f"{clients} clients, {seconds:g} s", load(server, content, clients, seconds))
        add(f"{clients} clients, the worker killed {KILLS} times", killed(server, content, clients))
        restarts, before = server.restarts(), server.memory()
        answers = damaged(server, content, clip.suffix, mutations)
        crashes, after = server.restarts() - restarts, server.memory()
        page, ready = server.page, server.ready
    statuses = ", ".join(f"{count:,} x {status}" for status, count in sorted(answers.statuses.items()))
    header = ["a clip again and again", "requests", "p50, s", "p95, s", "longest, s", "without a sentence"]
    note = (
        f"Page after {page:.1f} s from the start of the process, model open after {ready:.1f} s. {mutations:,} damaged "
        f"uploads: {statuses}; workers lost: {crashes}; memory of server + worker {before} MB before, {after} MB "
        f"after. {machine()}."
    )
    return f"{table(header, rows)}\n\n{note}"


def main(words: list[str]) -> str:
    """The command line -> the table; `--no-write` is left to the caller."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks studio", description="Measure the studio.")
    parser.add_argument("--model", type=Path, default=Path("runs/demo/model"), help="folder made by `glossfree export`")
    parser.add_argument("--clip", type=Path, required=True, help="a video of about three seconds")
    parser.add_argument("--clients", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--mutations", type=int, default=1000)
    return run(**vars(parser.parse_args(words)))
