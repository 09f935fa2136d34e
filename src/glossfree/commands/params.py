"""`params`: trainable and total parameters of a recipe, per part and stage, beside the paper's Table 3."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from glossfree.assemble import Parts, assemble
from glossfree.config import load_recipe
from glossfree.recipe import Recipe

# Table 3, the row "Ours": (trainable, total)
TABLE_3 = {"pretraining": (15_200_325, 346_123_973), "finetuning": (16_819_712, 395_924_608)}
RECIPES_OF_THE_PAPER = ("hfa-phoenix14t",)


@dataclass(frozen=True)
class Counts:
    """`parts`: {stage: {part: (trainable, total)}}; a tensor that two parts share counts once, in the first.

    `temperatures`: learnable temperatures (eq 2), which are left out of `pretraining`: Table 3 does not count them.
    """

    recipe: str
    parts: dict[str, dict[str, tuple[int, int]]]
    temperatures: int

    def total(self, stage: str) -> tuple[int, int]:
        """Trainable and total parameters of a stage."""
        rows = self.parts[stage].values()
        return sum(trainable for trainable, _ in rows), sum(total for _, total in rows)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        stages: dict[str, Any] = {}
        for stage, parts in self.parts.items():
            trainable, total = self.total(stage)
            rows = {name: {"trainable": row[0], "total": row[1]} for name, row in parts.items()}
            stages[stage] = {"trainable": trainable, "total": total, "parts": rows}
        return {"recipe": self.recipe, **stages, "temperatures": self.temperatures}

    def to_text(self) -> str:
        """A table of plain text; with the paper's figures where the recipe is the paper's."""
        lines = [f"{self.recipe:42}{'trainable':>14}{'total':>14}"]
        for stage, parts in self.parts.items():
            lines += ["", stage]
            lines += [f"  {name:40}{trainable:>14,}{total:>14,}" for name, (trainable, total) in parts.items()]
            own = self.total(stage)
            lines.append(f"  {'sum':40}{own[0]:>14,}{own[1]:>14,}")
            if self.recipe in RECIPES_OF_THE_PAPER:
                paper = TABLE_3[stage]
                lines.append(f"  {'Table 3':40}{paper[0]:>14,}{paper[1]:>14,}")
                lines.append(f"  {'difference':40}{own[0] - paper[0]:>+14,}{own[1] - paper[1]:>+14,}")
        if self.temperatures:
            lines += ["", f"and {self.temperatures} learnable temperatures (eq 2), which Table 3 does not count"]
        return "\n".join(lines)


def params(recipe: str | Path, overrides: Sequence[str] = ()) -> Counts:
    """Build both models of a recipe without memory and count them."""
    chosen = load_recipe(recipe, overrides)
    with torch.device("meta"):
        pretraining, temperatures = _pretraining(chosen)
        return Counts(chosen.name, {"pretraining": pretraining, "finetuning": _finetuning(chosen)}, temperatures)


def _pretraining(recipe: Recipe) -> tuple[dict[str, tuple[int, int]], int]:
    text_encoder = _parts(recipe).mbart.model.encoder.requires_grad_(False)
    parts = _adapted(recipe)
    model = parts.pretraining(torch.empty(recipe.pseudo_glosses.num_pseudo_glosses, recipe.pseudo_glosses.vector_size))
    temperatures = [model.head.prototype_temperature, model.head.time_temperature]
    counted = {
        **_levels(parts),
        "pseudo-gloss head": model.head,
        "learned token, logit scale": [model.token, model.logit_scale],
        "text encoder (frozen)": text_encoder,
    }
    learnt = sum(t.requires_grad for t in temperatures)
    return _count(counted, leave_out=temperatures), learnt


def _finetuning(recipe: Recipe) -> dict[str, tuple[int, int]]:
    parts = _adapted(recipe)
    model = parts.translation()
    return _count({**_levels(parts), "mapper": model.hierarchy.mapper, "language decoder": parts.mbart})


def _levels(parts: Parts) -> dict[str, nn.Module | list[nn.Parameter]]:
    projection = [*parts.visual.projection.parameters(), *parts.visual.norm.parameters()]
    return {
        "vision backbone": parts.visual.backbone,
        "linear and BatchNorm": projection,
        "temporal encoder": parts.temporal,
        "language encoder": parts.mbart.model.encoder,
    }


def _parts(recipe: Recipe) -> Parts:
    return assemble(recipe, recipe.text.vocabulary_size)


def _adapted(recipe: Recipe) -> Parts:
    parts = _parts(recipe)
    parts.adapt()
    return parts


def _count(parts: dict[str, Any], leave_out: Sequence[nn.Parameter] = ()) -> dict[str, tuple[int, int]]:
    """Parts -> (trainable, total) each; a shared parameter counts in the first part that has it."""
    seen = {id(parameter) for parameter in leave_out}
    counts = {}
    for name, part in parts.items():
        trainable = total = 0
        for parameter in part.parameters() if isinstance(part, nn.Module) else part:
            if id(parameter) not in seen:
                seen.add(id(parameter))
                total += parameter.numel()
                trainable += parameter.numel() * parameter.requires_grad
        counts[name] = (trainable, total)
    return counts
