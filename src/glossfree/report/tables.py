"""Scores, pointing, settings and times -> tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from glossfree.report.diagnosis_tables import percent
from glossfree.report.markup import Html, hidden, join, tag
from glossfree.report.page_findings import reading
from glossfree.report.spans import Pointing
from glossfree.scoring.metrics import COLUMNS, Scores

HOW_TO_POINT = (
    "Peak: how often the highest segment of a pseudo-gloss lies inside the sign that it names. mAP: segments are "
    "ranked by their score, and those inside the sign should come first; 100 % means that all of them do, so it also "
    "asks whether the whole sign is found. Chance is a segment, or a ranking, drawn blindly."
)
NOT_POINTED = (
    "Signs whose name is no pseudo-gloss, pseudo-glosses that are not signed, and real signing: only drawn signs have "
    "known times."
)
MORE_COLUMNS = (("exact", "exact %"), ("length_ratio", "length ratio"))


def scores_section(rows: Mapping[str, Mapping[str, Scores]]) -> Html:
    """{row: {split: Scores}} -> one table per split, the best value of a column in bold, and the signatures.

    Rows scored under different conventions have their signatures each, and none of them is best.
    """
    splits = list(dict.fromkeys(split for by_split in rows.values() for split in by_split))
    tables = [
        _scores_table(split, {name: by_split[split] for name, by_split in rows.items() if split in by_split})
        for split in splits
    ]
    firsts = {name: next(iter(by_split.values())) for name, by_split in rows.items() if by_split}
    groups: list[tuple[list[str], Scores]] = []
    for name, scores in firsts.items():
        group = next((names for names, other in groups if other.convention == scores.convention), None)
        if group is None:
            groups.append(([name], scores))
        else:
            group.append(name)
    return join([tables, [_signatures(scores, names if len(groups) > 1 else ()) for names, scores in groups]])


def _scores_table(split: str, rows: Mapping[str, Scores]) -> Html:
    columns = (*COLUMNS, *MORE_COLUMNS)
    best = {key: max(getattr(scores, key) for scores in rows.values()) for key, _ in COLUMNS}
    conventions = [scores.convention for scores in rows.values()]
    comparable = len(rows) > 1 and conventions.count(conventions[0]) == len(rows)
    head = tag("tr", tag("th", "model", scope="col"), [tag("th", title, scope="col") for _, title in columns])
    body = []
    for name, scores in rows.items():
        cells = []
        for key, _ in columns:
            value = getattr(scores, key)
            text = f"{value:.2f}"
            is_best = comparable and key in best and value == best[key]
            cells.append(tag("td", tag("strong", text, hidden(" (best)")) if is_best else text))
        body.append(tag("tr", tag("th", name, scope="row"), cells))
    count = next(iter(rows.values())).num_sentences
    caption = tag("caption", tag("b", split), f" {count:,} sentences")
    return tag("div", tag("table", caption, tag("thead", head), tag("tbody", body), class_="scores"), class_="wide")


def _signatures(scores: Scores, names: Sequence[str]) -> Html:
    convention = ", ".join(f"{key} {value!r}" for key, value in scores.convention.items())
    lines = [
        tag("tr", tag("th", name, scope="row"), tag("td", tag("code", s))) for name, s in scores.signatures.items()
    ]
    lines.append(tag("tr", tag("th", "text", scope="row"), tag("td", tag("code", convention))))
    title = f"How the scores of {', '.join(names)} are computed" if names else "How these scores are computed"
    return tag("details", tag("summary", title), tag("table", tag("tbody", lines), class_="facts"))


def pointing_section(pointing: Mapping[str, Pointing]) -> Html:
    """{split: Pointing} -> a table of hit rates and mean average precision, each beside chance."""
    tolerances = sorted({tolerance for result in pointing.values() for tolerance in result.hit_rate})
    ranked = any(result.mean_average_precision for result in pointing.values())
    titles = ["split", "signs"]
    for tolerance in tolerances:
        titles += ["peak inside the sign" if tolerance == 0 else f"within {tolerance} frames", "by chance"]
    for tolerance in tolerances if ranked else ():
        titles += ["mAP" if tolerance == 0 else f"mAP within {tolerance} frames", "by chance"]
    body = []
    for split, result in pointing.items():
        rates = [(result.hit_rate, result.chance)]
        rates += [(result.mean_average_precision, result.chance_precision)] if ranked else []
        cells = [tag("td", f"{result.pairs:,}")]
        for found, chance in rates:
            for tolerance in tolerances:
                cells.append(tag("td", tag("strong", percent(found.get(tolerance)))))
                cells.append(tag("td", percent(chance.get(tolerance))))
        body.append(tag("tr", tag("th", split, scope="row"), cells))
    caption = tag("caption", tag("b", "Does the timeline find the sign?"), " by the true times of the drawn signs")
    head = tag("tr", [tag("th", title, scope="col") for title in titles])
    table = tag("table", caption, tag("thead", head), tag("tbody", body), class_="scores")
    return tag("div", table, reading(HOW_TO_POINT, NOT_POINTED), class_="wide")


def settings_section(settings: Mapping[str, Any]) -> Html:
    """A nested mapping -> one foldable table per top-level key; loose values stand in a table of their own."""
    loose = {key: value for key, value in settings.items() if not isinstance(value, Mapping)}
    parts = [_facts_details("general", loose)] if loose else []
    parts += [_facts_details(key, value) for key, value in settings.items() if isinstance(value, Mapping)]
    return tag("div", parts, class_="settings")


def _facts_details(name: str, values: Mapping[str, Any]) -> Html:
    return tag("details", tag("summary", name), facts(values))


def facts(values: Mapping[str, Any]) -> Html:
    """A nested mapping -> a table of two columns, inner keys joined by dots."""
    rows = [tag("tr", tag("th", key, scope="row"), tag("td", text)) for key, text in _flat(values)]
    return tag("table", tag("tbody", rows), class_="facts")


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in values.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            yield from _flat(value, f"{name}.")
        elif isinstance(value, Sequence) and not isinstance(value, str):
            yield name, ", ".join(str(item) for item in value) or "none"
        else:
            yield name, _plain(value)


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None or value == "" else str(value)


def seconds_section(seconds: Mapping[str, float]) -> Html:
    """{what: wall time in seconds} -> bars of their shares."""
    total = sum(seconds.values()) or 1.0
    rows = [
        tag(
            "tr",
            tag("th", what, scope="row"),
            tag("td", duration(value), class_="when"),
            tag("td", tag("span", class_="share", style=f"width:{100 * value / total:.1f}%"), class_="shares"),
        )
        for what, value in seconds.items()
    ]
    rows.append(tag("tr", tag("th", "total", scope="row"), tag("td", duration(total), class_="when"), tag("td", "")))
    return tag("table", tag("tbody", rows), class_="facts times")


def duration(seconds: float) -> str:
    """Seconds -> a time that a person reads."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{seconds:.1f} s"
