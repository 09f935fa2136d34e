"""LoRA: small trainable matrices parallel to some linear layers of a frozen module (sections 3.1 and 4.2)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from glossfree.models.packed import is_plain
from glossfree.settings import WIDEST, Section, value

CHOICES = 2**16  # values of 16 random bits


class Adapters(Section):
    """Options of a part that can carry LoRA."""

    adapter_rank: int = value(16, "stated", "LoRA rank", ge=1, le=WIDEST)
    adapter_alpha: float = value(32.0, "stated", "LoRA scaling factor", gt=0)
    adapter_dropout: float = value(0.1, "stated", "LoRA dropout", ge=0, lt=1)

    adapter_targets: ClassVar[tuple[str, ...]] = ()  # names of the linear layers that get LoRA


class AdaptedProduct(torch.autograd.Function):
    """`product + scaling B A dropout(x)` on a CPU, into the product, of which x and 16 random bits a value are kept.

    The bits take 1.3 ns a value, where torch's dropout takes 9, and a quarter of the memory of mask and product: the
    adapters of the ViT draw 170 million values in a step of 116 frames. x is kept once for all layers that read it.
    Beside a wide layer, every pass over its rows costs as much as a product of small rank: factors are put into
    matrices of that rank, and products take the order that is fast for them.
    """

    @staticmethod
    def forward(ctx: Any, product: Tensor, x: Tensor, down: Tensor, up: Tensor, scaling: float, kept: int) -> Tensor:
        """(N, outputs), which is overwritten; (N, inputs), A (rank, inputs), B (outputs, rank) -> (N, outputs).

        `kept`: how many of 65,536 values are kept.
        """
        words = torch.empty(-(-x.numel() // 4), dtype=torch.int64).random_(-(2**63), None)
        bits = words.view(torch.int16)[: x.numel()].view(x.shape)
        factor = scaling * CHOICES / kept  # what is kept grows, so that the mean stays
        low = functional.linear(_mask(bits, kept, x.dtype).mul_(x), down).mul_(factor)
        ctx.save_for_backward(x, down, up, bits, low)
        ctx.kept, ctx.factor = kept, factor
        ctx.mark_dirty(product)
        product.T.addmm_(up, low.T)
        return product

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """The gradient of the sum -> those of product, x, A and B."""
        x, down, up, bits, low = ctx.saved_tensors
        of_low = functional.linear(gradient, up.T.contiguous()).mul_(ctx.factor)
        mask = _mask(bits, ctx.kept, x.dtype)
        _, asks_x, asks_down, asks_up, *_ = ctx.needs_input_grad
        of_x = (of_low @ down).mul_(mask) if asks_x else None
        of_down = of_low.T @ mask.mul_(x) if asks_down else None
        return gradient, of_x, of_down, (low.T @ gradient).T if asks_up else None, None, None


def _mask(bits: Tensor, kept: int, dtype: torch.dtype) -> Tensor:
    """Random bits -> 0 or 1; straight into floats: by way of bool it would take 1 ns more."""
    return torch.lt(bits, kept - CHOICES // 2, out=torch.empty(bits.shape, dtype=dtype))


class Lora(nn.Module):
    """y = W x + (alpha / rank) B A dropout(x), W x being a frozen linear layer's. B starts at zero.

    The parameters have the names that peft gives them.
    """

    def __init__(self, base_layer: Any, rank: int, alpha: float, dropout: float) -> None:
        """`base_layer`: nn.Linear, or GPT-2's linear layer, whose weight is transposed."""
        super().__init__()
        self.base_layer, self.scaling = base_layer, alpha / rank
        self.is_transposed = not isinstance(base_layer, nn.Linear)
        inputs, outputs = base_layer.weight.shape if self.is_transposed else reversed(base_layer.weight.shape)
        self.dropout = nn.Dropout(dropout)
        down, up = nn.Linear(inputs, rank, bias=False), nn.Linear(rank, outputs, bias=False)
        nn.init.kaiming_uniform_(down.weight, a=math.sqrt(5))
        nn.init.zeros_(up.weight)
        self.lora_A, self.lora_B = nn.ModuleDict({"default": down}), nn.ModuleDict({"default": up})
        self.to(base_layer.weight)  # its device and precision

    def forward(self, x: Tensor) -> Tensor:
        """(..., inputs) -> (..., outputs). In training on a CPU, the rate is rounded to a multiple of 1 / 65,536."""
        down, up = self.lora_A["default"], self.lora_B["default"]
        if not self._is_one_function(x):
            result: Tensor = self.base_layer(x) + up(down(self.dropout(x))) * self.scaling
            return result
        rows, weights = x.reshape(-1, x.shape[-1]), (down.get_parameter("weight"), up.get_parameter("weight"))
        total: Tensor = AdaptedProduct.apply(self.base_layer(rows), rows, *weights, self.scaling, self._kept)  # type: ignore[no-untyped-call]
        return total.view(*x.shape[:-1], total.shape[-1])

    @property
    def _kept(self) -> int:
        """How many of 65,536 values dropout keeps."""
        return round((1 - self.dropout.p) * CHOICES)

    def _is_one_function(self, x: Tensor) -> bool:
        drops = self.training and 0 < self._kept < CHOICES
        return drops and is_plain(x, self.lora_A["default"].get_parameter("weight"))

    @torch.no_grad()
    def merged(self) -> nn.Module:
        """The linear layer with the adapter added to its weight, in place."""
        down, up = self.lora_A["default"].get_parameter("weight"), self.lora_B["default"].get_parameter("weight")
        change = up @ down
        self.base_layer.weight += (change.T if self.is_transposed else change) * self.scaling
        base_layer: nn.Module = self.base_layer
        return base_layer


def add_lora(
    module: nn.Module,
    targets: Sequence[str],
    rank: int,
    alpha: float,
    dropout: float,
    layers: Sequence[int] | None = None,
) -> None:
    """Freeze `module` and add LoRA to every linear layer named in `targets`, in place.

    Nothing changes before the first step. `layers`: only in these blocks of the module, by the first number in a
    name; None: in all. Raises ValueError if no layer has such a name.
    """
    module.requires_grad_(False)
    names = [name for name, _ in module.named_modules() if f".{name}".endswith(tuple(f".{each}" for each in targets))]
    if layers is not None:
        numbers = {name: next((int(part) for part in name.split(".") if part.isdigit()), None) for name in names}
        names = [name for name in names if numbers[name] in layers]
    if not names:
        raise ValueError(f"no layer is named {', '.join(targets)}")
    for name in names:
        parent, _, child = name.rpartition(".")
        setattr(module.get_submodule(parent), child, Lora(module.get_submodule(name), rank, alpha, dropout))


def merge_lora(module: nn.Module) -> None:
    """Merge every adapter into its base weight and restore the plain linear layer, in place."""
    for parent in list(module.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, Lora):
                setattr(parent, name, child.merged())
