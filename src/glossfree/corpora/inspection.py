"""A prepared folder -> counts, lengths, vocabulary and problems, as values and as a table of plain text.

Reads the manifest and the sizes of the packed files, but opens none of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from glossfree.console import Result, aligned
from glossfree.corpora.manifest import CORPUS, SPLITS, Manifest, PackedClip, overlap_warning, title_of
from glossfree.errors import name_groups


def _row(label: str, form: str = "{:,}") -> Any:
    """A field with its label and number format in the table."""
    return field(metadata={"label": label, "form": form})


@dataclass(frozen=True)
class SplitFigures:
    """One split in numbers. `words` counts tokens, `vocabulary` distinct words; both are split at white space.

    `singletons`: words that occur once in this split. `unseen_words`: distinct words of this split that are not in the
    training split (None for the training split itself). `megabytes`: 10^6 bytes.
    """

    clips: int = _row("clips")
    frames: int = _row("frames")
    hours: float = _row("hours", "{:.2f}")
    mean_frames: float = _row("frames a clip, mean", "{:.1f}")
    min_frames: int = _row("frames a clip, min")
    max_frames: int = _row("frames a clip, max")
    sentences: int = _row("distinct sentences")
    words: int = _row("words")
    mean_words: float = _row("words a sentence, mean", "{:.1f}")
    vocabulary: int = _row("vocabulary")
    singletons: int = _row("words that occur once")
    unseen_words: int | None = _row("vocabulary not in train")
    signers: int = _row("signers")
    spans: int = _row("sign spans")
    glossed: int = _row("clips with glosses")
    megabytes: float = _row("MB on disk", "{:.1f}")


@dataclass(frozen=True)
class Inspection(Result):
    """A prepared folder in numbers, and its problems. `total` covers all splits."""

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
        lines = [f"{self.out}: {', '.join([title_of(self.corpus, 'no name'), *about])}", ""]
        columns = {**self.splits, "all": self.total}
        cells = [["", *columns]]
        for row in fields(SplitFigures):
            values = [getattr(figures, row.name) for figures in columns.values()]
            written = ["" if value is None else row.metadata["form"].format(value) for value in values]
            cells.append([row.metadata["label"], *written])
        lines += [*aligned(cells), ""]
        lines += [f"problem: {problem}" for problem in self.problems] or ["no problems"]
        return "\n".join(lines)


def inspect(out: Path) -> Inspection:
    """A prepared folder -> its figures and problems. Raises CorpusError if it has no valid manifest."""
    manifest = Manifest.load(out)
    sizes = {clip.id: clip.num_bytes(manifest.folder) for clip in manifest}
    known = {word for clip in manifest if clip.split == "train" for word in clip.text.split()}
    by_split: dict[str, list[PackedClip]] = {name: [] for name in SPLITS}
    for clip in sorted(manifest, key=lambda clip: clip.split):
        by_split.setdefault(clip.split, []).append(clip)
    splits = {
        name: _figures(clips, sizes, None if name == "train" else known) for name, clips in by_split.items() if clips
    }
    total = _figures(manifest.clips, sizes, None)
    return Inspection(manifest.folder, manifest.corpus, splits, total, tuple(_problems(manifest, sizes)))


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
        glossed=sum(bool(clip.glosses) for clip in clips),
        megabytes=sum(sizes[clip.id] or 0 for clip in clips) / 1e6,
    )


def _problems(manifest: Manifest, sizes: dict[str, int | None]) -> list[str]:
    """Everything that would make training fail or mislead, one line each."""
    culprits = {
        "packed files missing": [clip.id for clip in manifest if sizes[clip.id] is None],
        "packed files of 0 bytes": [clip.id for clip in manifest if sizes[clip.id] == 0],
        "empty sentences": [clip.id for clip in manifest if not clip.text.strip()],
        "clips without frames or rate": [clip.id for clip in manifest if clip.num_frames < 1 or not clip.fps > 0],
        f"clips in splits other than {', '.join(SPLITS)}": [c.id for c in manifest if c.split not in SPLITS],
    }
    problems = name_groups(culprits)
    absent = [split for split in SPLITS if all(clip.split != split for clip in manifest)]
    if absent:
        problems.append(f"no clips in split {' or '.join(absent)}")
    if overlap := overlap_warning(manifest.clips):
        problems.append(overlap)
    if not manifest.corpus:
        problems.append(f"{CORPUS} is missing or empty: language and frame size are unknown")
    elif not manifest.corpus.get("language"):
        problems.append(f"{CORPUS} names no language")
    for problem in manifest.corpus.get("problems", []):  # as packing reported them
        problems.append(f"not packed: {problem.get('message', problem) if isinstance(problem, dict) else problem}")
    return problems
