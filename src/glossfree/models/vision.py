"""Frames -> frame features: f_t = BatchNorm(W_f ViT_cls(x_t)) (section 3.1).

N packed frames, W width of the backbone, D temporal width. A backbone is a module that turns normalised images
(N, 3, H, W) float into (N, backbone width); `VISION` names those that a recipe can ask for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import Dinov2Config, Dinov2Model

from glossfree.models.convnet import convnet
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


class FusedAttention(nn.Module):
    """Self-attention with one linear layer for queries, keys and values, in place of transformers' three.

    The released adapters sit on DINOv2's own fused `qkv`: one LoRA A of 4 x 384 shared by all three. On three
    separate layers the same rank would make 27,648 parameters a block, and Table 3 would not add up.
    """

    def __init__(self, hidden_size: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.qkv = nn.Linear(hidden_size, 3 * hidden_size)
        self.proj = nn.Linear(hidden_size, hidden_size)
        for linear in (self.qkv, self.proj):
            nn.init.trunc_normal_(linear.weight, std=0.02)
            nn.init.zeros_(linear.bias)

    def forward(
        self, hidden_states: Tensor, attention_mask: None = None, num_queries: int | None = None
    ) -> tuple[Tensor, None]:
        """(N, T, W) -> (N, num_queries or T, W): what the first num_queries tokens see. The None is Dinov2's form."""
        batch, tokens, width = hidden_states.shape
        heads = self.qkv(hidden_states).view(batch, tokens, 3, self.num_heads, width // self.num_heads)
        # unbound before they are transposed: the gradient is then put together without a second copy
        query, key, value = (each.transpose(1, 2) for each in heads.unbind(2))
        attended = functional.scaled_dot_product_attention(query[:, :, :num_queries], key, value)
        return self.proj(attended.transpose(1, 2).flatten(2)), None


class Dinov2ClassToken(nn.Module):
    """Images (N, 3, H, W) float -> the class token of DINOv2 after its last LayerNorm (N, W).

    The last block computes the class token's row only: nothing reads the others, and a 4-block ViT is a fifth faster.
    Images of another size than the position table was made for use an interpolated table (bicubic).
    """

    def __init__(self, model: Dinov2Model) -> None:
        super().__init__()
        self.model = model
        for block in model.encoder.layer:
            block.attention = FusedAttention(model.config.hidden_size, model.config.num_attention_heads)
        # stands for masked patches in DINOv2's own training; here nothing is masked, and it never gets a gradient
        if model.embeddings.mask_token is not None:
            model.embeddings.mask_token.requires_grad_(False)

    def forward(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, W)."""
        tokens = self.model.embeddings(images)
        blocks: list[Any] = list(self.model.encoder.layer)
        last = blocks.pop()
        for block in blocks:
            tokens = block(tokens)
        attended, _ = last.attention(last.norm1(tokens), num_queries=1)
        token = tokens[:, :1] + last.layer_scale1(attended)
        token = token + last.layer_scale2(last.mlp(last.norm2(token)))
        class_token: Tensor = self.model.layernorm(token[:, 0])
        return class_token


def dinov2(
    hidden_size: int, num_layers: int, num_heads: int, mlp_ratio: int, patch_size: int, image_size: int
) -> Dinov2ClassToken:
    """Sizes -> a DINOv2 with random weights. `image_size`: pixels that the position table is made for."""
    config = Dinov2Config(  # type: ignore[call-arg]
        hidden_size=hidden_size,
        num_hidden_layers=num_layers,
        num_attention_heads=num_heads,
        mlp_ratio=mlp_ratio,
        patch_size=patch_size,
        image_size=image_size,
        attn_implementation="sdpa",
    )
    return Dinov2ClassToken(Dinov2Model(config))


VISION: dict[str, Callable[..., nn.Module]] = {"dinov2": dinov2, "convnet": convnet}
