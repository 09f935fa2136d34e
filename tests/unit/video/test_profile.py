"""What training clips look like: still ends are measured against the clip's own noise, and long clips cost nothing."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from glossfree.corpora.manifest import Manifest, PackedClip
from glossfree.video.pack import write_clip
from glossfree.video.profile import LONGEST, evenly, grey, profile_of, rest
from glossfree.video.timeline import Timeline


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
def test_stillness_at_both_ends_is_found(before: int, after: int, noise: float) -> None:
    frames = signing(31, before, after, noise=noise)
    start, end = rest(grey(list(frames)), Timeline.constant(len(frames), 10.0))
    assert start == pytest.approx(before / 10, abs=0.11) and end == pytest.approx(after / 10, abs=0.11)


def test_a_clip_without_motion_has_no_signing_to_rest_from() -> None:
    assert rest(grey(list(signing(0, 21, noise=0))), Timeline.constant(21, 10.0)) == (0.0, 0.0)
    assert rest(grey(list(signing(2))), Timeline.constant(2, 10.0)) == (0.0, 0.0)


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


def test_clips_that_are_lost_or_very_long_are_not_looked_at(tmp_path: Path) -> None:
    lost = PackedClip("a", "train", "x", "a.mp4", 40, 25.0)
    long = PackedClip("b", "train", "x", "b.mp4", LONGEST + 1, 25.0)
    assert set(profile_of(Manifest(tmp_path, (lost, long)))) == {"clips", "fps", "seconds"}


def test_clips_are_chosen_evenly() -> None:
    clips = [PackedClip(str(number), "train", "x", "f", 9, 25.0) for number in range(101)]
    assert [clip.id for clip in evenly(clips, 5)] == ["0", "25", "50", "75", "100"]
    assert evenly(clips[:3], 5) == clips[:3] and evenly([], 5) == []
