"""Where a visual backbone's weights come from: DINOv2's own files, or a run or model folder of this project.

A trained backbone comes back plain: its adapters are added to the weights that they stand beside.
"""

from __future__ import annotations

from pathlib import Path

from torch import Tensor, nn

from glossfree.assemble import adapt_vision, visual_encoder
from glossfree.config import load_recipe
from glossfree.errors import ModelError, RecipeError
from glossfree.models.adapters import merge_lora
from glossfree.models.pretrained import load_dinov2
from glossfree.models.vision import Dinov2ClassToken
from glossfree.models.weights import Census, load, state, weight_files
from glossfree.training.run import Run, load_tensors

RECIPE, MODEL = "recipe.toml", "model.safetensors"
STAGES = ("finetune2", "finetune1", "pretrain")  # the last that is finished counts
PREFIX = "hierarchy.visual.backbone."


def is_ours(source: Path) -> bool:
    """Whether this is a run or a model folder of this project."""
    return (source / RECIPE).is_file()


def encoder_files(source: Path) -> list[Path]:
    """The files that hold a backbone's weights. Raises ModelError where there are none."""
    if not is_ours(source):
        return weight_files(source)
    for path in (*(Run(source).weights(stage) for stage in STAGES), source / MODEL):
        if path.is_file():
            return [path]
    raise ModelError("no stage has finished that sees video", where=source, remedy="train it, or name other weights")


def load_backbone(backbone: nn.Module, source: Path) -> Census:
    """Weights of a backbone, into a plain one of the same kind and sizes, in place.

    Raises ModelError: missing, damaged, another backbone; RecipeError: files of DINOv2 for a backbone that is none.
    """
    if is_ours(source):
        return load(backbone, _trained(source), where=str(source))
    if not isinstance(backbone, Dinov2ClassToken):
        raise RecipeError(
            "these are no weights for this backbone",
            where=source,
            remedy="name a run of ours, or vision.backbone=dinov2",
        )
    return load_dinov2(backbone, source)


def backbone_tensors(path: Path) -> dict[str, Tensor]:
    """The weights of a stage that sees video, or of a model -> those of the backbone as it was trained, by name."""
    tensors, _ = load_tensors(path)
    return {name.removeprefix(PREFIX): tensor for name, tensor in tensors.items() if name.startswith(PREFIX)}


def _trained(source: Path) -> dict[str, Tensor]:
    """The backbone of a run or model folder, plain, by name."""
    recipe = load_recipe(source / RECIPE)
    (path,) = encoder_files(source)
    visual = visual_encoder(recipe)
    adapt_vision(visual, recipe)
    load(visual.backbone, backbone_tensors(path), where=str(path))
    merge_lora(visual.backbone)
    return state(visual.backbone)
