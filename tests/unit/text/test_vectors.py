"""Prototypes: trained, spread, read, saved."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from glossfree.errors import CorpusError
from glossfree.text.vectors import load_vectors, read_vectors, save_vectors, spread, train_vectors

SENTENCES = [
    "am dienstag schneit es im bergland", "am mittwoch schneit es im norden", "am dienstag regnet es im norden",
    "der wind weht böig im süden", "der wind weht stürmisch im westen", "der wind weht schwach im osten",
] * 5  # fmt: skip
WORDS = ["bergland", "dienstag", "mittwoch", "norden", "regnen", "süden", "wehen", "wind"]


@pytest.fixture(scope="module")
def trained() -> tuple[np.ndarray, list[str]]:
    return train_vectors(WORDS, SENTENCES)


def test_trained_vectors(trained: tuple[np.ndarray, list[str]]) -> None:
    vectors, unknown = trained
    assert (vectors.shape, vectors.dtype) == ((8, 300), np.float32)
    assert unknown == ["regnen", "wehen"]  # the sentences have "regnet" and "weht"
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
    cosines = vectors @ vectors.T - 2 * np.eye(8)
    assert cosines.max() < 0.9  # raw, they are above 0.99


def test_the_same_sentences_give_the_same_vectors_in_any_process(trained: tuple[np.ndarray, list[str]]) -> None:
    program = (
        "import sys, json, hashlib; from glossfree.text.vectors import train_vectors;"
        "words, lines = json.loads(sys.argv[1]);"
        "print(hashlib.sha256(train_vectors(words, lines)[0].tobytes()).hexdigest())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, json.dumps([WORDS, SENTENCES])],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONHASHSEED": "12"},  # which BLAS kernels to use is part of the machine
    )
    assert done.stdout.strip() == hashlib.sha256(trained[0].tobytes()).hexdigest()


def test_training_reports_its_epochs() -> None:
    seen: list[tuple[int, int]] = []
    train_vectors(WORDS[:2], SENTENCES, on_progress=lambda done, total: seen.append((done, total)))
    assert [done for done, _ in seen] == list(range(1, seen[0][1] + 1))


def test_training_needs_words() -> None:
    with pytest.raises(CorpusError, match="no training sentence"):
        train_vectors(["regen"], ["...", ""])


def test_spreading_takes_the_common_direction_away() -> None:
    rng = np.random.default_rng(0)
    crowded = rng.standard_normal((23, 9)) * np.geomspace(1, 1e-2, 9) + 50
    result = spread(crowded)
    assert result.shape == (23, 9)
    np.testing.assert_allclose(np.linalg.norm(result, axis=1), 1, rtol=1e-5)
    centred = crowded - crowded.mean(axis=0)
    covariance = centred.T @ centred
    values, axes = np.linalg.eigh(covariance)
    expected = centred @ axes @ np.diag(values**-0.25) @ axes.T
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(result, expected, atol=1e-4)


def test_spreading_what_has_no_spread() -> None:
    assert np.isfinite(spread(np.ones((3, 5)))).all()
    np.testing.assert_allclose(spread(np.array([[3.0, 4.0]])), [[0.6, 0.8]])


def test_vectors_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "de.vec"
    path.write_text("2 3\nwind 1 0 2\nNebel 3 1 0\n")
    vectors, unknown = read_vectors(["nebel", "wind"], path)
    np.testing.assert_array_equal(vectors, [[3, 1, 0], [1, 0, 2]])
    assert unknown == []


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("gone.vec", None, "no such file of vectors"),
        ("cc.de.300.vec.gz", "", "compressed -> unpack it first"),
        ("other.vec", "1 3\nrain 1 2 3\n", "none of 2 words is in it"),
        ("empty.vec", "", "none of 2 words is in it"),
        ("model.bin", "text", "not a fastText model"),
    ],
)
def test_unusable_files_are_named(tmp_path: Path, name: str, content: str | None, message: str) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(CorpusError, match=message) as caught:
        read_vectors(["nebel", "wind"], tmp_path / name)
    assert name in str(caught.value)


def test_saved_vectors_belong_to_their_words(trained: tuple[np.ndarray, list[str]], tmp_path: Path) -> None:
    path = tmp_path / "prototypes.safetensors"
    save_vectors(path, trained[0], WORDS)
    np.testing.assert_array_equal(load_vectors(path, WORDS), trained[0])
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    for others in (WORDS[::-1], WORDS[:-1]):
        with pytest.raises(CorpusError, match="made for other pseudo-glosses"):
            load_vectors(path, others)
    with pytest.raises(ValueError, match="8 vectors for 7 words"):
        save_vectors(path, trained[0], WORDS[:-1])


def test_missing_and_broken_files_of_prototypes(tmp_path: Path) -> None:
    path = tmp_path / "prototypes.safetensors"
    with pytest.raises(CorpusError, match="no prototypes -> make it with: glossfree glosses"):
        load_vectors(path, WORDS)
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(CorpusError, match="not a file of prototypes"):
        load_vectors(path, WORDS)
    with pytest.raises(CorpusError, match="cannot be written"):
        save_vectors(tmp_path / "no" / "folder", np.zeros((1, 2)), ["a"])
