"""A trained run and a split -> its predictions and scores, and the two files in the run's folder that keep them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from glossfree.console import Console
from glossfree.pipeline.decode import Decoder, Evaluation, WordFinder, evaluate_clips, made_fast
from glossfree.pipeline.glosses import gloss_errors
from glossfree.pipeline.joint_space import JointSpace, Reranker
from glossfree.pipeline.trained import TrainedRun
from glossfree.recipe.files import load_recipe
from glossfree.scoring.predictions import Prediction, predictions_path, scores_path, write_predictions, write_scores
from glossfree.training.device import best_device
from glossfree.training.processes import Processes
from glossfree.video.batch import ClipBatch
from glossfree.video.sampler import explain_dead_workers


def evaluate(
    folder: Path, *, split: str, console: Console, corpus: Path | None = None, rerank: float | None = None
) -> Evaluation:
    """Translate every clip of `split` with the model of a run, score it, and write both files into the run's folder.

    `corpus`: another prepared folder than the run was trained on. `rerank`: in place of the recipe's decode.rerank. The
    names of the files say both, as in predictions.test.corpus-other.rerank-2.jsonl. Raises RunError: not a run, not
    trained, nothing to re-rank with; RecipeError: an impossible `rerank`; CorpusError.
    """
    trained, group = TrainedRun(folder), Processes.launched()
    for line in trained.missing_weights() if group.is_main else ():
        console.warn(line)
    model, head = trained.model()
    recogniser, finder = trained.recogniser(), None
    if trained.recipe.decode.source == "words":
        head = None if head is None else head.to(best_device()).eval()
        finder = WordFinder.of(trained.recipe, head, trained.pseudo_glosses().inventory)
    decoder = Decoder(made_fast(model), trained.tokenizer, trained.recipe, recogniser, finder)
    material = trained.material(corpus, [split])
    clips = material.manifest.split(split)
    loader = material.clip_loader(split, trained.recipe.decode.batch_size)
    assert loader is not None  # the split has clips
    overrides = [] if rerank is None else [f"decode.rerank={rerank}"]
    weight = load_recipe(trained.run.recipe, overrides).decode.rerank
    translate: Callable[[ClipBatch], Sequence[Prediction]] = decoder
    if weight:
        translate = Reranker(decoder, JointSpace.load(trained, material), weight)
    progress = console.progress(f"translate {split}", len(clips))
    with explain_dead_workers(material.manifest.folder), progress as advance:
        evaluation = evaluate_clips(translate, loader, clips, material.convention, advance)
    scores = replace(evaluation.scores, supervision=trained.recipe.supervision, rerank=weight)
    if recogniser is not None:
        scores = replace(scores, recognition=gloss_errors(evaluation.predictions, clips, recogniser))
    if group.is_main:
        references = {clip.id: clip.text for clip in clips}
        kinds = trained.kinds(material.manifest)
        kinds += [] if weight == trained.recipe.decode.rerank else [f"rerank-{weight:g}"]
        kind = ".".join(kinds)
        write_predictions(predictions_path(folder, split, kind), evaluation.predictions, references)
        write_scores(scores_path(folder, split, kind), scores)
    return replace(evaluation, scores=scores)
