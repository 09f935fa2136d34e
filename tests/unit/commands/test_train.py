"""pretrain, finetune and train: which stages of a recipe they run, and what they refuse before anything is built."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from glossfree.commands import train as commands
from glossfree.config import load_recipe
from glossfree.corpora.manifest import Manifest
from glossfree.errors import CorpusError, RecipeError, RunError
from glossfree.progress import Silent


class Asked:
    """Stands for `run_stages`: keeps what it was asked for."""

    def __call__(self, recipe: Any, stages: Any, **options: Any) -> str:
        self.recipe, self.stages, self.options = recipe, tuple(stages), options
        return "run"


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    asked = Asked()
    monkeypatch.setattr(commands, "run_stages", asked)
    return asked


def test_each_verb_has_its_stages(tiny: Any, tiny_run: Path, tmp_path: Path, asked: Asked) -> None:
    common: dict[str, Any] = {"corpus": tiny.corpus, "run": tmp_path / "run", "console": Silent()}
    commands.pretrain(tiny.recipe, overrides=["seed=4"], **common)
    assert (asked.stages, asked.recipe.seed) == (("denoise", "pretrain"), 4)
    commands.train(tiny.recipe, resume=True, **common)
    assert asked.stages == ("denoise", "pretrain", "finetune1", "finetune2")
    assert asked.options["resume"] is True and asked.recipe == load_recipe(tiny.recipe)
    commands.finetune(tiny.recipe, start=tiny_run, **common)
    assert asked.stages == ("denoise", "pretrain", "finetune1", "finetune2")
    assert asked.options["start"] == tiny_run and asked.recipe == load_recipe(tiny.recipe)


def test_fine_tuning_without_a_start_changes_nothing_but_pretraining(tiny: Any, tmp_path: Path, asked: Asked) -> None:
    commands.finetune(tiny.recipe, corpus=tiny.corpus, run=tmp_path, console=Silent())
    assert asked.recipe == load_recipe(tiny.recipe, ["pretrain.epochs=0"])


def test_a_start_must_have_finished_pretraining(tiny: Any, tmp_path: Path, asked: Asked) -> None:
    with pytest.raises(RunError, match="pretrain has not finished"):
        commands.finetune(tiny.recipe, corpus=tiny.corpus, run=tmp_path, console=Silent(), start=tmp_path)


def test_a_recipe_is_read_before_anything_else(tiny: Any, tmp_path: Path) -> None:
    for verb in (commands.pretrain, commands.finetune, commands.train):
        with pytest.raises(RecipeError, match="no such recipe"):
            verb("none", corpus=tiny.corpus, run=tmp_path / "run", console=Silent())
    zero = [f"{stage}.epochs=0" for stage in commands.STAGES]
    with pytest.raises(RunError, match="0 epochs"):
        commands.train(tiny.recipe, corpus=tiny.corpus, run=tmp_path / "run", console=Silent(), overrides=zero)
    assert not (tmp_path / "run").exists()


def test_a_run_tells_where_it_came_from(tiny: Any, tiny_run: Path) -> None:
    facts = json.loads((tiny_run / "run.json").read_text())
    assert (facts["corpus"], facts["start"]) == (str(tiny.corpus.resolve()), None)
    assert facts["profile"]["fps"] == [8.0, 8.0]
    assert load_recipe(tiny_run / "recipe.toml") == load_recipe(tiny.recipe, ["data.fps=8"])  # the corpus's rate


def test_clips_of_another_rate_are_resampled_and_those_of_several_refused(tiny: Any, tmp_path: Path) -> None:
    console = Silent()
    overrides = ["data.fps=16", "pretrain.epochs=0", "denoise.epochs=0", "finetune2.epochs=0"]
    commands.train(tiny.recipe, corpus=tiny.corpus, run=tmp_path / "run", console=console, overrides=overrides)
    assert any("resampled to data.fps = 16" in line for line in console.lines)
    manifest = Manifest.load(tiny.corpus)
    clips = [replace(clip, fps=12.0) if number % 2 else clip for number, clip in enumerate(manifest.clips)]
    shutil.copytree(tiny.corpus, tmp_path / "mixed")
    replace(manifest, folder=tmp_path / "mixed", clips=tuple(clips)).save()
    with pytest.raises(CorpusError, match=r"8 to 12 frames/s.*--fps"):
        commands.train(tiny.recipe, corpus=tmp_path / "mixed", run=tmp_path / "refused", console=Silent())
    assert not (tmp_path / "refused").exists()
