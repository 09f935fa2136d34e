"""`train`: the stages of a recipe on a prepared corpus, into a run folder."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from glossfree.advice import advice
from glossfree.assemble import assemble
from glossfree.commands.features import check_weights_named, stored_features
from glossfree.config import differences, in_words, load_recipe
from glossfree.errors import RunError
from glossfree.material import Material, gather
from glossfree.models.translator import TranslationModel
from glossfree.progress import Console, Silent
from glossfree.recipe import Recipe
from glossfree.sources import check_same_sources, load_sources, weight_sources
from glossfree.text.tokenizer import SentenceTokenizer
from glossfree.training.loop import precision_of
from glossfree.training.processes import Processes
from glossfree.training.run import Run
from glossfree.training.trackers import check_trackers
from glossfree.video.timeline import SAME_RATE
from glossfree.workflow import TOKENIZER, Workflow, reopens, start_run


def train(
    recipe: str | Path | Recipe,
    *,
    corpus: Path,
    run: Path,
    console: Console,
    overrides: Sequence[str] = (),
    until: str | None = None,
    start: Path | None = None,
    after: str | None = None,
    resume: bool = False,
    track: Sequence[str] = (),
) -> Run:
    """Train a recipe's stages, one after another, up to and with `until`.

    `start`: a run whose finished stages are not trained again, but taken: those up to and with `after`, as they are;
    without `after`, all from the first on whose settings are the same in both recipes. `track`: trackers by name (see
    training.trackers). Raises RunError, before anything is read, if one is not there; RecipeError; CorpusError.
    """
    check_trackers(track)
    chosen = recipe if isinstance(recipe, Recipe) else load_recipe(recipe, overrides)
    check_weights_named(chosen)
    begun, group = time.perf_counter(), Processes.launched()
    _named(chosen, until, after)
    if start is None and resume and Run(run).recipe.is_file():
        before = Run(run).read_json("run.json")
        start, after = before.get("start") and Path(before["start"]), (before.get("taken") or [after])[-1]
    origin = None if start is None else Run(start)
    taken = () if origin is None else _taken(chosen, origin, after, console)
    stages = [stage for stage in chosen.planned if until is None or _place(chosen, stage.name) <= _place(chosen, until)]
    if not stages or all(stage.name in taken for stage in stages):
        remedy = "set epochs in the recipe" if not taken else "name a later --until, or change a stage with --set"
        raise RunError("nothing to train", where=chosen.name, remedy=remedy)
    tokenizer = None if origin is None else SentenceTokenizer.load(origin.folder / TOKENIZER)
    material = gather(chosen, corpus, tokenizer=tokenizer)
    chosen = material.recipe
    due = [stage for stage in stages if stage.name not in taken and not Run(run).weights(stage.name).is_file()]
    for stage in due:
        if stage.compares_clips:
            material.check_pairs(stage.name)
    earlier = [Run(run)] if reopens(Run(run), chosen, material, resume=resume) else []
    if not earlier:
        own = [stage.name for stage in chosen.stages if stage.name not in taken]
        _say_what_to_expect(chosen, material, own, console)
    sources = weight_sources(chosen)
    for other in [*earlier, *([] if origin is None else [origin])] if sources else []:
        check_same_sources(sources, other.read_json("run.json").get("weights", {}), where=other.folder)
    record: dict[str, Any] = {}

    def build() -> TranslationModel:
        """The model with its pretrained weights. Its census is said once."""
        model = assemble(chosen, len(material.tokenizer))
        record.update(load_sources(model, chosen, sources, material.kept_ids, Silent() if record else console))
        return model

    # before the run folder is made: what cannot be loaded leaves none behind
    built = [build()]
    if chosen.vision.features == "cached":
        material = replace(material, store=stored_features(chosen, material, built[0], origin, taken))
    facts: dict[str, object] = {
        "start": None if start is None else str(start.resolve()),
        "taken": list(taken),
        "weights": record,
        "profile": material.manifest.corpus.get("profile", {}),
    }
    group.wait()  # until all have seen what was there before
    opened = start_run(run, chosen, material, resume=resume, facts=facts) if group.is_main else Run(run)
    group.wait()
    Workflow(chosen, material, lambda: built.pop() if built else build(), opened, console, origin, taken, track).train(
        stages
    )
    names = ", ".join(stage.name for stage in stages)
    console.say(f"{names} in {time.perf_counter() - begun:.0f} s: {opened.folder}")
    return opened


def _place(recipe: Recipe, name: str) -> int:
    return [stage.name for stage in recipe.stages].index(name)


def _named(recipe: Recipe, until: str | None, after: str | None) -> None:
    """Raise RunError for a stage that the recipe has not."""
    names = [stage.name for stage in recipe.stages]
    for option, name in (("--until", until), ("--after", after)):
        if name is not None and name not in names:
            raise RunError("no such stage", where=f"{option} {name}", remedy=f"one of {', '.join(names)}")


def _taken(recipe: Recipe, origin: Run, after: str | None, console: Console) -> tuple[str, ...]:
    """The stages that are not trained again: those that `origin` has finished, as `train` says.

    Raises RunError if there are none.
    """
    if not origin.recipe.is_file():
        raise RunError("no recipe.toml: not a run", where=origin.folder, remedy="name the folder given to --run")
    theirs = load_recipe(origin.recipe)
    taken: list[str] = []
    problem = ""
    for stage in recipe.planned:
        if after is not None and _place(recipe, stage.name) > _place(recipe, after):
            break
        if not origin.weights(stage.name).is_file():
            problem = f"stage {stage.name} has not finished"
            break
        changed = {key: pair for key, pair in differences(theirs, recipe).items() if key.startswith(f"{stage.name}.")}
        if changed and after is None:
            problem = f"its stage {stage.name} is another ({in_words(changed)})"
            break
        if theirs.parents(stage.name) != recipe.parents(stage.name) and after is None:
            problem = f"its stage {stage.name} builds on other stages"
            break
        taken.append(stage.name)
    if not taken or (after is not None and problem):
        remedy = "resume it: --resume" if "finished" in problem else "--after STAGE takes its weights as they are"
        raise RunError(problem or "has none of this recipe's stages", where=origin.folder, remedy=remedy)
    if problem:
        console.say(f"from {origin.folder}: {', '.join(taken)}; {problem}, and is trained here")
    return tuple(taken)


def _say_what_to_expect(recipe: Recipe, material: Material, stages: Sequence[str], console: Console) -> None:
    """What a new run does to its clips, and what it does otherwise than the recipe that it is named after."""
    rates = [clip.fps for clip in material.manifest]
    if max(rates) > recipe.data.fps * (1 + SAME_RATE) or min(rates) < recipe.data.fps * (1 - SAME_RATE):
        seen = f"{min(rates):g} to {max(rates):g}" if min(rates) < max(rates) else f"{rates[0]:g}"
        console.say(f"clips of {seen} frames/s are resampled to data.fps = {recipe.data.fps:g}")
    corpus = str(material.manifest.corpus.get("name", ""))
    for line in advice(recipe, corpus, stages, precision_of()):
        console.say(f"warning: {line}")
