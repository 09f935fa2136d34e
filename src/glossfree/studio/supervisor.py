"""The server's side of the worker process: starts it, hands it batches of tasks, and replaces it when it ends or hangs.

Tasks of several owners take turns; those of one kind that wait at the same time are done as one batch. What the worker
had not finished when it ended is done again, each task alone, so that one that kills the worker harms no other.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import OrderedDict, deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from glossfree.errors import GlossfreeError, ModelError
from glossfree.studio.limits import OUT_OF_MEMORY, Limits

WORKER = (sys.executable, "-P", "-m", "glossfree.studio.worker")
LINE = 64 << 20  # bytes of an answer, at most
MOST_TASKS = 8  # of a batch
ATTEMPTS = 2  # of a task whose worker ends
STARTS = 2  # of a worker that never gets ready, one after another
OnStep = Callable[[str], None]


class TaskError(GlossfreeError):
    """A task that failed; `status` is HTTP's: 422 if the video is the cause, 500 if the worker is."""

    status = 422


class WorkerError(TaskError):
    """A task during which the worker ended."""

    status = 500


class _Ended(Exception):
    """The worker ended, or was stopped; `why` for a person; `is_final`: the same would happen again."""

    def __init__(self, why: str, remedy: str, *, is_final: bool = False) -> None:
        super().__init__(why)
        self.why, self.remedy, self.is_final = why, remedy, is_final


@dataclass(eq=False)
class _Item:
    """A task on its way. `is_alone`: never in a batch with others, since a worker ended with it."""

    owner: str
    task: dict[str, Any]
    on_step: OnStep
    result: asyncio.Future[dict[str, Any]]
    attempts: int = 0
    is_alone: bool = False


@dataclass
class Supervisor:
    """One worker with one model. `facts` are the model's, None until it is open; `restarts` counts lost workers."""

    model: Path
    folder: Path
    limits: Limits
    restarts: int = 0
    facts: dict[str, Any] | None = None
    _waiting: OrderedDict[str, deque[_Item]] = field(default_factory=OrderedDict)
    _has_work: asyncio.Event = field(default_factory=asyncio.Event)
    _process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int | None:
        """The worker's process id, None while there is none."""
        return self._process.pid if self._process and self._process.returncode is None else None

    async def do(self, owner: str, task: dict[str, Any], on_step: OnStep = lambda step: None) -> dict[str, Any]:
        """Have a task done -> its result. `on_step` hears "reading" and "translating". Raises TaskError.

        If the caller is cancelled, a task that waits is dropped, and of one that runs the result.
        """
        item = _Item(owner, task, on_step, asyncio.get_running_loop().create_future())
        self._waiting.setdefault(owner, deque()).append(item)
        self._has_work.set()
        return await item.result

    async def run(self) -> None:
        """Keep a worker running until cancelled. Raises ModelError if the model cannot be opened."""
        starts = 0
        while True:
            self._process = process = await self._start()
            try:
                self.facts = (await self._answer())["ready"]
                starts = 0
                await self._serve(process)
            except _Ended as ended:
                starts += self.facts is None
                if starts == STARTS:
                    remedy = "see what it printed above; is there enough memory?"
                    raise ModelError(
                        f"the worker cannot start ({ended.why})", where=self.model, remedy=remedy
                    ) from None
                self.restarts += 1
            finally:
                self.facts = None
                with suppress(ProcessLookupError):
                    process.kill()
                await process.wait()

    async def _start(self) -> asyncio.subprocess.Process:
        arguments, pipe = (str(self.model), str(self.folder), json.dumps(asdict(self.limits))), asyncio.subprocess.PIPE
        return await asyncio.create_subprocess_exec(*WORKER, *arguments, stdin=pipe, stdout=pipe, limit=LINE)

    async def _serve(self, process: asyncio.subprocess.Process) -> None:
        """Batch after batch; raises _Ended when the worker does, also while it has nothing to do."""
        death = asyncio.ensure_future(process.wait())
        try:
            while True:
                while not (batch := self._next_batch()):
                    self._has_work.clear()
                    work = asyncio.ensure_future(self._has_work.wait())
                    await asyncio.wait({work, death}, return_when=asyncio.FIRST_COMPLETED)
                    work.cancel()
                    if death.done():
                        raise _Ended(f"exit code {process.returncode}", "")
                await self._finish(batch)
        finally:
            death.cancel()

    def _next_batch(self) -> list[_Item]:
        """The next tasks of one kind, owners in turns; [] if none waits."""
        batch: list[_Item] = []
        for owner in list(self._waiting) * MOST_TASKS:
            items = self._waiting.get(owner, deque())
            while items and items[0].result.done():  # cancelled
                items.popleft()
            if not items:
                self._waiting.pop(owner, None)
            elif not batch or _fit(batch[0], items[0]):
                batch.append(items.popleft())
                self._waiting.move_to_end(owner)
                if len(batch) == MOST_TASKS or batch[0].is_alone:
                    break
        return batch

    async def _finish(self, batch: list[_Item]) -> None:
        """Have a batch done. Raises _Ended if the worker ends or hangs: what is left of the batch waits again."""
        assert self._process is not None and self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({"tasks": [item.task for item in batch]}).encode() + b"\n")
            with suppress(ConnectionError):  # the missing answer says so
                await self._process.stdin.drain()
            while not (answer := await self._answer(self.limits.timeout)).get("idle"):
                item = batch[answer["task"]]
                if item.result.done():
                    continue
                if "step" in answer:
                    item.on_step(answer["step"])
                elif "error" in answer:
                    item.result.set_exception(TaskError(**answer["error"]))
                else:
                    item.result.set_result(answer["result"])
        except _Ended as ended:
            left = [item for item in batch if not item.result.done()]
            for item in reversed(left):
                item.attempts += 1
                item.is_alone = True
                if item.attempts == ATTEMPTS or (ended.is_final and len(left) == 1):
                    kind = TaskError if ended.is_final else WorkerError
                    error = kind(f"the worker ended ({ended.why})", where=item.task["name"], remedy=ended.remedy)
                    item.result.set_exception(error)
                else:
                    self._waiting.setdefault(item.owner, deque()).appendleft(item)
                    self._waiting.move_to_end(item.owner, last=False)
            raise

    async def _answer(self, timeout: float | None = None) -> dict[str, Any]:
        """The worker's next answer. Raises _Ended, ModelError."""
        assert self._process is not None and self._process.stdout is not None
        try:
            async with asyncio.timeout(timeout):  # wait_for of Python 3.11 can lose a cancellation
                line = await self._process.stdout.readline()
            answer: dict[str, Any] = json.loads(line) if line else {}
        except TimeoutError:
            why = f"no sign of life for {timeout:.0f} s"
            raise _Ended(why, "cut the video, or scale it down", is_final=True) from None
        except ValueError:
            raise _Ended("it wrote what is no answer", "try again") from None
        if not answer:
            code = await self._process.wait()
            if code == OUT_OF_MEMORY:
                why = f"more than {self.limits.memory / 1e9:.1f} GB of memory needed"
                raise _Ended(why, "cut the video, or scale it down", is_final=True)
            raise _Ended(f"exit code {code}", "try again; if it happens again, this video is the cause")
        if self.facts is None and "error" in answer:
            raise ModelError(**answer["error"])
        return answer


def _fit(first: _Item, other: _Item) -> bool:
    """Whether two tasks can be done in one batch."""
    same = all(first.task.get(key) == other.task.get(key) for key in ("kind", "n_best"))
    return same and not first.is_alone and not other.is_alone
