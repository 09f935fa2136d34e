"""Weights that a recipe names: fetched from a hub, hashed, loaded plain, recorded, compared with another run's."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub.errors import HFValidationError, HTTPError, LocalEntryNotFoundError
from safetensors.torch import load_file, save_file
from tests.hub import Repository

from glossfree.console import Silent
from glossfree.errors import ModelError, RecipeError, RunError
from glossfree.files.disk import digest
from glossfree.models.choices import Backbone
from glossfree.models.weights import state
from glossfree.pipeline.assemble import assemble, visual_encoder
from glossfree.pipeline.weights import (
    TOKENIZER,
    WEIGHTS,
    Source,
    check_same_sources,
    encoder_files,
    folder_of,
    is_ours,
    load_backbone,
    load_sources,
    weight_sources,
)
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


def test_a_decoder_with_weights_of_its_own(tiny: Any, tmp_path: Path) -> None:
    _, folder = folders(tiny, tmp_path)
    mbart = load_recipe(tiny.recipe).language
    sizes = mbart.model_dump(include={"hidden_size", "num_layers", "num_heads", "mlp_size", "max_positions"})
    settings = [f"decoder.{key}={size}" for key, size in sizes.items()]
    named = [f"decoder.weights={folder}", f"text.tokenizer={folder}", "denoise.epochs=0", "pretrain.epochs=0"]
    recipe = load_recipe(tiny.recipe, ["language.kind=none", "decoder.kind=causal", *settings, *named])
    (source,) = weight_sources(recipe)
    assert (source.role, source.path) == ("decoder", folder)
    model: Any = assemble(recipe, len(KEPT))
    record = load_sources(model, recipe, [source], lambda: KEPT, Silent())
    assert record["decoder"]["census"]["trimmed"] == 2
    table = load_file(folder / "model.safetensors")["model.shared.weight"]
    assert torch.equal(model.decoder.language_model.embed_tokens.weight, table[KEPT])


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


def test_hub_names_are_resolved_before_they_are_hashed(hub: Any, tiny: Any, tmp_path: Path) -> None:
    vision, _ = folders(tiny, tmp_path)
    repository(hub, "someone/vision", {"model.safetensors": (vision / "model.safetensors").read_bytes()})
    (source,) = weight_sources(load_recipe(tiny.recipe, ["vision.weights=hub:someone/vision@main"]))
    assert source.name == "hub:someone/vision@main"
    assert source.files["model.safetensors"] == digest(vision / "model.safetensors")


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


def repository(hub: Any, name: str, files: dict[str, bytes]) -> None:
    """A repository of the small hub with these files."""
    hub.repositories[name] = Repository()
    hub.repositories[name].commit("main", files)


def named_files(*names: str) -> dict[str, bytes]:
    return {name: name.encode() for name in names}


@pytest.mark.parametrize("source", ["dinov2-small", "weights/dinov2.pth", "hub/owner/name", ""])
def test_a_path_is_taken_as_it_is_and_nobody_is_asked(hub: Any, source: str) -> None:
    assert folder_of(source, WEIGHTS) == Path(source)
    assert hub.requests == []


def test_weights_are_fetched_in_one_format_and_nothing_else(hub: Any) -> None:
    others = ("README.md", "tf_model.h5", "model.fp16.safetensors", "onnx_model.onnx", "sentencepiece.bpe.model")
    repository(hub, "a/b", named_files("config.json", "model.safetensors", "pytorch_model.bin", *others))
    folder = folder_of("hub:a/b", WEIGHTS)
    assert {path.name for path in folder.iterdir()} == {"config.json", "model.safetensors"}


def test_older_formats_and_parts(hub: Any) -> None:
    files = ("config.json", "pytorch_model.bin.index.json", "pytorch_model-1-of-2.bin", "pytorch_model-2-of-2.bin")
    repository(hub, "a/b", named_files(*files))
    assert {path.name for path in folder_of("hub:a/b", WEIGHTS).iterdir()} == set(files)


def test_a_tokenizer_brings_its_json(hub: Any) -> None:
    files = ("sentencepiece.bpe.model", "tokenizer_config.json")
    repository(hub, "a/b", named_files(*files, "model.safetensors"))
    assert {path.name for path in folder_of("hub:a/b", TOKENIZER).iterdir()} == set(files)


def test_a_tokenizer_json_alone_is_enough(hub: Any) -> None:
    files = ("tokenizer.json", "tokenizer_config.json")
    repository(hub, "a/b", named_files(*files, "model.safetensors"))
    assert {path.name for path in folder_of("hub:a/b", TOKENIZER).iterdir()} == set(files)


def test_a_repository_without_what_is_wanted(hub: Any) -> None:
    repository(hub, "a/b", named_files("config.json", "tokenizer_config.json", "recipe.toml"))
    with pytest.raises(ModelError, match=r"hub:a/b: has no model\.safetensors or pytorch_model\.bin"):
        folder_of("hub:a/b", WEIGHTS)
    with pytest.raises(ModelError, match=r"has no sentencepiece\.bpe\.model"):
        folder_of("hub:a/b", TOKENIZER)


@pytest.mark.parametrize("name", ["", "dinov2-small", "a/b/c", "../b", "a b/c", "a/b?x=1", "/etc/passwd"])
def test_what_is_no_name_of_a_repository(hub: Any, name: str) -> None:
    with pytest.raises(ModelError, match="not the name of a repository -> write hub:owner/name"):
        folder_of(f"hub:{name}", WEIGHTS)
    assert hub.requests == []


@pytest.mark.parametrize(
    "error",
    [
        LocalEntryNotFoundError("Got: ConnectError: no such host\nmore about it"),
        HTTPError("proxy refused"),
        HFValidationError("no repository is called that"),
        OSError(28, "No space left on device"),
    ],
)
def test_whatever_goes_wrong_is_one_line_with_a_remedy(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def fails(*_: Any, **__: Any) -> str:
        raise error

    monkeypatch.setattr("huggingface_hub.snapshot_download", fails)
    with pytest.raises(ModelError, match="cannot be fetched") as caught:
        folder_of("hub:a/b", WEIGHTS)
    assert caught.value.where == "hub:a/b"
    assert caught.value.remedy and "name the folder" in caught.value.remedy
    assert "\n" not in str(caught.value) and str(error).partition("\n")[0] in str(caught.value)


def test_the_library_itself_refuses_where_it_must_stay_offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing is replaced but the place of its cache."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ModelError, match="cannot be fetched"):
        folder_of("hub:glossfree-tests/there-is-none", WEIGHTS)


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
    with pytest.raises(RecipeError, match="no foreign weights"):
        load_backbone(*convnet, tmp_path)
