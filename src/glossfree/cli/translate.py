"""`translate`: a model folder and videos -> sentences; a long video in segments of a file, or in windows."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import typer

from glossfree.cli.options import Address, Engine, EngineName, ImageRate, Model, Tier, engine_of
from glossfree.cluster import Cluster, Lost
from glossfree.console import Console, Result
from glossfree.corpora.captions import WRITTEN, Caption, read_captions, write_captions
from glossfree.corpora.files import VIDEOS, is_companion
from glossfree.corpora.manifest import Segment, source_at
from glossfree.errors import ClipError, CorpusError, GlossfreeError, name_some, shortened
from glossfree.files.disk import write_atomic
from glossfree.opening import batch_size_of, open_model
from glossfree.serving.translations import Failure, Translation, Translator, cut_windows, strong_glosses
from glossfree.video.decode import natural_order, open_source

Request = tuple[Path, Segment | None]


class Format(StrEnum):
    """How sentences are written."""

    text = "text"
    json = "json"
    srt = "srt"
    vtt = "vtt"
    eaf = "eaf"


@dataclass
class Translations(Result):
    """Translations and failures as they come, in order; `lines` consumes them.

    `has_names`: text names the clips; `hypotheses`: lines of text for each clip, with scores if there are several.
    """

    results: Iterable[Translation | Failure]
    format: Format
    out: Path | None
    has_names: bool
    console: Console
    hypotheses: int = 1
    translated: int = 0
    failed: int = 0

    @property
    def exit_code(self) -> int:
        """0: all were translated, 1: some, 2: none."""
        return 0 if not self.failed else 1 if self.translated else 2

    def lines(self, as_json: bool) -> Iterator[str]:
        """A line for each clip or segment as soon as it is translated; captions at the end; none with `out`.

        Raises GlossfreeError for JSON and another format; CorpusError if `out` cannot be written.
        """
        if as_json and self.format not in (Format.text, Format.json):
            remedy = "leave one of the two out"
            raise GlossfreeError(f"--json and --format {self.format}", where="translate", remedy=remedy)
        form = Format.json if as_json else self.format
        if form in WRITTEN:
            translations = [each for each in self._reported() if isinstance(each, Translation)]
            text = _captions(translations, form, self.out) if translations else ""
            lines: Iterator[str] = iter([text.rstrip("\n")] if text else [])
        else:
            lines = self._paired(form)
        if self.out is None:
            yield from lines
        elif (written := list(lines)) and form not in WRITTEN:
            write_atomic(self.out, "\n".join(written) + "\n")

    def _paired(self, form: Format) -> Iterator[str]:
        """A line for each hypothesis, empty ones where a clip failed, so that lines and clips can be paired.

        Text begins with the first sentence: if every clip fails, there is no output.
        """
        waiting: list[str] = []
        for each in self._reported():
            waiting.append(self._line(each, form))
            if self.translated or form is Format.json:
                yield from waiting
                waiting.clear()

    def _reported(self) -> Iterator[Translation | Failure]:
        """The results, counted; failures and notes go to the console, each note once."""
        notes: set[str] = set()
        for each in self.results:
            if isinstance(each, Failure):
                self.failed += 1
                self.console.error(str(each.error))
            else:
                self.translated += 1
                for note in (f"{each.path}: {note}" for note in each.notes):
                    if note not in notes:
                        notes.add(note)
                        self.console.say(note)
            yield each

    def _line(self, result: Translation | Failure, form: Format) -> str:
        if form is Format.json:
            return json.dumps(result.to_dict(), ensure_ascii=False)
        if isinstance(result, Failure):
            return "\n" * (self.hypotheses - 1)
        times = f"{result.start:.2f}\t{result.end:.2f}\t" if result.is_part else ""
        place = f"{f'{shortened(Path(result.path).name)}: ' if self.has_names else ''}{times}"
        if self.hypotheses == 1:
            return f"{place}{result.text}"
        return "\n".join(f"{place}{each.score:.3f}\t{each.text}" for each in result.hypotheses)


def translate(
    model: Model,
    clips: Annotated[
        list[Path], typer.Argument(help="Video files, folders of videos, or folders of frames.", readable=False)
    ],
    console: Console,
    hypotheses: Annotated[int, typer.Option(min=1, help="Sentences for each clip, best first, with their scores.")] = 1,
    start: Annotated[float | None, typer.Option(min=0, help="Translate from this second on.")] = None,
    end: Annotated[float | None, typer.Option(min=0, help="Translate up to this second.")] = None,
    segments: Annotated[
        Path | None,
        typer.Option(help="Segments of one long video: .eaf, .vtt, .srt, .ass, or a table with start, end."),
    ] = None,
    tier: Tier = None,
    window: Annotated[
        float | None, typer.Option(min=0.5, max=86_400, help="Seconds: cut each video into pieces this long.")
    ] = None,
    format_: Annotated[Format, typer.Option("--format", help="How sentences are written.")] = Format.text,
    out: Annotated[Path | None, typer.Option(help="File to write to; standard output if left out.")] = None,
    poses: Annotated[
        Path | None, typer.Option(help="Keypoints (.pose) of one video, for a model that reads them; else NAME.pose.")
    ] = None,
    fps: ImageRate = None,
    engine: Engine = EngineName.local,
    address: Address = "",
) -> Translations:
    """Translate each clip, or each segment of it, in order; a folder of videos stands for them.

    Raises GlossfreeError, before the model is loaded, for options that contradict each other and for an `out` that
    cannot be written.
    """
    videos = list(_expanded(clips, console))
    segment = None if start is None and end is None else Segment(start or 0.0, end)
    requests = _requests(videos, segment, segments, tier, window, fps or 0.0)
    if fps is not None and not any(map(os.path.isdir, videos)):
        console.warn("--fps is for folders of images, and there are none: videos have their own rate")
    if format_ in WRITTEN and len(videos) != 1:
        remedy = "translate one video at a time, or use --format json"
        raise CorpusError(f"one .{format_} file belongs to one video", where="translate", remedy=remedy)
    if out is not None and (out.is_dir() or not os.access(out if out.exists() else out.parent, os.W_OK)):
        raise CorpusError("cannot be written", where=out, remedy="name a file in a folder that you may write to")
    if poses is not None and len(videos) != 1:
        problem = f"--poses belongs to one video, and here are {len(videos)}"
        raise CorpusError(problem, where="translate", remedy="write NAME.pose beside each video")
    work = Work(model, hypotheses, poses, fps)
    results = work.here(requests) if engine is EngineName.local else work.on(engine, address, list(requests))
    return Translations(results, format_, out, len(videos) > 1, console, hypotheses)


@dataclass(frozen=True)
class Work:
    """Requests -> translations and failures, by a model that is opened where it is first used."""

    model: Path
    num_hypotheses: int
    poses: Path | None
    fps: float | None

    @cached_property
    def translator(self) -> Translator:
        """The opened model."""
        return open_model(self.model)

    def here(self, requests: Iterable[Request]) -> Iterator[Translation | Failure]:
        """In this process, in order."""
        yield from self.translator.explain_all(
            requests, num_hypotheses=self.num_hypotheses, poses=self.poses, fps=self.fps
        )

    def __call__(self, requests: Sequence[Request]) -> list[Translation | Failure]:
        """What one task of a cluster does."""
        return list(self.here(requests))

    def on(self, engine: EngineName, address: str, requests: Sequence[Request]) -> Iterator[Translation | Failure]:
        """By the workers of a cluster, in order, a batch in the order of the requests at a time. The clips of a batch
        that cost workers their lives are tried again one by one."""
        size = batch_size_of(self.model)
        batches = [requests[first : first + size] for first in range(0, len(requests), size)]
        waiting: dict[int, Any] = {}
        due = 0
        with engine_of(engine, address) as cluster:
            assert cluster is not None
            for number, outcome in cluster.map(self, batches, on_gpu=True):
                waiting[number] = outcome
                while due in waiting:
                    done = waiting.pop(due)
                    yield from self._alone(cluster, batches[due]) if isinstance(done, Lost) else done
                    due += 1

    def _alone(self, cluster: Cluster, requests: Sequence[Request]) -> Iterator[Translation | Failure]:
        outcomes = dict(cluster.map(self, [[request] for request in requests], on_gpu=True))
        for number, (path, _) in enumerate(requests):
            outcome = outcomes[number]
            if isinstance(outcome, Lost):
                yield Failure(str(path), outcome.error(path))
            else:
                yield from outcome


def _expanded(clips: Sequence[Path], console: Console) -> Iterator[Path]:
    """Replace each folder that holds videos by these, in natural order; keep files and folders of images."""
    for path in clips:
        try:
            files = list(path.iterdir()) if path.is_dir() else []
        except OSError:
            files = []
        videos = [file.name for file in files if file.suffix.lower() in VIDEOS and not is_companion(file.name)]
        if videos and (below := natural_order([file.name for file in files if file.is_dir()])):
            console.warn(f"{path}: folders in it are passed over, name them as well: {name_some(below)}")
        yield from (path / name for name in natural_order(videos)) if videos else (path,)


def _requests(
    videos: Sequence[Path],
    segment: Segment | None,
    segments: Path | None,
    tier: str | None,
    window: float | None,
    fps: float,
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
        return (request for video in videos for request in _windows(video, window, fps))
    if segments is not None:
        (video,) = videos
        captions = read_captions(segments, tier=tier, media=video)
        return ((video, Segment(caption.start, caption.end)) for caption in captions)
    return ((video, segment) for video in videos)


def _windows(video: Path, seconds: float, fps: float) -> Iterator[Request]:
    """Cut a video into pieces of `seconds`, the last one up to half as long again; an unreadable one is one piece."""
    try:
        length = open_source(source_at(video, fps=fps)).timeline.seconds
    except ClipError:
        yield video, None
        return
    yield from ((video, segment) for segment in cut_windows(length, seconds))


def _captions(translations: Sequence[Translation], form: str, path: Path | None) -> str:
    """Translations of one video -> the text of a .srt, .vtt or .eaf, written to `path` if there is one.

    An .eaf has a tier of sentences, and one of the strongest pseudo-glosses where they are strong.
    """
    sentences = [Caption(each.start, each.end, each.text) for each in translations]
    glosses = [
        Caption(start, end, track.pseudo_gloss) for each in translations for track, start, end in strong_glosses(each)
    ]
    return write_captions(
        path, sentences, form, media=Path(translations[0].path), tracks={"pseudo-gloss": glosses} if glosses else {}
    )
