"""fastText's files -> the vectors of some words, reading only the rows that are needed.

`.vec`: text, a word and its numbers a line. `.bin`: the whole model, so that words it never saw have a vector too.
"""

from __future__ import annotations

import hashlib
import mmap
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from glossfree.errors import CorpusError

MAGIC, VERSIONS = 793712314, (11, 12)


def read_vec(path: Path, words: Sequence[str]) -> tuple[np.ndarray, list[str]]:
    """The rows of some words of a `.vec` file, which is read line by line and only as far as needed."""
    exact = {word.encode(): row for row, word in enumerate(words)}
    capital = {word.capitalize().encode(): row for row, word in enumerate(words) if word.capitalize() != word}
    found: dict[int, np.ndarray] = {}
    second: dict[int, np.ndarray] = {}
    width = 0
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            word, _, rest = line.rstrip().partition(b" ")
            if number == 1 and rest.isdigit() and word.isdigit():
                width = int(rest)  # "rows width"; files of other makers have no such line
                continue
            for rows, target in ((exact, found), (capital, second)):
                row = rows.get(word)
                if row is not None:
                    target[row] = _numbers(rest, width, path, number)
                    width = len(target[row])
            if len(found) == len(exact):
                break
    known = {**second, **found}
    norm = float(np.mean([np.linalg.norm(vector) for vector in known.values()])) if known else 1.0
    vectors = [known[row] if row in known else norm * _direction(word, width) for row, word in enumerate(words)]
    return np.stack(vectors).astype(np.float32), [word for row, word in enumerate(words) if row not in known]


def _numbers(text: bytes, width: int, path: Path, line: int) -> np.ndarray:
    try:
        vector = np.array(text.split(), dtype=np.float32)
    except ValueError as error:
        raise CorpusError(f"line {line} holds something that is no number", where=path) from error
    if not len(vector) or (width and len(vector) != width):
        raise CorpusError(f"line {line} has {len(vector)} numbers, not {width}", where=path, remedy="is it cut short?")
    return vector


def _direction(word: str, width: int) -> np.ndarray:
    """A unit vector drawn from a word's hash: the same on every machine."""
    seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:8], "big")
    drawn = np.random.default_rng(seed).standard_normal(max(width, 1))
    return drawn / np.linalg.norm(drawn)


def read_bin(path: Path, words: Sequence[str]) -> tuple[np.ndarray, list[str]]:
    """The vectors of some words of a fastText `.bin` model: the mean of a word's own row and those of its n-grams.

    The file is mapped, not read: its dictionary once (2 s for two million words), then the rows needed.
    """
    with path.open("rb") as file, _mapped(file, path) as data:
        try:
            model = _Binary(data)
            known = {
                word: next((form for form in (word, word.capitalize()) if form in model.rows), "") for word in words
            }
            vectors = np.stack([model.vector(known[word] or word) for word in words])
        except (struct.error, ValueError) as error:
            raise CorpusError(f"not a fastText model ({error})", where=path, remedy="name fastText's .bin") from error
    norm = float(np.linalg.norm(vectors, axis=1).mean())
    for row in np.flatnonzero(~vectors.any(axis=1)):  # a model without n-grams
        vectors[row] = norm * _direction(words[int(row)], vectors.shape[1])
    return vectors, [word for word in words if not known[word]]


def _mapped(file: object, path: Path) -> mmap.mmap:
    try:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)  # type: ignore[attr-defined]
    except ValueError as error:
        raise CorpusError("empty file", where=path, remedy="name fastText's .bin") from error


class _Binary:
    """fastText's format, versions 11 and 12: two numbers, the settings, the dictionary, the input matrix."""

    def __init__(self, data: mmap.mmap) -> None:
        self._data, self._position = data, 0
        magic, version = self._take("<2i")
        if magic != MAGIC or version not in VERSIONS:
            raise ValueError(f"starts with {magic}, {version}; {MAGIC}, {VERSIONS[-1]} expected")
        self.width, *_, self._buckets, self._shortest, self._longest, _, _ = self._take("<12id")
        size, num_words, _, _, pruned = self._take("<3i2q")
        if version == 11 and self._longest == 0:
            self._buckets = 0
        self.rows = self._dictionary(size, num_words)
        self._num_words = num_words
        pairs = self._take(f"<{2 * max(pruned, 0)}i")
        self._pruned = dict(zip(pairs[::2], pairs[1::2], strict=True)) if pruned >= 0 else None
        (quantised,) = self._take("<?")
        if quantised:
            raise ValueError("compressed, .ftz")
        height, width = self._take("<2q")
        if width != self.width or len(data) < self._position + 4 * height * width:
            raise ValueError("cut short")
        self._matrix = (height, self._position)

    def _take(self, layout: str) -> tuple[Any, ...]:
        values = struct.unpack_from(layout, self._data, self._position)
        self._position += struct.calcsize(layout)
        return values

    def _dictionary(self, size: int, num_words: int) -> dict[str, int]:
        rows: dict[str, int] = {}
        for row in range(size):
            end = self._data.find(b"\0", self._position)
            if end < 0:
                raise ValueError("cut short")
            if row < num_words:
                rows[self._data[self._position : end].decode("utf-8", "replace")] = row
            self._position = end + 1 + 8 + 1  # the count (int64) and the kind (int8) follow
        return rows

    def vector(self, word: str) -> np.ndarray:
        """Word -> (width,) float32; zeros where neither the word nor any of its n-grams has a row."""
        rows = [self.rows[word]] if word in self.rows else []
        rows += self._ngram_rows(word)
        total = np.zeros(self.width, dtype=np.float64)
        for row in rows:
            if not 0 <= row < self._matrix[0]:
                raise ValueError(f"row {row} of {self._matrix[0]}")
            start = self._matrix[1] + 4 * row * self.width
            total += np.frombuffer(self._data, np.dtype("<f4"), self.width, start)
        return (total / max(len(rows), 1)).astype(np.float32)

    def _ngram_rows(self, word: str) -> Iterator[int]:
        """Rows of the n-grams of "<word>", in characters; a bracket alone is none."""
        if not self._buckets or self._pruned == {}:
            return
        text = f"<{word}>"
        for start in range(len(text)):
            for end in range(start + self._shortest, min(start + self._longest, len(text)) + 1):
                if end - start == 1 and (start == 0 or end == len(text)):
                    continue
                bucket = _fnv1a(text[start:end].encode()) % self._buckets
                if self._pruned is not None:
                    if bucket not in self._pruned:
                        continue
                    bucket = self._pruned[bucket]
                yield self._num_words + bucket


def _fnv1a(data: bytes) -> int:
    """FNV-1a of 32 bits as fastText computes it: each byte is a signed char, so that bytes from 128 fill all bits."""
    value = 2166136261
    for byte in data:
        value ^= byte if byte < 128 else byte | 0xFFFFFF00
        value = value * 16777619 & 0xFFFFFFFF
    return value
