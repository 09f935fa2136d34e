"""train: which stages of a recipe are trained and which are taken from another run; what is refused before anything."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from glossfree.console import Silent
from glossfree.corpora.manifest import Manifest
from glossfree.errors import CorpusError, ModelError, RecipeError, RunError
from glossfree.models.weights import state
from glossfree.pipeline.assemble import visual_encoder
from glossfree.pipeline.start import train_recipe
from glossfree.pipeline.weights import load_backbone
from glossfree.recipe.files import load_recipe
from glossfree.training.run import Run, load_facts

STAGES = ["denoise", "pretrain", "finetune1", "finetune2"]


def begin(tiny: Any, run: Path, *overrides: str, **options: Any) -> tuple[list[str], str]:
    """Train -> the stages that steps were logged of just now, and what was said."""
    console, before = Silent(), len(list(Run(run).records()))
    recipe = load_recipe(options.pop("recipe", tiny.recipe), overrides)
    train_recipe(recipe, corpus=tiny.corpus, run=run, console=console, **options)
    stages = dict.fromkeys(record["stage"] for record in list(Run(run).records())[before:])
    return list(stages), "\n".join(console.lines)


def finished(run: Path) -> set[str]:
    return {path.stem for path in (run / "weights").iterdir()}


def equal(one: Path, other: Path, stage: str) -> bool:
    tensors, others = (load_file(Run(run).weights(stage)) for run in (one, other))
    return tensors.keys() == others.keys() and all(torch.equal(tensors[name], others[name]) for name in tensors)


def test_until_a_stage_and_then_the_rest(tiny: Any, tiny_run: Path, tmp_path: Path) -> None:
    """In two calls the weights are those of one."""
    run = tmp_path / "run"
    assert begin(tiny, run, until="pretrain")[0] == STAGES[:2]
    assert finished(run) == set(STAGES[:2])
    assert load_recipe(run / "recipe.toml") == load_recipe(tiny_run / "recipe.toml"), "the whole recipe is kept"
    assert begin(tiny, run, until="finetune1", resume=True)[0] == ["finetune1"]
    assert begin(tiny, run, until="pretrain", resume=True)[0] == []
    assert begin(tiny, run, resume=True)[0] == ["finetune2"]
    assert all(equal(run, tiny_run, stage) for stage in STAGES)


def test_until_a_stage_without_epochs_the_stages_before_it_are_trained(tiny: Any, tmp_path: Path) -> None:
    settings = ("denoise.epochs=0", "finetune1.epochs=0", "pretrain.objectives.contrastive.weight=0")
    assert begin(tiny, tmp_path / "run", *settings, until="finetune1")[0] == ["pretrain"]


def test_stages_with_equal_settings_are_taken(tiny: Any, tiny_run: Path, tmp_path: Path) -> None:
    """Up to the first that differs; from there on they are trained, and it is said why."""
    run = tmp_path / "run"
    stages, text = begin(tiny, run, "finetune1.learning_rate=1e-3", start=tiny_run)
    assert stages == STAGES[2:] and finished(run) == set(STAGES[2:])
    told = next(line for line in text.splitlines() if line.startswith(f"from {tiny_run}: "))
    assert "denoise, pretrain;" in told and "finetune1.learning_rate: 0.003, now 0.001" in told
    facts = json.loads((run / "run.json").read_text())
    assert (facts["start"], facts["taken"]) == (str(tiny_run.resolve()), STAGES[:2])
    before, after = (load_file(path) for path in (Run(tiny_run).weights("pretrain"), Run(run).weights("finetune1")))
    shared = before.keys() & after.keys()
    assert len(shared) > 40 and all(torch.equal(before[name], after[name]) for name in shared)


@pytest.mark.parametrize(
    ("changes", "taken", "reason"),
    [
        (["data.stride=2", "finetune2.batch_size=4"], 3, "finetune2 is another (finetune2.batch_size: 5, now 4)"),
        (["pretrain.objectives.contrastive.loss=divergence"], 1, "pretrain is another (pretrain.objectives.contrast"),
        (["pretrain.objectives.contrastive.weight=0"], 1, "pretrain is another (pretrain.objectives.contrast"),
        (["pretrain.epochs=0"], 1, "finetune1 builds on other stages"),
        (["finetune2.start=pretrain"], 3, 'finetune2 is another (finetune2.start: "", now "pretrain")'),
        (['stages=["denoise","pretrain","finetune2"]'], 2, "finetune2 builds on other stages"),
    ],
)
def test_which_stages_are_taken_and_why_no_more(
    tiny: Any, tiny_run: Path, tmp_path: Path, changes: list[str], taken: int, reason: str
) -> None:
    planned = [stage.name for stage in load_recipe(tiny.recipe, changes).planned]
    stages, text = begin(tiny, tmp_path / "run", *changes, start=tiny_run)
    assert stages == planned[taken:]
    assert f"from {tiny_run}: {', '.join(planned[:taken])}; its stage {reason}" in text
    assert ", and is trained here" in text


def test_stages_that_build_on_others_are_not_taken(tiny: Any, tiny_run: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="its stage pretrain builds on other stages -> --after STAGE"):
        begin(tiny, tmp_path / "run", "denoise.epochs=0", start=tiny_run)
    with pytest.raises(RunError, match=r"its stage denoise is another \(denoise.epochs: 1, now 2\)"):
        begin(tiny, tmp_path / "run", "denoise.epochs=2", start=tiny_run)
    assert not (tmp_path / "run").exists()


def test_after_a_stage_all_are_taken_as_they_are(tiny: Any, tiny_run: Path, tmp_path: Path) -> None:
    """Whatever their settings, and whatever they build on."""
    run = tmp_path / "run"
    changes = ("denoise.epochs=0", "pretrain.learning_rate=1e-4", "pretrain.epochs=7")
    stages, _ = begin(tiny, run, *changes, start=tiny_run, after="pretrain")
    assert stages == STAGES[2:]
    assert json.loads((run / "run.json").read_text())["taken"] == ["pretrain"]
    before, after = (load_file(path) for path in (Run(tiny_run).weights("pretrain"), Run(run).weights("finetune1")))
    assert all(torch.equal(before[name], after[name]) for name in before.keys() & after.keys())
    again, _ = begin(tiny, tmp_path / "other", start=tiny_run, after="denoise", until="pretrain")
    assert again == ["pretrain"] and equal(tmp_path / "other", tiny_run, "pretrain")


def test_a_stage_that_has_not_finished_is_not_taken(tiny: Any, tiny_run: Path, tmp_path: Path) -> None:
    half = tmp_path / "half"
    shutil.copytree(tiny_run, half)
    for stage in STAGES[1:]:
        Run(half).weights(stage).unlink()
    with pytest.raises(RunError, match="stage pretrain has not finished -> resume it"):
        begin(tiny, tmp_path / "run", start=half, after="finetune1")
    stages, text = begin(tiny, tmp_path / "run", start=half, until="pretrain")
    assert stages == ["pretrain"] and "denoise; stage pretrain has not finished, and is trained here" in text
    Run(half).weights("denoise").unlink()
    with pytest.raises(RunError, match="stage denoise has not finished"):
        begin(tiny, tmp_path / "none", start=half)
    with pytest.raises(RunError, match="not a run"):
        begin(tiny, tmp_path / "none", start=tmp_path)
    assert not (tmp_path / "none").exists()


def test_a_run_that_was_begun_from_another_goes_on_without_naming_it(tiny: Any, tiny_run: Path, tmp_path: Path) -> None:
    whole, run = tmp_path / "whole", tmp_path / "run"
    changes = ("pretrain.learning_rate=1e-3", "finetune2.learning_rate=1e-3")
    assert begin(tiny, whole, *changes, start=tiny_run, after="pretrain")[0] == STAGES[2:]
    assert begin(tiny, run, *changes, start=tiny_run, after="pretrain", until="finetune1")[0] == ["finetune1"]
    other, moved = (Path(shutil.copytree(tiny_run, tmp_path / name)) for name in ("other", "moved"))
    with pytest.raises(RunError, match="resume it without --from"):
        begin(tiny, run, *changes, start=other, after="pretrain", resume=True)
    facts = Run(run).read_json("run.json")
    Run(run).write_json("run.json", {**facts, "start": str(tmp_path / "where it was")})
    assert begin(tiny, run, *changes, start=moved, after="pretrain", resume=True)[0] == ["finetune2"]
    assert Run(run).read_json("run.json") == {**facts, "start": str(moved.resolve())}
    assert all(equal(run, whole, stage) for stage in STAGES[2:])
    more = (*changes, "finetune2.epochs=2")
    assert begin(tiny, run, *more, resume=True)[0] == ["finetune2"]
    assert load_facts(Run(run).weights("finetune2"))["epochs"] == 2
    assert finished(run) == set(STAGES[2:])


def test_a_finished_run_goes_on_with_its_last_stage_or_another_behind_it(
    tiny: Any, tiny_run: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(tiny_run, run)
    with pytest.raises(RunError, match=r"another recipe \(finetune1\.epochs: 1, now 2\)"):
        begin(tiny, run, "finetune1.epochs=2", resume=True)
    with pytest.raises(RunError, match="holds a run already"):
        begin(tiny, run, "finetune2.epochs=2")
    assert finished(run) == set(STAGES) and all(equal(run, tiny_run, stage) for stage in STAGES)

    measured = [run / f"{name}.json" for name in ("scores.test", "localisation.dev.pretrain", "retrieval.test")]
    for path in measured:
        path.write_text("{}", encoding="utf-8")
    stages, text = begin(tiny, run, "finetune2.epochs=2", resume=True)
    assert not any(path.exists() for path in measured), "of the earlier weights"
    assert stages == ["finetune2"] and "finetune2: 1 epoch before, continues to 2" in text
    assert "removed what is of earlier weights: " in text and "scores.test.json" in text
    assert load_recipe(run / "recipe.toml").stage("finetune2").epochs == 2

    recipe = tmp_path / "longer.toml"
    tune = "[tune]\nepochs = 1\nmapper = true\nbatch_size = 5\n[tune.objectives.translation]\n"
    head = f'base = "{tiny.recipe}"\nstages = {json.dumps([*STAGES, "tune"])}\n'
    recipe.write_text(f"{head}[finetune2]\nepochs = 2\n{tune}", encoding="utf-8")
    assert begin(tiny, run, recipe=recipe, resume=True)[0] == ["tune"]
    assert finished(run) == {*STAGES, "tune"} and all(equal(run, tiny_run, stage) for stage in STAGES[:3])
    with pytest.raises(RunError, match=r"another recipe \(finetune2\.epochs: 2, now 3\)"):
        begin(tiny, run, "finetune2.epochs=3", recipe=recipe, resume=True)


def test_where_nothing_is_to_be_trained_it_is_said(tiny: Any, tiny_run: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    for options in (
        {"start": tiny_run},
        {"start": tiny_run, "until": "pretrain"},
        {"start": tiny_run, "after": "finetune2"},
    ):
        with pytest.raises(RunError, match="nothing to train -> name a later --until, an earlier --after, or"):
            begin(tiny, run, **options)
    with pytest.raises(RunError, match="nothing to train -> set epochs"):
        begin(tiny, run, *(f"{stage}.epochs=0" for stage in STAGES))
    with pytest.raises(RunError, match="nothing to train"):
        begin(tiny, run, "denoise.epochs=0", until="denoise")
    assert not run.exists()


@pytest.mark.parametrize("option", ["until", "after"])
def test_a_stage_that_the_recipe_has_not_is_named(tiny: Any, tiny_run: Path, tmp_path: Path, option: str) -> None:
    with pytest.raises(RunError) as refused:
        begin(tiny, tmp_path / "run", start=tiny_run, **{option: "finetune3"})
    assert f"--{option} finetune3: no such stage -> one of denoise, pretrain, finetune1, finetune2" in str(
        refused.value
    )


def test_a_recipe_is_read_before_anything_else(tiny: Any, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="no such recipe"):
        begin(tiny, tmp_path / "run", recipe="none")
    with pytest.raises(RecipeError, match=r"did you mean 'pretrain\.epochs'"):
        begin(tiny, tmp_path / "run", "pretrain.epoch=1")
    assert not (tmp_path / "run").exists()


def test_a_taken_stage_of_other_sizes_leaves_no_trained_stage(tiny: Any, tiny_run: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="44"):
        begin(tiny, tmp_path / "run", "temporal.mlp_size=44", "finetune1.learning_rate=1e-3", start=tiny_run)
    assert not (tmp_path / "run/weights").exists()


def test_a_run_tells_where_it_came_from(tiny: Any, tiny_run: Path) -> None:
    facts = json.loads((tiny_run / "run.json").read_text())
    assert (facts["corpus"], facts["start"], facts["taken"]) == (str(tiny.corpus.resolve()), None, [])
    assert facts["profile"]["fps"] == [8.0, 8.0]
    assert load_recipe(tiny_run / "recipe.toml") == load_recipe(tiny.recipe, ["data.fps=8", "text.language=de_DE"])


def test_single_clips_are_refused_only_where_they_would_be_compared(tiny: Any, tiny_run: Path, tmp_path: Path) -> None:
    manifest = Manifest.load(tiny.corpus)
    shutil.copytree(tiny.corpus, tmp_path / "corpus")
    one = manifest.split("dev")[0]
    clips = tuple(clip for clip in manifest.clips if clip.split != "dev" or clip is one)
    replace(manifest, folder=tmp_path / "corpus", clips=clips).save()
    small = replace(tiny, corpus=tmp_path / "corpus")
    with pytest.raises(CorpusError, match=f"{one.id} is the only clip of dev: pretrain compares"):
        begin(small, tmp_path / "refused")
    assert not (tmp_path / "refused").exists()
    begin(small, tmp_path / "text", until="denoise")
    begin(small, tmp_path / "taken", "finetune2.epochs=0", start=tiny_run, after="pretrain")
    weightless = ("pretrain.objectives.contrastive.weight=0", "finetune1.epochs=0", "finetune2.epochs=0")
    begin(small, tmp_path / "without", *weightless)


def test_stages_of_a_run_on_another_corpus_are_taken_with_a_warning(tiny: Any, tiny_run: Path, tmp_path: Path) -> None:
    """A copy of its corpus is no other one."""
    options: dict[str, Any] = {"start": tiny_run, "after": "pretrain", "until": "finetune1"}
    other = replace(tiny, corpus=shutil.copytree(tiny.corpus, tmp_path / "corpus"))
    assert "another corpus" not in begin(other, tmp_path / "copy", **options)[1]
    manifest = Manifest.load(other.corpus)
    manifest.corpus["profile"]["clips"] += 1
    manifest.save()
    _, text = begin(other, tmp_path / "run", "data.fps=16", **options)
    assert (
        f"was trained on another corpus ({tiny.corpus})" in text and "other settings (data.fps: 8.0, now 16.0)" in text
    )
    assert Run(tmp_path / "run").read_json("run.json")["start_data"] == {"name": "wetter", "language": "de"}


def test_clips_of_another_rate_are_resampled_and_those_of_several_refused(tiny: Any, tmp_path: Path) -> None:
    only_finetune1 = ["pretrain.epochs=0", "denoise.epochs=0", "finetune2.epochs=0"]
    _, text = begin(tiny, tmp_path / "run", "data.fps=16", *only_finetune1)
    assert "resampled to data.fps = 16" in text
    manifest = Manifest.load(tiny.corpus)
    clips = [replace(clip, fps=12.0) if number % 2 else clip for number, clip in enumerate(manifest.clips)]
    shutil.copytree(tiny.corpus, tmp_path / "mixed")
    replace(manifest, folder=tmp_path / "mixed", clips=tuple(clips)).save()
    with pytest.raises(CorpusError, match=r"8 to 12 frames/s.*--fps"):
        begin(replace(tiny, corpus=tmp_path / "mixed"), tmp_path / "refused")
    assert not (tmp_path / "refused").exists()


def test_without_pseudo_glosses_everything_works_but_the_timeline(tiny: Any, tmp_path: Path, call: Any) -> None:
    """On a corpus that `glossfree glosses` was never called for."""
    corpus, run, model = tmp_path / "corpus", tmp_path / "run", tmp_path / "model"
    shutil.copytree(tiny.corpus, corpus)
    for name in ("pseudo_glosses.json", "prototypes.safetensors"):
        (corpus / name).unlink()
    common = ("--recipe", tiny.recipe, "--corpus", corpus)
    refused = call("train", *common, "--run", run)
    assert refused.code == 2 and "glossfree glosses" in refused.err and not run.exists()
    without = ("--set", "pretrain.objectives.pseudo_gloss.weight=0")
    assert call("train", *common, *without, "--run", run).code == 0
    losses = {record["stage"]: set(record["train"]) for record in Run(run).records() if record["kind"] == "epoch"}
    assert losses["pretrain"] == {"loss", "contrastive"}
    assert not any("pseudo_gloss" in name for name in load_file(Run(run).weights("pretrain")))
    assert call("evaluate", run, "--split", "test").code == 0
    assert call("export", run, model).code == 0
    assert json.loads((model / "model.json").read_text())["timeline"] is False
    clip = corpus / Manifest.load(corpus).split("test")[0].file
    translation = json.loads(call("translate", model, clip, "--json").out)
    assert translation["text"] == translation["hypotheses"][0]["text"] and translation["pseudo_glosses"] == []
    assert call("translate", model, clip).code == 0
    page = call("report", run, "--split", "test", "--clips", 2)
    assert page.code == 0 and (run / "report.html").read_text(encoding="utf-8").count("<video") == 2
    assert not any((folder / "pseudo_glosses.json").exists() for folder in (corpus, run, model))


def test_of_another_temporal_module_the_timeline_has_other_segments(tiny: Any, tmp_path: Path, call: Any) -> None:
    """Segments of one frame each, in a translation, a report and where signs are pointed at."""
    run, model = tmp_path / "run", tmp_path / "model"
    linear = ("temporal.kind=linear", "temporal.hidden_size=36", "denoise.epochs=0", "finetune1.epochs=0")
    begin(tiny, run, *linear)
    assert call("evaluate", run, "--split", "test").code == 0
    assert call("export", run, model).code == 0
    clip = tiny.corpus / Manifest.load(tiny.corpus).split("test")[0].file
    translation = json.loads(call("translate", model, clip, "--json").out)
    assert {len(track["timeline"]) for track in translation["pseudo_glosses"]} == {translation["frames"]}
    assert call("report", run, "--split", "test", "--clips", 2).code == 0
    assert "mAP" in (run / "report.html").read_text(encoding="utf-8")


def test_a_model_is_as_its_own_stage_has_it_whatever_later_stages_add(tiny: Any, tmp_path: Path, call: Any) -> None:
    """Neither adapters nor mapper are in it yet: scored, exported, used, and a backbone for another run."""
    run, model = tmp_path / "run", tmp_path / "model"
    plain = ["denoise.epochs=0", "pretrain.epochs=0", "finetune1.adapters=false", "finetune1.mapper=false"]
    plain += ['finetune1.train=["vision","temporal","language","decoder"]', "finetune1.batches=clips"]
    begin(tiny, run, *plain, until="finetune1")
    assert call("evaluate", run, "--split", "dev").code == 0
    assert call("export", run, model).code == 0
    clip = tiny.corpus / Manifest.load(tiny.corpus).split("test")[0].file
    assert call("translate", model, clip).code == 0
    for source in (run, model):
        recipe = load_recipe(tiny.recipe)
        backbone = visual_encoder(recipe).backbone
        load_backbone(backbone, recipe.vision, source)
        trained = load_file(Run(run).weights("finetune1"))
        for name, tensor in state(backbone).items():
            assert torch.equal(tensor, trained[f"hierarchy.visual.backbone.{name}"])


def test_pseudo_glosses_of_a_corpus_that_has_shrunk_are_said(tiny: Any, tmp_path: Path) -> None:
    _, lines = begin(tiny, tmp_path / "same", until="pretrain")
    assert "glossfree glosses" not in lines
    shutil.copytree(tiny.corpus, tmp_path / "corpus")
    manifest = Manifest.load(tmp_path / "corpus")
    train = [clip for clip in manifest if clip.split == "train"]
    replace(manifest, clips=tuple(clip for clip in manifest if clip.text != train[0].text)).save()
    smaller = replace(tiny, corpus=tmp_path / "corpus")
    _, lines = begin(smaller, tmp_path / "run", until="pretrain")
    assert f"other sentences than the corpus has now -> make them again: glossfree glosses {smaller.corpus}" in lines
