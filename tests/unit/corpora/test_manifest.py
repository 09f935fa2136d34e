"""The manifest: saving and loading are inverse, and saving is atomic."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from glossfree.corpora.manifest import (
    CORPUS,
    MANIFEST,
    Clip,
    Manifest,
    PackedClip,
    SignSpan,
    VideoFile,
    is_same_corpus,
    overlap_warning,
    unique_texts,
)
from glossfree.errors import CorpusError

SPANS = (SignSpan("MORGEN", 3, 11), SignSpan("FÖHN", 17, 24))
CLIPS = (
    PackedClip("a-1", "train", 'es ist "schön"', "clips/train/a-1.mp4", 29, 12.5, "signer3", SPANS),
    PackedClip("a-2", "train", "es taut", "clips/train/a-2.mp4", 7, 25.0),
    PackedClip("ü-3", "test", "es friert", "clips/test/ü-3.mp4", 13, 25.0, glosses=("FÖHN", "FRIEREN")),
)


def test_a_saved_manifest_is_loaded_as_it_was(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "corpus"
    manifest = Manifest(folder, CLIPS, {"name": "mine", "language": "en", "problems": []})
    manifest.save()
    assert Manifest.load(folder) == manifest
    assert Manifest.load(str(folder)) == manifest
    assert sorted(path.name for path in folder.iterdir()) == [CORPUS, MANIFEST]


def test_the_files_are_plain_json_with_umlauts_as_they_are(tmp_path: Path) -> None:
    Manifest(tmp_path, CLIPS).save()
    lines = (tmp_path / MANIFEST).read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["id"] for line in lines] == ["a-1", "a-2", "ü-3"]
    assert "FÖHN" in lines[0]
    assert json.loads(lines[0])["spans"][1] == {"gloss": "FÖHN", "start": 17, "end": 24}
    assert json.loads(lines[2])["glosses"] == ["FÖHN", "FRIEREN"]
    assert "glosses" not in json.loads(lines[0]), "no annotation: as lines were before there were glosses"


@pytest.mark.parametrize("clip", CLIPS, ids=lambda clip: clip.id)
def test_a_line_is_a_clip_again(clip: PackedClip) -> None:
    assert PackedClip.from_json(clip.to_json()) == clip
    assert "\n" not in clip.to_json()


def test_splits_keep_the_order_and_an_empty_one_names_the_others(tmp_path: Path) -> None:
    manifest = Manifest(tmp_path, CLIPS)
    assert manifest.split("train") == CLIPS[:2]
    assert tuple(manifest) == CLIPS
    with pytest.raises(CorpusError, match=r"no clip in split 'dev' -> splits here: test, train") as caught:
        manifest.split("dev")
    assert caught.value.where == str(tmp_path)


@pytest.mark.parametrize("changes", [{"num_frames": 0}, {"fps": 0.0}, {"fps": -25.0}, {"fps": 1e-9}])
def test_clips_without_frames_or_a_rate_are_listed_and_not_used(tmp_path: Path, changes: dict[str, Any]) -> None:
    Manifest(tmp_path, (replace(CLIPS[0], **changes),)).save()
    loaded = Manifest.load(tmp_path)
    with pytest.raises(CorpusError, match=f"without frames or a possible rate: {CLIPS[0].id}"):
        loaded.split(CLIPS[0].split)


def test_the_language_is_the_one_that_the_corpus_names(tmp_path: Path) -> None:
    assert Manifest(tmp_path, CLIPS, {"language": "fr"}).language == "fr"


@pytest.mark.parametrize(("corpus", "words"), [({}, "names no language"), ({"language": "xx"}, "no such language")])
def test_a_corpus_without_a_known_language_loads_and_says_so_where_one_is_needed(
    tmp_path: Path, corpus: dict[str, str], words: str
) -> None:
    Manifest(tmp_path, CLIPS, corpus).save()
    manifest = Manifest.load(tmp_path)
    with pytest.raises(CorpusError, match=words):
        _ = manifest.language


def test_a_folder_without_a_manifest_is_answered_with_the_command(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=rf"no {MANIFEST} -> .*glossfree prepare CORPUS --out") as caught:
        Manifest.load(tmp_path)
    assert caught.value.where == str(tmp_path)


@pytest.mark.parametrize(
    "line",
    [
        "",
        "{",
        '{"id": "x"}',
        CLIPS[1].to_json()[:-1] + ', "colour": 3}',
        '{"spans": [{"gloss": "A"}]}',
        CLIPS[1].to_json()[:-1] + ', "glosses": "FÖHN"}',
        CLIPS[1].to_json()[:-1] + ', "glosses": [7]}',
    ],
    ids=["empty", "torn", "fields-missing", "field-unknown", "span-torn", "glosses-text", "gloss-number"],
)
def test_a_bad_line_is_named_by_its_number(tmp_path: Path, line: str) -> None:
    (tmp_path / MANIFEST).write_text(f"{CLIPS[0].to_json()}\n{line}\n{CLIPS[2].to_json()}\n", encoding="utf-8")
    with pytest.raises(CorpusError, match="line 2 is not a clip") as caught:
        Manifest.load(tmp_path)
    assert caught.value.where == str(tmp_path / MANIFEST)
    assert caught.value.remedy


@pytest.mark.parametrize("line", ["[1]", "7", "null"])
def test_a_line_that_is_no_object_is_named_by_its_number(tmp_path: Path, line: str) -> None:
    (tmp_path / MANIFEST).write_text(f"{CLIPS[0].to_json()}\n{line}\n", encoding="utf-8")
    with pytest.raises(CorpusError, match="line 2 is not a clip"):
        Manifest.load(tmp_path)


@pytest.mark.parametrize("sign", ["\u2028", "\x85"])
def test_a_sentence_may_hold_any_sign(tmp_path: Path, sign: str) -> None:
    manifest = Manifest(tmp_path, (PackedClip("a", "train", f"es{sign}taut", "f", 7, 25.0),), {"name": "mine"})
    manifest.save()
    assert Manifest.load(tmp_path) == manifest


@pytest.mark.parametrize(("name", "data"), [(CORPUS, b'{"name": '), (CORPUS, b"\xff"), (MANIFEST, b"\xff\n")])
def test_a_damaged_file_is_named(tmp_path: Path, name: str, data: bytes) -> None:
    Manifest(tmp_path, CLIPS, {"name": "mine"}).save()
    (tmp_path / name).write_bytes(data)
    with pytest.raises(CorpusError) as caught:
        Manifest.load(tmp_path)
    assert str(tmp_path / name) in str(caught.value)


def test_an_id_twice_is_named_with_its_line(tmp_path: Path) -> None:
    lines = [clip.to_json() for clip in (*CLIPS, CLIPS[0])]
    (tmp_path / MANIFEST).write_text("\n".join(lines) + "\n", encoding="utf-8")
    with pytest.raises(CorpusError, match=r"clip id 'a-1' twice \(line 4\)"):
        Manifest.load(tmp_path)


def test_a_manifest_without_corpus_file_still_loads(tmp_path: Path) -> None:
    (tmp_path / MANIFEST).write_text("", encoding="utf-8")
    assert Manifest.load(tmp_path) == Manifest(tmp_path, (), {})


def test_texts_are_unique_in_order_of_first_appearance() -> None:
    texts = ["b", "a", "b", "c", "a"]
    clips = [PackedClip(str(number), "train", text, "f", 1, 25.0) for number, text in enumerate(texts)]
    assert unique_texts(clips) == ["b", "a", "c"]


def test_ids_and_sentences_are_loaded_in_nfc_and_files_keep_their_names(tmp_path: Path) -> None:
    clip = PackedClip("gru\u0308n", "train", "es wird ku\u0308hl", "clips/train/gru\u0308n.mp4", 7, 25.0)
    Manifest(tmp_path, (clip,)).save()
    [loaded] = Manifest.load(tmp_path)
    assert (loaded.id, loaded.text, loaded.file) == ("grün", "es wird kühl", clip.file)
    lines = [clip.to_json(), PackedClip("grün", "dev", "es taut", "f", 7, 25.0).to_json()]
    (tmp_path / MANIFEST).write_text("\n".join(lines) + "\n", encoding="utf-8")
    with pytest.raises(CorpusError, match="twice"):
        Manifest.load(tmp_path)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("file", ["a"]),
        ("file", "clips/\0.mp4"),
        ("file", "clips/../../other/a.mp4"),
        ("file", "/clips/a.mp4"),
        ("file", "C:\\clips\\a.mp4"),
        ("fps", 10**400),
        ("text", "kalt \ud800"),
        ("signer", None),
        ("num_frames", -1),
        ("num_frames", 3.5),
        ("num_frames", 10**9),
        ("fps", float("nan")),
        ("fps", "25"),
        ("aspect", float("inf")),
        ("times", [0.0, float("nan")]),
        ("spans", [{"gloss": 7, "start": 0, "end": 1}]),
        ("spans", [{"gloss": "A", "start": 0, "end": "1"}]),
    ],
)
def test_a_value_that_no_clip_can_have_is_named_by_its_line(tmp_path: Path, key: str, value: object) -> None:
    line = json.dumps({**json.loads(CLIPS[1].to_json()), key: value})
    (tmp_path / MANIFEST).write_text(f"{CLIPS[0].to_json()}\n{line}\n", encoding="utf-8")
    with pytest.raises(CorpusError, match="line 2 is not a clip"):
        Manifest.load(tmp_path)


@pytest.mark.parametrize(
    "content", ["7", "[]", '"x"', '{"language": 5}', '{"frame_size": "28"}', '{"problems": 0.5}', "[" * 99_999]
)
def test_a_corpus_json_of_another_kind_is_named(tmp_path: Path, content: str) -> None:
    Manifest(tmp_path, CLIPS, {"language": "fr"}).save()
    (tmp_path / "corpus.json").write_text(content)
    with pytest.raises(CorpusError) as caught:
        Manifest.load(tmp_path)
    assert caught.value.where == str(tmp_path / "corpus.json") and caught.value.remedy


@pytest.mark.parametrize(
    ("change", "is_same"),
    [
        ({}, True),
        ({"corpus": "/here", "profile": {"clips": 8}}, True),  # prepared again
        *(({"profile": {"clips": 8, "fps": [25.0]}}, False), ({"data": {"name": "folder", "title": "b"}}, False)),
        ({"profile": {"clips": 7, "joints": ["wrist"]}}, True),  # a run that reads keypoints
        ({"data": {"name": "folder"}, "profile": None}, True),  # of an earlier version
        ({"profile": [7]}, True),  # of nobody's
    ],
)
def test_a_copy_of_a_corpus_is_no_other_one(change: dict[str, Any], is_same: bool) -> None:
    run = {"corpus": "/here", "data": {"name": "folder", "title": "a"}, "profile": {"clips": 7}}
    other = {**run, "corpus": "/there", **change}
    assert is_same_corpus(run, other) == is_same_corpus(other, run) == is_same


def clip(number: int, split: str, text: str) -> Clip:
    return Clip(f"clip{number}", split, text, VideoFile(Path("x.mp4")))


def test_sentences_in_two_splits_are_found_with_their_splits() -> None:
    clips = [
        clip(1, "train", "es regnet"),
        clip(2, "train", "es regnet"),
        clip(3, "test", "es schneit"),
        clip(4, "test", "es regnet"),
        clip(5, "dev", "es regnet"),
    ]
    assert overlap_warning(clips) == "1 sentence occurs in more than one split (4 clips): scores on them show memory"


def test_a_sentence_that_occurs_twice_in_one_split_is_no_problem() -> None:
    assert overlap_warning([clip(1, "train", "es regnet"), clip(2, "train", "es regnet")]) is None


def test_one_sentence_in_two_unicode_forms_is_one_sentence() -> None:
    clips = [clip(1, "train", "es wird ku\u0308hl"), clip(2, "dev", "es wird kühl"), clip(3, "test", "es taut")]
    assert overlap_warning(clips) == "1 sentence occurs in more than one split (2 clips): scores on them show memory"
