"""Rows of a table as clips: files of their own, parts of videos, and rows that are neither."""

from __future__ import annotations

from pathlib import Path

import pytest

from glossfree.corpora.files import Files
from glossfree.corpora.manifest import FrameFolder, Segment, VideoFile
from glossfree.corpora.videos import Sentence, check_any, existing, read_clips
from glossfree.errors import CorpusError

ROW = Sentence("a-1", "dev", " Es\u00a0 taut. ", "talk", "1.5", "00:00:04.25", own="a-1", signer="7")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("videos/talk.mkv", "own/a-1.mp4"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
    return tmp_path


def test_either_the_file_of_a_sentence_or_its_part_of_the_video_comes_first(root: Path) -> None:
    sources = {}
    for own_first in (True, False):
        [clip], notes = read_clips([ROW], Files(root), ["videos"], ["own"], own_first=own_first)
        assert (clip.id, clip.split, clip.text, clip.signer, notes) == ("a-1", "dev", "Es taut.", "7", [])
        sources[own_first] = clip.source
    part = VideoFile(root / "videos/talk.mkv", Segment(1.5, 4.25))
    assert sources == {True: VideoFile(root / "own/a-1.mp4"), False: part}
    for place in ("own/a-1.mp4", "videos/talk.mkv"):
        (root / place).unlink()
        [clip], _ = read_clips([ROW], Files(root), ["videos"], ["own"], own_first=place.startswith("videos"))
        gone = VideoFile(root / "videos/talk.mp4", Segment(1.5, 4.25))
        assert clip.source == (part if place.startswith("own") else gone)
    assert existing([clip]) == []
    with pytest.raises(CorpusError, match="none of the videos is there: talk") as caught:
        check_any([clip], root, ["videos", "own", "videos"])
    assert caught.value.remedy == "videos are looked for in videos, own below --root"
    check_any([], root, ["videos"])


def test_folders_of_frames_count_as_videos(root: Path) -> None:
    for name in ("frames/talk/1.png", "cut/a-1/1.png"):
        (root / name).parent.mkdir(parents=True)
        (root / name).touch()
    [whole], _ = read_clips([ROW], Files(root), ["frames"], ["none"])
    [own], _ = read_clips([ROW], Files(root), ["frames"], ["cut"])
    assert whole.source == FrameFolder(root / "frames/talk", Segment(1.5, 4.25))
    assert own.source == FrameFolder(root / "cut/a-1")
    assert existing([whole, own]) == [whole, own]
    check_any([whole, own], root, ["frames"])


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"text": " \t"}, "no sentence"),
        ({"start": "", "end": ""}, "no times"),
        ({"end": ""}, "no times"),
        ({"end": "1.5"}, "wrong times"),
        ({"start": "soon"}, "wrong times"),
        ({"video": "../talk"}, "a video that is not a file name"),
        ({"video": ""}, "a video that is not a file name"),
        ({"own": "../own/a-1"}, "a video that is not a file name"),
        ({"own": ".hidden"}, "a video that is not a file name"),
    ],
)
def test_rows_that_are_no_clips_are_counted_by_what_is_wrong(root: Path, changes: dict[str, str], why: str) -> None:
    bad = [Sentence(**{**vars(ROW), "id": f"b{number}", "own": "", **changes}) for number in range(2)]
    clips, notes = read_clips([bad[0], ROW, bad[1]], Files(root), ["videos"], ["own"])
    assert [clip.id for clip in clips] == ["a-1"]
    assert notes == [f"dev: rows with {why}, left out: 2: b0, b1"]


def test_of_two_rows_with_one_id_the_first_counts(root: Path) -> None:
    again = Sentence(**{**vars(ROW), "text": "Noch einmal."})
    clips, notes = read_clips([ROW, again], Files(root), ["videos"], ["own"])
    assert [clip.text for clip in clips] == ["Es taut."]
    assert notes == ["dev: rows with an id that a row before has, left out: 1: a-1"]
