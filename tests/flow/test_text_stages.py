"""Text stages that train one part: what they train reaches fine-tuning, and what they read stays as it was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tests.flow.test_methods import small
from torch import Tensor

from glossfree.training.run import Run, load_tensors

# later stages that change nothing but what they say: a step of this size is lost in rounding
STILL = [f"{stage}.{key}" for stage in ("pretrain", "finetune1") for key in ("learning_rate=1e-30", "weight_decay=0")]


def weights(run: Path, stage: str) -> dict[str, Tensor]:
    return load_tensors(Run(run).weights(stage))[0]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, tiny: Any, call: Any) -> Path:
    """GFSLT-VLP v2 on tiny sizes, up to the first stage of translation."""
    folder = tmp_path_factory.mktemp("text_stages")
    recipe, run = folder / "small.toml", folder / "run"
    recipe.write_text(small("gfslt-vlp2-phoenix14t"), encoding="utf-8")
    settings = [part for each in STILL for part in ("--set", each)]
    trained = call(
        "train", "--recipe", recipe, "--corpus", tiny.corpus, "--run", run, "--until", "finetune1", *settings
    )
    assert trained.code == 0, trained.err
    return run


def test_only_the_decoder_learns_from_masked_sentences(run: Path) -> None:
    text = weights(run, "masked_text")
    second = {name: tensor for name, tensor in text.items() if ".lora_B." in name}  # starts at 0
    assert {name.partition(".")[0] for name in second} == {"decoder", "hierarchy"}
    for name, tensor in second.items():
        assert bool(tensor.any()) == name.startswith("decoder."), name


def test_the_decoder_reaches_fine_tuning(run: Path) -> None:
    text, translation = (weights(run, stage) for stage in ("masked_text", "finetune1"))
    decoder = [name for name in text if name.startswith("decoder.")]
    assert decoder
    for name in decoder:
        assert torch.equal(text[name], translation[name]), name
    assert not any(name.startswith("decoder.") for name in weights(run, "pretrain"))
