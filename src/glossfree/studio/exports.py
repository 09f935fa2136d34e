"""A finished translation -> a file to keep: ELAN, WebVTT, SubRip, JSON, or a still of its timeline (SVG, PNG).

A translation is the object of `GET /v1/translations/{id}`: segments with a sentence, pseudo-glosses and a timeline.
Its times are seconds of the video.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import Any

from glossfree.corpora import eaf
from glossfree.corpora.captions import SENTENCES, Caption, write_captions
from glossfree.errors import GlossfreeError, shortened
from glossfree.report.page import render
from glossfree.report.timeline import FAINTEST, GAMMA, ticks

TRACK = "pseudo-gloss"  # tier of the pseudo-glosses in an .eaf
SERVICE = ("id", "state", "progress", "step", "queue_position", "error")  # of the queue, not of the translation
MOST_ROWS = 24
LINE = 110  # characters of a sentence in a line of the still
PNG_ZOOM = 2.0

Translation = Mapping[str, Any]
Cell = tuple[float, float, float]  # start and end in seconds, opacity


class ExportError(GlossfreeError):
    """A file that cannot be written; `status` is HTTP's."""

    def __init__(self, status: int, problem: str, *, where: str = "export", remedy: str) -> None:
        super().__init__(problem, where=where, remedy=remedy)
        self.status = status


@dataclass(frozen=True)
class Export:
    """A file: its content, media type, and the name to save it under."""

    content: bytes
    media_type: str
    name: str


def export(translation: Translation, form: str) -> Export:
    """A finished translation -> a file in one of FORMATS.

    The name is that of the video with another ending; an .eaf links the video as a file beside it.
    Raises ExportError: unknown format, nothing translated, a missing library.
    """
    if form not in FORMATS:
        raise ExportError(
            422, f"unknown format {shortened(form)!r}", where="format", remedy=f"one of {', '.join(FORMATS)}"
        )
    if not translation.get("segments"):
        raise ExportError(409, "nothing is translated yet", remedy="wait until the translation is done")
    write, media_type = FORMATS[form]
    content = write(translation)
    return Export(content, media_type, f"{PurePosixPath(_file(translation)).stem}.{form}")


def _file(translation: Translation) -> str:
    """The name of the video without folders, as the user knows it."""
    return str(translation.get("file") or "").replace("\\", "/").rsplit("/", 1)[-1] or "video"


def _sentences(translation: Translation) -> list[Caption]:
    return [Caption(each["start"], each["end"], each["sentence"]) for each in translation["segments"]]


def _to_eaf(translation: Translation) -> bytes:
    """Tiers "sentence" and, where the model scores pseudo-glosses, "pseudo-gloss"; EAF 3.0, which ELAN 6 writes."""
    tiers: dict[str, list[eaf.Annotation]] = {
        SENTENCES: [(each.start, each.end, each.text) for each in _sentences(translation)]
    }
    if signs := [sign for each in translation["segments"] for sign in each.get("pseudo_glosses", ())]:
        tiers[TRACK] = [(sign["start"], sign["end"], sign["name"]) for sign in signs]
    try:
        text = eaf.eaf_text(tiers, media=Path("/", _file(translation)), folder=Path("/"))
    except ImportError as error:
        raise ExportError(501, "an .eaf needs pympi", remedy='pip install "glossfree[studio]"') from error
    return text.encode()


def _to_vtt(translation: Translation) -> bytes:
    return write_captions(None, _sentences(translation), "vtt").encode()


def _to_srt(translation: Translation) -> bytes:
    return write_captions(None, _sentences(translation), "srt").encode()


def _to_json(translation: Translation) -> bytes:
    values = {name: value for name, value in translation.items() if name not in SERVICE}
    return json.dumps(values, ensure_ascii=False, indent=1).encode()


def _to_svg(translation: Translation) -> bytes:
    """The sentences and the strongest pseudo-glosses over the time of the video, as on the page."""
    seconds = max(translation.get("video", {}).get("seconds") or 0.0, *(s["end"] for s in translation["segments"]))
    sentences = [textwrap.wrap(each["sentence"], LINE) for each in translation["segments"]]
    return render(
        "translation.svg",
        file=_file(translation),
        segments=translation["segments"],
        lines=[(number, *part) for number, each in enumerate(sentences, start=1) for part in enumerate(each)],
        rows=timeline_rows(translation["segments"]),
        seconds=seconds,
        times=ticks(seconds),
    ).encode()


def timeline_rows(segments: Sequence[Mapping[str, Any]]) -> list[tuple[str, list[Cell]]]:
    """Segments -> (pseudo-gloss, its cells) for those with the highest peaks, in the order of these peaks.

    As many as on the page: 8 and 2 for each segment, at most MOST_ROWS.
    Opacity is the share of the highest score, to the power of GAMMA; cells below FAINTEST of it are left out.
    """
    scores: dict[str, list[Cell]] = {}
    for name, start, end, score in _cells(segments):
        scores.setdefault(name, []).append((start, end, score))
    peaks = {name: max(cells, key=lambda cell: cell[2]) for name, cells in scores.items()}
    highest = max((peak[2] for peak in peaks.values()), default=0.0) or 1.0
    strongest = sorted(peaks, key=lambda name: -peaks[name][2])[: min(MOST_ROWS, 8 + 2 * len(segments))]
    return [
        (name, [(a, b, (score / highest) ** GAMMA) for a, b, score in scores[name] if score >= FAINTEST * highest])
        for name in sorted(strongest, key=lambda name: peaks[name][0])
    ]


def _cells(segments: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, float, float, float]]:
    """Every score of every timeline: (name, start, end, score); a cell reaches halfway to its neighbours."""
    for segment in segments:
        timeline = segment.get("timeline") or {"names": [], "times": [], "values": []}
        times = timeline["times"]
        edges = [segment["start"], *((before + after) / 2 for before, after in pairwise(times)), segment["end"]]
        for name, values in zip(timeline["names"], timeline["values"], strict=True):
            yield from ((name, *edge, score) for edge, score in zip(pairwise(edges), values, strict=True))


def _to_png(translation: Translation) -> bytes:
    """The SVG in pixels, in Roboto; other scripts than Latin, Greek and Cyrillic in the fonts of this machine."""
    try:
        import font_roboto
        from resvg_py import svg_to_bytes
    except ImportError as error:
        problem, remedy = f"a PNG needs {error.name}", 'pip install "glossfree[studio]", or save the SVG'
        raise ExportError(501, problem, remedy=remedy) from error
    drawing, fonts = _to_svg(translation).decode(), [font_roboto.Roboto, font_roboto.RobotoBold]
    return bytes(svg_to_bytes(svg_string=drawing, zoom=PNG_ZOOM, font_files=fonts, sans_serif_family="Roboto"))


FORMATS: dict[str, tuple[Callable[[Translation], bytes], str]] = {
    "eaf": (_to_eaf, "application/xml"),
    "vtt": (_to_vtt, "text/vtt; charset=utf-8"),
    "srt": (_to_srt, "application/x-subrip; charset=utf-8"),
    "json": (_to_json, "application/json"),
    "svg": (_to_svg, "image/svg+xml"),
    "png": (_to_png, "image/png"),
}
