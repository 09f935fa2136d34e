"""What each saving brings: a full-size pre-training step with one of them switched off, against the step as it is.

Where the processor computes in bf16, also what that would save, which the paper's recipe does not ask for.

Both run in processes of their own and take turns, so that their times are of the same minutes and their peak memory is
their own. Then the savings around the step: resampling on uint8, batches of clips of similar length, a frame budget.
About 20 minutes on two cores; the process that keeps activations of all twelve blocks takes about 12 GB.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks import batching
from benchmarks.attention import dense_attention
from benchmarks.full_size import RECIPE, assembled, fixed_batch, inputs_of, stage_of
from benchmarks.processes import Worker, in_turns, peak_gigabytes, serve
from benchmarks.step import LENGTHS, Stepper
from benchmarks.timing import machine, table
from glossfree.models import adapters, packed
from glossfree.models.backbones.dinov2 import Dinov2ClassToken
from glossfree.models.hierarchy import TranslationModel
from glossfree.models.temporal import local_attention
from glossfree.objectives.base import Inputs
from glossfree.pipeline.text_features import FrozenTextEncoder
from glossfree.recipe.files import load_recipe
from glossfree.recipe.schema import Recipe
from glossfree.training.device import fast_precisions
from glossfree.video.batch import ClipBatch

ROUNDS, WARM_UP = 3, 1
FEWER = (20, 20)  # frames of the clips of a second step, which tells what a frame takes of memory


Switch = Callable[[TranslationModel, Inputs], Inputs]


@dataclass(frozen=True)
class Saving:
    """`instead`: what is done in its place, in words. `switch_off`: changes a model that has no adapters yet, in place,
    and returns what its objectives are given."""

    instead: str
    switch_off: Switch


def all_at_once(model: TranslationModel, inputs: Inputs) -> Inputs:
    """The ViT takes all frames of a batch at once."""
    model.hierarchy.visual.frames_per_pass = 0
    return inputs


def text_encoder_in_the_step(model: TranslationModel, inputs: Inputs) -> Inputs:
    """The text encoder reads the sentences of every batch."""
    return replace(inputs, text_features=None, text_encoder=FrozenTextEncoder(model.hierarchy.language))


def gradients_through_all_blocks(model: TranslationModel, inputs: Inputs) -> Inputs:
    """The output of the ViT's embeddings requires a gradient, so that every block keeps its activations."""
    embeddings = model.hierarchy.visual.backbone.get_submodule("model.embeddings")
    embeddings.register_forward_hook(_requires_gradient)
    return inputs


def _requires_gradient(module: nn.Module, inputs: object, output: Tensor) -> Tensor:
    return output.requires_grad_() if torch.is_grad_enabled() else output


def all_rows_of_the_last_block(model: TranslationModel, inputs: Inputs) -> Inputs:
    """The ViT's last block computes all patches, though the class token alone is read."""
    backbone = model.hierarchy.visual.backbone
    assert isinstance(backbone, Dinov2ClassToken)
    vit = backbone.model

    def forward(images: Tensor) -> Tensor:
        tokens = vit.embeddings(images)
        for block in vit.encoder.layer:
            tokens = block(tokens)
        class_token: Tensor = vit.layernorm(tokens[:, 0])
        return class_token

    backbone.forward = forward  # type: ignore[method-assign]
    return inputs


def dense_in_the_temporal_encoder(model: TranslationModel, inputs: Inputs) -> Inputs:
    """Dense attention with a mask, for this process."""
    local_attention.local_attention = dense_attention
    return inputs


def torchs_own_products(model: TranslationModel, inputs: Inputs) -> Inputs:
    """Frozen layers without oneDNN's blocks, for this process."""
    packed.can_pack = lambda: False
    return inputs


def adapters_one_operator_after_another(model: TranslationModel, inputs: Inputs) -> Inputs:
    """LoRA as its formula says, with torch's dropout, for this process."""
    adapters.Lora._is_one_function = lambda *_: False  # type: ignore[method-assign]
    return inputs


SAVINGS = {
    "passes": Saving("all frames through the ViT at once, not 8 at a time", all_at_once),
    "text": Saving("the text encoder reads every batch; no cached features", text_encoder_in_the_step),
    "frozen": Saving("activations and gradients in all 12 ViT blocks, not in 3", gradients_through_all_blocks),
    "rows": Saving("the last ViT block computes all patches, not the class token", all_rows_of_the_last_block),
    "packed": Saving("torch's own product in the ViT's frozen layers, not oneDNN's", torchs_own_products),
    "adapters": Saving("LoRA operator by operator, not one function", adapters_one_operator_after_another),
    "window": Saving("dense attention with a mask in the temporal encoder", dense_in_the_temporal_encoder),
}


HALVES = {
    "frozen blocks of the ViT in bf16": "vision.frozen_precision=bf16",
    "all products in bf16, as autocast takes them": "training.precision=bf16",
}


def stepper(recipe: Recipe, batch: ClipBatch, without: str | None = None) -> Stepper:
    """Pre-training on a batch, with one of SAVINGS switched off or none."""
    model = assembled(recipe)
    inputs = inputs_of(recipe, model, batch)
    if without is not None:
        inputs = SAVINGS[without].switch_off(model, inputs)
    return Stepper(stage_of(recipe, "pretrain", model, inputs), batch, recipe)


def run(lengths: Sequence[int] = LENGTHS, fewer: Sequence[int] = FEWER, rounds: int = ROUNDS) -> str:
    """All savings -> tables in Markdown: those within a step, then those around it."""
    rows, memory = [], []
    changes = {saving.instead: ("--without", name) for name, saving in SAVINGS.items()}
    if "bf16" in fast_precisions():
        changes |= {instead: ("--set", setting) for instead, setting in HALVES.items()}
    with _worker(lengths) as as_it_is:
        for instead, change in changes.items():
            with _worker(lengths, *change) as changed:
                answers = in_turns({"as it is": as_it_is, "changed": changed}, rounds, WARM_UP)
            (usual, usual_peak), (seconds, peak) = map(_medians, answers.values())
            memory.append(usual_peak)
            times = [f"{seconds:.2f}", f"{usual:.2f}", f"{seconds / usual:.2f}"]
            rows.append([instead, *times, f"{peak:.1f}", f"{usual_peak:.1f}"])
    with _worker(fewer) as few:
        _, few_peak = _medians([few.once(), few.once()])
    peak, frames = max(memory), sum(lengths)
    per_frame = (peak - few_peak) / (frames - sum(fewer))
    header = ["instead", "step, s", "as it is, s", "ratio", "peak memory, GB", "as it is, GB"]
    text = (
        f"Pre-training, batch {len(lengths)}, {frames} frames of 224 x 224, {torch.get_num_threads()} threads, "
        f"medians of {rounds} turns; each row has its own turns of the step as it is. A step of {sum(fewer)} frames "
        f"takes {few_peak:.1f} GB, so a frame takes {1000 * per_frame:.0f} MB. {machine()}."
    )

    def gigabytes(number: int) -> float:
        return peak + per_frame * (number - frames)

    return "\n\n".join([table(header, rows), text, batching.run(gigabytes)])


def _worker(lengths: Sequence[int], *change: str) -> Worker:
    return Worker("benchmarks.ablation", "--lengths", ",".join(map(str, lengths)), *change)


def _medians(answers: Sequence[dict[str, Any]]) -> tuple[float, float]:
    """Seconds of a step, and the peak of the process."""
    return median(answer["seconds"] for answer in answers), max(answer["peak"] for answer in answers)


def main() -> None:
    """A worker: a step for each line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ablation", description=main.__doc__)
    parser.add_argument("--lengths", default=",".join(map(str, LENGTHS)), help="frames of each clip")
    parser.add_argument("--without", choices=SAVINGS, help="the saving to switch off")
    parser.add_argument("--set", action="append", default=[], help="section.key=value of the recipe")
    options = parser.parse_args()
    recipe = load_recipe(RECIPE, options.set)
    batch = fixed_batch(recipe, [int(word) for word in options.lengths.split(",")])
    measured = stepper(recipe, batch, options.without)
    serve(lambda: {**measured.step(), "peak": peak_gigabytes()})


if __name__ == "__main__":
    main()
