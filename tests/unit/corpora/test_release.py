"""What `check` lists for any corpus: counts, missing sources, names and sentences in several splits."""

from __future__ import annotations

from pathlib import Path

import pytest

from glossfree.corpora.manifest import Clip, FrameFolder, Segment, VideoFile
from glossfree.corpora.release import has_no_source, problems_of


def clip(name: str, split: str, text: str, source: VideoFile | FrameFolder) -> Clip:
    return Clip(name, split, text, source)


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    (tmp_path / "here.mp4").touch()
    (tmp_path / "frames").mkdir()
    (tmp_path / "frames/1.png").touch()
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty/Thumbs.db").touch()
    return tmp_path


def test_a_source_is_a_file_or_a_folder_with_images(videos: Path) -> None:
    sources = {
        VideoFile(videos / "here.mp4", Segment(1, 2)): False,
        VideoFile(videos / "frames"): True,
        VideoFile(videos / "gone.mp4"): True,
        FrameFolder(videos / "frames"): False,
        FrameFolder(videos / "empty"): True,
        FrameFolder(videos / "gone"): True,
    }
    assert {source: has_no_source(clip("a", "dev", "x", source)) for source in sources} == sources


def test_a_sound_corpus_has_no_problem(videos: Path) -> None:
    clips = [clip(split, split, split, VideoFile(videos / "here.mp4")) for split in ("train", "dev", "test")]
    assert problems_of(clips, {"train": 1, "dev": 1, "test": 1}) == []
    assert problems_of(clips, {}) == []


def test_only_counts_of_the_release_are_compared(videos: Path) -> None:
    clips = [clip("a", "train", "x", VideoFile(videos / "here.mp4"))]
    assert problems_of(clips, {"train": 1200, "test": 0}) == ["train: 1 clips, 1,200 in the release"]
    assert problems_of([], {"dev": 3}) == ["dev: 0 clips, 3 in the release"]


def test_a_missing_video_of_several_clips_is_named_once(videos: Path) -> None:
    gone, other = VideoFile(videos / "gone.mp4", Segment(0, 1)), VideoFile(videos / "other.webm")
    clips = [clip(f"c{number}", "dev", f"satz {number}", gone) for number in range(3)]
    assert problems_of(clips, {}) == ["dev: videos missing: 1 (3 clips): gone"]
    clips.append(clip("d", "dev", "satz", other))
    assert problems_of(clips, {}, oddity="lost") == ["dev: lost: 2 (4 clips): gone, other"]
    assert problems_of(clips, {}, is_odd=lambda clip: clip.id == "d") == ["dev: videos missing: 1: other"]


def test_names_notes_and_sentences_follow_in_this_order(videos: Path) -> None:
    source = VideoFile(videos / "here.mp4")
    clips = [clip("a", "train", "es taut", source), clip("a", "test", "es taut", source)]
    name, note, overlap = problems_of(clips, {}, notes=["a note"])
    assert (name, note) == ("name 'a' is in train and in test", "a note")
    assert overlap.startswith("1 sentence occurs in more than one split (2 clips)")
