"""Clips of a localisation -> pictures of their timelines, SVG files that open anywhere."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from glossfree.corpora.manifest import PackedClip, SignSpan
from glossfree.errors import RunError
from glossfree.files.disk import write_atomic
from glossfree.report.locating import Span, predicted_span
from glossfree.report.page import render
from glossfree.report.pointing import TimedClip, columns_of, fold, pairs_of
from glossfree.report.timeline import ReportClip
from glossfree.video.pack import read_clip

NUM_RANDOM, NUM_WORST, SEED = 5, 5, 0


def choose_clips(clip_map: Mapping[str, float]) -> dict[str, list[str]]:
    """{clip: its mean AP} -> {"worst": clips with the lowest, "random": of the others, drawn with a fixed seed}."""
    ranked = sorted(clip_map, key=lambda id: (clip_map[id], id))
    others = sorted(ranked[NUM_WORST:])
    drawn = random.Random(SEED).sample(others, min(NUM_RANDOM, len(others)))
    return {"worst": ranked[:NUM_WORST], "random": sorted(drawn)}


def draw_timeline(folder: Path, clip: PackedClip, timed: TimedClip, names: Sequence[str], title: str) -> str:
    """A clip of a prepared folder and its timeline over the pseudo-glosses `names` -> SVG.

    Rows: the true signs, a film strip, the pseudo-glosses that are signed, with true and predicted spans, and the
    highest others. Raises ClipError if its frames cannot be read.
    """
    pairs = pairs_of(timed, columns_of(names))
    spans: dict[str, Span] = {
        fold(names[pair.column]): predicted_span(pair.scores, pair.middles, clip.num_frames) for pair in pairs
    }
    shown = ReportClip(
        id=clip.id,
        reference=clip.text,
        hypothesis="",
        fps=clip.fps,
        frames=read_clip(clip.source(folder)),
        timed=timed,
        names=names,
        expected=[names[pair.column] for pair in pairs],
        spans=clip.spans,
    )
    return render("picture.svg", clip=shown, title=title, predicted=lambda name: spans.get(fold(name)))


def without_words(
    clip: PackedClip, timed: TimedClip, names: Sequence[str]
) -> tuple[PackedClip, TimedClip, tuple[str, ...]]:
    """The same without the sentence, with numbers instead of words: a gloss has that of its pseudo-gloss, or "-"."""
    numbers = {fold(name): str(number) for number, name in enumerate(names, start=1)}

    def numbered(spans: Sequence[SignSpan]) -> tuple[SignSpan, ...]:
        return tuple(replace(span, gloss=numbers.get(fold(span.gloss), "-")) for span in spans)

    clip, timed = replace(clip, text="", spans=numbered(clip.spans)), replace(timed, spans=numbered(timed.spans))
    return clip, timed, tuple(numbers[fold(name)] for name in names)


def write_pictures(
    out: Path,
    folder: Path,
    clips: Mapping[str, PackedClip],
    timed: Mapping[str, TimedClip],
    names: Sequence[str],
    clip_map: Mapping[str, float],
    *,
    show_words: bool = True,
) -> list[Path]:
    """Draw the chosen clips into `out`, as worst-1-ID.svg and random-1-ID.svg -> the files. Raises RunError."""
    paths = []
    for kind, ids in choose_clips(clip_map).items():
        for number, id in enumerate(ids, start=1):
            path = out / f"{kind}-{number}-{id}.svg"
            title = f"{id} ({kind} {number}): mAP {clip_map[id]:.0f}"
            shown = clips[id], timed[id], names
            drawn = draw_timeline(folder, *(shown if show_words else without_words(*shown)), title)
            write_atomic(path, drawn, RunError, parents=True)
            paths.append(path)
    return paths
