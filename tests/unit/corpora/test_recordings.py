"""Long videos with captions: their clips, what is left out of them, and the split of each video."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from glossfree.corpora.captions import Caption, write_captions
from glossfree.corpora.manifest import Clip, Segment, VideoFile
from glossfree.corpora.recordings import Recording, assign_splits, clips_of, hashed_split, problems_of
from glossfree.corpora.sentencing import AS_THEY_ARE, Rules
from glossfree.errors import CorpusError

NAMES = [f"show-{number:02d}" for number in range(40)]


def recording(root: Path, name: str, *captions: Caption, split: str = "train", is_there: bool = True) -> Recording:
    video = root / f"{name}.mp4"
    if is_there:
        video.touch()
    write_captions(root / f"{name}.vtt", captions, "vtt")
    return Recording(name, split, video, root / f"{name}.vtt", rules=AS_THEY_ARE)


def cut(spoken: Recording) -> list[Clip]:
    return list(spoken.cut(*spoken.read()))


def test_each_sentence_is_a_clip_named_by_its_times(tmp_path: Path) -> None:
    spoken = [Caption(1, 2.5, "Eins."), Caption(1, 2.5, "Zugleich."), Caption(3, 4, "Zwei.")]
    clips = cut(recording(tmp_path, "schöne show", *spoken, split="dev"))
    assert [clip.text for clip in clips] == ["Eins.", "Zugleich.", "Zwei."]
    assert [clip.source for clip in clips] == [
        VideoFile(tmp_path / "schöne show.mp4", Segment(start, end)) for start, end in ((1, 2.5), (1, 2.5), (3, 4))
    ]
    ids = [clip.id for clip in clips]
    assert all(each.startswith("schöne_show__") for each in ids) and len(set(ids)) == 3
    assert {clip.split for clip in clips} == {"dev"}


def test_ids_say_milliseconds(tmp_path: Path) -> None:
    spoken = recording(tmp_path, "a", Caption(1, 2.5, "Eins."), Caption(1, 2.5, "Zugleich."))
    assert [clip.id for clip in cut(spoken)] == ["a__1000-2500", "a__1000-2500-2"]
    moved = replace(spoken, rules=Rules(shift=0.25))
    assert [clip.id for clip in cut(moved)] == ["a__1250-2750", "a__1250-2750-2"]


def test_what_is_not_signed_is_dropped(tmp_path: Path) -> None:
    spoken = recording(tmp_path, "a", Caption(0, 1, "[NOT SIGNED] Eins."), Caption(1, 2, "Zwei."))
    assert [clip.text for clip in cut(replace(spoken, unsigned="["))] == ["Zwei."]


def test_signs_belong_to_the_sentence_that_has_their_middle(tmp_path: Path) -> None:
    hands = {
        "right": [Caption(0, 1, "MORGEN"), Caption(1.75, 2.5, "REGEN NORD"), Caption(5, 6, "NACHT")],
        "left": [Caption(0.5, 1.25, "UND")],
    }
    path = tmp_path / "a.eaf"
    sentences = [Caption(0, 2, "Morgen."), Caption(2, 4, "Regen.")]
    write_captions(path, [], "eaf", tracks={"said": sentences, "other": [], **hands})
    spoken = Recording("a", "train", tmp_path / "a.mp4", path, "said", AS_THEY_ARE, gloss_tiers=("right", "left"))
    assert [clip.glosses for clip in cut(spoken)] == [("MORGEN", "UND"), ("REGEN", "NORD")]
    assert cut(replace(spoken, tier="absent")) == []
    assert cut(replace(spoken, tier="other")) == []


def test_what_cannot_be_used_is_left_out_and_named(tmp_path: Path) -> None:
    good = recording(tmp_path, "good", Caption(0, 1, "Eins."), Caption(1, 2, "Zwei."))
    gone = recording(tmp_path, "gone", Caption(0, 1, "Drei."), split="dev", is_there=False)
    bad = recording(tmp_path, "bad", Caption(0, 1, "Vier."), split="test")
    bad.captions.write_text("no captions", encoding="utf-8")
    mute = recording(tmp_path, "mute", Caption(0, 1, ""))
    every = [gone, bad, mute, good]
    assert [clip.text for clip in clips_of([replace(bad, split="train"), *every], "train")] == ["Eins.", "Zwei."]
    assert [clip.text for clip in clips_of(every, "train", 1)] == ["Eins."]
    assert problems_of(every, ["as they are"]) == [
        "dev: videos missing, left out: 1: gone",
        "as they are",
        "captions that cannot be read: 1: bad (not WebVTT)",
        "captions without a sentence: 1: mute",
        "no clip in split dev",
        "no clip in split test",
    ]
    assert list(clips_of([gone], "dev")) == []
    with pytest.raises(CorpusError, match="not WebVTT"):
        list(clips_of([gone, bad], "test"))
    with pytest.raises(CorpusError, match=r"none of the videos is there: .*gone\.mp4"):
        problems_of([gone])
    with pytest.raises(CorpusError, match="not WebVTT"):
        problems_of([bad])


def test_impossible_captions_are_left_out_and_named(tmp_path: Path) -> None:
    spoken = recording(tmp_path, "a", Caption(0, 1, "Eins."), Caption(2, 3, "Zwei."), Caption(4, 5, "Drei."))
    text = spoken.captions.read_text(encoding="utf-8")
    spoken.captions.write_text(text.replace("00:00:03.000", "00:00:02.000"), encoding="utf-8")
    assert [clip.text for clip in cut(spoken)] == ["Eins.", "Drei."]
    problem = "captions that end before they begin or begin before the video, left out: 1: a at 2 s"
    assert problem in problems_of([spoken])


def test_the_hash_of_a_name_never_changes_and_splits_well() -> None:
    made = [hashed_split(f"show-{number}") for number in range(8)]
    assert made == ["train", "test", "train", "train", "dev", "train", "test", "train"]
    splits = [hashed_split(f"video {number}") for number in range(5000)]
    assert [round(splits.count(split) / 5000, 1) for split in ("train", "dev", "test")] == [0.8, 0.1, 0.1]
    assert hashed_split("schön") == hashed_split("scho\u0308n")


def test_without_folders_or_a_table_the_hash_decides_and_a_note_says_so(tmp_path: Path) -> None:
    splits, [note] = assign_splits(tmp_path, NAMES)
    assert splits == {name: hashed_split(name) for name in NAMES}
    counts = ", ".join(f"{list(splits.values()).count(split)} {split}" for split in ("train", "dev", "test"))
    assert "by a hash of the video's name" in note and counts in note
    fewer, _ = assign_splits(tmp_path, NAMES[3:9])
    assert fewer == {name: splits[name] for name in NAMES[3:9]}, "whatever else is there"


def test_folders_decide_first(tmp_path: Path) -> None:
    (tmp_path / "splits.csv").write_text("path,split\nTrain/a,test\n", encoding="utf-8")
    names = ["Train/a", "x/validation/b", "test/y/c"]
    assert assign_splits(tmp_path, names) == (dict(zip(names, ("train", "dev", "test"), strict=True)), [])
    with pytest.raises(CorpusError, match="1 videos are in no folder of a split: d"):
        assign_splits(tmp_path, [*names, "d"])


def test_a_table_decides_by_path_or_name(tmp_path: Path) -> None:
    rows = ["file,subset", "a/show.mp4,train", "b\\show,val", "tagesschau.2020-03-13,test", "gone.mp4,test"]
    (tmp_path / "splits.csv").write_text("\n".join(rows), encoding="utf-8")
    names = ["a/show", "b/show", "x/tagesschau.2020-03-13", "other"]
    splits, notes = assign_splits(tmp_path, names)
    assert splits == {"a/show": "train", "b/show": "dev", "x/tagesschau.2020-03-13": "test"}
    assert "videos without a split in splits.csv, left out: 1: other" in notes
    assert "rows of splits.csv without a video: 1: gone.mp4" in notes


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        (["path,kind", "a,train"], "missing column split"),
        (["text,split", "a,train"], "missing column path"),
        (["path,split", "a,trian"], "line 2: split 'trian'"),
        (["path,split", "a,train", "a.mp4,dev"], "line 3: 'a.mp4' is in train and in dev"),
        (["path,split", ",dev"], "line 2: neither a path nor an id"),
    ],
)
def test_a_table_that_contradicts_itself_is_refused(tmp_path: Path, rows: list[str], problem: str) -> None:
    (tmp_path / "splits.csv").write_text("\n".join(rows), encoding="utf-8")
    with pytest.raises(CorpusError, match=problem):
        assign_splits(tmp_path, ["a"])


def test_a_line_of_json_without_a_split_is_named(tmp_path: Path) -> None:
    (tmp_path / "splits.jsonl").write_text('{"path": "a", "split": "dev"}\n{"path": "b"}\n', encoding="utf-8")
    with pytest.raises(CorpusError, match="line 2: split ''"):
        assign_splits(tmp_path, ["a", "b"])
