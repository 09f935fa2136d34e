"""A corpus by name and its ROOT -> a prepared folder: all checks first, then packing.

Errors raise CorpusError before anything is written. Oddities (a sentence in two splits, missing frame folders, counts
that differ from the release's) are warnings: they are printed and returned.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from glossfree.cluster import Cluster, cores
from glossfree.console import Advance, Console
from glossfree.corpora.manifest import (
    CORPUS,
    SPLITS,
    Clip,
    FrameFolder,
    Manifest,
    PosedDrawing,
    VideoFile,
    overlap_warning,
)
from glossfree.corpora.registry import Corpus, find_corpus
from glossfree.corpora.sentencing import RULES, changed_rules
from glossfree.errors import CorpusError, name_groups, name_some
from glossfree.files.disk import read_json, write_json
from glossfree.files.parts import as_address, is_address
from glossfree.languages import profile_of, unnamed_language
from glossfree.video.keypoints import write_keypoints
from glossfree.video.pack import Packing
from glossfree.video.poses import SUFFIX, keypoints_of_clip
from glossfree.video.prepare import PrepareResult, Progress, prepare
from glossfree.video.shards import remove_unused, write_shards
from glossfree.video.timeline import FEWEST, mixed_rates, usual_rate

PACKING = Packing()
USERS = ("folder", "subtitles")  # corpora that are the user's own: their name is that of a layout
LISTED = 20  # unreadable clips that are listed at the end
ANOTHER_OUT = "choose another --out"


def prepare_corpus(
    name: str,
    out: Path,
    packing: Packing = PACKING,
    *,
    console: Console,
    root: Path | None = None,
    title: str | None = None,
    limit: int | None = None,
    workers: int | None = None,
    cluster: Cluster | None = None,
    strict: bool = False,
    seed: int | None = None,
    counts: Mapping[str, int] | None = None,
    language: str | None = None,
    rules: Mapping[str, str] | None = None,
    tier: str | None = None,
    sign_language: str | None = None,
    poses: bool = False,
    shards: int = 0,
) -> PrepareResult:
    """Pack the first `limit` clips of each split. `title`: what model cards call it; of the user's own videos, by
    default the name of ROOT. `counts` (clips by split) and `seed` are for generated corpora.

    `rules` (see `corpora.sentencing`) and `tier` are for those with captions; `language` chooses between several, too;
    `sign_language` chooses videos of a corpus in several.
    `poses`: write their keypoints, too (`video.keypoints`); clips without any count as failed, and are packed.
    `shards`: megabytes of the tar files that the packed clips are moved into; 0: they stay files, or where they are.
    `workers` None: one per core; the other options are those of `video.prepare`. Packing continues an interrupted run.
    Raises CorpusError: unknown corpus, option or language, no language, unusable ROOT, an `out` that cannot be written
    or holds something else; with `strict` also for missing sources, before anything is packed.
    """
    corpus = find_corpus(name)
    named = {"counts": counts, "seed": seed, "rules": rules or None, "tier": tier, "sign_language": sign_language}
    options: dict[str, Any] = {key: value for key, value in named.items() if value is not None}
    _check_options(corpus, root, out, options)
    code = _language(corpus, language)
    if language is not None and "language" in corpus.options:
        options["language"] = code
    settings = options | {key: value for key, value in (("limit", limit), ("fps", packing.fps)) if value}
    identity = {"name": name, "language": code, "frame_size": packing.frame_size, "fit": packing.fit}
    identity["codec"] = packing.codec
    earlier = _earlier(out, identity, settings)
    title = title or earlier.get("title") or (root.resolve().name if root and name in USERS else None)
    about = {**identity, "settings": settings} | ({"title": title} if title else {})
    if root:
        console.say(f"checking {root}")
    clips, warnings = _collect(corpus, root, limit, options, strict)
    for warning in warnings:
        console.warn(warning)
    if not (out / CORPUS).is_file():  # identifies an interrupted run; a finished one rewrites it
        write_json(out / CORPUS, about, parents=True)
    with console.progress("packing clips", len(clips)) as advance:
        report = _reporter(advance)
        count = workers or cores()
        result = prepare(clips, out, packing, about, workers=count, cluster=cluster, strict=strict, on_progress=report)
    odd = _say_what_is_odd(result, console)
    result = replace(result, manifest=_in_shards(result.manifest, shards, console))
    failed = (*result.failed, *(_write_poses(clips, result.manifest, packing, console) if poses else ()))
    return replace(result, failed=failed, warnings=(*warnings, *odd))


def _in_shards(manifest: Manifest, megabytes: int, console: Console) -> Manifest:
    """Move the clips into shards of this size; 0: leave them, and remove the shards of clips that were packed anew."""
    if not megabytes:
        remove_unused(manifest)
        return manifest
    with console.progress("writing shards", len(manifest.clips)) as advance:
        return write_shards(manifest, megabytes, lambda clips: advance(clips))


def _say_what_is_odd(result: PrepareResult, console: Console) -> list[str]:
    """Warn of odd clips and of those that could not be packed -> the warnings of the odd ones."""
    odd = _odd_clips(result.manifest)
    for warning in odd:
        console.warn(warning)
    for _, problem in result.failed[:LISTED]:
        console.warn(f"not packed: {problem}")
    if len(result.failed) > LISTED:
        where = result.manifest.folder
        console.warn(f"and {len(result.failed) - LISTED:,} more: glossfree inspect {where} lists them all")
    return odd


def _write_poses(
    clips: Sequence[Clip], manifest: Manifest, packing: Packing, console: Console
) -> tuple[tuple[str, str], ...]:
    """Write the keypoints of the packed clips -> (clip id, problem) of each that has none, which is a warning."""
    by_id = {clip.id: clip for clip in clips}
    drawn = isinstance(clips[0].source, PosedDrawing)
    report = write_keypoints(
        manifest,
        lambda packed: keypoints_of_clip(by_id[packed.id], packed, packing.fit),
        {"source": "drawings" if drawn else f"{SUFFIX} files"},
        console,
    )
    console.say(report.to_text().splitlines()[0])
    for _, problem in report.bad[:LISTED]:
        console.warn(f"no keypoints: {problem}")
    return report.bad


def _odd_clips(manifest: Manifest) -> list[str]:
    """Warnings about packed clips: several rates, too few frames."""
    problems = []
    if problem := mixed_rates(manifest.clips):
        remedy = f"--fps {usual_rate(manifest.clips):g} packs them at one rate"
        problems.append(f"{problem}: training resamples them to its data.fps; {remedy}")
    short = [clip.id for clip in manifest if clip.num_frames < FEWEST]
    return [*problems, *name_groups({f"clips of fewer than {FEWEST} frames": short})]


def _check_options(corpus: Corpus, root: Path | None, out: Path, options: Mapping[str, Any]) -> None:
    """Raise CorpusError for options that contradict the corpus or each other, before any file is read."""
    root_is = "--root is the folder that holds the corpus"
    if corpus.needs_root and root is None:
        raise CorpusError("needs --root", where=corpus.name, remedy=root_is)
    if root is not None and not corpus.needs_root:
        raise CorpusError("is built in and takes no --root", where=corpus.name, remedy="omit --root")
    if is_address(out):
        remedy = "name a folder, and copy it there when it is packed"
        raise CorpusError("clips are packed on this disk only", where=as_address(out), remedy=remedy)
    if root is not None and not root.is_dir():
        raise CorpusError("no such folder", where=root, remedy=root_is)
    if root is not None and out.resolve() == root.resolve():
        raise CorpusError("--out and --root are the same folder", where=out, remedy=ANOTHER_OUT)
    corpus.check_options(options)
    changed_rules(RULES, options.get("rules", {}))


def _language(corpus: Corpus, named: str | None) -> str:
    """The code of the language that the user names, else of the corpus. Raises CorpusError if neither has one."""
    language = named or corpus.language
    if language is None:
        raise unnamed_language(corpus.name)
    return profile_of(language).code


def _earlier(out: Path, identity: dict[str, Any], settings: dict[str, Any]) -> dict[str, Any]:
    """The `corpus.json` of `out`, if there is one; the number of clips may differ.

    Raises CorpusError if it is of another corpus or of other settings.
    """
    path = out / CORPUS
    if not path.is_file():
        return {}
    earlier = {"fit": "stretch", "codec": "h264", **read_json(path, remedy=ANOTHER_OUT)}  # older folders lack these
    earlier_settings, wanted = earlier.get("settings"), dict(identity)
    if not isinstance(earlier_settings, dict) or not identity.keys() <= earlier.keys():
        raise CorpusError("not made by prepare", where=path, remedy=ANOTHER_OUT)
    for key, default in {"seed": 0, "fps": 0, "rules": {}, "tier": "", "sign_language": ""}.items():
        earlier[key], wanted[key] = earlier_settings.get(key) or default, settings.get(key) or default
    differing = [f"{key} {earlier[key]!r}, not {wanted[key]!r}" for key in wanted if earlier[key] != wanted[key]]
    if differing:
        raise CorpusError(f"holds a corpus with {'; '.join(differing)}", where=out, remedy=ANOTHER_OUT)
    return earlier


def _collect(
    corpus: Corpus, root: Path | None, limit: int | None, options: dict[str, Any], strict: bool
) -> tuple[list[Clip], list[str]]:
    """All clips of a corpus, and warnings. Raises CorpusError: no clips; with `strict`, missing sources."""
    warnings = corpus.check(root, **options) if corpus.check and root else []
    clips = [clip for split in SPLITS for clip in corpus.clips(root, split, limit=limit, **options)]
    if not clips:
        raise CorpusError("no clips in it", where=root or corpus.name, remedy="check --root and --limit")
    if not corpus.check and (overlap := overlap_warning(clips)):
        warnings = [*warnings, overlap]
    missing = []
    if strict:
        files = ((clip.id, clip.source.path) for clip in clips if isinstance(clip.source, VideoFile | FrameFolder))
        missing = [clip_id for clip_id, path in files if not os.path.exists(path)]  # noqa: PTH110
    if missing:
        problem = f"{len(missing):,} of {len(clips):,} clips have no file or folder: {name_some(missing)}"
        remedy = "copy or unpack them there, correct their paths, or omit --strict to pack the rest"
        raise CorpusError(problem, where=root, remedy=remedy)
    return clips, warnings


def _reporter(advance: Advance) -> Progress:
    """Packing's progress (clips done, in all, frames so far) -> steps of a bar, with the frame rate."""
    started, last = time.perf_counter(), 0

    def report(done: int, total: int, frames: int) -> None:
        nonlocal last
        rate = frames / max(time.perf_counter() - started, 1e-3)
        advance(done - last, note=f"{rate:,.0f} frames/s" if frames else "")
        last = done

    return report
