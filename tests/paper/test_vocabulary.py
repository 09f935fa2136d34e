"""Golden facts of the text: 2,172 tokens from PHOENIX14T's training sentences, and what they can write."""

from __future__ import annotations

import csv
from functools import cache
from pathlib import Path

import pytest

from glossfree.cli.vocabulary import vocabulary
from glossfree.console import Silent
from glossfree.text.pseudo_glosses import extract
from glossfree.text.tagging import HantaTagger
from glossfree.text.tokenizer import SentenceTokenizer

COUNTS = {"train": 7096, "dev": 519, "test": 642}
ORIGINALS = {"mbart_cc25": 250_027, "mbart_trimmed": 2_454}


def sentences(shared: Path, split: str) -> list[str]:
    path = shared / "phoenix14t" / f"PHOENIX-2014-T.{split}.corpus.csv"
    with path.open(encoding="utf-8", newline="") as file:
        return [row["translation"] for row in csv.DictReader(file, delimiter="|", quoting=csv.QUOTE_NONE)]


@pytest.fixture(scope="module")
def texts(shared: Path) -> dict[str, list[str]]:
    return {split: sentences(shared, split) for split in COUNTS}


@pytest.fixture(scope="module")
def originals(shared: Path) -> dict[str, SentenceTokenizer]:
    return {name: SentenceTokenizer.load(shared / name, "de_DE") for name in ORIGINALS}


def test_sentences(texts: dict[str, list[str]]) -> None:
    assert {split: len(found) for split, found in texts.items()} == COUNTS


@pytest.mark.parametrize("name", ORIGINALS)
def test_2172_tokens(shared: Path, texts: dict[str, list[str]], tmp_path: Path, name: str) -> None:
    file = tmp_path / "train.txt"
    file.write_text("".join(f"{text}\n" for text in texts["train"]), encoding="utf-8")
    report = vocabulary(shared / name, Silent(), sentences=file, language="de")
    assert report.size == 2172 == report.specials + report.pieces + report.codes + report.mask
    assert (report.specials, report.pieces, report.codes, report.mask) == (4, 2142, 25, 1)
    assert (report.original_size, report.num_sentences, report.language) == (ORIGINALS[name], 7096, "de_DE")


def test_the_original_has_mbarts_ids(originals: dict[str, SentenceTokenizer]) -> None:
    original = originals["mbart_cc25"]
    assert (len(original), original.language_id, original.mask_id) == (250_027, 250_003, 250_026)
    assert original.pieces[original.language_id] == "de_DE"


@pytest.mark.parametrize("name", ORIGINALS)
def test_trimming_keeps_training_sentences_as_they_were(
    originals: dict[str, SentenceTokenizer], texts: dict[str, list[str]], name: str
) -> None:
    trimmed, kept_ids = originals[name].trimmed(texts["train"])
    for text in texts["train"]:
        ids = trimmed.encode(text)
        assert [kept_ids[token] for token in ids] == originals[name].encode(text)
        assert trimmed.decode(ids) == " ".join(text.split())


def test_unseen_sentences_need_no_unknown_token(
    originals: dict[str, SentenceTokenizer], texts: dict[str, list[str]], tmp_path: Path
) -> None:
    originals["mbart_cc25"].trimmed(texts["train"])[0].save(tmp_path)
    trimmed = SentenceTokenizer.load(tmp_path)  # needs no original
    spelled = 0
    for text in [*texts["dev"], *texts["test"]]:
        ids = trimmed.encode(text)
        assert trimmed.unk_id not in ids
        assert trimmed.decode(ids) == " ".join(text.split())
        spelled += trimmed.mask_id in ids
    assert spelled == 1  # one test sentence has a letter that no kept piece has alone


def test_both_files_segment_alike(originals: dict[str, SentenceTokenizer], texts: dict[str, list[str]]) -> None:
    both = [original.trimmed(texts["train"])[0] for original in originals.values()]
    assert both[0].pieces == both[1].pieces
    for text in texts["dev"]:
        assert both[0].encode(text) == both[1].encode(text)


@pytest.mark.slow
def test_pseudo_glosses_are_about_as_many_as_the_papers(texts: dict[str, list[str]]) -> None:
    """The paper's 2,322 are another tagger's, from all three splits; ours are close, and fewer from training alone."""
    tagger = HantaTagger("de")
    tagger.tag = cache(tagger.tag)  # type: ignore[method-assign]  # most sentences are read twice
    train = extract(texts, tagger, language="de")
    every = extract(texts, tagger, splits=("train", "dev", "test"), language="de")
    assert 2000 < len(train) < len(every) < 2322
    assert set(train.inventory) < set(every.inventory)
    assert {"regen", "norden", "morgen", "regnen", "zwölf"} <= set(train.inventory)
    assert "schau" not in train.inventory
