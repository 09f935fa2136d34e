"""The joint space of a run is the one that it trained: its losses come out again, and re-ranking follows similarity."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from glossfree.errors import RunError
from glossfree.pipeline.decode import Decoder
from glossfree.pipeline.joint_space import JointSpace, Reranker
from glossfree.pipeline.trained import TrainedRun


def opened(run: Path) -> tuple[TrainedRun, JointSpace, Any]:
    trained = TrainedRun(run)
    material = trained.material()
    return trained, JointSpace.load(trained, material), material


def assert_its_loss_comes_out_again(run: Path, name: str) -> None:
    """The loss of the dev split in pre-training, computed in the opened space, is the one that training recorded."""
    trained, space, material = opened(run)
    records = map(json.loads, (run / "steps.jsonl").read_text(encoding="utf-8").splitlines())
    (recorded,) = [each["dev"][name] for each in records if each["kind"] == "epoch" and each["stage"] == "pretrain"]
    (batch,) = list(material.loader("dev", trained.recipe.stage("pretrain")))
    video, text = space.features(space.levels(batch), batch, batch.texts)
    loss = space.objective(video, text, torch.arange(len(batch)))
    assert float(loss) == pytest.approx(recorded, rel=1e-5)


def test_the_loss_of_the_dev_split_comes_out_again(tiny_run: Path) -> None:
    assert_its_loss_comes_out_again(tiny_run, "contrastive")


def test_similarities_do_not_depend_on_batches(tiny_run: Path) -> None:
    _, space, material = opened(tiny_run)
    found = {}
    for size in (5, 2):
        sentences, matrix = space.similarities(material.clip_loader("test", size))
        order = sorted(range(len(sentences)), key=sentences.__getitem__)
        found[size] = matrix[order][:, order]
    assert torch.allclose(found[5], found[2], atol=1e-5) and found[5].shape == (5, 5)


def test_reranking_takes_the_sentence_of_the_highest_sum(tiny_run: Path) -> None:
    trained, space, material = opened(tiny_run)
    model, _ = trained.model()
    recipe = trained.recipe
    recipe = recipe.model_copy(update={"decode": recipe.decode.model_copy(update={"num_beams": 3})})
    decoder = Decoder(model.eval(), trained.tokenizer, recipe)
    (batch,) = list(material.clip_loader("dev", 4))
    lists = decoder.hypotheses(batch.frames, batch.lengths, 3, batch.level)
    for weight in (0.0, 50.0):
        expected = []
        for row, hypotheses in enumerate(lists):
            sums = []
            for hypothesis in hypotheses:
                texts = [hypothesis.text] * len(batch)
                video, text = space.features(space.levels(batch), replace(batch), texts)
                similarity = space.objective.similarity(video, text)[row, row]
                sums.append(hypothesis.score + weight * float(similarity))
            expected.append(hypotheses[sums.index(max(sums))].text)
        assert [each.text for each in Reranker(decoder, space, weight)(batch)] == expected
    assert expected != [hypotheses[0].text for hypotheses in lists], "a large weight changes something"


def test_a_run_without_such_a_stage_is_refused(tiny: Any, call: Any, tmp_path: Path) -> None:
    without = ("--set", "pretrain.objectives.contrastive.weight=0")
    assert call("train", *tiny.options, "--run", tmp_path / "run", "--until", "pretrain", *without).code == 0
    with pytest.raises(RunError, match="no stage of its recipe compares videos with sentences"):
        opened(tmp_path / "run")


def test_token_alignment_is_such_a_space(tiny: Any, call: Any, tmp_path: Path) -> None:
    run = tmp_path / "run"
    changes = ("contrastive.weight=0", "pseudo_gloss.weight=0", "token_alignment.mix=0.4")
    overrides = [each for change in changes for each in ("--set", f"pretrain.objectives.{change}")]
    assert call("train", *tiny.options, "--run", run, "--until", "pretrain", *overrides).code == 0
    assert_its_loss_comes_out_again(run, "token_alignment")
    assert call("retrieve", run).code == 0


def test_a_split_without_clips_is_one_line(tiny_run: Path, call: Any) -> None:
    done = call("retrieve", tiny_run, "--split", "tset")
    assert done.code == 2 and done.err.count("\n") == 1
