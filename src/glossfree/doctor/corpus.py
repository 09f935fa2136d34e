"""A corpus that is not packed yet -> findings: counts, rates, aspects, lengths, silent mistakes, the worst clips.

Headers of files are read, in threads, each file once; hardly a frame is decoded. A prepared folder is judged by its
manifest.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

from glossfree.console import Console
from glossfree.corpora import folder, phoenix14t
from glossfree.corpora.checks import overlap_warning
from glossfree.corpora.files import VIDEOS, is_companion
from glossfree.corpora.inspection import inspect
from glossfree.corpora.manifest import MANIFEST, SPLITS, Clip, FrameFolder, Manifest, PackedClip, VideoFile
from glossfree.corpora.registry import find_corpus
from glossfree.doctor.clips import (
    SAME_ASPECT,
    ClipFacts,
    aspect_finding,
    complaints,
    fault_findings,
    figures_of,
    groups,
    length_finding,
    rate_finding,
    worst_clips,
)
from glossfree.doctor.findings import Diagnosis, Finding
from glossfree.errors import ClipError, CorpusError
from glossfree.video.container import FPS, VideoInfo, probe
from glossfree.video.decode import image_names
from glossfree.video.timeline import SAME_RATE

THREADS = 8  # reading headers is mostly waiting for the disk
Header = VideoInfo | ClipError


def diagnose_corpus(path: Path, corpus: str | None, console: Console) -> Diagnosis:
    """ROOT of a corpus, its sentence file, or a prepared folder -> Diagnosis; `corpus` None: known by its layout.

    Raises CorpusError: no such corpus, a folder that looks like none of them.
    """
    if path.suffix.lower() in VIDEOS and path.is_file():
        remedy = "compare it with a model: glossfree doctor MODEL clip.mp4"
        raise CorpusError("is a video, not a corpus", where=path, remedy=remedy)
    root = path.parent if path.is_file() else path
    if corpus is None and (root / MANIFEST).is_file():
        return _diagnose_prepared(root)
    chosen = find_corpus(corpus or guess_corpus(root))
    if not chosen.needs_root:
        raise CorpusError("is built in: there is nothing to check", where=chosen.name, remedy="prepare it")
    subject = f"{path} ({chosen.name})"
    if path.is_file() and chosen.name == "folder" and path.name.lower() not in folder.SENTENCES:
        remedy = f"call it {' or '.join(folder.SENTENCES)}: prepare looks for these names"
        raise CorpusError("is no sentence file of a corpus", where=path, remedy=remedy)
    try:
        notes = chosen.check(root) if chosen.check else []
        clips = [clip for split in SPLITS for clip in chosen.clips(root, split)]
    except CorpusError as error:
        where = f" ({error.where})" if error.where and error.where != str(root) else ""
        return Diagnosis(subject, (Finding("sentences", "problem", f"{error.problem}{where}", error.remedy or ""),))
    if not chosen.check and (overlap := overlap_warning(clips)):
        notes = [overlap]
    headers = read_headers(clips, console)
    facts = [_facts(clip, headers, root) for clip in clips]
    remedy = f"glossfree prepare {chosen.name} --root {root} --out OUT --fps {{fps}} resamples all clips by time"
    about = {"corpus": chosen.name, "files": len(headers)}
    diagnosis = _diagnosis(subject, facts, notes, remedy, about, names_missing=chosen.check is not None)
    if chosen.name != "folder":
        return diagnosis
    return replace(diagnosis, findings=(*diagnosis.findings, *_companion_findings(root)))


def guess_corpus(root: Path) -> str:
    """ROOT -> the name of the corpus that has this layout. Raises CorpusError if none has."""
    try:
        if any(path.stem.lower() == "sentences" and path.is_file() for path in root.iterdir()):
            return "folder"
    except OSError as error:
        raise CorpusError(f"cannot be read ({error.strerror})", where=root, remedy="check its rights") from error
    if any(phoenix14t.annotation_path(root, split).is_file() for split in SPLITS):
        return "phoenix14t-avatar"
    try:
        top = phoenix14t.find_top(root)
    except CorpusError as error:
        raise CorpusError(
            "looks like no corpus that glossfree knows",
            where=root,
            remedy=f"write {' or '.join(folder.SENTENCES)} with the columns path, text, split; or name --corpus",
        ) from error
    return "phoenix14t" if (top / phoenix14t.FRAMES).is_dir() else "phoenix14t-avatar"


def read_headers(clips: Sequence[Clip], console: Console) -> dict[Path, Header]:
    """Clips -> what the header of each distinct file or frame folder states, or the error of reading it."""
    sources = dict.fromkeys(clip.source for clip in clips if isinstance(clip.source, VideoFile | FrameFolder))
    folders = {source.path: isinstance(source, FrameFolder) for source in sources}
    headers: dict[Path, Header] = {}
    with console.progress("reading headers", len(folders)) as advance, ThreadPoolExecutor(THREADS) as threads:
        for path, header in zip(folders, threads.map(_header, folders, folders.values()), strict=True):
            headers[path] = header
            advance()
    return headers


def _header(path: Path, is_folder: bool) -> Header:
    try:
        if not is_folder:
            return probe(path)
        names = image_names(path, str(path))
        image = probe(path / names[0])
    except ClipError as error:
        return error
    return VideoInfo(image.width, image.height, len(names), FPS, len(names) / FPS)


def _facts(clip: Clip, headers: dict[Path, Header], root: Path) -> ClipFacts:
    source = clip.source
    if not isinstance(source, VideoFile | FrameFolder):
        fps = clip.fps or source.fps
        return ClipFacts(clip.id, clip.split, clip.text, "", fps, 1.0, source.num_frames / fps)
    header = headers[source.path]
    path = os.path.relpath(source.path, root)
    if isinstance(header, ClipError):
        missing = not source.path.exists()
        return ClipFacts(clip.id, clip.split, clip.text, path, error=header.problem, is_missing=missing)
    return ClipFacts(
        id=clip.id,
        split=clip.split,
        text=clip.text,
        path=path,
        fps=clip.fps or header.fps,
        aspect=header.width / header.height if header.height else 0.0,
        video_seconds=header.num_frames / clip.fps if clip.fps else header.seconds,
        segment=source.segment,
    )


def _diagnose_prepared(root: Path) -> Diagnosis:
    """A prepared folder -> Diagnosis of its manifest, with the problems that `inspect` names."""
    manifest = Manifest.load(root)
    facts = [_packed_facts(clip) for clip in manifest]
    remedy = "glossfree prepare again, into another folder, with --fps {fps}: it resamples all clips by time"
    about = {"corpus": str(manifest.corpus.get("name", "")), "files": len(facts)}
    fit = str(manifest.corpus.get("fit", "stretch"))
    return _diagnosis(f"{root} (prepared)", facts, inspect(root).problems, remedy, about, fit)


def _packed_facts(clip: PackedClip) -> ClipFacts:
    seconds = clip.num_frames / clip.fps if clip.fps > 0 else 0.0
    return ClipFacts(clip.id, clip.split, clip.text, clip.file, clip.fps, clip.aspect, seconds)


def _diagnosis(
    subject: str,
    facts: Sequence[ClipFacts],
    notes: Sequence[str],
    remedy: str,
    about: dict[str, Any],
    fit: str = "stretch",
    names_missing: bool = False,
) -> Diagnosis:
    """Facts of all clips, and what the corpus says of itself -> Diagnosis.

    `remedy`: what to do about mixed rates. `names_missing`: whether `notes` tell of missing files already.
    """
    rates, aspects = (
        groups((clip.fps for clip in facts), SAME_RATE),
        groups((clip.aspect for clip in facts), SAME_ASPECT),
    )
    fps, aspect = next(iter(rates), 0.0), next(iter(aspects), 0.0)
    odd = [complaints(clip, fps, aspect) for clip in facts]
    ids: dict[str, list[str]] = {}
    for clip, reasons in zip(facts, odd, strict=True):
        for complaint in reasons:
            ids.setdefault(complaint.fault.name, []).append(clip.id)
    findings = [
        _count_finding(facts, about["files"]),
        rate_finding(rates, remedy.replace("{fps}", f"{fps:g}")),
        aspect_finding(aspects, fit),
        length_finding([clip.seconds for clip in facts if not clip.error]),
        *fault_findings(ids, len(facts), names_missing=names_missing),
        *(Finding("corpus", "warning", note) for note in notes),
    ]
    figures = about | figures_of(facts, rates, aspects) | {"faults": ids}
    return Diagnosis(subject, tuple(filter(None, findings)), figures, worst_clips(facts, odd))


def _count_finding(facts: Sequence[ClipFacts], num_files: int) -> Finding:
    if not facts:
        return Finding("clips", "problem", "none", "one line of the sentence file per clip")
    counts = {split: sum(clip.split == split for clip in facts) for split in SPLITS}
    shown = ", ".join(f"{split} {count:,}" for split, count in counts.items())
    return Finding("clips", "ok", f"{shown}; {num_files:,} files" if num_files else shown)


def _companion_findings(root: Path) -> Iterator[Finding]:
    """Files that operating systems leave beside others, anywhere below ROOT."""
    count = sum(is_companion(name) for _, _, files in os.walk(root) for name in files)
    if count:
        yield Finding("other files", "ok", f"{count:,} of operating systems (as ._x, Thumbs.db) are passed over")
