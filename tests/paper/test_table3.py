"""Table 3 of the paper, part by part and in sum, counted on modules of the paper's size that hold no memory."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from glossfree.models.adapters import add_lora
from glossfree.models.hierarchy import HierarchicalEncoder
from glossfree.models.language import LanguageEncoder, TextEncoder, mbart
from glossfree.models.mapper import Mapper
from glossfree.models.pretraining import PretrainingModel
from glossfree.models.prototypes import PseudoGlossHead
from glossfree.models.temporal import TemporalEncoder
from glossfree.models.translator import TranslationModel
from glossfree.models.vision import VisualEncoder, dinov2

TOKENS, PSEUDO_GLOSSES = 2172, 2322
TEMPERATURES = 2  # learnable in the paper, fixed in the released code: Table 3 does not count them


def count(*parts: nn.Module | nn.Parameter) -> int:
    """Parameters of modules (a shared one once), or of single parameters."""
    return sum(p.numel() for part in parts for p in ([part] if isinstance(part, nn.Parameter) else part.parameters()))


def trainable(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters() if p.requires_grad)


def language_model() -> nn.Module:
    return mbart(TOKENS, 1024, 12, 16, 4096, 1024, 0.1)


def hierarchy(language: nn.Module, mapper: Mapper | None) -> HierarchicalEncoder:
    backbone = dinov2(hidden_size=384, num_layers=12, num_heads=6, mlp_ratio=4, patch_size=14, image_size=518)
    add_lora(backbone, ["qkv", "proj", "fc1", "fc2"], rank=4, alpha=4.0, dropout=0.1, layers=[9, 10, 11])
    temporal = TemporalEncoder(512, 1024, 4, 8, 2048, 7, 2, 0.1, 0.1, 1e-5)
    add_lora(language.model.encoder, ["q_proj", "v_proj"], rank=16, alpha=32.0, dropout=0.1)
    return HierarchicalEncoder(
        VisualEncoder(backbone, 384, 512), temporal, LanguageEncoder(language.model.encoder), mapper
    )


@pytest.fixture(scope="module")
def pretraining() -> PretrainingModel:
    with torch.device("meta"):
        head = PseudoGlossHead(1024, torch.empty(PSEUDO_GLOSSES, 300), 0.2, 0.1, 0.1, True, True)
        text = TextEncoder(language_model().model.encoder)
        return PretrainingModel(hierarchy(language_model(), None), head, text)


@pytest.fixture(scope="module")
def translation() -> TranslationModel:
    with torch.device("meta"):
        language = language_model()
        add_lora(language.model.decoder, ["q_proj", "v_proj"], rank=16, alpha=32.0, dropout=0.1)
        return TranslationModel(hierarchy(language, Mapper(1024)), language)


def test_no_memory_is_taken(pretraining: PretrainingModel, translation: TranslationModel) -> None:
    for model in (pretraining, translation):
        assert all(tensor.is_meta for tensor in [*model.parameters(), *model.buffers()])


def test_plain_parts() -> None:
    with torch.device("meta"):
        assert count(dinov2(384, 12, 6, 4, 14, 518)) == 22_056_576
        language = language_model()
    assert count(language.model.encoder) == 154_433_536
    assert count(language) - count(language.model.encoder) == 202_614_784


def test_parts_of_pretraining(pretraining: PretrainingModel) -> None:
    levels = pretraining.hierarchy
    blocks = levels.visual.backbone.model.encoder.layer
    assert [trainable(block) for block in blocks] == [0] * 9 + [24_576] * 3
    assert trainable(levels.visual.backbone) == 73_728
    assert count(levels.visual.projection, levels.visual.norm) == 198_144
    assert [count(layer) for layer in levels.temporal.layers] == [3_152_896] * 4
    assert count(levels.temporal.output) == 525_312
    assert trainable(levels.language) == 786_432
    assert count(pretraining.head.projection) == 307_500
    assert count(pretraining.head.prototypes) == 696_600
    assert count(pretraining.token) == 1_024
    assert count(pretraining.logit_scale) == 1
    assert count(pretraining.text_encoder) == 154_433_536
    assert trainable(pretraining.text_encoder) == 0


def test_parts_of_translation(translation: TranslationModel) -> None:
    assert trainable(translation.mbart.model.decoder) == 1_572_864
    assert trainable(translation.mbart) == 1_572_864 + 786_432
    assert count(translation.hierarchy.mapper) == 1_049_600 + 2_048


def test_sums_of_pretraining(pretraining: PretrainingModel) -> None:
    temperatures = count(pretraining.head.log_prototype_temperature, pretraining.head.log_time_temperature)
    assert temperatures == TEMPERATURES
    assert trainable(pretraining) == 15_200_325 + TEMPERATURES
    assert count(pretraining) == 346_123_973 + TEMPERATURES


def test_sums_of_translation(translation: TranslationModel) -> None:
    assert trainable(translation) == 16_819_712
    assert count(translation) == 395_924_608


def test_fixed_temperatures_make_the_released_count() -> None:
    head = PseudoGlossHead(9, torch.ones(4, 5), 0.2, 0.1, 0.1, learn_temperatures=False, train_prototypes=True)
    learned = PseudoGlossHead(9, torch.ones(4, 5), 0.2, 0.1, 0.1, learn_temperatures=True, train_prototypes=True)
    assert trainable(learned) - trainable(head) == TEMPERATURES
