"""Any clip is adapted to what a model was trained on, and every change is noted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from tests.unit.video.test_container import numbered, numbers, write

from glossfree.corpora.manifest import Manifest, PackedClip, Segment
from glossfree.errors import ClipError
from glossfree.video.frames import View
from glossfree.video.intake import LONGEST, Intake, grey, measure_stillness, profile_of
from glossfree.video.pack import read_clip, write_clip
from glossfree.video.timeline import Sampling, Timeline

PROFILE: dict[str, Any] = {
    "aspect": [0.95, 1.0, 1.05],
    "seconds": [1.0, 2.0, 3.0],
    "rest": {"start": [0.1, 0.2], "end": [0.1, 0.3]},
}


def intake(fps: float = 8.0, profile: dict[str, Any] | None = None, **sampling: int) -> Intake:
    return Intake(View(40, 40), Sampling(fps, **sampling), profile=profile or {})


def planes(frames: np.ndarray) -> list[int]:
    return numbers(frames.transpose(0, 2, 3, 1))


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm"])
def test_a_clip_of_another_rate_is_resampled_before_stride_and_limit(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"a{suffix}", numbered(48), rate=24)
    read = intake().read(path)
    assert (read.num_frames, read.seconds) == (48, 2.0) and read.fps == pytest.approx(24)
    assert planes(read.frames) == list(range(1, 48, 3)) and read.notes == ()
    assert planes(intake(stride=3).read(path).frames) == list(range(1, 48, 9))
    assert planes(intake(max_frames=4).read(path).frames) == [4, 16, 28, 40]


def test_a_low_rate_and_an_unknown_rate_are_noted(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp4", numbered(12), rate=6)
    (note,) = intake(12.0).read(path).notes
    assert "repeated" in note and len(intake(12.0).read(path).frames) == 24
    (note,) = intake(0.0).read(path).notes
    assert "does not say" in note and len(intake(0.0).read(path).frames) == 12


@pytest.mark.parametrize(("before", "after"), [(0, 0), (8, 0), (0, 12), (10, 10)])
def test_stillness_that_training_did_not_have_is_cut_off(tmp_path: Path, before: int, after: int) -> None:
    path = write(tmp_path / "a.mp4", signing(30, before, after), rate=10)
    read = intake(10.0, PROFILE).read(path)
    expected = [max(0, frames / 10 - 0.1) for frames in (before, after)]
    assert read.trimmed == pytest.approx(expected, abs=0.11)
    assert len(read.frames) == pytest.approx(30 + bool(before) + bool(after), abs=2)
    assert any("stillness" in note for note in read.notes) == bool(before or after)
    assert intake(10.0).read(path).trimmed == (0, 0)


def test_a_packed_clip_is_read_as_training_reads_it(tmp_path: Path) -> None:
    frames = np.stack([cv2.resize(frame, (40, 40)) for frame in signing(25)])
    write_clip(tmp_path / "a.mp4", frames, 8)
    read = intake(8.0, PROFILE).read(tmp_path / "a.mp4")
    assert np.array_equal(read.frames, read_clip(tmp_path / "a.mp4").transpose(0, 3, 1, 2))
    assert (read.crop, read.notes) == (None, ())


def test_another_aspect_is_cropped_to_that_of_training(tmp_path: Path) -> None:
    """And only beyond the bound; without a profile the picture is stretched."""
    wide = np.concatenate([np.full((25, 50, 40, 3), 90, np.uint8), signing(25)], axis=2)
    path = write(tmp_path / "wide.mp4", wide, rate=8)
    read = intake(8.0, PROFILE).read(path)
    assert read.crop is not None and read.aspect == pytest.approx(1.8) and any("crop" in note for note in read.notes)
    assert intake(8.0).read(path).crop is None
    changing = intake(8.0, PROFILE)
    first = changing.read(path).crop
    write(path, wide[:, :, :60], rate=8)  # recorded again, under the same name
    assert first is not None and changing.read(path).crop != first
    nearly = write(tmp_path / "nearly.mp4", wide[:, :, 38:], rate=8)
    assert intake(8.0, PROFILE).read(nearly).crop is None


def test_a_clip_longer_than_a_sentence_is_noted(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp4", signing(60), rate=10)
    assert any("more than one sentence" in note for note in intake(10.0, PROFILE).read(path).notes)
    part = intake(10.0, PROFILE).read(path, Segment(1.0, 3.0))
    assert not any("more than one sentence" in note for note in part.notes)
    assert (part.start, part.seconds, part.num_frames) == (1.0, 2.0, 20)


def test_a_clip_shorter_than_any_of_training_is_noted_unless_it_is_a_part(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp4", signing(9), rate=10)
    (note,) = intake(10.0, PROFILE).read(path).notes
    assert "0.9 s" in note and "1.0 s" in note
    assert intake(10.0, PROFILE).read(path, Segment(0.0, 0.5)).notes == ()


@pytest.mark.parametrize("count", [1, 2])
def test_clips_of_very_few_frames_are_refused(tmp_path: Path, count: int) -> None:
    with pytest.raises(ClipError, match="too short"):
        intake().read(write(tmp_path / "a.mp4", numbered(count)))


def signing(moving: int, before: int = 0, after: int = 0, *, noise: float = 2.0, size: int = 50) -> np.ndarray:
    """A bright hand that moves over a wall for `moving` frames, and is still before and after; a noisy camera."""
    rng = np.random.default_rng(moving + 7 * before)
    frames = rng.normal(90, noise, (before + moving + after, size, size, 3))
    for number, frame in enumerate(frames):
        step = min(max(number - before + 1, 0), moving)
        frame[10 + 3 * step % 25 :][:9, 8 + 5 * step % 29 :][:, :9] += 120
    return np.clip(frames, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("noise", [0.0, 2.0, 8.0])
@pytest.mark.parametrize(("before", "after"), [(0, 0), (5, 0), (0, 9), (11, 13)])
def test_stillness_at_both_ends_is_measured(before: int, after: int, noise: float) -> None:
    frames = signing(31, before, after, noise=noise)
    start, end = measure_stillness(grey(list(frames)), Timeline.constant(len(frames), 10.0))
    assert start == pytest.approx(before / 10, abs=0.11) and end == pytest.approx(after / 10, abs=0.11)


def test_a_clip_without_motion_has_no_stillness() -> None:
    assert measure_stillness(grey(list(signing(0, 21, noise=0))), Timeline.constant(21, 10.0)) == (0.0, 0.0)
    assert measure_stillness(grey(list(signing(2))), Timeline.constant(2, 10.0)) == (0.0, 0.0)


def test_a_profile_is_plain_values_of_the_training_clips(tmp_path: Path) -> None:
    clips = []
    for number, (split, before) in enumerate((("train", 3), ("train", 5), ("train", 3), ("test", 9))):
        frames = signing(17 + number, before, 2)
        write_clip(tmp_path / f"{number}.mp4", frames, 10)
        clips.append(
            PackedClip(str(number), split, "x", f"{number}.mp4", len(frames), 10.0, aspect=(0.8, 1.2, 0.9, 5.0)[number])
        )
    profile = profile_of(Manifest(tmp_path, tuple(clips)))
    assert json.loads(json.dumps(profile)) == profile and len(json.dumps(profile)) < 8000
    assert (profile["clips"], profile["fps"], profile["seconds"]) == (3, [10.0, 10.0], [2.2, 2.4, 2.5])
    assert profile["aspect"][1] == 0.9 and 85 < profile["light"][1] < 110
    assert profile["rest"]["start"] == pytest.approx([0.3, 0.5], abs=0.11)


def test_missing_or_very_long_clips_are_not_read_for_a_profile(tmp_path: Path) -> None:
    lost = PackedClip("a", "train", "x", "a.mp4", 40, 25.0)
    long = PackedClip("b", "train", "x", "b.mp4", LONGEST + 1, 25.0)
    assert set(profile_of(Manifest(tmp_path, (lost, long)))) == {"clips", "fps", "seconds"}
