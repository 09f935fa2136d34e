"""Where this process computes, and how many frames suit it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from contextlib import nullcontext

import pytest
import torch
from torch import nn

from glossfree.errors import RunError
from glossfree.models.adapters import add_lora
from glossfree.pipeline.assemble import visual_encoder
from glossfree.recipe.files import load_recipe
from glossfree.training import device
from glossfree.training.device import (
    FRAMES_PER_PASS,
    best_device,
    compile_layers,
    forget_peak,
    frames_per_pass,
    held_memory,
    peak_memory,
    transferred,
)


def test_an_accelerator_is_taken_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for there, expected in ((True, "cuda"), (False, "cpu")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda there=there: there)
        assert best_device().type == expected


def test_an_accelerator_takes_more_frames_at_once() -> None:
    assert 0 < frames_per_pass(torch.device("cpu")) < frames_per_pass(torch.device("cuda", 1))


@pytest.mark.parametrize(("backbone", "expected"), [("dinov2", FRAMES_PER_PASS["cpu"]), ("convnet", 0)])
def test_only_backbones_without_statistics_over_frames_see_them_in_passes(
    monkeypatch: pytest.MonkeyPatch, backbone: str, expected: int
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    recipe = load_recipe("demo", [f"vision.kind={backbone}"])
    assert visual_encoder(recipe).frames_per_pass == expected


class Moved:
    """A batch that notes when it is moved."""

    def __init__(self, name: str, notes: list[str]) -> None:
        self.name, self.notes = name, notes

    def prepared(self, device: torch.device) -> str:
        self.notes.append(f"copy {self.name}")
        return f"{self.name} on {device.type}"


def test_on_a_cpu_a_step_is_moved_when_it_is_due() -> None:
    notes: list[str] = []
    steps = iter([([Moved("a", notes), Moved("b", notes)], 0.5), ([], 0.25)])
    moved = transferred(steps, torch.device("cpu"))
    assert next(moved)[1] == ["a on cpu", "b on cpu"] and notes == ["copy a", "copy b"]
    assert next(moved) == (([], 0.25), [])
    assert list(moved) == []


def test_an_accelerator_copies_the_next_step_before_it_computes_this_one(monkeypatch: pytest.MonkeyPatch) -> None:
    notes: list[str] = []

    class Stream:
        def __init__(self, *_: object) -> None:
            self.events = 0

        def record_event(self) -> int:
            self.events += 1
            return self.events

        def wait_event(self, event: int) -> None:
            notes.append(f"wait {event}")

    monkeypatch.setattr(torch.cuda, "Stream", Stream)
    monkeypatch.setattr(torch.cuda, "stream", lambda _: nullcontext())
    monkeypatch.setattr(torch.cuda, "current_stream", Stream)
    steps = [([Moved(name, notes)], name) for name in "abc"]
    for (_, name), batches in transferred(iter(steps), torch.device("cuda")):
        assert batches == [f"{name} on cuda"]
        notes.append(f"compute {name}")
    first = ["copy a", "copy b", "wait 1", "compute a", "copy c", "wait 2", "compute b", "wait 3", "compute c"]
    assert notes == first
    assert list(transferred(iter([]), torch.device("cuda"))) == []


PEAK = """
import numpy as np
from glossfree.training.device import forget_peak, held_memory, peak_memory
before, held = peak_memory(), held_memory()
assert 20e6 < held <= before + 5_000_000
block = np.ones(before - held + 200_000_000, dtype=np.uint8)
assert held_memory() > before
with_block = peak_memory()
assert with_block >= before + 150_000_000
del block
assert held_memory() < with_block - 150_000_000
forget_peak()
assert peak_memory() >= with_block - 5_000_000, "on a CPU it cannot be forgotten"
"""


def test_a_peak_is_what_was_held_at_most() -> None:
    """In a process of its own: this one may give memory of other tests back at any time."""
    if torch.cuda.is_available():
        pytest.skip("counts an accelerator's memory there")
    subprocess.run([sys.executable, "-c", PEAK], check=True)


def test_of_an_accelerator_its_own_memory_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda: 71)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda: 53)
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda: calls.append("reset"))
    forget_peak()
    assert (peak_memory(), held_memory(), calls) == (71, 53, ["reset"])


def test_where_nothing_is_known_of_memory_it_is_0(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(device, "PROCESS", tmp_path)
    assert held_memory() == 0


class Layers(nn.Module):
    """Three equal layers with dropout, and one that is in no list."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Sequential(nn.Linear(7, 7), nn.GELU(), nn.Dropout(0.3)) for _ in range(3))
        self.output = nn.Linear(7, 2)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        for layer in self.layers:
            rows = layer(rows)
        return self.output(rows)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler")
def test_compiled_layers_compute_the_same_with_the_same_dropout() -> None:
    torch.manual_seed(0)
    plain, compiled = Layers(), Layers()
    compiled.load_state_dict(plain.state_dict())
    compile_layers(compiled, torch.device("cpu"))
    assert compiled.state_dict().keys() == plain.state_dict().keys()
    for rows in (torch.randn(11, 7), torch.randn(5, 7)):  # the second is not compiled again
        losses = []
        for model in (plain, compiled):
            torch.manual_seed(1)
            losses.append(model(rows).square().mean())
            losses[-1].backward()
        torch.testing.assert_close(losses[1], losses[0])
    for one, other in zip(plain.parameters(), compiled.parameters(), strict=True):
        torch.testing.assert_close(other.grad, one.grad)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler")
def test_layers_with_adapters_are_compiled_too() -> None:
    torch.manual_seed(0)
    model = Layers()
    add_lora(model, ["0.0", "1.0", "2.0"], 2, 4.0, 0.5)
    compile_layers(model, torch.device("cpu"))
    rows = torch.randn(4, 3, 7)  # of three dimensions, as tokens are
    model.train()(rows).square().mean().backward()
    adapters = [parameter.grad for name, parameter in model.named_parameters() if "lora_B" in name]
    assert len(adapters) == 3 and all(each is not None and each.isfinite().all() for each in adapters)


def test_without_a_compiler_the_option_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> object:
        raise RuntimeError("InvalidCxxCompiler: no working C++ compiler found\nmore")

    monkeypatch.setattr(torch, "compile", broken)
    with pytest.raises(RunError, match=r"training.compile: .*no working C\+\+ compiler found\)"):
        compile_layers(Layers(), torch.device("cpu"))
