"""The size of a trimmed vocabulary, from a corpus or a file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from glossfree.cli.vocabulary import vocabulary
from glossfree.console import Silent
from glossfree.corpora.manifest import Manifest, PackedClip
from glossfree.errors import CorpusError, ModelError
from glossfree.text.tokenizer import SentenceTokenizer

TRAIN = ["im norden weht ein frischer wind", "der nebel löst sich auf", "im norden löst sich der wind auf"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    more = [*TRAIN, "zwischen hamburg und köln bleibt es trüb und nass"]
    SentenceTokenizer.train(more, 60, "de_DE").save(tmp_path / "tokenizer")
    (tmp_path / "train.txt").write_text("\ufeff" + "\n\n".join(TRAIN), encoding="utf-8")
    return tmp_path


def test_a_file_and_a_corpus_give_the_same(folder: Path) -> None:
    splits = [*(("train", text) for text in TRAIN), ("test", "zwischen hamburg und köln")]
    clips = tuple(PackedClip(str(n), split, text, f"{n}.mp4", 9, 25.0) for n, (split, text) in enumerate(splits))
    Manifest(folder / "corpus", clips, {"language": "de"}).save()
    by_file = vocabulary(folder / "tokenizer", Silent(), sentences=folder / "train.txt", language="de")
    by_corpus = vocabulary(folder / "tokenizer", Silent(), corpus=folder / "corpus")
    assert by_file == by_corpus
    original = SentenceTokenizer.load(folder / "tokenizer")
    used = {token for text in TRAIN for token in original.piece_ids(text)}
    assert by_file.size == len(used) + 4 + 25 + 1
    assert by_file.original_size == len(original) > by_file.size
    assert by_file.num_sentences == 3


def test_the_report_as_text_and_as_json(folder: Path) -> None:
    report = vocabulary(folder / "tokenizer", Silent(), sentences=folder / "train.txt", language="de")
    assert f"{report.size} tokens = 4 special + {report.pieces} pieces that 3 sentences use" in report.to_text()
    assert json.loads(json.dumps(report.to_dict()))["size"] == report.size


def test_what_cannot_be_read_is_named(folder: Path) -> None:
    with pytest.raises(ModelError, match=r"no sentencepiece\.bpe\.model"):
        vocabulary(folder, Silent(), sentences=folder / "train.txt", language="de")
    with pytest.raises(CorpusError, match="no sentences named"):
        vocabulary(folder / "tokenizer", Silent())
    with pytest.raises(CorpusError, match=r"train\.txt: the language of its sentences is not named"):
        vocabulary(folder / "tokenizer", Silent(), sentences=folder / "train.txt")
    with pytest.raises(CorpusError, match="named twice"):
        vocabulary(folder / "tokenizer", Silent(), corpus=folder, sentences=folder / "train.txt")
