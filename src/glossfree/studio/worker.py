"""The worker process: opens the model once, then reads tasks from standard input and writes answers, a JSON line each.

It alone touches what clients send. What it answers is JSON, never a pickle, so that a decoder taken over by a video
cannot reach the server. `python -m glossfree.studio.worker MODEL FOLDER LIMITS`, LIMITS as JSON.

A batch of tasks: {"tasks": [...]}. Answers: {"step", "task"} as a task begins, {"task", "result"} or {"task", "error"}
as it ends, {"idle": true} behind the last. The first answer is {"ready": facts of the model} or {"error"}.
"""

from __future__ import annotations

import json
import math
import os
import queue
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import cv2

from glossfree.corpora.manifest import Segment, source_at
from glossfree.errors import ClipError, GlossfreeError
from glossfree.files.disk import read_json, write_atomic
from glossfree.opening import open_model
from glossfree.pipeline.hub import name_of
from glossfree.serving.folder import CARD
from glossfree.serving.translations import Failure, Translation, cut_windows, strong_glosses
from glossfree.studio.limits import OUT_OF_MEMORY, Limits
from glossfree.video.container import check_container, plays_as, probe
from glossfree.video.decode import open_source
from glossfree.video.frames import resize
from glossfree.video.pack import OPTIONS, encode

SHORT_OF_MEMORY = "memory", "could not create a primitive"  # what torch, OpenCV and oneDNN say
TRACKS = 10  # pseudo-glosses of a timeline
COPY_HEIGHT = 720  # pixels of a copy for browsers, at most
SIGN_OF_LIFE = 100  # frames of a copy between two signs of life
Task = Mapping[str, Any]


class Worker:
    """A model, and what can be asked of it."""

    def __init__(self, model: Path, limits: Limits, say: Callable[[Mapping[str, Any]], None]) -> None:
        self.limits, self.say, self.translator = limits, say, open_model(model)
        about = self.translator.about
        card = read_json(model / CARD)
        self.facts = {
            "id": about.name,
            "name": f"{name_of(model)} ({about.name})",
            "language": about.language,
            "frames_per_second": about.fps,
            "frame_size": about.frame_size,
            "has_pseudo_glosses": about.has_timeline,
            "supervision": about.supervision,
            "scores": card.get("scores", {}),
            "training": card.get("training", {}),
        }

    def answer(self, tasks: Sequence[Task]) -> None:
        """Do tasks of one kind, and say of each when it begins, what comes of it, and what is wrong with it."""
        if tasks[0]["kind"] == "translate":
            self._translate(tasks)
            return
        for index, task in enumerate(tasks):
            alive = partial(self.say, {"task": index, "step": "reading"})
            alive()
            try:
                result = self._copy(task, alive) if task["kind"] == "copy" else self._inspect(task)
                self.say({"task": index, "result": result})
            except GlossfreeError as error:
                self.say({"task": index, "error": described(error, task)})

    def _inspect(self, task: Task) -> dict[str, Any]:
        """A file -> facts about the video, and its segments. Raises ClipError: unreadable, beyond a limit."""
        path, limits = Path(task["path"]), self.limits
        if path.is_file():
            check_container(path)
            info = probe(path)
            width, height = info.width, info.height
        else:
            width = height = 0
        if width * height > limits.pixels:
            problem = f"{width} x {height} pixels, and at most {limits.pixels / 1e6:.1f} million are allowed"
            raise ClipError(problem, where=path, remedy="scale the video down")
        timeline = open_source(source_at(path)).timeline
        if timeline.seconds > limits.seconds:
            problem = f"{timeline.seconds:.0f} s long, and at most {limits.seconds:.0f} s are allowed"
            raise ClipError(problem, where=path, remedy="cut the video")
        start, end = task.get("start") or 0.0, task.get("end")
        segments: list[Any] = [None]
        if task.get("window"):
            last = timeline.seconds if end is None else min(end, timeline.seconds)
            segments = [*cut_windows(last, task["window"], start)]
            segments[-1] = replace(segments[-1], end=end)
        elif start or end is not None:
            segments = [Segment(start, end)]
        if len(segments) > limits.segments:
            problem = f"{len(segments)} segments, and at most {limits.segments} are allowed"
            raise ClipError(problem, where=path, remedy="use longer windows")
        return {
            "video": {
                "seconds": timeline.seconds,
                "frames_per_second": timeline.fps,
                "width": width,
                "height": height,
            },
            "plays_as": plays_as(path) if path.is_file() else "",
            "segments": [None if each is None else [each.start, each.end] for each in segments],
        }

    def _copy(self, task: Task, alive: Callable[[], None]) -> dict[str, Any]:
        """A video in any format -> one in H.264 that every browser plays, at `to`. Raises ClipError."""
        reader = open_source(source_at(Path(task["path"])))
        timeline = reader.timeline

        def frames() -> Iterator[Any]:
            for number, frame in enumerate(reader.read(range(len(timeline)))):
                if not number % SIGN_OF_LIFE:
                    alive()
                yield shrunk(frame)

        times = None if timeline.is_constant else timeline.times
        data = encode(frames(), timeline.fps, times, options={**OPTIONS, "crf": "23"})
        write_atomic(Path(task["to"]), data, ClipError)
        return {}

    def _translate(self, tasks: Sequence[Task]) -> None:
        def requests() -> Iterator[tuple[Path, Segment | None]]:
            for index, task in enumerate(tasks):
                self.say({"task": index, "step": "reading"})
                yield Path(task["path"]), None if task["segment"] is None else Segment(*task["segment"])
            for index in range(len(tasks)):
                self.say({"task": index, "step": "translating"})

        results = self.translator.explain_all(requests(), num_hypotheses=tasks[0]["n_best"], num_tracks=TRACKS)
        for index, (task, result) in enumerate(zip(tasks, results, strict=True)):
            if isinstance(result, Failure):
                self.say({"task": index, "error": described(result.error, task)})
            else:
                self.say({"task": index, "result": self._segment(result, task)})

    def _segment(self, result: Translation, task: Task) -> dict[str, Any]:
        """A translation -> a segment of the API."""
        first, last = result.start + result.trimmed[0], result.end - result.trimmed[1]
        step = (last - first) / max(1, result.frames)
        middles = self.translator.middles(result.frames) if result.tracks else ()
        return {
            "start": number(result.start),
            "end": number(result.end),
            "sentence": result.text,
            "n_best": [
                {"text": each.text, "score": number(each.score), "confidence": number(min(1.0, math.exp(each.score)))}
                for each in result.hypotheses
            ],
            "pseudo_glosses": [
                {"name": track.pseudo_gloss, "score": number(track.score), "start": number(start), "end": number(end)}
                for track, start, end in strong_glosses(result)
            ],
            "timeline": {
                "names": [track.pseudo_gloss for track in result.tracks],
                "times": [number(first + (middle + 0.5) * step) for middle in middles],
                "values": [[number(value) for value in track.timeline] for track in result.tracks],
            },
            "warnings": [note.replace(task["path"], task["name"]) for note in result.notes],
        }


def number(value: float) -> float:
    """A float with six digits that JSON can hold: 0 in place of NaN and infinity."""
    return round(float(value), 6) if math.isfinite(value) else 0.0


def described(error: GlossfreeError, task: Task) -> dict[str, Any]:
    """An error -> plain values in which the file has the client's name for it, not its place on this machine."""
    return {key: value and value.replace(task["path"], task["name"]) for key, value in error.to_dict().items()}


def shrunk(frame: Any) -> Any:
    """A frame (H, W, 3) -> the same at most COPY_HEIGHT pixels high."""
    height, width = frame.shape[:2]
    return frame if height <= COPY_HEIGHT else resize(frame, round(width * COPY_HEIGHT / height), COPY_HEIGHT)


def limit_memory(extra: int) -> None:
    """Let this process map at most so many bytes more than now; on Linux only."""
    if sys.platform == "linux":
        import resource  # not on Windows

        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        limit = pages * os.sysconf("SC_PAGE_SIZE") + extra
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def lines_of_server(folder: Path) -> queue.SimpleQueue[str]:
    """The lines on standard input, read in a thread. When they end, the server is gone: remove `folder`, and end."""
    lines: queue.SimpleQueue[str] = queue.SimpleQueue()

    def read() -> None:
        for line in sys.stdin:
            lines.put(line)
        shutil.rmtree(folder, ignore_errors=True)
        os._exit(0)  # also in the middle of a task

    threading.Thread(target=read, daemon=True).start()
    return lines


def main(model: str, folder: str, limits: str) -> None:
    """Open the model, then answer batch after batch."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes of a terminal: the server decides
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print is no answer

    def say(answer: Mapping[str, Any]) -> None:
        answers.write(json.dumps(answer) + "\n")
        answers.flush()

    lines = lines_of_server(Path(folder))
    try:
        worker = Worker(Path(model), Limits(**json.loads(limits)), say)
    except GlossfreeError as error:
        say({"error": error.to_dict()})
        return
    if worker.translator.about.is_on_cpu:  # a GPU's driver maps terabytes
        limit_memory(worker.limits.memory)
    say({"ready": worker.facts})
    while True:
        try:
            worker.answer(json.loads(lines.get())["tasks"])
        except (MemoryError, RuntimeError, cv2.error) as error:  # torch and OpenCV raise errors of their own
            if not isinstance(error, MemoryError) and not any(words in str(error) for words in SHORT_OF_MEMORY):
                raise
            os._exit(OUT_OF_MEMORY)
        say({"idle": True})


if __name__ == "__main__":
    main(*sys.argv[1:])
