"""Reads and writes captions: sentences in time, from caption, subtitle and annotation files, or a table.

`.eaf` (ELAN), `.vtt` (WebVTT), `.srt` (SubRip), `.ass` and `.ssa` (SubStation), and tables with start and end. Each
caption format is read by the library that reads it correctly: webvtt-py for WebVTT (pysubs2 takes its comments and
identifiers for sentences), pysubs2 for the others (webvtt-py drops captions without text from a .srt). Both come
with `pip install "glossfree[captions]"`.

A caption's text is one line: line breaks and control characters become blanks, markup is removed.
"""

from __future__ import annotations

import html
import math
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from glossfree.corpora import eaf
from glossfree.corpora.segments import COLUMNS, segment_of
from glossfree.errors import CorpusError, name_some, named, os_errors_as, shortened
from glossfree.files.disk import write_atomic
from glossfree.files.encoding import nfc, read_text
from glossfree.files.tables import JSON_LINES, SYNONYMS, TABLES, Row, read_table, rename_columns

READ = (".eaf", ".vtt", ".srt", ".ass", ".ssa", *sorted(TABLES), *sorted(JSON_LINES))
WRITTEN = ("srt", "vtt", "eaf")
SENTENCES = "sentence"  # tier of the captions in an .eaf
LARGEST = {".eaf": 50}  # MB; ELAN's XML is long
LARGEST_TEXT = 10  # MB; an hour of captions has about 0.1

_TIMED = re.compile(r"\s*-?\d+:[\d:.,]*\s*-+>")  # a line that looks like the times of a caption
_TIMES = {
    form: re.compile(rf"\s*{time}\s*-->\s*{time}(\s.*)?")
    for form, time in (
        ("srt", r"\d{1,2}:[0-5]?\d:[0-5]?\d[.,]\d{1,3}"),
        ("vtt", r"(?:\d+:)?[0-5]\d:[0-5]\d\.\d{3}"),
    )
}
_TAGS = re.compile(r"</?(?:[bisu]|font\b[^<>]*)>|\{\\[a-z][^{}]*\}", re.IGNORECASE)  # markup of .srt
_OVERRIDES = re.compile(r"\{[^{}]*\}")  # SubStation's markup
_DRAWING = re.compile(r"\{[^{}]*\\p[1-9]")  # a shape instead of text
_JOINER = "\u2060"  # invisible word joiner: it separates characters that would be markup in a .srt
_MARKUP = re.compile(r"(\\|<(?=[/a-zA-Z])|--(?=>)|:(?=\d{1,2}[.,]\d))")
_BREAKS = re.compile("\r\n?")


@dataclass(frozen=True)
class Caption:
    """One sentence in time: seconds since the start of the media; `tier` is its tier in an annotation file."""

    start: float
    end: float
    text: str = ""
    tier: str = ""

    @property
    def is_possible(self) -> bool:
        """Whether it begins in the video, and ends after that."""
        return 0 <= self.start < self.end < math.inf


def read_captions(
    path: Path, *, tier: str | None = None, media: Path | None = None, check_times: bool = True
) -> list[Caption]:
    """A file of captions or annotations -> its captions, sorted by start; they may overlap or lack text.

    `tier` selects a tier of an .eaf, and is required if several have time-aligned annotations. `media` is the video of
    the captions: an .eaf may link several videos with different origins. `check_times` False: no captions, and
    impossible ones (`Caption.is_possible`), are no errors.
    Raises CorpusError: missing, too large, damaged, no captions, one that ends before it begins, no such tier.
    """
    suffix = path.suffix.lower()
    with named(path), _libraries():
        if suffix not in READ:
            raise CorpusError(f"unknown kind of captions {shortened(suffix, 20)!r}", remedy=f"one of {', '.join(READ)}")
        if tier is not None and suffix != ".eaf":
            raise CorpusError(f"{suffix} has no tiers", remedy="leave out --tier")
        _check_size(path)
        if suffix in TABLES | JSON_LINES:
            captions = _from_table(path, media)
        elif suffix == ".eaf":
            name, annotations = eaf.read_tier(path, tier, media=media)
            captions = [Caption(start, end, _plain(text), name) for start, end, text in annotations]
        else:
            text = _BREAKS.sub("\n", read_text(path))
            read = {".vtt": _from_vtt, ".srt": _from_srt}.get(suffix, _from_substation)
            captions = read(path, text)
        if check_times:
            _check_times(captions)
    return sorted(captions, key=lambda caption: (caption.start, caption.end))


def read_tiers(path: Path, tiers: Sequence[str], *, media: Path | None = None) -> dict[str, list[Caption]]:
    """An .eaf -> the captions of those of `tiers` that it has, sorted by start; the file is read once.

    Raises CorpusError as `read_captions` does without `check_times`, but a tier may be missing.
    """
    with named(path):
        _check_size(path)
        captions = {
            name: [Caption(start, end, _plain(text), name) for start, end, text in annotations]
            for name, annotations in eaf.read_tiers(path, tiers, media=media).items()
        }
    return {name: sorted(tier, key=lambda each: (each.start, each.end)) for name, tier in captions.items()}


@contextmanager
def _libraries() -> Iterator[None]:
    """Turn a missing library into an error that names the extra."""
    try:
        yield
    except ImportError as error:
        problem = f"needs {error.name or 'a library'}"
        raise CorpusError(problem, remedy='pip install "glossfree[captions]"') from error


def _check_size(path: Path) -> None:
    with os_errors_as(CorpusError, "cannot be read", where=path, remedy="check the path"):
        size = path.stat().st_size
    most = LARGEST.get(path.suffix.lower(), LARGEST_TEXT)
    if size > most * 1e6:
        raise CorpusError(f"{size / 1e6:,.0f} MB of captions, at most {most} are read", remedy="split the file")


def _check_times(captions: Sequence[Caption]) -> None:
    if not captions:
        raise CorpusError("no captions in it", remedy="check that the file is the right one")
    wrong = [
        f"number {number} ({caption.start:g} to {caption.end:g} s)"
        for number, caption in enumerate(captions, start=1)
        if not caption.is_possible
    ]
    if wrong:
        problem = f"captions that end before they begin, last no time or begin before the video: {name_some(wrong)}"
        raise CorpusError(problem, remedy="correct their times or remove them")


def _plain(text: str) -> str:
    """Text -> one line without control characters."""
    return " ".join(eaf.without_controls(text).split())


def _check_timed_lines(path: Path, text: str, form: str, num_read: int | None = None) -> None:
    """Raise CorpusError for captions that the library skips silently: malformed times, or no empty line between two."""
    timed = [(place, line) for place, line in enumerate(text.split("\n"), start=1) if _TIMED.match(line)]
    for place, line in timed:
        if not _TIMES[form].fullmatch(line):
            example = "00:00:01,000 --> 00:00:02,500" if form == "srt" else "00:00:01.000 --> 00:00:02.500"
            raise CorpusError("not a caption's times", where=f"{path}, line {place}", remedy=f"write {example}")
    if num_read not in (None, len(timed)):
        problem = f"{len(timed):,} captions begin in it, but {num_read:,} can be read"
        raise CorpusError(problem, remedy="leave an empty line between two captions")


def _from_vtt(path: Path, text: str) -> list[Caption]:
    import webvtt
    from webvtt.errors import MalformedCaptionError, MalformedFileError

    try:
        cues = webvtt.from_string(text).captions
    except (MalformedFileError, MalformedCaptionError, ValueError) as error:
        _check_timed_lines(path, text, "vtt")
        raise CorpusError("not WebVTT", remedy="its first line is WEBVTT") from error
    _check_timed_lines(path, text, "vtt", len(cues))
    return [
        Caption(
            cue.start_time.in_milliseconds() / 1000,
            cue.end_time.in_milliseconds() / 1000,
            _plain(html.unescape(cue.text)),
        )
        for cue in cues
    ]


def _from_srt(path: Path, text: str) -> list[Caption]:
    # pysubs2 takes a number on the last line for the number of a next caption, so append one. It needs hours for
    # thousands of empty lines.
    subtitles = _subtitles(re.sub("\n{3,}", "\n\n", text) + "\n\n0\n", "srt")
    _check_timed_lines(path, text, "srt", len(subtitles))
    captions = []
    for start, end, marked in subtitles:
        sentence = _TAGS.sub("", marked.replace(r"\N", "\n"))
        captions.append(Caption(start, end, _plain(re.sub(rf"(?<=[\\<:-]){_JOINER}", "", sentence))))
    return captions


def _from_substation(path: Path, text: str) -> list[Caption]:
    for place, line in enumerate(text.split("\n"), start=1):
        if line.startswith("Dialogue:") and line.count(",") < 9:  # pysubs2 would invent an end
            raise CorpusError("a dialogue without its ten fields", where=f"{path}, line {place}", remedy="correct it")
    subtitles = _subtitles(text, path.suffix.lower().removeprefix("."))
    return [
        Caption(start, end, _plain(re.sub(r"\\[nNh]", " ", _OVERRIDES.sub("", marked))))
        for start, end, marked in subtitles
        if not _DRAWING.search(marked)
    ]


def _from_table(path: Path, media: Path | None) -> list[Caption]:
    """Rows with start and end -> captions; of `media` only, if the rows name several files."""
    table = rename_columns(read_table(path), SYNONYMS)
    if not {column for columns in COLUMNS.values() for column in columns} & set(table.columns):
        raise CorpusError("no columns start and end", remedy="write them, in seconds")
    stems = [nfc(Path(row.fields.get("path", "").replace("\\", "/")).stem) for row in table.rows]
    rows = list(table.rows)
    if len(set(stems)) > 1:
        own_stem = None if media is None else nfc(media.stem)
        rows = [row for row, stem in zip(table.rows, stems, strict=True) if stem == own_stem]
        if not rows:
            name = "the video" if media is None else repr(shortened(media.stem))
            problem = f"segments of {len(set(stems)):,} videos, none of them {name}"
            raise CorpusError(problem, remedy="check the column path, or leave it out")
    return [_row_caption(path, row) for row in rows]


def _row_caption(path: Path, row: Row) -> Caption:
    where = f"{path}, line {row.line}"
    try:
        segment = segment_of({name: text.strip() for name, text in row.fields.items()})
        if segment is None or segment.end is None:
            raise ValueError("no end")
        fps = float(row.fields.get("fps") or 0) if segment.unit == "frames" else 1.0
        if not 0 < fps < math.inf:
            raise ValueError("frames without a column fps, the frames of a second")
    except ValueError as error:
        raise CorpusError(shortened(str(error)), where=where, remedy="correct this line") from error
    return Caption(segment.start / fps, segment.end / fps, _plain(row.fields.get("text", "")))


def _subtitles(text: str, form: str) -> list[tuple[float, float, str]]:
    """Text in a format of pysubs2 -> start and end in seconds, and the text with its markup; no comments."""
    import pysubs2

    options = {"keep_html_tags": True} if form == "srt" else {}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about styles and margins
            events = pysubs2.SSAFile.from_string(text, format_=form, **options)
    except (pysubs2.Pysubs2Error, ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise CorpusError(f"damaged .{form} file", remedy="save it again in a subtitle editor") from error
    return [(event.start / 1000, event.end / 1000, event.text) for event in events if not event.is_comment]


def write_captions(
    path: Path | None,
    captions: Sequence[Caption],
    format: str,
    *,
    media: Path | None = None,
    tracks: Mapping[str, Sequence[Caption]] = {},
) -> str:
    """Captions -> the text of a .srt, .vtt or .eaf file, sorted by start; written atomically to `path` unless None.

    `read_captions` returns the same sentences. In an .eaf the captions are the tier "sentence", `tracks` are more
    tiers, and `media` is the linked video; the other formats ignore both.
    Raises CorpusError: missing library, unwritable file; ValueError: unknown format, impossible times.
    """
    every = [*captions, *(caption for track in tracks.values() for caption in track)]
    if not all(caption.is_possible for caption in every):
        raise ValueError("a caption must begin at 0 or later and end after its start")
    ordered = sorted(captions, key=lambda caption: (caption.start, caption.end))
    with named(path), _libraries():
        match format:
            case "srt":
                text = _to_srt(ordered)
            case "vtt":
                text = _to_vtt(ordered)
            case "eaf":
                annotations = {
                    name: [(caption.start, caption.end, _plain(caption.text)) for caption in track]
                    for name, track in {SENTENCES: ordered, **tracks}.items()
                }
                text = eaf.eaf_text(annotations, media=media, folder=path.parent if path else Path())
            case _:
                raise ValueError(f"format {format!r} is none of {', '.join(WRITTEN)}")
    if path is not None:
        write_atomic(path, text)
    return text


def _in_ms(caption: Caption) -> tuple[int, int]:
    start = round(caption.start * 1000)
    return start, max(round(caption.end * 1000), start + 1)


def _to_srt(captions: Sequence[Caption]) -> str:
    from pysubs2 import SSAEvent, SSAFile

    subtitles = SSAFile()
    for caption in captions:
        start, end = _in_ms(caption)
        subtitles.append(SSAEvent(start, end, _MARKUP.sub(rf"\1{_JOINER}", _plain(caption.text))))
    return str(subtitles.to_string("srt", keep_ssa_tags=True))


def _to_vtt(captions: Sequence[Caption]) -> str:
    import webvtt

    document = webvtt.WebVTT()
    for caption in captions:
        start, end = (_timestamp(time) for time in _in_ms(caption))
        document.captions.append(webvtt.Caption(start, end, html.escape(_plain(caption.text), quote=False)))
    return str(document.content)


def _timestamp(time: int) -> str:
    """3723004 ms -> 01:02:03.004"""
    return f"{time // 3_600_000:02d}:{time // 60_000 % 60:02d}:{time // 1000 % 60:02d}.{time % 1000:03d}"
