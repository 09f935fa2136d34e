"""A second stream through the real command line: trained, stopped and resumed, exported, given videos with keypoints.

The corpus is drawn, with the avatar's exact keypoints.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from safetensors.torch import load_file
from tests.flow.test_methods import small
from tests.unit.video.test_keypoints import write_pose
from torch import Tensor

from glossfree.corpora.manifest import Manifest
from glossfree.errors import CorpusError
from glossfree.objectives.base import Inputs
from glossfree.pipeline.assemble import assemble, training_stage
from glossfree.pipeline.material import gather, view_of
from glossfree.recipe.files import load_recipe
from glossfree.recipe.schema import Recipe
from glossfree.training.step import backward
from glossfree.video.batch import ClipBatch, collate
from glossfree.video.dataset import ClipDataset, clip_rng
from glossfree.video.frames import draw_affine, warp_points
from glossfree.video.keypoints import KeypointStore
from glossfree.video.timeline import Timeline

METHOD = "ts-slt-phoenix14t"
CONSTANT = (
    "vision.train=none",
    "temporal.dropout=0",
    "temporal.drop_path=0",
    "language.dropout=0",
)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory, call: Any) -> Path:
    folder = tmp_path_factory.mktemp("keypoints") / "corpus"
    counts = ("--train", 7, "--dev", 3, "--test", 2, "--frame-size", 28, "--workers", 1)
    assert call("prepare", "wetter", *counts, "--out", folder, "--poses").code == 0
    return folder


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recipe") / "small.toml"
    path.write_text(small(METHOD), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def run(corpus: Path, recipe: Path, tmp_path_factory: pytest.TempPathFactory, call: Any) -> Path:
    folder = tmp_path_factory.mktemp("run") / "run"
    assert call("train", "--recipe", recipe, "--corpus", corpus, "--run", folder).code == 0
    return folder


def batches(settings: Recipe, corpus: Path, split: str = "train", **options: Any) -> Any:
    loader = gather(settings, corpus).clip_loader(split, 3, **options)
    assert loader is not None
    return loader


def test_a_run_that_was_stopped_is_the_same_bit_for_bit(
    corpus: Path, recipe: Path, run: Path, call: Any, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    command = ("train", "--recipe", recipe, "--corpus", corpus, "--run", other)
    assert call(*command, "--until", "s2g").code == 0
    assert call(*command, "--resume").code == 0
    for stage in ("s2g", "joint"):
        tensors, again = (load_file(next(each.rglob(f"{stage}.safetensors"))) for each in (run, other))
        assert tensors.keys() == again.keys() and all(torch.equal(tensors[key], again[key]) for key in tensors)
        assert any(key.startswith("hierarchy.keypoints.") for key in tensors)
        assert {"objectives.gloss_ctc.video_head.weight", "objectives.gloss_ctc.head.weight"} < tensors.keys()


@pytest.mark.parametrize("settings", [(), ("data.stride=2", "data.max_frames=5"), ("data.fps=5",)])
def test_keypoints_have_the_frames_of_the_video(settings: tuple[str, ...], corpus: Path, recipe: Path) -> None:
    resolved = load_recipe(recipe, settings)
    loader = batches(resolved, corpus, training=True, augment=True)
    loader.set_epoch(1)
    manifest, view = Manifest.load(corpus), view_of(resolved)
    clips, store = {clip.id: clip for clip in manifest}, KeypointStore.of(corpus)
    seen = 0
    for batch in loader:
        for name, rows in zip(batch.ids, batch.keypoints.split(batch.lengths.tolist()), strict=True):
            rng = clip_rng(resolved.seed, 1, name)
            sampling = loader.clips.sampling
            indices = sampling.indices(Timeline.of(clips[name]), rng)
            expected = warp_points(store.read(clips[name], indices).numpy(), draw_affine(view, rng), 28, 24)
            assert torch.equal(rows, torch.from_numpy(expected))
            seen += 1
    assert seen == 7


def test_recipes_without_keypoints_load_none(corpus: Path, recipe: Path) -> None:
    material = gather(load_recipe("mmtlb-wetter", ["data.frame_size=28", "data.crop_size=24"]), corpus)
    loader = material.clip_loader("train", 3)
    assert loader is not None and material.keypoints is None and next(iter(loader)).keypoints is None


def test_a_step_in_several_batches_has_the_gradients_of_one(corpus: Path, recipe: Path) -> None:
    resolved = load_recipe(recipe, CONSTANT)
    material = gather(resolved, corpus)
    stage_config = resolved.stage("s2g")
    dataset = batches(resolved, corpus, needs=stage_config.needs).clips
    assert isinstance(dataset, ClipDataset) and material.gloss_vocabulary is not None
    clips = [dataset[index] for index in range(5)]

    def gradients(parts: Sequence[Sequence[int]]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        model = assemble(resolved, len(material.tokenizer))
        inputs = Inputs(glosses=tuple(material.gloss_vocabulary.inventory))  # type: ignore[union-attr]
        stage = training_stage(model, resolved, stage_config, inputs)
        stage.eval()  # BatchNorm normalises over the batch that is computed
        steps = [collate([clips[index] for index in part]) for part in parts]
        losses = backward(stage, steps, Accelerator(cpu=True))
        return losses, {name: p.grad for name, p in stage.trained().items() if p.grad is not None}

    (losses, whole), (again, split) = gradients([range(5)]), gradients([[0, 3], [1], [2, 4]])
    assert torch.allclose(losses["loss"], again["loss"], rtol=1e-5)
    assert whole.keys() == split.keys() and any("keypoints" in name for name in whole)
    for name, gradient in whole.items():
        assert gradient.isfinite().all() and torch.allclose(gradient, split[name], rtol=1e-3, atol=1e-5), name


def test_every_gradient_is_finite_at_the_start_in_training(corpus: Path, recipe: Path) -> None:
    resolved = load_recipe(recipe)
    material, config = gather(resolved, corpus), resolved.stage("s2g")
    model = assemble(resolved, len(material.tokenizer))
    assert material.gloss_vocabulary is not None
    stage = training_stage(model, resolved, config, Inputs(glosses=tuple(material.gloss_vocabulary.inventory)))
    stage.set_training()
    batch = next(iter(batches(resolved, corpus, needs=config.needs)))
    assert isinstance(batch, ClipBatch)
    stage(batch)["loss"].backward()
    trained = stage.trained()
    keypoints = [name for name in trained if ".keypoints." in name]
    assert keypoints and all(trained[name].grad is not None for name in keypoints)
    assert all(p.grad.isfinite().all() for p in trained.values() if p.grad is not None)
    with pytest.raises(ValueError, match="reads keypoints"):
        stage(replace(batch, keypoints=None))


def translated(call: Any, *arguments: object) -> dict[str, Any]:
    said = call("translate", *arguments, "--json")
    assert said.code == 0, said.err
    result: dict[str, Any] = json.loads(said.out)
    return result


def test_a_video_is_translated_with_its_keypoints_and_refused_without(
    corpus: Path, run: Path, call: Any, tmp_path: Path
) -> None:
    model, manifest = tmp_path / "model", Manifest.load(corpus)
    assert call("export", run, model).code == 0
    clip = manifest.split("test")[0]
    expected = translated(call, model, corpus / clip.file)
    alone = tmp_path / "monday.mp4"
    shutil.copyfile(corpus / clip.file, alone)
    refused = call("translate", model, alone)
    assert refused.code == 2 and "reads keypoints" in refused.err and "--poses" in refused.err

    profile = json.loads((model / "model.json").read_text(encoding="utf-8"))["training"]
    store = KeypointStore.of(corpus)
    assert tuple(profile["joints"]) == store.joints
    points = store.read(clip).numpy() * (28, 28, 1)
    file = write_pose_of(tmp_path / "points.pose", points, clip.fps, store.joints)
    assert translated(call, model, alone, "--poses", file)["score"] == pytest.approx(expected["score"], abs=1e-4)
    file.rename(alone.with_suffix(".pose"))
    assert translated(call, model, alone)["text"] == expected["text"]
    part = translated(call, model, alone, "--start", 0.5)
    assert part["num_frames"] == clip.num_frames - 4 and part["score"] != expected["score"]

    write_pose_of(alone.with_suffix(".pose"), points, clip.fps, [*store.joints[1:], store.joints[0]])
    assert "joints are not the 55 of training" in call("translate", model, alone).err
    write_pose_of(alone.with_suffix(".pose"), points[: len(points) // 2], clip.fps, store.joints)
    assert "frames at 8/s" in call("translate", model, alone).err


def write_pose_of(path: Path, points: np.ndarray, fps: float, joints: Sequence[str]) -> Path:
    """Points (T, J, 3) in pixels of 28 x 28 and confidence -> a file."""
    return write_pose(path, points, fps, (28, 28), {"avatar": [joint.removeprefix("avatar.") for joint in joints]})


def test_what_a_corpus_lacks_is_said_before_training(corpus: Path, recipe: Path, call: Any, tmp_path: Path) -> None:
    command = ("train", "--recipe", recipe, "--run", tmp_path / "run")
    bare = tmp_path / "bare"
    shutil.copytree(corpus, bare, ignore=shutil.ignore_patterns("poses"))
    said = call(*command, "--corpus", bare)
    assert said.code == 2 and "no keypoints" in said.err and "--poses" in said.err
    said = call(*command, "--corpus", corpus, "--set", "keypoints.num_joints=54")
    assert said.code == 2 and "--set keypoints.num_joints=55" in said.err
    first = Manifest.load(corpus).split("train")[0]
    shutil.copytree(corpus / "poses", bare / "poses")
    KeypointStore.of(bare).path(first).unlink()
    with pytest.raises(CorpusError, match=rf"1 clips have no keypoints \({first.id}\)"):
        batches(load_recipe(recipe), bare)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        (("keypoints.kind=none",), "s2g.train names keypoints"),
        (("keypoints.kind=none",), 'gloss_ctc looks at keypoints: set keypoints.kind = "joints"'),
        (('s2g.train=["temporal"]', 'joint.train=["temporal"]'), "no stage names keypoints in its train"),
        (("joint.batches=segments", "joint.augment=false"), "needs temporal and keypoints left out"),
    ],
)
def test_recipes_that_contradict_themselves_are_refused(
    settings: tuple[str, ...], problem: str, recipe: Path, call: Any
) -> None:
    overrides = [argument for each in settings for argument in ("--set", each)]
    said = call("recipe", recipe, *overrides)
    assert said.code == 2 and problem in said.err
