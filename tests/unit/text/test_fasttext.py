"""fastText's files against gensim's reading of them, and broken ones."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from gensim.models import FastText
from gensim.models.fasttext import load_facebook_vectors, save_facebook_model

from glossfree.errors import CorpusError
from glossfree.text.fasttext import read_bin, read_vec

LINES = [
    ["am", "Dienstag", "schneit", "es", "im", "Bergland"],
    ["der", "Wind", "weht", "böig", "und", "später", "stürmisch", "über", "die", "Täler"],
    ["es", "schneit", "und", "der", "Wind", "weht", "im", "Bergland", "größer"],
] * 4  # fmt: skip
KNOWN, UNKNOWN = ["schneit", "weht", "böig"], ["bergländer", "漢字", "zzz"]


def write_bin(path: Path, **options: int) -> FastText:
    settings = {"vector_size": 13, "min_count": 1, "bucket": 211, "epochs": 2, "min_n": 2, "max_n": 5} | options
    model = FastText(sentences=LINES, workers=1, seed=3, **settings)
    save_facebook_model(model, str(path))
    return model


@pytest.fixture(scope="module")
def binary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("fasttext") / "model.bin"
    write_bin(path)
    return path


@pytest.mark.parametrize("options", [{}, {"min_n": 1, "max_n": 3}, {"min_n": 3, "max_n": 6, "vector_size": 5}])
def test_a_binary_model_gives_gensims_vectors(tmp_path: Path, options: dict[str, int]) -> None:
    write_bin(tmp_path / "model.bin", **options)
    theirs = load_facebook_vectors(str(tmp_path / "model.bin"))
    words = [*KNOWN, *UNKNOWN]
    ours, unknown = read_bin(tmp_path / "model.bin", words)
    assert unknown == UNKNOWN
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, np.stack([theirs.get_vector(word) for word in words]), atol=1e-6)


def test_a_noun_is_found_under_its_capital(binary: Path) -> None:
    vectors, unknown = read_bin(binary, ["wind", "Wind", "täler"])
    assert unknown == []
    assert np.array_equal(vectors[0], vectors[1])


def test_a_model_without_ngrams_gives_unknown_words_a_direction(tmp_path: Path) -> None:
    write_bin(tmp_path / "model.bin", max_n=0, bucket=1)
    vectors, unknown = read_bin(tmp_path / "model.bin", ["weht", "zzz", "yyy"])
    assert unknown == ["zzz", "yyy"]
    assert np.linalg.norm(vectors[1]) == pytest.approx(np.linalg.norm(vectors[2]), rel=1e-5)
    assert np.linalg.norm(vectors[1]) > 0
    assert not np.allclose(vectors[1], vectors[2])


def test_broken_binaries(binary: Path, tmp_path: Path) -> None:
    complete = binary.read_bytes()
    cases = {
        b"": "empty file",
        b"no such model, but long enough for a header of this kind" * 3: "not a fastText model",
        struct.pack("<2i", 793712314, 9) + complete[8:]: "starts with 793712314, 9",
        complete[:200]: "not a fastText model",
        complete[:4000]: "truncated",
    }
    for number, (content, message) in enumerate(cases.items()):
        path = tmp_path / f"{number}.bin"
        path.write_bytes(content)
        with pytest.raises(CorpusError, match=message) as caught:
            read_bin(path, KNOWN)
        assert str(path) in str(caught.value)


def test_a_compressed_model_is_refused(binary: Path, tmp_path: Path) -> None:
    height = len(load_facebook_vectors(str(binary)).key_to_index) + 211
    flag = binary.read_bytes().index(struct.pack("<2q", height, 13)) - 1  # two int64, then the matrix
    content = bytearray(binary.read_bytes())
    assert content[flag] == 0
    content[flag] = 1
    (tmp_path / "model.ftz").write_bytes(content)
    with pytest.raises(CorpusError, match=r"compressed, \.ftz"):
        read_bin(tmp_path / "model.ftz", KNOWN)


VEC = "4 3\nregen 1 2 3\nWind 4 5 6\nwind 7 8 9\nSonne -1 0.5 2e-1\n"


def test_rows_of_a_text_file(tmp_path: Path) -> None:
    path = tmp_path / "a.vec"
    path.write_text(VEC)
    vectors, unknown = read_vec(path, ["sonne", "wind", "regen"])
    assert unknown == []
    np.testing.assert_allclose(vectors, [[-1, 0.5, 0.2], [7, 8, 9], [1, 2, 3]])  # the exact word before its capital
    path.write_text(VEC.split("\n", 1)[1])  # without the first line
    np.testing.assert_array_equal(read_vec(path, ["regen"])[0], [[1, 2, 3]])


def test_a_text_file_is_read_only_as_far_as_needed(tmp_path: Path) -> None:
    path = tmp_path / "a.vec"
    path.write_text(VEC + "broken x y\n")
    assert read_vec(path, ["wind", "regen"])[1] == []
    with pytest.raises(CorpusError, match="line 6 contains something that is not a number"):
        read_vec(path, ["broken"])


def test_a_word_that_no_line_has_gets_a_direction_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "a.vec"
    path.write_text(VEC)
    vectors, unknown = read_vec(path, ["regen", "hagel", "nebel"])
    assert unknown == ["hagel", "nebel"]
    assert np.linalg.norm(vectors, axis=1) == pytest.approx([14**0.5] * 3, rel=1e-5)
    assert abs(np.corrcoef(vectors[1], vectors[2])[0, 1]) < 0.999
    again, _ = read_vec(path, ["regen", "nebel"])
    np.testing.assert_array_equal(again[1], vectors[2])


def test_a_line_of_another_length(tmp_path: Path) -> None:
    path = tmp_path / "a.vec"
    path.write_text("2 3\nregen 1 2\nwind 1 2 3\n")
    with pytest.raises(CorpusError, match=r"a\.vec: line 2 has 2 numbers, not 3"):
        read_vec(path, ["regen"])
