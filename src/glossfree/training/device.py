"""The device that this process computes on, what suits it, and the memory that the process takes of it."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn

from glossfree.errors import RunError

# A block's activations of 8 frames (257 tokens x 1,536 x 4 bytes each) stay in a CPU's caches: a full-size training
# step of 116 frames took 9.5 s with 8 frames at once, 10.6 s with 2, 9.7 s with 16, 17.5 s with all (two cores).
# An accelerator is faster with many, up to its memory.
FRAMES_PER_PASS = {"cpu": 8}
FRAMES_PER_PASS_ELSEWHERE = 256
T = TypeVar("T")
PROCESS = Path("/proc/self/status")


def best_device() -> torch.device:
    """The accelerator if there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def fast_precisions() -> frozenset[str]:
    """The half precisions (fp16, bf16) that the best device computes in itself: others are far slower than float32.

    Of CPUs, those with AMX or with AVX-512's instructions for bfloat16.
    """
    if torch.cuda.is_available():
        return frozenset({"fp16", "bf16"} if torch.cuda.is_bf16_supported(including_emulation=False) else {"fp16"})
    abilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()  # older torch has none
    return frozenset({"bf16"} if any(abilities.get(f"{name}_bf16") for name in ("amx", "avx512")) else ())


def frames_per_pass(device: torch.device) -> int:
    """Frames that a backbone without statistics over frames takes at once on this device."""
    return FRAMES_PER_PASS.get(device.type, FRAMES_PER_PASS_ELSEWHERE)


def transferred(steps: Iterable[tuple[Sequence[Any], T]], device: torch.device) -> Iterator[tuple[Any, list[Any]]]:
    """(batches of a step, anything) -> the same, and its batches on the device.

    On an accelerator a stream of its own copies the batches of the next step while this one is computed. Whoever takes
    a step has waited for the device before the next one: then the memory of its batches is used again.
    """
    if device.type != "cuda":
        for step in steps:
            yield step, [batch.prepared(device) for batch in step[0]]
        return
    stream, waiting = torch.cuda.Stream(device), None  # type: ignore[no-untyped-call]
    for step in steps:
        with torch.cuda.stream(stream):
            moved = [batch.prepared(device) for batch in step[0]]
        coming = step, moved, stream.record_event()
        if waiting is not None:
            yield _arrived(*waiting)
        waiting = coming
    if waiting is not None:
        yield _arrived(*waiting)


def _arrived(step: Any, moved: list[Any], event: torch.cuda.Event) -> tuple[Any, list[Any]]:
    """What is computed from here on comes after the copies."""
    torch.cuda.current_stream().wait_event(event)
    return step, moved


def compile_layers(module: nn.Module, device: torch.device) -> None:
    """Compile the layers of every list of layers in place; parameters keep their names, dropout its random numbers.

    Layers of equal shapes are compiled once. Raises RunError where torch has no compiler for the device.
    """
    from torch._inductor import config  # 0.2 s, and only needed here

    config.fallback_random = True
    try:
        torch.compile(torch.sin)(torch.ones(8, device=device))
    except RuntimeError as error:
        problem = f"torch.compile does not work here ({str(error).splitlines()[0]})"
        remedy = "install a C++ compiler (and triton for a GPU), or leave it off"
        raise RunError(problem, where="training.compile", remedy=remedy) from error
    for layers in [each for each in module.modules() if isinstance(each, nn.ModuleList)]:
        for layer in layers:
            layer.compile(dynamic=True)


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
