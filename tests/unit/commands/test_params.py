"""params: Table 3 through the command, and any other recipe counted as it is trained."""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from glossfree.assemble import assemble
from glossfree.commands.params import TABLE_3, params
from glossfree.config import load_recipe
from glossfree.errors import CorpusError
from glossfree.material import gather


@pytest.mark.slow
@pytest.mark.parametrize(("recipe", "temperatures"), [("hfa-phoenix14t", 2), ("hfa-phoenix14t-as-released", 0)])
def test_table_3_is_exact(call: Any, recipe: str, temperatures: int) -> None:
    found = params(recipe)
    assert {stage: found.total(stage) for stage in TABLE_3} == {
        "pretraining": (15_200_325, 346_123_973),
        "finetuning": (16_819_712, 395_924_608),
    }
    assert found.temperatures == temperatures
    shown = call("params", "--recipe", recipe)
    assert ("learnable temperatures" in shown.out) == bool(temperatures)
    assert shown.code == 0
    assert shown.out.count("  Table 3 ") == 2
    differences = [line.split()[1:] for line in shown.out.splitlines() if line.strip().startswith("difference")]
    assert differences == [["+0", "+0"]] * 2
    assert "counted with 2,172 tokens and 2,322 pseudo-glosses, the recipe's" in shown.out


@pytest.mark.slow
def test_a_program_gets_both_stages_within_20_seconds_and_without_the_weights() -> None:
    """In a process of its own: 20 s of one core, and far less memory than the 1.4 GB of the smaller stage."""
    command = [sys.executable, "-m", "glossfree", "params", "--recipe", "hfa-phoenix14t", "--json"]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    found = json.loads(done.stdout)
    assert {stage: (found[stage]["trainable"], found[stage]["total"]) for stage in TABLE_3} == TABLE_3
    assert found["sizes"] == {"tokens": 2172, "pseudo_glosses": 2322, "corpus": None}
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 20
    peak = "from glossfree.commands.params import params; from glossfree.training.estimates import peak_resident;"
    peak += "params('hfa-phoenix14t'); print(peak_resident())"
    done = subprocess.run([sys.executable, "-c", peak], capture_output=True, text=True, timeout=300, check=True)
    assert int(done.stdout) < 1e9


def test_a_corpus_brings_its_own_sizes(tiny: Any, call: Any) -> None:
    """As training takes them: the tokenizer trained on its sentences, its pseudo-glosses."""
    recipe = load_recipe(tiny.recipe)
    material = gather(recipe, tiny.corpus)
    parts = assemble(recipe, len(material.tokenizer))
    parts.adapt()
    pretraining = [p for p in parts.pretraining(material.vectors).parameters() if p.requires_grad]
    translation = list(parts.translation().parameters())
    found = json.loads(call("params", *tiny.options, "--json").out)
    temperatures = found["temperatures"]
    assert found["pretraining"]["trainable"] == sum(p.numel() for p in pretraining) - temperatures
    assert found["finetuning"]["total"] == sum(p.numel() for p in translation)
    assert found["sizes"] == {
        "tokens": len(material.tokenizer),
        "pseudo_glosses": len(material.glosses),
        "corpus": str(tiny.corpus),
    }
    without = params(tiny.recipe)
    assert (without.sizes.tokens, without.sizes.pseudo_glosses, without.sizes.corpus) == (2172, 2322, None)
    assert without.total("finetuning") != (found["finetuning"]["trainable"], found["finetuning"]["total"])


@pytest.mark.slow
def test_table_3_is_not_set_beside_the_sums_of_another_corpus(tiny: Any, call: Any, shared: Path) -> None:
    tokenizer = f"text.tokenizer={shared / 'mbart_cc25'}"
    shown = call("params", "--recipe", "hfa-phoenix14t", "--corpus", tiny.corpus, "--set", tokenizer)
    sizes = gather(load_recipe("hfa-phoenix14t", [tokenizer, "data.frame_size=28", "data.crop_size=14"]), tiny.corpus)
    assert "difference" not in shown.out
    own = f"{len(sizes.tokenizer):,} tokens and {len(sizes.glosses):,} pseudo-glosses"
    assert f"counted with {own}, those of {tiny.corpus}\n" in shown.out
    assert "Table 3 counts 2,172 tokens and 2,322 pseudo-glosses: its sums are others\n" in shown.out


def test_a_corpus_without_pseudo_glosses_says_how_to_make_them(tiny: Any, tmp_path: Path) -> None:
    shutil.copytree(tiny.corpus, tmp_path / "corpus")
    (tmp_path / "corpus/pseudo_glosses.json").unlink()
    with pytest.raises(CorpusError, match="glossfree glosses"):
        params(tiny.recipe, corpus=tmp_path / "corpus")
    with pytest.raises(CorpusError, match="manifest"):
        params(tiny.recipe, corpus=tmp_path / "nothing")


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
    assert f"counted with {found.sizes}, the recipe's" in text
    assert "Table 3" not in text.replace("which Table 3 does not count", "")
    for stage in ("pretraining", "finetuning"):
        assert (plain[stage]["trainable"], plain[stage]["total"]) == found.total(stage)
        for number in found.total(stage):
            assert f"{number:,}" in text
