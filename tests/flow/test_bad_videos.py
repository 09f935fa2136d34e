"""A video that cannot be read, alone and among others: named with its path and the remedy, and packed around."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest


def cut(path: Path, share: float) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])


def without_frames(path: Path) -> None:
    """A file with a video stream and not one picture in it."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 48, 34, "yuv420p"
        container.start_encoding()


def only_sound(path: Path) -> None:
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=16_000)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        sound.sample_rate = 16_000
        container.mux(stream.encode(sound))
        container.mux(stream.encode(None))


SPOILT_VIDEOS: dict[str, tuple[Callable[[Path], object], str]] = {
    "zero bytes": (lambda path: path.write_bytes(b""), "0 bytes"),
    "truncated": (lambda path: cut(path, 0.5), "truncated"),
    "truncated at the end": (lambda path: cut(path, 0.97), "truncated"),
    "a text with a video's name": (lambda path: path.write_text("kein Video\n" * 99), "not a video"),
    "no frames": (without_frames, "no video stream"),
    "only sound": (only_sound, "no video stream"),
}


@pytest.mark.parametrize("kind", SPOILT_VIDEOS)
def test_translate_names_the_video_that_it_cannot_read(world: Any, call: Any, kind: str) -> None:
    spoil, words = SPOILT_VIDEOS[kind]
    path = world.videos / "zwei.mp4"
    spoil(path)
    world.refused(call("translate", world.model_of_all, path), path, words)


@pytest.mark.parametrize("kind", SPOILT_VIDEOS)
def test_one_bad_video_does_not_end_prepare_unless_it_is_strict(world: Any, call: Any, kind: str) -> None:
    spoil, words = SPOILT_VIDEOS[kind]
    path = world.videos / "zwei.mp4"
    spoil(path)
    world.refused(call(*world.prepare("--strict")), "clip zwei", path, words)
    partly = call(*world.prepare())
    assert partly.code == 1
    last = partly.err.splitlines()[-1]
    assert "zwei" in last and str(path) in last and words in last
    found = json.loads(call("inspect", world.folder / "out", "--json").out)
    assert found["total"]["clips"] == 2
    assert any("zwei" in problem for problem in found["problems"])


def test_of_very_many_bad_videos_the_first_are_named_and_all_are_kept(world: Any, call: Any) -> None:
    bad = [f"b{number:02}" for number in range(23)]
    for name in bad:
        (world.videos / f"{name}.mp4").write_bytes(b"")
    world.table(world.videos, (*world.sentences, *((name, "test", f"satz {name}") for name in bad)))
    partly = call(*world.prepare())
    assert partly.code == 1
    listed = [line for line in partly.err.splitlines() if line.startswith("warning: not packed: ")]
    assert len(listed) == 20
    assert partly.err.splitlines()[-1].startswith("warning: and 3 more: glossfree inspect ")
    assert call("inspect", world.folder / "out").out.count("not packed: ") == 23


def test_a_row_without_a_file_is_named_at_the_end_and_packed_around(world: Any, call: Any) -> None:
    world.table(world.videos, (*world.sentences, ("gone", "dev", "es bleibt kühl")))
    world.refused(call(*world.prepare("--strict")), "gone")
    partly = call(*world.prepare())
    assert partly.code == 1
    last = partly.err.splitlines()[-1]
    assert last.startswith("warning: not packed: ") and "clip gone" in last
    assert "Traceback" not in partly.err
    found = json.loads(call("inspect", world.folder / "out", "--json").out)
    assert found["total"]["clips"] == len(world.sentences)


def test_a_missing_frame_folder_is_named_and_packed_around(world: Any, call: Any) -> None:
    command = world.phoenix()
    missing = world.folder / "phoenix/features/fullFrame-210x260px/train/train-b"
    shutil.rmtree(missing)
    world.refused(call(*command, "--strict"), "train-b")
    partly = call(*command)
    assert partly.code == 1
    assert "train-b" in partly.err and str(missing) in partly.err
    assert json.loads(call("inspect", world.folder / "out", "--json").out)["total"]["clips"] == 5


def test_a_sentence_in_two_splits_is_a_warning_with_a_count(world: Any, call: Any) -> None:
    world.table(world.videos, (*world.sentences[:2], ("drei", "dev", "es taut")))
    done = call(*world.prepare())
    assert done.code == 0
    assert [line for line in done.err.splitlines() if line.startswith("warning") and "1 " in line]
