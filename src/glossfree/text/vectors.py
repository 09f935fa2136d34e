"""Pseudo-glosses -> prototypes: one fastText vector for each (section 3.2: 300-dimensional).

They are read from a fastText file that the user names (`.vec` text or `.bin` binary), or trained on the training
sentences.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from glossfree.errors import CorpusError
from glossfree.files.disk import write_atomic
from glossfree.text.fasttext import read_bin, read_vec
from glossfree.text.tagging import split_words

PROTOTYPES = "prototypes.safetensors"
VECTOR_SIZE = 300
BUCKETS = 50_000  # of n-grams; gensim's default of 2,000,000 takes 2.4 GB, and PHOENIX14T has 25,874 n-grams
RUNNING_WORDS = 300_000  # of training, over all epochs: 4 s on one core


def read_vectors(words: Sequence[str], path: Path) -> tuple[np.ndarray, list[str]]:
    """P words -> their vectors in a fastText file, (P, width) float32, and the words that are not in it.

    A word that the file has only with a capital (a German noun) gets that vector. Any other missing word gets the
    vector of its character n-grams (`.bin`), or a direction drawn from its name (`.vec`): a zero vector would mean
    "no sign". Raises CorpusError: missing, broken or compressed file, no word known.
    """
    if not path.is_file():
        raise CorpusError("no such file of vectors", where=path, remedy="name fastText's .bin or .vec")
    if path.suffix in (".gz", ".zip"):
        raise CorpusError("compressed", where=path, remedy="unpack it first: it is read row by row")
    read = read_bin if path.suffix in (".bin", ".ftz") else read_vec
    vectors, unknown = read(path, words)
    if len(unknown) == len(words):
        raise CorpusError(f"none of {len(words)} words is in it", where=path, remedy="is it in the right language?")
    return vectors, unknown


def train_vectors(
    words: Sequence[str],
    sentences: Iterable[str],
    on_progress: Callable[[int, int], None] = lambda epoch, epochs: None,
    split: Callable[[str], list[str]] = split_words,
) -> tuple[np.ndarray, list[str]]:
    """P words -> (P, 300) float32 of length 1, from fastText's skip-grams on `sentences`; and the words not in them.

    A lemma that occurs in no sentence gets the vector of its n-grams, which it shares with its other forms. One worker
    and a fixed hash make the result reproducible. After few sentences all vectors point in nearly one direction (on
    1,200, the median cosine between any two is 0.95), so that equations 1 and 2 could not tell them apart: `spread`
    them. `split` cuts a sentence into words. Raises CorpusError without sentences.
    """
    from gensim.models import FastText  # importing takes 1 to 4 s, and is not needed for a file
    from gensim.models.callbacks import CallbackAny2Vec

    class Progress(CallbackAny2Vec):  # type: ignore[misc]
        num_epochs = 0

        def on_epoch_end(self, model: Any) -> None:
            self.num_epochs += 1
            on_progress(self.num_epochs, epochs)

    lines = [[word for word in split(text.lower()) if word[0].isalnum()] for text in sentences]
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
        seed=0,
        workers=1,
        hashfxn=lambda text: zlib.crc32(text.encode()),  # Python's own hash differs between processes
        callbacks=[Progress()],
    )
    vectors = spread(np.stack([model.wv.get_vector(word) for word in words]))
    return vectors, [word for word in words if word not in model.wv.key_to_index]


def spread(vectors: np.ndarray) -> np.ndarray:
    """(P, width) -> centred, each principal axis scaled by 1 / sqrt(its deviation), each row of length 1."""
    if len(vectors) < 2:
        return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float32)
    centred = vectors.astype(np.float64) - vectors.mean(axis=0, dtype=np.float64)
    _, deviations, axes = np.linalg.svd(centred, full_matrices=False)
    significant = deviations > 1e-6 * deviations[0]
    axes, deviations = axes[significant], deviations[significant]
    scaled = (centred @ axes.T / np.sqrt(deviations)) @ axes
    lengths = np.maximum(np.linalg.norm(scaled, axis=1, keepdims=True), 1e-12)
    return np.asarray(scaled / lengths, dtype=np.float32)


def save_vectors(path: str | Path, vectors: np.ndarray, words: Sequence[str]) -> None:
    """Write vectors (P, width) and a hash of their words as safetensors, atomically. Raises CorpusError."""
    path = Path(path)
    if len(vectors) != len(words):
        raise ValueError(f"{len(vectors)} vectors for {len(words)} words")
    content = {"vectors": np.ascontiguousarray(vectors, np.float32)}
    write_atomic(path, save(content, {"words": _identity(words)}))  # save_file would make it unreadable to other users


def load_vectors(path: str | Path, words: Sequence[str]) -> np.ndarray:
    """Read the (P, width) float32 vectors of exactly these words. Raises CorpusError: missing, broken, other words."""
    path = Path(path)
    remedy = "make it with: glossfree glosses OUT"
    if not path.is_file():
        raise CorpusError("no prototypes", where=path, remedy=remedy)
    try:
        with safe_open(path, framework="numpy") as file:
            identity, vectors = (file.metadata() or {}).get("words"), file.get_tensor("vectors")
    except SafetensorError as error:
        raise CorpusError(f"not a file of prototypes ({error})", where=path, remedy=remedy) from error
    if identity != _identity(words) or len(vectors) != len(words):
        raise CorpusError("made for other pseudo-glosses", where=path, remedy=remedy)
    return np.asarray(vectors)


def _identity(words: Sequence[str]) -> str:
    return hashlib.sha256(json.dumps(list(words), ensure_ascii=False).encode()).hexdigest()
