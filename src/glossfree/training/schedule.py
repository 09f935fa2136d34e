"""The learning rate of a step, as a pure function of it: nothing to save, nothing to restore (section 4.2)."""

from __future__ import annotations

import math

SCHEDULES = ("one_cycle", "cosine", "constant")


def learning_rate(schedule: str, step: int, total: int, peak: float, warmup: float) -> float:
    """Step 0..total-1 -> learning rate; `warmup`: the share of all steps in which it rises.

    one_cycle  up along a cosine from peak / 25, down along a cosine to almost 0
    cosine     up along a line from 0, down along a cosine to 0
    constant   up along a line from 0, then as it is
    Raises ValueError for another schedule.
    """
    if schedule not in SCHEDULES:
        raise ValueError(f"schedule {schedule!r} is none of {', '.join(SCHEDULES)}")
    if schedule == "one_cycle":
        return one_cycle(step, total, peak, warmup)
    up = warmup * total
    if step < up:
        return peak * (step + 1) / (up + 1)
    if schedule == "constant":
        return peak
    return peak * (1 + math.cos(math.pi * min(1.0, (step - up) / max(1.0, total - up)))) / 2


def one_cycle(step: int, total: int, peak: float, warmup: float, start: float = 25.0, end: float = 1e4) -> float:
    """Step 0..total-1 -> learning rate: cosine up from peak/start over `warmup` of all steps, cosine down to ~0.

    Section 4.2: "one-cycle cosine learning rate scheduler with a five-epoch warmup". `start` and `end` divide the
    peak, and first step, as in the one-cycle policy's usual settings (assumed).
    """
    first, last = peak / start, peak / (start * end)
    up = max(1.0, warmup * total)
    if step < up:
        return first + (peak - first) * (1 - math.cos(math.pi * step / up)) / 2
    done = min(1.0, (step - up) / max(1.0, total - 1 - up))
    return last + (peak - last) * (1 + math.cos(math.pi * done)) / 2
