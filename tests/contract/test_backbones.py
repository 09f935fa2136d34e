"""Checks of every backbone in BACKBONES."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tests.contract.choices import (
    all_variants,
    assert_finite_gradients,
    assert_same_shapes,
    copy_weights,
    differs,
    small,
    spread,
)
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from glossfree.errors import GlossfreeError
from glossfree.models.adapters import Adapters, add_lora
from glossfree.models.backbones import BACKBONES
from glossfree.models.choices import Backbone
from glossfree.models.hierarchy import VisualEncoder

WIDTH, PIXELS = 24, 28


VARIANTS = {variant.id: small(BACKBONES[variant.values[0]], **variant.values[1]) for variant in all_variants(BACKBONES)}


@pytest.fixture(params=VARIANTS.values(), ids=VARIANTS)
def options(request: pytest.FixtureRequest) -> Backbone:
    return request.param


@pytest.fixture
def backbone(options: Backbone) -> nn.Module:
    torch.manual_seed(0)
    return options.build().eval()


def images(count: int, pixels: int = PIXELS) -> torch.Tensor:
    return torch.randn(count, 3, pixels, pixels, generator=torch.Generator().manual_seed(count))


def test_images_become_one_row_each(backbone: nn.Module) -> None:
    features = backbone(images(5))
    assert features.shape == (5, WIDTH)
    assert features.dtype == torch.float32
    assert features.std(dim=0).max() > 1e-4, "the images make no difference"


def test_a_row_depends_on_its_image_only(backbone: nn.Module) -> None:
    batch = images(5)
    together = backbone(batch)
    for row in range(5):
        torch.testing.assert_close(together[row], backbone(batch[row : row + 1])[0], rtol=0, atol=1e-5)


def test_a_backbone_with_statistics_over_frames_declares_it(options: Backbone, backbone: nn.Module) -> None:
    """Else its frames would go through it in several passes, each with statistics of its own."""
    assert options.sees_frames_together == any(isinstance(module, _BatchNorm) for module in backbone.modules())


def test_images_of_another_size_are_taken(backbone: nn.Module) -> None:
    assert backbone(images(2, pixels=42)).shape == (2, WIDTH)


def test_results_are_deterministic(backbone: nn.Module) -> None:
    assert torch.equal(backbone(images(3)), backbone(images(3)))


def test_what_is_marked_trainable_gets_a_finite_gradient(backbone: nn.Module) -> None:
    backbone.train()(images(3)).pow(2).sum().backward()
    assert_finite_gradients(backbone)
    assert all(p.grad is None for p in backbone.parameters() if not p.requires_grad)


def test_weights_move_to_another_one(options: Backbone, backbone: nn.Module) -> None:
    other = spread(options.build().eval())
    assert differs(other(images(2)), backbone(images(2)))
    copy_weights(backbone, other)
    assert torch.equal(other(images(2)), backbone(images(2)))


def test_it_can_be_built_without_memory(options: Backbone, backbone: nn.Module) -> None:
    with torch.device("meta"):
        other = options.build()
    assert all(tensor.is_meta for tensor in [*other.parameters(), *other.buffers()])
    assert_same_shapes(other, backbone)


def test_frames_become_frame_features(options: Backbone, backbone: nn.Module) -> None:
    encoder = VisualEncoder(backbone, options.hidden_size, 10).eval()
    frames = torch.randint(0, 256, (4, 3, PIXELS, PIXELS), dtype=torch.uint8)
    assert encoder(frames).shape == (4, 10)


def test_adapters_have_their_places(options: Backbone, backbone: nn.Module) -> None:
    """Where there are any: they change nothing at first, and then they alone train."""
    if not isinstance(options, Adapters):
        assert list(options.model_copy(update={"train": "adapters"}).adapter_layers_of()) == []
        return
    before = backbone(images(3)).detach()
    add_lora(backbone, options.adapter_targets, 2, 4.0, 0.0, layers=options.adapter_layers_of())
    torch.testing.assert_close(backbone(images(3)), before)
    trained = [name for name, p in backbone.named_parameters() if p.requires_grad]
    assert trained and all("lora_" in name for name in trained)
    backbone.train()(images(3)).pow(2).sum().backward()
    assert_finite_gradients(backbone)


def test_a_file_without_these_weights_is_named(options: Backbone, backbone: nn.Module, tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    torch.save({"something.else": torch.ones(3)}, path)
    before = {name: tensor.clone() for name, tensor in backbone.state_dict().items()}
    with pytest.raises(GlossfreeError) as caught:
        options.load(backbone, path)
    assert str(path) in str(caught.value)
    assert all(torch.equal(tensor, before[name]) for name, tensor in backbone.state_dict().items())
