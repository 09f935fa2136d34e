"""Pretrained weights that a recipe names: found, hashed, loaded, recorded, and compared with another run's."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from glossfree.console import Silent
from glossfree.errors import ModelError, RunError
from glossfree.models.weights import state
from glossfree.pipeline.assemble import assemble
from glossfree.pipeline.sources import Source, check_same_sources, load_sources, weight_sources
from glossfree.recipe.files import load_recipe

ROWS, KEPT = 57, [0, 1, 2, 3, 9, 5, *range(32, 57)]


def folders(tiny: Any, tmp_path: Path) -> tuple[Path, Path]:
    """Weights of the tiny recipe's sizes and a token table of ROWS rows, under Hugging Face's names."""
    hierarchy: Any = assemble(load_recipe(tiny.recipe, ["seed=5"]), ROWS).hierarchy
    vision, language = tmp_path / "vision", tmp_path / "language"
    for folder, model in ((vision, hierarchy.visual.backbone), (language, hierarchy.language.mbart)):
        folder.mkdir()
        tensors = state(model)
        if folder is vision:
            tensors = dict(separate({name.removeprefix("model."): tensor for name, tensor in tensors.items()}))
        save_file({name: t.clone() for name, t in tensors.items()}, folder / "model.safetensors")
    return vision, language


def separate(tensors: dict[str, torch.Tensor]) -> Any:
    """Our fused attention -> the three of Hugging Face."""
    for name, tensor in tensors.items():
        if ".attention.qkv." in name:
            for part, third in zip("qkv", tensor.chunk(3), strict=True):
                yield name.replace("qkv", f"{part}_proj"), third
        else:
            yield name.replace(".attention.proj.", ".attention.o_proj."), tensor


def named(tiny: Any, vision: Path, language: Path) -> Any:
    settings = [f"vision.weights={vision}", f"language.weights={language}", f"text.tokenizer={language}"]
    return load_recipe(tiny.recipe, settings)


def test_a_recipe_that_names_none_has_none(tiny: Any) -> None:
    recipe = load_recipe(tiny.recipe)
    assert weight_sources(recipe) == ()
    assert load_sources(assemble(recipe, 9), recipe, (), list, Silent()) == {}


def test_found_hashed_loaded_and_recorded(tiny: Any, tmp_path: Path) -> None:
    vision, language = folders(tiny, tmp_path)
    recipe = named(tiny, vision, language)
    sources = weight_sources(recipe)
    assert [(source.role, source.name, source.path) for source in sources] == [
        ("vision", str(vision), vision),
        ("language", str(language), language),
    ]
    console = Silent()
    model: Any = assemble(recipe, len(KEPT))
    record = load_sources(model, recipe, sources, lambda: KEPT, console)
    backbone, mbart = model.hierarchy.visual.backbone, model.hierarchy.language.mbart
    for role, folder in (("vision", vision), ("language", language)):
        expected = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
        assert record[role]["source"] == str(folder)
        assert record[role]["files"] == {"model.safetensors": expected}
    count = len(state(mbart))
    assert record["language"]["census"] == {"loaded": count - 2, "trimmed": 2, "new": 0, "ignored": 0}
    assert record["vision"]["census"]["loaded"] == len(state(backbone))
    assert console.lines[1] == f"{language}: {count - 2} loaded, 2 trimmed, 0 new, 0 ignored"
    original: Any = assemble(load_recipe(tiny.recipe, ["seed=5"]), ROWS).hierarchy
    for name, tensor in state(backbone).items():
        assert torch.equal(tensor, state(original.visual.backbone)[name])
    assert torch.equal(mbart.model.shared.weight, original.language.mbart.model.shared.weight[KEPT])
    tables = [p for p in model.parameters() if len(p) == len(KEPT)]
    assert len(tables) == 1 and tables[0] is mbart.model.shared.weight, "encoder, decoder and output share one table"


def test_one_file_may_be_named_instead_of_a_folder(tiny: Any, tmp_path: Path) -> None:
    vision, _ = folders(tiny, tmp_path)
    torch.save(load_file(vision / "model.safetensors"), tmp_path / "dinov2.pth")
    recipe = load_recipe(tiny.recipe, [f"vision.weights={tmp_path / 'dinov2.pth'}"])
    (source,) = weight_sources(recipe)
    assert list(source.files) == ["dinov2.pth"]
    assert load_sources(assemble(recipe, 9), recipe, [source], list, Silent())["vision"]["census"]["ignored"] == 0


def test_nothing_where_weights_should_be(tiny: Any, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no weights here") as caught:
        weight_sources(load_recipe(tiny.recipe, [f"vision.weights={tmp_path / 'nowhere'}"]))
    assert caught.value.where == str(tmp_path / "nowhere")


def test_hub_names_are_resolved_before_they_are_hashed(
    tiny: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vision, _ = folders(tiny, tmp_path)
    monkeypatch.setattr(
        "glossfree.pipeline.hub.snapshot_download", lambda name, **_: str(tmp_path / name.partition("/")[2])
    )
    (source,) = weight_sources(load_recipe(tiny.recipe, ["vision.weights=hub:someone/vision"]))
    assert (source.name, source.path) == ("hub:someone/vision", vision)


def test_other_files_than_a_run_recorded_are_refused_by_name() -> None:
    ours = Source("vision", "dinov2-small", Path("dinov2-small"), {"a.safetensors": "1", "b.safetensors": "2"})
    text = Source("language", "mbart", Path("mbart"), {"c.bin": "3"})
    same = {"vision": {"files": {"b.safetensors": "2", "a.safetensors": "1"}}, "language": {"files": {"c.bin": "3"}}}
    check_same_sources([ours, text], same, where=Path("run"))
    check_same_sources([ours], {}, where=Path("run"))  # a run that named none, or an older one that did not record any
    check_same_sources([], same, where=Path("run"))
    for files, words in (
        ({"a.safetensors": "1", "b.safetensors": "5"}, r"\(b\.safetensors differ\)"),
        ({"a.safetensors": "1"}, r"\(b\.safetensors differ\)"),
        ({"pytorch_model.bin": "1"}, r"\(a\.safetensors, b\.safetensors, pytorch_model\.bin differ\)"),
    ):
        with pytest.raises(RunError, match=f"dinov2-small is not what this run's vision weights came from {words}"):
            check_same_sources([text, ours], {**same, "vision": {"files": files}}, where=Path("run"))
