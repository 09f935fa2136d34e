"""Token ids: layout, round trips, trimming, training, files."""

from __future__ import annotations

import io
import json
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import sentencepiece
from sentencepiece import sentencepiece_model_pb2

from glossfree.errors import CorpusError, ModelError
from glossfree.text.tokenizer import CODES_25, CODES_50, FORMAT, MODEL_FILE, SETTINGS_FILE, SentenceTokenizer, normalise

SENTENCES = [
    "am dienstag schneit es im bergland bis in die täler",
    "an den küsten weht der wind böig und später stürmisch",
    "morgen scheint im süden die sonne bei zwölf grad",
    "der nebel löst sich nur zögernd auf",
    "über dem meer bilden sich gewitter und kräftige schauer",
    "heute nacht wird es frostig minus drei bis minus sieben grad",
    "im westen ziehen dichte wolken auf es regnet häufig",
]


@pytest.fixture(scope="module")
def tokenizer() -> SentenceTokenizer:
    return SentenceTokenizer.train(SENTENCES, 90, "de_DE")


def model_bytes(**options: object) -> bytes:
    """A SentencePiece model trained with other options than ours."""
    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(SENTENCES),
        model_writer=written,
        vocab_size=60,
        hard_vocab_limit=False,
        minloglevel=2,
        **options,
    )
    return written.getvalue()


def test_layout_is_mbarts(tokenizer: SentenceTokenizer) -> None:
    assert tokenizer.pieces[:4] == ["<s>", "<pad>", "</s>", "<unk>"]
    assert (tokenizer.bos_id, tokenizer.pad_id, tokenizer.eos_id, tokenizer.unk_id) == (0, 1, 2, 3)
    assert tuple(tokenizer.pieces[-26:-1]) == CODES_25
    assert tokenizer.pieces[tokenizer.mask_id] == "<mask>"
    assert tokenizer.mask_id == len(tokenizer) - 1 == 4 + tokenizer.num_pieces + 25
    assert tokenizer.pieces[tokenizer.language_id] == "de_DE"
    assert len(set(tokenizer.pieces)) == len(tokenizer)


def test_ids_are_those_of_transformers(tokenizer: SentenceTokenizer) -> None:
    from transformers import MBartTokenizer

    proto = sentencepiece_model_pb2.ModelProto()
    proto.ParseFromString(tokenizer._model)
    scores = {piece.piece: piece.score for piece in proto.pieces}
    theirs = MBartTokenizer(vocab=[(piece, scores.get(piece, 0.0)) for piece in tokenizer.pieces], src_lang="de_DE")
    assert len(theirs) == len(tokenizer)
    for text in SENTENCES:
        assert tokenizer.encode(text) == theirs(text)["input_ids"]
        assert tokenizer.decode(tokenizer.encode(text)) == theirs.decode(
            tokenizer.encode(text), skip_special_tokens=True
        )


def test_encoding_ends_in_mbarts_target_format(tokenizer: SentenceTokenizer) -> None:
    ids = tokenizer.encode(SENTENCES[3])
    assert ids[-2:] == [tokenizer.eos_id, tokenizer.language_id]
    assert all(4 <= token < 4 + tokenizer.num_pieces for token in ids[:-2])
    assert "".join(tokenizer.pieces[token] for token in ids[:-2]) == "▁" + SENTENCES[3].replace(" ", "▁")


def test_decoding_skips_what_is_no_text(tokenizer: SentenceTokenizer) -> None:
    ids = [tokenizer.language_id, 0, *tokenizer.encode(SENTENCES[1]), 1, 1, 3, -100]
    assert tokenizer.decode(ids) == SENTENCES[1]
    assert tokenizer.decode([tokenizer.language_id, 2]) == ""
    assert tokenizer.decode([]) == ""


def test_every_training_sentence_comes_back(tokenizer: SentenceTokenizer) -> None:
    assert [tokenizer.decode(tokenizer.encode(text)) for text in SENTENCES] == SENTENCES
    assert tokenizer.decode(tokenizer.encode("  der\twind \u00a0 weht\n")) == "der wind weht"


def test_any_text_comes_back_without_unknown_tokens(tokenizer: SentenceTokenizer) -> None:
    rng = np.random.default_rng(5)
    alphabet = list("abcdefghijklmnopqrstuvwxyzäöüß   QX°€½ﬁéřЖ漢字🙂𝔘'-.,0123456789")
    for _ in range(300):
        text = "".join(rng.choice(alphabet, size=rng.integers(1, 23)))
        ids = tokenizer.encode(text)
        assert tokenizer.unk_id not in ids
        assert tokenizer.decode(ids) == normalise(text)


def test_a_decomposed_umlaut_is_the_composed_one(tokenizer: SentenceTokenizer) -> None:
    assert tokenizer.encode("ta\u0308ler") == tokenizer.encode("täler")


def test_a_stray_mask_and_code_in_a_translation_do_no_harm(tokenizer: SentenceTokenizer) -> None:
    wind, mask = tokenizer.piece_ids("der wind"), tokenizer.mask_id
    assert tokenizer.decode([*wind, mask, *tokenizer.piece_ids("weht")]) == "der wind weht"
    last = tokenizer.mask_id - 1  # a code point beyond Unicode
    assert tokenizer.decode([*wind, mask, *[last] * 40, 2]) == "der wind"
    surrogate = [mask, *(tokenizer.language_id - 2 + digit for digit in (3, 13, 11, 21))]
    assert tokenizer.decode([*wind, *surrogate]) == "der wind"


def test_training_is_deterministic_and_leaves_room_for_every_character() -> None:
    assert (
        SentenceTokenizer.train(SENTENCES, 90, "de_DE").sha256
        == SentenceTokenizer.train(iter(SENTENCES), 90, "de_DE").sha256
    )
    assert (
        SentenceTokenizer.train(SENTENCES, 90, "de_DE").sha256 != SentenceTokenizer.train(SENTENCES, 70, "de_DE").sha256
    )
    few = SentenceTokenizer.train(SENTENCES, 5, "de_DE")  # fewer than there are letters
    assert all(few.mask_id not in few.encode(text) for text in SENTENCES)


def test_training_is_the_same_in_another_process(tokenizer: SentenceTokenizer) -> None:
    program = (
        "import sys, json; from glossfree.text.tokenizer import SentenceTokenizer;"
        "print(SentenceTokenizer.train(json.loads(sys.argv[1]), 90, 'de_DE').sha256)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, json.dumps(SENTENCES)],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONHASHSEED": "77", "PATH": ""},
    )
    assert done.stdout.strip() == tokenizer.sha256


@pytest.mark.parametrize("sentences", [["ja"], ["regen regen"], ["ein", "zwei", "drei"]])
def test_tiny_corpora_can_be_trained_on(sentences: list[str]) -> None:
    tiny = SentenceTokenizer.train(sentences, 500, "de_DE")
    assert [tiny.decode(tiny.encode(text)) for text in sentences] == sentences


def test_training_needs_sentences() -> None:
    with pytest.raises(CorpusError, match="no training sentence"):
        SentenceTokenizer.train(["", "  "], 50, "de_DE")


def test_a_language_that_mbart_lacks_is_one_code_more() -> None:
    danish, german = (SentenceTokenizer.train(SENTENCES, 90, language) for language in ("da", "de_DE"))
    assert (len(danish), danish.codes) == (len(german) + 1, (*CODES_25, "da"))
    assert danish.pieces[danish.start_id] == "da" and danish.encode(SENTENCES[0])[-1] == danish.start_id
    assert danish.decode(danish.encode(SENTENCES[0])) == german.decode(german.encode(SENTENCES[0]))


def test_trimming_keeps_the_pieces_that_are_used_and_their_rows(tokenizer: SentenceTokenizer) -> None:
    some = SENTENCES[:3]
    trimmed, kept_ids = tokenizer.trimmed(some)
    used = {token for text in some for token in tokenizer.piece_ids(text)}
    assert len(trimmed) == 4 + len(used) + 26 < len(tokenizer)
    assert trimmed.pieces == [tokenizer.pieces[row] for row in kept_ids]
    assert kept_ids == sorted(kept_ids)
    table = np.random.default_rng(0).standard_normal((len(tokenizer), 7))
    for text in some:
        assert np.array_equal(table[kept_ids][trimmed.encode(text)], table[tokenizer.encode(text)])


def test_trimming_lets_other_sentences_fall_back_to_smaller_pieces(tokenizer: SentenceTokenizer) -> None:
    trimmed, _ = tokenizer.trimmed(SENTENCES[:3])
    for text in SENTENCES[3:]:
        assert trimmed.unk_id not in trimmed.encode(text)
        assert trimmed.decode(trimmed.encode(text)) == text
        assert len(trimmed.encode(text)) >= len(tokenizer.encode(text))


def test_trimming_twice_changes_nothing(tokenizer: SentenceTokenizer) -> None:
    once, _ = tokenizer.trimmed(SENTENCES[2:5])
    twice, kept_ids = once.trimmed(SENTENCES[2:5])
    assert twice.sha256 == once.sha256
    assert kept_ids == list(range(len(once)))


def test_rows_in_the_original_are_found_by_piece(tokenizer: SentenceTokenizer) -> None:
    """Also by a tokenizer that was saved and is loaded where only the original is at hand."""
    trimmed, kept_ids = tokenizer.trimmed(SENTENCES[:3])
    assert trimmed.rows_in(tokenizer) == kept_ids
    assert tokenizer.rows_in(tokenizer) == list(range(len(tokenizer)))
    with pytest.raises(ModelError, match="tokens of this vocabulary are not in it"):
        tokenizer.rows_in(trimmed)
    fifty = SentenceTokenizer(tokenizer._model, codes=CODES_50, language="de_DE")
    assert [fifty.pieces[row] for row in trimmed.rows_in(fifty)] == trimmed.pieces  # 25 of 52 codes, then the mask
    with pytest.raises(ModelError, match=r"27 tokens .* for example 'af_ZA'"):
        fifty.rows_in(tokenizer)


@pytest.mark.parametrize("codes", [CODES_25, CODES_50])
def test_codes_mask_and_special_tokens_are_never_written(tokenizer: SentenceTokenizer, codes: tuple[str, ...]) -> None:
    ids = SentenceTokenizer(tokenizer._model, codes=codes, language="de_DE").never_written
    pieces = [*tokenizer.pieces[: 4 + tokenizer.num_pieces], *codes, "<mask>"]
    assert [pieces[token] for token in ids] == ["<s>", "<pad>", "<unk>", *codes, "<mask>"]


def test_trimming_needs_sentences(tokenizer: SentenceTokenizer) -> None:
    with pytest.raises(CorpusError, match="no training sentence"):
        tokenizer.trimmed([" "])


def test_a_saved_tokenizer_is_the_same_and_needs_no_original(tokenizer: SentenceTokenizer, tmp_path: Path) -> None:
    trimmed, _ = tokenizer.trimmed(SENTENCES[:2])
    trimmed.save(tmp_path / "new" / "folder")
    loaded = SentenceTokenizer.load(tmp_path / "new" / "folder")
    assert (loaded.sha256, loaded.pieces, loaded.language) == (trimmed.sha256, trimmed.pieces, "de_DE")
    assert [loaded.encode(text) for text in SENTENCES] == [trimmed.encode(text) for text in SENTENCES]
    assert sorted(path.name for path in (tmp_path / "new" / "folder").iterdir()) == [MODEL_FILE, SETTINGS_FILE]


def test_a_tokenizer_reaches_worker_processes(tokenizer: SentenceTokenizer) -> None:
    assert pickle.loads(pickle.dumps(tokenizer)).encode(SENTENCES[0]) == tokenizer.encode(SENTENCES[0])


def test_language_of_a_loaded_folder(tokenizer: SentenceTokenizer, tmp_path: Path) -> None:
    SentenceTokenizer.train(SENTENCES, 90, "en_XX").save(tmp_path)
    assert SentenceTokenizer.load(tmp_path).language == "en_XX"
    german = SentenceTokenizer.load(tmp_path, "de_DE")
    assert german.encode(SENTENCES[0]) == tokenizer.encode(SENTENCES[0])
    with pytest.raises(ModelError, match="no language 'xx_YY'"):
        SentenceTokenizer.load(tmp_path, "xx_YY")


@pytest.mark.parametrize(
    ("name", "content", "codes"),
    [
        (None, None, CODES_25),
        ("special_tokens_map.json", {"additional_special_tokens": list(CODES_25)}, CODES_25),
        ("special_tokens_map.json", {"additional_special_tokens": list(CODES_50)}, CODES_50),
        ("tokenizer_config.json", {"tokenizer_class": "MBart50TokenizerFast"}, CODES_50),
        ("tokenizer.json", {"model": {"type": "Unigram"}}, CODES_25),
    ],
)
def test_folders_of_others(
    tokenizer: SentenceTokenizer, tmp_path: Path, name: str | None, content: dict, codes: tuple[str, ...]
) -> None:
    (tmp_path / MODEL_FILE).write_bytes(tokenizer._model)
    if name:
        (tmp_path / name).write_text(json.dumps(content))
    loaded = SentenceTokenizer.load(tmp_path, "de_DE")
    assert loaded.codes == codes
    with pytest.raises(ModelError, match="many languages -> name one of ar_AR"):
        SentenceTokenizer.load(tmp_path)
    assert len(loaded) == 4 + tokenizer.num_pieces + len(codes) + 1
    assert loaded.decode(loaded.encode("漢 " + SENTENCES[0])) == "漢 " + SENTENCES[0]


def test_codes_are_those_of_transformers() -> None:
    from transformers.models.mbart.tokenization_mbart import FAIRSEQ_LANGUAGE_CODES as TWENTY_FIVE
    from transformers.models.mbart50.tokenization_mbart50 import FAIRSEQ_LANGUAGE_CODES as FIFTY

    assert list(CODES_25) == TWENTY_FIVE
    assert list(CODES_50) == FIFTY


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"nowhere: no sentencepiece\.bpe\.model -> "):
        SentenceTokenizer.load(tmp_path / "nowhere")


def test_altered_files_are_refused(tokenizer: SentenceTokenizer, tmp_path: Path) -> None:
    tokenizer.save(tmp_path)
    settings = json.loads((tmp_path / SETTINGS_FILE).read_text())
    other = SentenceTokenizer.train(SENTENCES, 70, "de_DE")._model
    (tmp_path / MODEL_FILE).write_bytes(other)
    with pytest.raises(ModelError, match="altered"):
        SentenceTokenizer.load(tmp_path)
    (tmp_path / MODEL_FILE).write_bytes(tokenizer._model)
    for change in ({"language": "en_XX"}, {"codes": list(CODES_50)}, {"sha256": "0"}):
        (tmp_path / SETTINGS_FILE).write_text(json.dumps({**settings, **change}))
        with pytest.raises(ModelError, match="altered"):
            SentenceTokenizer.load(tmp_path)
    (tmp_path / SETTINGS_FILE).write_text(json.dumps({"format": FORMAT}))
    with pytest.raises(ModelError, match="no 'language'"):
        SentenceTokenizer.load(tmp_path)
    for change in ({"codes": 5}, {"codes": ["de_DE"]}, {"codes": ["de_DE", "de_DE"]}, {"codes": ["de_DE", 7]}):
        (tmp_path / SETTINGS_FILE).write_text(json.dumps({**settings, **change}))
        with pytest.raises(ModelError, match=r"tokenizer\.json: no list of 'codes'"):
            SentenceTokenizer.load(tmp_path)
    (tmp_path / SETTINGS_FILE).write_text("{")
    with pytest.raises(ModelError, match="not JSON"):
        SentenceTokenizer.load(tmp_path)


def test_files_that_are_no_mbart_model_are_refused(tokenizer: SentenceTokenizer, tmp_path: Path) -> None:
    path = tmp_path / MODEL_FILE
    broken = {
        "truncated": tokenizer._model[: len(tokenizer._model) // 2],
        "not with": model_bytes(pad_id=0, unk_id=1, bos_id=2, eos_id=3),
        "not a unigram model": model_bytes(model_type="bpe"),
    }
    for message, content in broken.items():
        path.write_bytes(content)
        with pytest.raises(ModelError, match=message) as caught:
            SentenceTokenizer.load(tmp_path, "de_DE")
        assert str(path) in str(caught.value)
    for content in (b"", b"PNG nothing like it"):
        path.write_bytes(content)
        with pytest.raises(ModelError):
            SentenceTokenizer.load(tmp_path, "de_DE")


def test_a_folder_that_cannot_be_written_is_named(tokenizer: SentenceTokenizer, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ModelError, match=r"file.*cannot be written"):
        tokenizer.save(tmp_path / "file")
