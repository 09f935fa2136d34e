"""Warnings before training: costly differences between a recipe and the shipped one of the same name.

They cover what people change to save memory or time, at a cost that shows only after days: batch size, epochs, stride
and precision. The run's recipe.toml has all other differences.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from glossfree.recipe.files import load_recipe, shipped_recipes
from glossfree.recipe.schema import Recipe, StageConfig

PAPER, PAPERS_CORPUS = "hfa-phoenix14t", "phoenix14t"
PRECISIONS = {
    "fp32": "about twice the time and memory; scores should not change",
    "fp16": "values above 65,504 overflow: the loss is scaled, and steps that overflow are skipped",
    "bf16": "values have three digits instead of seven: losses differ a little",
    "auto": "another device may compute in another precision",
}
SLOW = "this device may be slow in it, a CPU up to hundreds of times slower than in fp32"


def model_of(recipe: Recipe, corpus: str) -> Recipe | None:
    """The recipe to compare with: the shipped one of the same name, or the paper's on the paper's corpus, or None."""
    for path in shipped_recipes():
        if path.stem == recipe.name:
            return load_recipe(path)
    return load_recipe(PAPER) if corpus == PAPERS_CORPUS else None


def advice(recipe: Recipe, corpus: str, stages: Sequence[str], fast: Collection[str]) -> list[str]:
    """One line for each difference that usually has a cost.

    `stages`: those still to be trained. `fast`: the half precisions (fp16, bf16) that the device computes in itself.
    """
    lines = [] if recipe.vision.features == "cached" else slow_backbone(recipe, fast)
    precision = recipe.training.precision
    if precision in ("bf16", "fp16") and precision not in fast:
        lines.append(f"training.precision is {precision}: {SLOW}")
    model = model_of(recipe, corpus)
    if model is not None:
        lines += _of_all_stages(recipe, model)
        usual = {stage.name: stage for stage in model.stages}
        for stage in recipe.stages:
            if stage.name in stages and stage.name in usual:
                lines += _of_a_stage(stage, usual[stage.name], model.name)
    return lines


def slow_backbone(recipe: Recipe, fast: Collection[str]) -> list[str]:
    """A line if the backbone computes in a precision that the device is slow in; `fast` as in `advice`."""
    is_slow = recipe.vision.frozen_in_bf16 and "bf16" not in fast
    return [f"vision.frozen_precision is bf16: {SLOW}"] if is_slow else []


def random_weights(recipe: Recipe) -> list[str]:
    """One line for each part that keeps the random weights it starts with, but for its adapters."""
    lines = []
    models = {"vision": "the visual backbone", "language": "mBART", "decoder": "its language model"}
    for part, what in models.items():
        options = getattr(recipe, part)
        is_frozen = getattr(options, "train", "all") != "all" and getattr(options, "weights", None) == ""
        if is_frozen and not any(part in stage.train and not stage.adapters for stage in recipe.planned):
            is_enough = part == "vision" or getattr(options, "brings_tokenizer", False)
            named = f"{part}.weights=FOLDER" + ("" if is_enough else " --set text.tokenizer=FOLDER")
            remedy = f"name pretrained ones with --set {named}, or train all of it: {part}.train=all"
            lines.append(f"{part}.weights is empty: {what} keeps random weights -> {remedy}")
    return lines


def _of_all_stages(recipe: Recipe, model: Recipe) -> Iterator[str]:
    stride, usual = recipe.data.stride, model.data.stride
    if stride != usual:
        cost = "short signs keep few frames" if stride > usual else "more time and memory, and clips reach max_frames"
        yield f"data.stride is {stride}, {model.name} has {usual}: {cost}; scores are not comparable with that recipe's"
    precision = recipe.training.precision
    if precision != model.training.precision:
        usual_precision = model.training.precision
        yield f"training.precision is {precision}, {model.name} has {usual_precision}: {PRECISIONS[precision]}"


def _of_a_stage(stage: StageConfig, usual: StageConfig, model: str) -> Iterator[str]:
    if stage.epochs != usual.epochs:
        if not stage.epochs:
            cost = "later stages start without it"
        elif not usual.epochs:
            cost = "later stages were not planned to start from its weights"
        elif stage.epochs < usual.epochs:
            cost = "the learning rate falls sooner; scores usually stay below that recipe's"
        else:
            cost = "the learning rate falls later; small corpora may overfit, watch the dev loss"
        yield f"{stage.name}.epochs is {stage.epochs}, {model} has {usual.epochs}: {cost}"
    if stage.epochs and stage.batch_size != usual.batch_size:
        rate, fewer = stage.learning_rate, stage.batch_size < usual.batch_size
        cost = f"the learning rate is {rate:g}, not {usual.learning_rate:g}: only a run can tell whether it fits"
        if rate == usual.learning_rate:
            # reported in issues of other public code for this task
            cost = f"the learning rate is still {rate:g}, for which others report a BLEU-4 of 8 to 16 instead of 21"
        if stage.compares_clips:
            cost += f"; each clip is compared with {'fewer' if fewer else 'more'} others"
        if fewer:
            cost += "; data.max_frames_per_batch saves memory without this cost"
        yield f"{stage.name}.batch_size is {stage.batch_size}, {model} has {usual.batch_size}: {cost}"
