"""Vectors of sentences from a file or a model, and what is wrong with them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from glossfree.errors import CorpusError, GlossfreeError, ModelError, RecipeError
from glossfree.pipeline.material import gather
from glossfree.pipeline.sentence_vectors import read, sentence_vectors
from glossfree.recipe.files import load_recipe
from glossfree.recipe.schema import Recipe

TEXTS = ("es taut", "kräftiger Wind", "es regnet")
VECTORS = np.arange(12.0).reshape(4, 3)


def recipe(*sources: Path | str) -> Recipe:
    stages = ["finetune1", "finetune2"]
    named = [f"{stage}.objectives.text_similarity.vectors={path}" for stage, path in zip(stages, sources, strict=False)]
    return load_recipe("hfa-phoenix14t", named)


def saved(path: Path, **arrays: Any) -> Path:
    np.savez(path, **{"sentences": [*TEXTS, "mehr"], "vectors": VECTORS} | arrays)
    return path


def test_each_sentence_gets_its_row_of_the_file(tmp_path: Path) -> None:
    path = saved(tmp_path / "v.npz")
    vectors = sentence_vectors(recipe(path, path), TEXTS[::-1])
    assert vectors is not None and [*vectors] == [*TEXTS[::-1]]
    assert vectors["kräftiger Wind"].tolist() == [3, 4, 5] and vectors["es taut"].dtype == torch.float32


def test_a_recipe_that_names_none_needs_none() -> None:
    assert sentence_vectors(recipe(), TEXTS) is None
    assert sentence_vectors(load_recipe("gaslt-phoenix14t"), TEXTS) is None


def test_two_sources_are_refused() -> None:
    with pytest.raises(RecipeError, match=r"a\.npz, b\.npz"):
        sentence_vectors(recipe("a.npz", "b.npz"), TEXTS)


@pytest.mark.parametrize(
    ("arrays", "problem"),
    [
        ({"sentences": [*TEXTS[:2], "a", "b"]}, r"1 of 3 sentences .*es regnet"),
        ({"vectors": VECTORS[:2]}, "4 different sentences, vectors"),
        ({"vectors": VECTORS[0]}, "4 different sentences, vectors"),
        ({"vectors": VECTORS + np.inf}, "not finite"),
        ({"vectors": np.array([["a"]])}, "not a file"),
        ({"sentences": np.array([None, "a"], dtype=object)}, "not a file"),
        ({"sentences": 3}, "not a file"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(tmp_path: Path, arrays: dict[str, Any], problem: str) -> None:
    path = saved(tmp_path / "v.npz", **arrays)
    with pytest.raises(CorpusError, match=problem) as caught:
        sentence_vectors(recipe(path), TEXTS)
    assert caught.value.where == str(path)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no archive", b"text", b"\x93NUMPY"])
def test_a_damaged_or_missing_file_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "v.npz").write_bytes(content)
    for name in ("v.npz", "none.npz"):
        with pytest.raises(CorpusError, match=r"numpy\.savez"):
            sentence_vectors(recipe(tmp_path / name), TEXTS)


def test_a_damaged_file_never_ends_in_a_traceback(tmp_path: Path) -> None:
    path, rng = tmp_path / "v.npz", np.random.default_rng(0)
    np.savez_compressed(path, sentences=np.array(TEXTS), vectors=rng.normal(size=(len(TEXTS), 40)))
    whole, refused = path.read_bytes(), 0
    for _ in range(150):
        damaged = np.frombuffer(whole, np.uint8).copy()
        damaged[rng.integers(len(whole), size=6)] = rng.integers(256, size=6)
        path.write_bytes(damaged.tobytes())
        try:
            read(path, TEXTS)
        except CorpusError:
            refused += 1
    assert refused > 100


def test_a_folder_needs_a_package_that_is_not_required(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(ModelError, match=r"glossfree\[sentences\]"):
        sentence_vectors(recipe(tmp_path), TEXTS)


def test_they_are_read_before_anything_is_trained_and_not_for_what_is_trained(tiny: Any, tmp_path: Path) -> None:
    source = tmp_path / "v.npz"
    trained = load_recipe(tiny.recipe, [f"finetune2.objectives.text_similarity.vectors={source}"])
    assert gather(trained, tiny.corpus, to_train=False).sentence_vectors is None
    with pytest.raises(GlossfreeError, match="no such file"):
        gather(trained, tiny.corpus)
    texts = sorted({clip.text for clip in gather(load_recipe(tiny.recipe), tiny.corpus).manifest.clips})
    saved(source, sentences=texts, vectors=np.eye(len(texts)))
    vectors = gather(trained, tiny.corpus).sentence_vectors
    assert vectors is not None and 10 <= len(vectors) < len(texts), "of train and dev"
