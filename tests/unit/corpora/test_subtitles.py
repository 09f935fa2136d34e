"""A folder of videos with captions of several kinds, languages and tiers beside them."""

from __future__ import annotations

from pathlib import Path

import pytest

from glossfree.corpora.captions import Caption, write_captions
from glossfree.corpora.manifest import SPLITS, VideoFile
from glossfree.corpora.subtitles import check, clips
from glossfree.errors import CorpusError

SPOKEN = [Caption(0, 2, "[MUSIK] Im Norden"), Caption(2.25, 4, "regnet es."), Caption(4, 6, "- Gute Nacht!")]
TEXTS = ["Im Norden regnet es.", "Gute Nacht!"]
ASS = """[Script Info]
ScriptType: v4.00+

[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
Dialogue: 0,0:00:01.00,0:00:02.50,Default,,0,0,0,,Guten Morgen.
"""


def video(root: Path, name: str) -> Path:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def captions(root: Path, name: str, *texts: str) -> Path:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    spoken = [Caption(3 * number, 3 * number + 2, text) for number, text in enumerate(texts)] or SPOKEN
    write_captions(path, spoken, path.suffix[1:])
    return path


def every(root: Path, **options: object) -> list[tuple[str, str]]:
    """(name of the video, sentence) of all clips."""
    made = [clip for split in SPLITS for clip in clips(root, split, **options)]  # type: ignore[arg-type]
    assert all(isinstance(clip.source, VideoFile) for clip in made)
    return [(clip.source.path.name, clip.text) for clip in made if isinstance(clip.source, VideoFile)]


def test_every_kind_of_captions_is_read_and_made_sentences(tmp_path: Path) -> None:
    for form in ("vtt", "srt", "eaf"):
        video(tmp_path, f"train/{form}.mp4")
        captions(tmp_path, f"train/{form}.{form}")
    video(tmp_path, "dev/ass.mkv")
    (tmp_path / "dev/ass.ass").write_text(ASS, encoding="utf-8")
    made = every(tmp_path)
    assert made == [
        *((f"{form}.mp4", text) for form in ("eaf", "srt", "vtt") for text in TEXTS),
        ("ass.mkv", "Guten Morgen."),
    ]
    first, *_ = clips(tmp_path, "train")
    assert (first.id, first.split) == ("train__eaf__0-4000", "train")
    assert check(tmp_path) == ["no clip in split test", *check(tmp_path)[1:]]
    assert [clip.text for clip in clips(tmp_path, "train", limit=3)] == [*TEXTS, TEXTS[0]]


def test_rules_decide_how(tmp_path: Path) -> None:
    video(tmp_path, "train/a.mp4")
    captions(tmp_path, "train/a.vtt")
    assert every(tmp_path, rules={"join": "no", "clean": "no"}) == [("a.mp4", each.text) for each in SPOKEN]
    [first, _] = clips(tmp_path, "train", rules={"shift": "1.5", "before": "0.25"})
    assert first.id == "train__a__1250-5500"
    with pytest.raises(CorpusError, match="did you mean 'shift'"):
        check(tmp_path, rules={"shifts": "1"})


def test_a_language_chooses_between_captions(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        video(tmp_path, f"train/{name}.mp4")
    captions(tmp_path, "train/a.de-CH.vtt", "Guten Tag.")
    captions(tmp_path, "train/a.en.vtt", "Good day.")
    captions(tmp_path, "train/b.vtt", "Ohne Angabe.")
    captions(tmp_path, "train/b.en.srt", "Not said.")
    captions(tmp_path, "train/c.en.srt", "Only English.")
    german = [("a.mp4", "Guten Tag."), ("b.mp4", "Ohne Angabe.")]
    assert every(tmp_path, language="de") == every(tmp_path, language="de-DE") == german
    problems = check(tmp_path, language="de")
    assert "videos without captions: 1: train/c" in problems
    assert not any("captions without a video" in problem for problem in problems), "only in another language"
    english = [("a.mp4", "Good day."), ("b.mp4", "Not said."), ("c.mp4", "Only English.")]
    assert every(tmp_path, language="en") == english
    with pytest.raises(CorpusError, match=r"captions in several languages \(de, en\)") as caught:
        every(tmp_path)
    assert caught.value.remedy == "name one with --language"
    (tmp_path / "train/b.vtt").unlink()
    with pytest.raises(CorpusError, match="no video with captions in fr in it"):
        every(tmp_path, language="fr")


def test_of_several_kinds_one_is_read(tmp_path: Path) -> None:
    video(tmp_path, "train/a.mp4")
    for form in ("srt", "vtt", "eaf"):
        captions(tmp_path, f"train/a.{form}", f"Aus {form}.")
    assert every(tmp_path) == [("a.mp4", "Aus vtt.")]
    assert every(tmp_path, tier="sentence") == [("a.mp4", "Aus eaf.")]


def test_a_tier_must_be_named_if_there_are_several(tmp_path: Path) -> None:
    video(tmp_path, "train/a.mp4")
    tracks = {"deutsch": [Caption(0, 1, "Eins.")], "glossen": [Caption(0, 1, "EINS")]}
    write_captions(tmp_path / "train/a.eaf", [], "eaf", tracks=tracks)
    with pytest.raises(CorpusError, match="several tiers"):
        every(tmp_path)
    assert every(tmp_path, tier="deutsch") == [("a.mp4", "Eins.")]
    with pytest.raises(CorpusError, match="no tier 'englisch'"):
        check(tmp_path, tier="englisch")


def test_captions_may_lie_elsewhere_but_not_in_two_places(tmp_path: Path) -> None:
    video(tmp_path, "videos/a.mp4")
    video(tmp_path, "videos/tagesschau.2020-03-13.mp4")
    captions(tmp_path, "subtitles/a.de.vtt", "Eins.")
    captions(tmp_path, "subtitles/tagesschau.2020-03-13.vtt", "Zwei.")
    assert sorted(every(tmp_path)) == [("a.mp4", "Eins."), ("tagesschau.2020-03-13.mp4", "Zwei.")]
    captions(tmp_path, "older/a.de.vtt", "Früher.")
    with pytest.raises(CorpusError, match="several files may be its captions"):
        every(tmp_path)
    captions(tmp_path, "older/a.vtt", "Auch früher.")
    captions(tmp_path, "videos/a.vtt", "Daneben.")
    assert ("a.mp4", "Daneben.") in every(tmp_path)


def test_what_has_no_partner_is_named(tmp_path: Path) -> None:
    for name in ("a", "b"):
        video(tmp_path, f"train/{name}.mp4")
    captions(tmp_path, "train/a.vtt")
    captions(tmp_path, "train/other.vtt")
    problems = check(tmp_path)
    assert "videos without captions: 1: train/b" in problems
    assert "captions without a video: 1: train/other.vtt" in problems


def test_a_table_of_splits_leaves_out_what_it_does_not_name(tmp_path: Path) -> None:
    for name in ("a", "b"):
        video(tmp_path, f"{name}.mp4")
        captions(tmp_path, f"{name}.vtt")
    (tmp_path / "splits.csv").write_text("path,split\nb.mp4,test\n", encoding="utf-8")
    assert [clip.id for clip in clips(tmp_path, "test")] == ["b__0-4000", "b__4000-6000"]
    assert list(clips(tmp_path, "train")) == []


def test_no_video_is_in_two_splits(tmp_path: Path) -> None:
    for number in range(30):
        video(tmp_path, f"show {number}.mp4")
        captions(tmp_path, f"show {number}.vtt")
    places = {split: {clip.source for clip in clips(tmp_path, split)} for split in SPLITS}
    paths = {split: {source.path for source in sources} for split, sources in places.items()}  # type: ignore[union-attr]
    assert sum(map(len, paths.values())) == len(set.union(*paths.values())) == 30
    assert all(paths.values())


def test_a_folder_without_captions_is_an_error(tmp_path: Path) -> None:
    video(tmp_path, "a.mp4")
    with pytest.raises(CorpusError, match="no video with captions"):
        list(clips(tmp_path, "train"))
