"""Vectors of sentences that a recipe names: a file of them, or a sentence-transformers model that makes them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tokenize import TokenError
from typing import Any
from zipfile import BadZipFile
from zlib import error as ZlibError

import numpy as np
import torch
from torch import Tensor

from glossfree.errors import CorpusError, ModelError, RecipeError, name_some
from glossfree.objectives.text_similarity import TextSimilarity
from glossfree.recipe.schema import Recipe

FILE = "write it with numpy.savez(FILE, sentences=[N strings], vectors=[N rows of floats])"
# what numpy and zipfile raise for damaged files
DAMAGED = (
    OSError,
    EOFError,
    ValueError,
    KeyError,
    TypeError,
    SyntaxError,
    RuntimeError,
    TokenError,
    BadZipFile,
    ZlibError,
)
INSTALL = "pip install glossfree[sentences], or name an .npz file of sentences and vectors"


def sentence_vectors(recipe: Recipe, sentences: Sequence[str]) -> dict[str, Tensor] | None:
    """Sentences -> a vector for each, from what the recipe names; None if it names nothing.

    Raises RecipeError if it names several sources; CorpusError: no such file, a damaged one, sentences that are not in
    it; ModelError: a folder without a sentence-transformers model, or that package is missing.
    """
    objectives = [each for stage in recipe.planned for each in stage.used_objectives.values()]
    sources = sorted({each.vectors for each in objectives if isinstance(each, TextSimilarity) and each.vectors})
    if not sources:
        return None
    if len(sources) > 1:
        raise RecipeError(f"objectives text_similarity name several vectors: {name_some(sources)}", remedy="name one")
    path = Path(sources[0])
    rows = embed(path, sentences) if path.is_dir() else read(path, sentences)
    if not np.isfinite(rows).all():
        raise CorpusError("vectors that are not finite", where=path)
    return dict(zip(sentences, torch.from_numpy(rows), strict=True))


def read(path: Path, sentences: Sequence[str]) -> np.ndarray:
    """An .npz file with `sentences` (N,) and `vectors` (N, any) -> the rows of these sentences, float32."""
    if not path.is_file():
        raise CorpusError("no such file or folder of sentence vectors", where=path, remedy=FILE)
    try:
        with np.load(path, allow_pickle=False) as arrays:
            known = {str(text): row for row, text in enumerate(arrays["sentences"])}
            vectors = arrays["vectors"].astype(np.float32, casting="same_kind")
    except DAMAGED as error:
        raise CorpusError(f"not a file of sentence vectors ({error})", where=path, remedy=FILE) from error
    if vectors.ndim != 2 or not vectors.any(axis=1).all() or len(known) != len(vectors):
        problem = f"{len(known)} different sentences, vectors {vectors.shape}; each needs one, not all of it 0"
        raise CorpusError(problem, where=path, remedy=FILE)
    missing = [text for text in sentences if text not in known]
    if missing:
        counted = f"{len(missing)} of {len(sentences)} sentences of train and dev are not in it"
        raise CorpusError(f"{counted}: {name_some(missing, limit=3)}", where=path, remedy="add them")
    return np.stack([vectors[known[text]] for text in sentences])


def embed(folder: Path, sentences: Sequence[str]) -> np.ndarray:
    """A folder with a sentence-transformers model -> its vectors of these sentences, (N, any) float32."""
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError as error:
        problem = f"a folder needs the package sentence-transformers ({error})"
        raise ModelError(problem, where=folder, remedy=INSTALL) from error
    try:
        model: Any = SentenceTransformer(str(folder), local_files_only=True)
    except (OSError, ValueError, KeyError) as error:
        problem = f"no sentence-transformers model ({str(error).partition(chr(10))[0]})"
        raise ModelError(problem, where=folder, remedy="name a folder that model.save(FOLDER) has written") from error
    return np.asarray(model.encode(list(sentences), show_progress_bar=False), dtype=np.float32)
