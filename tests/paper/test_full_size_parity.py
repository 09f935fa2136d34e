"""The paper's sizes against the libraries' own models, and a clip alone against the same clip in a batch.

The same at small sizes, with odd lengths and widths, is in tests/unit/models; docs/paper.md lists what is where.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from benchmarks.transformers_mbart import of_transformers
from torch import Tensor, nn
from transformers import Dinov2Config, Dinov2Model

from glossfree.models.adapters import add_lora
from glossfree.models.backbones.dinov2 import Dinov2, Dinov2ClassToken
from glossfree.models.hierarchy import HierarchicalEncoder, Mapper, VisualEncoder
from glossfree.models.language.mbart import MBart, MBartEncoder
from glossfree.models.mbart import MBartNetwork, Stack
from glossfree.models.temporal.local_attention import LocalAttention
from glossfree.padded import Padded

pytestmark = pytest.mark.slow
LENGTHS = (8, 3, 1)


def randomised(module: nn.Module, std: float) -> nn.Module:
    """The module with biases, scales and LayerScale that are neither 0 nor 1 nor tiny."""
    for name, parameter in module.named_parameters():
        centre = 1.0 if parameter.ndim == 1 and name.endswith("weight") else 0.0
        nn.init.normal_(parameter, mean=centre, std=std)
    return module


def vit() -> Dinov2ClassToken:
    return Dinov2(hidden_size=384, num_layers=12, num_heads=6, mlp_ratio=4, patch_size=14, image_size=518).build()


def mbart(seed: int = 5) -> MBartNetwork:
    torch.manual_seed(seed)
    options = MBart(hidden_size=1024, num_layers=12, num_heads=16, mlp_size=4096, max_positions=1024, dropout=0.1)
    network = options.build(50).mbart
    randomised(network, 0.03)
    return network.eval()


@pytest.fixture(scope="module")
def encoder() -> Stack:
    return mbart().model.encoder


def test_vit_with_zero_adapters_is_dinov2_at_224_pixels(tmp_path: Path) -> None:
    """Positions are interpolated from the table of 37 x 37 patches that it was made for to 16 x 16."""
    torch.manual_seed(3)
    config = Dinov2Config(
        hidden_size=384, num_hidden_layers=12, num_attention_heads=6, image_size=518, attn_implementation="eager"
    )
    reference = Dinov2Model(config).eval()
    randomised(reference, 0.05)
    reference.save_pretrained(tmp_path)
    backbone = vit().eval()
    Dinov2().load(backbone, tmp_path)
    add_lora(backbone, ["qkv", "proj", "fc1", "fc2"], 4, 4.0, 0.1, layers=[9, 10, 11])
    images = torch.randn(3, 3, 224, 224, generator=torch.Generator().manual_seed(4))
    with torch.no_grad():
        ours, theirs = backbone(images), reference(images).pooler_output
    assert (theirs[0] - theirs[1]).abs().max() > 0.1, "all images alike: the test could not fail"
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)


@torch.no_grad()
def test_language_encoder_is_mbarts_encoder_on_embeddings() -> None:
    network = mbart(seed=6)
    plain, adapted = of_transformers(network, 16).model.encoder, network.model.encoder
    add_lora(adapted, ["q_proj", "v_proj"], 16, 32.0, 0.1)
    segments = Padded(torch.randn(2, 29, 1024, generator=torch.Generator().manual_seed(1)), torch.tensor([29, 11]))
    ours = MBartEncoder(adapted)(segments)
    theirs = plain(inputs_embeds=segments.values, attention_mask=segments.mask.long()).last_hidden_state
    torch.testing.assert_close(ours.pack(), segments.with_values(theirs).pack(), rtol=0, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("prefixed", [False, True])
def test_a_clip_alone_is_the_same_clip_in_a_batch(encoder: Stack, prefixed: bool) -> None:
    """At the frame, segment and video level; with the learned token of pre-training and with translation's mapper."""
    torch.manual_seed(8)
    # LayerScale of 0.5, so that attention matters: at 1e-5 a leak through it would not show
    temporal = LocalAttention(
        hidden_size=512,
        num_layers=4,
        num_heads=8,
        mlp_size=2048,
        window_size=7,
        downsample_after=2,
        dropout=0.1,
        drop_path=0.1,
        layer_scale=0.5,
    ).build(1024)
    visual = VisualEncoder(vit(), 384, 512, frames_per_pass=8)
    hierarchy = HierarchicalEncoder(visual, temporal, MBartEncoder(encoder), None if prefixed else Mapper(1024))
    hierarchy.eval()
    frames = torch.randint(0, 256, (sum(LENGTHS), 3, 224, 224), dtype=torch.uint8)
    lengths = torch.tensor(LENGTHS)
    prefix = torch.randn(1, 1024) if prefixed else None
    together = hierarchy(frames, lengths, prefix=prefix)
    for row, clip in enumerate(frames.split(LENGTHS)):
        alone = hierarchy(clip, lengths[row : row + 1], prefix=prefix)
        for level in ("frame", "segment", "video"):
            single: Tensor = getattr(alone, level).values[0]
            batched: Tensor = getattr(together, level).values[row, : len(single)]
            assert batched.std() > 0.01
            torch.testing.assert_close(batched, single, rtol=0, atol=1e-5)


@torch.no_grad()
def test_long_clips_alone_and_in_a_batch_above_the_frame_level(encoder: Stack) -> None:
    """As many frames as a recipe takes: 300, beside short ones; what lies behind a clip's end is loud."""
    torch.manual_seed(9)
    temporal = (
        LocalAttention(
            hidden_size=512,
            num_layers=4,
            num_heads=8,
            mlp_size=2048,
            window_size=7,
            downsample_after=2,
            dropout=0.1,
            drop_path=0.1,
            layer_scale=0.5,
        )
        .build(1024)
        .eval()
    )
    language, lengths = MBartEncoder(encoder), torch.tensor([300, 33, 58])
    features = torch.randn(3, 300, 512)
    loud = features.masked_fill((torch.arange(300) >= lengths[:, None])[..., None], 1e3)
    segments = temporal(Padded(loud, lengths))
    video = language(segments)
    for row, length in enumerate(lengths.tolist()):
        alone = temporal(Padded(features[row : row + 1, :length], lengths[row : row + 1]))
        count = -(-length // 2)
        torch.testing.assert_close(segments.values[row, :count], alone.values[0], rtol=0, atol=1e-5)
        torch.testing.assert_close(video.values[row, :count], language(alone).values[0], rtol=0, atol=1e-5)
