"""HFA's losses, step by step, are those of the record tests/paper/losses.json, but for rounding."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any

import numpy as np
import pytest

FOLDER = Path(__file__).parent
TOLERANCE = 1e-4  # relative
# with AVX-512 and without it, losses of the demo's pre-training are up to 1.5 % apart, others 0.01 %
DEMO = {"denoise": 1e-3, "pretrain": 0.05, "finetune1": 1e-3, "finetune2": 1e-3}
TOLERANCES: dict[str, dict[str, float]] = {"demo": DEMO, "full": {}}
STAGES = {"demo": ("denoise", "pretrain", "finetune1", "finetune2"), "full": ("pretrain", "finetune1", "finetune2")}
STEPS = {"demo": 20, "full": 2}
LOSSES = {"pretrain": {"loss", "pseudo_gloss", "contrastive"}}  # of the other stages: "loss" alone

Stages = dict[str, dict[str, list[dict[str, float]]]]


@pytest.fixture(scope="module")
def losses() -> ModuleType:
    """tests/paper/losses.py, which made the record."""
    spec = spec_from_file_location("paper_losses", FOLDER / "losses.py")
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def record() -> dict[str, Any]:
    content: dict[str, Any] = json.loads((FOLDER / "losses.json").read_text(encoding="utf-8"))
    return content


def differences(
    recorded: Stages, remade: Stages, *, relative: float, of_stage: Mapping[str, float] = MappingProxyType({})
) -> Iterator[str]:
    """Every loss that is not the record's, and every stage, step or name that one of the two lacks."""
    if list(remade) != list(recorded):
        yield f"stages {', '.join(remade)}, recorded {', '.join(recorded)}"
    for stage in [name for name in recorded if name in remade]:
        for kind, expected in recorded[stage].items():
            lines = remade[stage][kind]
            if len(lines) != len(expected):
                yield f"{stage}: {len(lines)} {kind}, recorded {len(expected)}"
            for number, (line, before) in enumerate(zip(lines, expected, strict=False)):
                if line.keys() != before.keys() or line != pytest.approx(
                    before, rel=of_stage.get(stage, relative), abs=0
                ):
                    yield f"{stage}, {kind} {number}: {line}, recorded {before}"


@pytest.mark.parametrize("part", STAGES)
def test_the_record_is_complete(record: dict[str, Any], part: str) -> None:
    """It has every step of every stage, all losses positive; no two steps of a stage are alike."""
    assert tuple(record[part]) == STAGES[part]
    for stage, lines in record[part].items():
        assert len(lines["steps"]) == STEPS[part]
        assert lines["dev"]
        assert all(set(line) == LOSSES.get(stage, {"loss"}) for line in [*lines["steps"], *lines["dev"]])
        assert all(value > 0 for line in lines["steps"] for value in line.values())
        assert len({line["loss"] for line in lines["steps"]}) == STEPS[part]


def test_a_difference_in_the_last_bit_is_within_the_tolerance_and_not_nothing(record: dict[str, Any]) -> None:
    changed = copy.deepcopy(record["demo"])
    assert list(differences(record["demo"], changed, relative=0)) == []
    loss = np.float32(changed["finetune1"]["steps"][13]["loss"])
    changed["finetune1"]["steps"][13]["loss"] = float(np.nextafter(loss, np.float32(0)))
    lines = list(differences(record["demo"], changed, relative=0))
    assert [line.partition(":")[0] for line in lines] == ["finetune1, steps 13"]
    assert list(differences(record["demo"], changed, relative=TOLERANCE)) == []


def test_a_difference_above_the_tolerance_is_reported(record: dict[str, Any]) -> None:
    changed = copy.deepcopy(record["demo"])
    changed["pretrain"]["steps"][19]["contrastive"] *= 1 + 2 * TOLERANCE
    changed["denoise"]["dev"][3]["loss"] = float("nan")
    lines = list(differences(record["demo"], changed, relative=TOLERANCE))
    assert [line.partition(":")[0] for line in lines] == ["denoise, dev 3", "pretrain, steps 19"]


def test_missing_stages_steps_and_losses_are_reported(record: dict[str, Any]) -> None:
    changed = copy.deepcopy(record["full"])
    del changed["finetune1"]
    changed["pretrain"]["steps"].pop()
    del changed["finetune2"]["dev"][0]["loss"]
    assert len(list(differences(record["full"], changed, relative=1.0))) == 3


@pytest.mark.slow
@pytest.mark.parametrize(("part", "make"), [("demo", "at_the_demos_sizes"), ("full", "at_full_size")])
def test_the_losses_are_those_of_the_record(
    losses: ModuleType, record: dict[str, Any], tmp_path: Path, part: str, make: str
) -> None:
    remade = getattr(losses, make)(tmp_path)
    assert list(differences(record[part], remade, relative=TOLERANCE, of_stage=TOLERANCES[part])) == []
