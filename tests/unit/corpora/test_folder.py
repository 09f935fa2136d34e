"""A folder of one's own videos: three kinds of sentence file, two ways to name a video, and all problems at once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from glossfree.corpora.folder import check, clips, read_clips, read_rows, sentence_file
from glossfree.corpora.manifest import Clip, FrameFolder, Segment, VideoFile
from glossfree.errors import CorpusError

FILES = ("a/eins.mp4", "a/zwei.MKV", "b/drei.webm", "vier.avi", "b/c/fünf.mov")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Five videos (empty files: nothing is decoded here) and one folder of images."""
    for name in FILES:
        touch(tmp_path / name)
    touch(tmp_path / "b/sechs/0001.png")
    touch(tmp_path / "b/sechs/0002.png")
    return tmp_path


def touch(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


def write(root: Path, text: str, name: str = "sentences.csv", encoding: str = "utf-8") -> Path:
    path = root / name
    path.write_bytes(text.encode(encoding))
    return path


def problem(root: Path) -> str:
    with pytest.raises(CorpusError) as caught:
        read_clips(root)
    assert caught.value.where
    assert caught.value.remedy
    return str(caught.value)


def test_ids_are_stems_of_videos_and_names_of_image_folders_anywhere_below(root: Path) -> None:
    write(root, "id,split,text\nzwei,train,es taut\nsechs,dev,es friert\nfünf,test,es nieselt\n")
    assert read_clips(root) == [
        Clip("zwei", "train", "es taut", VideoFile(root / "a/zwei.MKV")),
        Clip("sechs", "dev", "es friert", FrameFolder(root / "b/sechs")),
        Clip("fünf", "test", "es nieselt", VideoFile(root / "b/c/fünf.mov")),
    ]


def test_paths_are_relative_and_make_the_ids(root: Path) -> None:
    write(root, "split,path,text\ntrain,a/eins.mp4,es taut\ntrain,vier.avi,es friert\ndev,b\\sechs,es nieselt\n")
    clips_read = read_clips(root)
    assert [clip.id for clip in clips_read] == ["a__eins", "vier", "b__sechs"]
    assert [clip.source for clip in clips_read] == [
        VideoFile(root / "a/eins.mp4"),
        VideoFile(root / "vier.avi"),
        FrameFolder(root / "b/sechs"),
    ]


def test_an_id_beside_a_path_names_the_clip(root: Path) -> None:
    write(root, "id,path,split,text,signer,glosses\nK 1,a/eins.mp4,train,es taut, Ada ,MILD  TAUEN\n")
    [clip] = read_clips(root)
    assert clip.id.startswith("K_1-")
    assert (clip.signer, clip.glosses) == ("Ada", ("MILD", "TAUEN"))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("sentences.csv", 'id,split,text\neins,train,"wolken, regen und ""föhn"""\n'),
        ("sentences.csv", '\ufeffid,split,text\r\neins,train,"wolken, regen und ""föhn"""\r\n\r\n'),
        ("sentences.csv", 'id;split;text\neins;train;"wolken, regen und ""föhn"""\n'),
        ("sentences.csv", 'id, split ,text\neins,train,"wolken,\n regen und ""föhn"""\n'),
        ("sentences.tsv", 'id\tsplit\ttext\neins\ttrain\twolken, regen und "föhn"\n'),
        ("sentences.jsonl", '\n{"id": "eins", "split": "train", "text": "wolken, regen und \\"föhn\\"", "n": [1]}\n'),
    ],
    ids=["csv", "csv-windows", "csv-semicolons", "csv-two-lines", "tsv", "jsonl"],
)
def test_every_kind_of_sentence_file_gives_the_same_clip(root: Path, name: str, text: str) -> None:
    write(root, text, name)
    [clip] = read_clips(root)
    assert clip == Clip("eins", "train", 'wolken, regen und "föhn"', VideoFile(root / "a/eins.mp4"))


def test_umlauts_match_in_either_spelling(root: Path) -> None:
    write(root, "id,split,text\nfu\u0308nf,train,es taut\n")
    assert read_clips(root)[0].source == VideoFile(root / "b/c/fünf.mov")


def test_hidden_files_and_prepared_folders_are_passed_over(root: Path) -> None:
    touch(root / "a/._eins.mp4")
    touch(root / ".cache/eins.mp4")
    touch(root / "packed/corpus.json")
    touch(root / "packed/clips/train/eins.mp4")
    write(root, "id,split,text\neins,train,es taut\n")
    assert read_clips(root)[0].source == VideoFile(root / "a/eins.mp4")


def test_the_root_itself_may_hold_a_file_of_the_same_name_as_a_prepared_folder(root: Path) -> None:
    touch(root / "corpus.json")
    write(root, "id,split,text\neins,train,es taut\n")
    assert len(read_clips(root)) == 1


def test_no_sentence_file_and_more_than_one_are_named(root: Path) -> None:
    with pytest.raises(
        CorpusError, match=r"no sentence file in it -> write sentences.csv or sentences.tsv or"
    ) as caught:
        sentence_file(root)
    assert caught.value.where == str(root)
    write(root, "", "sentences.csv")
    write(root, "", "sentences.jsonl")
    with pytest.raises(CorpusError, match=r"more than one sentence file: sentences.csv, sentences.jsonl"):
        sentence_file(root)
    with pytest.raises(CorpusError, match="no such folder"):
        sentence_file(root / "nowhere")


@pytest.mark.parametrize(
    ("name", "text", "pieces"),
    [
        ("sentences.csv", "id,split,satz\neins,train,x\n", ["missing column text;", "columns here: id, split, satz"]),
        ("sentences.csv", "text\nx\n", ["missing column split, path (or id); columns here: text"]),
        ("sentences.jsonl", '{"id": "eins", "text": "x"}\n', ["line 1", "missing column split"]),
        ("sentences.jsonl", '{"id": "eins", "split": "train", "text": ["x"]}\n', ["line 1", "missing column text"]),
        ("sentences.jsonl", '{"id": \n', ["line 1", "not JSON"]),
        ("sentences.jsonl", "[1]\n", ["line 1", "not an object"]),
        ("sentences.csv", "id,split,text\neins,train,wolken, regen\n", ["line 2", "4 fields, 3 expected", "quotes"]),
        ("sentences.csv", "id,split,text\neins,train\n", ["line 2", "2 fields, 3 expected"]),
        ("sentences.csv", 'id,split,text\neins,train,"wolken\n', ["line 2", "broken quoting", "never closed"]),
        ("sentences.csv", "id,split,text\n", ["no sentences in it"]),
        ("sentences.csv", ":,-\nx,y\n", ["missing column text, split", "columns here: none"]),
        ("sentences.csv", "", ["no sentences in it"]),
    ],
)
def test_a_file_that_cannot_be_read_is_named_with_the_line(root: Path, name: str, text: str, pieces: list[str]) -> None:
    path = write(root, text, name)
    with pytest.raises(CorpusError) as caught:
        read_rows(path)
    assert [piece for piece in [str(path), *pieces] if piece not in str(caught.value)] == []
    assert caught.value.remedy


def test_a_file_in_another_encoding_is_named(root: Path) -> None:
    write(root, "id,split,text\neins,train,wärme\n", encoding="latin-1")
    assert "not UTF-8" in problem(root)


@pytest.mark.parametrize(
    ("rows", "piece"),
    [
        ("eins,trian,es taut", "line 2: split 'trian', did you mean 'train'?"),
        ("eins,Test,es taut", "line 2: split 'Test', did you mean 'test'?"),
        ("eins,xyz,es taut", "line 2: split 'xyz', one of train, dev, test expected"),
        ("eins,train,  ", "line 2: empty sentence of 'eins'"),
        (",train,es taut", "line 2: neither path nor id"),
        ("eins,train,es taut\neins,dev,es friert", "line 3: duplicate id 'eins' (first in line 2)"),
    ],
)
def test_what_is_wrong_with_a_row_is_named_with_its_line(root: Path, rows: str, piece: str) -> None:
    path = write(root, f"id,split,text\n{rows}\n")
    assert problem(root) == f"{path}: {piece} -> correct these lines"


def test_an_id_that_fits_two_files_names_both(root: Path) -> None:
    touch(root / "z/eins.webm")
    write(root, "id,split,text\neins,train,es taut\n")
    assert "line 2: id 'eins' matches 2 files: a/eins.mp4, z/eins.webm; name one in a column path" in problem(root)


@pytest.mark.parametrize("path", ["../x.mp4", "a/../../x.mp4", "/etc/x.mp4", "C:/x.mp4", "..\\x.mp4", "."])
def test_a_path_out_of_the_folder_is_refused_even_if_the_file_is_there(root: Path, path: str) -> None:
    touch(root.parent / "x.mp4")
    write(root, f"path,split,text\n{path},train,es taut\n")
    assert "leads out of the folder" in problem(root)


def test_missing_files_are_clips_that_cannot_be_packed_ten_of_them_named_in_one_line(root: Path) -> None:
    rows = [f"fehlt/{number}.mp4,train,satz {number}" for number in range(13)]
    write(root, "\n".join(["path,split,text", "a/eins.mp4,train,es taut", *rows]) + "\n")
    [message] = [note for note in check(root) if "missing" in note]
    assert message.startswith("listed files missing: 13: fehlt/0.mp4, fehlt/1.mp4")
    assert message.endswith("fehlt/9.mp4 and 3 more")


def test_a_path_that_the_file_system_refuses_is_a_missing_file(root: Path) -> None:
    write(root, f"path,split,text\n{'x' * 300}.mp4,train,es taut\na/eins.mp4,dev,es friert\n")
    assert "listed files missing: 1: xxx" in check(root)[0]


def test_all_problems_are_reported_at_once(root: Path) -> None:
    rows = ["eins,trian,", "zwei,train,es taut", "zwei,train,es taut", "neun,dev,es friert"]
    write(root, "\n".join(["id,split,text", *rows]) + "\n")
    message = problem(root)
    assert "4 problems: line 2: split 'trian'" in message
    assert "line 2: empty sentence of 'eins'" in message
    assert "line 4: duplicate id 'zwei' (first in line 3)" in message
    assert "listed files missing: 1: neun" in message


def test_of_many_problems_ten_are_written_out(root: Path) -> None:
    write(root, "id,split,text\n" + "eins,xyz,es taut\n" * 14)
    message = problem(root)  # 14 bad splits, 13 duplicates
    assert "27 problems: " in message
    assert "; and 17 more" in message


def test_a_split_holds_its_rows_in_order_up_to_the_limit(root: Path) -> None:
    rows = ["vier,train,a", "drei,dev,b", "zwei,train,c", "eins,train,d"]
    write(root, "\n".join(["id,split,text", *rows]) + "\n")
    assert [clip.id for clip in clips(root, "train")] == ["vier", "zwei", "eins"]
    assert [clip.id for clip in clips(root, "train", limit=2)] == ["vier", "zwei"]
    assert list(clips(root, "test")) == []


def test_the_check_names_empty_splits_spare_videos_and_shared_sentences(root: Path) -> None:
    rows = [("eins", "train", "es taut"), ("zwei", "test", "es taut"), ("drei", "test", "es friert")]
    lines = [json.dumps({"id": clip_id, "split": split, "text": text}) for clip_id, split, text in rows]
    write(root, "\n".join(lines), "sentences.jsonl")
    assert check(root) == [
        "no clip in split dev",
        "videos or image folders without a sentence: 3: b/c/fünf.mov, b/sechs, vier.avi",
        "1 sentence occurs in more than one split (2 clips): scores on them show memory",
    ]


def test_the_check_is_silent_where_nothing_is_odd(root: Path) -> None:
    names = {"eins": "train", "zwei": "dev", "drei": "test", "vier": "train", "fünf": "train", "sechs": "train"}
    rows = [f"{name},{split},satz {name}" for name, split in names.items()]
    write(root, "\n".join(["id,split,text", *rows]) + "\n")
    assert check(root) == []


def test_a_name_is_found_in_the_other_unicode_form(root: Path) -> None:
    touch(root / "z/gru\u0308n.mp4")
    for table in (
        "path,text,split\nz/grün.mp4,es wird ku\u0308hl,train\n",
        "id,text,split\ngru\u0308n,es wird kühl,train\n",
    ):
        write(root, table)
        [clip] = read_clips(root)
        assert clip.source == VideoFile(root / "z/gru\u0308n.mp4")
        assert clip.text == "es wird kühl"
        assert clip.id in ("z__grün", "grün")
        assert any("1 of 1" in note for note in check(root))


def test_one_id_in_two_unicode_forms_is_a_duplicate(root: Path) -> None:
    write(root, "id,path,text,split\nü,a/eins.mp4,x,train\nu\u0308,a/zwei.MKV,y,train\n")
    assert "line 3: duplicate id 'ü' (first in line 2)" in problem(root)


def test_the_sentence_file_is_found_in_any_case_and_a_workbook_is_named(root: Path) -> None:
    (root / "sentences.xlsx").write_bytes(b"PK\x03\x04")
    (root / "._sentences.csv").write_bytes(b"\0")
    with pytest.raises(CorpusError, match="CSV") as caught:
        sentence_file(root)
    assert caught.value.where == str(root / "sentences.xlsx")
    write(root, "id,text,split\n", "Sentences.CSV")
    assert sentence_file(root).name == "Sentences.CSV"


def test_headers_and_splits_under_other_names_are_read_and_said(root: Path) -> None:
    write(root, "Video;SENTENCE;Split\na/eins.mp4;es taut;Validation\nvier.avi;es friert;val\n")
    assert [(clip.id, clip.split, clip.text) for clip in read_clips(root)] == [
        ("a__eins", "dev", "es taut"),
        ("vier", "dev", "es friert"),
    ]
    notes = check(root)
    assert "path from video" in notes[0] and "text from sentence" in notes[0]
    assert "Validation as dev" in notes[1]


def test_how2signs_own_columns_with_the_ending_left_away(root: Path) -> None:
    rows = ['eins\teins_0\t0.25\t1.5\tIt "thaws"\ttrain', "eins\teins_1\t1.5\t2.125\tIt freezes\ttrain"]
    touch(root / "eins.mp4")
    header = "VIDEO_NAME\tSENTENCE_NAME\tSTART_REALIGNED\tEND_REALIGNED\tSENTENCE\tsplit"
    write(root, "\n".join([header, *rows]), "sentences.csv")
    assert read_clips(root) == [
        Clip("eins_0", "train", 'It "thaws"', VideoFile(root / "eins.mp4", Segment(0.25, 1.5))),
        Clip("eins_1", "train", "It freezes", VideoFile(root / "eins.mp4", Segment(1.5, 2.125))),
    ]


@pytest.mark.parametrize(
    ("header", "rows", "expected"),
    [
        ("path,start,end", ["vier.avi,,0.8", 'vier.avi,"0,8",'], ["vier__0-800", "vier__800-end"]),
        ("id,start_ms,end_ms", ["vier,0,800", "vier,800,1200"], ["vier__0-800", "vier__800-1200"]),
        ("id,start_frame,end_frame", ["vier,0,8", "vier,8,"], ["vier__f0-8", "vier__f8-end"]),
        ("path,start,end", ["vier.avi,,", "vier.avi,0.5,1"], ["vier__whole", "vier__500-1000"]),
        ("id,path,start,end", ["k,vier.avi,0,1", "k,vier.avi,1,2"], ["k__0-1000", "k__1000-2000"]),
        ("id,path,start,end", ["k1,vier.avi,0,1", "k2,vier.avi,1,2"], ["k1", "k2"]),
        ("path,start,end", ["vier.avi,0,1", "a/eins.mp4,1,2"], ["vier", "a__eins"]),
    ],
)
def test_rows_of_one_video_are_clips_with_ids_of_their_own(
    root: Path, header: str, rows: list[str], expected: list[str]
) -> None:
    write(root, "\n".join([f"{header},text,split", *(f"{row},satz {n},train" for n, row in enumerate(rows))]))
    assert [clip.id for clip in read_clips(root)] == expected
    named = any(expected[0] in note for note in check(root))
    assert named is ("__" in expected[0] and expected[0] != "a__eins")


def test_a_folder_of_images_has_segments_and_a_rate_of_its_own(root: Path) -> None:
    write(root, "id,start_frame,end_frame,fps,text,split\nsechs,1,2,12.5,es taut,train\neins,,,30,es friert,dev\n")
    assert read_clips(root) == [
        Clip("sechs", "train", "es taut", FrameFolder(root / "b/sechs", Segment(1, 2, "frames")), fps=12.5),
        Clip("eins", "dev", "es friert", VideoFile(root / "a/eins.mp4")),
    ]
    assert "fps" in check(root)[0]


@pytest.mark.parametrize(
    ("header", "row", "words"),
    [
        ("start,end", "2,1", "line 2: end 1 is not after start 2"),
        ("start,end", "-1,1", "line 2: start '-1' is negative"),
        ("start,end", "nan,1", "line 2: start 'nan'"),
        ("start,end_ms", "1,2000", "line 2: two units"),
        ("fps,signer", "0,x", "line 2: fps '0'"),
        ("fps,signer", "x,x", "line 2: fps 'x'"),
    ],
)
def test_bad_times_and_rates_are_named_with_their_line(root: Path, header: str, row: str, words: str) -> None:
    write(root, f"id,{header},text,split\neins,{row},es taut,train\n")
    assert words in problem(root)


def test_the_same_part_of_a_video_twice_is_a_duplicate(root: Path) -> None:
    rows = ["vier,1,2,a,train", "vier,2,3,b,train", "vier,1,2.0,c,train"]
    write(root, "\n".join(["id,start,end,text,split", *rows]))
    assert "line 4: duplicate id 'vier__1000-2000' (first in line 2)" in problem(root)


def test_a_missing_file_is_a_clip_and_all_missing_are_an_error_with_the_root(root: Path) -> None:
    write(root, "path,text,split\na/eins.mp4,es taut,train\na/neun.mp4,es friert,dev\n")
    assert read_clips(root)[1] == Clip("a__neun", "dev", "es friert", VideoFile(root / "a/neun.mp4"))
    write(root, "path,text,split\nx/eins.mp4,es taut,train\nx/neun.mp4,es friert,dev\n")
    with pytest.raises(CorpusError, match=r"x/eins\.mp4, x/neun\.mp4") as caught:
        read_clips(root)
    assert caught.value.where == str(root)


def test_linked_folders_are_found_by_id_and_are_not_spare(root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    touch(elsewhere / "neun.mp4")
    (root / "link").symlink_to(elsewhere, target_is_directory=True)
    (root / "a" / "circle").symlink_to(root, target_is_directory=True)
    write(root, "id,path,text,split\nneun,,es taut,train\nx,a/circle/a/eins.mp4,es friert,dev\n")
    assert read_clips(root)[0].source == VideoFile(root / "link/neun.mp4")
    [spare] = [note for note in check(root) if "without a sentence" in note]
    assert "neun" not in spare and "eins" not in spare


def test_a_folder_of_companions_alone_is_no_image_folder(root: Path) -> None:
    for name in ("._0001.png", ".DS_Store", "Thumbs.db", "desktop.ini"):
        touch(root / "sieben" / name)
        touch(root / "b/sechs" / name)
    write(root, "id,text,split\nsieben,es taut,train\nsechs,es friert,dev\n")
    assert "listed files missing: 1: sieben" in check(root)[0]
    assert read_clips(root)[1].source == FrameFolder(root / "b/sechs")


def test_messages_are_short_whatever_the_rows_hold(root: Path) -> None:
    long = "x" * 20_000
    write(root, "\n".join(["path,start,fps,text,split", *[f"../{long},{long},{long},,{long}"] * 3]))
    assert len(problem(root)) < 3_000
