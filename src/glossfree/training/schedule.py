"""The learning rate of a step: one cycle with cosine (section 4.2)."""

from __future__ import annotations

import math


def one_cycle(step: int, total: int, peak: float, warmup: float, start: float = 25.0, end: float = 1e4) -> float:
    """Step 0..total-1 -> learning rate: cosine up from peak/start over `warmup` of all steps, cosine down to ~0.

    Section 4.2: "one-cycle cosine learning rate scheduler with a five-epoch warmup". `start` and `end` divide the
    peak, and first step, as in the one-cycle policy's usual settings (assumed).
    A pure function of the step: nothing to save, nothing to restore.
    """
    first, last = peak / start, peak / (start * end)
    up = max(1.0, warmup * total)
    if step < up:
        return first + (peak - first) * (1 - math.cos(math.pi * step / up)) / 2
    done = min(1.0, (step - up) / max(1.0, total - 1 - up))
    return last + (peak - last) * (1 + math.cos(math.pi * done)) / 2
