"""ReportData -> one self-contained HTML file that opens without a network and without our code."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from importlib.resources import files
from pathlib import Path
from string import Template

from glossfree.errors import RunError
from glossfree.report.charts import stage_charts
from glossfree.report.clips import clips_section, legend
from glossfree.report.data import ReportData
from glossfree.report.markup import Html, join, tag
from glossfree.report.page_findings import conventions_section, diagnosis_section, intervals_section
from glossfree.report.tables import (
    duration,
    facts,
    pointing_section,
    scores_section,
    seconds_section,
    settings_section,
)
from glossfree.scoring.metrics import Scores

SHOWN_SPLITS = ("test", "dev")  # the headline takes the first of these that was scored


def write_report(path: str | Path, data: ReportData) -> Path:
    """Write the page, whole or not at all -> its path. Raises RunError where it cannot be written."""
    return write_page(path, render(data))


def write_page(path: str | Path, page: str) -> Path:
    """Write a finished page, whole or not at all -> its path. Raises RunError where it cannot be written."""
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(page, encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        with suppress(OSError):  # the same reason may forbid this as well
            temporary.unlink(missing_ok=True)
        raise RunError(f"cannot be written ({error.strerror})", where=path, remedy="check space and rights") from error
    return path


def render(data: ReportData) -> str:
    """The page as text. Every text of `data` is escaped; styles and script are ours and stand inline."""
    subtitle = tag("p", data.subtitle, class_="subtitle") if data.subtitle else ""
    return framed(data.title, join([tag("h1", data.title), subtitle, _headline(data)]), _parts(data))


def framed(title: str, header: Html, parts: Sequence[tuple[str, str, Html]]) -> str:
    """Title, header and parts (anchor, title, body) -> a page; parts with an empty body are left out."""
    parts = [part for part in parts if part[2]]
    navigation = tag("ul", [tag("li", tag("a", title, href=f"#{anchor}")) for anchor, title, _ in parts])
    sections = [tag("section", tag("h2", title), body, id=anchor, class_="part") for anchor, title, body in parts]
    return Template(_own("report.html")).substitute(
        title=join([title]),
        style=_own("report.css"),
        script=_own("report.js"),
        header=header,
        navigation=navigation,
        sections=join(sections),
    )


def _own(name: str) -> str:
    return files("glossfree.report").joinpath(name).read_text(encoding="utf-8")


def _parts(data: ReportData) -> list[tuple[str, str, Html]]:
    """(anchor, title, body) of every part of the page; those with an empty body are left out."""
    nothing = Html("")
    scores = join(
        [
            scores_section(data.scores) if data.scores else nothing,
            intervals_section(next(iter(data.scores.values()), {}), data.intervals),
        ]
    )
    curves = join([stage_charts(stage, records) for stage, records in data.curves.items()])
    controls = Html(_own("controls.html"))
    return [
        ("scores", "Scores", scores),
        ("conventions", "Conventions", conventions_section(data.conventions)),
        ("diagnosis", "Diagnosis", diagnosis_section(data.diagnosis)),
        ("timelines", "Pseudo-glosses in time", pointing_section(data.pointing) if data.pointing else nothing),
        ("clips", "Clips", join([legend(data.clips), controls, clips_section(data.clips)]) if data.clips else nothing),
        ("training", "Training", join([Html(_own("curves.html")), curves]) if curves else nothing),
        ("settings", "Settings", settings_section(data.settings) if data.settings else nothing),
        ("times", "Times", seconds_section(data.seconds) if data.seconds else nothing),
        ("environment", "Environment", facts(data.environment) if data.environment else nothing),
        ("limits", "What this does not show", tag("ul", [tag("li", n) for n in data.notes]) if data.notes else nothing),
    ]


def _headline(data: ReportData) -> Html:
    """The numbers that a reader came for, large."""
    tiles: list[Html] = []
    names = list(data.scores)
    if names:
        split = next(
            (name for name in SHOWN_SPLITS if name in data.scores[names[0]]), next(iter(data.scores[names[0]]))
        )
        scores = data.scores[names[0]][split]
        tiles.append(_tile(f"{scores.bleu4:.1f}", f"BLEU-4 on {scores.num_sentences:,} {split} sentences"))
        tiles.append(_tile(f"{scores.rouge_l:.1f}", f"ROUGE-L, {split}"))
        tiles += [
            _gain(scores, data.scores[other][split], other) for other in names[1:2] if split in data.scores[other]
        ]
    for split, pointing in list(data.pointing.items())[:1]:
        rate, chance = pointing.hit_rate[0], pointing.chance[0]
        tiles.append(
            _tile(f"{rate:.0f} %", f"of pseudo-gloss peaks inside the true sign, {split} (chance {chance:.0f} %)")
        )
    if data.seconds:
        tiles.append(_tile(duration(sum(data.seconds.values())), "of work behind this page"))
    return tag("div", tiles, class_="tiles") if tiles else Html("")


def _gain(ours: Scores, theirs: Scores, name: str) -> Html:
    return _tile(f"{ours.bleu4 - theirs.bleu4:+.1f}", f"BLEU-4 against “{name}” ({theirs.bleu4:.1f})")


def _tile(value: str, meaning: str) -> Html:
    return tag("div", tag("b", value), tag("span", meaning), class_="tile")
