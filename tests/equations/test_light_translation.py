"""FLa-LLM's Light-T: its cross-entropy, each token from its own past, against loops in float64."""

from __future__ import annotations

import math
from typing import Literal

import pytest
import torch
from torch import Tensor

from glossfree.models.hierarchy import Levels
from glossfree.models.tokens import IGNORED
from glossfree.objectives.base import Inputs, Sizes
from glossfree.objectives.light_translation import LightTranslation, LightTranslationLoss
from glossfree.padded import Padded
from glossfree.video.batch import ClipBatch

E, V, H = 18, 37, 12
SEGMENTS, TOKENS = (7, 1, 4), (3, 6, 2)


def features(seed: int) -> Padded:
    rows = torch.randn(sum(SEGMENTS), E, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return Padded.unpack(rows, torch.tensor(SEGMENTS))


def batch() -> ClipBatch:
    labels = torch.full((len(TOKENS), max(TOKENS)), IGNORED)
    for clip, tokens in enumerate(TOKENS):
        labels[clip, :tokens] = torch.tensor([*range(5 + clip, 3 + clip + tokens), 2, 30])
    ids = tuple(f"clip{number}" for number in range(len(TOKENS)))
    lengths = torch.tensor(SEGMENTS)
    return ClipBatch(ids, torch.zeros(sum(SEGMENTS), E), lengths, ids, labels, level="segment_features")


def naive_projection(module: LightTranslationLoss, rows: Tensor) -> Tensor:
    """Rows (S, E) -> (S, H): W_2 gelu(W_1 x + b_1) + b_2, one number after another."""
    first, _, second = module.projection
    projected = []
    for row in rows:
        hidden = [float(w @ row + b) for w, b in zip(first.weight, first.bias, strict=True)]
        hidden = [x * 0.5 * (1 + math.erf(x / math.sqrt(2))) for x in hidden]
        projected.append([
            sum(float(w) * x for w, x in zip(weights, hidden, strict=True)) + float(b)
            for weights, b in zip(second.weight, second.bias, strict=True)
        ])  # fmt: skip
    return torch.tensor(projected, dtype=torch.float64)


def naive_loss(module: LightTranslationLoss, sequences: Padded, labels: Tensor, smoothing: float) -> float:
    """Clip by clip without padding; the decoder sees the language code and the tokens before t, and nothing else."""
    mbart = module.decoder.mbart
    total = 0.0
    for clip, (length, count) in enumerate(zip(SEGMENTS, TOKENS, strict=True)):
        rows = naive_projection(module, sequences.values[clip, :length])
        encoded, _ = mbart.model.encoder(rows[None])
        target = labels[clip, :count].tolist()
        for t in range(count):
            past = torch.tensor([[target[-1], *target[:t]]])
            state = mbart.model.decoder(mbart.model.decoder.embed_tokens(past), memory=encoded)[0][0, -1]
            scores = [float(row @ state) for row in mbart.model.shared.weight]  # the table is the output layer
            log_sum = math.log(sum(math.exp(score) for score in scores))
            wanted = log_sum - scores[target[t]]
            average = sum(log_sum - score for score in scores) / V
            total += (1 - smoothing) * wanted + smoothing * average
    return total / sum(TOKENS)


@pytest.mark.parametrize("reads", ["segment", "video"])
@pytest.mark.parametrize(("encoder_layers", "num_layers"), [(0, 1), (2, 1), (1, 2)])
@torch.no_grad()
def test_the_loss_of_a_batch(reads: Literal["segment", "video"], encoder_layers: int, num_layers: int) -> None:
    options = LightTranslation(
        reads=reads, hidden_size=H, encoder_layers=encoder_layers, num_layers=num_layers, num_heads=3, mlp_size=20,
        max_positions=16, label_smoothing=0.3,
    )  # fmt: skip
    torch.manual_seed(2)
    module = options.build(Sizes(14, E, V), Inputs()).double().eval()
    for parameter in module.parameters():
        parameter += 0.2 * torch.randn_like(parameter)
    levels = Levels(segment=features(1), video=features(2))
    translated = features(1 if reads == "segment" else 2)
    seen = batch()
    assert float(module(levels, seen)) == pytest.approx(naive_loss(module, translated, seen.labels, 0.3), rel=1e-5)
    assert module.units(seen) == sum(TOKENS)
