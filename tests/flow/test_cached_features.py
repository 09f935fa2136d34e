"""Frame features computed once on the real command line, and a model trained from them that still takes video."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.flow.nursery import CACHED, options

from glossfree.corpora.manifest import Manifest
from glossfree.pipeline.assemble import adapt_vision, assemble, visual_encoder
from glossfree.pipeline.material import gather, sampling_of, view_of
from glossfree.pipeline.weights import load_backbone
from glossfree.recipe.files import load_recipe
from glossfree.video.batch import collate
from glossfree.video.dataset import ClipDataset
from glossfree.video.pack import read_clip, write_clip


def train(tiny: Any, corpus: Path, run: Path, weights: Path, call: Any) -> Any:
    given = ("--recipe", tiny.recipe, "--corpus", corpus, "--run", run)
    return call("train", *given, *options(*CACHED, f"vision.weights={weights}"))


def store(corpus: Path) -> Path:
    (folder,) = (corpus / "features").iterdir()
    return folder


@pytest.mark.slow
def test_the_whole_path_from_features_to_a_sentence(
    tiny: Any, tiny_run: Path, corpus: Path, tmp_path: Path, call: Any
) -> None:
    made = call("features", corpus, "--encoder", tiny_run, "--json")
    assert made.code == 0, made.err
    report = json.loads(made.out)
    assert (report["written"], report["kept"], report["bad"], report["width"]) == (21, 0, [], 24)
    again = json.loads(call("features", corpus, "--encoder", tiny_run, "--json").out)
    assert (again["written"], again["kept"]) == (0, 21)

    for video in (corpus / "clips/train").iterdir():  # nothing of training opens a video any more
        video.rename(video.with_suffix(".away"))
    moved = {path: path.with_suffix(".mp4") for path in (corpus / "clips/train").iterdir()}
    sizes = {new: old.stat().st_size for old, new in moved.items()}
    for path, size in sizes.items():
        path.write_bytes(bytes(size))
    run = tmp_path / "run"
    trained = train(tiny, corpus, run, tiny_run, call)
    assert trained.code == 0, trained.err
    assert (run / "weights/finetune2.safetensors").is_file()

    scored = call("evaluate", run, "--split", "test", "--json")  # from video
    assert scored.code == 0, scored.err
    recipe = load_recipe(run / "recipe.toml")
    material = gather(recipe, corpus)
    before = load_file(run / "weights/pretrain.safetensors")
    after = load_file(run / "weights/finetune2.safetensors")
    backbone = [name for name in after if name.startswith("hierarchy.visual.backbone.")]
    assert backbone and not any("lora" in name for name in backbone)
    assert all(torch.equal(before[name], after[name]) for name in backbone), "frozen"
    moved_names = ("hierarchy.visual.projection.weight", "hierarchy.temporal.output.weight")
    assert all(not torch.equal(before[name], after[name]) for name in moved_names), "what lies above trains"

    model = tmp_path / "model"
    assert call("export", run, model).code == 0
    clip = material.manifest.split("test")[0]
    said = call("translate", model, corpus / clip.file).out.strip()
    predictions = [json.loads(line) for line in (run / "predictions.test.jsonl").read_text().splitlines()]
    assert said == predictions[0]["hypothesis"]
    page = call("report", run)
    assert page.code == 0, page.err
    assert "adapters were not trained" in (run / "report.html").read_text(encoding="utf-8")


def test_what_is_measured_of_a_run_is_read_from_its_features(
    tiny: Any, tiny_run: Path, corpus: Path, tmp_path: Path, call: Any
) -> None:
    """While they are all there, videos need not be; without them the numbers are those of the videos."""
    assert call("features", corpus, "--encoder", tiny_run).code == 0
    run, videos = tmp_path / "run", corpus / "clips/test"
    assert train(tiny, corpus, run, tiny_run, call).code == 0
    (corpus / "features").rename(corpus / "elsewhere")
    verbs = (("locate", run, "--split", "dev"), ("retrieve", run, "--split", "dev"), ("evaluate", run))
    of_videos = [json.loads(call(*verb, "--json").out) for verb in verbs]
    (corpus / "elsewhere").rename(corpus / "features")
    sizes = {path: path.stat().st_size for split in ("dev", "test") for path in (corpus / "clips" / split).iterdir()}
    for path, size in sizes.items():
        path.write_bytes(bytes(size))
    of_features = [json.loads(call(*verb, "--json").out) for verb in verbs]
    for measure in ("peak inside the sign", "IoU", "start error, s"):
        numbers = [each[0]["signs"]["overall"]["values"][measure]["run"] for each in (of_videos, of_features)]
        assert numbers[0] == pytest.approx(numbers[1])
    assert of_videos[0]["sets"]["run"] == pytest.approx(of_features[0]["sets"]["run"], rel=1e-3)
    assert of_videos[1:] == of_features[1:]
    next(videos.iterdir()).write_bytes(b"packed again")  # stale features are not read
    assert call("evaluate", run).code == 2


def test_features_are_those_of_the_frames_without_augmentation(
    tiny: Any, tiny_run: Path, corpus: Path, call: Any
) -> None:
    """Also of a run with adapters: they come merged. And so do all levels above, from rows as from frames."""
    assert call("features", corpus, "--encoder", tiny_run).code == 0
    recipe = load_recipe(tiny.recipe, [*CACHED, f"vision.weights={tiny_run}"])
    hierarchy = assemble(recipe, 60).hierarchy.eval()
    load_backbone(hierarchy.visual.backbone, recipe.vision, tiny_run)
    manifest = Manifest.load(corpus)
    clips = manifest.split("dev")
    data = recipe.data
    frames = ClipDataset(corpus, clips, view_of(recipe), sampling=sampling_of(recipe))
    batch = collate([frames[index] for index in range(len(clips))])
    rows = torch.cat(
        [load_file(store(corpus) / f"dev/{clip.id}.safetensors")["rows"][:: data.stride] for clip in clips]
    )
    with torch.no_grad():
        torch.testing.assert_close(rows, hierarchy.visual.look(batch.frames), rtol=0, atol=1e-3)
        seen = hierarchy(batch.frames, batch.lengths)
        cached = hierarchy(rows, batch.lengths, "backbone_features")
    for level in ("frame", "segment", "video"):
        a, b = getattr(seen, level), getattr(cached, level)
        torch.testing.assert_close(b.pack(), a.pack(), rtol=0, atol=1e-3)
    trained = load_recipe(tiny_run / "recipe.toml")
    visual = visual_encoder(trained)
    adapt_vision(visual, trained)
    tensors = load_file(tiny_run / "weights/finetune2.safetensors")
    prefix = "hierarchy.visual.backbone."
    visual.backbone.load_state_dict(
        {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}
    )
    with torch.no_grad():
        torch.testing.assert_close(rows, visual.eval().look(batch.frames), rtol=0, atol=1e-3)


def spoil(corpus: Path, clip: Any, how: str) -> None:
    path = store(corpus) / f"{clip.split}/{clip.id}.safetensors"
    if how == "missing":
        path.unlink()
    elif how == "cut":
        path.write_bytes(path.read_bytes()[:-5])
    elif how == "packed anew":
        frames = read_clip(corpus / clip.file)
        write_clip(corpus / clip.file, np.ascontiguousarray(frames[:, :, ::-1] // 2), clip.fps)
    else:
        save_file({"rows": torch.zeros(clip.num_frames, 24)}, path, metadata={"made_from": "another clip"})


@pytest.mark.parametrize("how", ["missing", "cut", "packed anew", "of another clip"])
def test_missing_or_stale_features_are_refused_by_name_and_made_again(
    tiny: Any, tiny_run: Path, corpus: Path, tmp_path: Path, call: Any, how: str
) -> None:
    assert call("features", corpus, "--encoder", tiny_run).code == 0
    clip = Manifest.load(corpus).split("train")[3]
    spoil(corpus, clip, how)
    refused = train(tiny, corpus, tmp_path / "run", tiny_run, call)
    assert (refused.code, refused.out) == (2, "")
    last = refused.err.splitlines()[-1]
    assert clip.id in last and f"glossfree features {corpus} --encoder {tiny_run}" in last
    assert not (tmp_path / "run").exists()
    mended = json.loads(call("features", corpus, "--encoder", tiny_run, "--json").out)
    assert (mended["written"], mended["kept"]) == (1, 20)


def test_features_of_other_weights_are_refused(
    tiny: Any, tiny_run: Path, corpus: Path, tmp_path: Path, call: Any
) -> None:
    assert call("features", corpus, "--encoder", tiny_run).code == 0
    other = tmp_path / "other"
    shutil.copytree(tiny_run, other)
    for path in (other / "weights").iterdir():
        tensors = load_file(path)
        name = (
            next(n for n in tensors if n.endswith("patch_embeddings.projection.bias"))
            if "finetune2" in path.name
            else ""
        )
        if name:
            save_file({**tensors, name: tensors[name] + 1}, path)
    refused = train(tiny, corpus, tmp_path / "run", other, call)
    assert refused.code == 2 and "no features of these weights; other weights or sizes have some" in refused.err
    unnamed = call("train", *tiny.options, "--run", tmp_path / "run", *options(*CACHED))
    assert unnamed.code == 2 and "names no weights" in unnamed.err


def test_what_cannot_be_with_cached_features_is_said_at_once(tiny: Any, tmp_path: Path, call: Any) -> None:
    refused = call("train", *tiny.options, "--run", tmp_path / "run", *options("vision.features=cached"))
    assert refused.code == 2
    for word in ('vision.train = "none"', "pretrain.augment", "finetune2.augment"):
        assert word in refused.err
    assert "finetune1" not in refused.err  # there nothing is augmented


def test_a_clip_that_cannot_be_read_is_named_and_the_rest_is_kept(
    tiny: Any, tiny_run: Path, corpus: Path, call: Any
) -> None:
    clip = Manifest.load(corpus).split("train")[5]
    (corpus / clip.file).write_bytes(b"nothing")
    for workers in (0, 2):
        shutil.rmtree(corpus / "features", ignore_errors=True)
        made = call(
            "features", corpus, "--encoder", tiny_run, "--recipe", tiny_run / "recipe.toml",
            *options(f"data.num_workers={workers}"),
        )  # fmt: skip
        assert made.code == 1
        assert f"clip {clip.id}" in made.out and "20 clips written" in made.out
