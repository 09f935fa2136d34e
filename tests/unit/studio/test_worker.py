"""The worker's answers, with a real model and real videos."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from glossfree.pipeline.hub import name_of
from glossfree.studio.limits import OUT_OF_MEMORY, Limits
from glossfree.studio.worker import Worker, number
from glossfree.translator import SignTranslator
from glossfree.video.container import plays_as, probe
from glossfree.video.pack import read_clip, write_clip


class Said(list[Any]):
    """Answers as they come."""

    def of(self, kind: str) -> list[Any]:
        return [each[kind] for each in self if kind in each]


@pytest.fixture(scope="module")
def opened(tiny_model: Path) -> tuple[Worker, Said]:
    said = Said()
    return Worker(tiny_model, Limits(seconds=20, pixels=400 * 400, segments=5), said.append), said


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four seconds of noise in H.264, under a name that says nothing."""
    path = tmp_path_factory.mktemp("videos") / "video"
    frames = np.random.default_rng(0).integers(0, 255, (40, 50, 70, 3), dtype=np.uint8)
    write_clip(path, frames, 10)
    return path


def test_a_model_has_the_names_of_its_folder_and_its_recipe(
    opened: tuple[Worker, Said], tiny_model: Path, tmp_path: Path
) -> None:
    assert (opened[0].facts["name"], opened[0].facts["id"]) == (f"{tiny_model.name} (tiny)", "tiny")
    assert name_of(tmp_path / "models--me--news-signs/snapshots/0123abc") == "me/news-signs"


def ask(opened: tuple[Worker, Said], **task: Any) -> Said:
    worker, said = opened
    said.clear()
    worker.answer([{"name": "clip.mp4", **task}])
    return said


def test_facts_of_the_model(opened: tuple[Worker, Said]) -> None:
    facts = opened[0].facts
    assert (facts["id"], facts["frame_size"], facts["has_pseudo_glosses"]) == ("tiny", 28, True)
    json.dumps(facts, allow_nan=False)


def test_a_video_is_inspected(opened: tuple[Worker, Said], video: Path) -> None:
    (result,) = ask(opened, kind="inspect", path=str(video), start=None, end=None, window=None).of("result")
    assert result["video"] == {"seconds": 4.0, "frames_per_second": 10.0, "width": 70, "height": 50}
    assert result["plays_as"] == "video/mp4" and result["segments"] == [None]


@pytest.mark.parametrize(
    ("options", "segments"),
    [
        ({"window": 1.5}, [[0, 1.5], [1.5, 3.0], [3.0, None]]),
        ({"window": 1.0, "end": 2.2}, [[0, 1.0], [1.0, 2.2]]),
        ({"window": 1.5, "end": 1e6}, [[0, 1.5], [1.5, 3.0], [3.0, 1e6]]),
        ({"window": 1.0, "start": 2.9}, [[2.9, None]]),
        ({"start": 1.0}, [[1.0, None]]),
        ({"end": 2.0}, [[0.0, 2.0]]),
    ],
)
def test_windows_and_parts(
    opened: tuple[Worker, Said], video: Path, options: dict[str, float], segments: list[Any]
) -> None:
    task = {"start": None, "end": None, "window": None, **options}
    (result,) = ask(opened, kind="inspect", path=str(video), **task).of("result")
    assert result["segments"] == segments


def test_limits_are_held(opened: tuple[Worker, Said], tmp_path: Path) -> None:
    write_clip(tmp_path / "long", np.zeros((21, 20, 20, 3), np.uint8), 1)
    write_clip(tmp_path / "large", np.zeros((3, 402, 400, 3), np.uint8), 1)
    write_clip(tmp_path / "many", np.zeros((19, 20, 20, 3), np.uint8), 1)
    for name, problem in {"long": "21 s long", "large": "400 x 402", "many": "19 segments"}.items():
        task = {"kind": "inspect", "path": str(tmp_path / name), "start": None, "end": None, "window": 1.0}
        (error,) = ask(opened, **task).of("error")
        assert problem in error["problem"] and error["where"] == "clip.mp4" and error["remedy"]


@pytest.mark.parametrize(
    "content",
    [
        "#EXTM3U\n#EXTINF:1,\n{video}\n#EXT-X-ENDLIST\n",
        "ffconcat version 1.0\nfile {video}\n",
        "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 9 RTP/AVP 96\n",
        "<?xml version='1.0'?><MPD xmlns='urn:mpeg:dash:schema:mpd:2011'/>",
        "{{\\rtf1}}",
        "",
    ],
)
def test_playlists_and_other_text_are_no_videos(
    opened: tuple[Worker, Said], video: Path, tmp_path: Path, content: str
) -> None:
    path = tmp_path / "video"
    path.write_text(content.format(video=video))
    (error,) = ask(opened, kind="inspect", path=str(path), start=None, end=None, window=None).of("error")
    assert str(tmp_path) not in json.dumps(error) and error["where"] == "clip.mp4"


def test_a_translation_is_the_translators(opened: tuple[Worker, Said], video: Path, tiny_model: Path) -> None:
    said = ask(opened, kind="translate", path=str(video), segment=None, n_best=2)
    assert said.of("step") == ["reading", "translating"]
    (segment,) = said.of("result")
    expected = SignTranslator.from_pretrained(tiny_model).explain(video, num_hypotheses=2)
    assert segment["sentence"] == expected.text
    assert [each["text"] for each in segment["n_best"]] == [each.text for each in expected.hypotheses]
    assert all(0 <= each["confidence"] <= 1 for each in segment["n_best"])
    timeline = segment["timeline"]
    assert timeline["names"] == [track.pseudo_gloss for track in expected.tracks]
    assert len(timeline["values"]) == len(timeline["names"])
    assert {len(row) for row in timeline["values"]} == {len(timeline["times"])}
    assert timeline["times"] == sorted(timeline["times"]) and 0 <= timeline["times"][0] < timeline["times"][-1] <= 4
    assert all(0 <= each["start"] < each["end"] <= 4.001 for each in segment["pseudo_glosses"])
    json.dumps(segment, allow_nan=False)


def test_a_batch_is_each_of_its_tasks_alone(opened: tuple[Worker, Said], video: Path, tmp_path: Path) -> None:
    worker, said = opened
    (tmp_path / "video").write_bytes(b"no video")
    parts: list[Any] = [[0.0, 2.0], [1.0, None], None]
    tasks = [{"kind": "translate", "name": "a", "path": str(video), "segment": part, "n_best": 1} for part in parts]
    tasks.insert(1, {**tasks[0], "path": str(tmp_path / "video"), "name": "bad.mp4"})
    alone = []
    for task in tasks:
        said.clear()
        worker.answer([task])
        alone += [each for each in said if "step" not in each]
    said.clear()
    worker.answer(tasks)
    together = [each for each in said if "step" not in each]
    assert [each["task"] for each in together] == [0, 1, 2, 3]
    assert "bad.mp4" in together[1]["error"]["where"]
    for one, other in zip(alone, together, strict=True):
        assert one.get("error") == other.get("error")
        assert one.get("result", {}).get("sentence") == other.get("result", {}).get("sentence")
        assert (one.get("result") or {}).get("start") == (other.get("result") or {}).get("start")


def test_a_copy_plays_in_browsers(opened: tuple[Worker, Said], video: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.mp4"
    assert ask(opened, kind="copy", path=str(video), to=str(copy)).of("result") == [{}]
    assert plays_as(copy) == "video/mp4" and probe(copy).num_frames == 40
    assert np.abs(read_clip(copy).astype(int) - read_clip(video)).mean() < 20  # noise, and a stronger compression


def test_a_copy_that_cannot_be_written_is_an_answer(opened: tuple[Worker, Said], video: Path, tmp_path: Path) -> None:
    (error,) = ask(opened, kind="copy", path=str(video), to=str(tmp_path / "gone/copy.mp4")).of("error")
    assert "cannot be written" in json.dumps(error)


def test_numbers_are_what_json_can_hold() -> None:
    assert [number(value) for value in (0.12345678, float("nan"), float("-inf"))] == [0.123457, 0.0, 0.0]


def process(model: Path, folder: Path, **limits: Any) -> subprocess.Popen[str]:
    arguments = (str(model), str(folder), json.dumps(asdict(Limits(**limits))))
    command = [sys.executable, "-m", "glossfree.studio.worker", *arguments]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def test_the_process_says_what_is_wrong_with_a_model(tmp_path: Path) -> None:
    with process(tmp_path, tmp_path / "none") as done:  # a server keeps standard input open
        assert done.stdout
        assert "model.json" in json.loads(done.stdout.readline())["error"]["problem"]
    assert done.returncode == 0


@pytest.mark.skipif(sys.platform != "linux", reason="limits memory on Linux only")
def test_the_process_ends_when_memory_is_short_or_the_server_gone(tiny_model: Path, tmp_path: Path) -> None:
    path = tmp_path / "video"
    write_clip(path, np.zeros((8, 1400, 1400, 3), np.uint8), 8)
    task = {"kind": "translate", "path": str(path), "name": "a", "segment": None, "n_best": 1}
    for memory in (8 << 20, 4 << 30):
        folder = tmp_path / f"folder of {memory}"
        folder.mkdir()
        worker = process(tiny_model, folder, memory=memory)
        assert worker.stdin and worker.stdout
        assert "ready" in json.loads(worker.stdout.readline())
        worker.stdin.write(json.dumps({"tasks": [task]}) + "\n")
        worker.stdin.flush()
        answers = []
        while (line := worker.stdout.readline()) and "idle" not in (answer := json.loads(line)):
            answers.append(answer)
        worker.stdin.close()
        code = worker.wait(timeout=60)
        if memory == 4 << 30:
            assert "result" in answers[-1] and code == 0
            assert not folder.exists()  # the server is gone: so is its folder
        else:
            assert code == OUT_OF_MEMORY
