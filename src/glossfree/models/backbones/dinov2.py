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

# ours: (original release, Hugging Face), outside of the blocks
DINOV2_NAMES = {
    "embeddings.cls_token": ("cls_token", "embeddings.cls_token"),
    "embeddings.mask_token": ("mask_token", "embeddings.mask_token"),
    "embeddings.position_embeddings": ("pos_embed", "embeddings.position_embeddings"),
    "embeddings.patch_embeddings.projection.weight": (
        "patch_embed.proj.weight",
        "embeddings.patch_embeddings.projection.weight",
    ),
    "embeddings.patch_embeddings.projection.bias": (
        "patch_embed.proj.bias",
        "embeddings.patch_embeddings.projection.bias",
    ),
    "layernorm.weight": ("norm.weight", "layernorm.weight"),
    "layernorm.bias": ("norm.bias", "layernorm.bias"),
}
# the same within a block: what follows "encoder.layer.3." here and in Hugging Face's files, "blocks.3." in the release
DINOV2_BLOCK_NAMES = {
    "layer_scale1.lambda1": ("ls1.gamma", "layer_scale1.lambda1"),
    "layer_scale2.lambda1": ("ls2.gamma", "layer_scale2.lambda1"),
} | {
    f"{name}.{kind}": (f"{original}.{kind}", f"{hugging_face}.{kind}")
    for kind in ("weight", "bias")
    for name, original, hugging_face in (
        ("norm1", "norm1", "norm1"),
        ("norm2", "norm2", "norm2"),
        ("mlp.fc1", "mlp.fc1", "mlp.fc1"),
        ("mlp.fc2", "mlp.fc2", "mlp.fc2"),
        ("attention.qkv", "attn.qkv", "attention.qkv"),  # Hugging Face's three are joined first
        ("attention.proj", "attn.proj", "attention.output.dense"),
    )
}
# transformers 5 renamed the attention in memory; files of either kind are around
DINOV2_RENAMED = {
    "attention.q_proj": "attention.attention.query",
    "attention.k_proj": "attention.attention.key",
    "attention.v_proj": "attention.attention.value",
    "attention.o_proj": "attention.output.dense",
}


class Dinov2(Adapters, Backbone):
    """Sizes of the ViT, and its adapters."""

    kind: Literal["dinov2"] = "dinov2"
    num_layers: int = value(12, "stated", "blocks (ViT-S)", ge=1, le=DEEPEST)
    num_heads: int = value(6, "stated", "attention heads (ViT-S)", ge=1, le=WIDEST)
    mlp_ratio: int = value(4, "stated", "MLP width over hidden_size", ge=1)
    image_size: int = value(
        518, "derived", "pixels that the position table was made for: 37 x 37 patches", ge=1, le=MOST_PIXELS
    )
    train: Trained = value("adapters", "stated", "what of the backbone trains: LoRA, everything, nothing")
    adapter_layers: int = value(3, "stated", "top blocks that carry LoRA", ge=0)
    adapter_rank: int = value(4, "released", "LoRA rank", ge=1, le=WIDEST)
    adapter_alpha: float = value(4.0, "released", "LoRA scaling factor", gt=0)
    adapter_dropout: float = value(0.1, "released", "LoRA dropout", ge=0, lt=1)

    adapter_targets: ClassVar[tuple[str, ...]] = ("qkv", "proj", "fc1", "fc2")  # released

    def problems(self) -> Iterator[str]:
        """Sizes that do not fit each other."""
        yield from heads_fit(self.hidden_size, self.num_heads)
        if self.adapter_layers > self.num_layers:
            yield "adapter_layers exceeds num_layers"

    def build(self) -> Dinov2ClassToken:
        """The ViT, with random weights."""
        return dinov2(
            self.hidden_size, self.num_layers, self.num_heads, self.mlp_ratio, self.patch_size, self.image_size
        )

    def adapter_layers_of(self) -> Sequence[int]:
        """The top blocks."""
        return range(self.num_layers - self.adapter_layers, self.num_layers)

    def load(self, module: nn.Module, source: Path) -> Census:
        """DINOv2's own files, in place. Raises ModelError."""
        assert isinstance(module, Dinov2ClassToken)
        return load_dinov2(module, source)


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


def load_dinov2(backbone: Dinov2ClassToken, source: Path) -> Census:
    """DINOv2 from a Hugging Face folder (names of transformers 4 or 5) or the original release's .pth, in place.

    The mask token may be missing: nothing here uses it. Raises ModelError.
    """
    tensors = read_weights(source)
    original = any(name.startswith("blocks.") for name in tensors)
    if not original:
        tensors = _fuse_attention(_without_prefix(tensors, "dinov2."), source)
    column = 0 if original else 1
    blocks = range(len(backbone.model.encoder.layer))
    names = {theirs[column]: ours for ours, theirs in DINOV2_NAMES.items()}
    for block in blocks:
        prefix = f"blocks.{block}." if original else f"encoder.layer.{block}."
        names |= {
            prefix + theirs[column]: f"encoder.layer.{block}.{ours}" for ours, theirs in DINOV2_BLOCK_NAMES.items()
        }
    renamed = {f"model.{names[name]}" if name in names else name: tensor for name, tensor in tensors.items()}
    return load(backbone, renamed, where=str(source), new=("model.embeddings.mask_token",), ignored=("classifier.",))


def _without_prefix(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Names without the prefix that a model with a head on top puts before them."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}


def _fuse_attention(tensors: Mapping[str, Tensor], source: Path) -> dict[str, Tensor]:
    """Hugging Face's query, key and value, old or new names -> one `attention.qkv`, in DINOv2's own order."""
    fused: dict[str, Tensor] = {}
    parts: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        for new, old in DINOV2_RENAMED.items():
            name = name.replace(new, old)
        match = re.fullmatch(r"(encoder\.layer\.\d+\.attention)\.attention\.(query|key|value)\.(weight|bias)", name)
        if match:
            parts.setdefault(f"{match[1]}.qkv.{match[3]}", {})[match[2]] = tensor
        else:
            fused[name] = tensor
    for name, three in parts.items():
        if len(three) < 3:
            raise ModelError(f"{name}: only {', '.join(three)} present", where=source, remedy="fetch it complete")
        fused[name] = torch.cat([three["query"], three["key"], three["value"]])
    return fused
