"""`demo`: corpus, pseudo-glosses, all stages of training, scores, report, model, from nothing and without a network."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from glossfree.cli import options
from glossfree.cli.export import export
from glossfree.cli.glosses import glosses
from glossfree.cli.options import Overrides
from glossfree.cli.prepare import prepare
from glossfree.cli.report import report
from glossfree.console import Console, Result
from glossfree.corpora.manifest import Manifest
from glossfree.errors import Interrupted
from glossfree.pipeline.evaluate import evaluate
from glossfree.pipeline.start import train_recipe
from glossfree.recipe.files import load_recipe
from glossfree.recipe.schema import Recipe
from glossfree.report.build import load_scores
from glossfree.scoring.metrics import Scores, scores_table
from glossfree.scoring.predictions import read_predictions
from glossfree.text.pseudo_glosses import PSEUDO_GLOSSES
from glossfree.training.run import Run

WITH, WITHOUT = "with-pretraining", "without-pretraining"
SHOWN = 5  # translations in the summary


@dataclass(frozen=True)
class Demo(Result):
    """Scores, translations, files and times of the demo."""

    scores: dict[str, dict[str, Scores]]
    examples: tuple[tuple[str, str], ...]  # (reference, hypothesis)
    report: Path
    model: Path
    clip: Path
    seconds: dict[str, float]

    def to_dict(self) -> dict[str, Any]:
        """The scores, the files and the times."""
        scores = {run: {split: each.to_dict() for split, each in of_run.items()} for run, of_run in self.scores.items()}
        paths = {"report": str(self.report), "model": str(self.model), "clip": str(self.clip)}
        return {"scores": scores, "examples": self.examples, **paths, "seconds": self.seconds}

    def to_text(self) -> str:
        """The table, a few translations, and where to go from here."""
        lines = ["", scores_table(self.scores), ""]
        for reference, hypothesis in self.examples:
            lines += [f"  signed      {reference}", f"  translated  {hypothesis}", ""]
        times = ", ".join(f"{name} {seconds:.0f} s" for name, seconds in self.seconds.items())
        lines += [f"time       {sum(self.seconds.values()):.0f} s: {times}"]
        lines += [f"report     {self.report}", f"translate  glossfree translate {self.model} {self.clip}"]
        return "\n".join(lines)


def demo(
    console: Console,
    overrides: Overrides = None,
    out: Annotated[Path, typer.Option(help="Folder for corpus, run, model and report.")] = Path("runs/demo"),
    compare: Annotated[bool, typer.Option("--compare", help="Also fine-tune without pre-training.")] = False,
    recipe: options.Recipe = "demo",
) -> Demo:
    """Run everything below `out`, going on where an earlier call stopped. `compare`: also without pre-training."""
    resolved = load_recipe(recipe, overrides or ())
    corpus, run, model = out / "corpus", out / WITH, out / "model"
    seconds: dict[str, float] = {}
    with _timed("drawing", seconds):
        prepare("wetter", out=corpus, frame_size=resolved.data.frame_size, console=console)
    with _timed("pseudo-glosses", seconds):
        if not (corpus / PSEUDO_GLOSSES).is_file():
            glosses(console, corpus)
    with _timed("training", seconds):
        train_recipe(resolved, corpus=corpus, run=run, console=console, resume=True)
    with _timed("translating", seconds):
        _evaluate(run, console)
    runs = [run]
    if compare:
        with _timed("training without pre-training", seconds):
            runs.append(_without_pretraining(resolved, corpus, out, console))
    if not model.exists():
        export(run, model, console)
    with _timed("report", seconds):
        page = report(runs, out=out / "report.html", console=console).path
    test = Manifest.load(corpus).split("test")
    predictions = read_predictions(run, "test")
    examples = tuple((clip.text, predictions[clip.id].text) for clip in test[:: len(test) // SHOWN][:SHOWN])
    scores = {folder.name: load_scores(folder) for folder in runs}
    return Demo(scores, examples, page, model, corpus / test[0].file, seconds)


def _without_pretraining(recipe: Recipe, corpus: Path, out: Path, console: Console) -> Path:
    """The same text model and the same fine-tuning steps, but no hierarchical pre-training."""
    # the stages whose objectives compare segments or whole videos with the sentence, and which do not write it
    stages = [
        stage if stage.batches == "sentences" or stage.writes_sentences else stage.model_copy(update={"epochs": 0})
        for stage in recipe.stages
    ]
    plain = recipe.model_copy(update={"stages": tuple(stages)})
    start = out / WITH
    run = train_recipe(plain, corpus=corpus, run=out / WITHOUT, console=console, start=start, resume=True)
    _evaluate(run.folder, console)
    return run.folder


def _evaluate(run: Path, console: Console) -> None:
    scores = load_scores(run)
    for split in ("dev", "test"):
        if split not in scores:
            evaluate(Run(run).folder, split=split, console=console)


@contextmanager
def _timed(part: str, seconds: dict[str, float]) -> Iterator[None]:
    """Add the wall time of a part; it goes on without `--resume`."""
    start = time.perf_counter()
    try:
        yield
    except Interrupted as error:
        stopped = Interrupted(error.problem, where=error.where, remedy="the same command goes on")
        stopped.signal = error.signal
        raise stopped from error
    seconds[part] = time.perf_counter() - start
