"""Frame features -> segment features: windows of several widths that see each other, TSPNet's pyramid (Li et al. 2020).

B clips, T frames, D temporal width, E language width. A level has windows of w frames, one every STRIDE frames, and
each window is the mean of its frames:

    S_w = max(1, ceil((T - w) / STRIDE) + 1) windows, of which window i covers frames [STRIDE i, STRIDE i + w)

The windows of all levels form one sequence. A transformer lets a window attend to all windows of its level, and windows
of two levels to each other where the frames of one lie within those of the other (`sees`). Its rows of the finest level
are the segments. TSPNet encodes each window by a frozen I3D, which we replace by the mean; it leaves out frames behind
the last full window, where our last window is shorter; its positions are learned, ours sinusoids. As there, windows
with the same number have the same position at all levels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from glossfree.models.choices import Temporal, TemporalModule
from glossfree.models.temporal.local_attention import sinusoids
from glossfree.padded import Padded
from glossfree.settings import DEEPEST, WIDEST, value

STRIDE = 2  # frames from one window to the next, at every level
WIDEST_WINDOW = 1000


class Pyramid(Temporal):
    """Windows, and sizes of the transformer. "Stated" and "released" refer to TSPNet here."""

    kind: Literal["pyramid"] = "pyramid"
    windows: tuple[int, ...] = value((8, 12, 16), "stated", "frames of a window at each level, rising", min_length=1)
    num_layers: int = value(1, "released", "layers", ge=1, le=DEEPEST)
    num_heads: int = value(8, "released", "attention heads", ge=1, le=WIDEST)
    mlp_size: int = value(2048, "released", "width of the MLP", ge=1, le=WIDEST)
    dropout: float = value(0.1, "assumed", "dropout, as in HFA's temporal module (released: 0.4)", ge=0, lt=1)

    def problems(self) -> Iterator[str]:
        """Widths that do not fit."""
        yield from super().problems()
        edges = (STRIDE - 1, *self.windows, WIDEST_WINDOW + 1)
        if any(b <= a for a, b in pairwise(edges)):
            yield f"windows must rise, from {STRIDE} to {WIDEST_WINDOW} frames"
        if any((width - self.windows[0]) % STRIDE for width in self.windows):
            yield f"windows must differ by multiples of {STRIDE} frames, the distance between two of them"

    def build(self, output_size: int) -> PyramidModule:
        """The transformer, with random weights."""
        return PyramidModule(self, output_size)


class PyramidModule(TemporalModule):
    """Padded (B, T, D) -> Padded (B, S, E), S = S_w of the narrowest windows."""

    frames_per_segment = STRIDE

    def __init__(self, options: Pyramid, output_size: int) -> None:
        super().__init__()
        self.windows = options.windows
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(
                options.hidden_size,
                options.num_heads,
                options.mlp_size,
                options.dropout,
                activation="gelu",
                batch_first=True,
            )
            for _ in range(options.num_layers)
        )
        self.output = nn.Linear(options.hidden_size, output_size)

    def out_lengths(self, lengths: Tensor) -> Tensor:
        """Frames of each clip -> its windows of the finest level."""
        return num_windows(lengths, self.windows[0])

    def middles(self, num_frames: int) -> Sequence[int]:
        """The middle frames of the windows of the finest level; the last window may be cut short by the clip's end."""
        starts = range(0, STRIDE * int(self.out_lengths(torch.tensor(num_frames))), STRIDE)
        return [(start + min(start + self.windows[0], num_frames) - 1) // 2 for start in starts]

    def forward(self, frame_features: Padded) -> Padded:
        """Padded (B, T, D) -> Padded (B, S, E)."""
        levels = [window_means(frame_features, width) for width in self.windows]
        counts = [level.values.shape[1] for level in levels]
        values = torch.cat([level.values for level in levels], dim=1)
        positions = sinusoids(counts[0], values.shape[2], values.device)
        values = values + torch.cat([positions[:count] for count in counts]).to(values)
        hidden = ~sees(self.windows, counts).to(values.device, non_blocking=True)
        padding = ~torch.cat([level.mask for level in levels], dim=1)
        for layer in self.layers:
            values = layer(values, src_mask=hidden, src_key_padding_mask=padding)
        return Padded(self.output(values[:, : counts[0]]), levels[0].lengths)


def num_windows(lengths: Tensor, width: int) -> Tensor:
    """Frames of each clip -> its windows of `width` frames: max(1, ceil((T - width) / STRIDE) + 1)."""
    return ((lengths - width + STRIDE - 1).clamp(min=0) // STRIDE) + 1


def window_means(frames: Padded, width: int) -> Padded:
    """Frames Padded (B, T, D) -> the mean of the real frames in each window of `width` frames: Padded (B, S_w, D)."""
    lengths = num_windows(frames.lengths, width)
    count = int(num_windows(torch.tensor(frames.values.shape[1]), width))
    surplus = (0, STRIDE * (count - 1) + width - frames.values.shape[1])
    real = frames.zeroed().values.transpose(1, 2)
    totals = functional.avg_pool1d(functional.pad(real, surplus), width, STRIDE).transpose(1, 2) * width
    ends = frames.lengths[:, None] - STRIDE * torch.arange(count, device=real.device)
    return Padded(totals / ends.clamp(min=1, max=width)[..., None].to(totals.dtype), lengths)


def sees(windows: Sequence[int], counts: Sequence[int]) -> Tensor:
    """Widths and numbers of windows at each level -> (S, S) bool, S = sum(counts): which windows see each other.

    Those of one level; of two levels, window j of the narrower and i of the wider one if j - i is at least 0 and at
    most the difference of widths / STRIDE: then the frames of j lie within those of i.
    """
    number = torch.cat([torch.arange(count) for count in counts])
    width = torch.repeat_interleave(torch.tensor(windows), torch.tensor(counts))
    wider = (width[:, None] - width) // STRIDE  # by how much row i is wider than column j
    later = number - number[:, None]  # by how much column j starts after row i
    contains = (wider > 0) & (later >= 0) & (later <= wider)
    return (wider == 0) | contains | contains.T
