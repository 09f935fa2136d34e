"""Transcripts of the Public DGS Corpus in small: two persons, their tiers, their videos."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest

from glossfree.corpora.captions import Caption, write_captions
from glossfree.corpora.dgs_corpus import check, clips, published_split
from glossfree.errors import CorpusError


def transcript(root: Path, name: str, *, cameras: tuple[str, ...] = ("1a1", "1b1"), joke: bool = False) -> None:
    root.mkdir(parents=True, exist_ok=True)
    for camera in cameras:
        (root / f"{name}_{camera}.mp4").touch()
    tracks = {
        "Lexem_Gebärde_r_A": [Caption(0.1, 0.5, "ICH1"), Caption(0.6, 1.2, "KOMMEN1*"), Caption(2, 2.5, "JA1A")],
        "Lexem_Gebärde_l_A": [Caption(0.5, 0.6, "$GEST-OFF^")],
        "Lexem_Gebärde_r_B": [Caption(1.5, 1.8, "SCHÖN1A")],
    }
    if not joke:
        tracks |= {
            "Deutsche_Übersetzung_A": [
                Caption(0, 1.25, f"Ich komme aus {name}. Ja"),
                Caption(1.75, 2.75, "so ist es."),
            ],
            "Translation_into_English_A": [Caption(0, 1.25, f"I come from {name}.")],
            "Deutsche_Übersetzung_B": [Caption(1.5, 2, f"Schön in {name}!")],
        }
    write_captions(root / f"{name}.eaf", [], "eaf", media=root / f"{name}_1a1.mp4", tracks=tracks)


def test_each_person_has_sentences_a_video_and_glosses_of_both_hands(tmp_path: Path) -> None:
    transcript(tmp_path / "x", "1177918")
    made = list(clips(tmp_path, "train"))
    assert [(clip.id, clip.text, clip.glosses) for clip in made] == [
        ("1177918-A__0-1250", "Ich komme aus 1177918. Ja", ("ICH1", "$GEST-OFF^", "KOMMEN1*")),
        ("1177918-A__1750-2750", "so ist es.", ("JA1A",)),
        ("1177918-B__1500-2000", "Schön in 1177918!", ("SCHÖN1A",)),
    ]
    assert [clip.source.path.name for clip in made] == ["1177918_1a1.mp4"] * 2 + ["1177918_1b1.mp4"]  # type: ignore[union-attr]


def test_videos_may_lie_elsewhere(tmp_path: Path) -> None:
    transcript(tmp_path / "eaf", "1177918", cameras=())
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos/1177918_1b1.mp4").touch()
    assert [clip.id for clip in clips(tmp_path, "train")] == ["1177918-B__1500-2000"]
    assert "train: videos missing, left out: 1 (2 clips): 1177918_1a1" in check(tmp_path)


def test_english_is_another_tier(tmp_path: Path) -> None:
    transcript(tmp_path, "1177918")
    assert [clip.text for clip in clips(tmp_path, "train", language="en-GB")] == ["I come from 1177918."]
    with pytest.raises(CorpusError, match="no sentences in 'fr'"):
        list(clips(tmp_path, "train", language="fr"))


def test_the_published_split_decides_unless_a_table_does(tmp_path: Path) -> None:
    for name in ("1177918", "1247641", "1429910-16075041-16115817", "1179868"):
        transcript(tmp_path, name)
    splits = {
        split: {clip.id.partition("-")[0] for clip in clips(tmp_path, split)} for split in ("train", "dev", "test")
    }
    assert splits == {"train": {"1177918"}, "dev": {"1247641", "1429910"}, "test": {"1179868"}}
    assert "as 3.0.0-uzh-document does: 1 train, 2 dev, 1 test" in check(tmp_path)[0]
    rows = "id,split\n1177918,test\n1247641,train\n"
    (tmp_path / "splits.csv").write_text(rows, encoding="utf-8")
    assert {clip.id.partition("-")[0] for clip in clips(tmp_path, "test")} == {"1177918"}


def test_the_published_split_has_ten_transcripts_each() -> None:
    assert published_split("somewhere/1584617") == "train"
    from glossfree.corpora.dgs_corpus import DEV, TEST

    assert (len(DEV), len(TEST), DEV & TEST) == (10, 10, set())


def test_jokes_have_no_sentence_and_are_named(tmp_path: Path) -> None:
    transcript(tmp_path, "1177918")
    transcript(tmp_path, "1181027", joke=True)
    assert {clip.id.partition("-")[0] for clip in clips(tmp_path, "train")} == {"1177918"}
    assert "captions without a sentence: 2: 1181027-A, 1181027-B" in check(tmp_path)


def test_tiers_in_another_form_of_unicode_are_the_same(tmp_path: Path) -> None:
    transcript(tmp_path, "1177918")
    path = tmp_path / "1177918.eaf"
    path.write_text(unicodedata.normalize("NFD", path.read_text(encoding="utf-8")), encoding="utf-8")
    assert [clip.glosses for clip in clips(tmp_path, "train")][1:] == [
        ("JA1A",),
        ("SCHÖN1A",),
    ]
