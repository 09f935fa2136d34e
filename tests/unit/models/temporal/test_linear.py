"""Every frame is a segment."""

from __future__ import annotations

import torch

from glossfree.models.temporal.linear import PerFrame
from glossfree.padded import Padded


def test_a_frame_becomes_a_segment_of_the_language_encoder_s_width() -> None:
    module = PerFrame(hidden_size=14).build(18)
    frames = Padded(torch.randn(2, 5, 14), torch.tensor([5, 3]))
    segments = module(frames)
    expected = frames.values @ module.output.weight.T + module.output.bias
    torch.testing.assert_close(segments.values, expected)
    assert segments.lengths.tolist() == [5, 3] and module.frames_per_segment == 1
    assert torch.equal(module.out_lengths(torch.tensor([5, 3, 1])), torch.tensor([5, 3, 1]))
