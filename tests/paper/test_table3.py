"""Table 3 of the paper: counted on modules of the paper's size that hold no memory, and by `glossfree params`.

The modules are put together here from the paper's own numbers; `params` takes the recipe's. Both must give the table.
"""

from __future__ import annotations

import pytest
import torch
from torch import nn

from glossfree.cli.params import params
from glossfree.models.adapters import add_lora
from glossfree.models.backbones.dinov2 import Dinov2
from glossfree.models.decoders.mbart import MBartDecoder
from glossfree.models.hierarchy import HierarchicalEncoder, Mapper, TranslationModel, VisualEncoder
from glossfree.models.language.mbart import MBart, MBartEncoder
from glossfree.models.mbart import MBartNetwork
from glossfree.models.temporal.local_attention import LocalAttention
from glossfree.objectives.base import Inputs
from glossfree.objectives.contrastive import Contrastive, ContrastiveLoss
from glossfree.objectives.pseudo_gloss import PseudoGloss

TOKENS, PSEUDO_GLOSSES = 2172, 2322
TEMPERATURES = 2  # learnable in the paper, fixed in the released code: Table 3 does not count them
PRETRAINING, TRANSLATION = (15_200_325, 346_123_973), (16_819_712, 395_924_608)  # trainable, total


def count(*parts: nn.Module | nn.Parameter | None) -> int:
    """Parameters of modules (a shared one once), or of single parameters."""
    return sum(
        p.numel()
        for part in parts
        if part is not None
        for p in ([part] if isinstance(part, nn.Parameter) else part.parameters())
    )


def trainable(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters() if p.requires_grad)


def language_model() -> MBartNetwork:
    return (
        MBart(hidden_size=1024, num_layers=12, num_heads=16, mlp_size=4096, max_positions=1024, dropout=0.1)
        .build(TOKENS)
        .mbart
    )


def hierarchy(language: MBartNetwork, mapper: Mapper | None) -> HierarchicalEncoder:
    backbone = Dinov2(hidden_size=384, num_layers=12, num_heads=6, mlp_ratio=4, patch_size=14, image_size=518).build()
    add_lora(backbone, ["qkv", "proj", "fc1", "fc2"], rank=4, alpha=4.0, dropout=0.1, layers=[9, 10, 11])
    temporal = LocalAttention(
        hidden_size=512,
        num_layers=4,
        num_heads=8,
        mlp_size=2048,
        window_size=7,
        downsample_after=2,
        dropout=0.1,
        drop_path=0.1,
        layer_scale=1e-5,
    ).build(1024)
    add_lora(language.model.encoder, ["q_proj", "v_proj"], rank=16, alpha=32.0, dropout=0.1)
    return HierarchicalEncoder(
        VisualEncoder(backbone, 384, 512), temporal, MBartEncoder(language.model.encoder), mapper
    )


class Pretraining(nn.Module):
    """What section 3.2 trains, and the frozen text encoder that Table 3 counts beside it."""

    def __init__(self) -> None:
        super().__init__()
        self.hierarchy = hierarchy(language_model(), None)
        self.head = PseudoGloss(
            dropout=0.2, prototype_temperature=0.1, time_temperature=0.1, learn_temperatures=True, train_prototypes=True
        ).head(1024, torch.empty(PSEUDO_GLOSSES, 300))
        self.contrastive = ContrastiveLoss(Contrastive(), 1024, Inputs())
        self.text_encoder = MBartEncoder(language_model().model.encoder).requires_grad_(False)


@pytest.fixture(scope="module")
def pretraining() -> Pretraining:
    with torch.device("meta"):
        return Pretraining()


@pytest.fixture(scope="module")
def translation() -> TranslationModel:
    with torch.device("meta"):
        language = language_model()
        add_lora(language.model.decoder, ["q_proj", "v_proj"], rank=16, alpha=32.0, dropout=0.1)
        return TranslationModel(hierarchy(language, Mapper(1024)), MBartDecoder(language), TOKENS)


def test_no_memory_is_taken(pretraining: Pretraining, translation: TranslationModel) -> None:
    for model in (pretraining, translation):
        assert all(tensor.is_meta for tensor in [*model.parameters(), *model.buffers()])


def test_plain_parts() -> None:
    with torch.device("meta"):
        assert (
            count(
                Dinov2(hidden_size=384, num_layers=12, num_heads=6, mlp_ratio=4, patch_size=14, image_size=518).build()
            )
            == 22_056_576
        )
        language = language_model()
    assert count(language.model.encoder) == 154_433_536
    assert count(language) - count(language.model.encoder) == 202_614_784


def test_parts_of_pretraining(pretraining: Pretraining) -> None:
    levels = pretraining.hierarchy
    blocks = levels.visual.backbone.get_submodule("model.encoder.layer")
    assert [trainable(block) for block in blocks.children()] == [0] * 9 + [24_576] * 3
    assert trainable(levels.visual.backbone) == 73_728
    assert count(levels.visual.projection, levels.visual.norm) == 198_144
    layers = levels.temporal.get_submodule("layers")
    assert [count(layer) for layer in layers.children()] == [3_152_896] * 4
    assert count(levels.temporal.get_submodule("output")) == 525_312
    assert trainable(levels.language) == 786_432
    assert count(pretraining.head.projection) == 307_500
    assert count(pretraining.head.prototypes) == 696_600
    assert count(pretraining.contrastive.prefix) == 1_024
    assert count(pretraining.contrastive.logit_scale) == 1
    assert count(pretraining.text_encoder) == 154_433_536
    assert trainable(pretraining.text_encoder) == 0


def test_parts_of_translation(translation: TranslationModel) -> None:
    encoder, decoder = translation.hierarchy.language, translation.decoder
    assert trainable(decoder.adapted) == 1_572_864
    assert trainable(encoder) == 786_432
    assert trainable(decoder) == 1_572_864 + 786_432  # the whole mBART, whose encoder is the language encoder
    assert count(translation.hierarchy.mapper) == 1_049_600 + 2_048


def test_sums_of_pretraining(pretraining: Pretraining) -> None:
    temperatures = count(pretraining.head.log_prototype_temperature, pretraining.head.log_time_temperature)
    assert temperatures == TEMPERATURES
    assert trainable(pretraining) == PRETRAINING[0] + TEMPERATURES
    assert count(pretraining) == PRETRAINING[1] + TEMPERATURES


def test_sums_of_translation(translation: TranslationModel) -> None:
    assert (trainable(translation), count(translation)) == TRANSLATION


@pytest.mark.slow
def test_params_counts_the_same(pretraining: Pretraining, translation: TranslationModel) -> None:
    """The recipe's model, part by part, beside the modules that are put together here."""
    counts = params("hfa-phoenix14t")
    levels, temperatures = pretraining.hierarchy, counts.temperatures
    assert (counts.total("pretrain"), counts.total("finetune2"), temperatures) == (
        PRETRAINING,
        TRANSLATION,
        TEMPERATURES,
    )
    visual, mapper = levels.visual, translation.hierarchy.mapper
    below = {
        "vision backbone": (trainable(visual.backbone), count(visual.backbone)),
        "linear and BatchNorm": (count(visual.projection, visual.norm),) * 2,
        "temporal module": (count(levels.temporal),) * 2,
        "language encoder": (trainable(levels.language), count(levels.language)),
    }
    head = count(pretraining.head) - TEMPERATURES
    assert counts.parts["pretrain"] == below | {
        "objective pseudo_gloss": (head, head),
        "objective contrastive": (count(pretraining.contrastive),) * 2,
        "text encoder (frozen)": (0, count(pretraining.text_encoder)),
    }
    decoder = trainable(translation.decoder.adapted)
    rest = count(translation.decoder) - count(translation.hierarchy.language)
    above = {"mapper": (count(mapper),) * 2, "decoder": (decoder, rest), "objective translation": (0, 0)}
    assert counts.parts["finetune2"] == below | above
    frozen = {name: (0, total) for name, (_, total) in below.items()}
    assert counts.parts["finetune1"] == frozen | above


def test_fixed_temperatures_make_the_released_count() -> None:
    head = PseudoGloss(
        dropout=0.2, prototype_temperature=0.1, time_temperature=0.1, learn_temperatures=False, train_prototypes=True
    ).head(9, torch.ones(4, 5))
    learned = PseudoGloss(
        dropout=0.2, prototype_temperature=0.1, time_temperature=0.1, learn_temperatures=True, train_prototypes=True
    ).head(9, torch.ones(4, 5))
    assert trainable(learned) - trainable(head) == TEMPERATURES
