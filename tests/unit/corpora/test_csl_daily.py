"""CSL-Daily's layout, in small: sentences of our own, empty files as frames."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest

from glossfree.corpora.csl_daily import LABELS, SPLIT_FILE, check, clips
from glossfree.corpora.manifest import Clip, FrameFolder, VideoFile
from glossfree.errors import CorpusError

ROWS = (
    ("S000001_P0000_T00", "train", "今天很冷。", "今天 冷"),
    ("S000002_P0001_T00", "train", "你们好！", "你们 好"),
    ("S000003_P0001_T01", "dev", "他去学校。", "他 去 学校"),
    ("S000004_P0002_T00", "test", "我用iPad看书。", "我 看 书"),
)


def label(name: str, text: str, glosses: str, **other: Any) -> dict[str, Any]:
    chars = ["iPad" if char == "i" else char for char in text.replace("Pad", "")]
    row = {"name": name, "signer": int(name[9:13]), "label_char": chars, "label_gloss": glosses.split()}
    return {**row, "label_word": [text], "label_postag": ["n"], "length": 70, **other}


def write_labels(top: Path, rows: list[dict[str, Any]]) -> None:
    (top / "sentence_label").mkdir(parents=True, exist_ok=True)
    (top / LABELS).write_bytes(pickle.dumps({"info": rows, "gloss_map": ["你们"]}, 2))


def write_splits(top: Path, rows: list[tuple[str, str]]) -> None:
    (top / SPLIT_FILE).write_text("name|split\n" + "".join(f"{name}|{split}\n" for name, split in rows))


@pytest.fixture
def top(tmp_path: Path) -> Path:
    top = tmp_path / "csl-daily"
    write_labels(top, [label(name, text, glosses) for name, _, text, glosses in reversed(ROWS)])
    write_splits(top, [row[:2] for row in ROWS])
    for name, *_ in ROWS:
        (top / "sentence/frames_512x512" / name).mkdir(parents=True)
        (top / "sentence/frames_512x512" / name / "000000.jpg").touch()
    return top


def all_clips(root: Path) -> list[Clip]:
    return [clip for split in ("train", "dev", "test") for clip in clips(root, split)]


def odd(root: Path) -> list[str]:
    return [problem for problem in check(root) if "in the release" not in problem]


def test_a_row_becomes_a_clip_whose_sentence_is_its_characters(top: Path) -> None:
    read = all_clips(top)
    assert [(clip.id, clip.split, clip.text, " ".join(clip.glosses)) for clip in read] == list(ROWS)
    assert [clip.signer for clip in read] == ["0", "1", "1", "2"]
    assert {clip.fps for clip in read} == {30.0}
    assert read[0].source == FrameFolder(top / "sentence/frames_512x512/S000001_P0000_T00")
    assert [clip.id for clip in clips(top, "train", limit=1)] == [ROWS[0][0]]


def test_counts_are_those_of_the_paper(top: Path) -> None:
    assert check(top) == [
        "train: 2 clips, 18,401 in the release",
        "dev: 1 clips, 1,077 in the release",
        "test: 1 clips, 1,176 in the release",
    ]


def test_the_release_is_found_from_the_folder_above(top: Path) -> None:
    assert [clip.id for clip in all_clips(top.parent)] == [row[0] for row in ROWS]


@pytest.mark.parametrize("folder", ["sentence_frames-512x512/frames_512x512", "frames_512x512"])
def test_the_folder_of_frames_may_have_other_names(top: Path, folder: str) -> None:
    (top / folder).parent.mkdir(exist_ok=True)
    (top / "sentence/frames_512x512").rename(top / folder)
    assert odd(top) == []
    assert {clip.source.path.parent for clip in all_clips(top)} == {top / folder}  # type: ignore[union-attr]


def test_clips_may_be_videos_with_their_own_rate(top: Path) -> None:
    (top / "videos").mkdir()
    name = ROWS[2][0]
    for path in (top / "sentence/frames_512x512" / name).iterdir():
        path.unlink()
    (top / "sentence/frames_512x512" / name).rmdir()
    (top / f"videos/{name}.mp4").touch()
    [clip] = clips(top, "dev")
    assert (clip.source, clip.fps) == (VideoFile(top / f"videos/{name}.mp4"), None)
    assert odd(top) == []


def test_missing_frames_are_named(top: Path) -> None:
    (top / "sentence/frames_512x512" / ROWS[1][0] / "000000.jpg").unlink()
    assert odd(top) == [f"train: frame folders missing or empty: 1: {ROWS[1][0]}"]
    assert len(all_clips(top)) == 4, "packing names it again"


def test_the_name_that_the_split_file_has_wrong_is_put_right(top: Path) -> None:
    write_labels(top, [label("S000007_P0003_T00", "好。", "好")])
    write_splits(top, [("S000005_P0004_T00", "train")])
    assert [clip.id for clip in clips(top, "train")] == ["S000007_P0003_T00"]


def test_names_without_labels_split_or_sentence_are_named(top: Path) -> None:
    rows = [label(name, text, glosses) for name, _, text, glosses in ROWS[:3]]
    write_labels(top, [*rows[:2], label(ROWS[2][0], "", "他"), label("S000009_P0000_T00", "好。", "好")])
    assert [clip.id for clip in all_clips(top)] == [ROWS[0][0], ROWS[1][0]]
    assert odd(top) == [
        f"clips without a sentence, left out: 1: {ROWS[2][0]}",
        f"names with a split, but without labels, left out: 1: {ROWS[3][0]}",
        "names with labels, but without a split, left out: 1: S000009_P0000_T00",
    ]


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([("S1", "train"), ("S1", "dev")], ["line 3", "'S1' twice"]),
        ([("S1", "training"), ("S2", "other")], ["line 3", "'other'"]),
        ([("../S1", "train")], ["line 2", "'../S1' is not a file name"]),
    ],
)
def test_what_is_wrong_with_the_split_file_is_named(top: Path, lines: list[tuple[str, str]], words: list[str]) -> None:
    write_splits(top, lines)
    with pytest.raises(CorpusError) as caught:
        list(clips(top, "train"))
    assert [word for word in words if word not in str(caught.value)] == []


@pytest.mark.parametrize(
    "content",
    [
        [],
        {"info": {}},
        {"info": [{"name": "S1"}]},
        {"info": [{"name": "S1", "label_char": "abc", "label_gloss": []}]},
        {"info": [{"name": "S1", "label_char": [1], "label_gloss": []}]},
        {"info": [{"name": "S1", "label_char": ["x"] * 1001, "label_gloss": []}]},
        {"info": [{"name": "S1", "label_char": [], "label_gloss": ["x" * 1001]}]},
        {"info": [{"name": 1, "label_char": [], "label_gloss": []}]},
    ],
)
def test_labels_of_another_structure_are_an_error(top: Path, content: object) -> None:
    (top / LABELS).write_bytes(pickle.dumps(content))
    with pytest.raises(CorpusError, match="no list `info`") as caught:
        list(clips(top, "train"))
    assert caught.value.where == str(top / LABELS)


def test_a_sentence_that_grows_out_of_a_small_pickle_is_refused(top: Path) -> None:
    """A thousand lists of one long text each are a small file, and would be a gigabyte of sentence."""
    rows = [{"name": "S1", "label_char": ["x" * 10**6] * 1000, "label_gloss": []}]
    (top / LABELS).write_bytes(pickle.dumps({"info": rows}))
    with pytest.raises(CorpusError, match="no list `info`"):
        list(clips(top, "train"))


def test_a_signer_that_is_no_number_is_not_written_out(top: Path) -> None:
    laughs: list[Any] = ["ha"]
    for _ in range(60):
        laughs = [laughs, laughs]  # 2**60 words, in a pickle of a few hundred bytes
    write_labels(top, [label("S000003_P0001_T01", "好。", "好", signer=laughs)])
    [clip] = clips(top, "dev")
    assert (clip.text, clip.signer) == ("好。", "")
