"""Sequences of different lengths in one tensor: the type of features at all three levels of the hierarchy."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Padded:
    """B sequences of width D, padded on the right to the longest: `values` (B, T, D), `lengths` (B,) int64.

    Padding is the part of `values` beyond a sequence's length. Nothing may depend on it.
    """

    values: Tensor
    lengths: Tensor

    def __post_init__(self) -> None:
        if self.values.ndim != 3 or self.lengths.shape != self.values.shape[:1]:
            raise ValueError(f"values (B,T,D) and lengths (B,) expected, got {self.values.shape}, {self.lengths.shape}")

    @property
    def mask(self) -> Tensor:
        """(B, T) bool, True = real."""
        steps = torch.arange(self.values.shape[1], device=self.values.device)
        return steps[None, :] < self.lengths[:, None]

    def mean(self, *, padding: bool = False) -> Tensor:
        """Average over the real positions: (B, D) (section 3.2: "average pooling over frame and token sequences").

        With `padding`, the average is over all T positions, as in the released code. It then depends on the longest
        sequence of the batch.
        """
        if padding:
            return self.values.mean(dim=1)
        total = self.zeroed().values.sum(dim=1)
        return total / self.lengths.clamp(min=1)[:, None].to(self.values.dtype)

    def zeroed(self) -> Padded:
        """The same with zeros as padding. It may hold nan, and 0 x nan is nan."""
        return self.with_values(self.values.masked_fill(~self.mask[..., None], 0.0))

    def pack(self) -> Tensor:
        """The real positions, one clip after another: (N, D), N = sum of lengths."""
        return self.values[self.mask]

    @classmethod
    def unpack(cls, packed: Tensor, lengths: Tensor) -> Padded:
        """(N, D) packed rows -> Padded (B, max T, D), zeros as padding. Raises ValueError if N != sum(lengths).

        Lengths in main memory are moved to the rows' device. Reading them there would wait for the device.
        """
        if packed.ndim != 2 or packed.shape[0] != int(lengths.sum()):
            raise ValueError(f"(N,D) with N = {int(lengths.sum())} expected, got {tuple(packed.shape)}")
        longest = int(lengths.max()) if lengths.numel() else 0
        lengths = lengths.to(packed.device, non_blocking=True)
        mask = torch.arange(longest, device=packed.device)[None, :] < lengths[:, None]
        values = packed.new_zeros(lengths.shape[0], longest, packed.shape[1])
        return cls(values.masked_scatter(mask[..., None], packed), lengths)

    def with_values(self, values: Tensor) -> Padded:
        """The same lengths with new values (B, T, any width)."""
        return Padded(values, self.lengths)
