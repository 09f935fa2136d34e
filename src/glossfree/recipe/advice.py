"""Warnings before training: where a recipe differs from the one that it is named after, and what that usually costs.

Only what people change for want of memory or time, and whose cost they find after days: steps, epochs, stride,
precision. Everything else that differs is in the run's recipe.toml.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from glossfree.recipe.files import load_recipe, recipes_folder
from glossfree.recipe.schema import Recipe, StageConfig

PAPER, PAPERS_CORPUS = "hfa-phoenix14t", "phoenix14t"
PRECISIONS = {
    "fp32": "about twice the time and memory, scores should not suffer",
    "fp16": "numbers beyond 65,504 overflow: the loss is scaled, and steps that overflow are skipped",
    "bf16": "numbers have three digits instead of seven: losses differ a little",
    "auto": "another device may compute in another precision",
}


def model_of(recipe: Recipe, corpus: str) -> Recipe | None:
    """The recipe to compare with: the shipped one of the same name; else the paper's on its own corpus; else none."""
    path = recipes_folder() / f"{recipe.name}.toml"
    if path.is_file():
        return load_recipe(path)
    return load_recipe(PAPER) if corpus == PAPERS_CORPUS else None


def advice(recipe: Recipe, corpus: str, stages: Sequence[str], native: str) -> list[str]:
    """One line for each difference that usually costs something; `stages`: those that are still to be trained.

    `native`: accelerate's name of the precision that the device is fast in (no, fp16, bf16).
    """
    lines = []
    precision = recipe.training.precision
    if precision in ("bf16", "fp16") and native == "no":
        slow = "this device is not known to be fast in it, and may take hundreds of times as long as in fp32"
        lines.append(f"training.precision is {precision}: {slow}")
    model = model_of(recipe, corpus)
    if model is not None:
        lines += _of_all_stages(recipe, model)
        usual = {stage.name: stage for stage in model.stages}
        for stage in recipe.stages:
            if stage.name in stages and stage.name in usual:
                lines += _of_a_stage(stage, usual[stage.name], model.name)
    return lines


def _of_all_stages(recipe: Recipe, model: Recipe) -> Iterator[str]:
    stride, usual = recipe.data.stride, model.data.stride
    if stride != usual:
        cost = "short signs keep few frames" if stride > usual else "more time and memory, and clips reach max_frames"
        yield f"data.stride is {stride}, {model.name} has {usual}: {cost}; scores do not compare with that recipe's"
    precision = recipe.training.precision
    if precision != model.training.precision:
        usual_precision = model.training.precision
        yield f"training.precision is {precision}, {model.name} has {usual_precision}: {PRECISIONS[precision]}"


def _of_a_stage(stage: StageConfig, usual: StageConfig, model: str) -> Iterator[str]:
    if stage.epochs != usual.epochs:
        if not stage.epochs:
            cost = "the stages after it miss what it teaches"
        elif not usual.epochs:
            cost = "the other stages were not meant to start from its weights"
        elif stage.epochs < usual.epochs:
            cost = "the learning rate falls sooner; scores usually stay below that recipe's"
        else:
            cost = "the learning rate falls later; small corpora are overfitted, watch the dev loss"
        yield f"{stage.name}.epochs is {stage.epochs}, {model} has {usual.epochs}: {cost}"
    if stage.epochs and stage.batch_size != usual.batch_size:
        rate, fewer = stage.learning_rate, stage.batch_size < usual.batch_size
        cost = f"the learning rate is {rate:g}, not {usual.learning_rate:g}: only a run tells whether it fits"
        if rate == usual.learning_rate:
            # users of other public code for this task report this in its issues
            cost = f"the learning rate is still {rate:g}, for which others report a BLEU-4 of 8 to 16 instead of 21"
        if stage.compares_clips:
            cost += f"; each clip is compared with {'fewer' if fewer else 'more'} others"
        if fewer:
            cost += "; data.max_frames_per_batch saves memory without this cost"
        yield f"{stage.name}.batch_size is {stage.batch_size}, {model} has {usual.batch_size}: {cost}"
