"""What a recipe does otherwise than the one it is named after, and what that usually costs: said before the start.

Only values that people change for want of memory or time, and whose cost they then find after days: steps, epochs,
stride, precision. Everything else that differs is in the run's recipe.toml.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from glossfree.recipe.files import load_recipe, recipes_folder
from glossfree.recipe.schema import Recipe, StageConfig

PAPER, PAPERS_CORPUS = "hfa-phoenix14t", "phoenix14t"
# what users of other public code for this task write in its issues, where the rate was not scaled to the batch
REPORTED = "users of other code who left it so report a BLEU-4 of 8 to 16 where 21 was to be had"


def model_of(recipe: Recipe, corpus: str) -> Recipe | None:
    """What a recipe is measured by: the shipped one of its name, else on the paper's corpus the paper; else nothing."""
    path = recipes_folder() / f"{recipe.name}.toml"
    if path.is_file():
        return load_recipe(path)
    return load_recipe(PAPER) if corpus == PAPERS_CORPUS else None


def advice(recipe: Recipe, corpus: str, stages: Sequence[str], native: str) -> list[str]:
    """One line for each difference that usually costs something; `stages`: those that are still to be trained.

    `native`: accelerate's word for the precision that this device is fast in (no, fp16, bf16). The batch of a step is
    the recipe's on any number of processes, which share it: their number makes no difference here.
    """
    lines = list(_slow_here(recipe, native))
    model = model_of(recipe, corpus)
    if model is not None:
        lines += _of_the_whole(recipe, model)
        usual = {stage.name: stage for stage in model.stages}
        for stage in recipe.stages:
            if stage.name in stages and stage.name in usual:
                lines += _of_a_stage(stage, usual[stage.name], model.name)
    return lines


def _slow_here(recipe: Recipe, native: str) -> Iterator[str]:
    wanted = recipe.training.precision
    if wanted in ("bf16", "fp16") and native == "no":
        yield (
            f"training.precision is {wanted}, and this device is not known to be fast in it: "
            "a CPU without it takes hundreds of times as long as in fp32"
        )


def _of_the_whole(recipe: Recipe, model: Recipe) -> Iterator[str]:
    stride, usual = recipe.data.stride, model.data.stride
    if stride > usual:
        yield (
            f"data.stride is {stride}, {model.name} has {usual}: cheaper by as much, but short signs keep few frames; "
            "scores are not to be compared with that recipe's"
        )
    elif stride < usual:
        yield (
            f"data.stride is {stride}, {model.name} has {usual}: more time and memory, and shorter clips reach "
            "data.max_frames; scores are not to be compared with that recipe's"
        )
    wanted, usual_precision = recipe.training.precision, model.training.precision
    if wanted != usual_precision:
        costs = {
            "fp32": "about twice the time and memory where the device is fast in less; the scores should not suffer",
            "fp16": "beyond 65,504 numbers overflow: the loss is scaled, and steps that still overflow are left out",
            "bf16": "numbers of three digits instead of seven: losses differ a little, from the first step on",
            "auto": "what the device is fast in: not the same numbers on another device",
        }
        yield f"training.precision is {wanted}, {model.name} has {usual_precision}: {costs[wanted]}"


def _of_a_stage(stage: StageConfig, usual: StageConfig, model: str) -> Iterator[str]:
    name = stage.name
    if stage.epochs != usual.epochs:
        said = f"{name}.epochs is {stage.epochs}, {model} has {usual.epochs}"
        if not stage.epochs:
            yield f"{said}: what that stage teaches is missing from all that follow"
        elif not usual.epochs:
            yield f"{said}: a stage more, whose weights are not those that the others were meant to start from"
        elif stage.epochs < usual.epochs:
            yield f"{said}: the learning rate falls sooner, too; a model then usually stays below that recipe's scores"
        else:
            yield f"{said}: the learning rate falls later, too; small corpora are learnt by heart, watch the dev loss"
    rate, usual_rate = stage.learning_rate, usual.learning_rate
    if stage.epochs and stage.batch_size != usual.batch_size:
        said = f"{name}.batch_size is {stage.batch_size}, {model} has {usual.batch_size}"
        cost = f"its learning rate is {rate:g}, not {usual_rate:g}: only a run tells whether the two fit each other"
        if rate == usual_rate:
            cost = f"the learning rate is still {rate:g}; {REPORTED}"
        if stage.compares_clips:
            fewer = "fewer" if stage.batch_size < usual.batch_size else "more"
            cost += f"; and each clip is compared with {fewer} others (eq 4)"
        if stage.batch_size < usual.batch_size:
            cost += ". For want of memory data.max_frames_per_batch costs less: only BatchNorm notices it"
        yield f"{said}: {cost}"
