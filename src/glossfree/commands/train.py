"""`pretrain`, `finetune` and `train`: a recipe on a prepared corpus, into a run folder."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from glossfree.advice import advice
from glossfree.assemble import assemble
from glossfree.commands.features import check_weights_named, stored_features
from glossfree.config import load_recipe
from glossfree.errors import RunError
from glossfree.material import gather
from glossfree.progress import Console
from glossfree.recipe import Recipe
from glossfree.sources import load_sources, refuse_others, weight_sources
from glossfree.stages import STAGES
from glossfree.text.tokenizer import SentenceTokenizer
from glossfree.training.loop import precision_of
from glossfree.training.processes import Processes
from glossfree.training.run import Run
from glossfree.training.trackers import check_trackers
from glossfree.video.timeline import SAME_RATE
from glossfree.workflow import Workflow, reopens, require, start_run


def pretrain(
    recipe: str | Path,
    *,
    corpus: Path,
    run: Path,
    console: Console,
    overrides: Sequence[str] = (),
    resume: bool = False,
    track: Sequence[str] = (),
) -> Run:
    """The text stage (where the recipe has one) and hierarchical pre-training."""
    chosen = load_recipe(recipe, overrides)
    return run_stages(chosen, STAGES[:2], corpus=corpus, run=run, console=console, resume=resume, track=track)


def finetune(
    recipe: str | Path,
    *,
    corpus: Path,
    run: Path,
    console: Console,
    start: Path | None = None,
    overrides: Sequence[str] = (),
    resume: bool = False,
    track: Sequence[str] = (),
) -> Run:
    """Both fine-tuning stages, from the weights of `start`; without it, without hierarchical pre-training."""
    chosen = load_recipe(recipe, overrides)
    if start is None:
        chosen = chosen.model_copy(update={"pretrain": chosen.pretrain.model_copy(update={"epochs": 0})})
    else:
        require(Run(start), "pretrain")
    return run_stages(chosen, STAGES, corpus=corpus, run=run, console=console, start=start, resume=resume, track=track)


def train(
    recipe: str | Path,
    *,
    corpus: Path,
    run: Path,
    console: Console,
    overrides: Sequence[str] = (),
    resume: bool = False,
    track: Sequence[str] = (),
) -> Run:
    """All stages of the recipe, one after another."""
    chosen = load_recipe(recipe, overrides)
    return run_stages(chosen, STAGES, corpus=corpus, run=run, console=console, resume=resume, track=track)


def run_stages(
    recipe: Recipe,
    stages: Sequence[str],
    *,
    corpus: Path,
    run: Path,
    console: Console,
    start: Path | None = None,
    resume: bool = False,
    track: Sequence[str] = (),
) -> Run:
    """Train `stages` of a recipe on a prepared corpus; weights of stages that `start` has finished are taken over.

    `track`: trackers by name (see training.trackers). Raises RunError, before anything is read, if one is not there.
    """
    check_trackers(track)
    check_weights_named(recipe)
    if not any(getattr(recipe, stage).epochs for stage in stages):
        raise RunError("every stage has 0 epochs", where=recipe.name, remedy="set epochs in the recipe")
    begun, group = time.perf_counter(), Processes.launched()
    tokenizer = None if start is None else SentenceTokenizer.load(start / "tokenizer")
    material = gather(recipe, corpus, tokenizer=tokenizer)
    recipe = material.recipe
    begin = None if start is None else Run(start)
    finished = any(each.weights("pretrain").is_file() for each in (Run(run), begin) if each is not None)
    if "pretrain" in stages and recipe.pretrain.epochs and not finished:
        material.check_pairs()
    earlier = [Run(run)] if reopens(Run(run), recipe, material, resume=resume) else []
    if not earlier:
        taken_over = [name for name in STAGES[:2] if begin is not None and begin.weights(name).is_file()]
        to_train = [name for name in stages if name not in taken_over]
        rates = [clip.fps for clip in material.manifest]
        if max(rates) > recipe.data.fps * (1 + SAME_RATE) or min(rates) < recipe.data.fps * (1 - SAME_RATE):
            seen = f"{min(rates):g} to {max(rates):g}" if min(rates) < max(rates) else f"{rates[0]:g}"
            console.say(f"clips of {seen} frames/s are resampled to data.fps = {recipe.data.fps:g}")
        for line in advice(recipe, str(material.manifest.corpus.get("name", "")), to_train, precision_of()):
            console.say(f"warning: {line}")
    sources = weight_sources(recipe)
    if sources:
        for other in [*earlier, *([] if begin is None else [begin])]:
            refuse_others(sources, other.read_json("run.json").get("weights", {}), where=other.folder)
    # before the run folder is made: what cannot be loaded leaves none behind
    parts = assemble(recipe, len(material.tokenizer))
    weights = load_sources(parts, sources, material.kept_ids, console)
    if recipe.vision.features == "cached":
        material = replace(material, store=stored_features(recipe, material, parts, begin))
    facts: dict[str, object] = {
        "start": None if start is None else str(start.resolve()),
        "weights": weights,
        "profile": material.manifest.corpus.get("profile", {}),
    }
    group.wait()  # until all have seen what was there before
    opened = start_run(run, recipe, material, resume=resume, facts=facts) if group.is_main else Run(run)
    group.wait()
    Workflow(recipe, material, parts, opened, console, begin, track).train(stages)
    console.say(f"{', '.join(stages)} in {time.perf_counter() - begun:.0f} s: {opened.folder}")
    return opened
