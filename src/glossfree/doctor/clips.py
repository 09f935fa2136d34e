"""Clips as their table and their headers describe them -> what is odd about each, and about all of them together.

Opens no file. Times in seconds, rates in frames per second; 0 stands for what nothing says.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from glossfree.console import duration
from glossfree.corpora.manifest import Segment
from glossfree.doctor.findings import BadClip, Finding
from glossfree.errors import name_some
from glossfree.text.tagging import split_words
from glossfree.video.container import FPS
from glossfree.video.timeline import BEYOND, FEWEST, SAME_RATE

LONGEST = 30.0  # seconds of one sentence; PHOENIX14T's longest clip is 19 s
FASTEST, SLOWEST = 8.0, 0.2  # words a second: beyond them the sentence hardly belongs to the clip
SAME_ASPECT = 0.1  # aspects that differ by no more are one aspect
NAMED = 5  # clips that a finding names; data has them all
SHAPES = {16 / 9: "16:9", 4 / 3: "4:3", 1.0: "square", 3 / 4: "3:4", 9 / 16: "9:16"}


@dataclass(frozen=True)
class ClipFacts:
    """One clip: its sentence, and what its header states. `segment` is the part of a video of `video_seconds`.

    `error` says why its file cannot be read; `is_missing`, that there is no such file.
    """

    id: str
    split: str
    text: str
    path: str = ""
    fps: float = 0.0
    aspect: float = 0.0
    video_seconds: float = 0.0
    segment: Segment | None = None
    error: str = ""
    is_missing: bool = False

    @property
    def start(self) -> float:
        """Seconds into the video."""
        return self._seconds(self.segment.start) if self.segment else 0.0

    @property
    def end(self) -> float:
        """Seconds into the video at which the clip ends; 0: unknown."""
        return (
            self.video_seconds if self.segment is None or self.segment.end is None else self._seconds(self.segment.end)
        )

    @property
    def seconds(self) -> float:
        """Length of what the video really shows of the clip."""
        end = min(self.end, self.video_seconds) if self.video_seconds else self.end
        return max(0.0, end - self.start)

    @property
    def words(self) -> int:
        """Words of the sentence, punctuation aside; characters in scripts without spaces."""
        return sum(word[0].isalnum() for word in split_words(self.text))

    def _seconds(self, edge: float) -> float:
        is_frames = self.segment is not None and self.segment.unit == "frames"
        return edge / self.fps if is_frames and self.fps else edge


@dataclass(frozen=True)
class Fault:
    """Something that is wrong with single clips. `clips` completes "13 clips ..."; `weight` 100 is the gravest."""

    name: str
    topic: str
    weight: float
    clips: str
    remedy: str


MISSING = Fault("missing", "files", 100, "have no file", "correct the paths, or copy the files to where they lead")
UNREADABLE = Fault("unreadable", "files", 90, "cannot be read", "copy or download the files again, or drop the rows")
BEHIND = Fault("behind", "segments", 80, "begin behind the end of their video", "correct start, end or the video")
BEYOND_END = Fault("beyond", "segments", 70, "end behind the end of their video", "correct the end, or the video")
EMPTY = Fault("empty", "sentences", 65, "have an empty sentence", "write the sentence, or drop the row")
SHORT = Fault("short", "lengths", 60, f"have fewer than {FEWEST} frames", "check start and end, or drop them")
FAST = Fault("fast", "sentences", 40, f"have more than {FASTEST:g} words a second", "does the sentence belong there?")
SLOW = Fault("slow", "sentences", 35, f"have under {SLOWEST} words a second", "does the sentence belong there?")
LONG = Fault(
    "long", "lengths", 30, f"are longer than {LONGEST:.0f} s", "cut them into sentences, with columns start and end"
)
OTHER_RATE = Fault("rate", "", 10, "", "")
OTHER_ASPECT = Fault("aspect", "", 8, "", "")
FAULTS = (MISSING, UNREADABLE, BEHIND, BEYOND_END, EMPTY, SHORT, FAST, SLOW, LONG)


@dataclass(frozen=True)
class Complaint:
    """A fault of one clip, in its own figures; `excess` in [0, 1) ranks it among others of the same fault."""

    fault: Fault
    detail: str
    excess: float = 0.0

    @property
    def weight(self) -> float:
        """How grave it is: the fault decides, then the excess."""
        return self.fault.weight + self.excess


def groups(values: Iterable[float], tolerance: float) -> dict[float, int]:
    """Values above 0 -> the commonest of each cluster, and how many lie within `tolerance` (a fraction) of it."""
    counts: dict[float, int] = {}
    for value, count in Counter(round(value, 2) for value in values if value > 0).most_common():
        near = next((centre for centre in counts if abs(value / centre - 1) <= tolerance), value)
        counts[near] = counts.get(near, 0) + count
    return dict(sorted(counts.items(), key=lambda item: -item[1]))


def complaints(clip: ClipFacts, fps: float = 0.0, aspect: float = 0.0) -> list[Complaint]:
    """A clip, and the commonest rate and aspect of its corpus -> what is odd about it, gravest first."""
    odd = list(_text_complaints(clip))
    if clip.error:
        odd.append(Complaint(MISSING if clip.is_missing else UNREADABLE, clip.error))
    elif clip.video_seconds and clip.start >= clip.video_seconds:
        odd.append(Complaint(BEHIND, f"begins at {clip.start:.1f} s of a video of {clip.video_seconds:.1f} s"))
    else:
        odd += _length_complaints(clip)
    if fps and clip.fps and abs(clip.fps / fps - 1) > SAME_RATE:
        odd.append(Complaint(OTHER_RATE, f"{clip.fps:g} frames/s, most have {fps:g}"))
    if aspect and clip.aspect and abs(clip.aspect / aspect - 1) > SAME_ASPECT:
        odd.append(Complaint(OTHER_ASPECT, f"{clip.aspect:.2f} wide to 1 high, most are {aspect:.2f}"))
    return sorted(odd, key=lambda complaint: -complaint.weight)


def _length_complaints(clip: ClipFacts) -> Iterator[Complaint]:
    if clip.video_seconds and clip.end > clip.video_seconds + max(BEYOND, 1 / (clip.fps or FPS)):
        detail = f"ends at {clip.end:.1f} s of a video of {clip.video_seconds:.1f} s"
        yield Complaint(BEYOND_END, detail, 1 - clip.video_seconds / clip.end)
    frames = round(clip.seconds * clip.fps)
    if clip.end and clip.fps and frames < FEWEST:
        yield Complaint(SHORT, f"{frames} frame{'' if frames == 1 else 's'}")
    elif clip.seconds > LONGEST:
        yield Complaint(LONG, f"{clip.seconds:.0f} s long", 1 - LONGEST / clip.seconds)


def _text_complaints(clip: ClipFacts) -> Iterator[Complaint]:
    if not clip.text.strip():
        yield Complaint(EMPTY, "empty sentence")
    elif clip.seconds and not clip.error:
        rate, noun = clip.words / clip.seconds, "word" if clip.words == 1 else "words"
        detail = f"{clip.words} {noun} in {clip.seconds:.1f} s"
        if rate > FASTEST:
            yield Complaint(FAST, detail, 1 - FASTEST / rate)
        elif rate < SLOWEST:
            yield Complaint(SLOW, detail, 1 - rate / SLOWEST)


def worst_clips(clips: Sequence[ClipFacts], odd: Sequence[Sequence[Complaint]], limit: int = 10) -> tuple[BadClip, ...]:
    """Clips and their complaints, gravest first -> the worst clips: by the gravest, then by how many there are."""
    pairs = [(clip, reasons) for clip, reasons in zip(clips, odd, strict=True) if reasons]
    ranked = sorted(pairs, key=lambda pair: (-pair[1][0].weight, -len(pair[1])))[:limit]
    return tuple(
        BadClip(clip.id, clip.split, clip.path, tuple(complaint.detail for complaint in reasons))
        for clip, reasons in ranked
    )


def fault_findings(ids: dict[str, list[str]], num_clips: int, *, names_missing: bool = False) -> Iterator[Finding]:
    """{name of a fault: ids of its clips} -> a warning each; a problem if not one clip can be read.

    `names_missing`: some missing files are no finding, since others name them; all missing still is one.
    """
    unreadable = len(ids.get(MISSING.name, [])) + len(ids.get(UNREADABLE.name, []))
    for fault in FAULTS:
        culprits = ids.get(fault.name, [])
        is_all = fault in (MISSING, UNREADABLE) and unreadable == num_clips
        if culprits and (is_all or not (names_missing and fault is MISSING)):
            text = f"{len(culprits):,} of {num_clips:,} clips {fault.clips}: {name_some(culprits, limit=NAMED)}"
            yield Finding(fault.topic, "problem" if is_all else "warning", text, fault.remedy)


def rate_finding(rates: dict[float, int], remedy: str) -> Finding | None:
    """{frames per second: clips} -> how the rates are distributed; several are a warning, and `remedy` goes with it."""
    if not rates:
        return None
    if len(rates) == 1:
        return Finding("frame rate", "ok", f"{next(iter(rates)):g} frames/s in all clips")
    text = ", ".join(f"{_counted(count)} at {fps:g}/s" for fps, count in list(rates.items())[:NAMED])
    more = f" and {len(rates) - NAMED} more rates" if len(rates) > NAMED else ""
    return Finding("frame rate", "warning", f"mixed: {text}{more}", remedy)


def aspect_finding(aspects: dict[float, int], fit: str = "stretch") -> Finding | None:
    """{width / height: clips} -> how the shapes are distributed, and what making them square does to them."""
    if not aspects:
        return None
    shown = ", ".join(f"{_counted(count)} {_shape(aspect)}" for aspect, count in list(aspects.items())[:NAMED])
    more = f" and {len(aspects) - NAMED} more" if len(aspects) > NAMED else ""
    if len(aspects) == 1 or fit != "stretch":
        return Finding("aspect", "ok", f"{shown}{more}")
    remedy = "glossfree prepare --fit pad keeps shapes (and the recipe's data.fit says the same)"
    return Finding("aspect", "warning", f"mixed, the same sign looks different in each: {shown}{more}", remedy)


def _shape(aspect: float) -> str:
    """Width / height -> its name, and what `stretch` does to it."""
    name = next((name for shape, name in SHAPES.items() if abs(shape / aspect - 1) < 0.01), f"{aspect:.2f}:1")
    if abs(aspect - 1) < 0.01:
        return name
    side, left = ("width", 1 / aspect) if aspect > 1 else ("height", aspect)
    return f"{name} (stretch leaves {100 * left:.0f} % of the {side})"


def length_finding(seconds: Sequence[float]) -> Finding | None:
    """Seconds of all clips, 0 where nothing says -> shortest, median, longest, and all together."""
    known = [value for value in seconds if value]
    if not known:
        return Finding("lengths", "warning", "no file says how long it is") if seconds else None
    text = f"{min(known):.1f} s shortest, {median(known):.1f} s median, {max(known):.1f} s longest"
    unknown = len(seconds) - len(known)
    rest = f"; unknown of {_counted(unknown)}" if unknown else ""
    return Finding("lengths", "ok", f"{text}, {duration(sum(known))} in all{rest}")


def _counted(count: int) -> str:
    return f"{count:,} clip{'' if count == 1 else 's'}"


def figures_of(clips: Sequence[ClipFacts], rates: dict[float, int], aspects: dict[float, int]) -> dict[str, Any]:
    """The same figures as plain values."""
    known = [clip.seconds for clip in clips if clip.seconds]
    return {
        "clips": dict(Counter(clip.split for clip in clips)),
        "fps": {f"{fps:g}": count for fps, count in rates.items()},
        "aspect": {f"{aspect:g}": count for aspect, count in aspects.items()},
        "seconds": {
            "shortest": min(known, default=None),
            "median": median(known) if known else None,
            "longest": max(known, default=None),
            "all": sum(known),
        },
    }
