"""The frozen text encoder's features of a corpus, computed once and kept beside the run (section 3.2, eq 4).

Every epoch compares videos with the same sentences, and the encoder that reads them never changes: it runs once per
distinct sentence, before adapters turn it into the encoder of videos, so that no second one (154 M parameters) is ever
in memory. What a run was killed over, it finds again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

import torch
from torch import Tensor

from glossfree.assemble import Parts
from glossfree.corpora.manifest import unique_texts
from glossfree.errors import RunError
from glossfree.material import Material
from glossfree.models.weights import fingerprint, state
from glossfree.progress import Console
from glossfree.training.processes import Processes
from glossfree.training.run import Run, load_tensors, save_tensors

SHARED = "all processes need the same corpus, and a run folder that they share"
TEXT_FEATURES = "text_features.safetensors"


def text_features_of(parts: Parts, material: Material, run: Run, console: Console) -> dict[str, Tensor]:
    """{sentence: features (E,)} of train and dev. Must run before `parts.adapt`.

    They are those that `run` holds, if they are of these sentences, this tokenizer and these weights; else they are
    computed, and kept there.
    """
    sentences = unique_texts([*material.clips("train"), *material.clips("dev")])
    ids = material.token_ids(sentences)
    key = _key(parts, sentences, ids)
    group = Processes.here()
    kept = _kept(run, key)
    if kept is None and group.is_main:
        with console.progress("text features", len(sentences)) as advance:
            found = parts.text_features(sentences, ids, on_progress=advance)
        kept = torch.stack([found[sentence] for sentence in sentences])
        save_tensors(run.folder / TEXT_FEATURES, {"features": kept}, {"key": key})
    group.wait()
    if kept is None:
        kept = _kept(run, key)
    if kept is None:
        raise RunError("not what the first process has written", where=run.folder / TEXT_FEATURES, remedy=SHARED)
    return dict(zip(sentences, kept, strict=True))


def _key(parts: Parts, sentences: Sequence[str], ids: Sequence[Tensor]) -> str:
    """What the features depend on: each sentence, its tokens, the encoder's weights."""
    digest = hashlib.sha256(json.dumps([sentences, [row.tolist() for row in ids]]).encode())
    digest.update(fingerprint(state(parts.mbart.model.encoder)).encode())
    return digest.hexdigest()


def _kept(run: Run, key: str) -> Tensor | None:
    """The features that a run holds under this key; a damaged file counts as none."""
    path = run.folder / TEXT_FEATURES
    if not path.is_file():
        return None
    try:
        tensors, facts = load_tensors(path)
    except RunError:
        return None
    return tensors["features"] if facts.get("key") == key else None
