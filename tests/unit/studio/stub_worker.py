"""A worker without a model, for tests: what it does with a task stands in the file, or comes from the file's name.

"crash": ends; "crash once": ends the first time; "hang": never answers; "memory": ends as if memory were short;
"nonsense": writes what is no JSON; "bad": an error; "playable": browsers play it. Everything else is translated.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path


def say(**answer: object) -> None:
    print(json.dumps(answer), flush=True)


def do(number: int, task: dict) -> None:  # type: ignore[type-arg]
    path = Path(task["path"])
    order = path.read_text(encoding="utf-8", errors="replace").strip()
    say(task=number, step="reading")
    if task["kind"] == "inspect":
        if order == "bad":
            say(task=number, error={"problem": "not a video", "where": task["name"], "remedy": "send a video"})
            return
        window, end = task["window"], task["end"]
        parts = [None] if not window else [[0.0, window], [window, None]]
        parts = [[task["start"] or 0.0, end]] if task["start"] or end is not None else parts
        video = {"seconds": 4.0, "frames_per_second": 25.0, "width": 8, "height": 8}
        plays_as = "video/mp4" if order == "playable" else ""
        say(task=number, result={"video": video, "plays_as": plays_as, "segments": parts})
        return
    if task["kind"] == "copy":
        Path(task["to"]).write_bytes(b"copy of " + path.read_bytes())
        say(task=number, result={})
        return
    mark = path.with_name("mark")
    if order == "crash" or (order == "crash once" and not mark.exists()):
        mark.touch()
        os._exit(3)
    if order == "memory":
        os._exit(77)
    if order == "nonsense":
        print("{", flush=True)
    if order in ("hang", "nonsense"):
        time.sleep(60)
    if order == "slow":
        time.sleep(0.3)
    start, end = task["segment"] or (0.0, 4.0)
    if order == "half bad" and start:
        say(task=number, error={"problem": "too short", "where": task["name"], "remedy": "make it longer"})
        return
    say(task=number, step="translating")
    segment = {"start": start + 0.01, "end": 4.0 if end is None else end - 0.01, "sentence": f"{order} {os.getpid()}"}
    segment |= {"n_best": [{"text": order, "score": -1.0, "confidence": 0.4}] * task["n_best"], "pseudo_glosses": []}
    segment |= {"timeline": {"names": [], "times": [], "values": []}, "warnings": ["25 frames/s"]}
    say(task=number, result=segment)


def main(model: str, folder: str, limits: str) -> None:
    if model.endswith("missing"):
        say(error={"problem": "no model.json: not a model folder", "where": model, "remedy": "glossfree export"})
        return
    if model.endswith("dies"):
        return
    say(ready={"id": "stub", "name": "stub", "language": "de_DE", "frames_per_second": 25.0, "frame_size": 8})
    for line in sys.stdin:
        tasks = json.loads(line)["tasks"]
        with Path(model, "batches").open("a") as file:
            file.write(f"{tasks[0]['kind']} {len(tasks)}\n")
        for number, task in enumerate(tasks):
            do(number, task)
        say(idle=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
