"""A stage that trains: the model, the objectives that it minimises, and what of both is trained.

The recipe defines which stages there are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from glossfree.models.hierarchy import PREFIXES, Levels, TranslationModel
from glossfree.models.weights import state
from glossfree.objectives.base import JointLoss, Level, SeparableLoss, in_main_memory
from glossfree.padded import Padded

LEVELS: tuple[Level, ...] = ("frame", "segment", "video", "logits")
Features = tuple[Tensor | Padded, ...]


class TrainingStage(nn.Module):
    """Batches -> named losses; their weighted sum, "loss", is minimised.

    `objectives`: the loss modules by name, with their `weights`, and `level`, the highest that any of them uses;
    `decodes`: whether any of them uses the decoder itself. `trains`: the parts of the model (see
    `TranslationModel.parts`) that are trained; the others are frozen and stay in evaluation mode. Whether all of a part
    is trained or its adapters is set in the model.
    """

    def __init__(
        self,
        name: str,
        model: TranslationModel,
        objectives: Mapping[str, SeparableLoss | JointLoss],
        weights: Mapping[str, float],
        *,
        level: Level,
        trains: Sequence[str],
        reads: str = "clips",
        decodes: bool = False,
    ) -> None:
        super().__init__()
        self.name, self.model = name, model
        self.objectives, self.weights = nn.ModuleDict(objectives), dict(weights)
        self.level, self.trains, self.reads, self.decodes = level, tuple(trains), reads, decodes
        self.unit = {"clips": "frames"}.get(reads, reads)
        model.train_only(self.trains)

    @property
    def compares_clips(self) -> bool:
        """Whether an objective compares the clips of a step with each other."""
        return bool(self._joint())

    def parts(self) -> dict[str, nn.Module]:
        """The parts of the model that this stage uses."""
        if self.reads == "sentences":
            used: tuple[str, ...] = ("language", "decoder")
        else:
            highest = LEVELS.index(self.level)
            used = ("vision", "temporal", "keypoints", *(("mapper", "language") if highest > 1 else ()))
            used += ("decoder",) if self.level == "logits" or self.decodes else ()
        return {name: part for name, part in self.model.parts().items() if name in used}

    def move(self, device: torch.device) -> None:
        """Move what the stage uses to a device; other parts of the model (0.8 GB of decoder) stay where they are."""
        for module in (*self.parts().values(), self.objectives):
            module.to(device)

    def set_training(self) -> None:
        """Training mode, except for frozen parts: they have no dropout and keep their running statistics."""
        self.train()
        training = {part for part, _, parameter in self.model.parameters_of() if parameter.requires_grad}
        for part, module in self.model.modules_of():
            if part not in training:
                module.training = False

    def forward(self, batch: Any) -> dict[str, Tensor]:
        """A batch that is a whole step -> its losses."""
        losses, compared = self.separable(batch)
        losses |= self.joint(compared)
        return {"loss": self.total(losses), **losses}

    def levels(self, batch: Any) -> Levels:
        """The features of a batch, up to the highest level that an objective uses."""
        model = self.model
        if self.reads == "sentences":
            levels = Levels(video=model.hierarchy.language.read(batch.input_ids))
        else:
            prefix = next((each.prefix for each in self._joint().values() if each.prefix is not None), None)
            up_to = "video" if LEVELS.index(self.level) > 1 else "segment"
            levels = model.hierarchy(
                batch.frames, batch.lengths, batch.level, prefix=prefix, up_to=up_to, keypoints=batch.keypoints
            )
        if self.level == "logits":
            assert levels.video is not None
            levels = replace(levels, logits=model.decoder(levels.video, batch.labels))
        return replace(levels, decoder=model.decoder, reader=model.hierarchy.language.read) if self.decodes else levels

    def separable(self, batch: Any) -> tuple[dict[str, Tensor], dict[str, Features]]:
        """A batch -> the losses that are means over its clips, and what each joint loss compares of each clip."""
        levels = self.levels(batch)
        losses = {name: objective(levels, batch) for name, objective in self._separable().items()}
        return losses, {name: objective.features(levels, batch) for name, objective in self._joint().items()}

    def joint(self, compared: Mapping[str, Features]) -> dict[str, Tensor]:
        """What is compared, of all clips of a step -> the joint losses."""
        return {name: objective(*compared[name]) for name, objective in self._joint().items()}

    def total(self, losses: Mapping[str, Tensor]) -> Tensor:
        """Named losses -> their weighted sum (eq 5); linear in each of them."""
        terms = [self.weights[name] * loss for name, loss in losses.items()]
        total = terms[0]
        for term in terms[1:]:
            total = total + term
        return total

    def units(self, batch: Any) -> dict[str, float]:
        """For each separable loss, the number of clips or tokens of a batch that it is a mean over."""
        return {name: objective.units(in_main_memory(batch)) for name, objective in self._separable().items()}

    def trained(self) -> dict[str, nn.Parameter]:
        """Exactly the parameters that this stage changes: those of joint losses, of the model, of separable losses."""
        used = set(map(id, (parameter for part in self.parts().values() for parameter in part.parameters())))
        model = ((f"model.{name}", p) for _, name, p in self.model.parameters_of() if id(p) in used)
        named = [*_parameters(self._joint()), *model, *_parameters(self._separable())]
        return {name: parameter for name, parameter in named if parameter.requires_grad}

    def part_of(self, name: str) -> str:
        """The part of the model, or the objective, that a trained parameter belongs to."""
        if name.startswith("objectives."):
            return name.split(".")[1]
        owners = {f"model.{own}": part for part, own, _ in self.model.parameters_of()}
        return owners[name]

    def saved(self) -> dict[str, Tensor]:
        """Trained parameters and running statistics."""
        parameters = dict(self.named_parameters(remove_duplicate=False))
        statistics = {name: tensor for name, tensor in state(self).items() if name not in parameters}
        return {**self.trained(), **statistics}

    def result(self) -> dict[str, Tensor]:
        """What a finished stage saves: the parts of the model that it used, and its objectives."""
        prefixes = [f"model.{PREFIXES[part]}" for part in self.parts()]
        return {
            name.removeprefix("model."): tensor
            for name, tensor in state(self).items()
            if name.startswith((*prefixes, "objectives."))
        }

    def _separable(self) -> dict[str, SeparableLoss]:
        return {name: each for name, each in self.objectives.items() if isinstance(each, SeparableLoss)}

    def _joint(self) -> dict[str, JointLoss]:
        return {name: each for name, each in self.objectives.items() if isinstance(each, JointLoss)}


def _parameters(objectives: Mapping[str, nn.Module]) -> Iterator[tuple[str, nn.Parameter]]:
    for name, objective in objectives.items():
        yield from objective.named_parameters(prefix=f"objectives.{name}")
