"""A model folder with 8-bit weights: smaller, and taken wherever one with floats is."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from glossfree.corpora.manifest import Manifest
from glossfree.errors import ModelError
from glossfree.files.disk import digest
from glossfree.models import int8 as module
from glossfree.models import packed
from glossfree.models.int8 import Int8Linear, from_int8
from glossfree.models.weights import state
from glossfree.pipeline.trained import TrainedRun
from glossfree.pipeline.weights import load_backbone
from glossfree.recipe.files import load_recipe
from glossfree.serving.folder import verify
from glossfree.training.run import load_tensors, save_tensors
from glossfree.translator import SignTranslator

Call = Callable[..., Any]


@pytest.fixture(scope="module")
def folder(tiny_run: Path, tmp_path_factory: pytest.TempPathFactory, call: Call) -> Path:
    """The tiny model in 8 bits, whose backbone has adapters; no test may write into it."""
    folder = tmp_path_factory.mktemp("int8") / "model"
    done = call("export", tiny_run, folder, "--int8")
    assert done.code == 0, done.err
    return folder


def clips_of(tiny: Any) -> list[Path]:
    return [tiny.corpus / clip.file for clip in Manifest.load(tiny.corpus).split("test")]


def test_the_card_says_so_and_the_weights_are_those_of_the_run_with_adapters_merged(
    tiny_run: Path, tiny_model: Path, folder: Path
) -> None:
    assert verify(folder)["int8"] is True and "int8" not in verify(tiny_model)
    assert "rounded to 8 bits" in (folder / "README.md").read_text(encoding="utf-8")
    assert "rounded to 8 bits" not in (tiny_model / "README.md").read_text(encoding="utf-8")
    assert (folder / "model.safetensors").stat().st_size < 0.6 * (tiny_model / "model.safetensors").stat().st_size
    trained = TrainedRun(tiny_run)
    model, _ = trained.model()
    model.merge_adapters()
    expected = state(model) | trained.head_tensors()
    read = from_int8(load_file(folder / "model.safetensors"), where="here")
    assert read.keys() == expected.keys() and any(not torch.equal(read[name], expected[name]) for name in read)
    for name, tensor in read.items():
        step = expected[name].abs().max().item() / 127
        torch.testing.assert_close(tensor, expected[name], rtol=0, atol=0.51 * step)


def test_it_translates_at_the_command_line_as_in_python(tiny: Any, folder: Path, call: Call) -> None:
    path = clips_of(tiny)[0]
    translator = SignTranslator.from_pretrained(folder)
    shown = call("translate", folder, path, "--hypotheses", 2, "--json")
    assert (shown.code, shown.err) == (0, "")
    line = json.loads(shown.out)
    explained = translator.explain(path, num_hypotheses=2)
    assert line["text"] == explained.text == translator.translate(path)
    assert len(line["pseudo_glosses"]) == len(explained.tracks) > 0
    assert call("doctor", folder, path).code == 0


@pytest.mark.skipif(not module.can_multiply(), reason="no fast products with integers here")
def test_large_layers_of_the_decoder_keep_integers_but_for_the_one_that_writes_logits(
    tiny: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    floats = SignTranslator.from_pretrained(folder)
    monkeypatch.setattr(packed, "SMALLEST", 1)
    integers = SignTranslator.from_pretrained(folder)
    assert isinstance(floats, SignTranslator) and isinstance(integers, SignTranslator)
    kinds = {name: type(each) for name, each in integers.model.decoder.named_modules()}
    assert sum(kind is Int8Linear for kind in kinds.values()) == 10  # of its layer
    assert kinds["mbart.lm_head"] is packed.PackedLinear
    (path, *_) = clips_of(tiny)
    stored = load_file(folder / "model.safetensors")
    layer: Any = integers.model.decoder.get_submodule("mbart.model.decoder.layers.0.fc1")
    assert torch.equal(layer.integers, stored["decoder.mbart.model.decoder.layers.0.fc1.weight"])
    scores = [each.explain(path).hypotheses[0].score for each in (floats, integers)]
    assert scores[0] == pytest.approx(scores[1], abs=0.02)


def test_a_backbone_comes_from_such_a_folder(tiny: Any, tiny_model: Path, folder: Path) -> None:
    recipe = load_recipe(str(tiny.recipe))
    backbones = [recipe.vision.build() for _ in range(2)]
    for backbone, source in zip(backbones, (folder, tiny_model), strict=True):
        load_backbone(backbone, recipe.vision, source)
    ours, theirs = (state(each) for each in backbones)
    for name, tensor in ours.items():
        torch.testing.assert_close(tensor, theirs[name], rtol=0, atol=theirs[name].abs().max().item() / 200)


def test_a_scale_that_is_missing_is_named(folder: Path, tmp_path: Path) -> None:
    """In a file whose hash is right: as a stranger may make one."""
    copy = tmp_path / "model"
    shutil.copytree(folder, copy)
    tensors, facts = load_tensors(copy / "model.safetensors")
    lost = next(name for name in tensors if name.endswith("_scale"))
    del tensors[lost]
    save_tensors(copy / "model.safetensors", tensors, facts)
    card = json.loads((copy / "model.json").read_text())
    card["files"]["model.safetensors"] = digest(copy / "model.safetensors")
    (copy / "model.json").write_text(json.dumps(card))
    with pytest.raises(ModelError, match=f"{lost.removesuffix('_scale')} has 8 bits, and no scales"):
        SignTranslator.from_pretrained(copy)


def test_a_model_folder_is_no_run_to_export_again(folder: Path, tmp_path: Path, call: Call) -> None:
    shown = call("export", folder, tmp_path / "again", "--int8")
    assert shown.code == 2 and "a model, not a run" in shown.err and not (tmp_path / "again").exists()
