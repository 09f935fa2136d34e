"""The second task of SLTUNET in float64, token by token, on a real decoder."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from glossfree.models.decoders.mbart import MBartDecoding
from glossfree.models.hierarchy import Levels
from glossfree.models.language.mbart import MBart
from glossfree.objectives.base import Inputs, Sizes
from glossfree.objectives.gloss_translation import GlossTranslation
from glossfree.objectives.translation import translation_loss
from glossfree.padded import Padded
from glossfree.video.batch import ClipBatch

B, E, V = 3, 12, 41
LENGTHS = (5, 3, 4)
LABELS = torch.tensor([[9, 6, 2, 40, -100, -100], [-100] * 6, [7, 2, 40, -100, -100, -100]])


def decoder() -> Any:
    torch.manual_seed(1)
    language = MBart(hidden_size=E, num_layers=1, num_heads=2, mlp_size=14, max_positions=20).build(V)
    return MBartDecoding().build(language, E, V).double().eval()


def levels(clips: range = range(B)) -> Levels:
    rows = torch.randn(sum(LENGTHS), E, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    parts = rows.split(LENGTHS)
    video = Padded.unpack(torch.cat([parts[clip] for clip in clips]), torch.tensor([LENGTHS[clip] for clip in clips]))
    return Levels(video=video, decoder=decoder())


def batch(labels: torch.Tensor) -> ClipBatch:
    number, targets = len(labels), {"gloss_labels": labels}
    lengths = torch.ones(number, dtype=torch.int64)
    return ClipBatch(tuple(map(str, range(number))), torch.zeros(number, E), lengths, ("",) * number, targets=targets)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_loss_is_the_mean_over_the_tokens_of_glosses(smoothing: float) -> None:
    torch.manual_seed(0)
    module = GlossTranslation(label_smoothing=smoothing).build(Sizes(5, E, V), Inputs()).double()
    given, total = levels(), 0.0
    assert given.video is not None and given.decoder is not None
    for clip in (0, 2):
        labels = LABELS[clip][LABELS[clip] != -100][None]
        rows = torch.cat([module.indicator, given.video.values[clip, : LENGTHS[clip]]])[None]
        logits = given.decoder(Padded(rows, torch.tensor([len(rows[0])])), labels)[0]
        for row, token in zip(logits.tolist(), labels[0].tolist(), strict=True):
            whole = math.log(sum(map(math.exp, row)))
            costs = [whole - each for each in row]
            total += (1 - smoothing) * costs[token] + smoothing * sum(costs) / V
    with torch.no_grad():
        assert float(module(given, batch(LABELS))) == pytest.approx(total / 7, rel=1e-5)
    assert module.units(batch(LABELS)) == 7


def test_clips_without_glosses_cost_nothing() -> None:
    module = GlossTranslation().build(Sizes(5, E, V), Inputs()).double()
    loss = module(levels(clips=range(1, 2)), batch(LABELS[1:2]))
    loss.backward()
    assert float(loss.detach()) == 0 == module.units(batch(LABELS[1:2]))
    assert module.indicator.grad is not None and module.indicator.grad.isfinite().all()


def test_the_indicator_tells_the_decoder_which_task_it_has() -> None:
    """Without it, the same labels cost what they cost in translation."""
    module = GlossTranslation(label_smoothing=0.0).build(Sizes(5, E, V), Inputs()).double()
    given, labels = levels(clips=range(1)), LABELS[:1, :4]
    assert given.video is not None and given.decoder is not None
    with torch.no_grad():
        plain = translation_loss(given.decoder(given.video, labels), labels)
        assert abs(float(module(given, batch(labels))) - float(plain)) > 1e-6
