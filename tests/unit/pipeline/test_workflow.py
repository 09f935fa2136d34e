"""Stages one after another: what is finished is loaded, what is not is trained, and how a run may go on."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from glossfree.console import Silent
from glossfree.errors import ModelError, RunError
from glossfree.models.weights import state
from glossfree.pipeline import workflow as module
from glossfree.pipeline.assemble import assemble
from glossfree.pipeline.material import gather
from glossfree.pipeline.start import start_run
from glossfree.pipeline.text_features import TEXT_FEATURES, text_features_of
from glossfree.pipeline.workflow import Workflow, segment_features
from glossfree.recipe.files import load_recipe
from glossfree.training.run import Run, load_facts, save_tensors

STAGES = ("denoise", "pretrain", "finetune1", "finetune2")


def workflow(
    tiny: Any, run: Path, *overrides: str, start: Path | None = None, taken: Sequence[str] = ()
) -> tuple[Workflow, Silent]:
    material, console = gather(load_recipe(tiny.recipe, overrides), tiny.corpus), Silent()
    recipe = material.recipe
    start_run(Run(run), material, resume=True, facts={})
    origins = {} if start is None else dict.fromkeys(taken, Run(start))
    build = partial(assemble, recipe, len(material.tokenizer))
    return Workflow(material, build, Run(run), console, origins), console


def train(
    tiny: Any,
    run: Path,
    *overrides: str,
    until: str = STAGES[-1],
    start: Path | None = None,
    taken: Sequence[str] = (),
) -> list[str]:
    """Train the planned stages up to and with `until` -> those that steps were logged of just now, in order."""
    flow, console = workflow(tiny, run, *overrides, start=start, taken=taken)
    before = len(list(flow.run.records()))
    planned = flow.recipe.planned
    last = [stage.name for stage in planned].index(until)
    flow.train(planned[: last + 1])
    trained = dict.fromkeys(record["stage"] for record in list(flow.run.records())[before:])
    assert [line.split(":")[0] for line in console.lines if "parameters train" in line] == list(trained)
    return list(trained)


def copy_of(run: Path, tmp_path: Path, *missing: str) -> Path:
    """A copy of a run, as if it had been killed before it finished the `missing` stages."""
    shutil.copytree(run, tmp_path / "copy")
    kept = [record for record in Run(run).records() if record["stage"] not in missing]
    (tmp_path / "copy/steps.jsonl").write_text("".join(json.dumps(record) + "\n" for record in kept))
    for stage in missing:
        (tmp_path / f"copy/weights/{stage}.safetensors").unlink()
    return tmp_path / "copy"


def weights(run: Path, stage: str) -> dict[str, torch.Tensor]:
    return load_file(run / f"weights/{stage}.safetensors")


def different(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> list[str]:
    assert one.keys() == other.keys()
    return [name for name in one if not torch.equal(one[name], other[name])]


def test_finished_stages_are_not_trained_again(tiny: Any, tiny_run: Path, tmp_path: Path) -> None:
    run = copy_of(tiny_run, tmp_path, "finetune2")
    before = {path: path.read_bytes() for path in (run / "weights").iterdir()}
    assert train(tiny, run) == ["finetune2"]
    assert {path: path.read_bytes() for path in before} == before
    assert different(weights(tiny_run, "finetune2"), weights(run, "finetune2")) == []


def test_stages_without_epochs_are_left_out(tiny: Any, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert train(tiny, run, "denoise.epochs=0", "pretrain.epochs=0", "finetune2.epochs=0", until="finetune1") == [
        "finetune1"
    ]
    assert [path.stem for path in (run / "weights").iterdir()] == ["finetune1"]
    assert list((run / "checkpoints").iterdir()) == []


def test_taken_stages_come_from_the_run_that_this_one_starts_from(tiny: Any, tiny_run: Path, tmp_path: Path) -> None:
    """And from no other file of it: its fine-tuning is not taken."""
    run, taken = tmp_path / "run", ("denoise", "pretrain")
    assert train(tiny, run, "seed=3", until="finetune1", start=tiny_run, taken=taken) == ["finetune1"]
    assert [path.stem for path in (run / "weights").iterdir()] == ["finetune1"]
    before, after = weights(tiny_run, "pretrain"), weights(run, "finetune1")
    shared = [name for name in before if name in after]
    assert len(shared) > 40 and [name for name in shared if not torch.equal(before[name], after[name])] == []
    assert different(weights(tiny_run, "finetune1"), after) != [], "it was trained here, with another seed"


def test_text_features_are_computed_only_for_a_stage_that_needs_them_and_is_still_to_be_trained(
    tiny: Any, tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed: list[bool] = []
    compute = text_features_of

    def recording(*arguments: Any, pooled: bool) -> dict[str, torch.Tensor]:
        computed.append(pooled)
        return compute(*arguments, pooled=pooled)

    monkeypatch.setattr(module, "text_features_of", recording)
    train(tiny, tmp_path / "run", start=tiny_run, taken=STAGES[:2])
    assert computed == []
    train(tiny, copy_of(tiny_run, tmp_path, "pretrain"), until="pretrain")
    assert computed == [True]
    assert not (tmp_path / "copy" / TEXT_FEATURES[True]).exists(), "it has served its purpose"
    plain = ("pretrain.objectives.contrastive.weight=0", "finetune1.epochs=0", "finetune2.epochs=0")
    train(tiny, tmp_path / "plain", *plain, until="pretrain")
    assert computed == [True], "an objective without weight needs nothing"


def test_a_start_of_other_sizes_is_refused(tiny: Any, tiny_run: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="44"):
        train(tiny, tmp_path / "run", "temporal.mlp_size=44", start=tiny_run, taken=STAGES[:2])


def test_a_stage_begins_with_the_weights_of_the_one_before(tiny_run: Path) -> None:
    """Below the mapper, finetune1 leaves everything as pre-training left it."""
    before, after, last = (weights(tiny_run, stage) for stage in STAGES[1:])
    shared = [name for name in before if name in after]
    assert len(shared) > 40
    assert [name for name in shared if not torch.equal(before[name], after[name])] == []
    assert any(not torch.equal(before[name], last[name]) for name in shared)


@pytest.mark.parametrize("start", ["none", "denoise", "pretrain"])
def test_a_stage_begins_with_the_stage_that_it_names(tiny: Any, tiny_run: Path, tmp_path: Path, start: str) -> None:
    """As if the stages that it passes over were not in the recipe: its weights are the same to the last bit."""
    passed = STAGES[:3] if start == "none" else STAGES[STAGES.index(start) + 1 : 3]
    left_out = [f"{stage}.epochs=0" for stage in passed]
    over, without = tmp_path / "over", tmp_path / "without"
    assert train(tiny, over, f"finetune2.start={start}", start=tiny_run, taken=STAGES[:3]) == ["finetune2"]
    taken = [stage for stage in STAGES[:3] if stage not in passed]
    assert train(tiny, without, *left_out, start=tiny_run, taken=taken) == ["finetune2"]
    assert different(weights(over, "finetune2"), weights(without, "finetune2")) == []
    assert different(weights(over, "finetune2"), weights(tiny_run, "finetune2")) != []


@pytest.mark.parametrize("start", ["none", "pretrain"])
def test_what_a_stage_does_not_train_is_exactly_what_it_begins_with(
    tiny: Any, tiny_run: Path, tmp_path: Path, start: str
) -> None:
    settings = (f"finetune2.start={start}", 'finetune2.train=["decoder"]')
    train(tiny, tmp_path / "run", *settings, start=tiny_run, taken=STAGES[:3])
    after = weights(tmp_path / "run", "finetune2")
    if start == "pretrain":
        expected = {name: t for name, t in weights(tiny_run, "pretrain").items() if name.startswith("hierarchy.")}
    else:
        flow, _ = workflow(tiny, tmp_path / "run", *settings)
        expected = {name: t for name, t in state(flow.build()).items() if name.startswith("hierarchy.temporal.")}
    assert len(expected) > 10
    assert [name for name in expected if not torch.equal(expected[name], after[name])] == []


def test_a_run_holds_all_that_its_model_needs(tiny: Any, tmp_path: Path) -> None:
    needed = {"recipe.toml", "run.json", "tokenizer/sentencepiece.bpe.model", "tokenizer/tokenizer.json"}
    for settings, more in (((), {"pseudo_glosses.json"}), (("pretrain.objectives.pseudo_gloss.weight=0",), set())):
        run = tmp_path / f"run-{len(more)}"
        workflow(tiny, run, *settings)
        assert {str(path.relative_to(run)) for path in run.rglob("*") if path.is_file()} == needed | more


def test_a_run_is_reopened_only_with_its_own_recipe_and_sentences(tiny: Any, tmp_path: Path) -> None:
    recipe = load_recipe(tiny.recipe)
    material = gather(recipe, tiny.corpus)
    run = tmp_path / "run"
    start_run(Run(run), material, resume=False, facts={"start": None})
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    start_run(Run(run), material, resume=True, facts={"start": None})
    with pytest.raises(RunError, match="holds a run already"):
        start_run(Run(run), material, resume=False, facts={})
    for changes, problem in (
        (["seed=1"], r"\(seed: 0, now 1\)"),
        (
            ["data.stride=2", "finetune2.learning_rate=1e-3"],
            r"data\.stride: 3, now 2; finetune2\.learning_rate: 0\.003",
        ),
        (["pretrain.epochs=9"], r"pretrain\.epochs: 1, now 9"),
        (["finetune2.epochs=0"], r"finetune2\.epochs: 1, now 0"),
        (["temporal.kind=linear"], r'temporal\.kind: "local_attention", now "linear"'),
        (["pretrain.objectives.pseudo_gloss.weight=0"], r"pretrain\.objectives\.pseudo_gloss\.weight: 10\.0, now 0"),
        (['stages=["denoise","pretrain","finetune2"]'], r"stages: \[.*finetune1"),
        (['stages=["denoise","pretrain","finetune2","finetune1"]'], r"stages: \["),
    ):
        with pytest.raises(RunError, match=f"was started with another recipe .*{problem}"):
            start_run(Run(run), replace(material, recipe=load_recipe(tiny.recipe, changes)), resume=True, facts={})
    assert material.glosses is not None
    other = replace(material, glosses=replace(material.glosses, counts={}))
    with pytest.raises(RunError, match="other sentences, glosses or pseudo-glosses"):
        start_run(Run(run), other, resume=True, facts={})
    assert {path: path.read_bytes() for path in before} == before


MORE = ('stages=["denoise","pretrain","finetune1","finetune2","tune"]', "tune.epochs=3", "tune.mapper=true")


@pytest.mark.parametrize(
    "changes",
    [
        ["data.num_workers=1", "training.checkpoint_minutes=3", "data.cache_megabytes=5"],  # no number depends on these
        ["name=other", "summary=other"],
        ["finetune2.epochs=2"],
        [*MORE, "tune.objectives.translation.label_smoothing=0.1"],
        [*MORE, "tune.objectives.translation.label_smoothing=0.1", "finetune2.epochs=2"],
    ],
)
def test_a_run_may_go_on_with_more_and_then_has_that_recipe(tiny: Any, tmp_path: Path, changes: list[str]) -> None:
    recipe, more = load_recipe(tiny.recipe, ["data.fps=8"]), load_recipe(tiny.recipe, ["data.fps=8", *changes])
    material = gather(recipe, tiny.corpus)
    start_run(Run(tmp_path / "run"), material, resume=False, facts={})
    start_run(Run(tmp_path / "run"), replace(material, recipe=more), resume=True, facts={})
    assert load_recipe(tmp_path / "run/recipe.toml") == more
    longer = [key for key in changes if key.startswith(("stages", "finetune2"))]
    if longer:
        with pytest.raises(RunError, match="was started with another recipe"):  # there is no way back
            start_run(Run(tmp_path / "run"), material, resume=True, facts={})


def shortened(tiny: Any, tiny_run: Path, tmp_path: Path, last: str, *overrides: str) -> tuple[Path, list[str]]:
    """A run whose last stage is `last`, made of a longer one that began the same, and its settings."""
    behind = STAGES[STAGES.index(last) + 1 :]
    settings = [*overrides, *(f"{stage}.epochs=0" for stage in behind)]
    run = copy_of(tiny_run, tmp_path, *behind)
    (run / "recipe.toml").unlink()
    recipe = load_recipe(tiny.recipe, ["data.fps=8", *settings])
    start_run(Run(run), gather(recipe, tiny.corpus), resume=False, facts={})
    return run, settings


def with_best(run: Path, stage: str, best: float) -> None:
    """Let a finished stage have had another best loss."""
    path = Run(run).weights(stage)
    save_tensors(path, load_file(path), {**load_facts(path), "best": best})


@pytest.mark.parametrize("stage", ["denoise", "pretrain", "finetune1", "finetune2"])
@pytest.mark.parametrize("best", [-1.0, 1e9])
def test_a_finished_run_goes_on_with_more_epochs_and_keeps_only_better_ones(
    tiny: Any, tiny_run: Path, tmp_path: Path, stage: str, best: float
) -> None:
    run, settings = shortened(tiny, tiny_run, tmp_path, stage)
    with_best(run, stage, best)
    before = weights(run, stage)
    assert train(tiny, run, *settings, f"{stage}.epochs=3", until=stage) == [stage]
    epochs = [record for record in Run(run).records() if (record["stage"], record["kind"]) == (stage, "epoch")]
    assert [record["epoch"] for record in epochs] == [0, 1, 2]
    steps = [record["step"] for record in Run(run).records() if (record["stage"], record["kind"]) == (stage, "step")]
    assert steps == list(range(1, len(steps) + 1))
    facts = load_facts(Run(run).weights(stage))
    lowest = min(record["dev"]["loss"] for record in epochs[1:])
    assert 0 < facts.pop("trained") <= facts.pop("parameters")
    assert facts == {"stage": stage, "epochs": 3, "best": lowest if best > 0 else best}
    changed = different(before, weights(run, stage))
    assert bool(changed) == (best > 0)
    if stage == "pretrain" and best > 0:  # the objectives' own weights go on, too
        assert "objectives.pseudo_gloss.head.prototypes" in changed
    assert list((run / "checkpoints").iterdir()) == []


def test_more_epochs_begin_with_the_weights_of_before_and_a_schedule_of_their_own(
    tiny: Any, tiny_run: Path, tmp_path: Path
) -> None:
    """With next to no learning rate nothing but BatchNorm's statistics moves, of model and objectives."""
    run, settings = shortened(tiny, tiny_run, tmp_path, "pretrain", "pretrain.learning_rate=1e-12")
    with_best(run, "pretrain", 1e9)
    before = weights(run, "pretrain")
    train(tiny, run, *settings, "pretrain.epochs=3", until="pretrain")
    after = weights(run, "pretrain")
    moved = [name for name in before if not torch.allclose(before[name], after[name], rtol=0, atol=1e-8)]
    assert moved and all("running_" in name or name.endswith("num_batches_tracked") for name in moved), moved
    records = [record for record in Run(run).records() if record["stage"] == "pretrain" and record["epoch"]]
    rates = [record["lr"] for record in records if record["kind"] == "step"]
    assert rates[0] < max(rates) == pytest.approx(1e-12) and rates[-1] < 0.1 * max(rates)


def test_a_finished_run_goes_on_with_a_stage_behind(tiny: Any, tiny_run: Path, tmp_path: Path) -> None:
    run = copy_of(tiny_run, tmp_path)
    before = {path.name: path.read_bytes() for path in (run / "weights").iterdir()}
    settings = [*MORE, "tune.epochs=1", "tune.batch_size=5", 'tune.train=["decoder"]']
    settings.append("tune.objectives.translation.label_smoothing=0.1")
    assert train(tiny, run, *settings, until="tune") == ["tune"]
    assert {path.name: path.read_bytes() for path in (run / "weights").iterdir() if path.name in before} == before
    last, tuned = weights(run, "finetune2"), weights(run, "tune")
    changed = {name.split(".")[0] for name in different(last, tuned)}
    assert changed == {"decoder"}
    assert train(tiny, run, *settings, until="tune") == []


def test_segment_features_are_those_of_single_clips(tiny: Any) -> None:
    recipe = load_recipe(tiny.recipe)
    material = gather(recipe, tiny.corpus)
    hierarchy = assemble(recipe, len(material.tokenizer)).hierarchy
    loader = material.clip_loader("dev", 5)
    assert loader is not None
    hierarchy.train()
    features = segment_features(hierarchy, loader, torch.device("cpu"), Silent(), "dev")
    assert list(features) == [clip for batch in loader for clip in batch.ids]
    hierarchy.eval()
    for batch in loader:
        for clip, frames in zip(batch.ids, batch.frames.split(batch.lengths.tolist()), strict=True):
            single = hierarchy.segments(frames, torch.tensor([len(frames)]))
            assert features[clip].shape == (-(-len(frames) // 2), 32)
            torch.testing.assert_close(features[clip], single.values[0].detach(), atol=1e-5, rtol=1e-4)


def test_what_reads_sentences_is_the_same_after_a_break(
    tiny: Any, tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Features that were computed once, or a frozen encoder where they depend on the batch: what they lead to."""
    prefixes = []
    for average_padding in ("false", "true"):
        settings = ("pretrain.epochs=2", f"pretrain.objectives.contrastive.average_padding={average_padding}")
        calm, broken = tmp_path / f"calm-{average_padding}", tmp_path / f"broken-{average_padding}"
        train(tiny, calm, *settings, until="pretrain", start=tiny_run, taken=STAGES[:1])
        with monkeypatch.context() as patched, pytest.raises(RuntimeError, match="a power cut"):
            patched.setattr(Run, "log", power_cut(Run.log))
            train(tiny, broken, *settings, until="pretrain", start=tiny_run, taken=STAGES[:1])
        train(tiny, broken, *settings, until="pretrain", start=tiny_run, taken=STAGES[:1])
        assert different(weights(calm, "pretrain"), weights(broken, "pretrain")) == []
        prefixes.append(weights(calm, "pretrain")["objectives.contrastive.prefix"])
    assert not torch.equal(*prefixes), "padding counts in one of both"


def power_cut(log: Callable[..., None]) -> Callable[..., None]:
    """`Run.log` that breaks off in the second epoch of pre-training."""

    def cut(run: Run, record: dict[str, Any]) -> None:
        if (record["stage"], record["kind"], record["epoch"]) == ("pretrain", "step", 1):
            raise RuntimeError("a power cut")
        log(run, record)

    return cut
