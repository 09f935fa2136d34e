"""`translate`: a model folder and videos -> sentences; a long video in segments of a file, or in windows."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from glossfree.console import Console
from glossfree.corpora.captions import WRITTEN, Caption, read_captions, write_captions
from glossfree.corpora.files import VIDEOS, is_companion
from glossfree.corpora.manifest import FrameFolder, Segment, VideoFile
from glossfree.errors import ClipError, CorpusError, GlossfreeError
from glossfree.files.disk import write_atomic
from glossfree.translator import Failure, SignTranslator, Translation
from glossfree.video.decode import natural_order, open_source

Request = tuple[Path, Segment | None]
STRONG = 0.5  # of the highest: what is weaker is not written into an .eaf


def translate(
    model: Path,
    clips: Sequence[Path],
    *,
    start: float | None = None,
    end: float | None = None,
    segments: Path | None = None,
    tier: str | None = None,
    window: float | None = None,
    num_hypotheses: int = 1,
) -> Iterator[Translation | Failure]:
    """A Translation for each clip, or for each segment of it, in order; a Failure for one that cannot be read.

    A folder that holds videos stands for them. `start`, `end`: only what lies between, in seconds; `segments`: a file
    of captions or annotations (`tier` of it) or a table, whose segments are translated one by one; `window`: seconds of
    the pieces that each clip is cut into. Raises GlossfreeError, before the model is loaded, where these do not go
    together.
    """
    videos = list(expanded(clips))
    segment = None if start is None and end is None else Segment(start or 0.0, end)
    requests = _requests(videos, segment, segments, tier, window)
    yield from SignTranslator.from_pretrained(model).explain_all(requests, num_hypotheses=num_hypotheses)


def expanded(clips: Sequence[Path]) -> Iterator[Path]:
    """Paths as given -> files, and folders of images: a folder that holds videos becomes these, in natural order."""
    for path in clips:
        try:
            names = [file.name for file in path.iterdir()] if path.is_dir() else []
        except OSError:
            names = []
        videos = [name for name in names if Path(name).suffix.lower() in VIDEOS and not is_companion(name)]
        yield from (path / name for name in natural_order(videos)) if videos else (path,)


def _requests(
    videos: Sequence[Path], segment: Segment | None, segments: Path | None, tier: str | None, window: float | None
) -> Iterator[Request]:
    ways = [way for way in (segment, segments, window) if way is not None]
    if len(ways) > 1:
        remedy = "choose --start and --end, --segments, or --window"
        raise GlossfreeError("one way to cut a video at a time", where="translate", remedy=remedy)
    if segment and segment.end is not None and segment.end <= segment.start:
        raise GlossfreeError(f"no time in the segment {segment}", where="--end", remedy="name an end after the start")
    if (segment or segments) and len(videos) != 1:
        problem = f"segments belong to one video, and here are {len(videos)}"
        raise GlossfreeError(problem, where="translate", remedy="name one video")
    if window is not None:
        return (request for video in videos for request in _windows(video, window))
    if segments is not None:
        (video,) = videos
        captions = read_captions(segments, tier=tier, media=video)
        return ((video, Segment(caption.start, caption.end)) for caption in captions)
    return ((video, segment) for video in videos)


def _windows(video: Path, seconds: float) -> Iterator[Request]:
    """A video -> its pieces of `seconds`, the last one up to half as long again. What cannot be read is one piece."""
    try:
        length = open_source(FrameFolder(video) if video.is_dir() else VideoFile(video)).timeline.seconds
    except ClipError:
        yield video, None
        return
    count = max(1, math.floor(length / seconds + 0.5))
    for number in range(count):
        end = None if number == count - 1 else (number + 1) * seconds
        yield video, Segment(number * seconds, end)


@dataclass(frozen=True)
class Outcome:
    """How many clips or segments were translated, and how many could not be read."""

    translated: int
    failed: int

    @property
    def exit_code(self) -> int:
        """0: all, 1: some, 2: none."""
        return 0 if not self.failed else 1 if self.translated else 2


def present(
    results: Iterable[Translation | Failure],
    form: str,
    *,
    console: Console,
    show: Callable[[str], None],
    out: Path | None = None,
) -> Outcome:
    """Results, as they come, in a form: "text" or "json", a line each; "srt", "vtt" or "eaf", of one video, at the end.

    They are shown, or written to `out`. Failures and notes go to the console; in JSON they are lines and fields too.
    Raises CorpusError: `out` cannot be written, captions of several videos.
    """
    done: list[Translation] = []
    lines: list[str] = []
    noted: set[str] = set()
    pending: list[str] = []  # empty lines of failed clips, so that lines and clips can be paired
    failed = 0
    emit = show if out is None else lines.append
    for each in results:
        if isinstance(each, Failure):
            failed += 1
            console.say(f"glossfree: {each.error}")
        else:
            done.append(each)
            for note in (f"{each.path}: {note}" for note in each.notes):
                if note not in noted:  # once, however many segments a video has
                    noted.add(note)
                    console.say(note)
        if form == "json":
            emit(json.dumps(each.as_dict(), ensure_ascii=False))
        elif form == "text":
            pending.append("" if isinstance(each, Failure) else _line(each))
            while done and pending:  # without a sentence there is no output
                emit(pending.pop(0))
    if form in WRITTEN and done:
        if len({each.path for each in done}) > 1:
            remedy = "translate one video at a time, or use --format json"
            raise CorpusError(f"one .{form} file belongs to one video", where="translate", remedy=remedy)
        text = as_captions(done, form, path=out)
        if out is None:
            show(text.rstrip("\n"))
    elif out is not None and lines:
        write_atomic(out, "\n".join(lines) + "\n")
    return Outcome(len(done), failed)


def _line(translation: Translation) -> str:
    if not translation.is_part:
        return translation.text
    return f"{translation.start:.2f}\t{translation.end:.2f}\t{translation.text}"


def as_captions(translations: Sequence[Translation], form: str, *, path: Path | None = None) -> str:
    """Translations of one video -> text of a .srt, .vtt or .eaf, written to `path` if there is one.

    An .eaf has a tier of sentences, and one of the strongest pseudo-glosses, each where it is strong.
    """
    sentences = [Caption(each.start, each.end, each.text) for each in translations]
    tracks = {"pseudo-gloss": [gloss for each in translations for gloss in _strong_glosses(each)]}
    return write_captions(
        path, sentences, form, media=Path(translations[0].path), tracks=tracks if tracks["pseudo-gloss"] else {}
    )


def _strong_glosses(translation: Translation) -> Iterator[Caption]:
    """The pseudo-glosses of at least half the score of the strongest, each from where to where it is at least half as
    strong as at its peak."""
    start, end = (translation.start + translation.trimmed[0], translation.end - translation.trimmed[1])
    for track in translation.tracks:
        if track.score < STRONG * translation.tracks[0].score:
            continue
        levels, peak = track.timeline, max(range(len(track.timeline)), key=track.timeline.__getitem__)
        first, last = peak, peak
        while first > 0 and levels[first - 1] >= STRONG * levels[peak]:
            first -= 1
        while last + 1 < len(levels) and levels[last + 1] >= STRONG * levels[peak]:
            last += 1
        step = (end - start) / len(levels)
        yield Caption(start + first * step, start + (last + 1) * step, track.pseudo_gloss)
