"""The three levels: the visual encoder, the mapper, and all together (shapes, padding, levels of entry, prefix)."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from glossfree.models.backbones.convnet import ConvNet
from glossfree.models.backbones.dinov2 import Dinov2
from glossfree.models.hierarchy import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    HierarchicalEncoder,
    Mapper,
    VisualEncoder,
    put_in_front,
)
from glossfree.models.language.mbart import MBart, MBartEncoder
from glossfree.models.temporal.local_attention import LocalAttention
from glossfree.models.weights import state
from glossfree.padded import Padded

D, E, PIXELS = 14, 18, 28
LENGTHS = torch.tensor([11, 4, 1, 7])


def build(mapper: bool = False) -> HierarchicalEncoder:
    torch.manual_seed(0)
    hierarchy = HierarchicalEncoder(
        VisualEncoder(
            Dinov2(hidden_size=12, num_layers=2, num_heads=3, mlp_ratio=2, patch_size=14, image_size=PIXELS).build(),
            12,
            D,
        ),
        LocalAttention(
            hidden_size=D,
            num_layers=3,
            num_heads=1,
            mlp_size=20,
            window_size=7,
            downsample_after=2,
            dropout=0.1,
            drop_path=0.1,
            layer_scale=0.5,
        ).build(E),
        MBartEncoder(
            MBart(hidden_size=E, num_layers=2, num_heads=3, mlp_size=22, max_positions=40, dropout=0.1)
            .build(50)
            .mbart.model.encoder
        ),
        Mapper(E) if mapper else None,
    )
    for parameter in hierarchy.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.15)
    return hierarchy.eval()


@pytest.fixture
def frames() -> torch.Tensor:
    generator = torch.Generator().manual_seed(5)
    return torch.randint(0, 256, (int(LENGTHS.sum()), 3, PIXELS, PIXELS), dtype=torch.uint8, generator=generator)


def test_shapes_of_the_three_levels(frames: torch.Tensor) -> None:
    levels = build()(frames, LENGTHS)
    assert levels.frame.values.shape == (4, 11, D)
    assert levels.segment.values.shape == (4, 6, E)
    assert levels.video.values.shape == (4, 6, E)
    assert levels.frame.lengths.tolist() == [11, 4, 1, 7]
    assert levels.segment.lengths.tolist() == levels.video.lengths.tolist() == [6, 2, 1, 4]


@pytest.mark.parametrize("mapper", [False, True])
@pytest.mark.parametrize("prefixed", [False, True])
def test_a_clip_is_the_same_alone_and_in_any_batch_at_all_levels(
    frames: torch.Tensor, mapper: bool, prefixed: bool
) -> None:
    hierarchy = build(mapper)
    prefix = torch.randn(1, E) if prefixed else None
    together = hierarchy(frames, LENGTHS, prefix=prefix)
    for row, clip in enumerate(frames.split(LENGTHS.tolist())):
        alone = hierarchy(clip, LENGTHS[row : row + 1], prefix=prefix)
        for level in ("frame", "segment", "video"):
            single, batched = getattr(alone, level), getattr(together, level)
            length = int(single.lengths[0])
            assert int(batched.lengths[row]) == length == single.values.shape[1]
            torch.testing.assert_close(batched.values[row, :length], single.values[0], rtol=0, atol=1e-5)
        torch.testing.assert_close(together.video.mean()[row], alone.video.mean()[0], rtol=0, atol=1e-5)


def test_every_level_of_entry_leads_to_the_same_video_features(frames: torch.Tensor) -> None:
    hierarchy = build(mapper=True)
    levels = hierarchy(frames, LENGTHS)
    from_frames = hierarchy(levels.frame.pack(), LENGTHS, "frame_features")
    from_segments = hierarchy(levels.segment.pack(), levels.segment.lengths, "segment_features")
    from_backbone = hierarchy(hierarchy.visual.look(frames), LENGTHS, "backbone_features")
    assert from_segments.frame is None
    torch.testing.assert_close(from_backbone.frame.pack(), levels.frame.pack(), rtol=0, atol=1e-5)
    for other in (from_backbone, from_frames, from_segments):
        torch.testing.assert_close(other.segment.pack(), levels.segment.pack(), rtol=0, atol=1e-5)
        torch.testing.assert_close(other.video.pack(), levels.video.pack(), rtol=0, atol=1e-5)
    torch.testing.assert_close(hierarchy.segments(frames, LENGTHS).pack(), levels.segment.pack())


def test_cached_backbone_features_give_the_same_gradients_as_frames(frames: torch.Tensor) -> None:
    """Gradients of the linear layer, BatchNorm and the segment level, with BatchNorm's statistics of the batch."""
    hierarchy = build()
    hierarchy.visual.norm.train()
    names = ("visual.projection", "visual.norm", "temporal")
    found = []
    with torch.no_grad():
        rows = hierarchy.visual.look(frames)
    for given, level in ((frames, "frames"), (rows, "backbone_features")):
        hierarchy.zero_grad()
        hierarchy.segments(given, LENGTHS, level).pack().pow(2).sum().backward()
        found.append({name: p.grad for name, p in hierarchy.named_parameters() if name.startswith(names)})
    assert len(found[0]) > 10
    for name, gradient in found[0].items():
        torch.testing.assert_close(found[1][name], gradient, rtol=1e-4, atol=1e-4, msg=name)
    assert all(p.grad is None for p in hierarchy.visual.backbone.parameters()), "rows lead no further down"


def test_an_unknown_level_is_refused(frames: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="segment_features"):
        build()(frames, LENGTHS, "pixels")


def test_the_mapper_stands_between_segments_and_language_encoder(frames: torch.Tensor) -> None:
    hierarchy = build(mapper=True)
    levels = hierarchy(frames, LENGTHS)
    mapped = levels.segment.with_values(hierarchy.mapper(levels.segment.values))
    torch.testing.assert_close(levels.video.pack(), hierarchy.language(mapped).pack(), rtol=0, atol=1e-5)
    with_none = build(mapper=False)(frames, LENGTHS)
    assert not torch.allclose(with_none.video.values, levels.video.values, atol=1e-3)


def test_a_prefix_makes_the_video_one_step_longer_and_leaves_the_segments(frames: torch.Tensor) -> None:
    hierarchy = build()
    plain, prefixed = hierarchy(frames, LENGTHS), hierarchy(frames, LENGTHS, prefix=torch.ones(1, E))
    assert torch.equal(prefixed.segment.values, plain.segment.values)
    assert torch.equal(prefixed.video.lengths, plain.video.lengths + 1)


def test_up_to_segment_skips_the_language_encoder(frames: torch.Tensor) -> None:
    hierarchy = build(mapper=True)
    hierarchy.language.forward = None  # type: ignore[assignment]
    levels = hierarchy(frames, LENGTHS, up_to="segment")
    assert levels.video is None and levels.logits is None
    assert torch.equal(levels.segment.values, build(mapper=True)(frames, LENGTHS).segment.values)


def test_video_features_are_those_of_a_whole_pass(frames: torch.Tensor) -> None:
    hierarchy = build(mapper=True)
    levels = hierarchy(frames, LENGTHS)
    assert torch.equal(hierarchy.video(frames, LENGTHS).values, levels.video.values)
    packed, lengths = levels.segment.pack(), levels.segment.lengths
    from_segments = hierarchy.video(packed, lengths, "segment_features")
    torch.testing.assert_close(from_segments.pack(), levels.video.pack(), rtol=0, atol=1e-5)


def test_put_in_front() -> None:
    longer = put_in_front(torch.full((1, 2), 7.0), Padded(torch.zeros(3, 4, 2), torch.tensor([4, 2, 1])))
    assert longer.values.shape == (3, 5, 2)
    assert (longer.values[:, 0] == 7).all()
    assert longer.lengths.tolist() == [5, 3, 2]


def test_linear_then_norm_then_gelu() -> None:
    torch.manual_seed(0)
    mapper = Mapper(9)
    features = torch.randn(2, 5, 9)
    linear = features @ mapper.linear.weight.T + mapper.linear.bias
    expected = functional.gelu(functional.layer_norm(linear, (9,), mapper.norm.weight, mapper.norm.bias))
    torch.testing.assert_close(mapper(features), expected)


def test_frames_are_normalised_as_imagenet() -> None:
    seen: list[torch.Tensor] = []

    class Probe(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            seen.append(images)
            return images.mean(dim=(2, 3))

    encoder = VisualEncoder(Probe(), backbone_size=3, hidden_size=5)
    frames = torch.randint(0, 256, (4, 3, 6, 6), dtype=torch.uint8)
    assert encoder(frames).shape == (4, 5)
    for channel in range(3):
        expected = (frames[:, channel] / 255 - IMAGENET_MEAN[channel]) / IMAGENET_STD[channel]
        torch.testing.assert_close(seen[0][:, channel], expected, rtol=0, atol=1e-5)


def test_features_are_batch_normalised_in_training_and_constant_in_evaluation() -> None:
    torch.manual_seed(0)
    encoder = VisualEncoder(
        Dinov2(hidden_size=12, num_layers=2, num_heads=3, mlp_ratio=2, patch_size=7, image_size=21).build(), 12, 10
    )
    frames = torch.randint(0, 256, (9, 3, 21, 21), dtype=torch.uint8)
    features = encoder.train()(frames)
    torch.testing.assert_close(features.mean(dim=0), torch.zeros(10), rtol=0, atol=1e-4)
    encoder.eval()
    torch.testing.assert_close(encoder(frames)[2:5], encoder(frames[2:5]), rtol=0, atol=1e-5)


def test_a_frozen_backbone_stays_in_evaluation_mode() -> None:
    """Its BatchNorm keeps its statistics; the BatchNorm above it uses and updates those of the batch."""
    torch.manual_seed(0)
    encoder = VisualEncoder(ConvNet(12, 2, 7, 21), 12, 10)
    frames = torch.randint(0, 256, (9, 3, 21, 21), dtype=torch.uint8)
    before = {name: tensor.clone() for name, tensor in state(encoder).items()}
    encoder.train()(frames)
    moved = {name for name, tensor in state(encoder).items() if not torch.equal(tensor, before[name])}
    assert any(name.startswith("backbone.") for name in moved), "while it trains"
    encoder.backbone.requires_grad_(False)
    frozen = {name: tensor.clone() for name, tensor in state(encoder).items()}
    torch.testing.assert_close(encoder.train().look(frames)[3:7], encoder.look(frames[3:7]), rtol=0, atol=1e-5)
    encoder(frames)
    moved = {name for name, tensor in state(encoder).items() if not torch.equal(tensor, frozen[name])}
    assert moved == {"norm.running_mean", "norm.running_var", "norm.num_batches_tracked"} & set(frozen)
    encoder.backbone.requires_grad_(True)
    assert encoder.train().backbone.training and not encoder.eval().backbone.training


def test_frames_in_several_passes_give_equal_features_and_statistics() -> None:
    torch.manual_seed(0)
    backbone = Dinov2(hidden_size=12, num_layers=2, num_heads=3, mlp_ratio=2, patch_size=7, image_size=21).build()
    frames = torch.randint(0, 256, (11, 3, 21, 21), dtype=torch.uint8)
    encoders = [VisualEncoder(backbone, 12, 10, frames_per_pass=count) for count in (0, 3, 11)]
    seen: list[int] = []
    backbone.register_forward_hook(lambda module, inputs, output: seen.append(len(output)))
    for encoder in encoders:
        encoder.load_state_dict(encoders[0].state_dict())
    found = [encoder.train()(frames) for encoder in encoders]
    assert seen == [11, 3, 3, 3, 2, 11]
    for features, encoder in zip(found[1:], encoders[1:], strict=True):
        torch.testing.assert_close(features, found[0], rtol=0, atol=1e-5)
        torch.testing.assert_close(encoder.norm.running_var, encoders[0].norm.running_var)
        torch.testing.assert_close(features.mean(dim=0), torch.zeros(10), rtol=0, atol=1e-4)
