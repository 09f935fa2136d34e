"""ELAN's annotation files (.eaf): the annotations of one tier out of a file; tiers -> the text of a file.

Times are seconds since the start of the media file. ELAN plays an annotation at its own time plus the media's
TIME_ORIGIN, so that a media file with TIME_ORIGIN 1200 shows an annotation that begins at 0 ms at its 1.2 s.

Written with pympi. Read without it: pympi 1.71 refuses files that ELAN opens (no schema location, an id without
digits), keeps the whole tree in memory, and neither interpolates times nor knows TIME_ORIGIN.
"""

from __future__ import annotations

import mimetypes
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count, pairwise
from pathlib import Path
from urllib.parse import unquote
from xml.etree import ElementTree

from glossfree.errors import CorpusError, name_some, shortened
from glossfree.files.encoding import nfc

Annotation = tuple[float, float, str]  # start and end in seconds, text

_SCHEMA = "http://www.mpi.nl/tools/elan/EAFv3.0.xsd"
_LATEST = 2**32  # ms, exclusive: the schema's type of a time is an unsigned integer of 32 bits
_DEEPEST = 100  # levels of elements, and of tiers below tiers: ELAN's have 5, and few
_REMEDY = "open it in ELAN and save it again"
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


@dataclass
class _Entry:
    """One annotation as it stands in the file: between two time slots, or below a parent annotation."""

    id: str
    slots: tuple[str, str] | None
    parent: str = ""
    previous: str = ""
    text: str = ""


@dataclass
class _Document:
    """The parts of an annotation file that carry times and texts."""

    slots: dict[str, int | None] = field(default_factory=dict)  # in ms; None: not aligned
    tiers: dict[str, list[_Entry]] = field(default_factory=dict)
    media: list[dict[str, str]] = field(default_factory=list)

    def counts(self, *, aligned: bool = False) -> dict[str, int]:
        """Tier -> number of annotations, or of those between time slots alone."""
        return {
            name: sum(entry.slots is not None or not aligned for entry in entries)
            for name, entries in self.tiers.items()
        }


class _Builder:
    """Calls of an XML parser -> a _Document; everything else in the file is passed over, nothing of it is kept."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.document = _Document()
        self._depth = 0
        self._entries: list[_Entry] = []
        self._pieces: list[str] | None = None  # of the text of the annotation that is being read

    def doctype(self, *_: str | None) -> None:
        """Refuse entities before any of them is expanded: a few lines of them can fill the memory."""
        raise CorpusError("holds a DOCTYPE, which no ELAN file has", where=self.path, remedy=_REMEDY)

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        if not self._depth and tag != "ANNOTATION_DOCUMENT":
            raise CorpusError(f"not an ELAN file: its root is {shortened(tag, 40)!r}", where=self.path, remedy=_REMEDY)
        self._depth += 1
        if self._depth > _DEEPEST:  # the parser's own memory grows with it
            raise CorpusError("damaged XML: elements without an end", where=self.path, remedy=_REMEDY)
        try:
            self._element(tag, attributes)
        except KeyError as error:
            raise CorpusError(f"{tag} without {error.args[0]}", where=self.path, remedy=_REMEDY) from error

    def _element(self, tag: str, attributes: dict[str, str]) -> None:
        match tag:
            case "HEADER":
                unit = attributes.get("TIME_UNITS", "milliseconds")
                if unit != "milliseconds":
                    raise CorpusError(
                        f"times in {shortened(unit, 40)!r}, not milliseconds", where=self.path, remedy=_REMEDY
                    )
            case "MEDIA_DESCRIPTOR":
                self.document.media.append(dict(attributes))
            case "TIME_SLOT":
                self.document.slots[attributes["TIME_SLOT_ID"]] = self._time(attributes)
            case "TIER":
                self._entries = self.document.tiers.setdefault(attributes["TIER_ID"], [])
            case "ALIGNABLE_ANNOTATION":
                slots = attributes["TIME_SLOT_REF1"], attributes["TIME_SLOT_REF2"]
                self._entries.append(_Entry(attributes["ANNOTATION_ID"], slots))
            case "REF_ANNOTATION":
                parent, previous = attributes["ANNOTATION_REF"], attributes.get("PREVIOUS_ANNOTATION", "")
                self._entries.append(_Entry(attributes["ANNOTATION_ID"], None, parent, previous))
            case "ANNOTATION_VALUE":
                self._pieces = []

    def _time(self, attributes: dict[str, str]) -> int | None:
        if "TIME_VALUE" not in attributes:
            return None
        slot = attributes["TIME_SLOT_ID"]
        time = _integer(self.path, attributes["TIME_VALUE"], f"the time of slot {shortened(slot, 40)}")
        if not 0 <= time < _LATEST:
            raise CorpusError(f"impossible time of slot {shortened(slot, 40)}", where=self.path, remedy=_REMEDY)
        return time

    def data(self, text: str) -> None:
        if self._pieces is not None:
            self._pieces.append(text)

    def end(self, tag: str) -> None:
        self._depth -= 1
        if tag == "ANNOTATION_VALUE" and self._pieces is not None:
            if self._entries:
                self._entries[-1].text = "".join(self._pieces)
            self._pieces = None

    def close(self) -> _Document:
        return self.document


def _integer(path: Path, text: str, what: str) -> int:
    try:
        return int(text)
    except ValueError as error:
        raise CorpusError(f"{what} is not a whole number of ms", where=path, remedy=_REMEDY) from error


def read_tier(path: Path, tier: str | None = None, *, media: Path | None = None) -> tuple[str, list[Annotation]]:
    """An annotation file -> one tier's name, and its annotations in the order of the file.

    Without `tier`: the only tier with time-aligned annotations. Annotations without times of their own get them as in
    ELAN: an equal share of what their neighbours on the tier, or their parent annotation, leave.
    `media` is the file that is watched: its TIME_ORIGIN counts; without it, that of the linked videos.
    Raises CorpusError: not an ELAN file, no such tier or several (with their counts), annotations without any time.
    """
    document = _parse(path)
    name = _choose(path, document, tier)
    times = _times(document, document.tiers[name])
    missing = [entry.id for entry in document.tiers[name] if entry.id not in times]
    if missing:
        problem = f"tier {shortened(name)!r}: {len(missing):,} annotations have no time ({name_some(missing)})"
        raise CorpusError(problem, where=path, remedy="align them in ELAN")
    origin = _origin(path, document.media, media)
    annotations = []
    for entry in document.tiers[name]:
        start, end = times[entry.id]
        annotations.append(((start + origin) / 1000, (end + origin) / 1000, entry.text))
    return name, annotations


def _parse(path: Path) -> _Document:
    builder = _Builder(path)
    parser = ElementTree.XMLParser(target=builder)
    try:
        parser.feed(path.read_bytes())
        parser.close()
    except ElementTree.ParseError as error:
        problem = f"damaged XML (line {error.position[0]}, column {error.position[1]})"
        raise CorpusError(problem, where=path, remedy=_REMEDY) from error
    except (ValueError, LookupError) as error:  # an encoding that the parser does not know
        raise CorpusError("XML in an unknown encoding", where=path, remedy="save it as UTF-8") from error
    except OSError as error:
        raise CorpusError(f"cannot be read ({error.strerror})", where=path, remedy="check the path") from error
    return builder.document


def _choose(path: Path, document: _Document, tier: str | None) -> str:
    """The name of the tier that is meant, compared in NFC and without blanks around it."""
    listed = name_some([f"{name!r} ({number:,})" for name, number in document.counts().items()]) or "none"
    if tier is None:
        names = [name for name, number in document.counts(aligned=True).items() if number]
        if len(names) != 1:
            several = "several tiers have" if names else "no tier has"
            problem = f"{several} time-aligned annotations; tiers here: {listed}"
            raise CorpusError(problem, where=path, remedy="name one with --tier" if names else _REMEDY)
        return names[0]
    names = [name for name in document.tiers if _same(name, tier)]
    if not names:
        raise CorpusError(f"no tier {shortened(tier)!r}; tiers here: {listed}", where=path, remedy="name one of these")
    return names[0]


def _same(name: str, other: str) -> bool:
    return nfc(name).strip() == nfc(other).strip()


def _times(document: _Document, wanted: Sequence[_Entry]) -> dict[str, tuple[float, float]]:
    """Annotation id -> its start and end in ms on ELAN's time line, for `wanted` and their parents."""
    times: dict[str, tuple[float, float]] = {}
    siblings: dict[str, tuple[str, list[_Entry]]] = {}  # an annotation's id -> its parent, and all on its tier below it
    for entries in document.tiers.values():
        slots = _slot_times(document.slots, [entry.slots for entry in entries if entry.slots])
        groups: dict[str, list[_Entry]] = {}
        for entry in entries:
            if entry.slots is None:
                groups.setdefault(entry.parent, []).append(entry)
            elif entry.slots[0] in slots and entry.slots[1] in slots:
                times[entry.id] = slots[entry.slots[0]], slots[entry.slots[1]]
        for parent, group in groups.items():
            siblings |= {entry.id: (parent, group) for entry in group}
    for entry in wanted:
        path = [entry.id]  # up to an ancestor that has times
        while path[-1] not in times and path[-1] in siblings and len(path) < _DEEPEST:
            path.append(siblings[path[-1]][0])
        for child, parent in reversed(list(pairwise(path))):
            if parent in times and child not in times:
                start, end = times[parent]
                group = _in_order(siblings[child][1])
                share = (end - start) / len(group)
                for number, sibling in enumerate(group):
                    times[sibling.id] = start + number * share, start + (number + 1) * share
    return times


def _slot_times(slots: Mapping[str, int | None], pairs: Sequence[tuple[str, str]]) -> dict[str, float]:
    """Time slots of one tier -> ms. Slots without a time divide the stretch between their neighbours equally.

    Neighbours are those that annotations of the tier join: `pairs` of start and end. Slots that no time bounds on
    both sides are left out.
    """
    times: dict[str, float] = {slot: time for pair in pairs for slot in pair if (time := slots.get(slot)) is not None}
    following = dict(pairs)
    for start, end in pairs:
        if start not in times:
            continue
        chain: dict[str, None] = {}  # an ordered set
        while end not in times and end not in chain and end in following:
            chain[end] = None
            end = following[end]
        if end in times:
            step = (times[end] - times[start]) / (len(chain) + 1)
            times |= {slot: times[start] + number * step for number, slot in enumerate(chain, start=1)}
    return times


def _in_order(group: list[_Entry]) -> list[_Entry]:
    """Annotations below one parent, each after the one that it names as its previous."""
    following = {entry.previous: entry for entry in group if entry.previous}
    first = [entry for entry in group if not entry.previous]
    ordered = first[:1]
    while ordered and len(ordered) < len(group) and ordered[-1].id in following:
        ordered.append(following[ordered[-1].id])
    return ordered if len(ordered) == len(group) else group


def _origin(path: Path, descriptors: Sequence[Mapping[str, str]], media: Path | None) -> int:
    """TIME_ORIGIN in ms of the media file that is watched, else of the linked videos, else of all linked media."""
    urls = [item.get("RELATIVE_MEDIA_URL") or item.get("MEDIA_URL", "") for item in descriptors]
    names = [re.split(r"[/\\]", url)[-1] for url in urls]
    origins = [_integer(path, item.get("TIME_ORIGIN", "0"), "TIME_ORIGIN") for item in descriptors]
    named = [media is not None and _same(unquote(name), unquote(media.name)) for name in names]
    videos = [item.get("MIME_TYPE", "").startswith("video") for item in descriptors]
    which = next((choice for choice in (named, videos) if any(choice)), [True] * len(origins))
    chosen = [(name, origin) for name, origin, is_chosen in zip(names, origins, which, strict=True) if is_chosen]
    if len({origin for _, origin in chosen}) > 1:
        listed = name_some([f"{name!r} by {origin} ms" for name, origin in chosen])
        problem = f"its media begin at different times ({listed}), and none has the name of the video"
        raise CorpusError(problem, where=path, remedy="give the video the name that it has in ELAN")
    return chosen[0][1] if chosen else 0


def eaf_text(tiers: Mapping[str, Sequence[Annotation]], *, media: Path | None, folder: Path) -> str:
    """Tiers -> the text of an annotation file (EAF 3.0) that links `media`; `folder` is where it will lie.

    A tier of ELAN has no overlaps: annotations that overlap go to further tiers, "NAME 2" and so on. Times are rounded
    to ms, and nothing becomes shorter than 1 ms. Raises ImportError without pympi.
    """
    from pympi.Elan import Eaf, to_string

    document = Eaf(author="glossfree")  # with a tier, a property and a date that ELAN does not know
    document.tiers.clear()
    document.properties.clear()
    document.adocument.update(VERSION="3.0", FORMAT="3.0", DATE=datetime.now().astimezone().isoformat("T", "seconds"))
    document.adocument["xsi:noNamespaceSchemaLocation"] = _SCHEMA
    document.header.update(MEDIA_FILE="", TIME_UNITS="milliseconds")
    if media is not None:
        url, relative, mime = _link(media, folder)
        document.add_linked_file(url, relpath=relative, mimetype=mime)
    lanes = _without_overlaps({name: [_in_ms(item) for item in items] for name, items in tiers.items()})
    entries = [(name, *item) for name, items in lanes.items() for item in items]
    # each annotation has two slots of its own; all slots stand in the order of time, an end before a start
    bounds = [(start, 1, number) for number, (_, start, _, _) in enumerate(entries)]
    bounds += [(end, 0, number) for number, (_, _, end, _) in enumerate(entries)]
    slots = {(number, side): f"ts{place}" for place, (_, side, number) in enumerate(sorted(bounds), start=1)}
    document.timeslots = {slots[number, side]: time for time, side, number in bounds}
    for name in lanes:
        document.add_tier(name)
    for number, (name, _, _, text) in enumerate(entries):
        document.tiers[name][0][f"a{number + 1}"] = (slots[number, 1], slots[number, 0], text, None)
    document.add_property("lastUsedAnnotationId", len(entries))
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + str(to_string(document))


def _in_ms(annotation: Annotation) -> tuple[int, int, str]:
    start, end = round(annotation[0] * 1000), round(annotation[1] * 1000)
    return start, max(end, start + 1), without_controls(annotation[2])


def _without_overlaps(tiers: Mapping[str, list[tuple[int, int, str]]]) -> dict[str, list[tuple[int, int, str]]]:
    """Tiers -> tiers without overlaps: what begins before the last annotation has ended goes to a further tier."""
    lanes: dict[str, list[tuple[int, int, str]]] = {name: [] for name in tiers}
    for name, items in tiers.items():
        own = [name]
        for annotation in sorted(items):
            lane = next((lane for lane in own if not lanes[lane] or lanes[lane][-1][1] <= annotation[0]), "")
            if not lane:
                lane = next(further for number in count(2) if (further := f"{name} {number}") not in lanes)
                own.append(lane)
                lanes[lane] = []
            lanes[lane].append(annotation)
    return lanes


def _link(media: Path, folder: Path) -> tuple[str, str | None, str]:
    """A media file -> its URL, its path from `folder` (None: on another drive), its MIME type, as ELAN writes them.

    ELAN takes a URL literally: it does not decode "%20".
    """
    path = media.resolve()
    url = "file:///" + path.as_posix().lstrip("/")
    try:
        relative = Path(os.path.relpath(path, folder.resolve())).as_posix()
        relative = relative if relative.startswith("../") else f"./{relative}"
    except ValueError:
        relative = None
    mime = mimetypes.guess_type(path.name)[0] or "unknown"
    return without_controls(url), relative and without_controls(relative), mime


def without_controls(text: str) -> str:
    """Text with a blank for each control character, half of a surrogate pair, and other code that XML cannot hold."""
    return _CONTROLS.sub(" ", text)
