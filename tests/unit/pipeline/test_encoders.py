"""Backbones from DINOv2's files and from runs and models of ours, plain."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from glossfree.errors import ModelError, RecipeError
from glossfree.models.choices import Backbone
from glossfree.models.weights import state
from glossfree.pipeline.assemble import visual_encoder
from glossfree.pipeline.encoders import encoder_files, is_ours, load_backbone
from glossfree.recipe.files import load_recipe


def backbone_for(tiny: Any, *overrides: str) -> tuple[torch.nn.Module, Backbone]:
    """A plain backbone with random weights, and its options."""
    recipe = load_recipe(tiny.recipe, overrides)
    return visual_encoder(recipe).backbone, recipe.vision


def test_the_last_finished_stage_counts(tiny_run: Path, tiny_model: Path, tmp_path: Path) -> None:
    assert is_ours(tiny_run) and is_ours(tiny_model) and not is_ours(tmp_path)
    assert [path.name for path in encoder_files(tiny_run)] == ["finetune2.safetensors"]
    assert [path.name for path in encoder_files(tiny_model)] == ["model.safetensors"]
    run = tmp_path / "run"
    shutil.copytree(tiny_run, run)
    for stage in ("finetune2", "finetune1", "pretrain"):
        assert encoder_files(run)[0].stem == stage
        (run / f"weights/{stage}.safetensors").unlink()
    with pytest.raises(ModelError, match="no stage has finished that sees video"):
        encoder_files(run)


def test_adapters_come_merged(tiny: Any, tiny_run: Path, tiny_model: Path) -> None:
    """W + (alpha / rank) B A, added up here by hand, from a run and from its model."""
    backbones = [backbone_for(tiny), backbone_for(tiny)]
    for (backbone, options), source in zip(backbones, (tiny_run, tiny_model), strict=True):
        census = load_backbone(backbone, options, source)
        assert set(census.loaded) == set(state(backbone)) and census.new == census.ignored == ()
    tensors = load_file(tiny_run / "weights/finetune2.safetensors")
    layer = "hierarchy.visual.backbone.model.encoder.layer.1.attention.qkv."
    base, a, b = (tensors[layer + n] for n in ("base_layer.weight", "lora_A.default.weight", "lora_B.default.weight"))
    vision: Any = load_recipe(tiny.recipe).vision
    expected = base + vision.adapter_alpha / vision.adapter_rank * b @ a
    assert not torch.equal(expected, base), "the adapters have learnt something"
    for backbone, _ in backbones:
        merged = state(backbone)["model.encoder.layer.1.attention.qkv.weight"]
        torch.testing.assert_close(merged, expected, rtol=0, atol=1e-6)


def test_another_backbone_is_refused(tiny: Any, tiny_run: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="the model has"):
        load_backbone(*backbone_for(tiny, "vision.hidden_size=28"), tiny_run)
    convnet = backbone_for(tiny, "vision.kind=convnet", "vision.patch_size=8", "vision.image_size=24")
    with pytest.raises(ModelError, match=r"has no place|is missing"):
        load_backbone(*convnet, tiny_run)
    with pytest.raises(RecipeError, match="no weights for this backbone"):
        load_backbone(*convnet, tmp_path)
