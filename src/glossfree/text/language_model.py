"""The tokenizer of a language model: sentences -> its own token ids and back, from the folder of its files.

Read are `tokenizer.json`, and the names of special tokens in `tokenizer_config.json`, `special_tokens_map.json` or, as
ids, `config.json`. Nothing of the vocabulary is trimmed: the ids are the rows of the model's own token table.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import tokenizers

from glossfree.errors import ModelError, os_errors_as
from glossfree.files.disk import read_json, write_atomic, write_json
from glossfree.text.tokenizer import COPY_AGAIN, SETTINGS_FILE, SentenceTokenizer, Tokenizer, normalise

IDS_FILE = "special_ids.json"
NAMES_FILES = ("tokenizer_config.json", "special_tokens_map.json", "config.json")
REMEDY = "save it as transformers does: AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER)"


class LanguageModelTokenizer:
    """A `tokenizer.json`, and the ids that a sentence starts from and ends with. V = `len(tokenizer)`.

    Raises ModelError for content that `tokenizers` cannot use, or ids that it does not have.
    """

    special_tokens = 1

    def __init__(self, content: bytes, start_id: int, end_id: int, *, where: Any = None) -> None:
        self._content, self.start_id, self.end_id = content, start_id, end_id
        self._tokenizer = _parsed(content, where)
        added = self._tokenizer.get_added_tokens_decoder()
        self._special = {number for number, token in added.items() if token.special} | {start_id, end_id}
        self._length = max(self._tokenizer.get_vocab(with_added_tokens=True).values()) + 1
        if not (0 <= start_id < len(self) and 0 <= end_id < len(self)):
            problem = f"has no tokens {start_id} and {end_id}, which start and end a sentence"
            raise ModelError(problem, where=where, remedy=COPY_AGAIN)

    def __len__(self) -> int:
        return self._length

    @property
    def sha256(self) -> str:
        """Hash of the file and the two ids."""
        digest = hashlib.sha256(self._content)
        digest.update(json.dumps([self.start_id, self.end_id]).encode())
        return digest.hexdigest()

    @property
    def never_written(self) -> tuple[int, ...]:
        """Ids that occur in no translation: special tokens other than the end of a sentence."""
        return tuple(sorted(self._special - {self.end_id}))

    def encode(self, text: str) -> list[int]:
        """Sentence -> ids of its pieces, and the end. A character without a piece is left out, as in a translation."""
        ids = self._tokenizer.encode(normalise(text), add_special_tokens=False).ids
        return [*(number for number in ids if number not in self._special), self.end_id]

    def decode(self, ids: Iterable[int]) -> str:
        """Token ids -> the sentence up to its end; special tokens and negative ids (ignored labels) are skipped."""
        pieces: list[int] = []
        for token in map(int, ids):
            if token == self.end_id and pieces:
                break
            if 0 <= token < len(self) and token != self.end_id:
                pieces.append(token)
        return normalise(self._tokenizer.decode(pieces, skip_special_tokens=True))

    def save(self, folder: str | Path) -> None:
        """Write `tokenizer.json` and `special_ids.json`, each atomically. Raises ModelError."""
        folder = Path(folder)
        write_atomic(folder / SETTINGS_FILE, self._content, ModelError, parents=True)
        ids = {"start_id": self.start_id, "end_id": self.end_id, "sha256": self.sha256}
        write_json(folder / IDS_FILE, ids, ModelError)

    @classmethod
    def load(cls, folder: str | Path) -> LanguageModelTokenizer:
        """Read a saved tokenizer, or that of a language model's folder. Raises ModelError: missing or altered file."""
        folder = Path(folder)
        path = folder / SETTINGS_FILE
        if not path.is_file():
            raise ModelError(f"no {SETTINGS_FILE}", where=folder, remedy=REMEDY)
        with os_errors_as(ModelError, "cannot be read", where=path, remedy="check its rights"):
            content = path.read_bytes()
        if not (folder / IDS_FILE).is_file():
            return cls(content, *_special_ids(_parsed(content, path), folder), where=path)
        ids = read_json(folder / IDS_FILE, ModelError, remedy=COPY_AGAIN)
        start_id, end_id = ids.get("start_id"), ids.get("end_id")
        if not (isinstance(start_id, int) and isinstance(end_id, int)):
            raise ModelError("no 'start_id' and 'end_id' in it", where=folder / IDS_FILE, remedy=COPY_AGAIN)
        saved = cls(content, start_id, end_id, where=path)
        if saved.sha256 != ids.get("sha256"):
            raise ModelError(f"does not match its hash in {IDS_FILE}: altered", where=path, remedy=COPY_AGAIN)
        return saved


def load_tokenizer(folder: str | Path) -> Tokenizer:
    """The tokenizer that a run or a model folder has saved, of either kind. Raises ModelError."""
    kind = LanguageModelTokenizer if (Path(folder) / IDS_FILE).is_file() else SentenceTokenizer
    return kind.load(folder)


def _parsed(content: bytes, where: Any) -> tokenizers.Tokenizer:
    try:
        tokenizer = tokenizers.Tokenizer.from_buffer(content)
    except Exception as error:  # the library raises no narrower class
        reason = str(error).partition("\n")[0][:100]
        raise ModelError(f"not a tokenizer of the library tokenizers ({reason})", where=where, remedy=REMEDY) from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    tokenizer.encode_special_tokens = True
    return tokenizer


def _special_ids(tokenizer: tokenizers.Tokenizer, folder: Path) -> tuple[int, int]:
    """The ids that start and end a sentence of the model in a folder. Raises ModelError if it names no end.

    A sentence starts from what the tokenizer puts in front of it, else from `bos_token`, else from the end.
    """
    end = next(_ids_of("eos", tokenizer, folder), None)
    if end is None:
        problem = f"{' and '.join(NAMES_FILES)} name no eos_token of its vocabulary"
        raise ModelError(problem, where=folder, remedy=REMEDY)
    plain, whole = (tokenizer.encode("a", add_special_tokens=special).ids for special in (False, True))
    if len(whole) > len(plain) and whole[: len(plain)] != plain:
        return whole[0], end
    return next(_ids_of("bos", tokenizer, folder), end), end


def _ids_of(role: str, tokenizer: tokenizers.Tokenizer, folder: Path) -> Iterator[int]:
    """The id of "bos" or "eos" in each file of the folder that has it."""
    for name in NAMES_FILES:
        settings = read_json(folder / name, ModelError, remedy=COPY_AGAIN) if (folder / name).is_file() else {}
        token, number = settings.get(f"{role}_token"), settings.get(f"{role}_token_id")
        token = token.get("content") if isinstance(token, dict) else token
        number = number[0] if isinstance(number, list) and number else number
        known = tokenizer.token_to_id(token) if isinstance(token, str) else number
        if isinstance(known, int):
            yield known
