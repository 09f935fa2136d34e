"""A SentencePiece unigram model in mBART's layout: checks its file, or builds one from a `tokenizer.json`.

transformers 5 saves a tokenizer as one `tokenizer.json` of the `tokenizers` library, without the SentencePiece file.
This contains the pieces, their scores and the rules for blanks: enough to build an equal model. Its ids are those of
mBART: `<s>`, `<pad>`, `</s>`, `<unk>`, the pieces, the language codes, `<mask>`.
"""

from __future__ import annotations

import base64
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError
from sentencepiece import sentencepiece_model_pb2

from glossfree.errors import ModelError

SPECIALS = ("<s>", "<pad>", "</s>", "<unk>")
MASK = "<mask>"
FILE_SPECIALS = ("<unk>", "<s>", "</s>")  # the first entries of a SentencePiece file
# fmt: off
CODES_25 = (
    "ar_AR", "cs_CZ", "de_DE", "en_XX", "es_XX", "et_EE", "fi_FI", "fr_XX", "gu_IN", "hi_IN", "it_IT", "ja_XX", "kk_KZ",
    "ko_KR", "lt_LT", "lv_LV", "my_MM", "ne_NP", "nl_XX", "ro_RO", "ru_RU", "si_LK", "tr_TR", "vi_VN", "zh_CN",
)
CODES_50 = (  # mBART-large-50: 52 of them
    *CODES_25,
    "af_ZA", "az_AZ", "bn_IN", "fa_IR", "he_IL", "hr_HR", "id_ID", "ka_GE", "km_KH", "mk_MK", "ml_IN", "mn_MN", "mr_IN",
    "pl_PL", "ps_AF", "pt_XX", "sv_SE", "sw_KE", "ta_IN", "te_IN", "th_TH", "tl_XX", "uk_UA", "ur_PK", "xh_ZA", "gl_ES",
    "sl_SI",
)
# fmt: on
LAYOUTS = (CODES_50, CODES_25)
REMEDY = "name a folder with mBART's sentencepiece.bpe.model, or its tokenizer.json as transformers saves it"
SPACE = "▁"
NO_PREFIX = "never"
# normalizers that SentencePiece's rule for blanks and `tokenizer.normalise` replace
BLANKS = ("Replace", "Strip", "NFC")
OF_BLANKS = (" {2,}", " ")  # patterns of such a Replace


def parse(model: bytes, where: Any) -> Any:
    """Bytes -> SentencePiece's protobuf message. Raises ModelError unless it is a unigram model in mBART's layout."""
    proto = sentencepiece_model_pb2.ModelProto()  # type: ignore[attr-defined]
    try:
        proto.ParseFromString(model)
        pieces = [piece.piece for piece in proto.pieces]
    except (DecodeError, UnicodeDecodeError) as error:
        raise ModelError("not a SentencePiece model, or truncated", where=where, remedy=REMEDY) from error
    if not all(isinstance(piece, str) for piece in pieces):  # protobuf returns invalid UTF-8 as bytes
        raise ModelError("not a SentencePiece model: a piece is not UTF-8", where=where, remedy=REMEDY)
    first = tuple(pieces[: len(FILE_SPECIALS)])
    doubled = [piece for piece, count in Counter(pieces).items() if count > 1]
    problem = ""
    if first != FILE_SPECIALS:
        problem = f"starts with {first}, not with {FILE_SPECIALS}"
    elif proto.trainer_spec.model_type != sentencepiece_model_pb2.TrainerSpec.UNIGRAM:  # type: ignore[attr-defined]
        problem = "not a unigram model: its pieces cannot be trimmed"
    elif doubled:
        problem = f"{len(doubled)} pieces occur more than once, for example {doubled[0][:20]!r}"
    elif "" in pieces:
        problem = f"piece number {pieces.index('')} is empty"
    elif not all(math.isfinite(piece.score) for piece in proto.pieces):
        problem = "a piece's score is not a finite number"
    if problem:
        raise ModelError(problem, where=where, remedy=REMEDY)
    return proto


def from_json(content: Mapping[str, Any], where: Path) -> tuple[bytes, tuple[str, ...]]:
    """The content of a `tokenizer.json` -> an equal SentencePiece file and its language codes.

    Raises ModelError: not a unigram model, not in mBART's layout, or rules unknown to SentencePiece.
    """
    try:
        tokens = _tokens(content)
        charsmap = _charsmap(content["normalizer"])
        has_prefix, splits = _metaspace(content["pre_tokenizer"])
    except (KeyError, TypeError, ValueError, IndexError) as error:
        problem = f"not a unigram tokenizer in mBART's layout ({type(error).__name__}: {error})"
        raise ModelError(problem[:200], where=where, remedy=REMEDY) from error
    codes = _codes([token for token, _ in tokens], where)
    pieces = tokens[len(SPECIALS) : -len(codes) - 1]
    types = sentencepiece_model_pb2.ModelProto.SentencePiece  # type: ignore[attr-defined]
    proto = sentencepiece_model_pb2.ModelProto()  # type: ignore[attr-defined]
    for special in FILE_SPECIALS:
        kind = types.UNKNOWN if special == FILE_SPECIALS[0] else types.CONTROL
        proto.pieces.add(piece=special, score=0.0, type=kind)
    for piece, score in pieces:
        # a piece across two words is never used if words are split first
        proto.pieces.add(piece=piece, score=score, type=types.UNUSED if splits and SPACE in piece[1:] else types.NORMAL)
    trainer = proto.trainer_spec
    trainer.model_type = sentencepiece_model_pb2.TrainerSpec.UNIGRAM  # type: ignore[attr-defined]
    trainer.vocab_size = len(proto.pieces)
    trainer.unk_id, trainer.bos_id, trainer.eos_id, trainer.pad_id = 0, 1, 2, -1
    rules = proto.normalizer_spec
    rules.name = "precompiled" if charsmap else "identity"
    rules.precompiled_charsmap = charsmap
    rules.add_dummy_prefix, rules.remove_extra_whitespaces, rules.escape_whitespaces = has_prefix, True, True
    return proto.SerializeToString(deterministic=True), codes


def _tokens(content: Mapping[str, Any]) -> list[tuple[str, float]]:
    """All tokens and their scores by id: those of the model, then the added ones."""
    model = content["model"]
    if model["type"] != "Unigram" or model.get("byte_fallback"):
        raise ValueError("the model is not a plain Unigram")
    tokens = [(token, float(score)) for token, score in model["vocab"]]
    added = {entry["id"]: entry["content"] for entry in content["added_tokens"]}
    while len(tokens) in added:
        tokens.append((added[len(tokens)], 0.0))
    if not all(isinstance(token, str) for token, _ in tokens):
        raise TypeError("a piece is not text")
    "".join(token for token, _ in tokens).encode("utf-8")  # raises ValueError: JSON can escape lone surrogates
    return tokens


def _codes(tokens: Sequence[str], where: Path) -> tuple[str, ...]:
    """The language codes before the final `<mask>`. Raises ModelError: not mBART's layout."""
    if tuple(tokens[: len(SPECIALS)]) == SPECIALS and tokens[-1] == MASK:
        for codes in LAYOUTS:
            if tuple(tokens[-len(codes) - 1 : -1]) == codes:
                return codes
    problem = f"not mBART's layout: {', '.join(SPECIALS)} first, 25 or 52 language codes and {MASK} last"
    raise ModelError(problem, where=where, remedy=REMEDY)


def _charsmap(normalizer: Mapping[str, Any] | None) -> bytes:
    """The normalizer of a `tokenizer.json` -> SentencePiece's character map; empty: text is unchanged."""
    if normalizer is None:
        return b""
    steps = normalizer["normalizers"] if normalizer["type"] == "Sequence" else [normalizer]
    tables = [base64.b64decode(step["precompiled_charsmap"]) for step in steps if step["type"] == "Precompiled"]
    others = [step["type"] for step in steps if step["type"] not in ("Precompiled", *BLANKS)]
    replaced = [pattern for step in steps if step["type"] == "Replace" for pattern in step["pattern"].values()]
    if others or len(tables) > 1 or any(pattern not in OF_BLANKS for pattern in replaced):
        raise ValueError("a normalizer unknown to SentencePiece")
    return tables[0] if tables else b""


def _metaspace(pre_tokenizer: Mapping[str, Any]) -> tuple[bool, bool]:
    """The pre-tokenizer -> whether it puts a blank before the sentence, and whether it splits words at blanks."""
    is_sequence = pre_tokenizer["type"] == "Sequence"
    steps = pre_tokenizer["pretokenizers"] if is_sequence else [pre_tokenizer]
    (space,) = [step for step in steps if step["type"] == "Metaspace"]
    kinds = {step["type"] for step in steps}
    if kinds - {"Metaspace", "WhitespaceSplit"} or space["replacement"] != SPACE:
        raise ValueError("a pre-tokenizer unknown to SentencePiece")
    scheme = space.get("prepend_scheme") or ("always" if space.get("add_prefix_space", True) else NO_PREFIX)
    return scheme != NO_PREFIX, bool(space.get("split", True)) or "WhitespaceSplit" in kinds
