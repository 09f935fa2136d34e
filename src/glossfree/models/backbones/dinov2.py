"""DINOv2 ViT-S/14, the paper's backbone: images -> its class token, with LoRA on the top blocks (section 3.1).

N images, T tokens, W width.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import Dinov2Config, Dinov2Model

from glossfree.errors import ModelError
from glossfree.models.adapters import Adapters
from glossfree.models.choices import Backbone
from glossfree.models.weights import Census, load, read_weights
from glossfree.settings import DEEPEST, MOST_PIXELS, WIDEST, Trained, heads_fit, value

# (pattern, replacement): names in files -> our names. The original release, outside and inside its blocks:
ORIGINAL = (
    (r"^(cls_token|mask_token)$", r"embeddings.\1"),
    (r"^pos_embed$", "embeddings.position_embeddings"),
    (r"^patch_embed\.proj\.", "embeddings.patch_embeddings.projection."),
    (r"^norm\.", "layernorm."),
    (r"^(blocks\.\d+)\.attn\.", r"\1.attention."),
    (r"^(blocks\.\d+)\.ls([12])\.gamma$", r"\1.layer_scale\2.lambda1"),
    (r"^blocks\.", "encoder.layer."),
)
# Hugging Face, with the names of transformers 4 and 5. Query, key and value are joined later.
HUGGING_FACE = (
    (r"^dinov2\.", ""),  # of a model with a head on top
    (r"\.attention\.(attention\.query|q_proj)\.", ".attention.query."),
    (r"\.attention\.(attention\.key|k_proj)\.", ".attention.key."),
    (r"\.attention\.(attention\.value|v_proj)\.", ".attention.value."),
    (r"\.attention\.(output\.dense|o_proj)\.", ".attention.proj."),
)


class Dinov2(Adapters, Backbone):
    """Sizes of the ViT, and its adapters."""

    kind: Literal["dinov2"] = "dinov2"
    num_layers: int = value(12, "stated", "blocks (ViT-S)", ge=1, le=DEEPEST)
    num_heads: int = value(6, "stated", "attention heads (ViT-S)", ge=1, le=WIDEST)
    mlp_ratio: int = value(4, "stated", "MLP width over hidden_size", ge=1)
    image_size: int = value(518, "derived", "pixels of the position table: 37 x 37 patches", ge=1, le=MOST_PIXELS)
    train: Trained = value("adapters", "stated", "what of the backbone trains: LoRA, everything, nothing")
    adapter_layers: int = value(3, "stated", "top blocks that carry LoRA", ge=0)
    adapter_rank: int = value(4, "released", "LoRA rank", ge=1, le=WIDEST)
    adapter_alpha: float = value(4.0, "released", "LoRA scaling factor", gt=0)
    adapter_dropout: float = value(0.1, "released", "LoRA dropout", ge=0, lt=1)

    adapter_targets: ClassVar[tuple[str, ...]] = ("qkv", "proj", "fc1", "fc2")  # released

    def problems(self) -> Iterator[str]:
        """Sizes that contradict each other."""
        yield from heads_fit(self.hidden_size, self.num_heads)
        if self.adapter_layers > self.num_layers:
            yield "adapter_layers exceeds num_layers"

    def build(self) -> Dinov2ClassToken:
        """The ViT, with random weights."""
        config = Dinov2Config(  # type: ignore[call-arg]
            hidden_size=self.hidden_size,
            num_hidden_layers=self.num_layers,
            num_attention_heads=self.num_heads,
            mlp_ratio=self.mlp_ratio,
            patch_size=self.patch_size,
            image_size=self.image_size,
            attn_implementation="sdpa",
        )
        return Dinov2ClassToken(Dinov2Model(config))

    def adapter_layers_of(self) -> Sequence[int]:
        """The top blocks."""
        return range(self.num_layers - self.adapter_layers, self.num_layers)

    def load(self, module: nn.Module, source: Path) -> Census:
        """A Hugging Face folder (names of transformers 4 or 5), or the original release's .pth, into the module.

        The mask token may be missing: nothing here uses it. Raises ModelError.
        """
        tensors = read_weights(source)
        is_original = any(name.startswith("blocks.") for name in tensors)
        for pattern, replacement in ORIGINAL if is_original else HUGGING_FACE:
            tensors = {re.sub(pattern, replacement, name): tensor for name, tensor in tensors.items()}
        if not is_original:
            tensors = _fuse_attention(tensors, source)
        ours = ("embeddings.", "encoder.", "layernorm.")
        tensors = {f"model.{name}" if name.startswith(ours) else name: tensor for name, tensor in tensors.items()}
        return load(module, tensors, where=str(source), new=("model.embeddings.mask_token",), ignored=("classifier.",))


class FusedAttention(nn.Module):
    """Self-attention with one linear layer for queries, keys and values, in place of transformers' three.

    The released code adapts DINOv2's own fused `qkv`: all three share one LoRA A of 4 x 384. On three separate layers,
    the same rank would give 27,648 parameters per block, and Table 3 would not add up.
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
        """(N, T, W) -> (N, num_queries or T, W): attention of the first tokens only. Dinov2 expects the None."""
        batch, tokens, width = hidden_states.shape
        heads = self.qkv(hidden_states).view(batch, tokens, 3, self.num_heads, width // self.num_heads)
        # unbind before transposing: this saves a copy of the gradient
        query, key, value = (each.transpose(1, 2) for each in heads.unbind(2))
        attended = functional.scaled_dot_product_attention(query[:, :, :num_queries], key, value)
        return self.proj(attended.transpose(1, 2).flatten(2)), None


class Dinov2ClassToken(nn.Module):
    """Images (N, 3, H, W) float -> the class token of DINOv2 after its last LayerNorm (N, W).

    The last block computes the class token only, as nothing reads the others: a 4-block ViT is a fifth faster. For
    images of other sizes, the position table is interpolated (bicubic).
    """

    def __init__(self, model: Dinov2Model) -> None:
        super().__init__()
        self.model = model
        for block in model.encoder.layer:
            block.attention = FusedAttention(model.config.hidden_size, model.config.num_attention_heads)
        # used for masked patches in DINOv2's own training; nothing is masked here, so it never gets a gradient
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


def _fuse_attention(tensors: Mapping[str, Tensor], source: Path) -> dict[str, Tensor]:
    """Three tensors `attention.query`, `.key` and `.value` -> one `attention.qkv`, in DINOv2's own order."""
    fused: dict[str, Tensor] = {}
    parts: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if match := re.fullmatch(r"(.+\.attention)\.(query|key|value)\.(weight|bias)", name):
            parts.setdefault(f"{match[1]}.qkv.{match[3]}", {})[match[2]] = tensor
        else:
            fused[name] = tensor
    for name, three in parts.items():
        if len(three) < 3:
            raise ModelError(
                f"{name}: only {', '.join(three)} present", where=source, remedy="fetch it again, complete"
            )
        fused[name] = torch.cat([three["query"], three["key"], three["value"]])
    return fused
