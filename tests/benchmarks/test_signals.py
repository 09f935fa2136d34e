"""What is measured while a recipe trains: right by hand, and without any effect on the training."""

from __future__ import annotations

import json
import math
import shutil
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import torch
from benchmarks.signals import gradients, measure, selection, spaces, spread
from tests.flow.nursery import CACHED

from benchmarks import signals
from glossfree.console import Silent
from glossfree.errors import CorpusError
from glossfree.objectives.base import Inputs
from glossfree.pipeline.assemble import assemble, prepare, training_stage
from glossfree.pipeline.material import gather
from glossfree.pipeline.stages import TrainingStage
from glossfree.pipeline.text_features import FrozenTextEncoder
from glossfree.recipe.files import load_recipe

EPOCHS = ("denoise.epochs=0", "pretrain.epochs=2", "finetune1.epochs=1", "finetune2.epochs=2")


def records(run: Path) -> list[dict[str, Any]]:
    """What training logs, without times."""
    lines = [json.loads(line) for line in (run / "steps.jsonl").read_text(encoding="utf-8").splitlines()]
    return [
        {name: value for name, value in line.items() if name not in ("seconds", "processor_seconds", "waited")}
        for line in lines
    ]


@pytest.fixture(scope="module")
def cached(tiny: Any, tiny_run: Path, call: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was measured, from cached features."""
    folder = tmp_path_factory.mktemp("signals")
    corpus = Path(shutil.copytree(tiny.corpus, folder / "corpus"))
    assert call("features", corpus, "--encoder", tiny_run).code == 0
    recipe = load_recipe(tiny.recipe, [*CACHED, *EPOCHS, f"vision.weights={tiny_run}"])
    measure(recipe, corpus, folder / "run", Silent())
    return folder / "run"


def test_no_number_of_the_training_changes(tiny: Any, call: Any, tmp_path: Path) -> None:
    overrides = [word for each in (*EPOCHS, "finetune1.epochs=0") for word in ("--set", each)]
    assert call("train", *tiny.options, "--run", tmp_path / "plain", *overrides).code == 0
    signals.main([*map(str, tiny.options), "--run", str(tmp_path / "measured"), *overrides])
    assert records(tmp_path / "plain") == records(tmp_path / "measured")
    for name in ("pretrain", "finetune2"):
        files = [tmp_path / run / f"weights/{name}.safetensors" for run in ("plain", "measured")]
        assert files[0].read_bytes() == files[1].read_bytes()


def test_each_epoch_has_a_record(cached: Path) -> None:
    found = json.loads((cached / "signals.json").read_text(encoding="utf-8"))
    assert [(each["stage"], each["epoch"]) for each in found] == [
        *(("pretrain", epoch) for epoch in (1, 2)),
        ("finetune1", 1),
        *(("finetune2", epoch) for epoch in (1, 2)),
    ]
    logged = [each["dev"] for each in records(cached) if each["kind"] == "epoch"]
    assert [each["dev"] for each in found] == logged
    first, last = found[0], found[-1]
    both = {"pseudo_gloss", "contrastive"}
    assert set(first["norms"]) == {"frames", "segments", "vision", "temporal", "language"}
    assert all(set(norms) == both for norms in first["norms"].values())
    assert first["norms"]["language"]["pseudo_gloss"] == 0 and first["cosines"]["language"] == {}
    assert [set(pair.split(", ")) for pair in first["cosines"]["segments"]] == [both]
    assert len(first["temperatures"]) == 3 and all(0.01 <= each <= 1 for each in first["temperatures"].values())
    assert set(first["spaces"]) == {"segments", "video", "contrastive, video", "contrastive, text"}
    assert set(first["retrieval"]["contrastive"]) == {"video to text", "text to video"}
    assert "bleu4" not in first and 0 <= last["bleu4"] <= 100
    text = (cached / "signals.md").read_text(encoding="utf-8")
    assert [line for line in text.splitlines() if line.startswith("## ")] == [
        "## pretrain",
        "## finetune1",
        "## finetune2",
    ]


def test_a_run_that_goes_on_keeps_its_records(cached: Path) -> None:
    before = (cached / "signals.json").read_text(encoding="utf-8")
    recipe = load_recipe(cached / "recipe.toml")
    corpus = Path(json.loads((cached / "run.json").read_text(encoding="utf-8"))["corpus"])
    measure(recipe, corpus, cached, Silent(), resume=True)
    assert (cached / "signals.json").read_text(encoding="utf-8") == before
    more = load_recipe(cached / "recipe.toml", ["finetune2.epochs=3"])
    measure(more, corpus, cached, Silent(), resume=True)
    kept = json.loads((cached / "signals.json").read_text(encoding="utf-8"))
    assert kept[:-1] == json.loads(before) and (kept[-1]["stage"], kept[-1]["epoch"]) == ("finetune2", 3)


@pytest.fixture(scope="module")
def stage(tiny: Any) -> tuple[TrainingStage, Any]:
    """Pre-training of the tiny recipe as it begins, in evaluation mode, and a batch of dev."""
    recipe = load_recipe(tiny.recipe)
    material = gather(recipe, tiny.corpus)
    model = assemble(recipe, len(material.tokenizer))
    config = recipe.stage("pretrain")
    prepare(model, recipe, config)
    text = FrozenTextEncoder(model.hierarchy.language)
    built = training_stage(model, recipe, config, Inputs(vectors=material.vectors, text_encoder=text)).eval()
    (batch,) = material.loader("dev", config)
    return built, batch


def test_gradients_are_parts_of_that_of_the_loss(stage: tuple[TrainingStage, Any]) -> None:
    """At each place |a + b|^2 = |a|^2 + |b|^2 + 2 cos(a, b) |a| |b|, with a + b the gradient of the minimised loss."""
    built, batch = stage
    found = gradients(built, batch)
    assert all(parameter.grad is None for parameter in built.parameters())
    built(batch)["loss"].backward()
    for place in ("vision", "temporal", "language"):
        own = [
            p.grad for name, p in built.trained().items() if name.startswith("model.") and built.part_of(name) == place
        ]
        expected = math.sqrt(sum(float(each.square().sum()) for each in own if each is not None))
        a, b = found["norms"][place].values()
        cosine = next(iter(found["cosines"][place].values()), 0.0)
        assert math.sqrt(a * a + b * b + 2 * cosine * a * b) == pytest.approx(expected, rel=1e-4)
    built.zero_grad(set_to_none=True)


def test_a_gradient_at_the_segments_is_that_of_a_step_along_them(stage: tuple[TrainingStage, Any]) -> None:
    """The change of each weighted loss for a small change of the segments is at most the norm, and reaches it."""
    built, batch = stage
    found = gradients(built, batch)["norms"]["segments"]
    levels = built.levels(batch)
    for name in found:
        objective = built.objectives[name]
        loss = objective(levels, batch) if name == "pseudo_gloss" else objective(*objective.features(levels, batch))
        levels.segment.values.retain_grad()
        levels.segment.values.grad = None
        (built.weights[name] * loss).backward(retain_graph=True)
        assert found[name] == pytest.approx(float(levels.segment.values.grad.norm()), rel=1e-5)
    built.zero_grad(set_to_none=True)


def test_retrieval_and_rows_do_not_depend_on_batches(stage: tuple[TrainingStage, Any], tiny: Any) -> None:
    built, batch = stage
    material = gather(load_recipe(tiny.recipe), tiny.corpus)
    whole, parts = spaces(built, [batch]), spaces(built, material.clip_loader("dev", 3))
    assert whole["spaces"]["segments"]["rows"] == sum(-(-length // 2) for length in batch.lengths.tolist())
    for name, each in whole["spaces"].items():
        assert parts["spaces"][name] == pytest.approx(each, rel=1e-3, abs=1e-5)
    assert whole["retrieval"] == parts["retrieval"]


def test_spread_by_loops() -> None:
    rows = torch.randn(7, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    found = spread(rows)
    pairs = [float(a @ b / a.norm() / b.norm()) for a, b in combinations(rows, 2)]
    assert found["mean cosine"] == pytest.approx(sum(pairs) / len(pairs))
    units = torch.stack([row / row.norm() for row in rows])
    singular = torch.linalg.svdvals(units - units.mean(dim=0))
    shares = [float(each / singular.sum()) for each in singular]
    assert found["effective rank"] == pytest.approx(math.exp(-sum(p * math.log(p) for p in shares)))
    assert found["rows"] == 7


def test_spread_by_hand() -> None:
    assert spread(3 * torch.eye(6)) == pytest.approx({"rows": 6, "mean cosine": 0.0, "effective rank": 5.0})
    assert spread(torch.ones(4, 3)) == pytest.approx({"rows": 4, "mean cosine": 1.0, "effective rank": 1.0})
    line = torch.tensor([[1.0, 2.0, 0.0], [-1.0, -2.0, 0.0]])
    assert spread(line) == pytest.approx({"rows": 2, "mean cosine": -1.0, "effective rank": 1.0})


def test_the_epochs_that_loss_and_score_would_keep() -> None:
    numbers = [(2.5, 4.0), (2.1, 3.0), (2.3, 6.0)]
    epochs = [
        {"epoch": epoch, "dev": {"loss": loss}, "bleu4": bleu4} for epoch, (loss, bleu4) in enumerate(numbers, start=1)
    ]
    text = selection(epochs)
    assert "epoch 2 (loss 2.100, BLEU-4 3.00)" in text and "epoch 3 (loss 2.300, BLEU-4 6.00)" in text


def test_a_corpus_without_dev_is_refused_before_anything_trains(tiny: Any, tmp_path: Path) -> None:
    corpus = Path(shutil.copytree(tiny.corpus, tmp_path / "corpus"))
    lines = (corpus / "manifest.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    kept = [line for line in lines if json.loads(line)["split"] != "dev"]
    (corpus / "manifest.jsonl").write_text("".join(kept), encoding="utf-8")
    with pytest.raises(CorpusError, match="no dev split"):
        measure(load_recipe(tiny.recipe, EPOCHS), corpus, tmp_path / "run", Silent())
    assert not (tmp_path / "run").exists()
