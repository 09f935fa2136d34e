"""OpenASL's table and folders, in small: sentences of our own, empty files as videos."""

from __future__ import annotations

from pathlib import Path

import pytest

from glossfree.corpora.manifest import Clip, Segment, VideoFile
from glossfree.corpora.openasl import check, clips
from glossfree.errors import CorpusError

HEADER = "vid\tyid\tstart\tend\traw-text\ttokenized-text\tgloss\tsplit"
ROWS = (
    ("--8pSDeC-fg", "00:00:00.000", "00:00:05.105", "Good morning.", "train"),
    ("--8pSDeC-fg", "00:01:02.500", "00:01:04.000", 'She said "no".', "train"),
    ("B_cdEfGhIjk", "01:00:00.000", "01:00:02.250", "It is late.", "valid"),
    ("0lMnOpQrStu", "00:00:07.000", "00:00:09.000", "We agree.", "test"),
)


def vid(row: tuple[str, ...]) -> str:
    return f"{row[0]}-{row[1]}-{row[2]}"


def write_table(root: Path, rows: tuple[tuple[str, ...], ...] = ROWS, place: str = "data") -> Path:
    (root / place).mkdir(parents=True, exist_ok=True)
    lines = [f"{vid(row)}\t{row[0]}\t{row[1]}\t{row[2]}\t{row[3]}\t{row[3].lower()}\t\t{row[4]}" for row in rows]
    (root / place / "openasl-v1.0.tsv").write_text("\n".join([HEADER, *lines]) + "\n", encoding="utf-8")
    return root


def add_videos(root: Path, place: str = "raw-video", ending: str = "mp4") -> None:
    (root / place).mkdir(exist_ok=True)
    for row in ROWS:
        (root / place / f"{row[0]}.{ending}").touch()


def all_clips(root: Path) -> list[Clip]:
    return [clip for split in ("train", "dev", "test") for clip in clips(root, split)]


def odd(root: Path) -> list[str]:
    return [problem for problem in check(root) if "in the release" not in problem]


@pytest.mark.parametrize(("table", "videos"), [("data", "raw-video"), ("", "videos"), ("", "")])
def test_rows_are_parts_of_the_videos(tmp_path: Path, table: str, videos: str) -> None:
    write_table(tmp_path, place=table)
    add_videos(tmp_path, videos, "mkv")
    read = all_clips(tmp_path)
    assert [(clip.text, clip.split) for clip in read] == [
        ("Good morning.", "train"),
        ('She said "no".', "train"),
        ("It is late.", "dev"),
        ("We agree.", "test"),
    ]
    assert read[0].source == VideoFile(tmp_path / videos / "--8pSDeC-fg.mkv", Segment(0.0, 5.105))
    assert read[2].source == VideoFile(tmp_path / videos / "B_cdEfGhIjk.mkv", Segment(3600.0, 3602.25))
    assert read[0].id.startswith("--8pSDeC-fg-00_00_00.000-00_00_05.105-")
    assert odd(tmp_path) == []


def test_cut_and_cropped_clips_count_first(tmp_path: Path) -> None:
    add_videos(write_table(tmp_path))
    (tmp_path / "video-clip").mkdir()
    own = tmp_path / "video-clip" / f"{vid(ROWS[1]).replace(':', '%')}.mp4"
    own.touch()
    first, second = clips(tmp_path, "train")
    assert first.source == VideoFile(tmp_path / "raw-video/--8pSDeC-fg.mp4", Segment(0.0, 5.105))
    assert second.source == VideoFile(own)


def test_clips_of_videos_that_are_gone_are_left_out_and_the_videos_named(tmp_path: Path) -> None:
    add_videos(write_table(tmp_path))
    (tmp_path / "raw-video/--8pSDeC-fg.mp4").unlink()
    assert [clip.split for clip in all_clips(tmp_path)] == ["dev", "test"]
    assert check(tmp_path) == [
        "train: 2 clips, 96,476 in the release",
        "train: videos missing: 1 (2 clips): --8pSDeC-fg",
        "dev: 1 clips, 966 in the release",
        "test: 1 clips, 975 in the release",
    ]


def test_rows_that_are_no_clips_are_left_out_and_named(tmp_path: Path) -> None:
    bad = ("B_cdEfGhIjk", "00:00:09.000", "00:00:08.000", "Backwards.", "valid")
    add_videos(write_table(tmp_path, (*ROWS, bad, ROWS[3], (*ROWS[3][:2], "00:00:09.500", "", "test"))))
    assert len(all_clips(tmp_path)) == 4
    assert odd(tmp_path) == [
        f"dev: rows with wrong times, left out: 1: {vid(bad)}",
        f"test: rows with an id that a row before has, left out: 1: {vid(ROWS[3])}",
        "test: rows with no sentence, left out: 1: 0lMnOpQrStu-00:00:07.000-00:00:09.500",
    ]


def test_errors_say_what_is_looked_for_and_where(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"no openasl-v1\.0\.tsv"):
        list(clips(tmp_path, "train"))
    write_table(tmp_path)
    with pytest.raises(CorpusError, match="none of the videos is there: --8pSDeC-fg, 0lMnOpQrStu, B_cdEfGhIjk"):
        check(tmp_path)
    write_table(tmp_path, (*ROWS, (*ROWS[0][:4], "hidden")))
    with pytest.raises(CorpusError, match="line 6: split 'hidden'"):
        list(clips(tmp_path, "train"))
