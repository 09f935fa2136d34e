"""The frozen text encoder's features of a corpus, computed once and kept beside the run (section 3.2, eq 4).

Every epoch compares videos with the same sentences, and the encoder that reads them never changes: it runs once per
distinct sentence, before adapters turn it into the encoder of videos, so that no second one (154 M parameters) is in
memory. A resumed run loads them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from glossfree.console import Console
from glossfree.corpora.manifest import unique_texts
from glossfree.errors import RunError
from glossfree.models.choices import LanguageEncoder
from glossfree.models.tokens import IGNORED
from glossfree.models.weights import fingerprint, state
from glossfree.padded import Padded
from glossfree.pipeline.material import Material
from glossfree.training.processes import Processes
from glossfree.training.run import Run, load_tensors, save_tensors

SHARED = "all processes need the same corpus, and a run folder that they share"
TEXT_FEATURES = {True: "text_features.safetensors", False: "text_tokens.safetensors"}  # pooled, or a row a token
BATCH = 64  # sentences


def text_features_of(
    encoder: LanguageEncoder, material: Material, run: Run, console: Console, *, pooled: bool = True
) -> dict[str, Tensor]:
    """{sentence: features} of train and dev, by the encoder as it is: (E,) averages or, not `pooled`, (L, E).

    Loaded from `run` if they were made with the same sentences, tokenizer and weights; else computed and saved there.
    """
    sentences = unique_texts([*material.clips("train"), *material.clips("dev")])
    ids = material.token_ids(sentences)
    key = _key(encoder, sentences, ids, pooled)
    group = Processes.here()
    path = run.folder / TEXT_FEATURES[pooled]
    rows = _load(path, key)
    if rows is None and group.is_main:
        with console.progress("text features", len(sentences)) as advance:
            features = encode(encoder, sentences, ids, pooled=pooled, on_progress=advance)
        rows = torch.cat([features[sentence].reshape(-1, features[sentence].shape[-1]) for sentence in sentences])
        save_tensors(path, {"features": rows}, {"key": key})
    group.wait()
    if rows is None:
        rows = _load(path, key)
    if rows is None:
        raise RunError("not what the first process has written", where=path, remedy=SHARED)
    if pooled:
        return dict(zip(sentences, rows, strict=True))
    return dict(zip(sentences, torch.split(rows, [len(row) for row in ids]), strict=True))


@torch.no_grad()
def encode(
    encoder: LanguageEncoder,
    sentences: Iterable[str],
    ids: Iterable[Tensor],
    *,
    pooled: bool = True,
    on_progress: Callable[[int], object] | None = None,
) -> dict[str, Tensor]:
    """Sentences and their token ids (L,) -> {sentence: average over its tokens (E,), or all of them (L, E)}.

    Evaluation mode. `on_progress` gets the number of sentences of each batch.
    """
    encoder.eval()
    device = next(encoder.parameters()).device
    features: dict[str, Tensor] = {}
    pairs = list(zip(sentences, ids, strict=True))
    by_length = sorted(pairs, key=lambda pair: len(pair[1]))  # so that there is little padding
    for first in range(0, len(by_length), BATCH):
        chunk = by_length[first : first + BATCH]
        padded = nn.utils.rnn.pad_sequence([row for _, row in chunk], batch_first=True, padding_value=IGNORED)
        tokens = encoder.read(padded.to(device))
        if pooled:
            features |= zip((text for text, _ in chunk), tokens.mean().cpu(), strict=True)
        else:
            features |= {text: tokens.values[i, : len(row)].cpu() for i, (text, row) in enumerate(chunk)}
        if on_progress is not None:
            on_progress(len(chunk))
    return {text: features[text] for text, _ in pairs}


class FrozenTextEncoder:
    """A frozen copy of a language encoder: labels (B, L) -> token features Padded (B, L, E).

    Only for a sentence's features that depend on its batch. Not a module, so that no stage saves or counts it.
    """

    def __init__(self, encoder: LanguageEncoder) -> None:
        self.encoder = encoder.copied().requires_grad_(False).eval()

    @torch.no_grad()
    def __call__(self, labels: Tensor) -> Padded:
        """Labels (B, L), -100 = ignored -> Padded (B, L, E)."""
        return self.encoder.read(labels)


def _key(encoder: LanguageEncoder, sentences: Sequence[str], ids: Sequence[Tensor], pooled: bool) -> str:
    """A hash of what the features depend on: sentences, tokens, the encoder's weights."""
    digest = hashlib.sha256(json.dumps([sentences, [row.tolist() for row in ids], pooled]).encode())
    digest.update(fingerprint(state(encoder)).encode())
    return digest.hexdigest()


def _load(path: Path, key: str) -> Tensor | None:
    """The features that a run saved under this key; None without, or if the file is damaged."""
    if not path.is_file():
        return None
    try:
        tensors, facts = load_tensors(path)
    except RunError:
        return None
    return tensors["features"] if facts.get("key") == key else None
