"""The third task of SLTUNET in float64, token by token, on a real encoder and decoder."""

from __future__ import annotations

import math

import pytest
import torch

from glossfree.models.decoders.mbart import MBartDecoding
from glossfree.models.hierarchy import Levels
from glossfree.models.language.mbart import MBart
from glossfree.objectives.base import Inputs, Sizes
from glossfree.objectives.gloss_to_text import GlossToText
from glossfree.video.batch import ClipBatch

B, E, V = 3, 12, 41
GLOSSES = torch.tensor([[9, 6, 5, 2, 40, -100, -100], [-100] * 7, [7, 2, 40, -100, -100, -100, -100]])
SENTENCES = torch.tensor([[8, 11, 2, 40, -100], [10, 4, 5, 2, 40], [13, 2, 40, -100, -100]])


def levels() -> Levels:
    torch.manual_seed(1)
    language = MBart(hidden_size=E, num_layers=1, num_heads=2, mlp_size=14, max_positions=20).build(V)
    decoder = MBartDecoding().build(language, E, V).double().eval()
    return Levels(decoder=decoder, reader=language.double().eval().read)


def batch(clips: tuple[int, ...]) -> ClipBatch:
    lengths, targets = torch.ones(len(clips), dtype=torch.int64), {"gloss_labels": GLOSSES[list(clips)]}
    names = tuple(map(str, clips))
    return ClipBatch(names, torch.zeros(len(clips), E), lengths, names, SENTENCES[list(clips)], targets=targets)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_loss_is_the_mean_over_the_tokens_of_sentences_that_have_glosses(smoothing: float) -> None:
    module, given, total = GlossToText(label_smoothing=smoothing).build(Sizes(5, E, V), Inputs()), levels(), 0.0
    assert given.decoder is not None and given.reader is not None
    with torch.no_grad():
        for clip in (0, 2):
            glosses, labels = (each[clip][each[clip] != -100][None] for each in (GLOSSES, SENTENCES))
            logits = given.decoder(given.reader(glosses), labels)[0]
            for row, token in zip(logits.tolist(), labels[0].tolist(), strict=True):
                whole = math.log(sum(map(math.exp, row)))
                costs = [whole - each for each in row]
                total += (1 - smoothing) * costs[token] + smoothing * sum(costs) / V
        assert float(module(given, batch((0, 1, 2)))) == pytest.approx(total / 7, rel=1e-5)
    assert module.units(batch((0, 1, 2))) == 7


def test_clips_without_glosses_cost_nothing() -> None:
    module = GlossToText().build(Sizes(5, E, V), Inputs())
    loss = module(levels(), batch((1,)))
    loss.backward()
    assert float(loss.detach()) == 0 == module.units(batch((1,)))


def test_encoder_and_decoder_both_learn() -> None:
    given = levels()
    module = GlossToText().build(Sizes(5, E, V), Inputs())
    module(given, batch((0, 2))).backward()
    language = given.reader.__self__  # type: ignore[union-attr]
    for part in (language, given.decoder):
        assert isinstance(part, torch.nn.Module)
        gradients = [each.grad for each in part.parameters() if each.grad is not None]
        assert gradients and any(bool(each.any()) for each in gradients)
