"""Long videos with captions -> clips, one for each sentence: what corpora of captions beside videos share.

A recording has one split. Where neither the corpus nor its folders say which, a table `splits.csv` (`.tsv`, `.jsonl`)
in ROOT does, with the columns `path` or `id` and `split`; without one, a hash of the video's name: 80 % train, 10 %
dev, 10 % test, the same on every machine and whatever else lies in ROOT.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath

from glossfree.corpora import release
from glossfree.corpora.captions import Caption, read_captions, read_tiers
from glossfree.corpora.files import safe_id
from glossfree.corpora.manifest import SPLITS, Clip, Segment, VideoFile
from glossfree.corpora.segments import segment_label
from glossfree.corpora.sentencing import RULES, Rules, sentences
from glossfree.errors import CorpusError, name_groups, name_some, shortened
from glossfree.files.encoding import nfc
from glossfree.files.tables import read_table, rename_columns, split_of

TABLES = ("splits.csv", "splits.tsv", "splits.jsonl")
Split = Callable[[str], str]  # name of a video -> its split


@dataclass(frozen=True)
class Recording:
    """A long video, which may be missing, and the file with its captions; `tier` is that of an .eaf.

    A caption that contains `unsigned` is not signed, and dropped. With `gloss_tiers`, tiers of an .eaf with signs in
    time, any of the tiers may be missing.
    """

    id: str
    split: str
    video: Path
    captions: Path
    tier: str | None = None
    rules: Rules = RULES
    unsigned: str = ""
    gloss_tiers: tuple[str, ...] = ()

    def read(self) -> tuple[list[Caption], list[Caption]]:
        """Its captions, impossible ones (`Caption.is_possible`) among them, and its signs, by their middles.

        Raises CorpusError as `read_captions` does without `check_times`.
        """
        if not self.gloss_tiers:
            return read_captions(self.captions, tier=self.tier, media=self.video, check_times=False), []
        tiers = read_tiers(self.captions, [self.tier or "", *self.gloss_tiers], media=self.video)
        captions = tiers.pop(self.tier or "", [])
        signs = [sign for tier in tiers.values() for sign in tier]
        return captions, sorted(signs, key=lambda sign: sign.start + sign.end)

    def cut(self, captions: Sequence[Caption], signs: Sequence[Caption]) -> Iterator[Clip]:
        """What `read` returns -> a clip for each sentence, named by its times.

        Signs whose middle lies in the sentence are its glosses. Impossible captions are left out.
        """
        middles = [(sign.start + sign.end) / 2 for sign in signs]
        signed = [each for each in captions if not self.unsigned or self.unsigned not in each.text]
        seen: Counter[str] = Counter()
        for sentence in sentences([each for each in signed if each.is_possible], self.rules):
            segment = Segment(sentence.start, sentence.end)
            name = f"{self.id}__{segment_label(segment)}"
            seen[name] += 1
            inside = slice(bisect_left(middles, sentence.start), bisect_left(middles, sentence.end))
            yield Clip(
                safe_id(name if seen[name] == 1 else f"{name}-{seen[name]}"),
                self.split,
                nfc(sentence.text),
                VideoFile(self.video, segment),
                glosses=tuple(word for sign in signs[inside] for word in nfc(sign.text).split()),
            )


def clips_of(recordings: Iterable[Recording], split: str, limit: int | None = None) -> Iterator[Clip]:
    """Recordings -> the first `limit` clips of a split, in order.

    Those without a video, or with captions that cannot be read, are left out; `problems_of` names them. Raises
    CorpusError if no captions can be read.
    """

    def every() -> Iterator[Clip]:
        errors, count = [], 0
        for recording in recordings:
            if recording.split == split and recording.video.is_file():
                try:
                    yield from recording.cut(*recording.read())
                    count += 1
                except CorpusError as error:
                    errors.append(error)
        if errors and not count:
            raise errors[0]

    yield from islice(every(), limit)


def problems_of(recordings: Sequence[Recording], notes: Iterable[str] = ()) -> list[str]:
    """Recordings -> what is missing, cannot be read or holds no sentence, `notes`, empty splits, shared sentences.

    Raises CorpusError if no video is there, or no captions can be read.
    """
    if not recordings:
        raise CorpusError("captions of no video", remedy="check --root")
    if not any(recording.video.is_file() for recording in recordings):
        names = name_some([str(recording.video) for recording in recordings], limit=3)
        raise CorpusError(f"none of the videos is there: {names}", remedy="copy them there, or check --root")
    clips: list[Clip] = []
    errors: dict[str, CorpusError] = {}
    empty, impossible, used = [], [], set()
    for recording in recordings:
        try:
            captions, signs = recording.read()
        except CorpusError as error:
            errors[recording.id] = error
            continue
        own = list(recording.cut(captions, signs))
        clips += own
        impossible += [f"{recording.id} at {each.start:g} s" for each in captions if not each.is_possible]
        empty += [] if own else [recording.id]
        used |= {recording.split} if own and recording.video.is_file() else set()
    if len(errors) == len(recordings):
        raise next(iter(errors.values()))
    culprits = {
        "captions that cannot be read": [f"{name} ({error.problem})" for name, error in errors.items()],
        "captions without a sentence": empty,
        "captions that end before they begin or begin before the video, left out": impossible,
    }
    faults = [*name_groups(culprits), *(f"no clip in split {split}" for split in SPLITS if split not in used)]
    return release.problems_of(clips, {}, notes=[*notes, *faults], oddity="videos missing, left out")


def hashed_split(name: str) -> str:
    """The name of a video -> train (80 %), dev or test (10 % each), by a hash."""
    tenth = int.from_bytes(hashlib.sha256(nfc(name).encode()).digest()[:4], "big") % 10
    return {0: "dev", 1: "test"}.get(tenth, "train")


def assign_splits(
    root: Path, names: Sequence[str], split: Split = hashed_split, rule: str = "by a hash of the video's name"
) -> tuple[dict[str, str], list[str]]:
    """Names of videos (paths relative to ROOT, without an ending) -> {name: split}, and notes on how.

    Folders decide first, then the table, then `split`, which `rule` describes. Without an entry in the table, a video
    has no split. Raises CorpusError: only some videos are in folders of splits, an unusable table.
    """
    folders = {name: [split_of(part.lower()) for part in PurePosixPath(name).parts[:-1]] for name in names}
    placed = {name: next((part for part in parts if part in SPLITS), "") for name, parts in folders.items()}
    if any(placed.values()):
        others = [name for name, place in placed.items() if not place]
        if others:
            problem = f"{len(others):,} videos are in no folder of a split: {name_some(others)}"
            raise CorpusError(problem, where=root, remedy=f"put them into {', '.join(SPLITS)}, too, or all elsewhere")
        return placed, []
    table = next((root / name for name in TABLES if (root / name).is_file()), None)
    if table is None:
        splits = {name: split(name) for name in names}
        return splits, [f"splits are made {rule}: {_counted(splits)} videos; folders or {TABLES[0]} say otherwise"]
    return _tabulated(table, names)


def _tabulated(path: Path, names: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """The table of splits -> {name: split}, and notes: videos without a row, rows without a video."""
    table = rename_columns(read_table(path), ("id", "path", "split"))
    missing = [column for column in ("split",) if column not in table.columns]
    missing += [] if {"id", "path"} & set(table.columns) else ["path (or id)"]
    if missing:
        raise CorpusError(f"missing column {', '.join(missing)}", where=path, remedy="columns path and split")
    by_name = {nfc(PurePosixPath(name).name): name for name in reversed(names)} | {nfc(name): name for name in names}
    splits: dict[str, str] = {}
    unknown = []
    for row in table.rows:
        reference = (row.fields.get("path") or row.fields.get("id", "")).strip().replace("\\", "/")
        split = split_of(row.fields.get("split", "").strip())
        if split not in SPLITS:
            problem = f"split {shortened(split, 40)!r}"
            raise CorpusError(problem, where=f"{path}, line {row.line}", remedy=f"one of {', '.join(SPLITS)}")
        if not PurePosixPath(reference).name:
            raise CorpusError("neither a path nor an id", where=f"{path}, line {row.line}", remedy="name the video")
        name = by_name.get(reference) or by_name.get(str(PurePosixPath(reference).with_suffix("")))
        if name is None:
            unknown.append(reference)
        elif splits.setdefault(name, split) != split:
            problem = f"{shortened(reference)!r} is in {splits[name]} and in {split}"
            raise CorpusError(problem, where=f"{path}, line {row.line}", remedy="a video has one split")
    culprits = {
        f"videos without a split in {path.name}, left out": [name for name in names if name not in splits],
        f"rows of {path.name} without a video": unknown,
    }
    return splits, [*table.notes, *name_groups(culprits)]


def _counted(splits: Mapping[str, str]) -> str:
    counts = Counter(splits.values())
    return ", ".join(f"{counts[split]:,} {split}" for split in SPLITS)
