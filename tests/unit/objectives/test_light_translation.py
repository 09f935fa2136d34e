"""The small decoder of a stage: what it consists of, and what it leaves behind."""

from __future__ import annotations

import pytest
import torch

from glossfree.errors import ModelError
from glossfree.models.hierarchy import Levels
from glossfree.objectives.base import Inputs, Sizes
from glossfree.objectives.light_translation import LightTranslation, LightTranslationLoss
from glossfree.padded import Padded
from glossfree.video.batch import ClipBatch

E, V = 18, 37
SMALL = {"hidden_size": 12, "num_heads": 3, "mlp_size": 20, "max_positions": 8}


def build(**options: object) -> LightTranslationLoss:
    return LightTranslation.model_validate(SMALL | options).build(Sizes(14, E, V), Inputs())


def batch(segments: int) -> tuple[Levels, ClipBatch]:
    levels = Levels(segment=Padded(torch.ones(1, segments, E), torch.tensor([segments])))
    labels = torch.tensor([[7, 8, 2, 30]])
    return levels, ClipBatch(("a",), torch.zeros(1, E), torch.tensor([1]), ("a",), labels, level="segment_features")


@pytest.mark.parametrize(("encoder_layers", "num_layers"), [(0, 2), (3, 1), (2, 2)])
def test_encoder_and_decoder_have_layers_of_their_own_number(encoder_layers: int, num_layers: int) -> None:
    module = build(encoder_layers=encoder_layers, num_layers=num_layers)
    parts = module.decoder.mbart.model
    assert (len(parts.encoder.layers), len(parts.decoder.layers)) == (encoder_layers, num_layers)
    levels, seen = batch(5)
    module(levels, seen).backward()
    assert all(parameter.grad is not None for parameter in module.parameters()), "nothing is built and not used"


def test_by_default_it_has_the_size_of_the_paper() -> None:
    with torch.device("meta"):
        module = LightTranslation().build(Sizes(512, 1024, 2172), Inputs())
    encoder, decoder = module.decoder.mbart.model.encoder.layers, module.decoder.mbart.model.decoder.layers
    assert (len(encoder), len(decoder)) == (3, 3)
    assert (decoder[2].self_attn.num_heads, decoder[2].fc1.weight.shape) == (8, (2048, 512))
    assert 24e6 < sum(parameter.numel() for parameter in module.parameters()) < 26e6


def test_more_segments_than_positions_are_refused() -> None:
    module = build()
    assert module(*batch(8)).isfinite()
    with pytest.raises(ModelError, match="9 segments"):
        module(*batch(9))


def test_heads_must_divide_the_width() -> None:
    assert list(LightTranslation(hidden_size=12, num_heads=5).problems()) != []


def test_levels_are_those_that_it_reads() -> None:
    assert [LightTranslation(reads=reads).level for reads in ("segment", "video")] == ["segment", "video"]
