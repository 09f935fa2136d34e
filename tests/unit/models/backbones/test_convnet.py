"""The small convolutional backbone; what all backbones promise is in tests/contract."""

from __future__ import annotations

import torch

from glossfree.models.backbones.convnet import SmallConvNet


def test_the_place_of_an_object_matters() -> None:
    """A hand at the top and the same hand at the bottom are two different signs."""
    torch.manual_seed(0)
    net = SmallConvNet(hidden_size=24, num_layers=1, patch_size=7, image_size=28).build().eval()
    image = torch.zeros(2, 3, 28, 28)
    image[0, :, :14], image[1, :, 14:] = 1.0, 1.0
    first, second = net(image)
    assert not torch.allclose(first, second, atol=1e-2)


def test_the_grid_follows_from_the_strides() -> None:
    for image_size, layers, grid in ((56, 2, 2), (28, 1, 2), (28, 3, 1), (30, 1, 3), (7, 3, 1)):
        net = SmallConvNet(hidden_size=16, num_layers=layers, patch_size=7, image_size=image_size).build()
        assert net.grid == grid
        assert net(torch.randn(2, 3, image_size, image_size)).shape == (2, 16)
