"""Trainable and total parameters of a recipe, per part and stage, beside the paper's Table 3."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from glossfree.console import Result
from glossfree.corpora.manifest import Manifest
from glossfree.models.weights import Undrawn
from glossfree.objectives.base import TEXT_NEEDS, Inputs, Objective
from glossfree.objectives.gloss_ctc import GlossCtc
from glossfree.objectives.pseudo_gloss import PseudoGloss, PseudoGlossHead
from glossfree.pipeline.assemble import assemble, prepare, training_stage
from glossfree.pipeline.fitting import corpus_of
from glossfree.pipeline.glosses import gloss_vocabulary_of
from glossfree.pipeline.material import glosses_of, tokenizer_of
from glossfree.pipeline.weights import with_language_model
from glossfree.recipe.files import load_recipe
from glossfree.recipe.schema import Recipe

# Table 3, the row "Ours", (trainable, total), by the stages of the recipes that are the paper's
TABLE_3 = {"pretrain": (15_200_325, 346_123_973), "finetune2": (16_819_712, 395_924_608)}
RECIPES_OF_THE_PAPER = ("hfa-phoenix14t", "hfa-phoenix14t-as-released")
LABELS = {
    "temporal": "temporal module",
    "language": "language encoder",
    "mapper": "mapper",
    "decoder": "decoder",
    "keypoints": "keypoints",
}


@dataclass(frozen=True)
class Sizes:
    """What a corpus decides: tokens V, pseudo-glosses P and glosses G. `corpus`: whose; None: the recipe's."""

    tokens: int
    pseudo_glosses: int
    corpus: Path | None = None
    glosses: int = 0

    def __str__(self) -> str:
        counts = {"pseudo-glosses": self.pseudo_glosses, "glosses": self.glosses}
        return " and ".join(
            [f"{self.tokens:,} tokens", *(f"{count:,} {name}" for name, count in counts.items() if count)]
        )


@dataclass(frozen=True)
class Counts(Result):
    """`parts`: {stage: {part: (trainable, total)}}; a tensor that two parts share counts once, in the first.

    `temperatures`: learnable temperatures (eq 2), which are left out: Table 3 does not count them.
    """

    recipe: str
    parts: dict[str, dict[str, tuple[int, int]]]
    temperatures: int
    sizes: Sizes

    def total(self, stage: str) -> tuple[int, int]:
        """Trainable and total parameters of a stage."""
        rows = self.parts[stage].values()
        return sum(trainable for trainable, _ in rows), sum(total for _, total in rows)

    def to_dict(self) -> dict[str, Any]:
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
        paper_sizes = _sizes(load_recipe(RECIPES_OF_THE_PAPER[0]))
        of_the_paper = self.recipe in RECIPES_OF_THE_PAPER
        compares = of_the_paper and replace(self.sizes, corpus=None) == paper_sizes
        for stage, parts in self.parts.items():
            lines += ["", stage]
            lines += [f"  {name:40}{trainable:>14,}{total:>14,}" for name, (trainable, total) in parts.items()]
            own = self.total(stage)
            lines.append(f"  {'sum':40}{own[0]:>14,}{own[1]:>14,}")
            if compares and stage in TABLE_3:
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


def count_parameters(recipe: Recipe, corpus: Path | None = None) -> Counts:
    """Build the model of each stage without memory and count it, for the recipe's sizes or those of a corpus.

    Raises CorpusError if the corpus has no pseudo-glosses yet.
    """
    recipe = with_language_model(recipe)
    sizes = _sizes(recipe) if corpus is None else _sizes_of(corpus, recipe)
    with torch.device("meta"), Undrawn():
        counted = {stage.name: _stage(recipe, sizes, stage.name) for stage in recipe.planned}
    temperatures = max((count for _, count in counted.values()), default=0)
    return Counts(recipe.name, {name: parts for name, (parts, _) in counted.items()}, temperatures, sizes)


def _sizes(recipe: Recipe) -> Sizes:
    options, ctc = _pseudo_glosses_of(recipe), recipe.objective(GlossCtc)
    return Sizes(
        recipe.text.vocabulary_size,
        options.num_pseudo_glosses if isinstance(options, PseudoGloss) else 0,
        glosses=ctc.num_glosses if isinstance(ctc, GlossCtc) else 0,
    )


def _pseudo_glosses_of(recipe: Recipe) -> Objective | None:
    """What the recipe says of pseudo-glosses; the defaults where only other objectives need them; None if none do."""
    return recipe.objective(PseudoGloss) or (PseudoGloss() if "pseudo_glosses" in recipe.needs else None)


def _sizes_of(corpus: Path, recipe: Recipe) -> Sizes:
    """A prepared corpus -> its sizes, as training finds them."""
    manifest = corpus_of(recipe, Manifest.load(corpus))
    glosses = len(glosses_of(recipe, manifest)) if "pseudo_glosses" in recipe.needs else 0
    vocabulary = len(gloss_vocabulary_of(manifest)) if "glosses" in recipe.needs else 0
    return Sizes(len(tokenizer_of(recipe, manifest)), glosses, corpus, vocabulary)


def _stage(recipe: Recipe, sizes: Sizes, name: str) -> tuple[dict[str, tuple[int, int]], int]:
    """The parts of a stage, as it is when it trains, and how many of them are learnable temperatures of eq 2."""
    model = assemble(recipe, sizes.tokens)
    text_encoder = model.hierarchy.language.copied().requires_grad_(False) if recipe.language.reads_text else None
    for stage in recipe.lineage(name):
        prepare(model, recipe, stage)
    vectors, options = None, _pseudo_glosses_of(recipe)
    if isinstance(options, PseudoGloss):
        vectors = torch.empty(sizes.pseudo_glosses, options.vector_size)
    inputs = Inputs(vectors=vectors, glosses=tuple(map(str, range(sizes.glosses))))
    trained = training_stage(model, recipe, stage, inputs)
    parts = trained.parts()
    counted: dict[str, Any] = {}
    if "vision" in parts:
        visual = model.hierarchy.visual
        counted["vision backbone"] = visual.backbone
        counted["linear and BatchNorm"] = [*visual.projection.parameters(), *visual.norm.parameters()]
    counted |= {LABELS[part]: parts[part] for part in LABELS if part in parts}
    counted |= {f"objective {name}": objective for name, objective in trained.objectives.items()}
    if stage.needs & TEXT_NEEDS and text_encoder is not None:
        counted["text encoder (frozen)"] = text_encoder
    heads = [each for each in trained.objectives.modules() if isinstance(each, PseudoGlossHead)]
    temperatures = [t for head in heads for t in (head.log_prototype_temperature, head.log_time_temperature)]
    return _count(counted, leave_out=temperatures), sum(t.requires_grad for t in temperatures)


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
