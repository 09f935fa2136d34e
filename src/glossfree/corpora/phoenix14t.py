"""RWTH-PHOENIX-Weather 2014 T in its official layout -> clips (paper 4.1: 7,096 / 519 / 642 sentences).

Under ROOT: `annotations/manual/PHOENIX-2014-T.{split}.corpus.csv` with `name|video|start|end|speaker|orth|translation`
(no quoting) and `features/fullFrame-210x260px/{split}/{name}/images0001.png ...` at 25 frames/s. ROOT may be the
folder that holds both, the release's top folder, or the folder above that.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from glossfree.corpora.checks import is_safe_id, overlap_warning
from glossfree.corpora.files import Files, is_companion
from glossfree.corpora.manifest import SPLITS, Clip, FrameFolder
from glossfree.errors import CorpusError, name_some, shortened
from glossfree.files.encoding import nfc, read_text, split_lines
from glossfree.files.tables import form_notes, is_composed, name_columns

COUNTS = {"train": 7096, "dev": 519, "test": 642}
FPS = 25.0
ANNOTATIONS = Path("annotations/manual")
FRAMES = Path("features/fullFrame-210x260px")
_TOPS = (".", "PHOENIX-2014-T", "PHOENIX-2014-T-release-v3/PHOENIX-2014-T")
_NEEDED = ("name", "speaker", "orth", "translation")


@dataclass(frozen=True)
class Annotation:
    """One line of an annotation file. The glosses never reach training: the avatar draws them, nothing else."""

    name: str
    speaker: str
    glosses: tuple[str, ...]
    text: str


def find_top(root: Path) -> Path:
    """ROOT as the user gave it -> the folder with `annotations/` in it. Raises CorpusError if there is none."""
    for top in _TOPS:
        if (root / top / ANNOTATIONS).is_dir():
            return root / top
    raise CorpusError(
        f"no folder {ANNOTATIONS} in it",
        where=root,
        remedy="--root is the release's folder PHOENIX-2014-T, which holds annotations/ and features/",
    )


def annotation_path(folder: Path, split: str) -> Path:
    """Where the annotations of a split lie in the folder that holds the three files."""
    return folder / f"PHOENIX-2014-T.{split}.corpus.csv"


def read_annotations(path: Path) -> list[Annotation]:
    """One annotation file -> its lines, in order, in NFC.

    Raises CorpusError with the line: file or column missing, wrong number of fields, duplicate name, a name that is no
    file name, empty translation. Empty lines are passed over.
    """
    if not path.is_file():
        raise CorpusError("missing annotation file", where=path, remedy="unpack the release's annotations/ again")
    header, *lines = split_lines(read_text(path)) or [""]
    columns = nfc(header).split("|")
    absent = [column for column in _NEEDED if column not in columns]
    if absent:
        raise CorpusError(
            f"missing column {', '.join(absent)}; columns here: {name_columns(columns)}",
            where=path,
            remedy="columns are name|video|start|end|speaker|orth|translation",
        )
    annotations: dict[str, Annotation] = {}
    for number, line in enumerate(lines, start=2):
        if not line.strip():
            continue
        fields = nfc(line).split("|")
        where = f"{path}, line {number}"
        if len(fields) != len(columns):
            raise CorpusError(
                f"{len(fields)} fields, {len(columns)} expected", where=where, remedy="one '|' between two fields"
            )
        row = dict(zip(columns, fields, strict=True))
        annotation = _annotation(row, where)
        if annotation.name in annotations:
            raise CorpusError(f"duplicate name {annotation.name!r}", where=where, remedy="keep one of the two lines")
        annotations[annotation.name] = annotation
    return list(annotations.values())


def _annotation(row: dict[str, str], where: str) -> Annotation:
    name = row["name"].strip()
    if not is_safe_id(name):
        raise CorpusError(
            f"name {shortened(name)!r} is no file name", where=where, remedy="letters, digits, '-', '_' and '.'"
        )
    text = row["translation"].strip()
    if not text:
        raise CorpusError(f"empty translation of {name!r}", where=where, remedy="write the sentence, or drop the line")
    return Annotation(name, row["speaker"].strip(), tuple(row["orth"].split()), text)


def clips(root: Path | None, split: str, *, limit: int | None = None) -> Iterator[Clip]:
    """ROOT -> the clips of one split in the order of the annotations, the first `limit` of them.

    A missing frame folder is no error here: `check` lists them all, and packing reports each one.
    """
    if root is None:
        raise CorpusError("needs --root", where="phoenix14t", remedy="--root is the release's folder PHOENIX-2014-T")
    top = find_top(root)
    files = Files(top / FRAMES / split)
    for annotation in read_annotations(annotation_path(top / ANNOTATIONS, split))[:limit]:
        places = files.by_path(PurePosixPath(annotation.name)) or [files.root / annotation.name]
        source = FrameFolder(places[0])
        yield Clip(annotation.name, split, annotation.text, source, signer=annotation.speaker, fps=FPS)


def check(root: Path) -> list[str]:
    """ROOT -> what is missing or odd in it, by name: counts, frame folders, names and sentences in two splits.

    Raises CorpusError where the annotations themselves cannot be used.
    """
    found = [clip for split in SPLITS for clip in clips(root, split)]
    problems = []
    first_split: dict[str, str] = {}
    for clip in found:
        if first_split.setdefault(clip.id, clip.split) != clip.split:
            problems.append(f"name {clip.id!r} stands in {first_split[clip.id]} and in {clip.split}")
    for split in SPLITS:
        here = [clip for clip in found if clip.split == split]
        if len(here) != COUNTS[split]:
            problems.append(f"{split}: {len(here):,} clips, {COUNTS[split]:,} in the release")
        missing = [clip.id for clip in here if isinstance(clip.source, FrameFolder) and _is_empty(clip.source.path)]
        if missing:
            noun = "frame folder" if len(missing) == 1 else "frame folders"
            problems.append(f"{split}: {len(missing):,} {noun} missing or empty: {name_some(missing)}")
    problems += form_warnings(find_top(root) / ANNOTATIONS)
    warning = overlap_warning(found)
    return [*problems, warning] if warning else problems


def form_warnings(folder: Path) -> list[str]:
    """How many annotations of the files in a folder are not in composed Unicode form, for the user."""
    paths = [annotation_path(folder, split) for split in SPLITS]
    lines = [line for path in paths if path.is_file() for line in split_lines(read_text(path))[1:]]
    return list(form_notes(sum(not is_composed(line) for line in lines), len(lines), "annotations"))


def _is_empty(folder: Path) -> bool:
    """Whether a folder is not there or holds nothing; looks at few entries only (there are 8,257 folders)."""
    try:
        with os.scandir(folder) as entries:
            return all(is_companion(entry.name) for entry in entries)
    except OSError:
        return True
