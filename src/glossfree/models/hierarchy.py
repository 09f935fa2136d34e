"""Frames -> frame, segment and video features: the hierarchy of Figure 1.

B clips, N packed frames, T frames, S segments, D temporal width, E language width.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from glossfree.models.choices import LanguageEncoder, TemporalModule
from glossfree.models.vision import VisualEncoder
from glossfree.padded import Padded

LEVELS = ("frames", "backbone_features", "frame_features", "segment_features")


@dataclass(frozen=True)
class Levels:
    """What a forward pass computed of each clip, for objectives to look at.

    `frame` (B, T, D), None where the input lay above it; `segment` (B, S, E); `video` (B, S, E), one step longer with a
    prefix; `logits` (B, L, V). What no objective looks at is not computed: None.
    """

    frame: Padded | None = None
    segment: Padded | None = None
    video: Padded | None = None
    logits: Tensor | None = None


class HierarchicalEncoder(nn.Module):
    """Visual, temporal and language encoder, one after the other; in translation the mapper stands before the last."""

    def __init__(
        self,
        visual: VisualEncoder,
        temporal: TemporalModule,
        language: LanguageEncoder,
        mapper: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.visual = visual
        self.temporal = temporal
        self.language = language
        self.mapper = mapper

    def frames(self, frames: Tensor, lengths: Tensor) -> Padded:
        """Frames (N, 3, H, W) uint8 -> frame features Padded (B, T, D)."""
        return Padded.unpack(self.visual(frames), lengths)

    def segments(self, frames: Tensor, lengths: Tensor, level: str = "frames") -> Padded:
        """Rows of all clips at `level` (see ClipBatch) -> segment features Padded (B, S, E).

        "frames": (N, 3, H, W) uint8; "backbone_features": (N, backbone width); "frame_features": (N, D);
        "segment_features": (N, E), N = sum of lengths.
        """
        return self._below(frames, lengths, level)[1]

    def forward(
        self, frames: Tensor, lengths: Tensor, level: str = "frames", prefix: Tensor | None = None, up_to: str = "video"
    ) -> Levels:
        """Rows of all clips at `level` -> Levels. `prefix` (1, E) stands in front of every clip's segments.

        `up_to`: "segment" leaves the language encoder out.
        """
        frame, segment = self._below(frames, lengths, level)
        if up_to == "segment":
            return Levels(frame, segment)
        fed = segment if self.mapper is None else segment.with_values(self.mapper(segment.values))
        if prefix is not None:
            fed = put_in_front(prefix, fed)
        return Levels(frame, segment, self.language(fed))

    def video(self, frames: Tensor, lengths: Tensor, level: str = "frames") -> Padded:
        """Rows of all clips at `level` -> video features Padded (B, S, E), as a decoder reads them."""
        video = self(frames, lengths, level).video
        assert isinstance(video, Padded)
        return video

    def _below(self, frames: Tensor, lengths: Tensor, level: str) -> tuple[Padded | None, Padded]:
        """Frame features (None where the input is already above them) and segment features."""
        if level == "segment_features":
            return None, Padded.unpack(frames, lengths)
        if level == "frame_features":
            frame = Padded.unpack(frames, lengths)
        elif level == "backbone_features":
            frame = Padded.unpack(self.visual.project(frames), lengths)
        elif level == "frames":
            frame = self.frames(frames, lengths)
        else:
            raise ValueError(f"level {level!r} is none of {', '.join(LEVELS)}")
        return frame, self.temporal(frame)


def put_in_front(prefix: Tensor, sequence: Padded) -> Padded:
    """A vector (1, E) in front of every sequence: Padded (B, S, E) -> Padded (B, S + 1, E)."""
    first = prefix.to(sequence.values.dtype).expand(len(sequence.lengths), 1, -1)
    return Padded(torch.cat((first, sequence.values), dim=1), sequence.lengths + 1)
