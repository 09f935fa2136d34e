"""fastText's files -> the vectors of some words; reads only the rows that are needed.

`.vec`: text, a word and its numbers on each line. `.bin`: the complete model, which has vectors for unseen words too.
gensim would load all of it (7 GB of memory for two million words), and never returns on a truncated dictionary.
"""

from __future__ import annotations

import hashlib
import mmap
import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from glossfree.errors import CorpusError

MAGIC, VERSIONS = 793712314, (11, 12)


def read_vec(path: Path, words: Sequence[str]) -> tuple[np.ndarray, list[str]]:
    """Words -> their vectors (P, width) in a `.vec` file, and the words that are not in it. Stops at the last word."""
    exact = {word.encode(): row for row, word in enumerate(words)}
    capital = {word.capitalize().encode(): row for row, word in enumerate(words) if word.capitalize() != word}
    vectors: dict[int, np.ndarray] = {}
    vectors_of_capitals: dict[int, np.ndarray] = {}
    width = 0
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            word, _, rest = line.rstrip().partition(b" ")
            if number == 1 and rest.isdigit() and word.isdigit():
                width = int(rest)  # "rows width"; some programs omit this line
                continue
            for rows, target in ((exact, vectors), (capital, vectors_of_capitals)):
                if word in rows:
                    vector = target[rows[word]] = _parse_numbers(rest, width, path, number)
                    width = len(vector)
            if len(vectors) == len(exact):
                break
    known = {**vectors_of_capitals, **vectors}
    unknown = [word for row, word in enumerate(words) if row not in known]
    norm = float(np.mean([np.linalg.norm(vector) for vector in known.values()])) if known else 1.0
    result = [known[row] if row in known else norm * _direction(word, width) for row, word in enumerate(words)]
    return np.stack(result).astype(np.float32), unknown


def _parse_numbers(text: bytes, width: int, path: Path, line: int) -> np.ndarray:
    try:
        vector = np.array(text.split(), dtype=np.float32)
    except ValueError as error:
        raise CorpusError(f"line {line} contains something that is not a number", where=path) from error
    if not len(vector) or (width and len(vector) != width):
        raise CorpusError(
            f"line {line} has {len(vector)} numbers, not {width}", where=path, remedy="is the file truncated?"
        )
    return vector


def _direction(word: str, width: int) -> np.ndarray:
    """A unit vector drawn from the hash of a word, the same on every machine."""
    seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:8], "big")
    vector = np.random.default_rng(seed).standard_normal(max(width, 1))
    return vector / np.linalg.norm(vector)


def read_bin(path: Path, words: Sequence[str]) -> tuple[np.ndarray, list[str]]:
    """Words -> their vectors (P, width) in a `.bin` model, and the words that are not in it.

    A vector is the mean of the word's own row and the rows of its n-grams. The file is mapped: only its dictionary (2 s
    for two million words) and the needed rows are read.
    """
    try:
        with path.open("rb") as file:
            model = _Binary(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        forms = {word: next((form for form in (word, word.capitalize()) if form in model.rows), None) for word in words}
        vectors = np.stack([model.vector(forms[word] or word) for word in words])
    except (struct.error, ValueError, OverflowError, IndexError) as error:
        raise CorpusError(f"not a fastText model ({error})", where=path, remedy="name fastText's .bin") from error
    norm = float(np.linalg.norm(vectors, axis=1).mean())
    for row in np.flatnonzero(~vectors.any(axis=1)):  # a model without n-grams
        vectors[row] = norm * _direction(words[int(row)], vectors.shape[1])
    return vectors, [word for word in words if forms[word] is None]


class _Binary:
    """fastText's format, versions 11 and 12: magic and version, settings, dictionary, input matrix."""

    def __init__(self, data: mmap.mmap) -> None:
        magic, version = struct.unpack_from("<2i", data)
        if magic != MAGIC or version not in VERSIONS:
            raise ValueError(f"starts with {magic}, {version}; {MAGIC}, {VERSIONS[-1]} expected")
        self._num_buckets, self._shortest, self._longest = struct.unpack_from("<3i", data, 40)
        size, self._num_words, _, _, num_pruned = struct.unpack_from("<3i2q", data, 64)
        self.rows: dict[str, int] = {}
        position = 92
        for row in range(size):
            end = data.find(b"\0", position)
            if end < 0:
                raise ValueError("truncated")
            if row < self._num_words:
                self.rows[data[position:end].decode("utf-8", "replace")] = row
            position = end + 1 + 8 + 1  # the count (int64) and the kind (int8) follow
        position += 8 * max(num_pruned, 0)
        is_compressed, height, width = struct.unpack_from("<?2q", data, position)
        if is_compressed:
            raise ValueError("compressed, .ftz")
        if len(data) < position + 17 + 4 * height * width:
            raise ValueError("truncated")
        self._matrix = np.frombuffer(data, "<f4", height * width, position + 17).reshape(height, width)

    def vector(self, word: str) -> np.ndarray:
        """Word -> (width,) float32; zeros if neither the word nor any of its n-grams has a row."""
        from gensim.models.fasttext import ft_ngram_hashes  # importing takes 1 to 4 s

        rows = [self.rows[word]] if word in self.rows else []
        if self._num_buckets and self._longest:
            hashes = ft_ngram_hashes(word, self._shortest, self._longest, self._num_buckets)
            rows += [self._num_words + number for number in hashes]
        total = self._matrix[rows].sum(axis=0, dtype=np.float64)
        return np.asarray(total / max(len(rows), 1), dtype=np.float32)
