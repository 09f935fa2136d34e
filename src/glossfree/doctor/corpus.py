"""Checks a corpus, packed or not: counts, rates, aspects, lengths, faults of single clips, the worst clips.

Reads headers only, in threads, each file once; of a prepared folder only the manifest. Times are in seconds, rates in
frames per second; 0 means unknown.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from glossfree.console import Console, duration
from glossfree.corpora import folder, phoenix14t
from glossfree.corpora.files import VIDEOS, is_companion
from glossfree.corpora.inspection import inspect
from glossfree.corpora.manifest import MANIFEST, SPLITS, Clip, FrameFolder, Manifest, VideoFile
from glossfree.corpora.registry import CORPORA, find_corpus
from glossfree.doctor.findings import BadClip, Diagnosis, Finding, counted
from glossfree.errors import ClipError, CorpusError, name_some, os_errors_as
from glossfree.text.corpus import outdated_glosses
from glossfree.text.tagging import split_words
from glossfree.video.container import FPS, VideoInfo, probe
from glossfree.video.decode import image_names
from glossfree.video.timeline import BEYOND, FEWEST, SAME_RATE

THREADS = 8  # reading headers is mostly waiting for the disk
LONGEST = 30.0  # seconds of one sentence; PHOENIX14T's longest clip is 19 s
FASTEST, SLOWEST = 8.0, 0.2  # words a second: beyond these limits the sentence hardly belongs to the clip
SAME_ASPECT = 0.1  # relative difference up to which two aspects count as one
NAMED = 5  # clips that a finding names; figures list all
WORST = 10
Fault = tuple[float, str, str]  # rank (smaller is worse), name, detail with the clip's own numbers
SHAPES = {16 / 9: "16:9", 4 / 3: "4:3", 1.0: "square", 3 / 4: "3:4", 9 / 16: "9:16"}
# faults of a clip, worst first: topic, predicate of "13 clips ...", remedy; "" if another finding covers the fault
FAULTS = {
    "missing": ("files", "have no file", "correct the paths, or copy the files there"),
    "unreadable": ("files", "cannot be read", "copy or download the files again, or drop the rows"),
    "behind": ("segments", "begin after the end of their video", "correct start, end or the video"),
    "beyond": ("segments", "end after the end of their video", "correct the end, or the video"),
    "empty": ("sentences", "have an empty sentence", "write the sentence, or drop the row"),
    "short": ("lengths", f"have fewer than {FEWEST} frames", "check start and end, or drop them"),
    "fast": ("sentences", f"have more than {FASTEST:g} words a second", "does the sentence belong there?"),
    "slow": ("sentences", f"have under {SLOWEST} words a second", "does the sentence belong there?"),
    "long": ("lengths", f"are longer than {LONGEST:.0f} s", "cut them into sentences, with columns start and end"),
    "rate": ("", "", ""),
    "aspect": ("", "", ""),
}


@dataclass(frozen=True)
class ClipFacts:
    """A clip: its sentence, and facts from its header. It lasts from `start` to `end` of a video of `video_seconds`.

    `error` is the reason why its file cannot be read; `is_missing`: the file does not exist.
    """

    id: str
    split: str
    text: str
    path: str = ""
    fps: float = 0.0
    aspect: float = 0.0
    video_seconds: float = 0.0
    start: float = 0.0
    end: float = 0.0
    error: str = ""
    is_missing: bool = False

    @property
    def seconds(self) -> float:
        """Length of the clip, up to the end of the video."""
        end = min(self.end, self.video_seconds) if self.video_seconds else self.end
        return max(0.0, end - self.start)


def diagnose_corpus(path: Path, name: str | None, console: Console, **options: Any) -> Diagnosis:
    """ROOT of a corpus, its sentence file, or a prepared folder -> Diagnosis; `name` None: recognised by its layout.

    `options` are those of `Corpus`. Raises CorpusError: no such corpus or option, a folder without a known layout.
    """
    if path.suffix.lower() in VIDEOS and path.is_file():
        remedy = "compare it with a model: glossfree doctor MODEL clip.mp4"
        raise CorpusError("is a video, not a corpus", where=path, remedy=remedy)
    root = path.parent if path.is_file() else path
    if name is None and (root / MANIFEST).is_file():
        return _diagnose_prepared(root)
    corpus = find_corpus(name or guess_corpus(root))
    if corpus.check is None:
        raise CorpusError("is built in: nothing to check", where=corpus.name, remedy="prepare it")
    if path.is_file() and corpus.name == "folder" and path.name.lower() not in folder.SENTENCES:
        remedy = f"call it {' or '.join(folder.SENTENCES)}: prepare looks for these names"
        raise CorpusError("is no sentence file of a corpus", where=path, remedy=remedy)
    corpus.check_options(options)
    subject = f"{path} ({corpus.name})"
    try:
        notes = corpus.check(root, **options)
        clips = [clip for split in SPLITS for clip in corpus.clips(root, split, **options)]
    except CorpusError as error:
        where = f" ({error.where})" if error.where and error.where != str(root) else ""
        return Diagnosis(subject, (Finding("sentences", "problem", f"{error.problem}{where}", error.remedy or ""),))
    headers = read_headers(clips, console)
    facts = [_facts(clip, headers, root) for clip in clips]
    findings = [Finding("corpus", "warning", note) for note in notes]
    if corpus.name == "folder" and (guessed := sum(isinstance(c.source, FrameFolder) and not c.fps for c in clips)):
        text = f"{counted(guessed, 'clip')} of images without a rate, taken as {FPS:g}/s"
        findings.append(Finding("frame rate", "warning", text, "write their rate into a column fps"))
    remedy = f"glossfree prepare {corpus.name} --root {root} --out OUT --fps {{fps}} resamples all clips by time"
    return _diagnosis(
        subject,
        facts,
        [*findings, *_companions(root, corpus.name)],
        remedy,
        {"corpus": corpus.name, "files": len(headers)},
    )


def guess_corpus(root: Path) -> str:
    """ROOT -> the name of the corpus with this layout. Raises CorpusError if there is none."""
    with os_errors_as(CorpusError, "cannot be read", where=root, remedy="check its rights"):
        if any(path.stem.lower() == "sentences" and path.is_file() for path in root.iterdir()):
            return "folder"
    if any(phoenix14t.annotation_path(root, split).is_file() for split in SPLITS):
        return "phoenix14t-avatar"
    try:
        top = phoenix14t.find_top(root)
    except CorpusError as error:  # patterns last: they may have to go through all folders
        for corpus in CORPORA.values():
            if any(any(root.glob(pattern)) for pattern in corpus.layout):
                return corpus.name
        remedy = f"write {' or '.join(folder.SENTENCES)} with the columns path, text, split; or name --corpus"
        raise CorpusError("looks like no corpus that glossfree knows", where=root, remedy=remedy) from error
    return "phoenix14t" if (top / phoenix14t.FRAMES).is_dir() else "phoenix14t-avatar"


def read_headers(clips: Sequence[Clip], console: Console) -> dict[Path, VideoInfo | ClipError]:
    """Clips -> the header of each distinct file or frame folder, or the error of reading it."""
    sources = [clip.source for clip in clips if isinstance(clip.source, VideoFile | FrameFolder)]
    folders = {source.path: isinstance(source, FrameFolder) for source in sources}
    headers: dict[Path, VideoInfo | ClipError] = {}
    with console.progress("reading headers", len(folders)) as advance, ThreadPoolExecutor(THREADS) as threads:
        for path, header in zip(folders, threads.map(_header, folders, folders.values()), strict=True):
            headers[path] = header
            advance()
    return headers


def _header(path: Path, is_folder: bool) -> VideoInfo | ClipError:
    try:
        if not is_folder:
            return probe(path)
        names = image_names(path, str(path))
        image = probe(path / names[0])
    except ClipError as error:
        return error
    return VideoInfo(image.width, image.height, len(names), FPS, len(names) / FPS)


def _facts(clip: Clip, headers: dict[Path, VideoInfo | ClipError], root: Path) -> ClipFacts:
    source, about = clip.source, partial(ClipFacts, clip.id, clip.split, clip.text)
    if not isinstance(source, VideoFile | FrameFolder):
        fps = clip.fps or source.fps
        return about("", fps, 1.0, source.num_frames / fps, end=source.num_frames / fps)
    header, path = headers[source.path], os.path.relpath(source.path, root)
    if isinstance(header, ClipError):
        return about(path, error=header.problem, is_missing=not source.path.exists())
    fps = clip.fps or header.fps
    seconds = header.num_frames / clip.fps if clip.fps else header.seconds
    aspect = header.width / header.height if header.height else 0.0
    start, end, segment = 0.0, seconds, source.segment
    if segment is not None:
        unit = fps if segment.unit == "frames" and fps else 1.0
        start, end = segment.start / unit, seconds if segment.end is None else segment.end / unit
    return about(path, fps, aspect, seconds, start, end)


def _diagnose_prepared(root: Path) -> Diagnosis:
    """A prepared folder -> Diagnosis of its manifest, with the problems that `inspect` reports."""
    manifest, facts = Manifest.load(root), []
    for clip in manifest:
        seconds = clip.num_frames / clip.fps if clip.fps > 0 else 0.0
        facts.append(ClipFacts(clip.id, clip.split, clip.text, clip.file, clip.fps, clip.aspect, seconds, end=seconds))
    return _diagnosis(
        f"{root} (prepared)",
        facts,
        [*(Finding("corpus", "warning", problem) for problem in inspect(root).problems), *_glosses(manifest)],
        "glossfree prepare again, into another folder, with --fps {fps}: it resamples all clips by time",
        {"corpus": str(manifest.corpus.get("name", "")), "files": len(facts)},
        fit=str(manifest.corpus.get("fit", "stretch")),
    )


def _glosses(manifest: Manifest) -> Iterator[Finding]:
    """A warning if the pseudo-glosses of a prepared folder have to be made again."""
    if problem := outdated_glosses(manifest):
        yield Finding("pseudo-glosses", "warning", problem, f"make them again: glossfree glosses {manifest.folder}")


def _diagnosis(
    subject: str,
    facts: Sequence[ClipFacts],
    notes: Sequence[Finding],
    rate_remedy: str,
    about: dict[str, Any],
    *,
    fit: str = "stretch",
) -> Diagnosis:
    """Facts of all clips, and findings on the corpus -> Diagnosis."""
    rates = groups((clip.fps for clip in facts), SAME_RATE)
    aspects = groups((clip.aspect for clip in facts), SAME_ASPECT)
    fps, aspect = next(iter(rates), 0.0), next(iter(aspects), 0.0)
    faults = [sorted(find_faults(clip, fps, aspect)) for clip in facts]
    ids: dict[str, list[str]] = {}
    for clip, own in zip(facts, faults, strict=True):
        for _, fault, _ in own:
            ids.setdefault(fault, []).append(clip.id)
    known = [clip.seconds for clip in facts if clip.seconds]
    figures = about | {
        "clips": dict(Counter(clip.split for clip in facts)),
        "fps": {f"{fps:g}": count for fps, count in rates.items()},
        "aspect": {f"{aspect:g}": count for aspect, count in aspects.items()},
        "seconds": {
            "shortest": min(known, default=None),
            "median": median(known) if known else None,
            "longest": max(known, default=None),
            "all": sum(known),
        },
        "faults": ids,
    }
    findings = (
        *_summary(facts, about["files"], known),
        *_rates(rates, rate_remedy.replace("{fps}", f"{fps:g}")),
        *_aspects(aspects, fit),
        *_faults(ids, len(facts)),
        *notes,
    )
    worst = sorted((own[0][0], -len(own), place) for place, own in enumerate(faults) if own)[:WORST]
    bad = (
        BadClip(facts[place].id, facts[place].split, facts[place].path, tuple(detail for *_, detail in faults[place]))
        for *_, place in worst
    )
    return Diagnosis(subject, findings, figures, tuple(bad))


def groups(values: Iterable[float], tolerance: float) -> dict[float, int]:
    """Values above 0 -> {centre of a cluster: number of values within `tolerance`, a fraction, of it}."""
    counts: dict[float, int] = {}
    for value, count in Counter(round(value, 2) for value in values if value > 0).most_common():
        near = next((centre for centre in counts if abs(value / centre - 1) <= tolerance), value)
        counts[near] = counts.get(near, 0) + count
    return dict(sorted(counts.items(), key=lambda item: -item[1]))


def find_faults(clip: ClipFacts, fps: float, aspect: float) -> Iterator[Fault]:
    """A clip, and the most common rate and aspect of its corpus -> the clip's faults."""
    words, seconds = sum(word[0].isalnum() for word in split_words(clip.text)), clip.seconds
    if not clip.text.strip():
        yield _fault("empty", "empty sentence")
    elif seconds and not clip.error:
        rate, detail = words / seconds, f"{counted(words, 'word')} in {seconds:.1f} s"
        if rate > FASTEST:
            yield _fault("fast", detail, 1 - FASTEST / rate)
        elif rate < SLOWEST:
            yield _fault("slow", detail, 1 - rate / SLOWEST)
    if clip.error:
        yield _fault("missing" if clip.is_missing else "unreadable", clip.error)
    elif clip.video_seconds and clip.start >= clip.video_seconds:
        yield _fault("behind", f"begins at {clip.start:.1f} s of a video of {clip.video_seconds:.1f} s")
    else:
        if clip.video_seconds and clip.end > clip.video_seconds + max(BEYOND, 1 / (clip.fps or FPS)):
            detail = f"ends at {clip.end:.1f} s of a video of {clip.video_seconds:.1f} s"
            yield _fault("beyond", detail, 1 - clip.video_seconds / clip.end)
        frames = round(seconds * clip.fps)
        if clip.end and clip.fps and frames < FEWEST:
            yield _fault("short", counted(frames, "frame"))
        elif seconds > LONGEST:
            yield _fault("long", f"{seconds:.0f} s long", 1 - LONGEST / seconds)
    if fps and clip.fps and abs(clip.fps / fps - 1) > SAME_RATE:
        yield _fault("rate", f"{clip.fps:g} frames/s, most have {fps:g}")
    if aspect and clip.aspect and abs(clip.aspect / aspect - 1) > SAME_ASPECT:
        yield _fault("aspect", f"{clip.aspect:.2f} wide to 1 high, most are {aspect:.2f}")


def _fault(name: str, detail: str, excess: float = 0.0) -> Fault:
    """A fault; `excess` in [0, 1) ranks faults of the same name."""
    return list(FAULTS).index(name) - excess, name, detail


def _faults(ids: dict[str, list[str]], num_clips: int) -> Iterator[Finding]:
    """{fault: ids of its clips} -> a warning each; a problem if no clip can be read.

    The check of a corpus lists missing files already: they are a finding only if no clip can be read.
    """
    can_read_none = len(ids.get("missing", [])) + len(ids.get("unreadable", [])) == num_clips
    for fault, (topic, predicate, remedy) in FAULTS.items():
        is_problem = can_read_none and topic == "files"
        if topic and fault in ids and (is_problem or fault != "missing"):
            text = f"{len(ids[fault]):,} of {num_clips:,} clips {predicate}: {name_some(ids[fault], limit=NAMED)}"
            yield Finding(topic, "problem" if is_problem else "warning", text, remedy)


def _summary(facts: Sequence[ClipFacts], num_files: int, seconds: Sequence[float]) -> Iterator[Finding]:
    """Numbers of clips, and their lengths. `seconds`: lengths of the clips that have one."""
    counts = ", ".join(f"{split} {sum(clip.split == split for clip in facts):,}" for split in SPLITS)
    if facts:
        yield Finding("clips", "ok", f"{counts}; {num_files:,} files" if num_files else counts)
    else:
        yield Finding("clips", "problem", "none", "one line of the sentence file per clip")
    for split in ("train", "dev"):
        if sum(clip.split == split for clip in facts) == 1:
            text = f"{split} has a single clip, and objectives that compare clips (as contrastive) need two"
            yield Finding("clips", "warning", text, f"give {split} more clips" + ", or none" * (split == "dev"))
    readable = sum(not clip.error for clip in facts)
    if seconds:
        text = f"{min(seconds):.1f} s shortest, {median(seconds):.1f} s median, {max(seconds):.1f} s longest"
        unknown = f"; unknown of {counted(readable - len(seconds), 'clip')}" if readable > len(seconds) else ""
        yield Finding("lengths", "ok", f"{text}, {duration(sum(seconds))} in all{unknown}")
    elif readable:
        yield Finding("lengths", "warning", "no file states its length")


def _rates(rates: dict[float, int], remedy: str) -> Iterator[Finding]:
    """{frames per second: clips} -> the distribution of rates, a warning if there are several."""
    text = ", ".join(f"{counted(count, 'clip')} at {fps:g}/s" for fps, count in list(rates.items())[:NAMED])
    if len(rates) > 1:
        more = f" and {len(rates) - NAMED} more rates" if len(rates) > NAMED else ""
        yield Finding("frame rate", "warning", f"mixed: {text}{more}", remedy)
    elif rates:
        yield Finding("frame rate", "ok", f"{next(iter(rates)):g} frames/s in all clips")


def _aspects(aspects: dict[float, int], fit: str) -> Iterator[Finding]:
    """{width / height: clips} -> the distribution of shapes, and how much of each `stretch` keeps."""
    text = ", ".join(f"{counted(count, 'clip')} {_shape(aspect)}" for aspect, count in list(aspects.items())[:NAMED])
    text += f" and {len(aspects) - NAMED} more" if len(aspects) > NAMED else ""
    if len(aspects) > 1 and fit == "stretch":
        remedy = "glossfree prepare --fit pad keeps shapes (and the recipe's data.fit says the same)"
        yield Finding("aspect", "warning", f"mixed, so the same sign looks different: {text}", remedy)
    elif aspects:
        yield Finding("aspect", "ok", text)


def _shape(aspect: float) -> str:
    """Width / height -> its name, and how much of it `stretch` keeps."""
    name = next((name for shape, name in SHAPES.items() if abs(shape / aspect - 1) < 0.01), f"{aspect:.2f}:1")
    if abs(aspect - 1) < 0.01:
        return name
    side, rest = ("width", 1 / aspect) if aspect > 1 else ("height", aspect)
    return f"{name} (stretch leaves {100 * rest:.0f} % of the {side})"


def _companions(root: Path, corpus: str) -> Iterator[Finding]:
    """The number of companion files of operating systems in a `folder` corpus."""
    count = sum(is_companion(name) for _, _, files in os.walk(root) for name in files) if corpus == "folder" else 0
    if count:
        yield Finding("other files", "ok", f"{count:,} of operating systems (as ._x, Thumbs.db) are ignored")
