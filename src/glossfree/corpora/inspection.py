"""A prepared folder -> counts, lengths, vocabulary and problems, as values and as a table of plain text.

Reads the manifest and looks at each packed file's size; opens none of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from glossfree.console import Result, aligned
from glossfree.corpora.checks import overlap_warning
from glossfree.corpora.manifest import SPLITS, Manifest, PackedClip
from glossfree.errors import name_some

# What a row of the table is called, the field it shows, how it is written.
_ROWS: tuple[tuple[str, str, str], ...] = (
    ("clips", "clips", "{:,}"),
    ("frames", "frames", "{:,}"),
    ("hours", "hours", "{:.2f}"),
    ("frames a clip, mean", "mean_frames", "{:.1f}"),
    ("frames a clip, min", "min_frames", "{:,}"),
    ("frames a clip, max", "max_frames", "{:,}"),
    ("distinct sentences", "sentences", "{:,}"),
    ("words", "words", "{:,}"),
    ("words a sentence, mean", "mean_words", "{:.1f}"),
    ("vocabulary", "vocabulary", "{:,}"),
    ("words that occur once", "singletons", "{:,}"),
    ("vocabulary not in train", "unseen_words", "{:,}"),
    ("signers", "signers", "{:,}"),
    ("sign spans", "spans", "{:,}"),
    ("MB on disk", "megabytes", "{:.1f}"),
)


@dataclass(frozen=True)
class SplitFigures:
    """One split in numbers. `words` counts tokens, `vocabulary` distinct words, both split at white space.

    `singletons`: words that occur once in this split. `unseen_words`: distinct words of this split that the training
    split does not have, None for the training split itself. `megabytes`: 10^6 bytes.
    """

    clips: int
    frames: int
    hours: float
    mean_frames: float
    min_frames: int
    max_frames: int
    sentences: int
    words: int
    mean_words: float
    vocabulary: int
    singletons: int
    unseen_words: int | None
    signers: int
    spans: int
    megabytes: float


@dataclass(frozen=True)
class Inspection(Result):
    """A prepared folder in numbers, and what is wrong with it. `total` is over all splits."""

    out: Path
    corpus: dict[str, Any]
    splits: dict[str, SplitFigures]
    total: SplitFigures
    problems: tuple[str, ...]

    def to_text(self) -> str:
        """A table of plain text, one column per split, then the problems."""
        about = [
            f"{key.replace('_', ' ')} {self.corpus[key]}" for key in ("language", "frame_size") if key in self.corpus
        ]
        lines = [f"{self.out}: {', '.join([str(self.corpus.get('name', 'no name')), *about])}", ""]
        columns = {**self.splits, "all": self.total}
        cells = [["", *columns]]
        for label, field, form in _ROWS:
            values = [getattr(figures, field) for figures in columns.values()]
            cells.append([label, *("" if value is None else form.format(value) for value in values)])
        lines += aligned(cells)
        lines.append("")
        lines += [f"problem: {problem}" for problem in self.problems] or ["no problems"]
        return "\n".join(lines)


def inspect(out: Path, say: Callable[[str], None] | None = None) -> Inspection:
    """Look at the prepared folder `out`; `say` gets the table. Raises CorpusError if it is no prepared folder."""
    manifest = Manifest.load(out)
    sizes = {clip.id: _size(manifest.folder / clip.file) for clip in manifest}
    known = {word for clip in manifest if clip.split == "train" for word in clip.text.split()}
    names = [*SPLITS, *sorted({clip.split for clip in manifest} - set(SPLITS))]
    splits = {}
    for name in names:
        here = [clip for clip in manifest if clip.split == name]
        if here:
            splits[name] = _figures(here, sizes, None if name == "train" else known)
    total = _figures(manifest.clips, sizes, None)
    found = Inspection(manifest.folder, manifest.corpus, splits, total, tuple(_problems(manifest, sizes)))
    if say is not None:
        say(found.to_text())
    return found


def _figures(clips: Sequence[PackedClip], sizes: dict[str, int | None], known: set[str] | None) -> SplitFigures:
    lengths = [clip.num_frames for clip in clips]
    words = Counter(word for clip in clips for word in clip.text.split())
    tokens, count = sum(words.values()), max(len(clips), 1)
    return SplitFigures(
        clips=len(clips),
        frames=sum(lengths),
        hours=sum(clip.num_frames / clip.fps for clip in clips if clip.fps > 0) / 3600,
        mean_frames=sum(lengths) / count,
        min_frames=min(lengths, default=0),
        max_frames=max(lengths, default=0),
        sentences=len({clip.text for clip in clips}),
        words=tokens,
        mean_words=tokens / count,
        vocabulary=len(words),
        singletons=sum(times == 1 for times in words.values()),
        unseen_words=None if known is None else len(words.keys() - known),
        signers=len({clip.signer for clip in clips if clip.signer}),
        spans=sum(len(clip.spans) for clip in clips),
        megabytes=sum(sizes[clip.id] or 0 for clip in clips) / 1e6,
    )


def _problems(manifest: Manifest, sizes: dict[str, int | None]) -> list[str]:
    """Everything that training would stumble over, one line each."""
    problems = []
    missing = [clip.id for clip in manifest if sizes[clip.id] is None]
    empty = [clip.id for clip in manifest if sizes[clip.id] == 0]
    speechless = [clip.id for clip in manifest if not clip.text.strip()]
    frameless = [clip.id for clip in manifest if clip.num_frames < 1 or not clip.fps > 0]
    strangers = [clip.id for clip in manifest if clip.split not in SPLITS]
    for culprits, what in (
        (missing, "packed files missing"),
        (empty, "packed files of 0 bytes"),
        (speechless, "empty sentences"),
        (frameless, "clips without frames or rate"),
        (strangers, f"clips in splits other than {', '.join(SPLITS)}"),
    ):
        if culprits:
            problems.append(f"{what}: {len(culprits):,}: {name_some(culprits)}")
    absent = [split for split in SPLITS if all(clip.split != split for clip in manifest)]
    if absent:
        problems.append(f"no clips in split {' or '.join(absent)}")
    if overlap := overlap_warning(manifest.clips):
        problems.append(overlap)
    return problems + _told(manifest.corpus)


def _told(corpus: dict[str, Any]) -> list[str]:
    """What corpus.json says of itself: clips that could not be packed, in the words of the packing."""
    if not corpus:
        return ["corpus.json is missing or empty: language and frame size are unknown"]
    told = []
    for problem in corpus.get("problems", []):
        told.append(f"not packed: {problem.get('message', problem) if isinstance(problem, dict) else problem}")
    return told


def _size(path: Path) -> int | None:
    """Bytes of a file, None if it is not there."""
    try:
        return path.stat().st_size
    except OSError:
        return None
