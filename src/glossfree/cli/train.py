"""`train`: the stages of a recipe on a prepared corpus, into a run folder."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from glossfree.cli import options
from glossfree.cli.features import check_weights_named, stored_features
from glossfree.cli.options import Corpus, Overrides, RunFolder, Track
from glossfree.cli.verb import Written
from glossfree.console import Console, Silent
from glossfree.errors import RunError
from glossfree.models.hierarchy import TranslationModel
from glossfree.pipeline.assemble import assemble
from glossfree.pipeline.material import Material, gather
from glossfree.pipeline.weights import check_same_sources, load_sources, weight_sources
from glossfree.pipeline.workflow import MAY_CHANGE, TOKENIZER, Workflow, reopens, start_run
from glossfree.recipe.advice import advice
from glossfree.recipe.files import load_recipe
from glossfree.recipe.schema import Recipe, StageConfig
from glossfree.recipe.values import differences, in_words
from glossfree.text.tokenizer import SentenceTokenizer
from glossfree.training.loop import precision_of
from glossfree.training.processes import Processes
from glossfree.training.run import Run
from glossfree.training.trackers import check_trackers
from glossfree.video.timeline import SAME_RATE


def train(
    recipe: options.Recipe,
    corpus: Corpus,
    run: RunFolder,
    console: Console,
    overrides: Overrides = None,
    track: Track = None,
    until: Annotated[str | None, typer.Option(metavar="STAGE", help="The last stage to train.")] = None,
    from_: Annotated[
        Path | None, typer.Option("--from", metavar="RUN", help="Take the stages that this run has finished.")
    ] = None,
    after: Annotated[
        str | None, typer.Option(metavar="STAGE", help="With --from: take RUN's stages up to this one, as they are.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a run that was interrupted.")] = False,
) -> Written:
    """Train a recipe's stages; see `train_recipe`."""
    if after is not None and from_ is None:
        raise RunError("without --from", where=f"--after {after}", remedy="name the run to go on from")
    trained = train_recipe(
        load_recipe(recipe, overrides or ()),
        corpus=corpus,
        run=run,
        console=console,
        until=until,
        start=from_,
        after=after,
        resume=resume,
        track=track or (),
    )
    return Written(trained.folder)


def train_recipe(
    recipe: Recipe,
    *,
    corpus: Path,
    run: Path,
    console: Console,
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
    chosen = recipe
    check_weights_named(chosen)
    begun, group = time.perf_counter(), Processes.launched()
    _check_names(chosen, until, after)
    if start is None and resume and Run(run).recipe.is_file():
        start, after = _started_from(Run(run), after)
    origin = None if start is None else Run(start)
    taken = () if origin is None else _taken(chosen, origin, after, console)
    stages = _until(chosen, until, taken)
    tokenizer = None if origin is None else SentenceTokenizer.load(origin.folder / TOKENIZER)
    material = gather(chosen, corpus, tokenizer=tokenizer)
    chosen = material.recipe
    for stage in stages:
        if stage.compares_clips and stage.name not in taken and not Run(run).weights(stage.name).is_file():
            material.check_pairs(stage.name)
    earlier = [Run(run)] if reopens(Run(run), chosen, material, resume=resume) else []
    if earlier:
        _say_what_goes_on(Run(run), chosen, console)
    else:
        _say_what_to_expect(chosen, material, taken, console)
    builder = _Builder(chosen, material, console)
    builder.check_same_sources([*earlier, *([] if origin is None else [origin])])
    builder.build_first()  # before the run folder is made: what cannot be loaded leaves none behind
    if chosen.vision.features == "cached":
        material = replace(material, store=stored_features(chosen, material, builder.first, origin, taken))
    facts: dict[str, object] = {
        "start": None if start is None else str(start.resolve()),
        "taken": list(taken),
        "weights": builder.record,
        "profile": material.manifest.corpus.get("profile", {}),
    }
    group.wait()  # until all have seen what was there before
    opened = start_run(run, chosen, material, resume=resume, facts=facts) if group.is_main else Run(run)
    group.wait()
    Workflow(chosen, material, builder, opened, console, origin, taken, track).train(stages)
    names = ", ".join(stage.name for stage in stages)
    console.say(f"{names} in {time.perf_counter() - begun:.0f} s: {opened.folder}")
    return opened


class _Builder:
    """Makes the model with the pretrained weights that a recipe names. `record`: what a run keeps of them."""

    def __init__(self, recipe: Recipe, material: Material, console: Console) -> None:
        self.recipe, self.material, self.console = recipe, material, console
        self.sources = weight_sources(recipe)
        self.record: dict[str, Any] = {}
        self._built: list[TranslationModel] = []

    def check_same_sources(self, runs: Sequence[Run]) -> None:
        """Raise RunError for weights that are not those that these runs were trained from."""
        for run in runs if self.sources else []:
            check_same_sources(self.sources, run.read_json("run.json").get("weights", {}), where=run.folder)

    def build_first(self) -> None:
        """Build a model and keep it for the first call."""
        self._built.append(self())

    @property
    def first(self) -> TranslationModel:
        """The model that the first call returns."""
        return self._built[0]

    def __call__(self) -> TranslationModel:
        """A new model without adapters. The console is told only once what was loaded into it."""
        if self._built:
            return self._built.pop()
        model = assemble(self.recipe, len(self.material.tokenizer))
        console = Silent() if self.record else self.console
        self.record |= load_sources(model, self.recipe, self.sources, self.material.kept_ids, console)
        return model


def _started_from(run: Run, after: str | None) -> tuple[Path | None, str | None]:
    """A run that goes on -> the run that it was started from, and the last stage that it took from there."""
    facts = run.read_json("run.json")
    start, taken = facts.get("start"), facts.get("taken") or [after]
    return (None, after) if start is None else (Path(start), taken[-1])


def _until(recipe: Recipe, until: str | None, taken: Sequence[str]) -> list[StageConfig]:
    """The planned stages up to and with one of them. Raises RunError if none of them is to be trained."""
    last = len(recipe.stages) if until is None else _place(recipe, until)
    stages = [stage for stage in recipe.planned if _place(recipe, stage.name) <= last]
    if all(stage.name in taken for stage in stages):
        remedy = "name a later --until, or change a stage with --set" if stages else "set epochs in the recipe"
        raise RunError("nothing to train", where=recipe.name, remedy=remedy)
    return stages


def _place(recipe: Recipe, name: str) -> int:
    return [stage.name for stage in recipe.stages].index(name)


def _check_names(recipe: Recipe, until: str | None, after: str | None) -> None:
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
    shared = ("seed", "text.", "vision.", "temporal.", "language.", "decoder.")
    others = {key: pair for key, pair in differences(theirs, recipe).items() if key.startswith(shared)}
    if others:
        console.say(f"warning: {origin.folder} was trained with other settings ({in_words(others)})")
    return tuple(taken)


def _say_what_goes_on(run: Run, recipe: Recipe, console: Console) -> None:
    """What a run that goes on has more of than it was started with."""
    changes = differences(load_recipe(run.recipe), recipe, apart_from=MAY_CHANGE)
    longer = {key: pair for key, pair in changes.items() if key.endswith(".epochs") and pair[0] is not None}
    if longer:
        console.say(f"{in_words(longer)}: the learning rate follows a new schedule from here on")
    if "stages" in changes:
        console.say(f"the run gets more stages: {in_words({'stages': changes['stages']})}")


def _say_what_to_expect(recipe: Recipe, material: Material, taken: Sequence[str], console: Console) -> None:
    """What a new run does to its clips, and what it does otherwise than the recipe that it is named after."""
    rates = [clip.fps for clip in material.manifest]
    if max(rates) > recipe.data.fps * (1 + SAME_RATE) or min(rates) < recipe.data.fps * (1 - SAME_RATE):
        seen = f"{min(rates):g} to {max(rates):g}" if min(rates) < max(rates) else f"{rates[0]:g}"
        console.say(f"clips of {seen} frames/s are resampled to data.fps = {recipe.data.fps:g}")
    corpus = str(material.manifest.corpus.get("name", ""))
    own = [stage.name for stage in recipe.stages if stage.name not in taken]
    for line in advice(recipe, corpus, own, precision_of()):
        console.say(f"warning: {line}")
