"""Which device this process computes on, and what suits it."""

from __future__ import annotations

import torch

# A block's activations of 8 frames (257 tokens x 1,536 x 4 bytes each) stay in a CPU's caches: a full-size training
# step of 116 frames took 9.5 s with 8 frames at once, 10.6 s with 2, 9.7 s with 16, 17.5 s with all (two cores).
# An accelerator wants many, and only its memory sets an end to that.
FRAMES_PER_PASS = {"cpu": 8}
FRAMES_PER_PASS_ELSEWHERE = 256


def best_device() -> torch.device:
    """The accelerator, where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def frames_per_pass(device: torch.device) -> int:
    """Frames that a backbone without statistics over frames takes at once on this device."""
    return FRAMES_PER_PASS.get(device.type, FRAMES_PER_PASS_ELSEWHERE)
