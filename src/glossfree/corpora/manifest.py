"""The corpus as a value: clips of any corpus, and packed clips of a prepared folder.

A corpus yields `Clip`s (where the frames come from); `prepare` packs them and writes one `PackedClip` per line into
`manifest.jsonl`, next to `corpus.json` (name, language, frame size, settings, problems). Needs no torch.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path, PureWindowsPath
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np

from glossfree.errors import CorpusError, name_some
from glossfree.files.disk import read_json, write_atomic, write_json
from glossfree.files.encoding import nfc, read_text, split_lines
from glossfree.files.parts import Part, cache_folder, is_address
from glossfree.languages import profile_of

SPLITS = ("train", "dev", "test")
MANIFEST, CORPUS = "manifest.jsonl", "corpus.json"
FORMAT = 1
UNKNOWN = "not recorded"
IDENTITY = ("name", "title", "language")  # keys of corpus.json; `title`: its own name, where `name` is a layout's
MOST_BYTES = 10**13  # of a shard
MOST_FRAMES = 10_000_000  # of one clip: two days at 50 frames/s
LONGEST = 172_800.0  # seconds of a clip, two days: a clock that jumps within a recording makes years of it
_REMEDY = "run glossfree prepare again"
CORPUS_TYPES = dict.fromkeys((*IDENTITY, "fit", "codec"), str) | {"frame_size": int, "problems": list}


@dataclass(frozen=True)
class SignSpan:
    """One sign in time: frames [start, end) of the packed clip, transitions excluded."""

    gloss: str
    start: int
    end: int


@dataclass(frozen=True)
class Segment:
    """Part of a video: [start, end) in seconds or frames since its first frame; `end` None: to the end of the video."""

    start: float = 0.0
    end: float | None = None
    unit: Literal["seconds", "frames"] = "seconds"

    def __str__(self) -> str:
        start, end = (f"{edge:.3f}".rstrip("0").rstrip(".") for edge in (self.start, self.end or 0))
        return f"{start} to {'end' if self.end is None else end} {'s' if self.unit == 'seconds' else 'frames'}"


@dataclass(frozen=True)
class VideoFile:
    """All frames of a video file, or those of a segment."""

    path: Path
    segment: Segment | None = None


@dataclass(frozen=True)
class FrameFolder:
    """All images of a folder in the natural order of their names, or those of a segment; `fps` 0: unknown."""

    path: Path
    segment: Segment | None = None
    fps: float = 0.0


def source_at(path: Path, segment: Segment | None = None, fps: float = 0.0) -> VideoFile | FrameFolder:
    """A video file, or a folder of images, which has no rate of its own."""
    return FrameFolder(path, segment, fps) if path.is_dir() else VideoFile(path, segment)


class Drawing(Protocol):
    """Frames that are computed: `render(size)` -> (T, size, size, 3) uint8 RGB, the same pixels on every call.

    Must be picklable (rendering runs in worker processes) and know its length without rendering.
    """

    @property
    def num_frames(self) -> int: ...

    @property
    def fps(self) -> float: ...

    def render(self, size: int) -> np.ndarray: ...


@runtime_checkable
class PosedDrawing(Drawing, Protocol):
    """A drawing that knows where the joints of its signer are: (T, J, 2), x and y in fractions of the frame."""

    @property
    def joints(self) -> tuple[str, ...]: ...

    def keypoints(self) -> np.ndarray: ...


@dataclass(frozen=True)
class Clip:
    """One clip of a corpus, before packing. `glosses` as in `PackedClip`."""

    id: str
    split: str
    text: str
    source: VideoFile | FrameFolder | Drawing
    signer: str = ""
    spans: tuple[SignSpan, ...] = ()
    fps: float | None = None  # None: the rate of the source, else 25
    glosses: tuple[str, ...] = ()


@dataclass(frozen=True)
class PackedClip:
    """One clip of a prepared folder: a line of `manifest.jsonl`. `file` is relative to that folder.

    A clip in a shard has no such file; `shard` says where it lies.

    `aspect` is width / height of the source's frames (0: unknown). `times` are the times of the frames in seconds if
    the rate varies; if it is constant, `times` is empty and frame n is at n / fps. `glosses` are the annotated ones in
    their order, () without an annotation; training reads them only if the recipe's supervision is "glosses".
    """

    id: str
    split: str
    text: str
    file: str
    num_frames: int
    fps: float
    signer: str = ""
    spans: tuple[SignSpan, ...] = ()
    aspect: float = 0.0
    times: tuple[float, ...] = ()
    glosses: tuple[str, ...] = ()
    shard: Part | None = None

    def to_json(self) -> str:
        """One line of JSON, keys in the order of the fields; `times`, `glosses` and `shard` only if not empty."""
        values = asdict(self)
        for name in ("times", "glosses", "shard"):
            if not values[name]:
                del values[name]
        return json.dumps(values, ensure_ascii=False)

    @classmethod
    def from_json(cls, line: str) -> PackedClip:
        """Inverse of `to_json`, id and sentence in NFC. Raises KeyError, TypeError or ValueError on anything else."""
        values = dict(json.loads(line))
        values["id"], values["text"] = nfc(values["id"]), nfc(values["text"])
        values["spans"] = tuple(SignSpan(**span) for span in values.get("spans", ()))
        values["times"] = tuple(map(float, values.get("times", ())))
        glosses = values.get("glosses", [])
        if not isinstance(glosses, list):
            raise ValueError("glosses must be a list")
        values["glosses"] = tuple(map(nfc, glosses))
        values["shard"] = Part(**values["shard"]) if values.get("shard") else None
        clip = cls(**values)
        clip._check()
        return clip

    def _check(self) -> None:
        """Raise ValueError unless texts are strings and numbers are possible for a video."""
        texts = (self.id, self.split, self.text, self.file, self.signer, *self.glosses)
        texts += tuple(span.gloss for span in self.spans)
        texts += () if self.shard is None else (self.shard.file,)
        if not all(isinstance(text, str) and "\0" not in text for text in texts):
            raise ValueError("id, split, text, file, signer and glosses must be text")
        if not _is_inside(self.file):
            raise ValueError("file must lie in the folder")
        "".join(texts).encode("utf-8")  # raises ValueError: JSON can escape lone surrogates
        counts = (self.num_frames, *(edge for span in self.spans for edge in (span.start, span.end)))
        if not all(type(count) is int and 0 <= count <= MOST_FRAMES for count in counts):
            raise ValueError(f"numbers of frames must be integers from 0 to {MOST_FRAMES:,}")
        numbers = (self.fps, self.aspect, *self.times)
        if not all(type(number) in (int, float) and math.isfinite(number) for number in numbers):
            raise ValueError("fps, aspect and times must be finite numbers")
        if self.shard is not None:
            check_shard(self.shard)

    def source(self, folder: Path) -> Path | Part:
        """Where the packed clip lies: its file in the prepared folder, or its part of a shard."""
        return folder / self.file if self.shard is None else self.shard.below(folder)

    def num_bytes(self, folder: Path) -> int | None:
        """The size of the packed clip; None if it is missing (a shard at an address is not asked)."""
        source = self.source(folder)
        if isinstance(source, Part):
            return source.size if source.is_there() else None
        try:
            return source.stat().st_size
        except OSError:
            return None


@dataclass(frozen=True)
class Manifest:
    """A prepared folder: its clips and the content of `corpus.json`."""

    folder: Path
    clips: tuple[PackedClip, ...]
    corpus: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def load(cls, folder: str | Path) -> Manifest:
        """Read `manifest.jsonl` and `corpus.json`. Raises CorpusError: missing, not JSON, duplicate id."""
        folder = Path(folder)
        path, corpus_path = folder / MANIFEST, folder / CORPUS
        if not path.is_file():
            raise CorpusError(f"no {MANIFEST}", where=folder, remedy=f"glossfree prepare CORPUS --out {folder}")
        clips: dict[str, PackedClip] = {}
        for number, line in enumerate(split_lines(read_text(path)), start=1):
            try:
                clip = PackedClip.from_json(line)
            except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
                raise CorpusError(f"line {number} is not a clip ({error})", where=path, remedy=_REMEDY) from error
            if clip.id in clips:
                raise CorpusError(f"clip id {clip.id!r} twice (line {number})", where=path, remedy="keep one of them")
            clips[clip.id] = clip
        _check_addresses(folder, clips.values())
        corpus = read_json(corpus_path, remedy=_REMEDY) if corpus_path.is_file() else {}
        for key, kind in CORPUS_TYPES.items():
            if type(corpus.get(key, kind())) is not kind:
                raise CorpusError(f"{key!r} has the wrong type", where=corpus_path, remedy=_REMEDY)
        return cls(folder, tuple(clips.values()), corpus)

    def save(self) -> None:
        """Write both files, each atomically. Raises CorpusError."""
        write_atomic(self.folder / MANIFEST, "".join(clip.to_json() + "\n" for clip in self.clips), parents=True)
        write_json(self.folder / CORPUS, self.corpus)

    def split(self, name: str) -> tuple[PackedClip, ...]:
        """The clips of one split, in manifest order.

        Raises CorpusError: none there, one without frames, one at a rate at which it would last longer than LONGEST.
        """
        clips = tuple(clip for clip in self.clips if clip.split == name)
        if not clips:
            present = ", ".join(sorted({clip.split for clip in self.clips}))
            raise CorpusError(f"no clip in split {name!r}", where=self.folder, remedy=f"splits here: {present}")
        if empty := [clip.id for clip in clips if clip.num_frames < 1 or clip.num_frames > LONGEST * clip.fps]:
            problem = f"clips without frames or a possible rate: {name_some(empty)}"
            raise CorpusError(problem, where=self.folder, remedy=_REMEDY)
        return clips

    @property
    def language(self) -> str:
        """ISO 639-1 code of the spoken language. Raises CorpusError if the corpus names none."""
        if not self.corpus.get("language"):
            remedy = 'add "language": "CODE" to it, the ISO 639-1 code of the sentences (de, en, zh, ...)'
            raise CorpusError("names no language", where=self.folder / CORPUS, remedy=remedy)
        return profile_of(self.corpus["language"]).code

    def __iter__(self) -> Iterator[PackedClip]:
        return iter(self.clips)


def _is_inside(file: str) -> bool:
    """Whether a path, relative to the prepared folder, stays in it on any system."""
    path = PureWindowsPath(file)
    return not path.is_absolute() and not path.anchor and ".." not in path.parts


def check_shard(shard: Part, *, may_be_far: bool = True) -> None:
    """Raise ValueError for a part that no shard of a prepared folder can have; `may_be_far`: at an address."""
    numbers = (shard.offset, shard.size)
    if not all(type(number) is int and 0 <= number <= MOST_BYTES for number in numbers):
        raise ValueError(f"offset and size of a shard's part must be integers from 0 to {MOST_BYTES:,}")
    if not isinstance(shard.file, str) or (is_address(shard.file) and not may_be_far):
        raise ValueError("a shard must be a file")
    if not is_address(shard.file) and not _is_inside(shard.file):
        raise ValueError("a shard must lie in the folder")


def _check_addresses(folder: Path, clips: Iterable[PackedClip]) -> None:
    """Raise CorpusError for a folder, other than our own copy of one at an address, that would have us ask a server:
    nothing is fetched that the user has not named."""
    far = next((clip.shard.file for clip in clips if clip.shard is not None and is_address(clip.shard.file)), None)
    if far is not None and not folder.resolve().is_relative_to(cache_folder().resolve()):
        remedy = "name that folder itself: --corpus ADDRESS"
        raise CorpusError(f"its clips lie elsewhere ({far})", where=folder, remedy=remedy)


def title_of(corpus: Mapping[str, Any], unknown: str = UNKNOWN) -> str:
    """What `corpus.json`, or a run's record of it, calls a corpus."""
    return str(corpus.get("title") or corpus.get("name") or unknown)


def is_same_corpus(run: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two runs are of one corpus, or of copies of it: by what both `run.json` say of its folder, name, language
    and training clips."""
    if run.get("corpus") == other.get("corpus"):
        return True
    known, others = ({**_object(each, "data"), **_object(each, "profile")} for each in (run, other))
    return all(known[key] == others[key] for key in known.keys() & others.keys())


def _object(record: Mapping[str, Any], key: str) -> dict[str, Any]:
    """The object under a key; an empty one if there is something else or nothing."""
    value = record.get(key)
    return value if isinstance(value, dict) else {}


def unique_texts(clips: Iterable[PackedClip]) -> list[str]:
    """The distinct sentences of some clips, in order of first appearance."""
    return list(dict.fromkeys(clip.text for clip in clips))


def overlap_warning(clips: Sequence[Clip | PackedClip]) -> str | None:
    """A warning that counts the sentences in more than one split, and their clips; None if there are none."""
    splits: dict[str, set[str]] = {}
    for clip in clips:
        splits.setdefault(nfc(clip.text), set()).add(clip.split)
    shared = {text for text, names in splits.items() if len(names) > 1}
    if not shared:
        return None
    concerned = sum(nfc(clip.text) in shared for clip in clips)
    noun = "sentence occurs" if len(shared) == 1 else "sentences occur"
    return f"{len(shared):,} {noun} in more than one split ({concerned:,} clips): scores on them show memory"
