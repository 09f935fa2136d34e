"""No temporal module: every frame is a segment, projected to the width of the language encoder."""

from __future__ import annotations

from typing import Literal

from torch import nn

from glossfree.models.choices import Temporal, TemporalModule
from glossfree.padded import Padded


class PerFrame(Temporal):
    """A linear layer; it has no values of its own."""

    kind: Literal["linear"] = "linear"

    def build(self, output_size: int) -> LinearModule:
        """A linear layer D -> E, with random weights."""
        return LinearModule(self.hidden_size, output_size)


class LinearModule(TemporalModule):
    """Padded (B, T, D) -> Padded (B, T, E)."""

    frames_per_segment = 1

    def __init__(self, hidden_size: int, output_size: int) -> None:
        super().__init__()
        self.output = nn.Linear(hidden_size, output_size)

    def forward(self, frame_features: Padded) -> Padded:
        """Padded (B, T, D) -> Padded (B, T, E)."""
        return frame_features.with_values(self.output(frame_features.values))
