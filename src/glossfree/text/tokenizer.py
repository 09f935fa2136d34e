"""Sentences -> token ids and back, in mBART's layout, over a SentencePiece unigram model.

Ids: `<s>` 0, `<pad>` 1, `</s>` 2, `<unk>` 3, then the pieces in the model's order, the language codes in mBART's
official order, `<mask>` last: 250,027 for mBART-large-cc25, where `de_DE` is 250,003. A SentencePiece file starts with
`<unk>`, `<s>`, `</s>`, so that piece number n of the file (n >= 3) has id n + 1.

A character without a piece would become `<unk>` and be lost. Trimming can cause that: a letter that the training
sentences only use inside longer pieces loses its own piece. Such a character is spelled: `<mask>`, then the digits of
its code point, each digit a language code. These tokens are in every vocabulary, no other text has them in this order,
and `decode` reverses them.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

import sentencepiece

from glossfree.errors import CorpusError, ModelError, os_errors_as
from glossfree.files.disk import read_json, write_atomic, write_json
from glossfree.files.encoding import nfc
from glossfree.text.unigram import (
    CODES_25,
    CODES_50,
    FILE_SPECIALS,
    MASK,
    REMEDY,
    SPECIALS,
    from_json,
    parse,
)

MODEL_FILE, SETTINGS_FILE = "sentencepiece.bpe.model", "tokenizer.json"
FORMAT = "glossfree-tokenizer-1"
COPY_AGAIN = "copy the folder again"
OFFSET = len(SPECIALS) - len(FILE_SPECIALS)


class Tokenizer(Protocol):
    """Sentences -> token ids and back, as training and decoding need it. V = `len(tokenizer)`.

    An encoded sentence ends with `special_tokens` ids that are no pieces, which are never cut off.
    """

    special_tokens: int

    def __len__(self) -> int: ...

    @property
    def start_id(self) -> int:
        """The token that a decoder starts from."""

    @property
    def never_written(self) -> tuple[int, ...]:
        """Ids that occur in no translation."""

    @property
    def sha256(self) -> str:
        """Hash of all that it depends on."""

    def encode(self, text: str) -> list[int]:
        """Sentence -> labels of a decoder."""

    def decode(self, ids: Iterable[int]) -> str:
        """Token ids -> sentence."""

    def save(self, folder: str | Path) -> None:
        """Write its files, each atomically. Raises ModelError."""


class SentenceTokenizer:
    """A SentencePiece model, its language codes and the language of its text. V = `len(tokenizer)`.

    `model` is the content of a SentencePiece file. Raises ModelError if it is invalid or not in mBART's layout.
    """

    pad_id, bos_id, eos_id, unk_id = 1, 0, 2, 3
    special_tokens = 2  # `</s>` and the language code

    def __init__(self, model: bytes, language: str, codes: Sequence[str] = CODES_25, *, where: Any = None):
        self._model = model
        self.language = language
        self.codes = tuple(codes)
        proto = parse(model, where)
        if language not in self.codes:
            remedy = f"name one of {', '.join(self.codes)}, for example of a related language (text.language)"
            raise ModelError(f"no language {language!r}", where=where, remedy=remedy)
        try:
            self._processor = sentencepiece.SentencePieceProcessor(model_proto=model)
        except (RuntimeError, UnicodeDecodeError) as error:  # its messages may contain invalid UTF-8
            reason = str(error).strip().partition("\n")[0][:100]
            raise ModelError(f"SentencePiece cannot use it ({reason})", where=where, remedy=REMEDY) from error
        pieces = [piece.piece for piece in proto.pieces[len(FILE_SPECIALS) :]]
        self.pieces: list[str] = [*SPECIALS, *pieces, *self.codes, MASK]  # position = id
        self._first_code = len(SPECIALS) + len(pieces)
        self.mask_id = len(self.pieces) - 1
        self.language_id = self._first_code + self.codes.index(language)

    def __len__(self) -> int:
        return len(self.pieces)

    @property
    def start_id(self) -> int:
        """The language code."""
        return self.language_id

    @property
    def num_pieces(self) -> int:
        """Number of pieces, without special tokens, codes and mask."""
        return self._first_code - len(SPECIALS)

    @property
    def sha256(self) -> str:
        """Hash of the model file, the codes and the language."""
        digest = hashlib.sha256(self._model)
        digest.update(json.dumps([self.language, *self.codes]).encode())
        return digest.hexdigest()

    def encode(self, text: str) -> list[int]:
        """Sentence -> piece ids, `</s>`, language code (mBART's target format; never `<unk>`)."""
        return [*self.piece_ids(text), self.eos_id, self.language_id]

    def piece_ids(self, text: str) -> list[int]:
        """Sentence (or some of its words) -> ids of its pieces alone."""
        text = normalise(text)
        ids = self._processor.encode(text)
        if 0 not in ids:
            return [number + OFFSET for number in ids]
        spelled: list[int] = []
        for piece in self._processor.encode(text, out_type=str):
            number = self._processor.piece_to_id(piece)
            spelled += [number + OFFSET] if number else [i for character in piece for i in self._spell(character)]
        return spelled

    def decode(self, ids: Iterable[int]) -> str:
        """Token ids -> sentence; special tokens, codes and negative ids (ignored labels) are skipped."""
        parts: list[str] = []
        digits: list[int] | None = None  # of the spelled character that is being read
        for token in [*map(int, ids), self.pad_id]:
            if digits is not None and self._first_code <= token < self.mask_id:
                digits.append(token - self._first_code)
                continue
            if digits:
                parts.append(self._unspell(digits))
            digits = [] if token == self.mask_id else None
            if len(SPECIALS) <= token < self._first_code:
                parts.append(self.pieces[token])
        return " ".join("".join(parts).replace("▁", " ").split())

    def _spell(self, character: str) -> list[int]:
        """A character without a piece -> mask and the digits of its code point, the most significant first."""
        digits, rest = [], ord(character)
        while rest:
            rest, digit = divmod(rest, len(self.codes))
            digits.append(self._first_code + digit)
        return [self.mask_id, *reversed(digits)]

    def _unspell(self, digits: Sequence[int]) -> str:
        point = 0
        for digit in digits[:8]:
            point = point * len(self.codes) + digit
        return chr(point) if point < 0x110000 and not 0xD800 <= point < 0xE000 else ""

    def trimmed(self, sentences: Iterable[str]) -> tuple[SentenceTokenizer, list[int]]:
        """Keep only the pieces in the best segmentations of `sentences`, with their scores and order.

        Returns the smaller tokenizer and, for each of its ids, the id here: the row of the embedding table to keep.
        These sentences are segmented as before, because their best path remains and none was added; others may need
        smaller pieces. Raises CorpusError without sentences.
        """
        used = {number for ids in self._processor.encode([normalise(text) for text in sentences]) for number in ids}
        used -= set(range(len(FILE_SPECIALS)))
        if not used:
            raise CorpusError("no training sentence to trim the vocabulary to", remedy="name some with text in them")
        small = parse(self._model, None)
        pieces = [small.pieces[number] for number in (*range(len(FILE_SPECIALS)), *sorted(used))]
        small.DiscardUnknownFields()  # they may include a self-test of the full model, which would fail now
        del small.pieces[:]
        small.pieces.extend(pieces)
        small.trainer_spec.vocab_size = len(pieces)
        model = small.SerializeToString(deterministic=True)
        used_ids = [number + OFFSET for number in sorted(used)]
        kept_ids = [*range(len(SPECIALS)), *used_ids, *range(self._first_code, len(self))]
        return SentenceTokenizer(model, self.language, self.codes), kept_ids

    def rows_in(self, original: SentenceTokenizer) -> list[int]:
        """For each id here, the id of the same token in `original`: a row of its embedding table.

        Raises ModelError if the original lacks a token.
        """
        theirs = {piece: number for number, piece in enumerate(original.pieces[: original._first_code])}
        codes = {code: original._first_code + number for number, code in enumerate(original.codes)}
        own = self.pieces[len(SPECIALS) : self._first_code]
        lacking = [piece for piece in own if piece not in theirs] + [code for code in self.codes if code not in codes]
        if lacking:
            problem = f"{len(lacking)} tokens of this vocabulary are not in it, for example {lacking[0]!r}"
            raise ModelError(problem, where="text.tokenizer", remedy="name the tokenizer that it was trimmed from")
        pieces = [theirs[piece] for piece in own]
        return [*range(len(SPECIALS)), *pieces, *(codes[code] for code in self.codes), original.mask_id]

    @property
    def never_written(self) -> tuple[int, ...]:
        """Ids that occur in no translation: language codes, mask, and special tokens other than `</s>`."""
        return (self.bos_id, self.pad_id, self.unk_id, *range(self._first_code, len(self)))

    @classmethod
    def train(cls, sentences: Iterable[str], num_pieces: int, language: str) -> SentenceTokenizer:
        """Training sentences -> a unigram model of about `num_pieces` pieces that covers all their characters.

        There are fewer pieces if the sentences do not yield as many, and more if they have more characters. Text is
        only composed canonically (mBART's own file also folds compatibility forms). One thread and no sampling: the
        same sentences give the same bytes. A `language` that is no code of cc25 is one code more. Raises CorpusError
        without sentences.
        """
        lines = [line for line in map(normalise, sentences) if line]
        if not lines:
            raise CorpusError("no training sentence to make pieces from", remedy="name some with text in them")
        characters = {character for line in lines for character in line if character != " "} | {"▁"}
        model = io.BytesIO()
        try:
            sentencepiece.SentencePieceTrainer.train(
                sentence_iterator=iter(lines),
                model_writer=model,
                model_type="unigram",
                vocab_size=max(num_pieces, len(characters)) + len(FILE_SPECIALS),
                hard_vocab_limit=False,
                character_coverage=1.0,
                normalization_rule_name="identity",
                max_sentence_length=max(4192, 4 * max(map(len, lines)) + 4),
                num_threads=1,
                pad_id=-1,
                minloglevel=2,
            )
        except RuntimeError as error:
            raise CorpusError(f"no pieces can be made from {len(lines)} sentences ({error})") from error
        codes = CODES_25 if language in CODES_25 else (*CODES_25, language)
        return cls(model.getvalue(), language, codes)

    def save(self, folder: str | Path) -> None:
        """Write `sentencepiece.bpe.model` and `tokenizer.json`, each atomically. Raises ModelError."""
        folder = Path(folder)
        settings = {
            "format": FORMAT,
            "language": self.language,
            "codes": list(self.codes),
            "vocabulary_size": len(self),
            "num_pieces": self.num_pieces,
            "sha256": self.sha256,
        }
        write_atomic(folder / MODEL_FILE, self._model, ModelError, parents=True)
        write_json(folder / SETTINGS_FILE, settings, ModelError)

    @classmethod
    def load(cls, folder: str | Path, language: str | None = None) -> SentenceTokenizer:
        """Read a saved tokenizer, or that of any mBART folder (25 or 52 language codes).

        In other folders it reads the SentencePiece file or, without one, `tokenizer.json` as transformers 5 saves it.
        `language` None: that of a saved one; any other folder has none, and needs it. Raises ModelError: no language,
        missing or altered file.
        """
        folder = Path(folder)
        path, settings_path = folder / MODEL_FILE, folder / SETTINGS_FILE
        settings = _read_settings(settings_path)
        is_ours = settings.get("format") == FORMAT
        if not path.is_file():
            if is_ours or "model" not in settings:
                raise ModelError(f"no {MODEL_FILE}", where=folder, remedy=REMEDY)
            model, codes = from_json(settings, settings_path)
            return cls(model, _needed(language, codes, folder), codes, where=settings_path)
        with os_errors_as(ModelError, "cannot be read", where=path, remedy="check its rights"):
            model = path.read_bytes()
        if not is_ours:
            codes = _codes_of(folder)
            return cls(model, _needed(language, codes, folder), codes, where=path)
        saved = cls(model, *_saved_language(settings, settings_path), where=path)
        if saved.sha256 != settings.get("sha256"):
            problem = f"does not match its hash in {SETTINGS_FILE}: altered"
            raise ModelError(problem, where=path, remedy=COPY_AGAIN)
        return saved if language in (None, saved.language) else cls(model, str(language), saved.codes, where=folder)


def normalise(text: str) -> str:
    """Text in NFC with single spaces and none at the ends, as `decode` returns it."""
    return " ".join(nfc(text).split())


def _read_settings(path: Path) -> dict[str, Any]:
    return read_json(path, ModelError, remedy=COPY_AGAIN) if path.is_file() else {}


def _saved_language(settings: dict[str, Any], where: Path) -> tuple[str, list[str]]:
    """Settings written by `save` -> language and codes, two or more. Raises ModelError for anything else."""
    language, codes = settings.get("language"), settings.get("codes")
    if not isinstance(language, str):
        raise ModelError("no 'language' in it", where=where, remedy=COPY_AGAIN)
    codes = codes if isinstance(codes, list) and all(isinstance(code, str) for code in codes) else []
    if len(set(codes)) < max(2, len(codes)):  # `_spell` needs two digits
        raise ModelError("no list of 'codes' in it", where=where, remedy=COPY_AGAIN)
    return language, codes


def _needed(language: str | None, codes: Sequence[str], where: Path) -> str:
    if language is None:
        raise ModelError("the tokenizer of many languages", where=where, remedy=f"name one of {', '.join(codes)}")
    return language


def _codes_of(folder: Path) -> tuple[str, ...]:
    """52 language codes if the folder's other files name mBART-50 or its last code, else 25."""
    for name in ("special_tokens_map.json", "tokenizer_config.json"):
        settings = _read_settings(folder / name)
        tokens = [settings.get(key) for key in ("additional_special_tokens", "extra_special_tokens")]
        has_last_code = any(isinstance(each, list) and CODES_50[-1] in each for each in tokens)
        if has_last_code or str(settings.get("tokenizer_class")).startswith("MBart50"):
            return CODES_50
    return CODES_25
