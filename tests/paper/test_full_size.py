"""A real step of the paper's model at full size: all stages, what is frozen, save, load, translate, memory.

The clips are short, so that it takes a minute or two on two cores; `benchmarks/full_size.py`, which does the work in a
process of its own, takes clips of any length.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from statistics import mean
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
STEPS = {"pretrain": 6, "finetune1": 5, "finetune2": 5}
TEMPERATURES = 2  # learnable in the paper; Table 3 does not count them
TEXT_ENCODER = 154_433_536  # in Table 3's total; here it has done its work before pre-training begins
STATISTICS = 3  # of the one BatchNorm: mean, variance, number of batches
MEMORY = 12  # GB

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def seen() -> Any:
    command = [sys.executable, "-m", "benchmarks.full_size", "--lengths", "3,5"]
    command += ["--steps", ",".join(map(str, STEPS.values()))]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=800, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("stage", STEPS)
def test_the_loss_falls(seen: Any, stage: str) -> None:
    """Dropout and stochastic depth are on: means of two steps are compared."""
    losses = seen["stages"][stage]["losses"]
    assert len(losses) == STEPS[stage]
    assert mean(losses[-2:]) < 0.95 * mean(losses[:2])


@pytest.mark.parametrize(
    ("stage", "trained", "total"),
    [
        ("pretrain", 15_200_325 + TEMPERATURES, 346_123_973 + TEMPERATURES - TEXT_ENCODER),
        ("finetune1", 1_049_600 + 2_048 + 1_572_864, 395_924_608),
        ("finetune2", 16_819_712, 395_924_608),
    ],
)
def test_what_trains_is_what_table_3_counts(seen: Any, stage: str, trained: int, total: int) -> None:
    assert (seen["stages"][stage]["trained"], seen["stages"][stage]["total"]) == (trained, total)


@pytest.mark.parametrize("stage", STEPS)
def test_exactly_what_the_stage_names_has_changed_and_the_rest_is_equal_bit_for_bit(seen: Any, stage: str) -> None:
    record = seen["stages"][stage]
    assert record["unexpected"] == record["untouched"] == []
    moved = 0 if stage == "finetune1" else STATISTICS  # there the visual encoder is frozen as a whole
    assert record["changed"] == record["named"] + moved > 90


def test_saved_and_loaded_it_gives_the_same_logits_and_the_same_sentence(seen: Any) -> None:
    assert seen["logits_equal"]
    assert seen["logits_spread"] > 0.1
    assert seen["translations"] == seen["translations_again"] != seen["translations_before_loading"]
    assert len(seen["translations"]) == 2


def test_memory(seen: Any) -> None:
    assert 2 < seen["peak_gigabytes"] < MEMORY
