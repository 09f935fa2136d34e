"""ELAN's annotation files (.eaf): reads the annotations of one tier; turns tiers into the text of a file.

Times are seconds since the start of the media file. ELAN plays an annotation at its time plus the TIME_ORIGIN of the
media: with TIME_ORIGIN 1200, an annotation that begins at 0 ms is shown at 1.2 s of the media file.

pympi writes the files but cannot read them: pympi 1.71 rejects files that ELAN opens (no schema location, an id without
digits), does not interpolate times and ignores TIME_ORIGIN.
"""

from __future__ import annotations

import mimetypes
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import count, pairwise
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from glossfree.errors import CorpusError, name_some, named, shortened
from glossfree.files.encoding import nfc

Annotation = tuple[float, float, str]  # start and end in seconds, text

_SCHEMA = "http://www.mpi.nl/tools/elan/EAFv3.0.xsd"
_LATEST = 2**32  # ms, exclusive: the schema's type of a time is an unsigned integer of 32 bits
_DEEPEST = 100  # levels of XML elements, and of tiers below tiers; ELAN writes 5 of the former
_REMEDY = "open it in ELAN and save it again"
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


@dataclass(frozen=True)
class _Entry:
    """An annotation: between two time slots, or below a parent annotation."""

    id: str
    slots: tuple[str, str] | None
    parent: str
    previous: str
    text: str


class _Tree(ElementTree.TreeBuilder):
    """An XML tree that rejects what could fill the memory: entities (before they expand) and endless nesting."""

    depth = 0

    def doctype(self, *_: Any) -> None:
        raise CorpusError("contains a DOCTYPE, which no ELAN file has", remedy=_REMEDY)

    def start(self, tag: Any, attributes: Any, /) -> Any:
        self.depth += 1
        if self.depth > _DEEPEST:
            raise CorpusError("damaged XML: elements without an end", remedy=_REMEDY)
        return super().start(tag, attributes)

    def end(self, tag: str, /) -> Element:
        self.depth -= 1
        return super().end(tag)


def read_tier(path: Path, tier: str | None = None, *, media: Path | None = None) -> tuple[str, list[Annotation]]:
    """An annotation file -> the name of one tier, and its annotations in the order of the file.

    `tier` None: the only tier with time-aligned annotations. Annotations without times get them as in ELAN: they divide
    the time between their neighbours, or that of their parent annotation, equally.
    `media` is the media file in use, whose TIME_ORIGIN counts; None: that of the linked videos.
    Raises CorpusError: not an ELAN file, no such tier or several (with their counts), annotations without any time.
    """
    [(name, annotations)] = _read(path, lambda tiers: [_find_tier(tiers, tier)], media).items()
    return name, annotations


def read_tiers(path: Path, names: Sequence[str], *, media: Path | None = None) -> dict[str, list[Annotation]]:
    """An annotation file -> those of the tiers `names` that it has, as `read_tier` reads them, under these names."""
    wanted = {nfc(name).strip(): name for name in names}
    tiers = _read(path, lambda tiers: [tier for tier in tiers if nfc(tier).strip() in wanted], media)
    return {wanted[nfc(tier).strip()]: annotations for tier, annotations in tiers.items()}


def _read(
    path: Path, choose: Callable[[Mapping[str, Sequence[_Entry]]], list[str]], media: Path | None
) -> dict[str, list[Annotation]]:
    """A file -> the annotations of the tiers that `choose` names."""
    annotations: dict[str, list[Annotation]] = {}
    with named(path):
        root = _parse(path)
        try:
            slots = {slot.attrib["TIME_SLOT_ID"]: _slot_time(slot) for slot in root.iter("TIME_SLOT")}
            tiers: dict[str, list[_Entry]] = {}
            for element in root.iter("TIER"):
                tiers.setdefault(element.attrib["TIER_ID"], []).extend(_entries(element))
        except KeyError as error:
            raise CorpusError(f"an element without {error.args[0]}", remedy=_REMEDY) from error
        for name in choose(tiers):
            times = _times(slots, tiers, tiers[name])
            missing = [entry.id for entry in tiers[name] if entry.id not in times]
            if missing:
                listed = f"{len(missing):,} annotations have no time ({name_some(missing)})"
                raise CorpusError(f"tier {shortened(name)!r}: {listed}", remedy="align them in ELAN")
            origin = _origin(list(root.iter("MEDIA_DESCRIPTOR")), media)
            entries = [(*times[entry.id], entry.text) for entry in tiers[name]]
            annotations[name] = [((start + origin) / 1000, (end + origin) / 1000, text) for start, end, text in entries]
    return annotations


def _parse(path: Path) -> Element:
    parser = ElementTree.XMLParser(target=_Tree())
    try:
        parser.feed(path.read_bytes())
        root: Element = parser.close()
    except ElementTree.ParseError as error:
        problem = f"damaged XML (line {error.position[0]}, column {error.position[1]})"
        raise CorpusError(problem, remedy=_REMEDY) from error
    except (ValueError, LookupError) as error:  # unknown encoding
        raise CorpusError("XML in an unknown encoding", remedy="save it as UTF-8") from error
    except OSError as error:
        raise CorpusError(f"cannot be read ({error.strerror})", remedy="check the path") from error
    if root.tag != "ANNOTATION_DOCUMENT":
        raise CorpusError(f"not an ELAN file: its root is {shortened(root.tag, 40)!r}", remedy=_REMEDY)
    for header in root.iter("HEADER"):
        if (unit := header.get("TIME_UNITS", "milliseconds")) != "milliseconds":
            raise CorpusError(f"times in {shortened(unit, 40)!r}, not milliseconds", remedy=_REMEDY)
    return root


def _entries(tier: Element) -> list[_Entry]:
    entries = []
    for item in tier.iter():
        aligned = item.tag == "ALIGNABLE_ANNOTATION"
        if aligned or item.tag == "REF_ANNOTATION":
            slots = (item.attrib["TIME_SLOT_REF1"], item.attrib["TIME_SLOT_REF2"]) if aligned else None
            parent = "" if aligned else item.attrib["ANNOTATION_REF"]
            text = item.findtext("ANNOTATION_VALUE", "")
            entries.append(
                _Entry(item.attrib["ANNOTATION_ID"], slots, parent, item.get("PREVIOUS_ANNOTATION", ""), text)
            )
    return entries


def _slot_time(slot: Element) -> int | None:
    """The time of a slot in ms; None if it has none."""
    if "TIME_VALUE" not in slot.attrib:
        return None
    name = f"time of slot {shortened(slot.attrib['TIME_SLOT_ID'], 40)}"
    time = _integer(slot.attrib["TIME_VALUE"], name)
    if not 0 <= time < _LATEST:
        raise CorpusError(f"impossible {name}", remedy=_REMEDY)
    return time


def _integer(text: str, name: str) -> int:
    try:
        return int(text)
    except ValueError as error:
        raise CorpusError(f"{name} is not a whole number of ms", remedy=_REMEDY) from error


def _find_tier(tiers: Mapping[str, Sequence[_Entry]], tier: str | None) -> str:
    """The name of the requested tier, or of the only one with times; NFC and blanks around a name are no difference."""
    listed = name_some([f"{name!r} ({len(entries):,})" for name, entries in tiers.items()]) or "none"
    if tier is not None:
        name = next((name for name in tiers if _is_same(name, tier)), None)
        if name is None:
            raise CorpusError(f"no tier {shortened(tier)!r}; tiers here: {listed}", remedy="name one of these")
        return name
    aligned = [name for name, entries in tiers.items() if any(entry.slots for entry in entries)]
    if len(aligned) != 1:
        several = "several tiers have" if aligned else "no tier has"
        problem = f"{several} time-aligned annotations; tiers here: {listed}"
        raise CorpusError(problem, remedy="name one with --tier" if aligned else _REMEDY)
    return aligned[0]


def _is_same(name: str, other: str) -> bool:
    return nfc(name).strip() == nfc(other).strip()


def _times(
    slots: Mapping[str, int | None], tiers: Mapping[str, Sequence[_Entry]], entries_of_tier: Sequence[_Entry]
) -> dict[str, tuple[float, float]]:
    """Annotation id -> start and end in ms on ELAN's time line, for `entries_of_tier` and their parents."""
    times: dict[str, tuple[float, float]] = {}
    # annotation id -> its parent, and the children of that parent on one tier
    siblings: dict[str, tuple[str, list[_Entry]]] = {}
    for entries in tiers.values():
        own = _interpolated(slots, [entry.slots for entry in entries if entry.slots])
        groups: dict[str, list[_Entry]] = {}
        for entry in entries:
            if entry.slots is None:
                groups.setdefault(entry.parent, []).append(entry)
            elif entry.slots[0] in own and entry.slots[1] in own:
                times[entry.id] = own[entry.slots[0]], own[entry.slots[1]]
        for parent, group in groups.items():
            siblings |= {entry.id: (parent, group) for entry in group}
    for entry in entries_of_tier:
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


def _interpolated(slots: Mapping[str, int | None], pairs: Sequence[tuple[str, str]]) -> dict[str, float]:
    """Time slots of one tier -> ms. Slots without a time divide the time between their neighbours equally.

    Neighbours are slots joined by annotations of the tier, `pairs` of start and end. Slots without a time on both sides
    are omitted.
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
    """Annotations below one parent, each after its PREVIOUS_ANNOTATION."""
    following = {entry.previous: entry for entry in group if entry.previous}
    ordered = [entry for entry in group if not entry.previous][:1]
    while ordered and len(ordered) < len(group) and ordered[-1].id in following:
        ordered.append(following[ordered[-1].id])
    return ordered if len(ordered) == len(group) else group


def _origin(descriptors: Sequence[Element], media: Path | None) -> int:
    """TIME_ORIGIN in ms of the media file in use, else of the linked videos, else of all linked media."""
    linked = []  # name, origin, is it a video
    for item in descriptors:
        name = re.split(r"[/\\]", item.get("RELATIVE_MEDIA_URL") or item.get("MEDIA_URL") or "")[-1]
        is_video = item.get("MIME_TYPE", "").startswith("video")
        linked.append((name, _integer(item.get("TIME_ORIGIN", "0"), "TIME_ORIGIN"), is_video))
    same = [item for item in linked if media is not None and _is_same(unquote(item[0]), unquote(media.name))]
    relevant = same or [item for item in linked if item[2]] or linked
    if len({origin for _, origin, _ in relevant}) > 1:
        listed = name_some([f"{name!r} by {origin} ms" for name, origin, _ in relevant])
        problem = f"its media begin at different times ({listed}), and none has the name of the video"
        raise CorpusError(problem, remedy="give the video the name that it has in ELAN")
    return relevant[0][1] if relevant else 0


def eaf_text(tiers: Mapping[str, Sequence[Annotation]], *, media: Path | None, folder: Path) -> str:
    """Tiers -> the text of an annotation file (EAF 3.0) that links `media`; `folder` is the folder of the file.

    ELAN's tiers have no overlaps: overlapping annotations go to additional tiers, "NAME 2" and so on. Times are rounded
    to ms; every annotation lasts at least 1 ms. Raises ImportError without pympi.
    """
    from pympi.Elan import Eaf, to_string

    document = Eaf(author="glossfree")  # its tier, property and date are not valid for ELAN
    document.tiers.clear()
    document.properties.clear()
    document.adocument.update(VERSION="3.0", FORMAT="3.0", DATE=datetime.now().astimezone().isoformat("T", "seconds"))
    document.adocument["xsi:noNamespaceSchemaLocation"] = _SCHEMA
    document.header.update(MEDIA_FILE="", TIME_UNITS="milliseconds")
    if media is not None:
        document.add_linked_file(**_link(media, folder))
    lanes = _without_overlaps({name: [_in_ms(item) for item in items] for name, items in tiers.items()})
    entries = [(name, *item) for name, items in lanes.items() for item in items]
    # each annotation has its own two slots; their ids are in order of time, ends before starts
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
    """Tiers -> tiers without overlaps: an annotation that begins before the last one ends goes to another tier."""
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


def _link(media: Path, folder: Path) -> dict[str, str | None]:
    """A media file -> its URL (not escaped, as ELAN expects), its path relative to `folder`, and its MIME type."""
    path = media.resolve()
    try:
        relative = Path(os.path.relpath(path, folder.resolve())).as_posix()
        relative = without_controls(relative if relative.startswith("../") else f"./{relative}")
    except ValueError:  # on another drive
        relative = None
    url = without_controls("file:///" + path.as_posix().lstrip("/"))
    return {"file_path": url, "relpath": relative, "mimetype": mimetypes.guess_type(path.name)[0] or "unknown"}


def without_controls(text: str) -> str:
    """Text with a blank for each character that XML cannot contain: controls, lone surrogates and noncharacters."""
    return _CONTROLS.sub(" ", text)
