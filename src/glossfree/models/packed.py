"""Linear layers whose weights are packed: oneDNN's products, with weights in blocks of its own.

A step of decoding multiplies a few rows with every weight once, so reading the weights takes its time. What torch's
`linear` calls for 4 rows reads them at a third of the memory's rate, oneDNN at nearly all of it
(`python -m benchmarks decoding`). With thousands of rows, as in the frozen blocks of a ViT, its products are faster,
too (`python -m benchmarks ablation`). Results differ by rounding.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

SMALLEST = 2**17  # elements of a weight: with fewer, a call of oneDNN costs more than it saves


class PackedLinear(nn.Module):
    """A linear layer for evaluation only. Its weights are no parameter, and cannot be saved."""

    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        """(outputs, inputs) and (outputs,), float32."""
        super().__init__()
        self.out_features, self.in_features = weight.shape
        self.weight = torch.ops.mkldnn._reorder_linear_weight(weight.detach(), None)
        self.bias = None if bias is None else bias.detach()

    def forward(self, rows: Tensor) -> Tensor:
        """(..., inputs) -> (..., outputs)."""
        return _product(rows, self.weight, self.bias)

    def _save_to_state_dict(self, *_: object) -> None:
        raise RuntimeError("a model packed to translate cannot be saved: save the one that it was made of")


class FreezableLinear(nn.Linear):
    """A linear layer that keeps its weight as products take it while that is frozen.

    In float32 and on the CPU, if it is large: packed. In autocast: rounded; torch itself would do that in every call.
    It does not see changes through `weight.data`. What is kept takes at most the weight's memory once more for each of
    the two, and again if gradients pass packed ones.
    """

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__(in_features, out_features)
        self._state: tuple[int, ...] = ()  # of the weight and the bias that are kept
        self._packed: dict[bool, Tensor] = {}  # by whether it is transposed
        self._rounded: dict[torch.dtype, tuple[Tensor, Tensor]] = {}  # weight and bias, in the last precision

    def forward(self, rows: Tensor) -> Tensor:
        """(..., inputs) -> (..., outputs)."""
        if self._rounds(rows):
            return functional.linear(rows, *self.rounded(torch.get_autocast_dtype(rows.device.type)))
        if not self._packs(rows):
            return functional.linear(rows, self.weight, self.bias)
        if rows.requires_grad and torch.is_grad_enabled():
            product: Tensor = FrozenProduct.apply(rows, self)  # type: ignore[no-untyped-call]
            return product
        return _product(rows, self.packed(), self.bias)

    def packed(self, transposed: bool = False) -> Tensor:
        """The weight, or its transpose for gradients, in oneDNN's blocks; made anew when the weight has changed."""
        self._forget_other_weights()
        packed = self._packed.get(transposed)
        if packed is None:
            weight = self.weight.detach()
            rows = weight.T.contiguous() if transposed else weight
            packed = self._packed[transposed] = torch.ops.mkldnn._reorder_linear_weight(rows, None)
        return packed

    def rounded(self, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Weight and bias in another precision; made anew when the weight has changed."""
        self._forget_other_weights()
        rounded = self._rounded.get(dtype)
        if rounded is None:
            with torch.inference_mode(False):  # what is made in it could not be used in training
                rounded = self.weight.detach().to(dtype), self.bias.detach().to(dtype)
            self._rounded = {dtype: rounded}
        return rounded

    def _forget_other_weights(self) -> None:
        state = *_state(self.weight), *_state(self.bias)
        if self._state != state:
            self._packed, self._rounded = {}, {}
            self._state = state  # last: another thread may look

    def _rounds(self, rows: Tensor) -> bool:
        if torch.compiler.is_compiling() or rows.is_meta or self.weight.dtype != torch.float32:
            return False  # torch's own autocast leaves float64 as it is
        return torch.is_autocast_enabled(rows.device.type) and self._is_frozen()

    def _packs(self, rows: Tensor) -> bool:
        return is_plain(rows, self.weight) and self._is_frozen() and is_large(self) and can_pack()

    def _is_frozen(self) -> bool:
        return not any(parameter.requires_grad for parameter in (self.weight, self.bias))

    def _apply(self, *args: Any, **kwargs: Any) -> Self:
        self._packed, self._rounded = {}, {}  # it moves, or changes its precision
        applied: Self = super()._apply(*args, **kwargs)  # type: ignore[no-untyped-call]
        return applied

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_packed": {}, "_rounded": {}}  # blocks can be neither copied nor pickled


class FrozenProduct(torch.autograd.Function):
    """`FreezableLinear`'s product, through which a gradient passes."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, layer: FreezableLinear) -> Tensor:
        """(..., inputs) -> (..., outputs)."""
        ctx.layer = layer
        return _product(rows, layer.packed(), layer.bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        """(..., outputs) -> (..., inputs)."""
        return _product(gradient, ctx.layer.packed(transposed=True), None), None


def _state(parameter: Tensor) -> tuple[int, int]:
    return parameter.data_ptr(), 0 if parameter.is_inference() else parameter._version


def _product(rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    product: Tensor = torch.ops.mkldnn._linear_pointwise(rows, weight, bias, "none", [], "")
    return product


def is_plain(rows: Tensor, weight: Tensor) -> bool:
    """Whether a product is what it looks like: on the CPU, in the weight's precision, neither compiled nor autocast."""
    if torch.compiler.is_compiling():  # first: a compiler reads no further
        return False
    return rows.is_cpu and rows.dtype == weight.dtype and not torch.is_autocast_enabled(rows.device.type)


def can_pack() -> bool:
    """Whether torch can: on processors for which it has oneDNN."""
    is_available = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return is_available and hasattr(torch.ops.mkldnn, "_reorder_linear_weight")  # private: another torch may lack it


def is_large(layer: nn.Linear) -> bool:
    """Whether its weights are on the CPU, in float32, and SMALLEST or more."""
    return layer.weight.is_cpu and layer.weight.dtype == torch.float32 and layer.weight.numel() >= SMALLEST


def large_layers(module: nn.Module) -> Iterator[tuple[nn.Module, str, nn.Linear]]:
    """The plain linear layers that are large: parent, name in it, layer."""
    for parent in list(module.modules()):
        for name, child in list(parent.named_children()):
            if type(child) is not nn.Linear:  # others use the weights of a subclass themselves
                continue
            if is_large(child):
                yield parent, name, child


def pack(module: nn.Module) -> None:
    """Pack the large linear layers, in place, where torch can."""
    if can_pack():
        for parent, name, layer in large_layers(module):
            setattr(parent, name, PackedLinear(layer.weight, layer.bias))
