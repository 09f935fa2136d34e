"""A small convolutional backbone: images (N, 3, H, W) -> (N, W), for training from scratch without a pretrained ViT.

The paper does not use it. On the drawn corpus, at 64 x 64 pixels on one core, it computes 800 frames/s forward and
backward. A ViT of the same width with 8-pixel patches computes 190 and needs far more clips to learn to find hands.
"""

from __future__ import annotations

from itertools import pairwise
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from glossfree.models.choices import Backbone
from glossfree.models.norm import FrameNorm
from glossfree.settings import DEEPEST, MOST_PIXELS, value


class SmallConvNet(Backbone):
    """Sizes of the net."""

    kind: Literal["convnet"] = "convnet"
    num_layers: int = value(2, "assumed", "halving convolutions after the patches", ge=1, le=DEEPEST)
    image_size: int = value(56, "assumed", "pixels of the images whose grid it flattens", ge=1, le=MOST_PIXELS)

    sees_frames_together: ClassVar[bool] = True  # its BatchNorm

    def build(self) -> ConvNet:
        """The net, with random weights."""
        return ConvNet(self.hidden_size, self.num_layers, self.patch_size, self.image_size)


class ConvNet(nn.Module):
    """Patches without overlap, then `num_layers` halving convolutions, then one row for the whole grid.

    The grid is flattened, not averaged: the place of a hand matters as much as its shape.
    """

    def __init__(self, hidden_size: int, num_layers: int, patch_size: int, image_size: int) -> None:
        super().__init__()
        first = max(8, hidden_size * 3 // 8)
        widths = [first + (hidden_size - first) * step // max(1, num_layers) for step in range(num_layers + 1)]
        layers: list[nn.Module] = [nn.Conv2d(3, first, patch_size, patch_size, bias=False)]
        for narrow, wide in pairwise(widths):
            layers += [FrameNorm(narrow), nn.ReLU(), nn.Conv2d(narrow, wide, 3, 2, 1, bias=False)]
        self.layers = nn.Sequential(*layers, FrameNorm(widths[-1]), nn.ReLU())
        self.grid = max(1, -(-image_size // (patch_size * 2**num_layers)))
        self.row = nn.Linear(widths[-1] * self.grid**2, hidden_size)

    def forward(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) float, normalised -> (N, W). Images of other sizes than `image_size` are pooled to its grid."""
        # channels last is a quarter faster on a CPU
        maps: Tensor = self.layers(images.contiguous(memory_format=torch.channels_last))
        if maps.shape[-2:] != (self.grid, self.grid):
            maps = functional.adaptive_avg_pool2d(maps, self.grid)
        row: Tensor = self.row(maps.flatten(1))
        return row
