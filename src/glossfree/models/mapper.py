"""Segment features -> what the language encoder is fed with in translation (section 3.3)."""

from __future__ import annotations

from torch import Tensor, nn


class Mapper(nn.Module):
    """(B, S, E) -> (B, S, E): linear layer, LayerNorm, GELU.

    The paper speaks of a single linear layer; Table 3 counts LayerNorm's 2E as well, and the released code has both.
    """

    def __init__(self, hidden_size: int) -> None:
        super().__init__()
        self.linear = nn.Linear(hidden_size, hidden_size)
        self.norm = nn.LayerNorm(hidden_size)
        self.activation = nn.GELU()

    def forward(self, features: Tensor) -> Tensor:
        """(B, S, E) -> (B, S, E)."""
        mapped: Tensor = self.activation(self.norm(self.linear(features)))
        return mapped
