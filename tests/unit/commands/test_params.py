"""params: Table 3 through the command, and any other recipe counted as it is trained."""

from __future__ import annotations

import json
from typing import Any

import pytest

from glossfree.assemble import assemble
from glossfree.commands.params import TABLE_3, params
from glossfree.config import load_recipe


@pytest.mark.slow
def test_table_3_is_exact(call: Any) -> None:
    found = params("hfa-phoenix14t")
    assert {stage: found.total(stage) for stage in TABLE_3} == {
        "pretraining": (15_200_325, 346_123_973),
        "finetuning": (16_819_712, 395_924_608),
    }
    assert found.temperatures == 2
    shown = call("params", "--recipe", "hfa-phoenix14t")
    assert shown.code == 0
    assert shown.out.count("  Table 3 ") == 2
    differences = [line.split()[1:] for line in shown.out.splitlines() if line.strip().startswith("difference")]
    assert differences == [["+0", "+0"]] * 2


@pytest.mark.parametrize("overrides", [(), ("language.train=adapters", "vision.train=none")])
def test_counts_are_those_of_real_modules(tiny: Any, overrides: tuple[str, ...]) -> None:
    found = params(tiny.recipe, overrides)
    recipe = load_recipe(tiny.recipe, overrides)
    parts = assemble(recipe, recipe.text.vocabulary_size)
    parts.adapt()
    model = parts.translation()
    sizes = [parameter.numel() for parameter in model.parameters() if parameter.requires_grad]
    assert found.total("finetuning") == (sum(sizes), sum(p.numel() for p in model.parameters()))
    rows = found.parts["pretraining"]
    assert rows["text encoder (frozen)"][0] == 0
    assert sum(row[1] for row in rows.values()) == found.total("pretraining")[1]


def test_both_faces_show_the_same_numbers(tiny: Any) -> None:
    found = params(tiny.recipe)
    plain = json.loads(json.dumps(found.as_dict()))
    text = found.to_text()
    assert "Table 3" not in text.replace("which Table 3 does not count", "")
    for stage in ("pretraining", "finetuning"):
        assert (plain[stage]["trainable"], plain[stage]["total"]) == found.total(stage)
        for number in found.total(stage):
            assert f"{number:,}" in text
