"""Feature files on the real command line: killed at any moment, a full disk, clips that cannot be read, wrong ones."""

from __future__ import annotations

import json
import shlex
import shutil
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from tests.flow.nursery import CACHED, Moment, Nursery, options
from transformers import Dinov2Config, Dinov2Model

from glossfree.corpora.manifest import Manifest


def command(tiny: Any, corpus: Path, run: Path, weights: Path, *overrides: str) -> list[object]:
    given = ("--recipe", tiny.recipe, "--corpus", corpus, "--run", run)
    return ["train", *given, *options(*CACHED, f"vision.weights={weights}", *overrides)]


def files(corpus: Path) -> dict[str, bytes]:
    """Everything below features/, hidden files too."""
    root = corpus / "features"
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_killed_at_any_moment_it_goes_on_to_the_same_files(tiny_run: Path, corpus: Path, nursery: Nursery) -> None:
    """Killed again and again, each time while another clip is written; what is there is never half a file."""
    ids = [clip.id for clip in Manifest.load(corpus).clips]
    make = ("features", corpus, "--encoder", tiny_run)
    assert nursery.run(*make) == 0
    whole = files(corpus)
    assert len(whole) == len(ids) + 1
    shutil.rmtree(corpus / "features")
    phases = ("before", "half", "written", "renamed")
    for number, clip in enumerate(ids[::2]):
        kill = Moment(f"{clip}.safetensors", phases[number % len(phases)])
        assert nursery.run(*make, kill=kill) == -signal.SIGKILL
        found = {name: data for name, data in files(corpus).items() if not Path(name).name.startswith(".")}
        assert {name: whole[name] for name in found} == found
    assert nursery.run(*make) == 0
    assert files(corpus) == whole


def test_a_file_that_does_not_fit_ends_it_in_one_line(tiny_run: Path, corpus: Path, nursery: Nursery) -> None:
    make = ("features", corpus, "--encoder", tiny_run)
    assert nursery.run(*make, largest=2000) == 2
    line = nursery.err.splitlines()[-1]
    assert line.startswith(f"glossfree: {corpus}/features/") and "cannot be written (" in line and "space" in line
    assert "Traceback" not in nursery.err and not [name for name in files(corpus) if name.endswith(".tmp")]
    assert nursery.run(*make) == 0


def test_the_command_that_is_named_makes_what_is_missing(
    tiny: Any, tiny_run: Path, corpus: Path, tmp_path: Path, call: Any
) -> None:
    """Also where the crop is not the encoder's own, and where the encoder is DINOv2 of other sizes than the paper's."""
    assert call("features", corpus, "--encoder", tiny_run).code == 0  # of the whole crop: no use for a smaller one
    torch.manual_seed(5)
    sizes = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2, "patch_size": 8, "image_size": 24}
    dinov2 = tmp_path / "a folder"  # with a space in its name
    Dinov2Model(Dinov2Config(**sizes)).save_pretrained(dinov2)
    for number, (weights, overrides) in enumerate(((tiny_run, ["data.crop_size=16"]), (dinov2, []))):
        train = command(tiny, corpus, tmp_path / f"run{number}", weights, *overrides)
        refused = call(*train)
        assert (refused.code, refused.out) == (2, "")
        told = refused.err.splitlines()[-1].partition("make them: glossfree ")[2]
        made = call(*shlex.split(told))
        assert made.code == 0, made.err
        trained = call(*train)
        assert trained.code == 0, trained.err


def test_a_clip_that_cannot_be_read_may_be_left_out(
    tiny: Any, tiny_run: Path, corpus: Path, tmp_path: Path, call: Any
) -> None:
    clip = Manifest.load(corpus).split("train")[5]
    assert call("features", corpus, "--encoder", tiny_run).code == 0
    (corpus / clip.file).write_bytes(b"nothing")
    done = call("features", corpus, "--encoder", tiny_run)
    assert done.code == 1 and f"clip {clip.id}" in done.out
    refused = call(*command(tiny, corpus, tmp_path / "run", tiny_run))
    assert refused.code == 2 and f"1 clips could not be read ({clip.id})" in refused.err
    assert "glossfree prepare" in refused.err and not (tmp_path / "run").exists()
    trained = call(*command(tiny, corpus, tmp_path / "run", tiny_run, "data.on_bad_clip=skip"))
    assert trained.code == 0, trained.err
    skipped = json.loads((tmp_path / "run/skipped_clips.json").read_text())
    assert {stage: list(clips) for stage, clips in skipped.items()} == {
        stage: [clip.id] for stage in ("pretrain", "finetune1", "finetune2")
    }


def test_rows_of_another_width_are_refused(tiny: Any, tiny_run: Path, corpus: Path, tmp_path: Path, call: Any) -> None:
    assert call("features", corpus, "--encoder", tiny_run).code == 0
    clip = Manifest.load(corpus).split("dev")[2]
    (path,) = (corpus / "features").rglob(f"{clip.id}.safetensors")
    with safe_open(path, framework="pt") as file:
        metadata, rows = file.metadata(), file.get_tensor("rows")
    save_file({"rows": rows[:, :20].contiguous()}, path, metadata=metadata)
    refused = call(*command(tiny, corpus, tmp_path / "run", tiny_run))
    assert refused.code == 2 and clip.id in refused.err
    assert not (tmp_path / "run").exists(), "before anything is trained"


def test_a_start_with_another_backbone_is_refused(
    tiny: Any, tiny_run: Path, corpus: Path, tmp_path: Path, call: Any
) -> None:
    """Its weights would take the place of those that the features were made with."""
    start = tmp_path / "start"
    made = call("train", *tiny.options, "--until", "pretrain", "--run", start, *options("vision.train=all"))
    assert made.code == 0, made.err
    for encoder in (tiny_run, start):
        assert call("features", corpus, "--encoder", encoder).code == 0
    for encoder, code in ((tiny_run, 2), (start, 0)):
        run = tmp_path / f"from {encoder.name}"
        _, *rest = command(tiny, corpus, run, encoder)
        done = call("train", "--from", start, "--after", "pretrain", *rest)
        assert done.code == code, done.err
        if code:
            assert f"its backbone is not that of {tiny_run}" in done.err and not run.exists()


def test_trained_from_features_as_from_video_to_the_same_sentences(
    tiny: Any, corpus: Path, tmp_path: Path, call: Any
) -> None:
    """With BatchNorm in the backbone: frozen, it evaluates, whether its frames are seen now or were seen before."""
    encoder = tmp_path / "encoder"
    recipe = tmp_path / "convnet.toml"
    vision = 'vision = { kind = "convnet", hidden_size = 24, patch_size = 8, image_size = 24 }'
    recipe.write_text(f'base = "{tiny.recipe}"\n{vision}\n', encoding="utf-8")
    convnet = replace(tiny, recipe=recipe)
    assert call("train", *convnet.options, "--until", "pretrain", "--run", encoder).code == 0
    assert call("features", corpus, "--encoder", encoder).code == 0
    written = {}
    for kind in ("video", "cached"):
        run = tmp_path / kind
        trained = call(*command(convnet, corpus, run, encoder, f"vision.features={kind}"))
        assert trained.code == 0, trained.err
        assert call("evaluate", run, "--split", "test").code == 0
        written[kind] = [json.loads(line)["hypothesis"] for line in (run / "predictions.test.jsonl").open()]
        written[f"weights of {kind}"] = load_file(run / "weights/finetune2.safetensors")
    assert written["cached"] == written["video"]
    cached, video = written["weights of cached"], written["weights of video"]
    for name, tensor in video.items():
        if name.startswith("hierarchy.visual.backbone."):
            assert torch.equal(cached[name], tensor), name
    # all weights together: where a single gradient is rounding, Adam makes a step of it
    mine, theirs = (torch.cat([each[name].double().flatten() for name in video]) for each in (cached, video))
    assert float((mine - theirs).norm() / theirs.norm()) < 1e-3
