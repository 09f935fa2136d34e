"""Where a stage stands, in one file: what trains, the optimiser, chance, and the place in the epoch.

It holds nothing that is frozen: about 200 MB at the paper's size. From it training goes on as if it had never stopped,
to the last bit on a CPU.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor

from glossfree.errors import RunError
from glossfree.training.processes import Processes
from glossfree.training.run import Run, load_tensors, save_tensors
from glossfree.training.stage import Stage
from glossfree.training.step import ALONE, random_state, set_random_state

WEIGHTS, OPTIMIZER, CHANCE = "weights.", "optimizer.", "chance."
OPTIMIZER_STATE = ("step", "exp_avg", "exp_avg_sq", "momentum_buffer")  # of Adam, AdamW and SGD


@dataclass
class Progress:
    """Where a stage stands: `position` steps into `epoch`, `step` in all; sums of losses and clips of this epoch.

    `skipped`: ids of the clips that could not be read and were left out so far, by any process.
    """

    epoch: int = 0
    position: int = 0
    step: int = 0
    best_epoch: int = 0
    best_loss: float = math.inf
    seconds: float = 0.0
    sums: dict[str, float] = field(default_factory=dict)
    clips: int = 0
    skipped: list[str] = field(default_factory=list)

    def add(self, losses: Mapping[str, float], clips: int) -> None:
        """One step's losses, means over `clips`."""
        for name, value in losses.items():
            self.sums[name] = self.sums.get(name, 0.0) + value * clips
        self.clips += clips
        self.position += 1
        self.step += 1

    def means(self) -> dict[str, float]:
        """The losses of this epoch so far, weighted by clips."""
        return {name: total / max(1, self.clips) for name, total in self.sums.items()}

    def over(self, group: Processes) -> Progress:
        """Sums over all processes."""
        if group.size == 1:
            return self
        parts = group.objects((self.sums, self.clips))
        names = dict.fromkeys(name for sums, _ in parts for name in sums)
        sums = {name: math.fsum(part.get(name, 0.0) for part, _ in parts) for name in names}
        return Progress(sums=sums, clips=sum(clips for _, clips in parts))

    def next_epoch(self) -> None:
        """Begin the next epoch."""
        self.epoch, self.position, self.sums, self.clips = self.epoch + 1, 0, {}, 0


def save(
    run: Run,
    stage: Stage,
    optimizer: torch.optim.Optimizer,
    progress: Progress,
    group: Processes = ALONE,
    scaler: Any = None,
) -> None:
    """Write the stage's last checkpoint, whole or not at all. Raises RunError (full disk, rights)."""
    chances = group.objects([state.cpu() for state in random_state()])
    if not group.is_main:
        return
    tensors = {WEIGHTS + name: tensor for name, tensor in stage.saved().items()}
    for name, parameter in stage.trained().items():
        tensors |= {f"{OPTIMIZER}{key}.{name}": value for key, value in state_of(optimizer, parameter).items()}
    for rank, states in enumerate(chances):
        tensors |= {f"{CHANCE}{rank}.{number}": state for number, state in enumerate(states)}
    facts: dict[str, Any] = asdict(progress)
    if scaler is not None:
        facts["scaler"] = scaler.state_dict()
    save_tensors(run.checkpoint(stage.name, "last"), tensors, facts)


def restore(
    run: Run, stage: Stage, optimizer: torch.optim.Optimizer, group: Processes = ALONE, scaler: Any = None
) -> Progress:
    """Read the last checkpoint into stage, optimiser and torch's generators; a new Progress if there is none."""
    path = run.checkpoint(stage.name, "last")
    if not path.is_file():
        return Progress()
    tensors, facts = load_tensors(path)
    load_into(stage, {n.removeprefix(WEIGHTS): t for n, t in tensors.items() if n.startswith(WEIGHTS)})
    for name, parameter in stage.trained().items():
        found = {key: tensors.get(f"{OPTIMIZER}{key}.{name}") for key in OPTIMIZER_STATE}
        kept = {key: value.to(parameter.device) for key, value in found.items() if value is not None}
        if kept:  # a parameter that never had a gradient has no state
            optimizer.state[parameter] = kept
    mine = [f"{CHANCE}{group.rank}.{number}" for number in range(len(random_state()))]
    if all(name in tensors for name in mine):  # else the run was started with fewer processes, or elsewhere
        set_random_state([tensors[name] for name in mine])
    scale = facts.pop("scaler", None)
    if scaler is not None and scale is not None:
        scaler.load_state_dict(scale)
    return Progress(**facts)


def state_of(optimizer: torch.optim.Optimizer, parameter: Tensor) -> dict[str, Tensor]:
    """What an optimiser remembers of a parameter: nothing before its first gradient."""
    return {key: content for key, content in optimizer.state.get(parameter, {}).items() if content is not None}


def load_into(stage: Stage, tensors: Mapping[str, Tensor]) -> None:
    """Copy saved tensors over a stage's own, by name. Raises RunError if the names differ."""
    own = stage.saved()
    if own.keys() != tensors.keys():
        odd = sorted(own.keys() ^ tensors.keys())[:3]
        raise RunError(f"a checkpoint of another model ({odd} ...)", where=stage.name, remedy="start a new run")
    with torch.no_grad():
        for name, tensor in own.items():
            tensor.copy_(tensors[name])
