"""What the formula counts from shapes is what torch counts while the model runs, part by part and to the last one.

Where the model computes more than is needed, the test says how much.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from benchmarks.flops import (
    Flops,
    attended,
    counted,
    decoder_flops,
    encoder_flops,
    head_flops,
    pretraining_flops,
    temporal_flops,
    translation_flops,
    vision_flops,
)
from benchmarks.full_size import assembled, fixed_batch, pseudo_gloss
from torch import Tensor

from glossfree.models.backbones.convnet import SmallConvNet
from glossfree.models.decoders.gru import RecurrentDecoding
from glossfree.models.hierarchy import TranslationModel
from glossfree.models.language.none import NoEncoder
from glossfree.models.temporal.linear import PerFrame
from glossfree.padded import Padded
from glossfree.pipeline.assemble import adapt, put_mapper
from glossfree.recipe.files import load_recipe
from glossfree.recipe.schema import Recipe

CLIPS, FRAMES, SEGMENTS, TOKENS = 3, 9, 5, 7


@pytest.fixture
def model(small: Recipe) -> TranslationModel:
    adapted = assembled(small)
    adapt(adapted, small)
    put_mapper(adapted, small)
    return adapted


def measured(run: Callable[[], Tensor]) -> Flops:
    """What torch counts of a forward pass and of the backward pass behind it."""
    output, forward = counted(run)
    return Flops(forward, counted(output.sum().backward)[1])


def sequence(steps: int, width: int, learns: bool = True) -> Padded:
    return Padded(torch.randn(CLIPS, steps, width, requires_grad=learns), torch.tensor([steps] * CLIPS))


def test_vision(small: Recipe, model: TranslationModel) -> None:
    frames = fixed_batch(small, [5, 6]).frames
    found = measured(lambda: model.hierarchy.visual.look(frames))
    width, rank, patches = 30, 5, 16
    queries = Flops(2 * width * width, 2 * width * width) + Flops(2 * rank * width, 4 * rank * width)
    assert found == vision_flops(small, 11) + queries * patches * 11


def test_temporal_encoder(small: Recipe, model: TranslationModel) -> None:
    rows = torch.randn(CLIPS * FRAMES, 30, requires_grad=True)
    lengths = torch.tensor([FRAMES] * CLIPS)
    found = measured(
        lambda: model.hierarchy.temporal(Padded.unpack(model.hierarchy.visual.project(rows), lengths)).values
    )
    surplus = Flops()
    for steps, layers in ((FRAMES, 1), (SEGMENTS, 2)):
        queries = (CLIPS, 2, steps, 14)
        computed, window = attended(queries, (0, 0, steps + 6)), attended(queries, (0, 0, 7))
        surplus += Flops(computed.forward - window.forward, computed.backward - window.backward) * layers
    assert found == temporal_flops(small, [FRAMES] * CLIPS) + surplus


def test_language_encoder(small: Recipe, model: TranslationModel) -> None:
    segments = sequence(SEGMENTS, 44)
    found = measured(lambda: model.hierarchy.language(segments).values)
    assert found == encoder_flops(small, [SEGMENTS] * CLIPS)


def test_language_decoder(small: Recipe, model: TranslationModel) -> None:
    video, labels = sequence(SEGMENTS, 44), torch.randint(4, 40, (CLIPS, TOKENS))
    found = measured(lambda: model.decoder(video, labels))
    assert found == decoder_flops(small, [SEGMENTS] * CLIPS, TOKENS)


def test_head(small: Recipe) -> None:
    segments = sequence(SEGMENTS, 44)
    head = pseudo_gloss(small).head(44, torch.randn(37, 19))
    found = measured(lambda: head(segments).scores)
    assert found == head_flops(small, [FRAMES] * CLIPS)


def test_a_learned_token_stands_before_the_segments_in_pretraining_only(small: Recipe) -> None:
    assert pretraining_flops(small, [9, 8])["language encoder"] == encoder_flops(small, [6, 5])
    mapper = Flops(2 * 9 * 44 * 44, 4 * 9 * 44 * 44)
    assert translation_flops(small, [9, 8], 7)["language encoder"] == mapper + encoder_flops(small, [5, 4])


def test_a_frozen_vit_costs_nothing_on_the_way_back(small: Recipe) -> None:
    top = small.vision.model_copy(update={"adapter_layers": 1})
    one, two = (vision_flops(small.model_copy(update={"vision": vision}), 1) for vision in (top, small.vision))
    assert one.backward < two.backward / 2
    assert one.forward < two.forward
    with pytest.raises(ValueError, match="adapters only"):
        vision_flops(small.model_copy(update={"vision": small.vision.model_copy(update={"train": "none"})}), 1)


def test_other_choices_of_parts_are_refused(small: Recipe) -> None:
    changed = {
        "vision": SmallConvNet(),
        "temporal": PerFrame(),
        "language": NoEncoder(),
        "decoder": RecurrentDecoding(),
    }
    for name, options in changed.items():
        recipe = small.model_copy(update={name: options})
        with pytest.raises(ValueError, match=f"not for {type(options).__name__}"):
            translation_flops(recipe, [9], 7)


def test_at_full_size_the_vit_is_nearly_all_of_it() -> None:
    """11.4 GFLOP a frame: DINOv2's own figure for ViT-S/14 is about 6 billion multiply-adds at 257 tokens."""
    recipe = load_recipe("hfa-phoenix14t")
    for parts in (pretraining_flops(recipe, [58, 58]), translation_flops(recipe, [58, 58], 16)):
        total = sum(part.total for part in parts.values())
        assert 1.6e12 < total < 1.7e12
        assert parts["ViT"].total > 0.95 * total
    assert 11e9 < vision_flops(recipe, 1).forward < 12e9
