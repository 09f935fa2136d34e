"""An epoch of pre-training from cached frame features against one from video, on the demo's corpus and sizes.

Both train the demo's recipe with a frozen backbone and no augmentation, alternately, in one run with all cores: the
same batches and the same numbers, but for where the frames come from. Takes about two minutes.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import torch

from benchmarks.full_size import plan_of
from benchmarks.timing import machine, table
from glossfree.cli.features import features
from glossfree.console import Silent
from glossfree.corpora.manifest import unique_texts
from glossfree.models.weights import state
from glossfree.objectives.base import Inputs
from glossfree.pipeline.assemble import assemble, prepare, training_stage, visual_encoder
from glossfree.pipeline.features import stored_features
from glossfree.pipeline.material import gather
from glossfree.pipeline.text_features import encode
from glossfree.pipeline.weights import BACKBONE, load_backbone
from glossfree.recipe.files import load_recipe
from glossfree.recipe.schema import Recipe
from glossfree.recipe.values import dump_recipe
from glossfree.text.corpus import write_pseudo_glosses
from glossfree.training.loop import train
from glossfree.training.run import Run, save_tensors
from glossfree.video.corpus import prepare_corpus
from glossfree.video.pack import Packing

CLIPS, EPOCHS, ROUNDS = 400, 1, 3
FROZEN = ("vision.train=none", "pretrain.augment=false", "finetune1.augment=false", "finetune2.augment=false",
          "data.cache_megabytes=0")  # fmt: skip


def run() -> str:
    """Measure everything -> a table in Markdown."""
    with tempfile.TemporaryDirectory() as name:
        return _measure(Path(name))


def _measure(folder: Path) -> str:
    corpus, encoder = folder / "corpus", folder / "encoder"
    video = load_recipe("demo", FROZEN)
    counts = {"train": CLIPS, "dev": 20, "test": 20}
    prepare_corpus("wetter", corpus, Packing(video.data.frame_size), counts=counts, console=Silent())
    write_pseudo_glosses(corpus, console=Silent())
    _untrained_run(video, encoder)
    written = features(corpus, str(encoder), console=Silent())
    cached = load_recipe("demo", [*FROZEN, "vision.features=cached", f"vision.weights={encoder}"])
    seconds: dict[str, list[float]] = {"video": [], "cached": []}
    for number in range(ROUNDS + 1):
        for kind, recipe in (("video", video), ("cached", cached)):
            taken = _epoch(recipe, corpus, encoder, folder / f"{kind}{number}")
            if number:  # the first round warms up
                seconds[kind].append(taken)
    middle = {kind: sorted(values)[len(values) // 2] for kind, values in seconds.items()}
    ratio = sorted(a / b for a, b in zip(seconds["video"], seconds["cached"], strict=True))[ROUNDS // 2]
    rows = [
        ["from video, decoded and seen in each epoch", f"{middle['video']:.1f}"],
        ["from cached features", f"{middle['cached']:.1f}"],
    ]
    text = table([f"pre-training, {CLIPS} clips at {video.data.frame_size} pixels", "seconds an epoch"], rows)
    note = f"Video over features: {ratio:.1f} times (median of {ROUNDS} pairs)."
    speed = f"Writing them: {written.frames_per_second:,.0f} frames/s."
    return f"{text}\n\n{note} {speed} The demo's small convolutional net; a ViT-S/14 costs much more. {machine()}."


def _untrained_run(recipe: Recipe, folder: Path) -> None:
    """A run folder with a backbone of random weights: how fast it is does not depend on what it knows."""
    run = Run(folder)
    run.start(dump_recipe(recipe), {}, resume=False)
    backbone = visual_encoder(recipe).backbone
    save_tensors(run.weights("pretrain"), {f"{BACKBONE}{name}": tensor for name, tensor in state(backbone).items()})


def _epoch(recipe: Recipe, corpus: Path, encoder: Path, folder: Path) -> float:
    """Seconds of the training steps of one epoch, without validation."""
    material = gather(recipe, corpus)
    model = assemble(recipe, len(material.tokenizer))
    load_backbone(model.hierarchy.visual.backbone, recipe.vision, encoder)
    if recipe.vision.features == "cached":
        material = replace(material, store=stored_features(material, model, {}))
    sentences = unique_texts(material.clips("train"))
    inputs = Inputs(
        vectors=material.vectors,
        document_frequencies=material.document_frequencies(),
        text_features=encode(model.hierarchy.language, sentences, material.token_ids(sentences)),
    )
    pretrain = recipe.stage("pretrain")
    prepare(model, recipe, pretrain)
    stage = training_stage(model, recipe, pretrain, inputs)
    loader = material.loader("train", pretrain)
    assert loader is not None
    plan = replace(plan_of(recipe, "pretrain"), epochs=EPOCHS)
    run = Run(folder)
    run.start(dump_recipe(recipe), {}, resume=False)
    torch.manual_seed(0)
    return train(stage, loader, None, plan, run, Silent()).seconds / EPOCHS
