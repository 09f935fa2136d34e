"""What a stage will need, told from its first steps: seconds, and bytes of memory. Estimates, and called so."""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path

import torch

from glossfree.console import duration

TIMED, WARMING_UP = 5, 2  # a stage is timed over its first five steps without two: caches fill, kernels are chosen
NOISE = 5_000_000  # bytes that Linux may count late: 0.2 MB seen
STATM, STATUS = Path("/proc/self/statm"), Path("/proc/self/status")


def peak_memory() -> int:
    """Bytes that this process has held at most: of the accelerator's, where there is one, else resident; 0: unknown."""
    return int(torch.cuda.max_memory_allocated()) if torch.cuda.is_available() else peak_resident()


def peak_resident() -> int:
    """Bytes of main memory that this process has held at most; 0: unknown.

    Linux is asked for VmHWM: its ru_maxrss begins with that of the process that started this one.
    """
    lines = STATUS.read_text(encoding="utf-8").splitlines() if STATUS.is_file() else []
    kibibytes = [int(line.split()[1]) for line in lines if line.startswith("VmHWM:")]
    if kibibytes or sys.platform == "win32":
        return 1024 * sum(kibibytes)
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else 1024 * most


def forget_peak() -> None:
    """Count an accelerator's peak from here on; a CPU's is of the whole process, whatever it did."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()


def held_memory() -> int:
    """Bytes that this process holds now, of the same memory; 0: unknown."""
    if torch.cuda.is_available():
        return int(torch.cuda.memory_allocated())
    if not STATM.is_file():
        return 0
    import resource

    return int(STATM.read_text(encoding="ascii").split()[1]) * resource.getpagesize()


def size(count: float) -> str:
    """Bytes -> "3.4 MB", "1.2 GB"."""
    return f"{count / 1e9:.1f} GB" if count >= 999.5e6 else f"{count / 1e6:.3g} MB"


def fixed_memory(stage: str, parameters: int, trained: int, largest: int | None) -> str:
    """What is known before the first step. `parameters`, `trained`: bytes; `largest`: frames of the largest batch.

    A trained parameter has a gradient and AdamW's two moments, each as large as itself.
    """
    batch = "a batch" if largest is None else f"a batch of at most {largest:,} frames"
    known = f"parameters {size(parameters)}, gradients and optimiser {size(3 * trained)}"
    return f"{stage}: memory: {known}, and what {batch} needs"


def memory_expected(held: int, peak: int, frames: int, largest: int, to_come: int) -> int:
    """Bytes that the largest batch of a stage may take: what a batch of `frames` took, in proportion.

    `held`: before that batch; `peak`: at most while it was computed; `to_come`: of the optimiser's state, which is made
    after it. What a batch takes does not grow with its frames in every part: this is an estimate.
    """
    return held + to_come + round((peak - held) * max(1.0, largest / frames))


def memory_line(stage: str, expected: int, peak: int, frames: int, largest: int) -> str:
    """What a person reads of `memory_expected`."""
    seen = f"a batch of {frames:,} frames took memory to {size(peak)}"
    return f"{stage}: {seen}; the largest planned may have {largest:,}: expect up to {size(expected)} (an estimate)"


def time_line(stage: str, speed: float, epoch: float, left: float, memory: int, now: datetime) -> str:
    """What a person reads after the first steps. `speed`: frames/s; `epoch`, `left`: seconds of one, of all to come."""
    end = datetime.fromtimestamp(now.timestamp() + left)
    day = "" if end.date() == now.date() else end.strftime("%Y-%m-%d ")
    stage_takes = f"what is left of the stage about {duration(left)} (done about {day}{end:%H:%M})"
    first = f"{stage}: about {speed:,.0f} frames/s: an epoch takes about {duration(epoch)}, {stage_takes}"
    return f"{first}, validation not counted; memory peak {size(memory)}"
