"""How2Sign's folders, in small: sentences of our own, empty files as videos."""

from __future__ import annotations

from pathlib import Path

import pytest

from glossfree.corpora.how2sign import check, clips
from glossfree.corpora.manifest import Clip, Segment, VideoFile
from glossfree.errors import CorpusError

HEADER = "VIDEO_ID\tVIDEO_NAME\tSENTENCE_ID\tSENTENCE_NAME\tSTART_REALIGNED\tEND_REALIGNED\tSENTENCE"
SENTENCES = {"train": ("Hold the brush.", 'Say "hello", then wait.'), "val": ("Let it dry.",), "test": ("That's all.",)}


def row(split: str, number: int, text: str, times: str = "1.25\t3.5") -> str:
    video = f"--{split}2sU6z"
    return f"{video}\t{video}-5-rgb_front\t{video}_{number}\t{video}_{number}-5-rgb_front\t{times}\t{text}"


def name(split: str, number: int) -> str:
    return f"--{split}2sU6z_{number}-5-rgb_front"


def write_table(path: Path, *rows: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([HEADER, *rows]) + "\n", encoding="utf-8")


def tables(root: Path, place: str) -> Path:
    for split, texts in SENTENCES.items():
        rows = [row(split, number, text) for number, text in enumerate(texts)]
        write_table(root / place.format(split) / f"how2sign_realigned_{split}.csv", *rows)
    return root


OFFICIAL = "sentence_level/{}/text/en/raw_text/re_aligned"


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def add_videos(root: Path, place: str) -> None:
    for split in SENTENCES:
        touch(root / place.format(split) / f"--{split}2sU6z-5-rgb_front.mp4")


def add_clips(root: Path, place: str) -> None:
    for split, texts in SENTENCES.items():
        for number in range(len(texts)):
            touch(root / place.format(split) / f"{name(split, number)}.mp4")


def all_clips(root: Path) -> list[Clip]:
    return [clip for split in ("train", "dev", "test") for clip in clips(root, split)]


def odd(root: Path) -> list[str]:
    return [problem for problem in check(root) if "in the release" not in problem]


@pytest.mark.parametrize("place", ["video_level/{}/rgb_front/raw_videos", "{}_raw_videos/raw_videos", "raw_videos", ""])
def test_rows_are_parts_of_the_videos(tmp_path: Path, place: str) -> None:
    root = tables(tmp_path / "How2Sign", OFFICIAL)
    add_videos(root, place)
    first, second, dev, test = all_clips(root)
    assert (first.id, first.split, first.text, first.signer) == (name("train", 0), "train", "Hold the brush.", "5")
    assert second.text == 'Say "hello", then wait.'
    video = root / place.format("val") / "--val2sU6z-5-rgb_front.mp4"
    assert (dev.split, dev.source) == ("dev", VideoFile(video, Segment(1.25, 3.5)))
    assert (test.split, test.text) == ("test", "That's all.")
    assert all_clips(tmp_path) == all_clips(root), "found from the folder above"
    assert odd(root) == []


@pytest.mark.parametrize(
    "place",
    ["sentence_level/{}/rgb_front/raw_videos", "{}_rgb_front_clips/raw_videos", "{}/raw_videos", "clips", ""],
)
@pytest.mark.parametrize("table", [OFFICIAL, "", "{}"])
def test_clips_of_the_release_are_taken_whole_with_a_warning(tmp_path: Path, place: str, table: str) -> None:
    root = tables(tmp_path, table)
    add_clips(root, place)
    read = all_clips(root)
    assert [clip.source for clip in read[2:]] == [
        VideoFile(root / place.format("val") / f"{name('val', 0)}.mp4"),
        VideoFile(root / place.format("test") / f"{name('test', 0)}.mp4"),
    ]
    assert len(read) == 4
    assert [problem.partition("; ")[0] for problem in odd(root)] == [
        "train: 2 clips are files of their own",
        "dev: 1 clips are files of their own",
        "test: 1 clips are files of their own",
    ]


def test_videos_count_before_clips(tmp_path: Path) -> None:
    root = tables(tmp_path, OFFICIAL)
    add_clips(root, "sentence_level/{}/rgb_front/raw_videos")
    place = touch(root / "video_level/val/rgb_front/raw_videos/--val2sU6z-5-rgb_front.mp4")
    assert [clip.source for clip in clips(root, "dev")] == [VideoFile(place, Segment(1.25, 3.5))]
    [test] = clips(root, "test")
    assert isinstance(test.source, VideoFile) and test.source.segment is None


def test_counts_are_those_of_the_tables(tmp_path: Path) -> None:
    add_videos(tables(tmp_path, ""), "")
    assert check(tmp_path) == [
        "train: 2 clips, 31,165 in the release",
        "dev: 1 clips, 1,741 in the release",
        "test: 1 clips, 2,357 in the release",
    ]


def test_what_is_missing_is_left_out_and_named(tmp_path: Path) -> None:
    root = tables(tmp_path, "")
    add_clips(root, "clips")
    (root / f"clips/{name('train', 0)}.mp4").unlink()
    assert [clip.id for clip in clips(root, "train", limit=1)] == [name("train", 1)]
    assert odd(root)[0] == "train: videos missing: 1: --train2sU6z-5-rgb_front"


def test_a_split_without_a_table_has_no_clips(tmp_path: Path) -> None:
    add_clips(tables(tmp_path, ""), "clips")
    (tmp_path / "how2sign_realigned_train.csv").unlink()
    assert [clip.split for clip in all_clips(tmp_path)] == ["dev", "test"]
    assert "train: 0 clips, 31,165 in the release" in check(tmp_path)


def test_rows_that_are_no_clips_are_left_out_and_named(tmp_path: Path) -> None:
    root = tables(tmp_path, "")
    add_videos(root, "")
    rows = [
        row("train", 0, "Hold the brush."),
        row("train", 1, "Backwards.", "3.5\t3.5"),
        row("train", 2, " "),
        row("train", 0, "Again."),
        row("train", 4, "No times.", "\t"),
        row("../train", 5, "Elsewhere."),
    ]
    write_table(root / "how2sign_realigned_train.csv", *rows)
    assert [clip.text for clip in clips(root, "train")] == ["Hold the brush."]
    assert odd(root) == [
        f"train: rows with wrong times, left out: 1: {name('train', 1)}",
        f"train: rows with no sentence, left out: 1: {name('train', 2)}",
        f"train: rows with an id that a row before has, left out: 1: {name('train', 0)}",
        f"train: rows with no times, left out: 1: {name('train', 4)}",
        f"train: rows with a video that is not a file name, left out: 1: {name('../train', 5)}",
    ]


def test_errors_say_what_is_looked_for_and_where(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"no how2sign_realigned_train\.csv"):
        list(clips(tmp_path, "train"))
    tables(tmp_path, "")
    assert all_clips(tmp_path) == []
    with pytest.raises(CorpusError, match=r"none of the videos is there: .*--val2sU6z") as caught:
        check(tmp_path)
    assert "video_level/train/rgb_front/raw_videos" in (caught.value.remedy or "")
    write_table(tmp_path / "how2sign_realigned_val.csv", "a\tb")
    (tmp_path / "how2sign_realigned_val.csv").write_text("VIDEO_ID\tSENTENCE\na\tb\n")
    with pytest.raises(CorpusError, match="missing column video_name, sentence_name"):
        list(clips(tmp_path, "dev"))
