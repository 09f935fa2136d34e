"""What every backbone in VISION promises, whoever adds one."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from glossfree.models.vision import VISION, VisualEncoder
from glossfree.models.weights import load, state

WIDTH, PIXELS = 24, 28


@pytest.fixture(params=sorted(VISION))
def backbone(request: pytest.FixtureRequest) -> nn.Module:
    torch.manual_seed(0)
    return VISION[request.param](
        hidden_size=WIDTH, num_layers=3, num_heads=4, mlp_ratio=2, patch_size=7, image_size=PIXELS
    ).eval()


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


def test_images_of_another_size_are_taken(backbone: nn.Module) -> None:
    assert backbone(images(2, pixels=42)).shape == (2, WIDTH)


def test_twice_the_same(backbone: nn.Module) -> None:
    assert torch.equal(backbone(images(3)), backbone(images(3)))


def test_what_is_marked_trainable_gets_a_finite_gradient(backbone: nn.Module) -> None:
    backbone.train()(images(3)).pow(2).sum().backward()
    for name, parameter in backbone.named_parameters():
        assert (parameter.grad is not None) == parameter.requires_grad, name
        assert parameter.grad is None or parameter.grad.isfinite().all(), name


def test_weights_move_to_another_one(backbone: nn.Module, request: pytest.FixtureRequest) -> None:
    torch.manual_seed(9)
    other = VISION[request.node.callspec.params["backbone"]](
        hidden_size=WIDTH, num_layers=3, num_heads=4, mlp_ratio=2, patch_size=7, image_size=PIXELS
    ).eval()
    assert not torch.equal(other(images(2)), backbone(images(2)))
    load(other, state(backbone))
    assert torch.equal(other(images(2)), backbone(images(2)))


def test_it_can_be_built_without_memory(request: pytest.FixtureRequest, backbone: nn.Module) -> None:
    with torch.device("meta"):
        other = VISION[request.node.callspec.params["backbone"]](
            hidden_size=WIDTH, num_layers=3, num_heads=4, mlp_ratio=2, patch_size=7, image_size=PIXELS
        )
    assert all(tensor.is_meta for tensor in [*other.parameters(), *other.buffers()])
    assert {name: t.shape for name, t in state(other).items()} == {n: t.shape for n, t in state(backbone).items()}


def test_frames_become_frame_features(backbone: nn.Module) -> None:
    encoder = VisualEncoder(backbone, WIDTH, 10).eval()
    frames = torch.randint(0, 256, (4, 3, PIXELS, PIXELS), dtype=torch.uint8)
    assert encoder(frames).shape == (4, 10)
