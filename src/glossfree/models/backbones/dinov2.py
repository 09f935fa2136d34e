"""DINOv2 ViT-S/14, the paper's backbone: images -> its class token, with LoRA on the top blocks (section 3.1).

N images, T tokens, W width.
"""

from __future__ import annotations

import math
import re
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from glossfree.errors import ModelError
from glossfree.models.adapters import Adapters
from glossfree.models.choices import Backbone
from glossfree.models.packed import FreezableLinear
from glossfree.models.weights import Census, load, read_weights
from glossfree.settings import DEEPEST, MOST_PIXELS, WIDEST, Trained, value

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

EPSILON = 1e-6  # of LayerNorm
STD = 0.02  # of random weights
NEIGHBOURS = 8  # frames of which one is computed as a whole, if the others compute only what has moved
HEAD_WIDTH = 64  # of every released size; the weights do not tell


class Dinov2(Adapters, Backbone):
    """Sizes of the ViT, and its adapters."""

    kind: Literal["dinov2"] = "dinov2"
    num_layers: int = value(12, "stated", "blocks (ViT-S)", ge=1, le=DEEPEST)
    num_heads: int = value(6, "stated", "attention heads (ViT-S)", ge=1, le=WIDEST)
    mlp_ratio: int = value(4, "stated", "MLP width over hidden_size", ge=1)
    image_size: int = value(518, "derived", "pixels of the position table: 37 x 37 patches", ge=1, le=MOST_PIXELS)
    train: Trained = value("adapters", "stated", "what of the backbone trains: LoRA, everything, nothing")
    moving_patches: float = value(
        1.0, "stated", "share of patches that frozen blocks compute anew in 7 frames of 8; 1: all", gt=0, le=1
    )
    frozen_precision: Literal["fp32", "bf16"] = value(
        "fp32", "assumed", "of products and attention in frozen blocks; bf16 is faster on CPUs that compute in it"
    )
    adapter_layers: int = value(3, "stated", "top blocks that carry LoRA", ge=0)
    adapter_rank: int = value(4, "released", "LoRA rank", ge=1, le=WIDEST)
    adapter_alpha: float = value(4.0, "released", "LoRA scaling factor", gt=0)
    adapter_dropout: float = value(0.1, "released", "LoRA dropout", ge=0, lt=1)

    adapter_targets: ClassVar[tuple[str, ...]] = ("qkv", "proj", "fc1", "fc2")  # released

    def problems(self) -> Iterator[str]:
        """Sizes that contradict each other."""
        yield from super().problems()
        if self.adapter_layers > self.num_layers:
            yield "adapter_layers exceeds num_layers"
        if self.train == "adapters" and not self.adapter_layers:
            yield "adapter_layers is 0, and train is adapters"
        savings = {"moving_patches below 1": self.moving_patches < 1, "frozen_precision bf16": self.frozen_in_bf16}
        for name in (name for name, is_on in savings.items() if is_on and not self.num_frozen):
            yield f"{name} is for frozen blocks below the last one, and there are {self.num_frozen}"

    @property
    def num_frozen(self) -> int:
        """Blocks that do not train, without the last one, which computes the class token only."""
        if self.train == "all":
            return 0
        return self.num_layers - max(1, self.adapter_layers if self.train == "adapters" else 0)

    @property
    def frozen_in_bf16(self) -> bool:
        """Whether frozen blocks compute in bfloat16."""
        return self.frozen_precision == "bf16"

    @property
    def neighbours(self) -> int:
        """Frames that are compared, if some patches are taken over."""
        return NEIGHBOURS if self.moving_patches < 1 else 0

    @property
    def variant(self) -> tuple[object, ...]:
        """Whatever of these changes features: a share of patches, heads that are not of DINOv2's width, a precision."""
        changes: list[object] = [self.moving_patches] if self.neighbours else []
        if self.frozen_in_bf16:
            changes.append(self.frozen_precision)
        if self.hidden_size != HEAD_WIDTH * self.num_heads:
            changes.append(f"{self.num_heads} heads")
        return tuple(changes)

    def build(self) -> Dinov2ClassToken:
        """The ViT, with random weights."""
        return Dinov2ClassToken(self)

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


class VisionTransformer(nn.Module):
    """Patches, blocks and the last LayerNorm, with Hugging Face's names."""

    def __init__(self, options: Dinov2) -> None:
        super().__init__()
        self.embeddings = Embeddings(options)
        self.encoder = Blocks(options)
        self.layernorm = nn.LayerNorm(options.hidden_size, eps=EPSILON)
        self.embeddings.apply(_draw)


class Blocks(nn.Module):
    """The blocks, by the name that they have in files."""

    def __init__(self, options: Dinov2) -> None:
        super().__init__()
        self.layer = nn.ModuleList(Block(options) for _ in range(options.num_layers)).apply(_draw)


class Embeddings(nn.Module):
    """Images (N, 3, H, W) -> tokens (N, T, W): the class token, then the patches, row by row, with their positions."""

    def __init__(self, options: Dinov2) -> None:
        super().__init__()
        width, patch, side = options.hidden_size, options.patch_size, options.image_size // options.patch_size
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        # used for masked patches in DINOv2's own training; nothing is masked here, so it never gets a gradient
        self.mask_token = nn.Parameter(torch.zeros(1, width), requires_grad=False)
        self.patch_embeddings = nn.Sequential(OrderedDict(projection=nn.Conv2d(3, width, patch, stride=patch)))
        self.position_embeddings = nn.Parameter(torch.randn(1, side * side + 1, width))
        self.side = side

    def forward(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, T, W), T = 1 + patches."""
        patches = self.patch_embeddings(images)
        tokens = torch.cat((self.cls_token.expand(len(images), -1, -1), patches.flatten(2).transpose(1, 2)), dim=1)
        return tokens + self.positions(*patches.shape[2:])

    def positions(self, height: int, width: int) -> Tensor:
        """Patches in a column and in a row -> (1, T, W); for another grid than the table's, interpolated (bicubic)."""
        if height == width == self.side:
            return self.position_embeddings
        table = self.position_embeddings[:, 1:].view(1, self.side, self.side, -1).permute(0, 3, 1, 2)
        grid = functional.interpolate(table.float(), size=(height, width), mode="bicubic").to(table.dtype)
        return torch.cat((self.position_embeddings[:, :1], grid.flatten(2).transpose(1, 2)), dim=1)


class Block(nn.Module):
    """Self-attention and an MLP, each behind a LayerNorm, scaled, and added to its input."""

    def __init__(self, options: Dinov2) -> None:
        super().__init__()
        width, hidden = options.hidden_size, options.mlp_ratio * options.hidden_size
        self.norm1 = nn.LayerNorm(width, eps=EPSILON)
        # `Dinov2ClassToken` replaces them; drawn all the same, so that a seed gives the weights it always gave
        self.attention: nn.Module = nn.ModuleList(nn.Linear(width, width) for _ in range(4))
        self.layer_scale1 = LayerScale(width)
        self.norm2 = nn.LayerNorm(width, eps=EPSILON)
        fc1, fc2 = FreezableLinear(width, hidden), FreezableLinear(hidden, width)
        self.mlp = nn.Sequential(OrderedDict(fc1=fc1, activation=nn.GELU(), fc2=fc2))
        self.layer_scale2 = LayerScale(width)

    def forward(self, tokens: Tensor, num_queries: int | None = None) -> Tensor:
        """(N, T, W) -> (N, num_queries or T, W): of the first tokens only."""
        change = self.attention(self.norm1(tokens), num_queries)
        return self._widened(self.layer_scale1(tokens[:, :num_queries], change))

    def _widened(self, tokens: Tensor) -> Tensor:
        widened: Tensor = self.layer_scale2(tokens, self.mlp(self.norm2(tokens)))
        return widened

    def moved(self, still: Tensor, moving: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
        """All tokens of a frame (1, T, W), and the moving ones of others (N, M, W), at `places` (N, M, W) -> both."""
        assert isinstance(self.attention, FusedAttention)
        attended = self.attention.moved(self.norm1(still), self.norm1(moving), places)
        still, moving = (
            self.layer_scale1(each, change) for each, change in zip((still, moving), attended, strict=True)
        )
        return self._widened(still), self._widened(moving)


class LayerScale(nn.Module):
    """What a branch adds, times a learned vector (W,)."""

    def __init__(self, hidden_size: int) -> None:
        super().__init__()
        self.lambda1 = nn.Parameter(torch.ones(hidden_size))

    def forward(self, tokens: Tensor, change: Tensor) -> Tensor:
        """(..., W) and what is added to it (..., W) -> (..., W)."""
        return torch.addcmul(tokens, change, self.lambda1)


class FusedAttention(nn.Module):
    """Self-attention with one linear layer for queries, keys and values, in place of Hugging Face's three.

    The released code adapts DINOv2's own fused `qkv`: all three share one LoRA A of 4 x 384. On three separate layers,
    the same rank would give 27,648 parameters per block, and Table 3 would not add up.
    """

    def __init__(self, hidden_size: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.qkv = FreezableLinear(hidden_size, 3 * hidden_size)
        self.proj = FreezableLinear(hidden_size, hidden_size)
        for linear in (self.qkv, self.proj):
            nn.init.normal_(linear.weight, std=STD)
            nn.init.zeros_(linear.bias)

    def forward(self, tokens: Tensor, num_queries: int | None = None) -> Tensor:
        """(N, T, W) -> (N, num_queries or T, W): attention of the first tokens only."""
        heads = self.qkv(tokens).view(*tokens.shape[:2], 3, self.num_heads, -1)
        # unbind before transposing: this saves a copy of the gradient
        query, key, value = (each.transpose(1, 2) for each in heads.unbind(2))
        attended = functional.scaled_dot_product_attention(query[:, :, :num_queries], key, value)
        mixed: Tensor = self.proj(attended.transpose(1, 2).flatten(2))
        return mixed

    def moved(self, still: Tensor, moving: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
        """As in `Block.moved`: keys and values of what has not moved are those of the whole frame."""
        rows = self.qkv(moving).chunk(3, -1)
        of_still = self.qkv(still).chunk(3, -1)
        others = len(moving), -1, -1
        keys, values = (
            each.expand(others).scatter(1, places, row) for each, row in zip(of_still[1:], rows[1:], strict=True)
        )
        mixed = []
        for three in (of_still, (rows[0], keys, values)):
            heads = (each.unflatten(2, (self.num_heads, -1)).transpose(1, 2) for each in three)
            mixed.append(self.proj(functional.scaled_dot_product_attention(*heads).transpose(1, 2).flatten(2)))
        return mixed[0], mixed[1]


class Dinov2ClassToken(nn.Module):
    """Images (N, 3, H, W) float -> the class token of DINOv2 after its last LayerNorm (N, W).

    The last block computes the class token only, as nothing reads the others: a 4-block ViT is a fifth faster. For
    images of other sizes, the position table is interpolated (bicubic).

    With `moving_patches` below 1 (not of the paper) images are neighbouring frames of a clip. The middle one goes
    through the frozen blocks as a whole; of each other one only that share of patches which differ most from it, and
    the class token: what has not moved is taken over. Blocks with adapters, and the last, see all patches.

    With `frozen_precision` bf16, frozen blocks compute products and attention in it; tokens stay in float32.
    """

    def __init__(self, options: Dinov2) -> None:
        super().__init__()
        self.model = VisionTransformer(options)
        for block in self.model.encoder.layer:
            block.attention = FusedAttention(options.hidden_size, options.num_heads)
        self.share, self.patch_size, self.num_frozen = options.moving_patches, options.patch_size, options.num_frozen
        self.frozen_in_bf16 = options.frozen_in_bf16

    def forward(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, W)."""
        tokens = self.model.embeddings(images)
        *blocks, last = self.model.encoder.layer
        frozen, others = blocks[: self.num_frozen], blocks[self.num_frozen :]
        with torch.autocast(tokens.device.type, torch.bfloat16) if self.frozen_in_bf16 else nullcontext():
            if self.share < 1 and len(images) > 1:
                tokens = self._moved(images, tokens, frozen)
            else:
                tokens = _through(frozen, tokens)
        tokens = _through(others, tokens)
        class_token: Tensor = self.model.layernorm(last(tokens, num_queries=1)[:, 0])
        return class_token

    def _moved(self, images: Tensor, tokens: Tensor, blocks: Sequence[nn.Module]) -> Tensor:
        """Neighbouring frames and their tokens (N, T, W) -> tokens behind the blocks."""
        middle = len(images) // 2
        moving = moving_patches(images, middle, self.patch_size, self.share) + 1  # behind the class token
        places = functional.pad(moving, (1, 0))[..., None].expand(-1, -1, tokens.shape[2])
        still, others = tokens[middle : middle + 1], torch.cat((tokens[:middle], tokens[middle + 1 :]))
        rows = others.gather(1, places)
        for block in blocks:
            assert isinstance(block, Block)
            still, rows = block.moved(still, rows, places)
        others = still.expand(len(rows), -1, -1).scatter(1, places, rows)
        return torch.cat((others[:middle], still, others[middle:]))


def _through(blocks: Sequence[nn.Module], tokens: Tensor) -> Tensor:
    for block in blocks:
        tokens = block(tokens)
    return tokens


def moving_patches(images: Tensor, middle: int, patch_size: int, share: float) -> Tensor:
    """Images (N, 3, H, W) -> the patches (N - 1, M) of each but the middle one that differ most from that.

    M: `share` of all patches, rounded up. Images are blurred first, so that a video's coding noise counts for little: a
    patch has moved as much as the quarter of it that has moved most.
    """
    cell = patch_size // 2 if patch_size % 2 == 0 else patch_size
    blurred = functional.avg_pool2d(images, cell)
    others = torch.cat((blurred[:middle], blurred[middle + 1 :]))
    difference = (others - blurred[middle]).abs().mean(1, keepdim=True)
    change = functional.max_pool2d(difference, patch_size // cell).flatten(1)
    count = math.ceil(share * change.shape[1])
    return change.topk(count, dim=1, sorted=False).indices


def _draw(module: nn.Module) -> None:
    """Random weights, in place. The first draw is lost: it keeps the sequence of random numbers what it always was."""
    if isinstance(module, nn.Linear | nn.Conv2d):
        assert module.bias is not None
        for _ in range(2):
            nn.init.normal_(module.weight, std=STD)
        nn.init.zeros_(module.bias)
    elif isinstance(module, Embeddings):
        nn.init.normal_(module.position_embeddings, std=STD)
        nn.init.normal_(module.cls_token, std=STD)


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
