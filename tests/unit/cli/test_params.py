"""params: Table 3 through the command, and any other recipe counted as it is trained."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import torch

from glossfree.cli.params import params
from glossfree.errors import CorpusError
from glossfree.objectives.base import Inputs
from glossfree.pipeline.assemble import assemble, prepare, training_stage
from glossfree.pipeline.material import gather
from glossfree.pipeline.params import TABLE_3, count_parameters
from glossfree.pipeline.stages import TrainingStage
from glossfree.recipe.files import load_recipe
from glossfree.recipe.schema import Recipe


@pytest.mark.slow
@pytest.mark.parametrize(("recipe", "temperatures"), [("hfa-phoenix14t", 2), ("hfa-phoenix14t-as-released", 0)])
def test_table_3_is_exact(call: Any, recipe: str, temperatures: int) -> None:
    found = params(recipe)
    assert {stage: found.total(stage) for stage in TABLE_3} == {
        "pretrain": (15_200_325, 346_123_973),
        "finetune2": (16_819_712, 395_924_608),
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
def test_a_program_gets_all_stages_in_seconds_and_without_the_weights() -> None:
    """In a process of its own: 20 s of one core, twice that of one that is shared; and far less memory than the 1.4 GB
    of the smaller stage."""
    command = [sys.executable, "-m", "glossfree", "params", "--recipe", "hfa-phoenix14t", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    found = json.loads(done.stdout)
    assert {stage: (found[stage]["trainable"], found[stage]["total"]) for stage in TABLE_3} == TABLE_3
    assert found["sizes"] == {"tokens": 2172, "pseudo_glosses": 2322, "glosses": 0, "corpus": None}
    cost = "from time import process_time; from glossfree.cli.params import params;"
    cost += "from glossfree.training.device import peak_resident;"
    cost += "params('hfa-phoenix14t'); print(process_time(), peak_resident())"
    done = subprocess.run([sys.executable, "-c", cost], capture_output=True, text=True, timeout=300, check=True)
    seconds, peak = done.stdout.split()
    assert float(seconds) < 40 and int(peak) < 1e9


def test_a_corpus_brings_its_own_sizes(tiny: Any, call: Any) -> None:
    """As training takes them: the tokenizer trained on its sentences, its pseudo-glosses."""
    recipe = load_recipe(tiny.recipe)
    material = gather(recipe, tiny.corpus)
    assert material.glosses is not None
    stages = stages_of(recipe, len(material.tokenizer), material.vectors)
    counts = json.loads(call("params", *tiny.options, "--json").out)
    temperatures = counts["temperatures"]
    assert counts["pretrain"]["trainable"] == size(stages["pretrain"].trained().values()) - temperatures
    assert counts["finetune2"]["total"] == size(stages["finetune2"].model.parameters())
    assert counts["sizes"] == {
        "tokens": len(material.tokenizer),
        "pseudo_glosses": len(material.glosses),
        "glosses": 0,
        "corpus": str(tiny.corpus),
    }
    without = params(tiny.recipe)
    assert (without.sizes.tokens, without.sizes.pseudo_glosses, without.sizes.corpus) == (2172, 2322, None)
    assert without.total("finetune2") != (counts["finetune2"]["trainable"], counts["finetune2"]["total"])


@pytest.mark.slow
def test_table_3_is_not_set_beside_the_sums_of_another_corpus(tiny: Any, call: Any, shared: Path) -> None:
    tokenizer = f"text.tokenizer={shared / 'mbart_cc25'}"
    shown = call("params", "--recipe", "hfa-phoenix14t", "--corpus", tiny.corpus, "--set", tokenizer)
    sizes: Any = gather(
        load_recipe("hfa-phoenix14t", [tokenizer, "data.frame_size=28", "data.crop_size=14"]), tiny.corpus
    )
    assert "difference" not in shown.out
    own = f"{len(sizes.tokenizer):,} tokens and {len(sizes.glosses):,} pseudo-glosses"
    assert f"counted with {own}, those of {tiny.corpus}\n" in shown.out
    assert "Table 3 counts 2,172 tokens and 2,322 pseudo-glosses: its sums are others\n" in shown.out


def test_a_corpus_without_pseudo_glosses_says_how_to_make_them(tiny: Any, tmp_path: Path) -> None:
    shutil.copytree(tiny.corpus, tmp_path / "corpus")
    (tmp_path / "corpus/pseudo_glosses.json").unlink()
    with pytest.raises(CorpusError, match="glossfree glosses"):
        params(tiny.recipe, corpus=tmp_path / "corpus")
    without = params(tiny.recipe, ["pretrain.objectives.pseudo_gloss.weight=0"], corpus=tmp_path / "corpus")
    assert (without.sizes.pseudo_glosses, without.temperatures) == (0, 0)
    assert "objective pseudo_gloss" not in without.parts["pretrain"] and "pseudo-glosses" not in without.to_text()
    with pytest.raises(CorpusError, match="manifest"):
        params(tiny.recipe, corpus=tmp_path / "nothing")


def size(parameters: Iterable[torch.nn.Parameter]) -> int:
    return sum(parameter.numel() for parameter in parameters)


def stages_of(recipe: Recipe, vocabulary_size: int, vectors: torch.Tensor | None = None) -> dict[str, TrainingStage]:
    """Every stage with a model of its own, in memory, prepared as it is for training."""
    stages = {}
    for stage in recipe.planned:
        model = assemble(recipe, vocabulary_size)
        for each in recipe.lineage(stage.name):
            prepare(model, recipe, each)
        stages[stage.name] = training_stage(model, recipe, stage, Inputs(vectors=vectors))
    return stages


WITHOUT_LANGUAGE = (
    "language.kind=none",
    "decoder.kind=gru",
    "decoder.hidden_size=26",
    "denoise.epochs=0",
    "pretrain.objectives.contrastive.weight=0",
    "temporal.kind=linear",
)


@pytest.mark.parametrize("overrides", [(), ("language.train=adapters", "vision.train=none"), WITHOUT_LANGUAGE])
def test_counts_are_those_of_real_modules(tiny: Any, overrides: tuple[str, ...]) -> None:
    counts = params(tiny.recipe, overrides)
    recipe = load_recipe(tiny.recipe, overrides)
    vectors = torch.ones(counts.sizes.pseudo_glosses, 300)
    stages = stages_of(recipe, recipe.text.vocabulary_size, vectors)
    assert list(counts.parts) == list(stages)
    for name, stage in stages.items():
        temperatures = counts.temperatures if name == "pretrain" else 0
        trainable, total = counts.total(name)
        assert trainable == size(stage.trained().values()) - temperatures, name
        modules = [*stage.parts().values(), stage.objectives]
        unique = {id(parameter): parameter for module in modules for parameter in module.parameters()}
        text_encoder = counts.parts[name].get("text encoder (frozen)", (0, 0))
        assert text_encoder[0] == 0 and total == size(unique.values()) + text_encoder[1] - 2 * (name == "pretrain")
    assert ("text encoder (frozen)" in counts.parts["pretrain"]) == (overrides is not WITHOUT_LANGUAGE)
    objectives = {f"objective {name}" for name in recipe.stage("pretrain").used_objectives}
    assert {row for row in counts.parts["pretrain"] if row.startswith("objective")} == objectives


def test_both_faces_show_the_same_numbers(tiny: Any) -> None:
    counts = params(tiny.recipe)
    plain = json.loads(json.dumps(counts.to_dict()))
    text = counts.to_text()
    assert f"counted with {counts.sizes}, the recipe's" in text
    assert "Table 3" not in text.replace("which Table 3 does not count", "")
    for stage in ("denoise", "pretrain", "finetune1", "finetune2"):
        assert (plain[stage]["trainable"], plain[stage]["total"]) == counts.total(stage)
        for number in counts.total(stage):
            assert f"{number:,}" in text


def test_pseudo_glosses_that_only_another_objective_needs_are_counted(tiny: Any) -> None:
    """Its linear layer E -> 300 and its logit scale; the vectors do not train and are no parameters."""
    changes = ("contrastive.weight=0", "pseudo_gloss.weight=0", "token_alignment.tokens=pseudo_glosses")
    recipe = load_recipe(tiny.recipe, [f"pretrain.objectives.{change}" for change in changes])
    expected = 300 * (recipe.language.hidden_size + 1) + 1
    for corpus in (None, tiny.corpus):
        counts = count_parameters(recipe, corpus)
        assert counts.sizes.pseudo_glosses > 0 and counts.temperatures == 0
        assert counts.parts["pretrain"]["objective token_alignment"] == (expected, expected)
