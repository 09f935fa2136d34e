"""YouTube-ASL and -SL-25, in small: invented ids and sentences, empty files as videos."""

from __future__ import annotations

from pathlib import Path

import pytest

from glossfree.corpora.captions import Caption, write_captions
from glossfree.corpora.manifest import Clip, Segment, VideoFile
from glossfree.corpora.recordings import hashed_split
from glossfree.corpora.youtube import asl_clips, check_asl, check_sl25, read_list, sl25_clips
from glossfree.errors import CorpusError

IDS = ("-aBcDeFgHi0", "jKlMnOpQr_1", "sTuVwXyZ-a2", "bCdEfGhIjK3")
SL25 = dict(zip(IDS, ("ase", "bfi", "gsg", "???"), strict=True))
TEXTS = {name: f"This is number {number}." for number, name in enumerate(IDS)}


def add_captions(path: Path, *texts: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    captions = [Caption(2 * number + 1.5, 2 * number + 3.0, text) for number, text in enumerate(texts)]
    write_captions(path, captions, path.suffix[1:])


def add_videos(root: Path, place: str = "videos", language: str = ".en") -> Path:
    for name, text in TEXTS.items():
        add_captions(root / place / f"{name}{language}.vtt", text)
        (root / place / f"{name}.mp4").touch()
    return root


@pytest.fixture
def asl(tmp_path: Path) -> Path:
    (tmp_path / "youtube_asl_video_ids.txt").write_text("\n".join([*IDS, IDS[0], ""]))
    return add_videos(tmp_path)


@pytest.fixture
def sl25(tmp_path: Path) -> Path:
    lines = [f"{name},{language}" for name, language in SL25.items()]
    (tmp_path / "youtube-sl-25_youtube-sl-25-metadata.csv").write_text("\n".join(lines) + "\n")
    return add_videos(tmp_path)


def all_asl(root: Path) -> dict[str, Clip]:
    read = [clip for split in ("train", "dev", "test") for clip in asl_clips(root, split)]
    return {clip.source.path.stem: clip for clip in read}  # type: ignore[union-attr]


def all_sl25(root: Path, **options: str) -> dict[str, Clip]:
    read = [clip for split in ("train", "dev", "test") for clip in sl25_clips(root, split, **options)]
    return {clip.source.path.stem: clip for clip in read}  # type: ignore[union-attr]


def test_captions_become_clips_in_the_split_of_their_video(asl: Path) -> None:
    read = all_asl(asl)
    assert {name: clip.text for name, clip in read.items()} == TEXTS
    assert {name: clip.split for name, clip in read.items()} == {name: hashed_split(name) for name in IDS}
    first = read[IDS[0]]
    assert (first.id, first.source) == (
        f"{IDS[0]}__1500-3000",
        VideoFile(asl / f"videos/{IDS[0]}.mp4", Segment(1.5, 3.0)),
    )


def test_the_list_is_compared_with_the_release_and_with_what_is_there(asl: Path) -> None:
    (asl / f"videos/{IDS[0]}.mp4").unlink()
    (asl / f"videos/{IDS[1]}.en.vtt").unlink()
    (asl / "more").mkdir()
    (asl / "more/Unlisted000.webm").touch()
    (asl / f"more/{IDS[2]}.f137.mp4").touch()
    problems = check_asl(asl)
    assert problems[0] == "4 videos in the list, 11,093 in the release"
    assert [problem for problem in problems if "videos" in problem][2:] == [
        f"videos missing, of 4 in the list: 1: {IDS[0]}",
        f"videos without captions in en: 1: {IDS[1]}",
        "videos that the list does not have: 1: Unlisted000",
    ]
    assert set(all_asl(asl)) == {IDS[2], IDS[3]}


def test_a_list_of_splits_counts_before_the_hash(asl: Path) -> None:
    rows = [f"{name},{split}" for name, split in zip(IDS, ("train", "val", "test", "train"), strict=True)]
    (asl / "splits.csv").write_text("\n".join(["id,split", *rows]) + "\n")
    assert [clip.split for clip in all_asl(asl).values()] == ["train", "train", "dev", "test"]


@pytest.mark.parametrize("name", [f"{IDS[3]}.mkv", f"Ein Titel. Föhn? [x] [{IDS[3]}].webm"])
@pytest.mark.parametrize("captions", [f"{IDS[3]}.en-US.vtt", f"{IDS[3]}.srt", f"t [{IDS[3]}].en.srt"])
def test_names_are_those_that_yt_dlp_gives(asl: Path, name: str, captions: str) -> None:
    (asl / f"videos/{IDS[3]}.mp4").rename(asl / name)
    (asl / f"videos/{IDS[3]}.en.vtt").unlink()
    add_captions(asl / "captions" / captions, "Elsewhere.")
    [clip] = [clip for clip in all_asl(asl).values() if clip.text == "Elsewhere."]
    assert isinstance(clip.source, VideoFile)
    assert clip.source.path == asl / name
    assert clip.id == f"{IDS[3]}__1500-3000"


def test_the_captions_of_a_language_count_before_those_without_one(asl: Path) -> None:
    for ending in ("fr.vtt", "en-GB.vtt", "vtt", "en.srt"):
        add_captions(asl / f"videos/{IDS[0]}.{ending}", ending)
    texts = []
    for ending in ("en.vtt", "en.srt", "en-GB.vtt", "vtt"):
        texts.append(all_asl(asl)[IDS[0]].text)
        (asl / f"videos/{IDS[0]}.{ending}").unlink()
    assert texts == [TEXTS[IDS[0]], "en.srt", "en-GB.vtt", "vtt"]
    assert IDS[0] not in all_asl(asl), "the French ones are left"


def test_rules_reach_the_captions(asl: Path) -> None:
    add_captions(asl / f"videos/{IDS[0]}.en.vtt", "this goes", "on here.")
    assert all_asl(asl)[IDS[0]].text == "this goes on here."
    split = hashed_split(IDS[0])
    texts = [clip.text for clip in asl_clips(asl, split, rules={"join": "no"}) if clip.id.startswith(IDS[0])]
    assert texts == ["this goes", "on here."]
    assert len(list(asl_clips(asl, split, limit=1))) == 1


def test_sign_languages_choose_videos_and_languages_choose_captions(sl25: Path) -> None:
    assert set(all_sl25(sl25)) == set(IDS)
    assert set(all_sl25(sl25, sign_language="bfi")) == {IDS[1]}
    assert set(all_sl25(sl25, sign_language="bfi", language="en")) == {IDS[1]}
    add_captions(sl25 / f"videos/{IDS[2]}.de.vtt", "Guten Tag.")
    with pytest.raises(CorpusError, match=r"several languages \(de, en\)") as caught:
        all_sl25(sl25)
    assert (caught.value.where, caught.value.remedy) == (IDS[2], "name one with --language")
    assert {name: clip.text for name, clip in all_sl25(sl25, language="de").items()} == {IDS[2]: "Guten Tag."}
    assert all_sl25(sl25, language="de-DE") == all_sl25(sl25, language="de")
    notes = check_sl25(sl25, language="de", sign_language="gsg")
    assert not any("missing" in note or "without captions" in note for note in notes)
    assert f"videos without captions in de: 3: {IDS[0]}, {IDS[1]}, {IDS[3]}" in check_sl25(sl25, language="de")


def test_errors_say_what_is_looked_for_and_where(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"no youtube_asl_video_ids\.txt in it"):
        list(asl_clips(tmp_path, "train"))
    path = tmp_path / "youtube-sl-25-metadata.csv"
    path.write_text(f"video_id,language\n{IDS[0]},ase\n\nwrong,ase\n")
    with pytest.raises(CorpusError, match="'wrong' is no YouTube id") as caught:
        read_list(path)
    assert caught.value.where == f"{path}, line 4"
    path.write_text(f"video_id,language\n{IDS[0]},ase\n")
    assert read_list(path) == {IDS[0]: "ase"}
    with pytest.raises(CorpusError, match=f"none of 1 videos is there: {IDS[0]}"):
        check_sl25(tmp_path)
    with pytest.raises(CorpusError, match="no video in sign language 'xyz'") as caught:
        check_sl25(tmp_path, sign_language="xyz")
    assert caught.value.remedy == "one of ase"
