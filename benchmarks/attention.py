"""Windowed attention against dense attention with a band mask: time and memory, forward and backward.

1 clip, 8 heads of 64, window 7, as in the temporal encoder; the dense one is torch's fused attention, which gets the
band as a mask. Each is measured in a process of its own, in turns, so that peak memory is its own. About half a minute
on two cores.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.processes import Worker, in_turns, peak_gigabytes, serve
from benchmarks.timing import machine, table, wall_seconds
from glossfree.models.temporal.local_attention import local_attention

STEPS = (128, 512, 2048, 4096)
HEADS, WIDTH, WINDOW = 8, 64, 7
ROUNDS, WARM_UP, LEAST = 5, 1, 0.1  # one answer is the median of calls that take at least so many seconds together


def dense_attention(query: Tensor, key: Tensor, value: Tensor, lengths: Tensor, window_size: int) -> Tensor:
    """What `local_attention` computes, with a mask over all pairs of steps: (B, H, T, d) -> (B, H, T, d)."""
    steps = torch.arange(query.shape[2], device=query.device)
    distance = (steps[:, None] - steps).abs()
    mask = (distance <= window_size // 2) & (steps < lengths[:, None, None]) | (distance == 0)
    return functional.scaled_dot_product_attention(query, key, value, attn_mask=mask[:, None])


VARIANTS: dict[str, Callable[..., Tensor]] = {"windowed": local_attention, "dense": dense_attention}


def measure(steps: int, rounds: int = ROUNDS) -> dict[str, tuple[float, float]]:
    """{variant: (seconds forward and backward, GB at the peak beyond the empty process)} at so many time steps."""
    with (
        Worker("benchmarks.attention", "windowed", steps) as windowed,
        Worker("benchmarks.attention", "dense", steps) as dense,
    ):
        answers = in_turns({"windowed": windowed, "dense": dense}, rounds, WARM_UP)
    return {
        name: (median(answer["seconds"] for answer in found), max(answer["peak"] for answer in found))
        for name, found in answers.items()
    }


def run(steps: Sequence[int] = STEPS, rounds: int = ROUNDS) -> str:
    """All lengths -> a table in Markdown."""
    rows = []
    for length in steps:
        found = measure(length, rounds)
        (fast, small), (slow, large) = found["windowed"], found["dense"]
        times = [f"{1000 * fast:,.1f}", f"{1000 * slow:,.1f}", f"{slow / fast:.1f}"]
        memory = [f"{1000 * small:,.0f}", f"{1000 * large:,.0f}", f"{large / max(small, 1e-3):.1f}"]
        rows.append([f"{length:,}", *times, *memory])
    header = ["time steps", "windowed, ms", "dense, ms", "ratio", "windowed, MB", "dense, MB", "ratio"]
    text = (
        f"Forward and backward, 1 clip, {HEADS} heads of {WIDTH}, window {WINDOW}, float32, {torch.get_num_threads()} "
        f"threads, medians of {rounds} turns. Memory: the most beyond the process with its inputs. {machine()}."
    )
    return f"{table(header, rows)}\n\n{text}"


def main() -> None:
    """A worker: forward and backward for each line, often enough to be measured."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.attention", description=main.__doc__)
    parser.add_argument("variant", choices=VARIANTS)
    parser.add_argument("steps", type=int)
    given = parser.parse_args()
    attend = VARIANTS[given.variant]

    def prepared(steps: int) -> Callable[[], None]:
        lengths, gradient = torch.tensor([steps]), torch.randn(1, HEADS, steps, WIDTH)
        inputs = [torch.randn(1, HEADS, steps, WIDTH, requires_grad=True) for _ in range(3)]

        def once() -> None:
            torch.autograd.backward(attend(*inputs, lengths, WINDOW), gradient)
            for each in inputs:
                each.grad = None

        return once

    prepared(WINDOW)()  # the libraries take what they need once: 45 MB
    once, before = prepared(given.steps), peak_gigabytes()

    def work() -> dict[str, Any]:
        seconds = [wall_seconds(once)]
        while sum(seconds) < LEAST:
            seconds.append(wall_seconds(once))
        return {"seconds": median(seconds), "peak": peak_gigabytes() - before}

    serve(work)


if __name__ == "__main__":
    main()
