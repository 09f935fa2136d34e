"""`params`: trainable and total parameters of a recipe, per part and stage, beside the paper's Table 3."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from glossfree.assemble import Parts, assemble
from glossfree.config import load_recipe
from glossfree.corpora.manifest import Manifest
from glossfree.material import glosses_of, tokenizer_of
from glossfree.recipe import Recipe

# Table 3, the row "Ours": (trainable, total)
TABLE_3 = {"pretraining": (15_200_325, 346_123_973), "finetuning": (16_819_712, 395_924_608)}
RECIPES_OF_THE_PAPER = ("hfa-phoenix14t", "hfa-phoenix14t-as-released")


@dataclass(frozen=True)
class Sizes:
    """What a corpus decides: tokens V and pseudo-glosses P. `corpus`: whose they are; None: the recipe's."""

    tokens: int
    pseudo_glosses: int
    corpus: Path | None = None

    def __str__(self) -> str:
        return f"{self.tokens:,} tokens and {self.pseudo_glosses:,} pseudo-glosses"


@dataclass(frozen=True)
class Counts:
    """`parts`: {stage: {part: (trainable, total)}}; a tensor that two parts share counts once, in the first.

    `temperatures`: learnable temperatures (eq 2), which are left out of `pretraining`: Table 3 does not count them.
    """

    recipe: str
    parts: dict[str, dict[str, tuple[int, int]]]
    temperatures: int
    sizes: Sizes

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
        sizes = {**vars(self.sizes), "corpus": None if self.sizes.corpus is None else str(self.sizes.corpus)}
        return {"recipe": self.recipe, **stages, "temperatures": self.temperatures, "sizes": sizes}

    def to_text(self) -> str:
        """A table of plain text; beside the paper's figures where recipe and sizes are the paper's."""
        lines = [f"{self.recipe:42}{'trainable':>14}{'total':>14}"]
        paper_sizes = _sizes(Recipe())
        of_the_paper = self.recipe in RECIPES_OF_THE_PAPER
        compares = of_the_paper and replace(self.sizes, corpus=None) == paper_sizes
        for stage, parts in self.parts.items():
            lines += ["", stage]
            lines += [f"  {name:40}{trainable:>14,}{total:>14,}" for name, (trainable, total) in parts.items()]
            own = self.total(stage)
            lines.append(f"  {'sum':40}{own[0]:>14,}{own[1]:>14,}")
            if compares:
                paper = TABLE_3[stage]
                lines.append(f"  {'Table 3':40}{paper[0]:>14,}{paper[1]:>14,}")
                lines.append(f"  {'difference':40}{own[0] - paper[0]:>+14,}{own[1] - paper[1]:>+14,}")
        whose = "the recipe's" if self.sizes.corpus is None else f"those of {self.sizes.corpus}"
        lines += ["", f"counted with {self.sizes}, {whose}"]
        if of_the_paper and not compares:
            lines.append(f"Table 3 counts {paper_sizes}: its sums are others")
        if self.temperatures:
            lines += ["", f"and {self.temperatures} learnable temperatures (eq 2), which Table 3 does not count"]
        return "\n".join(lines)


def params(recipe: str | Path, overrides: Sequence[str] = (), *, corpus: Path | None = None) -> Counts:
    """Build both models of a recipe without memory and count them, for the recipe's sizes or those of a corpus.

    Raises CorpusError if the corpus has no pseudo-glosses yet.
    """
    chosen = load_recipe(recipe, overrides)
    sizes = _sizes(chosen) if corpus is None else _sizes_of(corpus, chosen)
    with torch.device("meta"):
        pretraining, temperatures = _pretraining(chosen, sizes)
        parts = {"pretraining": pretraining, "finetuning": _finetuning(chosen, sizes)}
    return Counts(chosen.name, parts, temperatures, sizes)


def _sizes(recipe: Recipe) -> Sizes:
    return Sizes(recipe.text.vocabulary_size, recipe.pseudo_glosses.num_pseudo_glosses)


def _sizes_of(corpus: Path, recipe: Recipe) -> Sizes:
    """A prepared corpus -> its sizes, as training finds them."""
    manifest = Manifest.load(corpus)
    return Sizes(len(tokenizer_of(recipe, manifest)), len(glosses_of(corpus)), corpus)


def _pretraining(recipe: Recipe, sizes: Sizes) -> tuple[dict[str, tuple[int, int]], int]:
    text_encoder = assemble(recipe, sizes.tokens).mbart.model.encoder.requires_grad_(False)
    parts = _adapted(recipe, sizes)
    model = parts.pretraining(torch.empty(sizes.pseudo_glosses, recipe.pseudo_glosses.vector_size))
    temperatures = [model.head.log_prototype_temperature, model.head.log_time_temperature]
    counted = {
        **_levels(parts),
        "pseudo-gloss head": model.head,
        "learned token, logit scale": [model.token, model.logit_scale],
        "text encoder (frozen)": text_encoder,
    }
    learnt = sum(t.requires_grad for t in temperatures)
    return _count(counted, leave_out=temperatures), learnt


def _finetuning(recipe: Recipe, sizes: Sizes) -> dict[str, tuple[int, int]]:
    parts = _adapted(recipe, sizes)
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


def _adapted(recipe: Recipe, sizes: Sizes) -> Parts:
    parts = assemble(recipe, sizes.tokens)
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
