"""prepare into a folder that has a corpus: what it loses is a warning. Options of captions, here and in doctor."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from glossfree.cli.doctor import doctor
from glossfree.cli.prepare import prepare
from glossfree.console import Silent
from glossfree.corpora.captions import Caption, write_captions
from glossfree.corpora.manifest import Manifest, title_of
from glossfree.errors import CorpusError
from glossfree.pipeline.card import identity, metadata
from glossfree.recipe.files import load_recipe
from glossfree.video.pack import write_clip

COUNTS = {"dev": 4, "test": 5}


def test_clips_that_are_lost_and_outdated_pseudo_glosses_are_warnings(tiny: Any, tmp_path: Path) -> None:
    folder, console = shutil.copytree(tiny.corpus, tmp_path / "corpus"), Silent()
    assert prepare("wetter", folder, console, frame_size=28, workers=1, train=12, **COUNTS).warnings == ()
    lost, outdated = prepare("wetter", folder, console, frame_size=28, workers=1, train=5, **COUNTS).warnings
    assert lost.startswith("7 of the 21 clips") and f"glossfree glosses {folder}" in outdated
    assert console.lines[-2:] == [f"warning: {lost}", f"warning: {outdated}"]


def test_the_first_time_there_is_nothing_to_lose(tmp_path: Path) -> None:
    assert (
        prepare("wetter", tmp_path / "corpus", Silent(), frame_size=28, workers=1, train=3, dev=2, test=1).warnings
        == ()
    )


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    """A video of two seconds in each split, with two tiers beside it."""
    spoken = [Caption(0, 0.5, "[MUSIK] Im Norden"), Caption(0.5, 1, "regnet es."), Caption(1, 1.5, "Gute Nacht!")]
    for split in ("train", "dev", "test"):
        frames = np.random.default_rng(3).integers(0, 256, (50, 38, 46, 3), dtype=np.uint8)
        write_clip(tmp_path / split / "show.mp4", frames, 25.0)
        texts = [Caption(each.start, each.end, f"{each.text} {split}") for each in spoken]
        write_captions(tmp_path / split / "show.eaf", [], "eaf", tracks={"deutsch": spoken, "andere": texts})
    return tmp_path


def test_rules_and_tier_of_captions_reach_the_corpus(videos: Path) -> None:
    options: dict[str, Any] = {"root": videos, "frame_size": 28, "workers": 1, "tier": "deutsch", "language": "de"}
    result = prepare("subtitles", videos / "out", Silent(), **options)
    made = [(clip.text, clip.num_frames) for clip in result.manifest if clip.split == "train"]
    assert made == [("Im Norden regnet es.", 25), ("Gute Nacht!", 13)]
    rules = ["join=no", " clean = no ", "before=0.2"]
    result = prepare("subtitles", videos / "apart", Silent(), rules=rules, **options)
    made = [(clip.text, clip.num_frames) for clip in result.manifest if clip.split == "train"]
    assert made == [("[MUSIK] Im Norden", 13), ("regnet es.", 17), ("Gute Nacht!", 18)]
    settings = result.manifest.corpus["settings"]
    assert settings["rules"] == {"join": "no", "clean": "no", "before": "0.2"}
    assert (settings["tier"], settings["language"]) == ("deutsch", "de")
    with pytest.raises(CorpusError, match="rules"):
        prepare("subtitles", videos / "apart", Silent(), rules=["join=no"], **options)


def test_wrong_options_of_captions_are_named(videos: Path) -> None:
    options: dict[str, Any] = {"root": videos, "frame_size": 28, "language": "de"}
    with pytest.raises(CorpusError, match="'join' is not RULE=VALUE"):
        prepare("subtitles", videos / "out", Silent(), rules=["join"], **options)
    with pytest.raises(CorpusError, match="folder: takes no rules"):
        prepare("folder", videos / "out", Silent(), rules=["join=no"], **options)
    with pytest.raises(CorpusError, match="bobsl: takes no tier"):
        prepare("bobsl", videos / "out", Silent(), tier="deutsch", **options)
    with pytest.raises(CorpusError, match="several tiers"):
        prepare("subtitles", videos / "out", Silent(), **options)
    assert not (videos / "out").exists()


def test_doctor_takes_the_same_options(videos: Path) -> None:
    assert doctor([videos]).exit_code == 2, "which tier?"
    figures = doctor([videos], tier="deutsch").figures
    assert (figures["corpus"], figures["clips"]) == ("subtitles", {"train": 2, "dev": 2, "test": 2})
    apart = doctor([videos], tier="deutsch", rules=["join=no"])
    assert apart.figures["clips"] == {"train": 3, "dev": 3, "test": 3}


def test_a_sign_language_reaches_the_corpus_and_belongs_to_the_folder(videos: Path) -> None:
    signed = {"aaaaaaaaaaa": "ase", "bbbbbbbbbbb": "bfi"}
    lines = [f"{name},{sign_language}" for name, sign_language in signed.items()]
    (videos / "youtube-sl-25-metadata.csv").write_text("\n".join(lines), encoding="utf-8")
    for name in signed:
        shutil.copy(videos / "train/show.mp4", videos / f"{name}.mp4")
        write_captions(videos / f"{name}.en.vtt", [Caption(0.1, 0.9, f"This is {name}.")], "vtt")
    options: dict[str, Any] = {"root": videos, "frame_size": 28, "workers": 1, "language": "en"}
    result = prepare("youtube-sl25", videos / "out", Silent(), sign_language="bfi", **options)
    assert [clip.text for clip in result.manifest] == ["This is bbbbbbbbbbb."]
    assert len(prepare("youtube-sl25", videos / "all", Silent(), **options).manifest.clips) == 2
    with pytest.raises(CorpusError, match="sign_language 'bfi', not 'ase'"):
        prepare("youtube-sl25", videos / "out", Silent(), sign_language="ase", **options)
    with pytest.raises(CorpusError, match="subtitles: takes no sign_language"):
        prepare("subtitles", videos / "out", Silent(), sign_language="ase", **options)
    assert sum(doctor([videos], corpus="youtube-sl25", sign_language="ase").figures["clips"].values()) == 1


def test_a_corpus_of_the_user_has_the_name_of_its_folder_or_the_one_that_is_given(videos: Path) -> None:
    root = (videos / "train").rename(videos / "evening-news")
    (root / "sentences.csv").write_text("path,split,text\nshow.mp4,train,es regnet\n", encoding="utf-8")
    options: dict[str, Any] = {"root": root, "frame_size": 28, "workers": 1, "language": "de"}
    first = prepare("folder", videos / "out", Silent(), **options).manifest
    again = prepare("folder", videos / "out", Silent(), name="News", **options)
    assert (again.skipped, first.corpus["name"]) == (1, "folder"), "its name does not change what is packed"
    assert [title_of(each.corpus) for each in (first, Manifest.load(videos / "out"))] == ["evening-news", "News"]
    card = metadata(load_recipe("demo"), {}, identity(first.corpus), [])
    assert identity(first.corpus)["title"] == "evening-news" and "license" not in card
