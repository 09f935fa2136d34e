"""`evaluate`: a run's model on one split -> predictions by clip id and scores, both kept in the run folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor

from glossfree.console import Console
from glossfree.errors import RunError
from glossfree.objectives.pseudo_gloss import PseudoGloss
from glossfree.pipeline.decode import Evaluation
from glossfree.pipeline.decode import evaluate as evaluate_split
from glossfree.pipeline.material import Material, gather
from glossfree.recipe.files import load_recipe
from glossfree.recipe.schema import Recipe
from glossfree.scoring.conventions import convention_for
from glossfree.scoring.predictions import Prediction
from glossfree.text.pseudo_glosses import PSEUDO_GLOSSES, PseudoGlosses
from glossfree.text.tokenizer import SentenceTokenizer
from glossfree.training.processes import Processes
from glossfree.training.run import Run, load_tensors
from glossfree.translator import SignTranslator, restore
from glossfree.video.batch import ClipBatch
from glossfree.video.sampler import dead_workers_explained


def evaluate(run: Path, *, split: str, console: Console, corpus: Path | None = None) -> Evaluation:
    """Translate every clip of `split` and score it. `corpus`: another prepared folder than the run was trained on."""
    opened, group = Run(run), Processes.launched()
    recipe = recipe_of(opened)
    translator = translator_of(opened, recipe)
    material = corpus_of(opened, recipe, translator.tokenizer, corpus)
    clips = material.manifest.split(split)
    loader = material.clip_loader(split, recipe.decode.batch_size)
    assert loader is not None  # split() has found clips
    told = console.progress(f"translate {split}", len(clips))
    with dead_workers_explained(material.manifest.folder), told as advance:
        return evaluate_split(
            lambda batch: predict(translator, batch),
            loader,
            clips,
            split=split,
            folder=run if group.is_main else None,
            convention=convention_for(material.manifest.language, append=recipe.scores.append),
            on_progress=lambda count: advance(count),
            gather=group.objects,
        )


def predict(translator: SignTranslator, batch: ClipBatch) -> list[Prediction]:
    """A batch -> one Prediction per clip."""
    on_device = batch.prepared(translator.device)
    found = translator.hypotheses(on_device.frames, on_device.lengths, level=batch.level)
    return [Prediction(best.text, best.score) for best, *_ in found]


def recipe_of(run: Run) -> Recipe:
    """The resolved recipe of a run. Raises RunError if there is none."""
    if not run.recipe.is_file():
        raise RunError("no recipe.toml: not a run", where=run.folder, remedy="name the folder given to --run")
    return load_recipe(run.recipe)


def corpus_of(run: Run, recipe: Recipe, tokenizer: SentenceTokenizer, corpus: Path | None = None) -> Material:
    """The corpus that a run was trained on, or another one, as its recipe sees it.

    Raises RunError if the run's own lies no longer where it lay.
    """
    folder = corpus or Path(str(_facts(run).get("corpus")))
    if corpus is None and not _is_folder(folder):
        remedy = (
            f'name its new place: evaluate --corpus FOLDER; for other verbs, change "corpus" in {run.folder}/run.json'
        )
        raise RunError(f"its corpus {folder} is no longer there", where=run.folder, remedy=remedy)
    return gather(recipe, folder, tokenizer=tokenizer, to_train=False)


def translator_of(run: Run, recipe: Recipe) -> SignTranslator:
    """The model that the last finished stage that translates left, with the pseudo-gloss head if there is one."""
    tokenizer = SentenceTokenizer.load(run.folder / "tokenizer")
    tensors, path = model_tensors(run, recipe)
    model, head = restore(recipe, tokenizer, tensors, stage=path.stem, where=path)
    inventory = () if head is None else PseudoGlosses.load(glosses_file(run, recipe)).inventory
    return SignTranslator(recipe, tokenizer, model, head, inventory)


def model_tensors(run: Run, recipe: Recipe) -> tuple[dict[str, Tensor], Path]:
    """What a translator is made of, its pseudo-gloss head under "head.", and the file that most of it comes from."""
    path = run.weights(last_stage(run, recipe))
    tensors = {name: t for name, t in load_tensors(path)[0].items() if not name.startswith("objectives.")}
    return {**tensors, **head_tensors(run, recipe)}, path


def last_stage(run: Run, recipe: Recipe) -> str:
    """The last stage that translates and has finished. Raises RunError if none has."""
    writing = [stage.name for stage in recipe.planned if stage.writes_sentences]
    for stage in reversed(writing):
        if run.weights(stage).is_file():
            return stage
    names = ", ".join(writing) or "this recipe has none"
    raise RunError(
        f"no stage that learns to translate has finished ({names})",
        where=run.folder,
        remedy="resume it, or glossfree train --from this run with a recipe that has one",
    )


def head_tensors(run: Run, recipe: Recipe) -> dict[str, Tensor]:
    """The pseudo-gloss head of a run's model, by name; {} without."""
    place = _head(run, recipe)
    if place is None:
        return {}
    home, stage, prefix = place
    tensors, _ = load_tensors(home.weights(stage))
    return {f"head.{n.removeprefix(prefix)}": tensor for n, tensor in tensors.items() if n.startswith(prefix)}


def glosses_file(run: Run, recipe: Recipe) -> Path:
    """Where the pseudo-glosses are that the head scores: beside its weights. This run's corpus may have others."""
    place = _head(run, recipe)
    return (run if place is None else place[0]).folder / PSEUDO_GLOSSES


def _head(run: Run, recipe: Recipe) -> tuple[Run, str, str] | None:
    """The run and the stage whose weights hold the head, and the prefix of its names there; None without a head.

    The run is this one, or the one that it started from. The stage is the last one that scored pseudo-glosses, of those
    that the model went through.
    """
    for stage in reversed(recipe.lineage(last_stage(run, recipe))):
        for name, objective in stage.used_objectives.items():
            if not isinstance(objective, PseudoGloss):
                continue
            for folder in (run.folder, _facts(run).get("start")):
                if isinstance(folder, str | Path) and Run(folder).weights(stage.name).is_file():
                    return Run(folder), stage.name, f"objectives.{name}.head."
    return None


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # no name that a file can have
        return False


def _facts(run: Run) -> dict[str, Any]:
    """What a run says of itself. Raises RunError if that is missing or no object."""
    facts: Any = run.read_json("run.json")
    if not isinstance(facts, dict):
        raise RunError("not an object", where=run.folder / "run.json", remedy="restore it or run again")
    return facts
