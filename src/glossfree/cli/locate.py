"""`locate`: how well a run's pseudo-gloss scores say which signs a clip has, and where."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from glossfree.cli.options import OtherCorpus
from glossfree.console import Console, Result, text_table
from glossfree.errors import RunError
from glossfree.files.disk import write_json
from glossfree.pipeline.material import Material
from glossfree.pipeline.trained import Scorer, TrainedRun
from glossfree.report.locating import PERCENT, Localisation, Location, locate_all
from glossfree.report.pictures import write_pictures
from glossfree.report.pointing import TimedClip
from glossfree.report.timed import time_clips
from glossfree.scoring.gloss_sets import SetScores, choose_threshold, set_scores
from glossfree.scoring.predictions import measured_path
from glossfree.text.corpus import with_sentences

DEV = "dev"
SHOWN = ("peak inside the sign", "mAP inside the sign", "IoU", "start error, s", "end error, s")  # of each group


@dataclass(frozen=True)
class Located(Result):
    """Of a split, by the scores of `stage`: where signs are (None without true times of signs), and which a clip has
    (None without a dev split), beside the most frequent ones for every clip. `pictures`: the files drawn."""

    split: str
    stage: str
    signs: Localisation | None
    sets: dict[str, SetScores] | None
    pictures: tuple[Path, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "split": self.split,
            "stage": self.stage,
            "signs": None if self.signs is None else self.signs.to_dict(),
            "sets": None if self.sets is None else {name: asdict(each) for name, each in self.sets.items()},
            "pictures": list(map(str, self.pictures)),
        }

    def to_text(self) -> str:
        """Tables of both, those of the groups behind; the pictures' paths."""
        parts = [*self._where(), self._which(), "\n".join(map(str, self.pictures))]
        return "\n\n".join(part for part in parts if part)

    def _where(self) -> list[str]:
        if self.signs is None:
            return [f"{self.split}: no sign whose true time is known is a pseudo-gloss, so places are not measured"]
        header = (f"{self.split}, {self.signs.overall.pairs} signs, scores of {self.stage}", "run", "chance", "length")
        rows = [
            (_titled(name), *(f"{number:.2f}" for number in (value.run, value.chance, value.length_alone)))
            for name, value in self.signs.overall.values.items()
        ]
        return [
            text_table(header, rows),
            _groups("frames of a sign", self.signs.by_length),
            _groups("times in training", self.signs.by_frequency),
        ]

    def _which(self) -> str:
        if self.sets is None:
            return ""
        header = ("pseudo-glosses, %", "precision", "recall", "F1", "macro P", "macro R", "macro F1", "a clip")
        rows = []
        for name, each in self.sets.items():
            numbers = (each.precision, each.recall, each.f1, each.macro_precision, each.macro_recall, each.macro_f1)
            rows.append((name, *(f"{number:.1f}" for number in (*numbers, each.per_clip))))
        return text_table(header, rows)


def _groups(title: str, groups: tuple[Location, ...]) -> str:
    """A row for each group: the run's values, with chance in brackets."""
    rows = []
    for group in groups:
        values = [group.values.get(name) for name in SHOWN]
        cells = ["-" if value is None else f"{value.run:.2f} ({value.chance:.2f})" for value in values]
        rows.append((group.name, str(group.pairs), *cells))
    return text_table((title, "signs", *map(_titled, SHOWN)), rows)


def _titled(measure: str) -> str:
    """The name of a measure with its unit."""
    return f"{measure}, %" if measure.startswith(PERCENT) else measure


def locate(
    run: Annotated[Path, typer.Argument(help="A run with a stage that has pseudo_gloss.")],
    console: Console,
    split: Annotated[str, typer.Option(help="train, dev or test.")] = "test",
    stage: Annotated[str, typer.Option(help="The stage whose weights score; the last one that can, if left out.")] = "",
    pictures: Annotated[Path | None, typer.Option(metavar="FOLDER", help="Draw ten timelines into it, as SVG.")] = None,
    without_words: Annotated[
        bool, typer.Option("--without-words", help="Draw numbers, where a licence forbids to show a corpus's words.")
    ] = False,
    corpus: OtherCorpus = None,
) -> Located:
    """Measure the timelines of a split against true sign times, and the scores against the pseudo-glosses of sentences.

    Writes localisation.SPLIT.json into the run's folder, with --stage localisation.SPLIT.STAGE.json. Raises RunError:
    no run, no finished stage with scores, pictures that cannot be drawn; CorpusError.
    """
    if without_words and pictures is None:
        raise RunError("no pictures to draw", where="--without-words", remedy="add --pictures FOLDER, or leave it out")
    trained = TrainedRun(run)
    scorer = trained.scorer(stage)
    manifest = trained.material(corpus).manifest
    manifest.split(split)  # raises CorpusError for one without clips
    splits = [name for name in dict.fromkeys((split, DEV)) if any(clip.split == name for clip in manifest.clips)]
    material = trained.material(corpus, splits)
    timed = {name: time_clips(scorer.hierarchy, scorer.head, material, name, console) for name in splits}
    names, clips = scorer.glosses.inventory, {clip.id: clip for clip in manifest.split(split)}
    sizes = {id: (clip.num_frames, clip.fps) for id, clip in clips.items()}
    signs = locate_all(timed[split], sizes, names, scorer.glosses.counts)
    sets = _measure_sets(scorer, material, timed, split) if DEV in timed else None
    result = Located(split, scorer.stage, signs, sets, ())
    values = result.to_dict()
    del values["pictures"]
    kinds = [*trained.kinds(manifest), *([stage] if stage else [])]
    write_json(measured_path(run, "localisation", split, *kinds), values, RunError)
    if pictures is None:
        return result
    if signs is None:
        raise RunError(f"no true sign times in {split}", where=run, remedy="only drawn corpora have them")
    shown = clips, timed[split], names, signs.clip_map
    drawn = write_pictures(pictures, manifest.folder, *shown, show_words=not without_words)
    return replace(result, pictures=tuple(drawn))


def _measure_sets(
    scorer: Scorer, material: Material, timed: dict[str, dict[str, TimedClip]], split: str
) -> dict[str, SetScores]:
    """The sets of the run's scores, and of the counts in training as scores of every clip; thresholds from dev."""
    manifest = material.manifest
    sentences = [clip.text for clip in manifest.clips if clip.split in timed]
    training = [clip.text for name in scorer.glosses.splits for clip in material.clips(name)]
    glosses = with_sentences(scorer.glosses, sentences, training)
    targets = {name: np.stack([glosses.targets(clip.text) for clip in manifest.split(name)]) for name in timed}
    scores = {
        name: np.stack([of_clips[clip.id].timeline.sum(axis=0) for clip in manifest.split(name)])  # eq 3
        for name, of_clips in timed.items()
    }
    counts = np.array([glosses.counts[name] for name in glosses.inventory], dtype=float)
    frequent = {name: np.tile(counts, (len(each), 1)) for name, each in targets.items()}
    return {
        name: set_scores(each[split], targets[split], choose_threshold(each[DEV], targets[DEV]))
        for name, each in {"run": scores, "most frequent": frequent}.items()
    }
