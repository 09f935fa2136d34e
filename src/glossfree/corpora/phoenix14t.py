"""RWTH-PHOENIX-Weather 2014 T -> clips (paper 4.1: 7,096 / 519 / 642 sentences), from its videos or drawn.

The release has `annotations/manual/PHOENIX-2014-T.{split}.corpus.csv` with
`name|video|start|end|speaker|orth|translation` and `features/fullFrame-210x260px/{split}/{name}/images0001.png ...` at
25 frames/s. ROOT may be the folder that holds both, the release's top folder, or the folder above that.

The drawn corpus, `phoenix14t-avatar`, needs only the three annotation files, which may also be in ROOT itself. The
avatar signs the glosses of column `orth`. Both corpora write them into the manifest, where only recipes with
`supervision = "glosses"` read them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from glossfree.avatar import signing
from glossfree.avatar.signer import SIGNERS
from glossfree.avatar.signs import lexicon
from glossfree.corpora.files import Files, is_safe_id
from glossfree.corpora.manifest import SPLITS, Clip, FrameFolder
from glossfree.corpora.release import problems_of
from glossfree.errors import CorpusError, shortened
from glossfree.files.tables import read_columns, read_table

COUNTS = {"train": 7096, "dev": 519, "test": 642}
FPS = 25.0
LICENSE = "cc-by-nc-sa-3.0"
ANNOTATIONS = Path("annotations/manual")
FRAMES = Path("features/fullFrame-210x260px")
_TOPS = (".", "PHOENIX-2014-T", "PHOENIX-2014-T-release-v3/PHOENIX-2014-T")
_NEEDED = ("name", "speaker", "orth", "translation")
_REMEDY = "--root is the release's folder PHOENIX-2014-T, which holds annotations/ and features/"


@dataclass(frozen=True)
class Annotation:
    """One line of an annotation file."""

    name: str
    speaker: str
    glosses: tuple[str, ...]
    text: str


def find_top(root: Path) -> Path:
    """ROOT -> the folder that contains `annotations/`. Raises CorpusError if there is none."""
    for top in _TOPS:
        if (root / top / ANNOTATIONS).is_dir():
            return root / top
    raise CorpusError(f"no folder {ANNOTATIONS} in it", where=root, remedy=_REMEDY)


def annotation_path(folder: Path, split: str) -> Path:
    """The annotation file of a split in the folder of the three files."""
    return folder / f"PHOENIX-2014-T.{split}.corpus.csv"


def annotations_folder(root: Path) -> Path:
    """The folder of the annotation files: ROOT if it contains one, else the release's folder below it."""
    if any(annotation_path(root, split).is_file() for split in SPLITS):
        return root
    try:
        return find_top(root) / ANNOTATIONS
    except CorpusError as error:
        remedy = f"--root is the folder with the three files, or the release's, with {ANNOTATIONS}/"
        raise CorpusError(f"no {annotation_path(root, 'train').name} in it", where=root, remedy=remedy) from error


def read_annotations(path: Path) -> list[Annotation]:
    """One annotation file -> its lines, in order, in NFC.

    Raises CorpusError with the line: missing file or column, wrong number of fields, duplicate name, a name that is not
    a file name, empty translation.
    """
    if not path.is_file():
        raise CorpusError("missing annotation file", where=path, remedy="unpack the release's annotations/ again")
    annotations: dict[str, Annotation] = {}
    for row in read_columns(path, _NEEDED).rows:
        name, speaker, glosses, text = (row.fields[column].strip() for column in _NEEDED)
        where = f"{path}, line {row.line}"
        if not is_safe_id(name):
            problem = f"name {shortened(name)!r} is not a file name"
            raise CorpusError(problem, where=where, remedy="letters, digits, '-', '_' and '.'")
        if name in annotations:
            raise CorpusError(f"duplicate name {name!r}", where=where, remedy="keep one of the two lines")
        if not text:
            remedy = "write the sentence, or drop the line"
            raise CorpusError(f"empty translation of {name!r}", where=where, remedy=remedy)
        annotations[name] = Annotation(name, speaker, tuple(glosses.split()), text)
    return list(annotations.values())


def clips(root: Path, split: str, *, limit: int | None = None) -> Iterator[Clip]:
    """ROOT -> the clips of one split in the order of the annotations, the first `limit` of them.

    A missing frame folder is not an error here: `check` lists them, and packing reports each.
    """
    top = find_top(root)
    files = Files(top / FRAMES / split)
    for annotation in read_annotations(annotation_path(top / ANNOTATIONS, split))[:limit]:
        places = files.by_path(PurePosixPath(annotation.name)) or [files.root / annotation.name]
        source = FrameFolder(places[0])
        glosses = annotation.glosses
        yield Clip(annotation.name, split, annotation.text, source, annotation.speaker, fps=FPS, glosses=glosses)


def drawn_clips(
    root: Path, split: str, *, limit: int | None = None, fps: float = signing.FPS, seed: int = 0
) -> Iterator[Clip]:
    """ROOT -> the drawn clips of one split in the order of the annotations, the first `limit` of them.

    The clip's name and `seed` determine the signer, one of nine, and the seed of the drawing. Without glosses (as in
    four clips of PHOENIX14T) the signer stands still.
    """
    folder = annotations_folder(root)
    paths = {name: annotation_path(folder, name) for name in SPLITS}
    # The lexicon has the glosses of all annotation files, so that a sign looks the same in every split.
    annotations = {name: read_annotations(path) for name, path in paths.items() if name == split or path.is_file()}
    signs = lexicon(gloss for lines in annotations.values() for line in lines for gloss in line.glosses)
    for annotation in annotations[split][:limit]:
        digest = hashlib.sha256(f"{seed}/{annotation.name}".encode()).digest()
        signer, clip_seed = int.from_bytes(digest[:4], "big") % len(SIGNERS), int.from_bytes(digest[4:8], "big")
        glosses = annotation.glosses
        signed = tuple(signs[gloss] for gloss in glosses)
        drawing = signing.SignedSentence(glosses, signer, clip_seed, fps, signed)
        yield Clip(annotation.name, split, annotation.text, drawing, f"signer{signer}", drawing.spans, fps, glosses)


def check(root: Path) -> list[str]:
    """ROOT -> its problems: counts unlike the release's, missing frames, names and sentences in several splits.

    Raises CorpusError for annotations that cannot be used.
    """
    every_clip = [clip for split in SPLITS for clip in clips(root, split)]
    notes = _notes(find_top(root) / ANNOTATIONS)
    return problems_of(every_clip, COUNTS, notes=notes, oddity="frame folders missing or empty")


def check_drawn(root: Path, *, seed: int = 0) -> list[str]:
    """ROOT -> its problems: counts unlike the release's, no glosses, names and sentences in several splits."""
    every_clip = [clip for split in SPLITS for clip in drawn_clips(root, split, seed=seed)]
    notes, oddity = _notes(annotations_folder(root)), "clips without a gloss"
    return problems_of(every_clip, COUNTS, notes=notes, oddity=oddity, is_odd=lambda clip: not clip.spans)


def _notes(folder: Path) -> list[str]:
    """How the annotation files in a folder were read."""
    return [f"{split}: {note}" for split in SPLITS for note in read_table(annotation_path(folder, split)).notes]
