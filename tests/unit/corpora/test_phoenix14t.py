"""PHOENIX14T's official layout, in small: sentences of our own, empty files as frames."""

from __future__ import annotations

from pathlib import Path

import pytest

from glossfree.corpora.manifest import FrameFolder
from glossfree.corpora.phoenix14t import (
    Annotation,
    annotation_path,
    check,
    clips,
    find_top,
    read_annotations,
)
from glossfree.errors import CorpusError

HEADER = "name|video|start|end|speaker|orth|translation"
SIZES = {"train": 5, "dev": 2, "test": 3}


def line(name: str, text: str, orth: str = "MORGEN REGEN", speaker: str = "Signer03") -> str:
    return f"{name}|{name}/1/*.png|-1|-1|{speaker}|{orth}|{text}"


def write_csv(path: Path, *lines: str, header: str = HEADER) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def top(tmp_path: Path) -> Path:
    """A release of 5 / 2 / 3 clips, all frame folders there."""
    top = tmp_path / "release" / "PHOENIX-2014-T-release-v3" / "PHOENIX-2014-T"
    for split, count in SIZES.items():
        names = [f"{split}_tagesschau-{number}" for number in range(count)]
        lines = [line(name, f"satz {number} aus {split}") for number, name in enumerate(names)]
        write_csv(annotation_path(top / "annotations/manual", split), *lines)
        for name in names:
            folder = top / "features/fullFrame-210x260px" / split / name
            folder.mkdir(parents=True)
            (folder / "images0001.png").touch()
    return top


def test_a_line_becomes_name_speaker_glosses_and_sentence(tmp_path: Path) -> None:
    path = write_csv(
        tmp_path / "a.csv",
        line("heute-1", 'im süden "föhn" bis 12 grad', "SUED  FOEHN"),
        line("heute-2", "schön"),
    )
    first, second = read_annotations(path)
    assert first == Annotation("heute-1", "Signer03", ("SUED", "FOEHN"), 'im süden "föhn" bis 12 grad')
    assert (second.name, second.text) == ("heute-2", "schön")


def test_columns_are_found_by_name_whatever_their_order_and_line_ends(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes("\ufefftranslation|name|orth|speaker\r\nes taut|heute-1||Signer01\r\n".encode())
    assert read_annotations(path) == [Annotation("heute-1", "Signer01", (), "es taut")]


@pytest.mark.parametrize(
    ("header", "lines", "pieces"),
    [
        ("name|video|speaker|orth", ["a|b|c|d"], ["missing column translation", "columns here: name, video, speaker"]),
        ("name;speaker", ["a;b"], ["missing column orth, translation", "columns here: name, speaker"]),
        (HEADER, [line("a", "es taut"), line("a", "es friert")], ["line 3", "duplicate name 'a'"]),
        (HEADER, [line("a", "es taut"), line("b", "  ")], ["line 3", "empty translation of 'b'"]),
        (HEADER, [line("a", "es taut"), "b|c"], ["line 3", "2 fields, 7 expected"]),
        (HEADER, [line("a", "es taut | es friert")], ["line 2", "8 fields, 7 expected"]),
        (HEADER, [line("../a", "es taut")], ["line 2", "'../a' is not a file name"]),
        (HEADER, [line("a", "es taut"), "", "b"], ["line 4", "1 fields, 7 expected"]),
    ],
)
def test_what_is_wrong_with_a_file_is_named_with_the_line(
    tmp_path: Path, header: str, lines: list[str], pieces: list[str]
) -> None:
    path = write_csv(tmp_path / "a.csv", *lines, header=header)
    with pytest.raises(CorpusError) as caught:
        read_annotations(path)
    assert [piece for piece in [str(path), *pieces] if piece not in str(caught.value)] == []
    assert caught.value.remedy


def test_empty_lines_are_passed_over(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "a.csv", line("a", "es taut"), "", line("b", "es friert"), "", "")
    assert [annotation.name for annotation in read_annotations(path)] == ["a", "b"]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="missing annotation file") as caught:
        read_annotations(tmp_path / "a.csv")
    assert caught.value.where == str(tmp_path / "a.csv")


def test_the_release_is_found_from_its_own_folder_and_from_two_above(top: Path) -> None:
    for root in (top, top.parent, top.parent.parent):
        assert find_top(root).resolve() == top.resolve()
    with pytest.raises(CorpusError, match=r"no folder annotations.manual in it"):
        find_top(top / "features")


@pytest.mark.parametrize("split", SIZES)
def test_clips_come_in_order_with_their_frame_folders(top: Path, split: str) -> None:
    split_clips = list(clips(top.parent.parent, split))
    assert [clip.id for clip in split_clips] == [f"{split}_tagesschau-{number}" for number in range(SIZES[split])]
    assert {(clip.split, clip.signer, clip.fps, clip.spans) for clip in split_clips} == {(split, "Signer03", 25.0, ())}
    assert split_clips[1].text == f"satz 1 aus {split}"
    assert split_clips[1].glosses == ("MORGEN", "REGEN")
    for clip in split_clips:
        assert isinstance(clip.source, FrameFolder)
        assert clip.source.path.name == clip.id
        assert (clip.source.path / "images0001.png").is_file()


def test_the_limit_takes_the_first_of_each_split(top: Path) -> None:
    assert [clip.id for clip in clips(top, "train", limit=2)] == ["train_tagesschau-0", "train_tagesschau-1"]
    assert len(list(clips(top, "dev", limit=99))) == 2


def test_the_check_compares_the_counts_of_all_splits(top: Path) -> None:
    assert check(top) == [
        "train: 5 clips, 7,096 in the release",
        "dev: 2 clips, 519 in the release",
        "test: 3 clips, 642 in the release",
    ]


def test_the_check_names_missing_and_empty_frame_folders_by_split(top: Path) -> None:
    frames = top / "features/fullFrame-210x260px"
    (frames / "test/test_tagesschau-1/images0001.png").unlink()
    for name in ("train/train_tagesschau-0", "train/train_tagesschau-4"):
        (frames / name / "images0001.png").unlink()
        (frames / name).rmdir()
    problems = check(top)
    assert "train: frame folders missing or empty: 2: train_tagesschau-0, train_tagesschau-4" in problems
    assert "test: frame folders missing or empty: 1: test_tagesschau-1" in problems
    assert not any(problem.startswith("dev") and "folder" in problem for problem in problems)


def test_the_check_counts_the_missing_beyond_ten(top: Path) -> None:
    lines = [line(f"neu-{number}", f"satz {number}") for number in range(13)]
    write_csv(annotation_path(top / "annotations/manual", "dev"), *lines)
    [missing] = [problem for problem in check(top) if "missing" in problem]
    assert missing.startswith("dev: frame folders missing or empty: 13: neu-0, neu-1, ")
    assert missing.endswith("neu-9 and 3 more")


def test_the_check_counts_sentences_and_names_in_two_splits(top: Path) -> None:
    path = annotation_path(top / "annotations/manual", "dev")
    write_csv(path, line("train_tagesschau-2", "satz 1 aus test"), line("dev_tagesschau-1", "satz 4 aus train"))
    problems = check(top)
    assert "name 'train_tagesschau-2' is in train and in dev" in problems
    assert problems[-1].startswith("2 sentences occur in more than one split (4 clips)")


def test_the_real_annotations_have_the_sizes_of_the_paper(shared: Path) -> None:
    sizes = {split: read_annotations(annotation_path(shared / "phoenix14t", split)) for split in SIZES}
    assert {split: len(lines) for split, lines in sizes.items()} == {"train": 7096, "dev": 519, "test": 642}
    assert all(annotation.text for lines in sizes.values() for annotation in lines)


def test_annotations_are_read_in_nfc_and_the_mixture_is_named(top: Path) -> None:
    path = annotation_path(top / "annotations/manual", "dev")
    name, folder = "dev_gru\u0308n", top / "features/fullFrame-210x260px/dev/dev_gru\u0308n"
    write_csv(path, line(name, "es wird ku\u0308hl", orth="KU\u0308HL"), line("dev_tagesschau-0", "es bleibt kühl"))
    folder.mkdir()
    [first, _] = clips(top, "dev")
    assert (first.id, first.text, first.source) == ("dev_grün", "es wird kühl", FrameFolder(folder))
    assert read_annotations(path)[0].glosses == ("KÜHL",)
    assert any("dev: 1 of 2 rows" in problem for problem in check(top))


def test_a_frame_folder_that_holds_companions_alone_is_empty(top: Path) -> None:
    folder = top / "features/fullFrame-210x260px/dev/dev_tagesschau-1"
    (folder / "images0001.png").rename(folder / "._images0001.png")
    (folder / "Thumbs.db").touch()
    assert "dev: frame folders missing or empty: 1: dev_tagesschau-1" in check(top)
