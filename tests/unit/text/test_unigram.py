"""Unigram models: those that SentencePiece would refuse, and those made of a `tokenizer.json`."""

from __future__ import annotations

import csv
import io
import json
import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sentencepiece
from sentencepiece import sentencepiece_model_pb2

from glossfree.errors import ModelError
from glossfree.text.tokenizer import FORMAT, MODEL_FILE, SETTINGS_FILE, SentenceTokenizer
from glossfree.text.unigram import CODES_25, CODES_50

WORDS = "am dienstag schneit es bergland täler küsten weht wind böig später stürmisch zwölf grad häufig zögernd".split()  # noqa: SIM905
Folder = Callable[[str], Path]


def sentences(count: int) -> list[str]:
    """Words, and compounds of their parts: more spellings than the model has pieces."""
    rng = random.Random(7)

    def word() -> str:
        first, second = rng.choices(WORDS, k=2)
        return first if rng.random() < 0.6 else first[: rng.randrange(1, 9)] + second[rng.randrange(3) :]

    return [" ".join(word() for _ in range(rng.randrange(3, 17))) for _ in range(count)]


@pytest.fixture(scope="module")
def model() -> bytes:
    """A SentencePiece file with mBART's own table of characters (compatibility forms are folded)."""
    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(sentences(200)),
        model_writer=written,
        vocab_size=150,
        character_coverage=1.0,
        normalization_rule_name="nmt_nfkc",
        num_threads=1,
        minloglevel=2,
    )
    return written.getvalue()


@pytest.fixture(scope="module")
def saved(model: bytes, tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """The model as a class of transformers saves it: without the SentencePiece file."""

    def save(name: str, source: Path | None = None) -> Path:
        import transformers

        folder = tmp_path_factory.mktemp(name)
        if source is None:
            source = folder / "original"
            source.mkdir()
            (source / MODEL_FILE).write_bytes(model)
        getattr(transformers, name).from_pretrained(source, src_lang="de_DE").save_pretrained(folder)
        (folder / MODEL_FILE).unlink(missing_ok=True)
        return folder

    return save


def rust(folder: Path) -> Any:
    """The tokenizer of the folder as the library that wrote it segments."""
    from tokenizers import Tokenizer

    return Tokenizer.from_file(str(folder / SETTINGS_FILE))


@pytest.mark.parametrize(("name", "codes"), [("MBartTokenizer", CODES_25), ("MBart50Tokenizer", CODES_50)])
def test_a_tokenizer_json_alone_gives_its_own_ids(
    model: bytes, saved: Folder, name: str, codes: tuple[str, ...]
) -> None:
    folder = saved(name)
    tokenizer, theirs = SentenceTokenizer.load(folder, "de_DE"), rust(folder)
    assert (tokenizer.codes, len(tokenizer)) == (codes, theirs.get_vocab_size())
    assert [theirs.token_to_id(piece) for piece in tokenizer.pieces] == list(range(len(tokenizer)))
    original = SentenceTokenizer(model, codes=codes, language="de_DE")
    for text in sentences(400):
        ids = tokenizer.piece_ids(text)
        assert ids == theirs.encode(text, add_special_tokens=False).ids == original.piece_ids(text)
        assert tokenizer.decode(ids) == text


def test_a_table_of_characters_comes_along(model: bytes, saved: Folder, tmp_path: Path) -> None:
    """transformers 4 wrote it into tokenizer.json; the MBartTokenizer of transformers 5 leaves it out."""
    proto = sentencepiece_model_pb2.ModelProto()
    proto.ParseFromString(model)
    from tokenizers import normalizers

    table = normalizers.Precompiled(proto.normalizer_spec.precompiled_charsmap).__getstate__()
    content = json.loads((saved("MBartTokenizer") / SETTINGS_FILE).read_text())
    text = "ｗｉｎｄ ﬁ und ½"
    with_table = load(tmp_path, {**content, "normalizer": json.loads(table)})
    assert with_table.encode(text) == SentenceTokenizer(model, language="de_DE").encode(text)
    assert with_table.encode(text) != load(tmp_path, content).encode(text)


def test_what_is_made_of_json_can_be_trimmed_and_saved(saved: Folder, tmp_path: Path) -> None:
    tokenizer = SentenceTokenizer.load(saved("MBartTokenizer"), "fr_XX")
    some = sentences(3)
    trimmed, kept_ids = tokenizer.trimmed(some)
    assert len(trimmed) < len(tokenizer) and trimmed.rows_in(tokenizer) == kept_ids
    trimmed.save(tmp_path)
    again = SentenceTokenizer.load(tmp_path)
    assert (again.language, again.sha256) == ("fr_XX", trimmed.sha256)
    assert [[kept_ids[token] for token in again.encode(text)] for text in some] == [*map(tokenizer.encode, some)]


def test_pieces_across_words_are_not_used_where_words_are_split(saved: Folder, tmp_path: Path) -> None:
    content = json.loads((saved("MBartTokenizer") / SETTINGS_FILE).read_text())
    content["model"]["vocab"].insert(9, ["▁der▁wind", -0.1])
    del content["added_tokens"]
    content["added_tokens"] = []
    tokenizer = load(tmp_path, content)
    assert tokenizer.pieces[9] == "▁der▁wind"
    assert 9 not in tokenizer.encode("der wind")
    assert tokenizer.piece_ids("der wind") == rust(tmp_path).encode("der wind", add_special_tokens=False).ids
    content["pre_tokenizer"] = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": False}
    assert load(tmp_path, content).piece_ids("der wind") == [9]


def test_mbarts_own_files(shared: Path, saved: Folder) -> None:
    folder = saved("MBartTokenizer", shared / "mbart_cc25")
    tokenizer, theirs = SentenceTokenizer.load(folder, "de_DE"), rust(folder)
    original = SentenceTokenizer.load(shared / "mbart_cc25", "de_DE")
    assert tokenizer.pieces == original.pieces and len(tokenizer) == 250_027
    path = shared / "phoenix14t/PHOENIX-2014-T.train.corpus.csv"
    with path.open(encoding="utf-8", newline="") as file:
        texts = [row["translation"] for row in csv.DictReader(file, delimiter="|", quoting=csv.QUOTE_NONE)]
    for text in texts[::10]:
        assert tokenizer.encode(text) == theirs.encode(text).ids == original.encode(text)
    assert len(tokenizer.trimmed(texts)[0]) == 2172


def load(folder: Path, content: object) -> SentenceTokenizer:
    (folder / SETTINGS_FILE).write_text(json.dumps(content))
    return SentenceTokenizer.load(folder, "de_DE")


def without(content: dict[str, Any], *keys: str) -> None:
    for key in keys[:-1]:
        content = content[key]
    del content[keys[-1]]


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda c: c["model"].update(type="BPE"), "Unigram"),
        (lambda c: c["model"].update(byte_fallback=True), "Unigram"),
        (lambda c: without(c, "model", "vocab"), "vocab"),
        (lambda c: c["model"].update(vocab=[]), "layout"),
        (lambda c: c["model"]["vocab"].pop(1), "layout"),
        (lambda c: c["model"]["vocab"].__setitem__(11, ["x"]), "unigram"),
        (lambda c: c["model"]["vocab"].__setitem__(11, [5, -1.0]), "not text"),
        (lambda c: c["model"]["vocab"].__setitem__(11, ["x", math.nan]), "score"),
        (lambda c: c["model"]["vocab"].__setitem__(11, ["", -1.0]), "empty"),
        (lambda c: c["model"]["vocab"].__setitem__(11, ["\ud800", -1.0]), "surrogates"),
        (lambda c: c["model"]["vocab"].__setitem__(11, c["model"]["vocab"][8]), "more than once"),
        (lambda c: c.update(normalizer={"type": "Lowercase"}), "normalizer"),
        (lambda c: c.update(normalizer={"type": "Replace", "pattern": {"String": "ß"}, "content": " "}), "normalizer"),
        (lambda c: c.update(normalizer={"type": "Precompiled", "precompiled_charsmap": "AA"}), "layout"),
        (lambda c: c.update(normalizer={"type": "Precompiled", "precompiled_charsmap": "/////w=="}), "SentencePiece"),
        (lambda c: c.update(pre_tokenizer=None), "unigram"),
        (lambda c: c["pre_tokenizer"]["pretokenizers"].append({"type": "Digits"}), "pre-tokenizer"),
        (lambda c: without(c, "added_tokens"), "added_tokens"),
    ],
)
def test_a_json_that_gives_no_equal_model_is_refused(
    saved: Folder, tmp_path: Path, change: Callable[[dict[str, Any]], object], word: str
) -> None:
    content = json.loads((saved("MBartTokenizer") / SETTINGS_FILE).read_text())
    change(content)
    with pytest.raises(ModelError, match=word) as caught:
        load(tmp_path, content)
    assert caught.value.where == str(tmp_path / SETTINGS_FILE) and caught.value.remedy
    assert len(str(caught.value)) < 500  # never the content


def test_settings_of_ours_alone_are_no_tokenizer(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no sentencepiece\.bpe\.model"):
        load(tmp_path, {"format": FORMAT, "language": "de_DE"})
    (tmp_path / SETTINGS_FILE).write_text("[" * 100_000)
    with pytest.raises(ModelError, match="not JSON"):
        SentenceTokenizer.load(tmp_path, "de_DE")


def doubled(proto: Any) -> None:
    proto.pieces[9].piece = proto.pieces[13].piece


def empty(proto: Any) -> None:
    proto.pieces[9].piece = ""


def score_is_no_number(proto: Any) -> None:
    proto.pieces[9].score = math.nan


def a_byte_among_pieces(proto: Any) -> None:
    proto.pieces[9].type = sentencepiece_model_pb2.ModelProto.SentencePiece.BYTE


def second_unknown(proto: Any) -> None:
    proto.pieces[9].type = sentencepiece_model_pb2.ModelProto.SentencePiece.UNKNOWN


@pytest.mark.parametrize("change", [doubled, empty, score_is_no_number, a_byte_among_pieces, second_unknown])
def test_a_model_that_sentencepiece_would_refuse_names_its_file(
    model: bytes, tmp_path: Path, change: Callable[[Any], None]
) -> None:
    proto = sentencepiece_model_pb2.ModelProto()
    proto.ParseFromString(model)
    change(proto)
    (tmp_path / MODEL_FILE).write_bytes(proto.SerializeToString())
    with pytest.raises(ModelError) as caught:
        SentenceTokenizer.load(tmp_path, "de_DE")
    assert caught.value.where == str(tmp_path / MODEL_FILE) and caught.value.remedy


def test_half_a_character_in_a_piece_is_refused(model: bytes, tmp_path: Path) -> None:
    at = model.index("ö".encode())
    (tmp_path / MODEL_FILE).write_bytes(model[:at] + b"\xc3\xc3" + model[at + 2 :])
    with pytest.raises(ModelError, match="not UTF-8"):
        SentenceTokenizer.load(tmp_path, "de_DE")
