"""`report`: a run, and runs to compare it with -> one HTML file that opens offline."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from glossfree.cli.verb import Written
from glossfree.console import Console
from glossfree.corpora.manifest import PackedClip
from glossfree.errors import ClipError
from glossfree.pipeline.material import Material, sampling_of
from glossfree.pipeline.trained import TrainedRun
from glossfree.recipe.schema import Recipe
from glossfree.report import ReportClip, ReportData, write_report
from glossfree.report.content import diagnose_split, translations_of
from glossfree.report.spans import Pointing, TimedClip, pointing
from glossfree.scoring.conventions import convention_for, published_for
from glossfree.scoring.metrics import Scores
from glossfree.scoring.predictions import predictions_path, read_predictions, read_scores, scores_path
from glossfree.scoring.significance import intervals
from glossfree.scoring.statistics import Statistics
from glossfree.training.run import Run
from glossfree.translator import SignTranslator
from glossfree.video.pack import read_clip
from glossfree.video.sampler import explain_dead_workers
from glossfree.video.timeline import Timeline

SPLITS = ("dev", "test")


def report(
    runs: Annotated[list[Path], typer.Argument(help="A run, and runs to compare it with.")],
    console: Console,
    out: Annotated[Path | None, typer.Option(help="HTML file; report.html in the first run if left out.")] = None,
    split: Annotated[str, typer.Option(help="Split whose clips are shown.")] = "test",
    clips: Annotated[int, typer.Option(min=0, help="Clips to show.")] = 24,
) -> Written:
    """Write the report of the first run, its scores beside those of the others.

    Raises RunError: a folder that is no run, a first run that was not evaluated yet; CorpusError: predictions that
    do not fit the clips.
    """
    trained, *_ = [TrainedRun(folder) for folder in runs]
    run, recipe = trained.run, trained.recipe
    translator = SignTranslator.of_run(trained)
    material = trained.material()
    hypotheses, references = translations_of(run.folder, material.manifest, split)
    language = material.manifest.language
    convention = convention_for(language, append=recipe.scores.append)
    sides = list(hypotheses.values()), list(references.values())
    counted = [Statistics.of(*sides, how) for how in (convention, *published_for(language))]
    timelines = timelines_of(translator, material, split, console)
    data = ReportData(
        title=f"glossfree: {run.folder.name}",
        subtitle=f"recipe {recipe.name}, corpus {material.manifest.corpus.get('name', material.manifest.folder.name)}",
        scores={other.name: scores_of(other) for other in runs},
        intervals={split: intervals(counted[0])},
        conventions={split: {each.convention.name: Scores.of(each) for each in counted}},
        diagnosis={split: diagnose_split(hypotheses, references, material.manifest, split, convention=convention)},
        clips=_clips(run, recipe, material, timelines, translator, split, clips),
        curves=_curves(run),
        pointing=_pointing(recipe, material, timelines, translator, split),
        settings=recipe.model_dump(),
        environment={key: value for key, value in run.read_json("run.json").items() if key != "libraries"},
        seconds=stage_seconds(run),
        notes=_notes(recipe, material),
    )
    target = out or run.folder / "report.html"
    write_report(target, data)
    return Written(target)


def scores_of(run: Path) -> dict[str, Scores]:
    """The scores that a run folder holds, by split."""
    return {split: read_scores(scores_path(run, split)) for split in SPLITS if scores_path(run, split).is_file()}


def stage_seconds(run: Run) -> dict[str, float]:
    """Wall time of each stage, validation included."""
    return {record["stage"]: record["seconds"] for record in run.records() if record["kind"] == "epoch"}


def timelines_of(
    translator: SignTranslator, material: Material, split: str, console: Console
) -> dict[str, torch.Tensor]:
    """Every clip of a split -> {id: pseudo-gloss timeline (S, P)}; {} for a model without a pseudo-gloss head."""
    loader = material.clip_loader(split, material.recipe.decode.batch_size)
    if translator.head is None or loader is None:
        return {}
    timelines: dict[str, torch.Tensor] = {}
    told = console.progress(f"pseudo-glosses of {split}", len(loader))
    with explain_dead_workers(material.manifest.folder), told as advance, torch.no_grad():
        for batch in loader:
            moved = batch.prepared(translator.device)
            scores = translator.head(translator.model.hierarchy.segments(moved.frames, moved.lengths, moved.level))
            for row, (clip, length) in enumerate(zip(batch.ids, scores.lengths.tolist(), strict=True)):
                timelines[clip] = scores.timeline[row, :length].cpu()
            advance(1)
    return timelines


def seen_frames(recipe: Recipe, clip: PackedClip) -> Any:
    """Indices of the packed frames that the model saw of a clip."""
    return sampling_of(recipe).indices(Timeline.of(clip))


def _clips(
    run: Run,
    recipe: Recipe,
    material: Material,
    timelines: dict[str, torch.Tensor],
    translator: SignTranslator,
    split: str,
    count: int,
) -> list[ReportClip]:
    """`count` clips spread evenly over the split: chosen by position, not by how well they went."""
    predictions = read_predictions(predictions_path(run.folder, split))
    clips = [clip for clip in material.manifest.split(split) if clip.id in predictions]
    step = max(1, len(clips) // max(1, count))
    shown = []
    for clip in clips[::step][:count]:
        frames, problem = None, ""
        try:
            frames = read_clip(material.manifest.folder / clip.file)
        except ClipError as error:
            problem = str(error)
        timeline = timelines.get(clip.id)
        shown.append(
            ReportClip(
                id=clip.id,
                reference=clip.text,
                hypothesis=predictions[clip.id].text,
                score=predictions[clip.id].score,
                fps=clip.fps,
                frames=frames,
                problem=problem,
                timeline=None if timeline is None else timeline.numpy(),
                names=translator.pseudo_glosses,
                seen=seen_frames(recipe, clip),
                frames_per_segment=translator.frames_per_segment,
                expected=_expected(material, clip),
                spans=clip.spans,
                signer=clip.signer,
            )
        )
    return shown


def _expected(material: Material, clip: PackedClip) -> tuple[str, ...]:
    """The pseudo-glosses of the reference, where its sentence was tagged (test sentences are not)."""
    return () if material.glosses is None else material.glosses.sentences.get(clip.text, ())


def _pointing(
    recipe: Recipe, material: Material, timelines: dict[str, torch.Tensor], translator: SignTranslator, split: str
) -> dict[str, Pointing]:
    clips = [
        TimedClip(
            clip.id,
            timelines[clip.id].numpy(),
            clip.spans,
            clip.num_frames,
            seen_frames(recipe, clip),
            translator.frames_per_segment,
        )
        for clip in material.manifest.split(split)
        if clip.spans and clip.id in timelines
    ]
    found = pointing(clips, translator.pseudo_glosses) if clips else None
    return {} if found is None else {split: found}


def _curves(run: Run) -> dict[str, list[dict[str, Any]]]:
    curves: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for record in run.records():
        curves[record["stage"]].append(record)
    return dict(curves)


def _notes(recipe: Recipe, material: Material) -> list[str]:
    notes = ["Clips are shown at even distances through the split, not chosen by how well they went."]
    if recipe.vision.features == "cached":
        notes.append(
            "Trained from cached frame features: the vision backbone was frozen, its adapters were not trained, and "
            "frames were not augmented."
        )
    if any(clip.spans for clip in material.manifest.clips):
        notes.append("The signer is drawn. Drawn signs are not signing: these scores say nothing about real video.")
    return notes
