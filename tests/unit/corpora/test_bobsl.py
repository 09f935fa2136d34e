"""BOBSL's two layouts in small: which subtitles of an episode are read, and what is missing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from glossfree.corpora.bobsl import check, clips
from glossfree.corpora.captions import Caption, write_captions
from glossfree.errors import CorpusError

HAND, HEURISTIC, AUDIO = (
    f"subtitles/{name}" for name in ("manually-aligned", "audio-aligned-heuristic-correction", "audio-aligned")
)
AUTOMATIC = "automatic_annotations/signing_aligned_subtitles"
SUBSETS = {"train": ["11", "12", "13"], "val": ["21", "22"], "test": ["31"], "challenge_test": ["41"]}


def subtitles(root: Path, folder: str, *episodes: str, start: float = 10) -> None:
    """Two subtitles each, named after the folder; the second is not signed, where a hand has aligned them."""
    (root / folder).mkdir(parents=True, exist_ok=True)
    for episode in episodes:
        texts = (f"The {folder.rpartition('/')[2]} one. Is it?", f"[{episode}] not signed.")
        spoken = [Caption(start + 2 * number, start + 2 * number + 2, text) for number, text in enumerate(texts)]
        write_captions(root / folder / f"{episode}.vtt", spoken, "vtt")


def release(root: Path, videos: str = "videos", metadata: str = "") -> Path:
    for name in ("11", "12", "21", "22", "31"):
        path = root / videos / f"{name}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    path = root / metadata / "subset2episode.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(SUBSETS), encoding="utf-8")
    return root


def test_the_best_subtitles_of_each_episode_are_read(tmp_path: Path) -> None:
    release(tmp_path)
    subtitles(tmp_path, HAND, "11")
    subtitles(tmp_path, HEURISTIC, "11", "12")
    subtitles(tmp_path, AUDIO, "11", "12", "21")
    assert [(clip.id, clip.text) for clip in clips(tmp_path, "train")] == [
        ("11__10000-12000", "The manually-aligned one. Is it?"),
        ("12__12700-14700", "The audio-aligned-heuristic-correction one. Is it?"),
        ("12__14700-16700", "not signed."),
    ]
    assert [clip.id for clip in clips(tmp_path, "dev")] == ["21__12700-14700", "21__14700-16700"]
    moved = [clip.id for clip in clips(tmp_path, "train", rules={"shift": "0"})]
    assert moved == ["11__10000-12000", "12__10000-12000", "12__12000-14000"]
    cut = [clip.text for clip in clips(tmp_path, "train", rules={"split": "yes", "shortest": "0"})]
    assert cut[:2] == ["The manually-aligned one.", "Is it?"]


def test_dev_and_test_are_aligned_by_hand_if_any_is(tmp_path: Path) -> None:
    release(tmp_path)
    subtitles(tmp_path, HEURISTIC, "11", "12", "21", "22", "31")
    assert len(list(clips(tmp_path, "dev"))) == 4
    subtitles(tmp_path, HAND, "22")
    assert [clip.id for clip in clips(tmp_path, "dev")] == ["22__10000-12000"]
    assert len(list(clips(tmp_path, "train"))) == 4


def test_release_1_4_is_read(tmp_path: Path) -> None:
    release(tmp_path, "original_data/videos/mp4", "original_data/metadata")
    subtitles(tmp_path, "manual_annotations/signing_aligned_subtitles", "31")
    subtitles(tmp_path, f"{AUTOMATIC}/auto_sat_aligned", "11")
    subtitles(tmp_path, f"{AUTOMATIC}/audio_aligned_heuristic_correction", "11", "12")
    train = list(clips(tmp_path, "train"))
    assert [clip.id for clip in train] == ["11__10000-12000", "11__12000-14000", "12__12700-14700", "12__14700-16700"]
    assert train[0].source.path == tmp_path / "original_data/videos/mp4/11.mp4"  # type: ignore[union-attr]
    assert [clip.id for clip in clips(tmp_path, "test")] == ["31__10000-12000"]


def test_counts_and_what_is_missing_are_named(tmp_path: Path) -> None:
    release(tmp_path)
    subtitles(tmp_path, HAND, "11", "13", "22", "31")
    subtitles(tmp_path, HEURISTIC, "12")
    problems = check(tmp_path)
    assert "train: episodes that are not aligned by hand, but 1 with the audio" in problems
    assert "train: 3 episodes with subtitles, 1,658 in the release" in problems
    assert "dev: 1 episodes with subtitles, 4 in the release" in problems
    assert "test: 1 episodes with subtitles, 35 in the release" in problems
    assert "train: videos missing, left out: 1: 13" in problems
    assert not any(clip.id.startswith("13") for clip in clips(tmp_path, "train"))
    (tmp_path / HEURISTIC / "12.vtt").unlink()
    assert "train: episodes without subtitles: 1: 12" in check(tmp_path)


@pytest.mark.parametrize("content", ["[1]", '{"train": "11"}', "{"])
def test_a_damaged_file_of_splits_is_an_error(tmp_path: Path, content: str) -> None:
    (tmp_path / "subset2episode.json").write_text(content, encoding="utf-8")
    with pytest.raises(CorpusError, match=r"subset2episode\.json"):
        list(clips(tmp_path, "train"))


def test_a_release_without_subtitles_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="captions of no video"):
        check(release(tmp_path))
