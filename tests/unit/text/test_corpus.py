"""Pseudo-glosses and prototypes of a corpus or a file, and their report."""

from __future__ import annotations

import json
import os
import sys
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from glossfree.console import Silent
from glossfree.corpora.manifest import Manifest, PackedClip
from glossfree.errors import CorpusError
from glossfree.text.corpus import GlossReport, write_pseudo_glosses
from glossfree.text.pseudo_glosses import PSEUDO_GLOSSES, PseudoGlosses
from glossfree.text.vectors import PROTOTYPES, load_vectors

SENTENCES = {
    "train": [
        "im norden weht ein frischer wind",
        "morgen fallen im süden zwölf liter regen",
        "der nebel löst sich auf",
    ],
    "dev": ["gestern wehte der wind"],
    "test": ["hagel in bremen"],
}
INVENTORY = ("fallen", "frisch", "liter", "lösen", "morgen", "nebel", "norden", "regen", "sich", "süden", "wehen",
             "wind", "zwölf")  # fmt: skip


def glosses(corpus: Path | None = None, lines: list[str] | None = None, **options: Any) -> GlossReport:
    """Write pseudo-glosses; `lines` gets the console's lines."""
    console = Silent()
    console.lines = [] if lines is None else lines
    options = options if corpus else {"language": "de", **options}
    return write_pseudo_glosses(corpus, console=console, **options)


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    clips = [
        PackedClip(f"{split}-{number}", split, text, f"{split}-{number}.mp4", 11, 25.0)
        for split, texts in SENTENCES.items()
        for number, text in enumerate(texts)
    ]
    Manifest(tmp_path / "corpus", tuple(clips), {"language": "de"}).save()
    return tmp_path / "corpus"


@pytest.fixture
def vec(tmp_path: Path) -> Path:
    path = tmp_path / "de.vec"
    path.write_text("".join(f"{word} {number} 1\n" for number, word in enumerate(INVENTORY[:-2])), encoding="utf-8")
    return path


def test_a_corpus(corpus: Path, vec: Path) -> None:
    lines: list[str] = []
    report = glosses(corpus, vectors=vec, lines=lines)
    pseudo_glosses = PseudoGlosses.load(corpus / PSEUDO_GLOSSES)
    assert pseudo_glosses.inventory == INVENTORY
    assert load_vectors(corpus / PROTOTYPES, pseudo_glosses.inventory).shape == (13, 2)
    assert (len(report.glosses), report.num_sentences, report.vector_size) == (13, 3, 2)
    assert report.unknown == ("wind", "zwölf")
    assert sum(report.glosses.kept.values()) == 13
    assert sum(report.glosses.dropped.values()) == len(" ".join(SENTENCES["train"]).split()) - 13
    assert (report.glosses.backend, report.glosses.language, report.glosses.splits) == (
        "hanta (morphmodel_ger)",
        "de",
        ("train",),
    )
    assert report.glosses.sha256 == pseudo_glosses.sha256
    assert lines == ["tagging with hanta (morphmodel_ger)", f"reading vectors from {vec}"]


def test_the_test_split_stays_out_unless_it_is_named(corpus: Path, vec: Path) -> None:
    glosses(corpus, vectors=vec)
    content = (corpus / PSEUDO_GLOSSES).read_text(encoding="utf-8")
    assert "hagel" not in content
    assert "gestern" in content  # dev: its sentences have targets ...
    assert "gestern" not in PseudoGlosses.load(corpus / PSEUDO_GLOSSES).inventory  # ... over training's inventory
    report = glosses(corpus, vectors=vec, splits=("train", "dev", "test"))
    assert set(PseudoGlosses.load(corpus / PSEUDO_GLOSSES).inventory) == {*INVENTORY, "bremen", "gestern", "hagel"}
    assert report.num_sentences == 5


def test_targets_of_every_training_and_dev_clip(corpus: Path, vec: Path) -> None:
    glosses(corpus, vectors=vec)
    pseudo_glosses = PseudoGlosses.load(corpus / PSEUDO_GLOSSES)
    sums = [int(pseudo_glosses.targets(text).sum()) for text in (*SENTENCES["train"], *SENTENCES["dev"])]
    assert sums == [4, 6, 3, 2]


def test_a_file_of_sentences_with_trained_vectors(tmp_path: Path) -> None:
    file = tmp_path / "sentences.txt"
    file.write_text("\n".join(SENTENCES["train"]) + "\n \n", encoding="utf-8")
    report = glosses(sentences=file, out=tmp_path / "new" / "out")
    pseudo_glosses = PseudoGlosses.load(tmp_path / "new" / "out" / PSEUDO_GLOSSES)
    assert pseudo_glosses.inventory == INVENTORY
    vectors = load_vectors(tmp_path / "new" / "out" / PROTOTYPES, pseudo_glosses.inventory)
    assert vectors.shape == (13, 300)
    assert np.isfinite(vectors).all()
    assert set(report.unknown) == {"frisch", "lösen", "wehen"}
    text = report.to_text()
    for part in ("13 from 3 sentences", "hanta", "300 numbers each, trained", "NOUN", "ADP", "3: frisch, lösen, wehen"):
        assert part in text
    assert json.loads(json.dumps(report.to_dict()))["num_pseudo_glosses"] == 13


def test_another_language_and_where_it_comes_from(corpus: Path, tmp_path: Path) -> None:
    file = tmp_path / "en.txt"
    file.write_text("the wind is strong\nrain falls in the north\n", encoding="utf-8")
    vec = tmp_path / "en.vec"
    vec.write_text("wind 1 2\n")
    report = glosses(sentences=file, out=tmp_path / "en", vectors=vec, language="en_XX")
    assert (report.glosses.language, report.glosses.backend) == ("en", "hanta (morphmodel_en)")
    manifest = Manifest.load(corpus)
    Manifest(corpus, manifest.clips, {"language": "fr"}).save()
    report = glosses(corpus)
    assert report.glosses.language == "fr"
    assert "no tagger" in report.glosses.backend


def test_words_that_a_package_finds_have_vectors_of_their_own(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("rjieba")
    monkeypatch.setitem(sys.modules, "spacy", None)
    clips = [PackedClip(text, "train", text, "x.mp4", 11, 25.0) for text in ("明天去火车站", "朋友在医院工作")]
    Manifest(corpus, tuple(clips), {"language": "zh"}).save()
    report = glosses(corpus)
    assert {"火车站", "医院", "朋友"} <= set(report.glosses.inventory) and report.unknown == ()


def test_the_same_input_gives_the_same_files(corpus: Path, vec: Path) -> None:
    glosses(corpus, vectors=vec)
    first = [(corpus / name).read_bytes() for name in (PSEUDO_GLOSSES, PROTOTYPES)]
    glosses(corpus, vectors=vec)
    assert [(corpus / name).read_bytes() for name in (PSEUDO_GLOSSES, PROTOTYPES)] == first


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "no sentences named"),
        ({"corpus": "corpus", "sentences": "empty.txt"}, "named twice"),
        ({"sentences": "gone.txt", "out": "out"}, r"gone\.txt: cannot be read \(No such file"),
        ({"sentences": "empty.txt", "out": "out"}, r"empty\.txt: no sentence in it"),
        ({"sentences": "latin.txt", "out": "out"}, r"latin\.txt: not UTF-8.*Windows-1252"),
        ({"sentences": "good.txt"}, "no folder to write to"),
        ({"sentences": "good.txt", "out": "out", "language": None}, r"good\.txt: the language .* --language"),
        ({"sentences": "good.txt", "out": "empty.txt"}, "cannot be made"),
        ({"corpus": "nowhere"}, r"no manifest\.jsonl"),
        ({"corpus": "corpus", "vectors": "gone.bin"}, r"gone\.bin: no such file of vectors"),
        ({"corpus": "corpus", "vectors": "empty.txt"}, "none of 13 words is in it"),
    ],
)
def test_bad_input_is_named_and_leaves_earlier_output(
    corpus: Path, vec: Path, tmp_path: Path, arguments: dict[str, str | None], message: str
) -> None:
    glosses(corpus, vectors=vec)
    before = {path.name: path.read_bytes() for path in corpus.iterdir()}
    (tmp_path / "empty.txt").write_text(" \n\n")
    (tmp_path / "good.txt").write_text("der wind weht\n")
    (tmp_path / "latin.txt").write_bytes("für\n".encode("latin-1"))
    paths: dict[str, Any] = {key: value and tmp_path / value for key, value in arguments.items()}
    with pytest.raises(CorpusError, match=message):
        glosses(paths.pop("corpus", None), **paths)
    assert {path.name: path.read_bytes() for path in corpus.iterdir()} == before


def test_a_split_that_is_not_there_is_named(corpus: Path) -> None:
    with pytest.raises(CorpusError, match="no clip in split 'validation'"):
        glosses(corpus, splits=("train", "validation"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_rights(corpus: Path, vec: Path) -> None:
    corpus.chmod(0o500)
    try:
        with pytest.raises(CorpusError, match="cannot be written"):
            glosses(corpus, vectors=vec)
    finally:
        corpus.chmod(0o700)


@pytest.mark.parametrize(
    ("name", "header"), [("a.csv", "path,text,split"), ("a.txt", "path,text,split"), ("a.tsv", "file,Sentence,Subset")]
)
def test_a_table_gives_the_sentences_of_its_training_rows(tmp_path: Path, vec: Path, name: str, header: str) -> None:
    rows = [f"{n}.mp4,{text},training" for n, text in enumerate(SENTENCES["train"])]
    (tmp_path / name).write_text("\n".join([header, *rows, "x.mp4,hagel in bremen,test"]), encoding="utf-8")
    lines: list[str] = []
    report = glosses(sentences=tmp_path / name, out=tmp_path / "out", vectors=vec, lines=lines)
    assert PseudoGlosses.load(tmp_path / "out" / PSEUDO_GLOSSES).inventory == INVENTORY
    assert report.num_sentences == 3
    assert any("1 rows" in line and name in line for line in lines)
    assert any("text from sentence" in line for line in lines) is ("Sentence" in header)


def test_a_table_without_sentences_is_named_with_its_columns(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("path,satz\na,es taut\n")
    with pytest.raises(CorpusError, match="no column text; columns here: path, satz"):
        glosses(sentences=tmp_path / "a.csv", out=tmp_path / "out")


def test_decomposed_sentences_give_the_same_glosses_and_are_said(tmp_path: Path, vec: Path) -> None:
    lines: list[str] = []
    for form in ("NFC", "NFD"):
        text = unicodedata.normalize(form, "\n".join(SENTENCES["train"]))
        (tmp_path / f"{form}.txt").write_text(text, encoding="utf-8")
        glosses(sentences=tmp_path / f"{form}.txt", out=tmp_path / form, vectors=vec, lines=lines)
    assert PseudoGlosses.load(tmp_path / "NFD" / PSEUDO_GLOSSES) == PseudoGlosses.load(
        tmp_path / "NFC" / PSEUDO_GLOSSES
    )
    assert [line for line in lines if "2 of 3" in line and "NFD.txt" in line] != []


def test_sentences_without_a_content_word_name_their_file(tmp_path: Path) -> None:
    file = tmp_path / "words.txt"
    file.write_text("und\nder die das\n", encoding="utf-8")
    with pytest.raises(CorpusError, match="no content word") as caught:
        glosses(sentences=file, out=tmp_path / "out")
    assert caught.value.where == str(file)
