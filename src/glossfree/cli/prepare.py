"""A corpus and its ROOT -> a prepared folder: every check first, then packing, then what came of it.

What cannot work at all is a CorpusError before anything is written. What is odd (a sentence in two splits, missing
frame folders, other counts than the release's) is said, packed around, and returned.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from glossfree.console import Advance, Console, Silent
from glossfree.corpora.checks import overlap_warning
from glossfree.corpora.manifest import CORPUS, SPLITS, Clip, FrameFolder, Manifest, VideoFile
from glossfree.corpora.registry import Corpus, find_corpus
from glossfree.errors import CorpusError, name_some
from glossfree.files.disk import write_atomic
from glossfree.video import prepare as video
from glossfree.video.frames import Fit
from glossfree.video.prepare import PrepareResult, Progress
from glossfree.video.timeline import FEWEST, mixed_rates, usual_rate

SMALLEST, LARGEST = 8, 2048  # pixels of a packed frame
LISTED = 20  # clips that are named at the end if they could not be packed


@dataclass(frozen=True)
class Prepared:
    """What `prepare` did. `skipped` clips lay there already; `frames` and `seconds` count this run only."""

    corpus: str
    out: Path
    splits: dict[str, int]
    packed: int
    skipped: int
    failed: tuple[tuple[str, str], ...]
    warnings: tuple[str, ...]
    frames: int
    seconds: float

    @property
    def complete(self) -> bool:
        """Whether every clip of the corpus is packed now."""
        return not self.failed

    @property
    def frames_per_second(self) -> float:
        """Frames packed per second of wall time, by all workers together."""
        return self.frames / self.seconds if self.seconds > 0 else 0.0

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        failed = [{"id": clip_id, "message": message} for clip_id, message in self.failed]
        derived = {"complete": self.complete, "frames_per_second": round(self.frames_per_second, 1)}
        return asdict(self) | {"out": str(self.out), "failed": failed, "warnings": list(self.warnings)} | derived


def prepare(
    corpus: str,
    *,
    out: Path,
    root: Path | None = None,
    limit: int | None = None,
    frame_size: int = 256,
    fit: Fit = "stretch",
    fps: float | None = None,
    workers: int | None = None,
    strict: bool = False,
    seed: int | None = None,
    counts: Mapping[str, int] | None = None,
    language: str | None = None,
    console: Console | None = None,
) -> Prepared:
    """Pack `corpus` into `out` at frame_size x frame_size pixels, the first `limit` clips of each split.

    A frame becomes square as `fit` says. With `fps`, clips are resampled by time to that rate; else each keeps its own.
    `counts` (clips by split) and `seed` are for corpora that are made up, not read. `workers` None = one per core.
    A clip that cannot be read is listed in `failed`; with `strict` it ends the work. Packing goes on where an
    interrupted run stopped. Raises CorpusError: unknown corpus or option, unusable ROOT, `out` that is not writable
    or holds something else; with `strict` also for sources that are not there, before anything is packed.
    """
    console = console or Silent()
    chosen = find_corpus(corpus)
    options = {"counts": dict(counts) if counts else None, "seed": seed}
    options = {key: value for key, value in options.items() if value is not None}
    _check_arguments(chosen, root, out, limit, frame_size, options)
    spoken = _language(language or chosen.language)
    if language is None and chosen.language_assumed:
        console.say(f"note: the sentences are taken to be in language {spoken}: --language says another")
    identity = {"name": chosen.name, "language": spoken, "frame_size": frame_size, "fit": fit}
    settings = options | ({} if limit is None else {"limit": limit}) | ({} if fps is None else {"fps": fps})
    _check_earlier(out, identity, settings)
    if root:
        console.say(f"checking {root}")
    clips, warnings = _collect(chosen, root, limit, options, strict)
    _say_all(console, [f"warning: {warning}" for warning in warnings])
    _claim(out, identity | {"settings": settings})
    with console.progress("packing clips", len(clips)) as advance:
        result = video.prepare(
            chosen.name,
            clips,
            out,
            frame_size=frame_size,
            fit=fit,
            fps=fps or 0.0,
            workers=workers or _cores(),
            strict=strict,
            language=spoken,
            on_progress=_reporter(advance),
            settings=settings,
        )
    odd = odd_clips(result.manifest)
    _say_all(console, [f"warning: {warning}" for warning in odd] + _listed(result.failed, out))
    return _summary(result, out, (*warnings, *odd))


def _summary(result: PrepareResult, out: Path, warnings: tuple[str, ...]) -> Prepared:
    return Prepared(
        corpus=str(result.manifest.corpus["name"]),
        out=out,
        splits={split: sum(clip.split == split for clip in result.manifest) for split in SPLITS},
        packed=result.packed,
        skipped=result.skipped,
        failed=result.failed,
        warnings=warnings,
        frames=result.frames,
        seconds=result.seconds,
    )


def odd_clips(manifest: Manifest) -> list[str]:
    """What of the packed clips a model would stumble over: several rates, hardly a frame."""
    problems = []
    if problem := mixed_rates(manifest.clips):
        remedy = f"--fps {usual_rate(manifest.clips):g} packs them at one rate"
        problems.append(f"{problem}: training resamples them to its data.fps; {remedy}")
    if short := [clip.id for clip in manifest if clip.num_frames < FEWEST]:
        noun = "clip has" if len(short) == 1 else "clips have"
        problems.append(f"{len(short):,} {noun} fewer than {FEWEST} frames: {name_some(short)}")
    return problems


def _say_all(console: Console, lines: Sequence[str]) -> None:
    for line in lines:
        console.say(line)


def _listed(failed: Sequence[tuple[str, str]], out: Path) -> list[str]:
    """Clips that could not be packed, one line each, and where to find the rest of a long list."""
    lines = [f"not packed: {message}" for _, message in failed[:LISTED]]
    more = len(failed) - LISTED
    return [*lines, f"and {more:,} more: glossfree inspect {out} lists them all"] if more > 0 else lines


def _check_arguments(
    corpus: Corpus, root: Path | None, out: Path, limit: int | None, frame_size: int, options: Mapping[str, Any]
) -> None:
    """Raises CorpusError for what contradicts the corpus or itself, before any file is looked into."""
    if corpus.needs_root and root is None:
        raise CorpusError("needs --root", where=corpus.name, remedy="--root is the folder that holds the corpus")
    if root is not None and not corpus.needs_root:
        raise CorpusError("is built in and takes no --root", where=corpus.name, remedy="leave --root away")
    if root is not None and not root.is_dir():
        raise CorpusError("no such folder", where=root, remedy="--root is the folder that holds the corpus")
    if root is not None and out.resolve() == root.resolve():
        raise CorpusError("--out and --root are the same folder", where=out, remedy="choose another --out")
    for name in options:
        if name not in corpus.options:
            takes = " and ".join(corpus.options) or "neither counts nor seed"
            raise CorpusError(f"takes no {name}", where=corpus.name, remedy=f"it takes {takes}")
    unknown = [split for split in options.get("counts", {}) if split not in SPLITS]
    if unknown:
        raise CorpusError(f"no split {unknown[0]!r}", where=corpus.name, remedy=f"one of {', '.join(SPLITS)}")
    if any(count < 1 for count in (1 if limit is None else limit, *options.get("counts", {}).values())):
        raise CorpusError("a number of clips below 1", where=corpus.name, remedy="limit and counts start at 1")
    if not SMALLEST <= frame_size <= LARGEST:
        remedy = f"{SMALLEST} to {LARGEST} pixels; the paper's recipe needs 256"
        raise CorpusError(f"frame size {frame_size}", where=corpus.name, remedy=remedy)


def _language(code: str) -> str:
    """A language code in any of its spellings (de, de-DE, de_DE) -> its two letters. Raises CorpusError."""
    short = code.replace("-", "_").split("_")[0].lower()
    if len(short) != 2 or not short.isalpha():
        raise CorpusError(f"language {code!r} is no code", where="--language", remedy="two letters, as de or en")
    return short


def _check_earlier(out: Path, identity: dict[str, Any], settings: dict[str, Any]) -> None:
    """Raises CorpusError if `out` holds another corpus, or this one made differently.

    More or fewer clips of the same corpus are not another corpus: those that are packed are kept.
    """
    path = out / CORPUS
    if not path.is_file():
        return
    try:
        earlier = json.loads(path.read_text(encoding="utf-8"))
        earlier = {"fit": "stretch", **earlier}  # not written before there was a choice
        chosen = {key: earlier["settings"].get(key) or 0 for key in ("seed", "fps")}
        found = {key: earlier[key] for key in identity} | chosen
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CorpusError("not made by prepare", where=path, remedy="choose another --out") from error
    wanted = identity | {key: settings.get(key) or 0 for key in ("seed", "fps")}
    differing = [f"{key} {found[key]!r}, not {wanted[key]!r}" for key in wanted if found[key] != wanted[key]]
    if differing:
        raise CorpusError(f"holds a corpus with {'; '.join(differing)}", where=out, remedy="choose another --out")


def _collect(
    corpus: Corpus, root: Path | None, limit: int | None, options: dict[str, Any], strict: bool
) -> tuple[list[Clip], list[str]]:
    """All clips of a corpus, and what is odd in it. Raises CorpusError: none; with `strict`, sources not there."""
    warnings = corpus.check(root) if corpus.check and root else []
    clips = [clip for split in SPLITS for clip in corpus.clips(root, split, limit=limit, **options)]
    if not clips:
        raise CorpusError("no clips in it", where=root or corpus.name, remedy="check --root and --limit")
    if not corpus.check and (overlap := overlap_warning(clips)):
        warnings = [*warnings, overlap]
    missing = [clip.id for clip in clips if _is_missing(clip)]
    if strict and missing:
        problem = f"{len(missing):,} of {len(clips):,} clips have no frames: {name_some(missing)}"
        raise CorpusError(problem, where=root, remedy="unpack them, or leave --strict away: the rest is packed then")
    return clips, warnings


def _is_missing(clip: Clip) -> bool:
    return isinstance(clip.source, VideoFile | FrameFolder) and not os.path.exists(clip.source.path)  # noqa: PTH110


def _claim(out: Path, about: dict[str, Any]) -> None:
    """Make `out` and write what it is to become, so that an interrupted run is known for what it is.

    The finished run writes the same file again with all figures. Raises CorpusError if `out` cannot be written.
    """
    remedy = "choose another --out, or check its rights"
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CorpusError(f"cannot be written ({error.strerror})", where=out, remedy=remedy) from error
    probe = out / f".{os.getpid()}.tmp"
    try:
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise CorpusError(f"cannot be written ({error.strerror})", where=out, remedy=remedy) from error
    if not (out / CORPUS).is_file():
        write_atomic(out / CORPUS, json.dumps(about, ensure_ascii=False, indent=1) + "\n")


def _reporter(advance: Advance) -> Progress:
    """What packing reports (clips done, in all, frames so far) -> steps of a bar, with the rate beside it."""
    started, last = time.perf_counter(), 0

    def report(done: int, total: int, frames: int) -> None:
        nonlocal last
        rate = frames / max(time.perf_counter() - started, 1e-3)
        advance(done - last, note=f"{rate:,.0f} frames/s" if frames else "")
        last = done

    return report


def _cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
