"""Keypoints of each frame, all joints in one row -> segments of their own, joined with those of the video.

N packed frames, J joints, K hidden width, D temporal width, E language width. f = BatchNorm(W_2 GELU(W_1 x)) for each
frame, x (3J): of each joint 2 x - 1, 2 y - 1 and its confidence, zeros where it was not seen. A temporal module of the
recipe's kind, with weights of its own, makes segments k of f; with those of the video, v, they are joined: v + k, or
W (v; k).
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from glossfree.models.choices import Keypoints, KeypointStream, Temporal, TemporalModule
from glossfree.models.norm import FrameNorm
from glossfree.padded import Padded
from glossfree.settings import WIDEST, value

Join = Literal["concatenation", "sum"]


class JointRows(Keypoints):
    """Sizes of the stream, and how it is joined with the video."""

    kind: Literal["joints"] = "joints"
    num_joints: int = value(55, "derived", "joints J of the corpus (poses.json names them; the avatar has 55)", ge=1)
    hidden_size: int = value(256, "assumed", "width K of the hidden layer", ge=1, le=WIDEST)
    join: Join = value("concatenation", "released", "segments of both: concatenation and a linear layer, or their sum")

    @property
    def joints_read(self) -> int:
        """J."""
        return self.num_joints

    def build(self, temporal: Temporal, width: int) -> JointRowsStream:
        """The stream, with random weights."""
        module = temporal.build(width)
        return JointRowsStream(self.num_joints, self.hidden_size, temporal.hidden_size, module, width, self.join)


class JointRowsStream(KeypointStream):
    """Keypoints (N, J, 3) -> segments Padded (B, S, E); the same with the video's -> joint segments."""

    def __init__(
        self, num_joints: int, hidden_size: int, frame_size: int, temporal: TemporalModule, width: int, join: Join
    ) -> None:
        super().__init__()
        self.hidden = nn.Linear(3 * num_joints, hidden_size)
        self.projection = nn.Linear(hidden_size, frame_size)
        self.norm = FrameNorm(frame_size)
        self.temporal = temporal
        self.joint = nn.Linear(2 * width, width) if join == "concatenation" else None

    def forward(self, keypoints: Tensor, lengths: Tensor) -> Padded:
        """(N, J, 3), N = sum of lengths (B,) -> Padded (B, S, E)."""
        places, confidence = keypoints[..., :2], keypoints[..., 2:]
        rows = torch.cat([(2 * places - 1) * (confidence > 0), confidence], dim=-1).flatten(1)
        features = self.norm(self.projection(nn.functional.gelu(self.hidden(rows))))
        segments: Padded = self.temporal(Padded.unpack(features, lengths))
        return segments

    def join(self, video: Padded, keypoints: Padded) -> Padded:
        """Segments of both streams, Padded (B, S, E) each -> joint ones."""
        if self.joint is None:
            return video.with_values(video.values + keypoints.values)
        return video.with_values(self.joint(torch.cat([video.values, keypoints.values], dim=-1)))
