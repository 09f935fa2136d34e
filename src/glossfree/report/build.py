"""A trained and evaluated run -> the data of its report."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

from glossfree.console import Console
from glossfree.corpora.manifest import Manifest, PackedClip, title_of
from glossfree.errors import ClipError
from glossfree.pipeline.material import Material
from glossfree.pipeline.trained import TrainedRun
from glossfree.recipe.schema import Recipe
from glossfree.report.diagnosis import diagnose
from glossfree.report.page import ReportData
from glossfree.report.pointing import TimedClip, measure_pointing
from glossfree.report.timed import time_clips
from glossfree.report.timeline import ReportClip
from glossfree.scoring.conventions import convention_for, published_for
from glossfree.scoring.metrics import Scores
from glossfree.scoring.predictions import Prediction, predictions_path, read_predictions, read_scores, scores_path
from glossfree.scoring.sentences import check_ids
from glossfree.scoring.significance import intervals
from glossfree.scoring.statistics import Statistics
from glossfree.training.progress import is_complete
from glossfree.training.run import Run
from glossfree.translator import SignTranslator
from glossfree.video.pack import read_clip

SPLITS = ("dev", "test")


def build_report(
    trained: TrainedRun, others: Sequence[Path], split: str, num_clips: int, console: Console
) -> ReportData:
    """A run, and the folders of runs to compare it with -> the data of its report.

    Raises RunError: a run that was not evaluated yet; CorpusError: predictions that do not match the clips.
    """
    run, recipe = trained.run, trained.recipe
    translator, material = SignTranslator.of_run(trained), trained.material()
    manifest = material.manifest
    clips = manifest.split(split)
    predictions = read_predictions(run.folder, split)
    check_ids(predictions, [clip.id for clip in clips], where=predictions_path(run.folder, split))
    hypotheses = {clip.id: predictions[clip.id].text for clip in clips}
    references = {clip.id: clip.text for clip in clips}
    convention = convention_for(manifest.language, append=recipe.scores.append)
    sides = list(hypotheses.values()), list(references.values())
    statistics = [Statistics.of(*sides, how) for how in (convention, *published_for(manifest.language))]
    diagnosis = diagnose(
        hypotheses,
        references,
        training=[clip.text for clip in manifest.split("train")],
        language=manifest.language,
        signers={clip.id: clip.signer for clip in clips},
        convention=convention,
    )
    timed = time_clips(translator.model.hierarchy, translator.head, material, split, console)
    shown = clips[:: max(1, len(clips) // max(1, num_clips))][:num_clips]
    curves = defaultdict(list)
    for record in run.records():
        curves[record["stage"]].append(record)
    folders = (run.folder, *others)
    named = Counter(folder.name for folder in folders)
    scores = {each.name if named[each.name] == 1 else str(each): load_scores(each) for each in folders}
    return ReportData(
        title=f"glossfree: {run.folder.name}",
        subtitle=f"recipe {recipe.name}, corpus {title_of(manifest.corpus, manifest.folder.name)}",
        scores=scores,
        split=split,
        conventions={each.convention.name: Scores.of(each) for each in statistics},
        intervals=intervals(statistics[0]),
        diagnosis=diagnosis,
        pointing=measure_pointing(timed.values(), translator.pseudo_glosses),
        clips=[
            _report_clip(clip, predictions[clip.id], timed.get(clip.id), material, translator.pseudo_glosses)
            for clip in shown
        ],
        curves=dict(curves),
        settings=recipe.model_dump(exclude={"stages"}) | {stage.name: stage.model_dump() for stage in recipe.planned},
        environment={key: value for key, value in run.read_json("run.json").items() if key != "libraries"},
        seconds=time_stages(run),
        notes=_notes(recipe, manifest),
        score_notes=[
            f"{name}, {split}: {note}"
            for name, of in scores.items()
            for split, each in of.items()
            for note in (*each.notes, each.gloss_line)
            if note
        ],
    )


def load_scores(run: Path) -> dict[str, Scores]:
    """The scores in a run folder, by split."""
    return {split: read_scores(scores_path(run, split)) for split in SPLITS if scores_path(run, split).is_file()}


def time_stages(run: Run) -> dict[str, float]:
    """Wall time of each stage, validation included."""
    return {
        record["stage"]: record["seconds"] for record in filter(is_complete, run.records()) if record["kind"] == "epoch"
    }


def _report_clip(
    clip: PackedClip, prediction: Prediction, timed: TimedClip | None, material: Material, names: Sequence[str]
) -> ReportClip:
    frames, problem = None, ""
    try:
        frames = read_clip(clip.source(material.manifest.folder))
    except ClipError as error:
        problem = str(error)
    return ReportClip(
        id=clip.id,
        reference=clip.text,
        hypothesis=prediction.text,
        score=prediction.score,
        fps=clip.fps,
        frames=frames,
        problem=problem,
        timed=timed,
        names=names,
        # only training sentences were tagged
        expected=() if material.glosses is None else material.glosses.sentences.get(clip.text, ()),
        spans=clip.spans,
        signer=clip.signer,
    )


def _notes(recipe: Recipe, manifest: Manifest) -> list[str]:
    notes = ["The clips are evenly spaced over the split, not chosen by their scores."]
    if recipe.vision.features == "cached":
        notes.append(
            "Trained from cached frame features: the vision backbone was frozen, its adapters were not trained, and "
            "frames were not augmented."
        )
    if any(clip.spans for clip in manifest.clips):
        notes.append("The signer is drawn. Drawn signs are not signing: these scores say nothing about real video.")
    return notes
