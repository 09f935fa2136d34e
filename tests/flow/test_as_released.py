"""The released behaviours together: pre-training, fine-tuning and scores on the real command line."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from glossfree.recipe.files import load_recipe
from glossfree.recipe.values import as_toml, differences, flat


@pytest.fixture(scope="module")
def released() -> dict[str, object]:
    """Every value in which the shipped recipe differs from the paper's, but for its name and summary."""
    paper, recipe = load_recipe("hfa-phoenix14t"), load_recipe("hfa-phoenix14t-as-released")
    changes = differences(paper, recipe, apart_from=("name", "summary"))
    assert len(changes) == 9
    return {key: value for key, (_, value) in changes.items()}


@pytest.fixture(scope="module")
def options(released: dict[str, object]) -> list[str]:
    """As a person would set them on another recipe."""
    return [word for key, value in released.items() for word in ("--set", f"{key}={as_toml(value)}")]


def test_the_inventory_must_be_that_of_all_splits(
    tiny: Any, options: list[str], call: Callable[..., Any], tmp_path: Path
) -> None:
    refused = call("train", *tiny.options, "--run", tmp_path / "run", *options)
    assert (refused.code, refused.out) == (2, "")
    assert f"glossfree glosses {tiny.corpus} --splits train,dev,test" in refused.err.splitlines()[-1]
    assert not (tmp_path / "run").exists()


def test_all_released_behaviours_train_and_score(
    tiny: Any, released: dict[str, object], options: list[str], call: Callable[..., Any], tmp_path: Path
) -> None:
    corpus, first, second = tmp_path / "corpus", tmp_path / "pre", tmp_path / "fine"
    shutil.copytree(tiny.corpus, corpus)
    assert call("glosses", corpus, "--splits", "train,dev,test").code == 0
    common = ("--recipe", tiny.recipe, "--corpus", corpus, *options)
    assert call("train", *common, "--until", "pretrain", "--run", first).code == 0
    values = flat(load_recipe(first / "recipe.toml"))
    assert {key: values[key] for key in released} == released
    steps = [json.loads(line) for line in (first / "steps.jsonl").read_text().splitlines()]
    losses = [step for step in steps if step["kind"] == "step" and step["stage"] == "pretrain"]
    assert losses
    for step in losses:
        assert step["loss"] == pytest.approx(step["contrastive"] + step["pseudo_gloss"], rel=1e-5)  # lambda is 1
        assert step["pseudo_gloss"] == pytest.approx(math.log(2), abs=0.05)
        assert step["contrastive"] > 0
    tensors = load_file(first / "weights/pretrain.safetensors")
    assert float(tensors["objectives.pseudo_gloss.head.log_time_temperature"].exp()) == pytest.approx(0.1)  # fixed
    assert not any("text_encoder" in name for name in tensors)

    done = call("train", *common, "--from", first, "--run", second)
    assert (done.code, done.out) == (0, f"{second}\n")
    shown = call("evaluate", second, "--split", "test")
    assert (shown.code, shown.err) == (0, "")
    assert shown.out.splitlines()[3:] == ['fine: " ." behind every hypothesis and reference']
    scores = json.loads((second / "scores.test.json").read_text())
    assert scores["convention"]["append"] == " ."
    assert all(signature.endswith('|append:" ."') for signature in scores["signatures"].values())
    assert scores["bleu1"] > 0  # if nothing else, the full stop is right
    predictions = [json.loads(line) for line in (second / "predictions.test.jsonl").read_text().splitlines()]
    assert not any(line["reference"].endswith(".") for line in predictions)
    assert call("report", second, "--clips", 1).code == 0
