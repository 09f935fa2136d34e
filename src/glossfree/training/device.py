"""The device that this process computes on, what suits it, and the memory that the process takes of it."""

from __future__ import annotations

import sys
from pathlib import Path

import torch

# A block's activations of 8 frames (257 tokens x 1,536 x 4 bytes each) stay in a CPU's caches: a full-size training
# step of 116 frames took 9.5 s with 8 frames at once, 10.6 s with 2, 9.7 s with 16, 17.5 s with all (two cores).
# An accelerator is faster with many, up to its memory.
FRAMES_PER_PASS = {"cpu": 8}
FRAMES_PER_PASS_ELSEWHERE = 256
PROCESS = Path("/proc/self/status")


def best_device() -> torch.device:
    """The accelerator if there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def frames_per_pass(device: torch.device) -> int:
    """Frames that a backbone without statistics over frames takes at once on this device."""
    return FRAMES_PER_PASS.get(device.type, FRAMES_PER_PASS_ELSEWHERE)


def peak_memory() -> int:
    """Most bytes that this process has held, of the accelerator's memory if there is one; 0: unknown."""
    return int(torch.cuda.max_memory_allocated()) if torch.cuda.is_available() else peak_resident()


def held_memory() -> int:
    """Bytes that this process holds now, of the same memory; 0: unknown."""
    return int(torch.cuda.memory_allocated()) if torch.cuda.is_available() else _resident("VmRSS")


def forget_peak() -> None:
    """Count an accelerator's peak from here on; a CPU's is always of the whole process."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()


def peak_resident() -> int:
    """Most bytes of main memory that this process has held; 0: unknown.

    On Linux it is VmHWM: ru_maxrss would begin with that of the process that started this one.
    """
    if PROCESS.is_file() or sys.platform == "win32":
        return _resident("VmHWM")
    import resource  # Windows has none

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _resident(key: str) -> int:
    lines = PROCESS.read_text(encoding="utf-8").splitlines() if PROCESS.is_file() else []
    return 1024 * sum(int(line.split()[1]) for line in lines if line.startswith(f"{key}:"))
