"""Where a visual backbone's weights come from: DINOv2's own files, or a run or model folder of this project.

A trained backbone comes back plain: its adapters are added to the weights that they stand beside.
"""

from __future__ import annotations

from pathlib import Path

from torch import Tensor, nn

from glossfree.errors import ModelError
from glossfree.models.adapters import merge_lora
from glossfree.models.choices import Backbone
from glossfree.models.weights import Census, load, state, weight_files
from glossfree.pipeline.assemble import adapt_vision, visual_encoder
from glossfree.recipe.files import load_recipe
from glossfree.training.run import Run, load_facts, load_tensors

RECIPE, MODEL = "recipe.toml", "model.safetensors"
PREFIX = "hierarchy.visual.backbone."


def is_ours(source: Path) -> bool:
    """Whether this is a run or a model folder of this project."""
    return (source / RECIPE).is_file()


def encoder_files(source: Path) -> list[Path]:
    """The files that hold a backbone's weights. Raises ModelError where there are none."""
    if not is_ours(source):
        return weight_files(source)
    # the last stage that is finished counts, of those that see video
    seeing = [stage.name for stage in reversed(load_recipe(source / RECIPE).planned) if stage.batches != "sentences"]
    for path in (*(Run(source).weights(stage) for stage in seeing), source / MODEL):
        if path.is_file():
            return [path]
    raise ModelError("no stage has finished that sees video", where=source, remedy="train it, or name other weights")


def load_backbone(backbone: nn.Module, options: Backbone, source: Path) -> Census:
    """Weights of a backbone, into a plain one of the same kind and sizes, in place.

    Raises ModelError: missing, damaged, another backbone; RecipeError: foreign files for a backbone that reads none.
    """
    if is_ours(source):
        return load(backbone, _trained(source), where=str(source))
    return options.load(backbone, source)


def backbone_tensors(path: Path) -> dict[str, Tensor]:
    """The weights of a stage that sees video, or of a model -> those of the backbone as it was trained, by name."""
    tensors, _ = load_tensors(path)
    return {name.removeprefix(PREFIX): tensor for name, tensor in tensors.items() if name.startswith(PREFIX)}


def _trained(source: Path) -> dict[str, Tensor]:
    """The backbone of a run or model folder, plain, by name."""
    recipe = load_recipe(source / RECIPE)
    (path,) = encoder_files(source)
    visual, stage = visual_encoder(recipe), load_facts(path).get("stage", recipe.planned[-1].name)
    if any(each.adapters for each in recipe.lineage(stage)):
        adapt_vision(visual, recipe)
    load(visual.backbone, backbone_tensors(path), where=str(path))
    merge_lora(visual.backbone)
    return state(visual.backbone)
