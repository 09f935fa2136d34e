"""Linear layers whose weights are packed for products with few rows.

A step of decoding multiplies a few rows with every weight once, so reading the weights takes its time. What torch's
`linear` calls for 4 rows reads them at a third of the memory's rate; oneDNN, with weights in blocks of its own, reads
them at nearly all of it (`python -m benchmarks decoding`). Results differ by rounding.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

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
        product: Tensor = torch.ops.mkldnn._linear_pointwise(rows, self.weight, self.bias, "none", [], "")
        return product

    def _save_to_state_dict(self, *_: object) -> None:
        raise RuntimeError("a model packed to translate cannot be saved: save the one that it was made of")


def can_pack() -> bool:
    """Whether torch can: on processors for which it has oneDNN."""
    is_available = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return is_available and hasattr(torch.ops.mkldnn, "_reorder_linear_weight")  # private: another torch may lack it


def large_layers(module: nn.Module) -> Iterator[tuple[nn.Module, str, nn.Linear]]:
    """The linear layers on the CPU, in float32, with SMALLEST weights or more: parent, name in it, layer."""
    for parent in list(module.modules()):
        for name, child in list(parent.named_children()):
            if type(child) is not nn.Linear:  # others use the weights of a subclass themselves
                continue
            if child.weight.is_cpu and child.weight.dtype == torch.float32 and child.weight.numel() >= SMALLEST:
                yield parent, name, child


def pack(module: nn.Module) -> None:
    """Pack the large linear layers, in place, where torch can."""
    if can_pack():
        for parent, name, layer in large_layers(module):
            setattr(parent, name, PackedLinear(layer.weight, layer.bias))
