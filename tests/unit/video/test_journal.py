"""The journal of packed files: what a fingerprint notices, and what a torn line does not spoil."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from glossfree.corpora.manifest import Clip, FrameFolder, VideoFile
from glossfree.video.journal import JOURNAL, Record, appending, fingerprint, read_journal


@dataclass(frozen=True)
class Dot:
    seed: int
    num_frames: int = 3
    fps: float = 25.0

    def render(self, size: int) -> np.ndarray:
        return np.zeros((3, size, size, 3), np.uint8)


def test_fingerprint_of_a_drawing_is_its_fields_the_size_and_the_rate() -> None:
    clip = Clip("a", "train", "x", Dot(4))
    same = fingerprint(Clip("b", "dev", "y", Dot(4)), 32)
    assert fingerprint(clip, 32) == same
    others = [fingerprint(replace(clip, source=Dot(5)), 32), fingerprint(clip, 33)]
    others.append(fingerprint(replace(clip, fps=30.0), 32))
    assert len({same, *others}) == 4


def test_fingerprint_of_files_notices_a_change(tmp_path: Path) -> None:
    video, folder = tmp_path / "a.mp4", tmp_path / "frames"
    folder.mkdir()
    (folder / "1.png").write_bytes(b"1")
    video.write_bytes(b"12345")
    of_video, of_folder = Clip("a", "train", "x", VideoFile(video)), Clip("a", "train", "x", FrameFolder(folder))
    before = fingerprint(of_video, 32), fingerprint(of_folder, 32)
    assert before == (fingerprint(of_video, 32), fingerprint(of_folder, 32)) and all(before)
    os.utime(video, ns=(1, 1))
    (folder / "2.png").write_bytes(b"2")
    assert fingerprint(of_video, 32) != before[0] and fingerprint(of_folder, 32) != before[1]


def test_a_source_that_is_not_there_is_never_taken_as_packed(tmp_path: Path) -> None:
    assert fingerprint(Clip("a", "train", "x", VideoFile(tmp_path / "no.mp4")), 32) == ""


def test_records_come_back_the_last_one_wins_and_torn_lines_vanish(tmp_path: Path) -> None:
    first, second = Record("ä", "clips/ä.mp4", "f", 3, 12.5, 99), Record("b", "clips/b.mp4", "g", 4, 25.0, 7)
    with appending(tmp_path, {}) as append:
        append(first)
        append(second)
        append(replace(second, num_frames=5))
    expected = {"ä": first, "b": replace(second, num_frames=5)}
    assert read_journal(tmp_path) == expected
    with (tmp_path / JOURNAL).open("ab") as file:
        file.write(b'{"id": "c", "file": "\xc3')
    assert read_journal(tmp_path) == expected
    with appending(tmp_path, read_journal(tmp_path)) as append:
        append(replace(first, id="d"))
    assert read_journal(tmp_path) == expected | {"d": replace(first, id="d")}
    assert len((tmp_path / JOURNAL).read_text(encoding="utf-8").splitlines()) == 3
    assert read_journal(tmp_path / "nowhere") == {}
