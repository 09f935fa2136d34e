"""PHOENIX14T's annotations -> clips of a drawn signer: real sentences in real gloss order, drawn signs.

Needs only the three files `PHOENIX-2014-T.{train,dev,test}.corpus.csv`, in ROOT itself or where the release has them.
The glosses of column `orth` are drawn one after another; they are known to the renderer and to the sign spans of the
manifest, never to training. Any two signs differ in at least two of handshape, place, movement and orientation.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from glossfree.avatar.signer import SIGNERS
from glossfree.avatar.signing import FPS, SignedSentence
from glossfree.avatar.signs import Sign, lexicon
from glossfree.corpora import phoenix14t
from glossfree.corpora.checks import overlap_warning
from glossfree.corpora.manifest import SPLITS, Clip
from glossfree.corpora.phoenix14t import Annotation, annotation_path, find_top, read_annotations
from glossfree.errors import CorpusError, name_some

__all__ = ["FPS", "check", "clips"]


def clips(
    root: Path | None, split: str, *, limit: int | None = None, fps: float = FPS, seed: int = 0
) -> Iterator[Clip]:
    """ROOT -> the clips of one split in the order of the annotations, the first `limit` of them.

    The signer, one of nine, and the clip's own chance come from its name and `seed`. Where no gloss was annotated (four
    clips of PHOENIX14T) the signer stands still. Raises CorpusError: no root, file or column missing, empty sentence
    (with file and line).
    """
    path = _find(root, split)
    annotations = read_annotations(path)
    signs = lexicon(_inventory(path.parent))
    for annotation in annotations[:limit]:
        drawing = _draw(annotation, signs, fps, seed)
        signer = f"signer{drawing.signer}"
        yield Clip(annotation.name, split, annotation.text, drawing, signer, drawing.spans, fps)


def check(root: Path) -> list[str]:
    """ROOT -> what is odd in it: counts unlike the release's, no glosses, names and sentences in two splits."""
    problems = []
    found = [clip for split in SPLITS for clip in clips(root, split)]
    first_split: dict[str, str] = {}
    for clip in found:
        if first_split.setdefault(clip.id, clip.split) != clip.split:
            problems.append(f"name {clip.id!r} stands in {first_split[clip.id]} and in {clip.split}")
    for split in SPLITS:
        here = [clip for clip in found if clip.split == split]
        if len(here) != phoenix14t.COUNTS[split]:
            problems.append(f"{split}: {len(here):,} clips, {phoenix14t.COUNTS[split]:,} in the release")
        still = [clip.id for clip in here if not clip.spans]
        if still:
            noun = "clip without a gloss" if len(still) == 1 else "clips without a gloss"
            problems.append(f"{split}: {len(still):,} {noun}, the signer stands still: {name_some(still)}")
    problems += phoenix14t.form_warnings(_find(root, "train").parent)
    warning = overlap_warning(found)
    return [*problems, warning] if warning else problems


def _find(root: Path | None, split: str) -> Path:
    """The annotation file of a split: in ROOT itself, else where the release has it."""
    if root is None:
        raise CorpusError(
            "needs --root", where="phoenix14t-avatar", remedy="--root is the folder with PHOENIX14T's annotation files"
        )
    # Any of the three files says that ROOT itself is meant; a missing one is then reported by its own path.
    if any(annotation_path(root, name).exists() for name in SPLITS):
        return annotation_path(root, split)
    try:
        return annotation_path(find_top(root) / phoenix14t.ANNOTATIONS, split)
    except CorpusError as error:
        raise CorpusError(
            f"no {annotation_path(root, split).name} in it",
            where=root,
            remedy=f"--root is the folder with the three files, or the release's, with {phoenix14t.ANNOTATIONS}/",
        ) from error


def _inventory(folder: Path) -> set[str]:
    """The glosses of all splits whose file is there: a sign must look the same in each of them."""
    paths = [annotation_path(folder, split) for split in SPLITS]
    lines = (annotation for path in paths if path.is_file() for annotation in read_annotations(path))
    return {gloss for annotation in lines for gloss in annotation.glosses}


def _draw(annotation: Annotation, signs: dict[str, Sign], fps: float, seed: int) -> SignedSentence:
    """One annotation -> the drawing of its glosses."""
    digest = hashlib.sha256(f"{seed}/{annotation.name}".encode()).digest()
    signer = int.from_bytes(digest[:4], "big") % len(SIGNERS)
    chosen = tuple(signs[gloss] for gloss in annotation.glosses)
    return SignedSentence(annotation.glosses, signer, int.from_bytes(digest[4:8], "big"), fps, chosen)
