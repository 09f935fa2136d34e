"""Weights rounded to 8 bits: a row of a matrix is integers from -127 to 127 times one scale, the row's largest / 127.

Stored, a matrix takes a quarter of the space. Read back, it is floats again, and most layers compute with these. A
product with few rows, as a step of decoding one clip makes, takes the time in which the weights are read: there the
integers stay, and torch multiplies them with rows in bfloat16. Decoding one clip at full size with 4 beams takes half
the time of `PackedLinear`; with many rows, floats are faster (`python -m benchmarks int8`).

O outputs, I inputs.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.backends.cpu import get_cpu_capability

from glossfree.errors import ModelError
from glossfree.models.packed import PackedLinear, can_pack, large_layers
from glossfree.models.weights import state

INT8 = "int8"  # of the facts in a file of weights, and of a model's card: they are these, with adapters merged
LARGEST = 127
SCALE = "_scale"  # behind the name of a matrix: that of its scales
FEW_ROWS = 8  # with more, a product of floats is no slower
VECTORISED = ("AVX2", "AVX512")  # processors for which torch's product with integers is; its own names


def quantise(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """(O, I) -> integers (O, I) int8 and scales (O,). What was read back gives the same integers again."""
    largest = matrix.abs().amax(dim=1)
    scales = largest.masked_fill(largest == 0, LARGEST) / LARGEST
    return (matrix / scales[:, None]).round().to(torch.int8), scales


def to_int8(model: nn.Module) -> dict[str, Tensor]:
    """Model -> its `state`, in which the matrices of linear layers and tables are integers, with their scales."""
    kinds = nn.Linear | nn.Embedding
    modules = model.named_modules(remove_duplicate=False)
    matrices = {f"{name}.weight" for name, module in modules if isinstance(module, kinds)}
    tensors = state(model)
    for name in matrices & tensors.keys():
        tensors[name], tensors[name + SCALE] = quantise(tensors[name])
    return tensors


def from_int8(tensors: Mapping[str, Tensor], *, where: str) -> dict[str, Tensor]:
    """The inverse of `to_int8`, but for rounding; tensors that are no integers stay.

    Raises ModelError: integers without scales, or with others than one positive number for each row.
    """
    matrices = [name for name, tensor in tensors.items() if tensor.dtype == torch.int8]
    read = {name: tensor for name, tensor in tensors.items() if name.removesuffix(SCALE) not in matrices}
    for name in matrices:
        integers, scales = tensors[name], tensors.get(name + SCALE)
        if scales is None or integers.ndim != 2 or scales.shape != integers.shape[:1] or not _are_scales(scales):
            problem = f"{name} has 8 bits, and {'no' if scales is None else 'damaged'} scales"
            raise ModelError(problem, where=where, remedy="make the folder again: glossfree export RUN FOLDER --int8")
        read[name] = integers * scales[:, None]
    return read


def _are_scales(tensor: Tensor) -> bool:
    return tensor.dtype == torch.float32 and bool(((tensor > 0) & tensor.isfinite()).all())


class Int8Linear(nn.Module):
    """A linear layer whose weights are integers and scales, for evaluation only, on the CPU.

    Inputs, and products before they are scaled, are rounded to bfloat16 with any number of rows, so that a clip alone
    gives what it gives in a batch.
    """

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.integers, self.scales = quantise(linear.weight.detach())
        self.ones = torch.ones(len(self.scales), dtype=torch.bfloat16)  # the product's own scales would be rounded
        self.many = PackedLinear(self.integers.float())
        self.bias = None if linear.bias is None else linear.bias.detach()

    def forward(self, inputs: Tensor) -> Tensor:
        """(..., I) -> (..., O)."""
        rows = inputs.reshape(-1, inputs.shape[-1]).bfloat16()
        if len(rows) <= FEW_ROWS:
            product = torch.ops.aten._weight_int8pack_mm(rows, self.integers, self.ones)
        else:
            product = self.many(rows.float()).bfloat16()
        outputs: Tensor = product.float() * self.scales
        if self.bias is not None:
            outputs += self.bias
        return outputs.view(*inputs.shape[:-1], -1)


def can_multiply() -> bool:
    """Whether torch multiplies integers fast on this processor: not on Windows, where its compiler is another one."""
    is_fast = get_cpu_capability() in VECTORISED and sys.platform != "win32"
    return is_fast and can_pack() and hasattr(torch.ops.aten, "_weight_int8pack_mm")  # private: another may lack it


def pack_int8(module: nn.Module) -> None:
    """Make the large linear layers of a module on the CPU `Int8Linear`, in place, where that is faster."""
    if can_multiply():
        for parent, name, layer in large_layers(module):
            setattr(parent, name, Int8Linear(layer))
