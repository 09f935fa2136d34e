"""Verbs that make and look at what training reads."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from glossfree.cli.shared import Json, console, result, show_json

INCOMPLETE = 1


class Fit(StrEnum):
    """How a frame becomes square; see `glossfree.video.frames`."""

    stretch = "stretch"
    pad = "pad"
    crop = "crop"


def prepare(
    corpus: Annotated[str, typer.Argument(help="wetter, phoenix14t-avatar, phoenix14t or folder.")],
    out: Annotated[Path, typer.Option(help="Folder to pack into.")],
    root: Annotated[Path | None, typer.Option(help="Where the corpus lies.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="The first N clips of each split.")] = None,
    frame_size: Annotated[int, typer.Option(help="Pixels of a packed frame; the paper's recipe needs 256.")] = 256,
    fit: Annotated[Fit, typer.Option(help="How a frame becomes square; the paper stretches it.")] = Fit.stretch,
    fps: Annotated[
        float | None,
        typer.Option(min=0.1, max=1000, help="Resample all clips by time to this rate; else each keeps its own."),
    ] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; one per core if left out.")] = None,
    strict: Annotated[bool, typer.Option(help="Stop at the first clip that cannot be read.")] = False,
    seed: Annotated[int | None, typer.Option(help="wetter: seed of the sentences.")] = None,
    train: Annotated[int | None, typer.Option(min=1, help="wetter: training clips.")] = None,
    dev: Annotated[int | None, typer.Option(min=1, help="wetter: dev clips.")] = None,
    test: Annotated[int | None, typer.Option(min=1, help="wetter: test clips.")] = None,
    language: Annotated[str | None, typer.Option(help="folder: language of the sentences, as de.")] = None,
    json_: Json = False,
) -> None:
    """Pack a corpus once, into plain files beside a manifest."""
    from glossfree.cli.prepare import prepare as run

    counts = {name: count for name, count in (("train", train), ("dev", dev), ("test", test)) if count is not None}
    done = run(
        corpus,
        out=out,
        root=root,
        limit=limit,
        frame_size=frame_size,
        fit=fit.value,
        fps=fps,
        workers=workers,
        strict=strict,
        seed=seed,
        counts=counts or None,
        language=language,
        console=console(),
    )
    if json_:
        show_json(done.to_dict())
    else:
        speed = f"{done.frames_per_second:.0f} frames/s"
        result(f"{done.out}: {done.packed} clips packed, {done.skipped} there before, {speed}")
    if not done.complete:
        raise typer.Exit(INCOMPLETE)


def glosses(
    corpus: Annotated[Path | None, typer.Argument(help="A folder made by `glossfree prepare`.")] = None,
    sentences: Annotated[Path | None, typer.Option(help="A file, one sentence a line, instead of a corpus.")] = None,
    out: Annotated[Path | None, typer.Option(help="Where to write; the corpus folder if left out.")] = None,
    vectors: Annotated[Path | None, typer.Option(help="fastText .bin or .vec; else trained here.")] = None,
    language: Annotated[str | None, typer.Option(help="Language of the sentences, as de.")] = None,
    splits: Annotated[str, typer.Option(help="Splits that make the inventory; the paper: train,dev,test.")] = "train",
    json_: Json = False,
) -> None:
    """Extract pseudo-glosses and their prototypes from the sentences."""
    from glossfree.cli.glosses import glosses as run

    names = tuple(splits.split(","))
    report = run(
        corpus, sentences=sentences, out=out, vectors=vectors, language=language, splits=names, console=console()
    )
    if json_:
        show_json(report.to_dict())
    else:
        result(report.to_text())
