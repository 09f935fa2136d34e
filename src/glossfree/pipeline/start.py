"""Recipe, corpus and options of `train` -> a run folder whose stages are trained: new, resumed, or from another run."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from glossfree.console import Console, Silent, duration
from glossfree.corpora.manifest import Manifest, is_same_corpus
from glossfree.errors import RunError, name_some
from glossfree.models.hierarchy import TranslationModel
from glossfree.objectives.gloss_ctc import GlossCtc
from glossfree.pipeline.assemble import assemble
from glossfree.pipeline.card import identity
from glossfree.pipeline.features import check_weights_named, stored_features
from glossfree.pipeline.fitting import for_corpus
from glossfree.pipeline.glosses import check_same_glosses, clips_too_short
from glossfree.pipeline.material import Material, gather, sampling_of
from glossfree.pipeline.trained import TOKENIZER, recipe_of
from glossfree.pipeline.weights import Source, check_same_sources, load_sources, weight_sources, with_language_model
from glossfree.pipeline.workflow import Workflow
from glossfree.recipe.advice import advice, random_weights
from glossfree.recipe.files import load_recipe
from glossfree.recipe.schema import Recipe, StageConfig
from glossfree.recipe.values import differences, dump_recipe, flat, in_words
from glossfree.text.corpus import outdated_glosses
from glossfree.text.glosses import GLOSSES, GlossVocabulary
from glossfree.text.language_model import load_tokenizer
from glossfree.text.pseudo_glosses import PSEUDO_GLOSSES, PseudoGlosses
from glossfree.training.device import fast_precisions
from glossfree.training.processes import Processes
from glossfree.training.run import Run
from glossfree.training.status import check_not_training
from glossfree.training.trackers import check_trackers
from glossfree.training.watch import Observe
from glossfree.video.intake import JOINTS
from glossfree.video.timeline import SAME_RATE, Timeline

# what a run may be resumed with: no number depends on it
MAY_CHANGE = ("name", "summary", "paper", "data.num_workers", "data.cache_megabytes", "training.checkpoint_minutes")
# settings that decide what the weights of another run mean
SHARED = ("seed", "data.fps", "text.", "vision.", "temporal.", "language.", "decoder.", "keypoints.")


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
    observe: Callable[[Material], Observe] | None = None,
) -> Run:
    """Train a recipe's stages, one after another, up to and including `until`.

    `start`: a run whose finished stages are loaded instead of trained: those up to and including `after`, whatever
    their settings; without `after`, all from the first on that have the same settings in both recipes. `track`: names
    of trackers (see training.trackers). `observe`: what is trained -> what each epoch's end calls (see `Watch`).
    Raises, before the run folder is made: RunError (the folder holds a run that is not resumed, another recipe, an
    unknown stage or tracker), RecipeError, CorpusError, ModelError.
    """
    began, group, folder = time.perf_counter(), Processes.launched(), Run(run)
    check_trackers(track)
    check_not_training(folder)
    check_weights_named(recipe := with_language_model(recipe))
    _check_names(recipe, until, after)
    if start is None and resume and folder.recipe.is_file():
        start, after = _origin_of(folder, after)
    origin = None if start is None else Run(start)
    taken = {} if origin is None else stages_to_take(for_corpus(recipe, Manifest.load(corpus)), origin, after, console)
    stages = _stages_until(recipe, until, taken)
    material = _gathered(recipe, corpus, origin, taken)
    _check_pairs(material, [stage for stage in stages if stage.name not in taken], folder)
    if is_resumed := check_resumable(folder, material, resume=resume):
        _check_origin(folder, start, taken)
        _say_what_is_longer(folder, material.recipe, console)
    else:
        _say_what_to_expect(material, origin, taken, console)
    sources = weight_sources(recipe)
    for earlier in [*([folder] if is_resumed else []), *([] if origin is None else [origin])] if sources else []:
        check_same_sources(sources, earlier.read_json("run.json").get("weights", {}), where=earlier.folder)
    # before the run folder is made: weights that cannot be loaded leave none
    model, weights = build_model(material, sources, console)
    if not is_resumed and recipe.objective(GlossCtc) is not None:
        _say_which_clips_are_short(material, model, console)
    if recipe.vision.features == "cached":
        material = replace(material, store=stored_features(material, model, taken))
    observer = None if observe is None else observe(material)
    group.wait()  # until all processes have seen what was there before
    if group.is_main:
        facts = {"start": None if start is None else str(start.resolve()), "taken": list(taken), "weights": weights}
        start_run(folder, material, resume=resume, facts=facts)
    group.wait()
    workflow = Workflow(
        material, lambda: build_model(material, sources, Silent())[0], folder, console, taken, track, observer
    )
    workflow.train(stages, model)
    console.say(f"{', '.join(stage.name for stage in stages)}: trained in {duration(time.perf_counter() - began)}")
    return folder


def _check_pairs(material: Material, stages: Sequence[StageConfig], run: Run) -> None:
    """Raise CorpusError if a stage that has not finished compares clips, and a split has a single one."""
    for stage in stages:
        if stage.compares_clips and not run.weights(stage.name).is_file():
            material.check_pairs(stage.name)


def _gathered(recipe: Recipe, corpus: Path, origin: Run | None, taken: Collection[str]) -> Material:
    """Recipe and corpus -> what is trained, with the tokenizer of the run that stages are taken from."""
    if origin is None:
        return gather(recipe, corpus)
    material = gather(recipe, corpus, tokenizer=load_tokenizer(origin.folder / TOKENIZER))
    if taken and material.gloss_vocabulary is not None:
        check_same_glosses(material.gloss_vocabulary, origin.folder)
    return material


def build_model(
    material: Material, sources: Sequence[Source], console: Console
) -> tuple[TranslationModel, dict[str, dict[str, Any]]]:
    """A new model with pretrained weights, without adapters, and what a run records of these weights, by role."""
    model = assemble(material.recipe, len(material.tokenizer))
    return model, load_sources(model, material.recipe, sources, material.kept_ids, console)


def start_run(run: Run, material: Material, *, resume: bool, facts: Mapping[str, Any]) -> None:
    """Make (or reopen) a run folder that holds all that its model needs: recipe, tokenizer, pseudo-glosses.

    A run that continues with more epochs or stages has the longer recipe from here on. Raises RunError as
    `check_resumable`.
    """
    recipe = material.recipe
    if check_resumable(run, material, resume=resume):
        if flat(load_recipe(run.recipe)) != flat(recipe):
            run.write("recipe.toml", dump_recipe(recipe))
        known = run.read_json("run.json")
        if known.get("start") != facts.get("start"):  # the run that it started from was moved
            run.write_json("run.json", {**known, "start": facts["start"]})
        return
    material.tokenizer.save(run.folder / TOKENIZER)
    if material.glosses is not None:
        material.glosses.save(run.folder / PSEUDO_GLOSSES)
    if material.gloss_vocabulary is not None:
        material.gloss_vocabulary.save(run.folder / GLOSSES)
    profile = material.manifest.corpus.get("profile", {})
    if material.keypoints is not None:
        profile = {**profile, JOINTS: list(material.keypoints.joints)}
    corpus = str(material.manifest.folder.resolve())
    facts = {"corpus": corpus, "data": identity(material.manifest.corpus), **facts, "profile": profile}
    if start := facts.get("start"):
        facts["start_data"] = Run(start).read_json("run.json").get("data")
    # the recipe is written last: a folder that holds it holds all the rest
    run.start(dump_recipe(recipe), facts, resume=resume)


def check_resumable(run: Run, material: Material, *, resume: bool) -> bool:
    """Whether there is a run already, to continue; nothing is written.

    Raises RunError if there is one that is not to be resumed, or one of another recipe or other sentences. The last
    stage may have more epochs than it had, and stages may follow it.
    """
    if not run.reopens(resume=resume):
        return False
    earlier, now = (for_corpus(each, material.manifest) for each in (load_recipe(run.recipe), material.recipe))
    changes = differences(earlier, now, apart_from=(*MAY_CHANGE, *_extensions(earlier, now)))
    if changes:
        problem = f"was started with another recipe ({in_words(changes)})"
        remedy = f"resume with --recipe {run.recipe}; its last stage may have more epochs, and stages may follow it"
        raise RunError(problem, where=run.recipe, remedy=remedy)
    same = load_tokenizer(run.folder / TOKENIZER).sha256 == material.tokenizer.sha256
    if material.glosses is not None:
        same = same and PseudoGlosses.load(run.folder / PSEUDO_GLOSSES).sha256 == material.glosses.sha256
    if material.gloss_vocabulary is not None:
        same = same and GlossVocabulary.load(run.folder / GLOSSES) == material.gloss_vocabulary
    if not same:
        problem = (
            f"was started with other sentences, glosses or pseudo-glosses, from {run.read_json('run.json')['corpus']}"
        )
        raise RunError(problem, where=run.folder, remedy="resume with that corpus as it was, or name another --run")
    return True


def _extensions(earlier: Recipe, now: Recipe) -> list[str]:
    """The keys that may differ because the run continues: more epochs of its last stage, stages after it."""
    old, new = ([stage.name for stage in recipe.stages] for recipe in (earlier, now))
    if not earlier.planned or new[: len(old)] != old:
        return []
    last = earlier.planned[-1]
    later = [stage.name for stage in now.stages[earlier.stages.index(last) + 1 :]]
    more = [f"{last.name}.epochs"] if now.stage(last.name).epochs > last.epochs else []
    return ["stages", *more, *(key for key in flat(now) if key.partition(".")[0] in later)]


def _origin_of(run: Run, after: str | None) -> tuple[Path | None, str | None]:
    """A resumed run -> the run that it was started from, and the last stage that it took from there."""
    facts = run.read_json("run.json")
    start, taken = facts.get("start"), facts.get("taken") or [after]
    return (None, after) if start is None else (Path(start), taken[-1])


def _check_origin(run: Run, start: Path | None, taken: Collection[str]) -> None:
    """Raise RunError if a resumed run would go on with stages of another run than before; that may have been moved."""
    facts = run.read_json("run.json")
    known, before = facts.get("start"), facts.get("taken") or []
    is_known = known is None if start is None else known == str(start.resolve())
    if [*taken] != before or not (is_known or (known is not None and not Path(known).is_dir())):
        problem = f"took {', '.join(before)} from {known}" if known else "took no stage of another run"
        raise RunError(problem, where=run.folder, remedy="resume it without --from, or name another --run")


def _check_names(recipe: Recipe, until: str | None, after: str | None) -> None:
    """Raise RunError for a stage that the recipe does not have."""
    names = [stage.name for stage in recipe.stages]
    for option, name in (("--until", until), ("--after", after)):
        if name is not None and name not in names:
            raise RunError("no such stage", where=f"{option} {name}", remedy=f"one of {', '.join(names)}")


def _stages_until(recipe: Recipe, until: str | None, taken: Collection[str]) -> list[StageConfig]:
    """The planned stages up to and including one of them. Raises RunError if none of them is to be trained."""
    last = len(recipe.stages) if until is None else _index(recipe, until)
    stages = [stage for stage in recipe.planned if _index(recipe, stage.name) <= last]
    if all(stage.name in taken for stage in stages):
        remedy = (
            "name a later --until, an earlier --after, or change a stage with --set"
            if stages
            else "set epochs in the recipe"
        )
        raise RunError("nothing to train", where=recipe.name, remedy=remedy)
    return stages


def _index(recipe: Recipe, name: str) -> int:
    return [stage.name for stage in recipe.stages].index(name)


def stages_to_take(recipe: Recipe, origin: Run, after: str | None, console: Console) -> dict[str, Run]:
    """The stages that are finished and not trained again, as `train` says, each with the run that has its weights.

    That is `origin`, or the run that `origin` took the stage from.

    Raises RunError if there are none.
    """
    theirs = recipe_of(origin)
    if recipe.was_given_less_than(theirs):
        problem = f'was trained with supervision = "{theirs.supervision}"; the recipe says "{recipe.supervision}"'
        remedy = f"start from another run, or say it: --set supervision={theirs.supervision}"
        raise RunError(problem, where=origin.folder, remedy=remedy)
    changes = differences(theirs, recipe)
    taken: dict[str, Run] = {}
    problem = ""
    for stage in recipe.planned:
        name = stage.name
        if after is not None and _index(recipe, name) > _index(recipe, after):
            break
        changed = {key: pair for key, pair in changes.items() if key.startswith(f"{name}.")}
        finisher = origin.finisher(name)
        if finisher is None:
            problem = f"stage {name} has not finished"
        elif after is None and changed:
            problem = f"its stage {name} is another ({in_words(changed)})"
        elif after is None and theirs.parents(name) != recipe.parents(name):
            problem = f"its stage {name} builds on other stages"
        if problem or finisher is None:
            break
        taken[name] = finisher
    if not taken or (after is not None and problem):
        remedy = "resume it: --resume" if "finished" in problem else "--after STAGE takes its weights as they are"
        raise RunError(problem or "has none of this recipe's stages", where=origin.folder, remedy=remedy)
    if problem:
        console.say(f"from {origin.folder}: {', '.join(taken)}; {problem}, and is trained here")
    if math.isclose(theirs.data.fps, recipe.data.fps, rel_tol=SAME_RATE):
        changes.pop("data.fps", None)
    others = {key: pair for key, pair in changes.items() if key.startswith(SHARED)}
    if others:
        console.warn(f"{origin.folder} was trained with other settings ({in_words(others)})")
    return taken


def _say_which_clips_are_short(material: Material, model: TranslationModel, console: Console) -> None:
    """The training clips that have too few segments for their glosses."""
    clips, sampling = material.clips("train"), sampling_of(material.recipe)
    frames = torch.tensor([sampling.length(Timeline.of(clip)) for clip in clips])
    assert material.gloss_vocabulary is not None
    short = clips_too_short(material.gloss_vocabulary, clips, model.hierarchy.temporal.out_lengths(frames))
    if short:
        counted = f"{len(short):,} of {len(clips):,} training clips have too few segments for their glosses"
        console.warn(f"{counted}, and cost nothing in gloss_ctc: {name_some(short)}")


def _say_what_is_longer(run: Run, recipe: Recipe, console: Console) -> None:
    """What a resumed run has more of than it was started with."""
    changes = differences(load_recipe(run.recipe), recipe, apart_from=MAY_CHANGE)
    longer = {key: pair for key, pair in changes.items() if key.endswith(".epochs") and pair[0] is not None}
    if longer:
        console.say(f"{in_words(longer)}: the learning rate follows a new schedule from here on")
    if "stages" in changes:
        console.say(f"the run gets more stages: {in_words({'stages': changes['stages']})}")


def _say_what_to_expect(material: Material, origin: Run | None, taken: Collection[str], console: Console) -> None:
    """What a new run does to its clips, and where it departs from its recipe and from the run that it starts from."""
    recipe = material.recipe
    rates = [clip.fps for clip in material.manifest]
    if max(rates) > recipe.data.fps * (1 + SAME_RATE) or min(rates) < recipe.data.fps * (1 - SAME_RATE):
        range_ = f"{min(rates):g} to {max(rates):g}" if min(rates) < max(rates) else f"{rates[0]:g}"
        console.say(f"clips of {range_} frames/s are resampled to data.fps = {recipe.data.fps:g}")
    folder, corpus = material.manifest.folder, material.manifest.corpus
    if material.glosses is not None and (problem := outdated_glosses(Manifest.load(folder))):  # all of its clips
        console.warn(f"{problem} -> make them again: glossfree glosses {folder}")
    if origin is not None:
        theirs = origin.read_json("run.json")
        ours = {"corpus": str(folder.resolve()), "data": identity(corpus), "profile": corpus.get("profile")}
        if not is_same_corpus(theirs, ours):
            console.warn(f"{origin.folder} was trained on another corpus ({theirs.get('corpus')})")
    name = str(corpus.get("name", ""))
    own = [stage.name for stage in recipe.stages if stage.name not in taken]
    for line in (*(() if taken else random_weights(recipe)), *advice(recipe, name, own, fast_precisions())):
        console.warn(line)
