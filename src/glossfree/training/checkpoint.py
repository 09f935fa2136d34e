"""One file with all that a stage needs to resume: trained weights, optimiser, random states, place in the epoch.

Nothing frozen is in it: about 200 MB at the paper's size. Training resumes bit-equal on a CPU.
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
from glossfree.training.step import SINGLE, random_state, set_random_state

WEIGHTS, OPTIMIZER, RANDOM = "weights.", "optimizer.", "chance."
OPTIMIZER_STATE = ("step", "exp_avg", "exp_avg_sq", "momentum_buffer")  # of Adam, AdamW and SGD


@dataclass
class Progress:
    """How far a stage is: `position` steps into `epoch`, `step` in all; sums of losses and clips of this epoch.

    `seconds` and, of this process alone, `processor_seconds` that training and validation took.
    `skipped`: ids of the clips that any process could not read so far.
    """

    epoch: int = 0
    position: int = 0
    step: int = 0
    best_epoch: int = 0
    best_loss: float = math.inf
    seconds: float = 0.0
    processor_seconds: float = 0.0
    sums: dict[str, float] = field(default_factory=dict)
    clips: int = 0
    skipped: list[str] = field(default_factory=list)

    def add(self, losses: Mapping[str, float], clips: int) -> None:
        """Add one step's losses, which are means over `clips`."""
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
    group: Processes = SINGLE,
    scaler: Any = None,
) -> None:
    """Write the stage's last checkpoint atomically. Raises RunError (full disk, rights)."""
    random_states = group.objects([state.cpu() for state in random_state()])
    if not group.is_main:
        return
    tensors = {WEIGHTS + name: tensor for name, tensor in stage.saved().items()}
    for name, parameter in stage.trained().items():
        state = optimizer.state.get(parameter, {})  # empty before the first gradient
        tensors |= {f"{OPTIMIZER}{key}.{name}": value for key, value in state.items() if value is not None}
    for rank, states in enumerate(random_states):
        tensors |= {f"{RANDOM}{rank}.{number}": state for number, state in enumerate(states)}
    facts: dict[str, Any] = asdict(progress)
    if scaler is not None:
        facts["scaler"] = scaler.state_dict()
    save_tensors(run.checkpoint(stage.name, "last"), tensors, facts)


def restore(
    run: Run, stage: Stage, optimizer: torch.optim.Optimizer, group: Processes = SINGLE, scaler: Any = None
) -> Progress:
    """Read the last checkpoint into stage, optimiser and torch's generators; a new Progress if there is none."""
    path = run.checkpoint(stage.name, "last")
    if not path.is_file():
        return Progress()
    tensors, facts = load_tensors(path)
    load_into(stage, {n.removeprefix(WEIGHTS): t for n, t in tensors.items() if n.startswith(WEIGHTS)})
    for name, parameter in stage.trained().items():
        names = {key: f"{OPTIMIZER}{key}.{name}" for key in OPTIMIZER_STATE}
        own = {key: tensors[name].to(parameter.device) for key, name in names.items() if name in tensors}
        if own:  # a parameter that never had a gradient has no state
            optimizer.state[parameter] = own
    own_names = [f"{RANDOM}{group.rank}.{number}" for number in range(len(random_state()))]
    if all(name in tensors for name in own_names):  # else the run was started with fewer processes, or elsewhere
        set_random_state([tensors[name] for name in own_names])
    scale = facts.pop("scaler", None)
    if scaler is not None and scale is not None:
        scaler.load_state_dict(scale)
    return Progress(**facts)


def load_into(stage: Stage, tensors: Mapping[str, Tensor]) -> None:
    """Copy saved tensors into a stage's own, by name. Raises RunError if the names differ."""
    own = stage.saved()
    if own.keys() != tensors.keys():
        odd = sorted(own.keys() ^ tensors.keys())[:3]
        raise RunError(f"a checkpoint of another model ({odd} ...)", where=stage.name, remedy="start a new run")
    with torch.no_grad():
        for name, tensor in own.items():
            tensor.copy_(tensors[name])
