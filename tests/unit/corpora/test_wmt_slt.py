"""SRF and FocusNews as their archives unpack, in small."""

from __future__ import annotations

from pathlib import Path

from glossfree.corpora.captions import Caption, write_captions
from glossfree.corpora.manifest import SPLITS
from glossfree.corpora.recordings import hashed_split
from glossfree.corpora.wmt_slt import check, clips


def broadcast(root: Path, part: str, name: str, *texts: str, has_video: bool = True) -> None:
    for folder in ("videos", "subtitles"):
        (root / part / folder).mkdir(parents=True, exist_ok=True)
    if has_video:
        (root / part / "videos" / f"{name}.mp4").touch()
    if texts:
        spoken = [Caption(4 * number, 4 * number + 4, text) for number, text in enumerate(texts)]
        write_captions(root / part / "subtitles" / f"{name}.srt", spoken, "srt")


def ids(root: Path) -> dict[str, list[str]]:
    return {split: [clip.id for clip in clips(root, split)] for split in SPLITS}


def test_both_corpora_and_the_official_sets_are_read(tmp_path: Path) -> None:
    broadcast(tmp_path, "focusnews", "focusnews.043", "Grüezi mitenand. Willkommen", "Heute im Fokus.")
    broadcast(tmp_path, "srf/parallel", "srf.2020-03-13", "Guten Abend.")
    broadcast(tmp_path, "srf/monolingual", "srf.2019-01-01", "Ohne Video.", has_video=False)
    broadcast(tmp_path, "dev", "dev.1", "Zur Entwicklung.")
    broadcast(tmp_path, "test", "test.1", "Zur Prüfung.")
    assert ids(tmp_path) == {
        "train": ["focusnews.043__0-4000", "focusnews.043__4000-8000", "srf.2020-03-13__0-4000"],
        "dev": ["dev.1__0-4000"],
        "test": ["test.1__0-4000"],
    }
    assert check(tmp_path) == []
    assert len(list(clips(tmp_path, "train", rules={"split": "yes", "join": "yes"}))) == 3
    texts = [clip.text for clip in clips(tmp_path, "train", rules={"split": "yes", "join": "yes"})]
    assert texts == ["Grüezi mitenand.", "Willkommen Heute im Fokus.", "Guten Abend."]


def test_without_official_sets_broadcasts_are_set_aside(tmp_path: Path) -> None:
    names = [f"srf.2020-03-{day:02d}" for day in range(1, 31)]
    for name in names:
        broadcast(tmp_path, "srf", name, f"Sendung {name}.")
    made = ids(tmp_path)
    assert all(made.values())
    assert {each.partition("__")[0]: split for split, own in made.items() for each in own} == {
        name: hashed_split(name) for name in names
    }
    assert "by a hash" in check(tmp_path)[0]


def test_missing_halves_are_named(tmp_path: Path) -> None:
    broadcast(tmp_path, "focusnews", "focusnews.001", "Eins.")
    broadcast(tmp_path, "focusnews", "focusnews.002", "Zwei.", has_video=False)
    broadcast(tmp_path, "focusnews", "focusnews.003")
    (tmp_path / "splits.csv").write_text("id,split\nfocusnews.001,train\nfocusnews.002,dev\n", encoding="utf-8")
    problems = check(tmp_path)
    assert "videos without subtitles: 1: focusnews.003" in problems
    assert "dev: videos missing, left out: 1: focusnews.002" in problems
    assert ids(tmp_path) == {"train": ["focusnews.001__0-4000"], "dev": [], "test": []}
