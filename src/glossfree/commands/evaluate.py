"""`evaluate`: a run's model on one split -> predictions by clip id and scores, both kept in the run folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor

from glossfree.config import load_recipe
from glossfree.errors import RunError
from glossfree.evaluation.conventions import convention_for
from glossfree.evaluation.decode import Evaluation, Prediction
from glossfree.evaluation.decode import evaluate as evaluate_split
from glossfree.material import Material, gather
from glossfree.progress import Console
from glossfree.recipe import Recipe
from glossfree.sign_translator import SignTranslator, restore
from glossfree.text.pseudo_glosses import PSEUDO_GLOSSES, PseudoGlosses
from glossfree.text.tokenizer import SentenceTokenizer
from glossfree.training.processes import Processes
from glossfree.training.run import Run, load_tensors
from glossfree.video.batch import ClipBatch
from glossfree.video.sampler import dead_workers_explained


def evaluate(run: Path, *, split: str, console: Console, corpus: Path | None = None) -> Evaluation:
    """Translate every clip of `split` and score it. `corpus`: another prepared folder than the run was trained on."""
    opened, group = Run(run), Processes.launched()
    recipe = recipe_of(opened)
    translator = translator_of(opened, recipe)
    material = corpus_of(opened, recipe, translator.tokenizer, corpus)
    clips = material.manifest.split(split)
    loader = material.clip_loader(split, recipe.finetune2.model_copy(update={"batch_size": recipe.decode.batch_size}))
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
    on_device = batch.to(translator.device)
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
    """The model that a run's last finished fine-tuning stage left, with the head of its pre-training if it has one."""
    stage = last_stage(run)
    tokenizer = SentenceTokenizer.load(run.folder / "tokenizer")
    tensors, _ = load_tensors(run.weights(stage))
    head = head_tensors(run) if recipe.pretrain.epochs else {}
    model, restored = restore(recipe, tokenizer, {**tensors, **head}, where=run.weights(stage))
    inventory = [] if restored is None else _inventory(run)
    return SignTranslator(recipe, tokenizer, model, restored, inventory)


def last_stage(run: Run) -> str:
    """The last fine-tuning stage that has finished. Raises RunError if none has."""
    for stage in ("finetune2", "finetune1"):
        if run.weights(stage).is_file():
            return stage
    raise RunError(
        "no fine-tuning stage has finished, and only those translate",
        where=run.folder,
        remedy="glossfree finetune --from this run, or resume it",
    )


def head_tensors(run: Run) -> dict[str, Tensor]:
    """The pseudo-gloss head that pre-training left, in this run or the one it started from; {} if there was none."""
    facts = _facts(run)
    for folder in (run.folder, facts.get("start")):
        if isinstance(folder, str | Path) and Run(folder).weights("pretrain").is_file():
            tensors, _ = load_tensors(Run(folder).weights("pretrain"))
            return {name: tensor for name, tensor in tensors.items() if name.startswith("head.")}
    return {}


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


def _inventory(run: Run) -> tuple[str, ...]:
    return PseudoGlosses.load(run.folder / PSEUDO_GLOSSES).inventory
