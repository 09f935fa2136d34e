"""A language model's tokenizer: the ids of transformers, where a sentence starts and ends, saved and refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.unit.language_models import SIZES, save_language_model
from transformers import AutoTokenizer

from glossfree.errors import ModelError
from glossfree.text.language_model import IDS_FILE, LanguageModelTokenizer, load_tokenizer
from glossfree.text.tokenizer import SETTINGS_FILE, SentenceTokenizer

SENTENCES = ["am tag regnet es in köln", "morgen schneit es im norden", "und nun die wettervorhersage für morgen"]
START_AND_END = {"gpt2": (0, 0), "xglm": (2, 2), "llama": (1, 2)}
KINDS = pytest.mark.parametrize("kind", SIZES)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("models")
    return {kind: save_language_model(root / kind, kind, SENTENCES) for kind in SIZES}


@KINDS
def test_ids_are_those_of_transformers_with_the_end_behind(folders: dict[str, Path], kind: str) -> None:
    ours, theirs = LanguageModelTokenizer.load(folders[kind]), AutoTokenizer.from_pretrained(folders[kind])
    assert (ours.start_id, ours.end_id) == START_AND_END[kind]
    assert len(ours) == len(theirs) and ours.special_tokens == 1
    for text in SENTENCES:
        *pieces, end = ours.encode(text)
        assert end == theirs.eos_token_id
        assert theirs(text).input_ids == ([] if kind == "gpt2" else [ours.start_id]) + pieces
        assert ours.decode([*pieces, end, 1, 1]) == theirs.decode(pieces).strip() == text
        assert ours.decode([ours.start_id, *pieces, -100, end, *pieces]) == text, "nothing behind the end is read"
    assert ours.encode("  am  tag regnet es\nin ko\u0308ln ") == ours.encode(SENTENCES[0])
    assert ours.encode("") == [ours.end_id] and ours.decode([]) == ""


@KINDS
def test_a_sentence_holds_no_special_token_but_its_end(folders: dict[str, Path], kind: str) -> None:
    tokenizer = LanguageModelTokenizer.load(folders[kind])
    name = "<|endoftext|>" if kind == "gpt2" else "</s>"
    *pieces, end = tokenizer.encode(f"es {name} regnet <s> 漢")
    assert end == tokenizer.end_id
    assert not {*pieces} & {*tokenizer.never_written, tokenizer.end_id, tokenizer.start_id}


@KINDS
def test_special_tokens_other_than_the_end_are_never_written(folders: dict[str, Path], kind: str) -> None:
    tokenizer = LanguageModelTokenizer.load(folders[kind])
    expected = {"gpt2": set(), "xglm": {0, 1, 3}, "llama": {0, 1}}[kind]
    assert expected <= set(tokenizer.never_written) and tokenizer.end_id not in tokenizer.never_written
    assert not set(tokenizer.never_written) & {number for text in SENTENCES for number in tokenizer.encode(text)}


@KINDS
def test_a_saved_one_is_the_same_and_an_altered_one_is_refused(
    folders: dict[str, Path], kind: str, tmp_path: Path
) -> None:
    tokenizer = LanguageModelTokenizer.load(folders[kind])
    tokenizer.save(tmp_path / "saved")
    saved = load_tokenizer(tmp_path / "saved")
    assert isinstance(saved, LanguageModelTokenizer)
    assert (saved.sha256, saved.start_id, saved.end_id) == (tokenizer.sha256, tokenizer.start_id, tokenizer.end_id)
    assert [saved.encode(text) for text in SENTENCES] == [tokenizer.encode(text) for text in SENTENCES]
    ids = tmp_path / "saved" / IDS_FILE
    ids.write_text(ids.read_text().replace(f'"end_id": {tokenizer.end_id}', '"end_id": 5'))
    with pytest.raises(ModelError, match="altered"):
        load_tokenizer(tmp_path / "saved")


def test_a_folder_without_those_ids_holds_mbart_s_kind(tmp_path: Path) -> None:
    SentenceTokenizer.train(SENTENCES, 60, "de_DE").save(tmp_path)
    assert isinstance(load_tokenizer(tmp_path), SentenceTokenizer)


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("tokenizer_config.json", {"eos_token": {"content": "</s>"}}, (1, 2)),
        ("special_tokens_map.json", {"eos_token": "</s>", "bos_token": "<s>"}, (1, 2)),
        ("config.json", {"eos_token_id": [4, 5]}, (1, 4)),
    ],
)
def test_the_end_is_named_in_any_of_these_files(
    folders: dict[str, Path], tmp_path: Path, name: str, content: Any, expected: tuple[int, int]
) -> None:
    (tmp_path / SETTINGS_FILE).write_bytes((folders["llama"] / SETTINGS_FILE).read_bytes())
    with pytest.raises(ModelError, match="no eos_token"):
        LanguageModelTokenizer.load(tmp_path)
    (tmp_path / name).write_text(json.dumps(content))
    tokenizer = LanguageModelTokenizer.load(tmp_path)
    assert (tokenizer.start_id, tokenizer.end_id) == expected


def test_without_anything_in_front_a_sentence_starts_from_bos_else_from_the_end(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    (tmp_path / SETTINGS_FILE).write_bytes((folders["gpt2"] / SETTINGS_FILE).read_bytes())
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"eos_token_id": 7, "bos_token_id": 6}))
    assert LanguageModelTokenizer.load(tmp_path).start_id == 6
    config.write_text(json.dumps({"eos_token_id": 7, "bos_token_id": None}))
    assert LanguageModelTokenizer.load(tmp_path).start_id == 7
    config.write_text(json.dumps({"eos_token_id": 7_000}))
    with pytest.raises(ModelError, match="7000"):
        LanguageModelTokenizer.load(tmp_path)


@pytest.mark.parametrize("content", [None, b"", b"{}", b"no json"])
def test_a_missing_or_damaged_file_is_refused(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / SETTINGS_FILE).write_bytes(content)
    with pytest.raises(ModelError, match=SETTINGS_FILE):
        LanguageModelTokenizer.load(tmp_path)
