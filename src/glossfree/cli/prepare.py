"""`prepare`: pack a corpus once, into plain files beside a manifest."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from glossfree.cli.options import Address, CaptionRules, Engine, EngineName, SignLanguage, Tier, engine_of, pairs
from glossfree.console import Console
from glossfree.corpora.manifest import SPLITS, Manifest
from glossfree.corpora.registry import CORPORA
from glossfree.errors import CorpusError
from glossfree.text.corpus import outdated_glosses
from glossfree.video.corpus import prepare_corpus
from glossfree.video.pack import Packing
from glossfree.video.prepare import PrepareResult


class Codec(StrEnum):
    """How a packed clip is kept; see `video.pack`."""

    h264 = "h264"
    raw = "raw"


Keeping = Annotated[
    Codec, typer.Option(help="h264 is small; raw needs 98 kB a frame of 256 and is read several times faster.")
]


Rate = Annotated[
    float | None,
    typer.Option(min=0.1, max=1000, help="Resample all clips by time to this rate; else each keeps its own."),
]
Name = Annotated[
    str | None, typer.Option(help="What model cards call the corpus; one's own videos have ROOT's name if left out.")
]


class Fit(StrEnum):
    """How a frame becomes square; see `video.frames`."""

    stretch = "stretch"
    pad = "pad"
    crop = "crop"


def prepare(
    corpus: Annotated[str, typer.Argument(help=f"One of {', '.join(CORPORA)}.")],
    out: Annotated[Path, typer.Option(help="Folder to pack into.")],
    console: Console,
    root: Annotated[Path | None, typer.Option(help="Where the corpus lies.")] = None,
    name: Name = None,
    limit: Annotated[int | None, typer.Option(min=1, help="The first N clips of each split.")] = None,
    frame_size: Annotated[
        int, typer.Option(min=8, max=2048, help="Pixels of a packed frame; the paper's recipe needs 256.")
    ] = 256,
    fit: Annotated[Fit, typer.Option(help="How a frame becomes square; the paper stretches it.")] = Fit.stretch,
    codec: Keeping = Codec.h264,
    fps: Rate = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; one per core if left out.")] = None,
    strict: Annotated[bool, typer.Option(help="Stop at the first clip that cannot be read.")] = False,
    seed: Annotated[int | None, typer.Option(help="wetter: seed of the sentences, 0 if left out.")] = None,
    train: Annotated[int | None, typer.Option(min=1, help="wetter: training clips, 2,400 if left out.")] = None,
    dev: Annotated[int | None, typer.Option(min=1, help="wetter: dev clips, 200 if left out.")] = None,
    test: Annotated[int | None, typer.Option(min=1, help="wetter: test clips, 240 if left out.")] = None,
    language: Annotated[
        str | None, typer.Option(help="Of the sentences, as de, en or zh; of captions in several, the one to take.")
    ] = None,
    rules: CaptionRules = None,
    tier: Tier = None,
    sign_language: SignLanguage = None,
    poses: Annotated[
        bool, typer.Option("--poses", help="Keypoints, too: of drawings, or of the NAME.pose beside each clip.")
    ] = False,
    engine: Engine = EngineName.local,
    address: Address = "",
    shards: Annotated[
        int, typer.Option(min=0, help="Move the clips into tar files of so many megabytes; 256 is usual, 0 is off.")
    ] = 0,
) -> PrepareResult:
    """Check a corpus and pack its clips; see `video.corpus.prepare_corpus`."""
    counts = {name: count for name, count in zip(SPLITS, (train, dev, test), strict=True) if count is not None}
    earlier = _clip_ids(out)
    with engine_of(engine, address) as cluster:
        result = prepare_corpus(
            corpus,
            out,
            Packing(frame_size, fit.value, fps or 0.0, codec.value),
            console=console,
            cluster=cluster,
            root=root,
            title=name,
            limit=limit,
            workers=workers,
            strict=strict,
            seed=seed,
            counts=counts or None,
            language=language,
            rules=pairs(rules),
            tier=tier,
            sign_language=sign_language,
            poses=poses,
            shards=shards,
        )
    return _with_changes(result, earlier, console)


def _clip_ids(folder: Path) -> set[str]:
    """The clips of a prepared folder; none if there is no valid one."""
    try:
        return {clip.id for clip in Manifest.load(folder)}
    except CorpusError:
        return set()


def _with_changes(result: PrepareResult, earlier: set[str], console: Console) -> PrepareResult:
    """The result with warnings, which are printed, of what differs from the clips that were there before."""
    warnings = list(_changes(earlier, result.manifest))
    for warning in warnings:
        console.warn(warning)
    return replace(result, warnings=(*result.warnings, *warnings))


def _changes(earlier: set[str], manifest: Manifest) -> Iterator[str]:
    """Warnings about clips that a corpus has lost, and pseudo-glosses that no longer fit it."""
    if lost := len(earlier - {clip.id for clip in manifest}):
        yield f"{lost:,} of the {len(earlier):,} clips that {manifest.folder} had are no longer in its manifest"
    if problem := outdated_glosses(manifest):
        yield f"{problem}: make them again with glossfree glosses {manifest.folder}"
