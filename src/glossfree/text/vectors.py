"""Pseudo-glosses -> prototypes: one fastText vector for each (section 3.2: 300-dimensional).

From a fastText file that the user names (`.vec` text or `.bin` binary; only the rows that are needed are read), else
trained on the training sentences.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import os
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from glossfree.errors import CorpusError
from glossfree.text.tagging import split_words

PROTOTYPES = "prototypes.safetensors"
VECTOR_SIZE = 300
MAGIC, VERSIONS = 793712314, (11, 12)
BUCKETS = 50_000  # gensim's 2,000,000 rows of n-grams would take 2.4 GB; a corpus of this kind has some 20,000 n-grams
RUNNING_WORDS = 300_000  # seen in training, over all epochs: 4 s on one core


def vectors_for(
    words: Sequence[str],
    *,
    fasttext: str | Path | None = None,
    sentences: Iterable[str] = (),
    seed: int = 0,
    on_progress: Callable[[int, int], None] | None = None,
) -> tuple[np.ndarray, list[str]]:
    """P words -> ((P, width) float32, words out of vocabulary); the width is the file's, or 300.

    A word that a file has only with a capital (a German noun) gets that vector. One that it has not at all gets the
    vector of its character n-grams (`.bin`), or where those are unknown (`.vec`) a direction drawn from its name: a
    zero vector would mean "no sign". `on_progress(done, total)` in epochs of training.
    Raises CorpusError: missing, broken or compressed file, no word known, no sentence.
    """
    if fasttext is None:
        return train_vectors(words, sentences, seed=seed, on_progress=on_progress)
    path = Path(fasttext)
    if not path.is_file():
        raise CorpusError("no such file of vectors", where=path, remedy="name fastText's .bin or .vec")
    read = read_bin if path.suffix in (".bin", ".ftz") else read_vec
    vectors, unknown = read(path, words)
    if len(unknown) == len(words):
        raise CorpusError(f"none of {len(words)} words is in it", where=path, remedy="is it of the right language?")
    return vectors, unknown


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
        except (struct.error, ValueError, UnicodeDecodeError) as error:
            raise CorpusError(f"not a fastText model ({error})", where=path, remedy="name fastText's .bin") from error
        known = {word: next((form for form in (word, word.capitalize()) if form in model.rows), None) for word in words}
        vectors = [model.vector(known[word] or word) for word in words]
        return np.stack(vectors), [word for word in words if known[word] is None]


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


def _stable_hash(text: str) -> int:
    """Python's own hash of a string changes from process to process."""
    return zlib.crc32(text.encode())


def train_vectors(
    words: Sequence[str],
    sentences: Iterable[str],
    *,
    seed: int = 0,
    on_progress: Callable[[int, int], None] | None = None,
) -> tuple[np.ndarray, list[str]]:
    """P words -> (P, 300) float32 of length 1, by fastText's skip-grams on some sentences; the words not in them.

    A lemma that no sentence holds in that form has the vector of its n-grams, which it shares with its other forms. One
    worker and a hash of our own: the same sentences give the same vectors. Few sentences leave all vectors close to one
    direction (on 1,200, a median cosine of 0.95 between any two), where equations 1 and 2 could tell nothing apart:
    the mean is taken off, and each principal axis scaled to the square root of its deviation.
    Raises CorpusError without sentences.
    """
    from gensim.models import FastText  # 1 to 4 s, and not needed with a file
    from gensim.models.callbacks import CallbackAny2Vec

    class Epochs(CallbackAny2Vec):
        """Tells of the end of each epoch."""

        done = 0

        def on_epoch_end(self, model: Any) -> None:
            self.done += 1
            if on_progress:
                on_progress(self.done, epochs)

    lines = [[word for word in split_words(text.lower()) if word[0].isalnum()] for text in sentences]
    running = sum(map(len, lines))
    if not running:
        raise CorpusError("no training sentence to train vectors on", remedy="name some, or a fastText file")
    epochs = min(max(RUNNING_WORDS // running, 3), 40)
    model = FastText(
        sentences=lines,
        vector_size=VECTOR_SIZE,
        epochs=epochs,
        sg=1,
        min_count=1,
        bucket=BUCKETS,
        seed=seed,
        workers=1,
        hashfxn=_stable_hash,
        callbacks=[Epochs()],
    )
    vectors = spread(np.stack([model.wv.get_vector(word) for word in words]))
    return vectors, [word for word in words if word not in model.wv.key_to_index]


def spread(vectors: np.ndarray) -> np.ndarray:
    """(P, width) -> centred, each principal axis scaled by 1 / sqrt(its deviation), each row of length 1."""
    if len(vectors) < 2:
        return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float32)
    centred = vectors.astype(np.float64) - vectors.mean(axis=0, dtype=np.float64)
    _, deviations, axes = np.linalg.svd(centred, full_matrices=False)
    real = deviations > 1e-6 * deviations[0]
    axes, deviations = axes[real], deviations[real]
    scaled = (centred @ axes.T / np.sqrt(deviations)) @ axes
    lengths = np.maximum(np.linalg.norm(scaled, axis=1, keepdims=True), 1e-12)
    return np.asarray(scaled / lengths, dtype=np.float32)


def save_vectors(path: str | Path, vectors: np.ndarray, words: Sequence[str]) -> None:
    """(P, width) and their words -> safetensors, whole or not at all. Raises CorpusError."""
    path = Path(path)
    if len(vectors) != len(words):
        raise ValueError(f"{len(vectors)} vectors for {len(words)} words")
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        content = {"vectors": np.ascontiguousarray(vectors, np.float32)}
        temporary.write_bytes(save(content, {"words": _identity(words)}))  # save_file would hide it from other users
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise CorpusError(
            f"cannot be written ({error.strerror})", where=path, remedy="check space and rights"
        ) from error


def load_vectors(path: str | Path, words: Sequence[str]) -> np.ndarray:
    """The (P, width) float32 vectors of exactly these words. Raises CorpusError: missing, broken, of other words."""
    path = Path(path)
    remedy = "make it with: glossfree glosses OUT"
    if not path.is_file():
        raise CorpusError("no prototypes", where=path, remedy=remedy)
    try:
        with safe_open(path, framework="numpy") as file:
            found, vectors = (file.metadata() or {}).get("words"), file.get_tensor("vectors")
    except SafetensorError as error:
        raise CorpusError(f"not a file of prototypes ({error})", where=path, remedy=remedy) from error
    if found != _identity(words) or len(vectors) != len(words):
        raise CorpusError("made for other pseudo-glosses", where=path, remedy=remedy)
    return np.asarray(vectors)


def _identity(words: Sequence[str]) -> str:
    return hashlib.sha256(json.dumps(list(words), ensure_ascii=False).encode()).hexdigest()
