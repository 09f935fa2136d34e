"""Stages one after another: what is finished is loaded, what is not is trained, and who may reopen a run."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from glossfree.assemble import Parts, assemble
from glossfree.config import load_recipe
from glossfree.errors import ModelError, RunError
from glossfree.material import gather
from glossfree.progress import Silent
from glossfree.text_features import TEXT_FEATURES
from glossfree.training.run import Run
from glossfree.workflow import Workflow, require, segment_features, start_run

STAGES = ("denoise", "pretrain", "finetune1", "finetune2")


def workflow(tiny: Any, run: Path, *overrides: str, start: Path | None = None) -> tuple[Workflow, Silent]:
    material, console = gather(load_recipe(tiny.recipe, overrides), tiny.corpus), Silent()
    recipe = material.recipe
    opened = start_run(run, recipe, material, resume=True, facts={})
    parts = assemble(recipe, len(material.tokenizer))
    return Workflow(recipe, material, parts, opened, console, None if start is None else Run(start)), console


def trained(console: Silent) -> list[str]:
    begun = [line for line in console.lines if "parameters train" in line]
    assert all(any(f", {word}, " in line for word in ("fp32", "bf16", "fp16")) for line in begun)
    return [line.split(":")[0] for line in begun]


def copy_of(run: Path, tmp_path: Path, *missing: str) -> Path:
    shutil.copytree(run, tmp_path / "copy")
    for stage in missing:
        (tmp_path / f"copy/weights/{stage}.safetensors").unlink()
    return tmp_path / "copy"


def test_finished_stages_are_not_trained_again(tiny: Any, tiny_run: Path, tmp_path: Path) -> None:
    run = copy_of(tiny_run, tmp_path, "finetune2")
    flow, console = workflow(tiny, run)
    flow.train()
    assert trained(console) == ["finetune2"]
    assert [line.split(":")[0] for line in console.lines if "finished before" in line] == list(STAGES[:3])
    once, again = (load_file(folder / "weights/finetune2.safetensors") for folder in (tiny_run, run))
    assert [name for name in once if not torch.equal(once[name], again[name])] == []


def test_stages_without_epochs_are_left_out(tiny: Any, tmp_path: Path) -> None:
    flow, console = workflow(tiny, tmp_path / "run", "denoise.epochs=0", "pretrain.epochs=0", "finetune2.epochs=0")
    flow.train()
    assert trained(console) == ["finetune1"]
    assert [path.stem for path in (tmp_path / "run/weights").iterdir()] == ["finetune1"]
    assert list((tmp_path / "run/checkpoints").iterdir()) == []


def test_a_start_gives_text_stage_and_pretraining_but_no_fine_tuning(tiny: Any, tiny_run: Path, tmp_path: Path) -> None:
    flow, console = workflow(tiny, tmp_path / "run", start=tiny_run)
    flow.train()
    assert trained(console) == ["finetune1", "finetune2"]
    assert sorted(path.stem for path in (tmp_path / "run/weights").iterdir()) == ["finetune1", "finetune2"]


def test_text_features_are_computed_only_for_a_pre_training_that_is_still_to_do(
    tiny: Any, tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    compute = Parts.text_features
    monkeypatch.setattr(Parts, "text_features", lambda *a, **k: calls.append(1) or compute(*a, **k))
    flow, _ = workflow(tiny, tmp_path / "run", start=tiny_run)
    flow.train()
    assert calls == []
    flow, _ = workflow(tiny, copy_of(tiny_run, tmp_path, "pretrain"))
    flow.train(("denoise", "pretrain"))
    assert calls == [1]
    assert not (tmp_path / "copy" / TEXT_FEATURES).exists(), "it has served its purpose"


def test_a_start_of_other_sizes_is_refused(tiny: Any, tiny_run: Path, tmp_path: Path) -> None:
    flow, _ = workflow(tiny, tmp_path / "run", "temporal.mlp_size=44", start=tiny_run)
    with pytest.raises(ModelError, match="44"):
        flow.train()


def test_one_stage_hands_its_weights_to_the_next(tiny_run: Path) -> None:
    """Below the mapper, finetune1 leaves everything as pretraining left it."""
    before = load_file(tiny_run / "weights/pretrain.safetensors")
    after = load_file(tiny_run / "weights/finetune1.safetensors")
    shared = [name for name in before if name in after]
    assert len(shared) > 40
    assert [name for name in shared if not torch.equal(before[name], after[name])] == []
    last = load_file(tiny_run / "weights/finetune2.safetensors")
    assert any(not torch.equal(before[name], last[name]) for name in shared)


def test_a_run_holds_all_that_its_model_needs(tiny: Any, tmp_path: Path) -> None:
    workflow(tiny, tmp_path / "run")
    names = {str(path.relative_to(tmp_path / "run")) for path in (tmp_path / "run").rglob("*") if path.is_file()}
    tokenizer = {"tokenizer/sentencepiece.bpe.model", "tokenizer/tokenizer.json"}
    assert names == {"recipe.toml", "run.json", "pseudo_glosses.json", *tokenizer}


def test_a_run_is_reopened_only_with_its_own_recipe_and_sentences(tiny: Any, tmp_path: Path) -> None:
    recipe = load_recipe(tiny.recipe)
    material = gather(recipe, tiny.corpus)
    start_run(tmp_path / "run", recipe, material, resume=False, facts={"start": None})
    before = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}
    start_run(tmp_path / "run", recipe, material, resume=True, facts={"start": None})
    with pytest.raises(RunError, match="holds a run already"):
        start_run(tmp_path / "run", recipe, material, resume=False, facts={})
    with pytest.raises(RunError, match="another recipe"):
        start_run(tmp_path / "run", load_recipe(tiny.recipe, ["seed=1"]), material, resume=True, facts={})
    moved = load_recipe(tiny.recipe, ["data.num_workers=1", "training.checkpoint_minutes=3", "data.cache_megabytes=5"])
    start_run(tmp_path / "run", moved, material, resume=True, facts={})  # no number depends on these
    with pytest.raises(RunError, match=r"data\.stride: 3, now 2; pretrain\.epochs: 1, now 9"):
        changed = load_recipe(tiny.recipe, ["data.stride=2", "pretrain.epochs=9", "data.num_workers=1"])
        start_run(tmp_path / "run", changed, material, resume=True, facts={})
    other = replace(material, glosses=replace(material.glosses, counts={}))
    with pytest.raises(RunError, match="other sentences or pseudo-glosses"):
        start_run(tmp_path / "run", recipe, other, resume=True, facts={})
    assert {path: path.read_bytes() for path in before} == before


def test_segment_features_are_the_hierarchy_s_of_each_clip_alone(tiny: Any) -> None:
    recipe = load_recipe(tiny.recipe)
    material = gather(recipe, tiny.corpus)
    hierarchy = assemble(recipe, len(material.tokenizer)).translation().hierarchy
    loader = material.clip_loader("dev", recipe.finetune1)
    assert loader is not None
    hierarchy.train()
    found = segment_features(hierarchy, loader, torch.device("cpu"), Silent(), "dev")
    assert list(found) == [clip for batch in loader for clip in batch.ids]
    hierarchy.eval()
    for batch in loader:
        for clip, frames in zip(batch.ids, batch.frames.split(batch.lengths.tolist()), strict=True):
            alone = hierarchy.segments(frames, torch.tensor([len(frames)]))
            assert found[clip].shape == (-(-len(frames) // 2), 32)
            torch.testing.assert_close(found[clip], alone.values[0].detach(), atol=1e-5, rtol=1e-4)


def test_a_stage_that_has_not_finished_is_no_start(tiny_run: Path, tmp_path: Path) -> None:
    require(Run(tiny_run), "pretrain")
    with pytest.raises(RunError, match="stage pretrain has not finished"):
        require(Run(tmp_path), "pretrain")


def test_a_second_text_encoder_is_made_only_where_features_depend_on_the_batch(
    tiny: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    for name in ("text_features", "keep_text_encoder"):
        real = getattr(Parts, name)
        monkeypatch.setattr(Parts, name, lambda *a, name=name, real=real, **k: calls.append(name) or real(*a, **k))
    weights = {}
    for average_padding in ("false", "true"):
        run = tmp_path / average_padding
        for _ in range(2):  # the second time it is finished
            flow, _ = workflow(tiny, run, f"pretrain.average_padding={average_padding}", "finetune2.epochs=0")
            flow.train(("denoise", "pretrain"))
            assert flow.parts.text_encoder is None
        weights[average_padding] = load_file(run / "weights/pretrain.safetensors")
    assert calls == ["text_features", "keep_text_encoder"]
    assert weights["true"].keys() == weights["false"].keys()
    assert not torch.equal(weights["true"]["token"], weights["false"]["token"])


def test_a_text_encoder_is_the_same_after_a_break(tiny: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = ("denoise.epochs=1", "pretrain.epochs=2", "pretrain.average_padding=true")
    for name in ("whole", "broken"):
        flow, _ = workflow(tiny, tmp_path / name, *settings)
        if name == "broken":
            with monkeypatch.context() as patched, pytest.raises(RuntimeError, match="a power cut"):
                patched.setattr(Run, "log", power_cut(Run.log))
                flow.train(("denoise", "pretrain"))
            flow, _ = workflow(tiny, tmp_path / name, *settings)
        flow.train(("denoise", "pretrain"))
    whole, broken = (load_file(tmp_path / name / "weights/pretrain.safetensors") for name in ("whole", "broken"))
    assert [name for name in whole if not torch.equal(whole[name], broken[name])] == []


def power_cut(log: Callable[..., None]) -> Callable[..., None]:
    """`Run.log` that breaks off in the second epoch of pre-training."""

    def cut(run: Run, record: dict[str, Any]) -> None:
        if (record["stage"], record["kind"], record["epoch"]) == ("pretrain", "step", 1):
            raise RuntimeError("a power cut")
        log(run, record)

    return cut
