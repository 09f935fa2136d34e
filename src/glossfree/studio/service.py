"""Translations from their request to their end: queue, progress, results, files, and when all of it is forgotten."""

from __future__ import annotations

import asyncio
import math
import secrets
import shutil
import tempfile
import time
from collections import Counter, OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from glossfree.errors import GlossfreeError
from glossfree.studio.limits import Settings
from glossfree.studio.supervisor import Supervisor, TaskError

State = Literal["queued", "running", "done", "failed", "cancelled"]
PARTS = {"reading": 0.3, "translating": 0.6, "done": 1.0}  # of the way, for each segment
INSPECTED = 0.05  # of the way, once the segments are known
SWEEP = 60.0  # seconds between two looks for what is too old
LATEST = 500  # translations whose seconds are kept


class QueueFull(GlossfreeError):
    """As many translations wait as may; `seconds` after which one more may be accepted."""

    seconds = 1


@dataclass(frozen=True)
class Options:
    """What a client asks for besides the video: `start`, `end`, `window` in seconds."""

    n_best: int = 1
    start: float | None = None
    end: float | None = None
    window: float | None = None


@dataclass(eq=False)
class Translation:
    """One translation. `path` is its video, in `folder` if it was uploaded; `name` is only ever shown."""

    id: str
    name: str
    path: Path
    folder: Path
    options: Options
    state: State = "queued"
    step: str = "queued"
    video: dict[str, Any] | None = None
    plays_as: str = ""
    warnings: list[str] = field(default_factory=list)
    segments: list[dict[str, Any]] = field(default_factory=list)
    error: TaskError | None = None
    num_bytes: int = 0
    started: float = field(default_factory=time.monotonic)
    finished: float = 0.0
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    work: asyncio.Task[None] | None = None
    steps: dict[int, float] = field(default_factory=dict)  # of each segment under way: how far it is
    copying: asyncio.Task[Path] | None = None

    @property
    def seconds(self) -> float:
        """The length of the video; 0 until it is known."""
        return float(self.video["seconds"]) if self.video else 0.0

    @property
    def progress(self) -> float:
        """How far it is, from 0 to 1."""
        if self.state == "done":
            return 1.0
        return INSPECTED + (1 - INSPECTED) * sum(self.steps.values()) / len(self.steps) if self.steps else 0.0

    def to_dict(self, position: int | None = None) -> dict[str, Any]:
        """The translation as the API shows it."""
        values: dict[str, Any] = {"id": self.id, "state": self.state, "progress": round(self.progress, 3)}
        if position is not None:
            values["queue_position"] = position
        values |= {"step": self.step, "file": self.name, "video": self.video, "warnings": self.warnings}
        return values | {"segments": self.segments, "error": None if self.error is None else self.error.to_dict()}


class Service:
    """All translations of a server, and the worker that makes them."""

    def __init__(self, settings: Settings) -> None:
        self.settings, self.limits = settings, settings.limits
        self.folder = Path(tempfile.mkdtemp(prefix="glossfree-studio-"))  # only its owner can open it
        self.supervisor = Supervisor(settings.model.absolute(), self.folder, settings.limits)
        self.translations: OrderedDict[str, Translation] = OrderedDict()
        self.counts: Counter[str] = Counter()
        self.seconds: list[float] = []
        self.total_seconds = 0.0
        self.failure: GlossfreeError | None = None
        self._reserved = 0
        self._sweeping: asyncio.Task[None] | None = None
        self.supervising: asyncio.Task[None] | None = None  # done: the model is lost, and nothing can be translated

    def start(self) -> None:
        """Start the worker."""
        self.supervising = asyncio.create_task(self._supervise())
        self._sweeping = asyncio.create_task(self._sweep())

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(min(SWEEP, self.limits.keep_seconds))
            self._forget_old()

    async def _supervise(self) -> None:
        try:
            await self.supervisor.run()
        except GlossfreeError as error:
            self.failure = error
            raise
        finally:
            for each in self.translations.values():
                if each.work is not None:
                    each.work.cancel()

    async def stop(self) -> None:
        """End all work and the worker, and remove all files."""
        tasks = [each.work for each in self.translations.values()] + [self.supervising, self._sweeping]
        running = [task for task in tasks if task is not None and not task.done()]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    async def facts(self) -> dict[str, Any]:
        """The facts of the model, as soon as it is open. Raises ModelError if it cannot be."""
        while self.supervisor.facts is None:
            if self.failure is not None:
                raise self.failure
            await asyncio.sleep(0.05)
        return self.supervisor.facts

    @property
    def unfinished(self) -> int:
        """Translations that wait or run, and those whose video is being received."""
        waiting = (each for each in self.translations.values() if each.state in ("queued", "running"))
        return self._reserved + sum(not each.finished for each in waiting)

    @contextmanager
    def place(self) -> Iterator[None]:
        """Hold a place in the queue while a video is received. Raises QueueFull."""
        if self.failure is not None:
            raise self.failure
        if self.unfinished >= self.limits.queue:
            error = QueueFull(f"{self.unfinished} translations wait", where="queue", remedy="try again later")
            usual = sum(self.seconds[-9:]) / max(1, len(self.seconds[-9:]))
            error.seconds = min(60, max(1, math.ceil(usual / 2)))
            raise error
        self._reserved += 1
        try:
            yield
        finally:
            self._reserved -= 1

    def new_folder(self) -> Path:
        """A new folder for one translation."""
        folder = self.folder / secrets.token_hex(16)
        folder.mkdir()
        return folder

    def add(self, folder: Path, name: str, path: Path, options: Options) -> Translation:
        """Queue a translation of the video at `path`."""
        translation = Translation(folder.name, name, path, folder, options)
        if path.parent == folder:
            translation.num_bytes = path.stat().st_size
        self.translations[translation.id] = translation
        self._begin(translation, None)
        return translation

    def position(self, translation: Translation) -> int | None:
        """How many translations wait before this one; None if it does not wait."""
        waiting = [each for each in self.translations.values() if each.state == "queued"]
        return waiting.index(translation) if translation in waiting else None

    def again(self, translation: Translation, parts: Sequence[tuple[float, float | None]]) -> None:
        """Let `parts` be the segments of a finished translation; those that it has already are kept as they are."""
        translation.ended.clear()
        translation.state, translation.step, translation.error = "queued", "queued", None
        translation.started, translation.finished = time.monotonic(), 0.0
        self._begin(translation, parts)

    def forget(self, translation: Translation) -> None:
        """Cancel a translation that is not finished, and delete its video; forget a finished one."""
        if translation.work is not None and not translation.work.done():
            translation.state = translation.step = "cancelled"
            translation.work.cancel()
        else:
            del self.translations[translation.id]
        if translation.copying is not None:
            translation.copying.cancel()
        self._delete_files(translation)

    async def playable(self, translation: Translation) -> tuple[Path, str]:
        """A file that browsers play, and its media type; made when it is first asked for. Raises TaskError."""
        if translation.plays_as:
            return translation.path, translation.plays_as
        if translation.copying is None:
            translation.copying = asyncio.create_task(self._copy(translation))
        return await asyncio.shield(translation.copying), "video/mp4"

    async def _copy(self, translation: Translation) -> Path:
        copy = translation.folder / "copy.mp4"
        task = {"kind": "copy", "path": str(translation.path), "name": translation.name, "to": str(copy)}
        await self.supervisor.do(f"{translation.id} copy", task)
        translation.num_bytes += copy.stat().st_size
        return copy

    def _begin(self, translation: Translation, parts: Sequence[tuple[float, float | None]] | None) -> None:
        translation.work = asyncio.create_task(self._translate(translation, parts))

    async def _translate(self, translation: Translation, parts: Sequence[tuple[float, float | None]] | None) -> None:
        try:
            if parts is None:
                parts = await self._inspect(translation)
            await self._translate_parts(translation, parts)
        except TaskError as error:
            translation.state, translation.step, translation.error = "failed", "failed", error
        except asyncio.CancelledError:
            if translation.state != "cancelled":  # the server ends, or lost its model
                remedy = "start it again, and send the video again"
                translation.error = TaskError("the server stopped", where=translation.name, remedy=remedy)
                translation.state = translation.step = "failed"
            raise
        finally:
            translation.finished = time.monotonic()
            seconds = translation.finished - translation.started
            self.counts[translation.state] += 1
            self.total_seconds += seconds
            self.seconds = [*self.seconds[1 - LATEST :], seconds]
            translation.ended.set()
            self._forget_old()

    async def _inspect(self, translation: Translation) -> Sequence[Any]:
        options = translation.options
        task: dict[str, Any] = {"kind": "inspect", "path": str(translation.path), "name": translation.name}
        task |= {"start": options.start, "end": options.end, "window": options.window}

        def on_step(step: str) -> None:
            translation.state, translation.step = "running", "inspecting"

        facts = await self.supervisor.do(translation.id, task, on_step)
        translation.video, translation.plays_as = facts["video"], facts["plays_as"]
        parts: Sequence[Any] = facts["segments"]
        return parts

    async def _translate_parts(self, translation: Translation, parts: Sequence[Any]) -> None:
        """Translate all parts; those that fail carry their error. If all do, it fails and keeps what it had before."""
        kept = {(each["start"], each["end"]): each for each in translation.segments if "error" not in each}
        translation.steps = dict.fromkeys(range(len(parts)), 0.0)
        before, translation.segments = translation.segments, []
        errors: list[TaskError] = []

        async def one(number: int, part: Any) -> None:
            if part is not None and tuple(part) in kept:
                segment = kept[tuple(part)]
            else:
                try:
                    segment = await self._segment(translation, number, part)
                    if part is not None:  # as asked for, not as the frames lie: so it is known when it is sent again
                        segment["start"], segment["end"] = part[0], segment["end"] if part[1] is None else part[1]
                except TaskError as error:
                    errors.append(error)
                    start, end = part or (0.0, None)
                    segment = {"start": start, "end": translation.seconds if end is None else end, "sentence": ""}
                    empty: dict[str, list[Any]] = {"names": [], "times": [], "values": []}
                    segment |= {"n_best": [], "pseudo_glosses": [], "timeline": empty, "error": error.to_dict()}
            translation.steps[number] = PARTS["done"]
            translation.segments = sorted([*translation.segments, segment], key=lambda each: each["start"])

        async with asyncio.TaskGroup() as group:
            for number, part in enumerate(parts):
                group.create_task(one(number, part))
        if errors and len(errors) == len(parts):
            translation.segments = before
            raise errors[0]
        translation.state = translation.step = "done"

    async def _segment(self, translation: Translation, number: int, part: Any) -> dict[str, Any]:
        task: dict[str, Any] = {"kind": "translate", "path": str(translation.path), "name": translation.name}
        task |= {"segment": part, "n_best": translation.options.n_best}

        def on_step(step: str) -> None:
            if translation.state != "cancelled":  # its segments' tasks hear of that one turn of the loop later
                translation.state, translation.step = "running", step
                translation.steps[number] = PARTS[step]

        segment = await self.supervisor.do(translation.id, task, on_step)
        warnings = segment.pop("warnings")
        translation.warnings += [each for each in warnings if each not in translation.warnings]
        return segment

    def _forget_old(self) -> None:
        """Forget finished translations that are too many, too old or too large, the oldest first."""
        finished = [each for each in self.translations.values() if each.finished]
        total = sum(each.num_bytes for each in finished)
        for number, each in enumerate(finished):
            is_old = time.monotonic() - each.finished > self.limits.keep_seconds
            if not (is_old or len(finished) - number > self.limits.keep or total > self.limits.kept_bytes):
                break
            total -= each.num_bytes
            del self.translations[each.id]
            self._delete_files(each)

    def _delete_files(self, translation: Translation) -> None:
        shutil.rmtree(translation.folder, ignore_errors=True)
