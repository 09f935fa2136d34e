"""Frames -> frame features: f_t = BatchNorm(W_f ViT_cls(x_t)) (section 3.1).

N packed frames, W width of the backbone, D temporal width. A backbone is a module that turns normalised images
(N, 3, H, W) float into (N, W); `models.backbones` has those that a recipe can ask for.
"""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor, nn

from glossfree.models.norm import FrameNorm

# mean and standard deviation of ImageNet's red, green and blue, on 0-1: what DINOv2 was trained with
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class VisualEncoder(nn.Module):
    """Frames (N, 3, H, W) uint8 RGB -> frame features (N, D). Sees packed frames only, never padding.

    `frames_per_pass`: so many frames go through the backbone at once, 0 = all. A ViT sees one frame at a time anyway,
    so it changes nothing but speed and memory (of normalised images, and of what nothing keeps for a backward pass);
    a backbone with BatchNorm inside must see all. BatchNorm behind the backbone always does.
    """

    def __init__(self, backbone: nn.Module, backbone_size: int, hidden_size: int, *, frames_per_pass: int = 0) -> None:
        super().__init__()
        self.backbone = backbone
        self.frames_per_pass = frames_per_pass
        self.projection = nn.Linear(backbone_size, hidden_size)
        self.norm = FrameNorm(hidden_size)
        scale = torch.tensor([1 / (255 * std) for std in IMAGENET_STD]).view(1, 3, 1, 1)
        shift = torch.tensor([-mean / std for mean, std in zip(IMAGENET_MEAN, IMAGENET_STD, strict=True)])
        self.scale = nn.Buffer(scale, persistent=False)
        self.shift = nn.Buffer(shift.view(1, 3, 1, 1), persistent=False)

    def train(self, mode: bool = True) -> Self:
        """As of any module; but a backbone of which nothing trains evaluates: BatchNorm in it keeps its statistics."""
        super().train(mode)
        if not any(parameter.requires_grad for parameter in self.backbone.parameters()):
            self.backbone.eval()
        return self

    def forward(self, frames: Tensor) -> Tensor:
        """(N, 3, H, W) uint8 -> (N, D)."""
        return self.project(self.look(frames))

    def look(self, frames: Tensor) -> Tensor:
        """(N, 3, H, W) uint8 -> what the backbone makes of each frame (N, backbone width)."""
        parts = torch.split(frames, self.frames_per_pass) if self.frames_per_pass else (frames,)
        rows = [self.backbone(torch.addcmul(self.shift, part.to(self.scale.dtype), self.scale)) for part in parts]
        return rows[0] if len(rows) == 1 else torch.cat(rows)

    def project(self, rows: Tensor) -> Tensor:
        """Rows of the backbone (N, backbone width) -> frame features (N, D), BatchNorm over all N."""
        features: Tensor = self.norm(self.projection(rows))
        return features
