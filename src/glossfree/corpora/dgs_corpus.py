"""The Public DGS Corpus (German Sign Language, conversations of two) -> clips, one for each translated sentence.

As its pages offer the files (release 3; the tiers of release 4 could not be confirmed): `ID.eaf` for each transcript,
`ID_1a1.mp4` and `ID_1b1.mp4` the videos of persons A and B, at 50 frames/s; all anywhere below ROOT. Of the ELAN files,
the tiers `Deutsche_Übersetzung_A` and `_B` hold the sentences (`language` "en": `Translation_into_English_A`, `_B`),
`Lexem_Gebärde_r_A` and `_l_A` the signs of either hand: those whose middle lies in a sentence are its glosses, which
only recipes with `supervision = "glosses"` read. Jokes have no translation.

The release has no splits. Without folders or `splits.csv`, ten transcripts each are dev and test: the split
`3.0.0-uzh-document` of github.com/sign-language-processing/datasets. Persons occur in several splits. How many
transcripts and sentences the release has could not be confirmed, and is not checked.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

from glossfree.corpora.files import Files, walk
from glossfree.corpora.manifest import Clip
from glossfree.corpora.recordings import Recording, assign_splits, clips_of, problems_of
from glossfree.corpora.sentencing import AS_THEY_ARE, changed_rules
from glossfree.errors import CorpusError
from glossfree.files.encoding import nfc
from glossfree.languages import base_language

CAMERAS = {"A": "1a1", "B": "1b1"}
SENTENCES = {"de": "Deutsche_Übersetzung", "en": "Translation_into_English"}
SIGNS = ("Lexem_Gebärde_r", "Lexem_Gebärde_l")
FPS = 50.0
LAYOUT = tuple(f"**/*_{camera}.mp4" for camera in CAMERAS.values())
DEV = {
    "1247641",
    "1209037",
    "1582841",
    "1429910-16075041-16115817",
    "1429959",
    "1414123",
    "1184746",
    "1413236",
    "1585269",
    "1212402",
}
TEST = {"1179868", "1179224", "1180022", "1187154", "1583214", "1984213", "1205821", "1418858", "1419122", "1182265"}


def clips(
    root: Path, split: str, *, limit: int | None = None, rules: Mapping[str, str] = {}, language: str | None = None
) -> Iterator[Clip]:
    """ROOT -> the clips of one split, by transcript, person and time, the first `limit` of them. Raises CorpusError."""
    return clips_of(_recordings(root, rules, language)[0], split, limit)


def check(root: Path, *, rules: Mapping[str, str] = {}, language: str | None = None) -> list[str]:
    """ROOT -> notes on splits, persons without a translation, missing videos, shared sentences. Raises CorpusError."""
    recordings, notes = _recordings(root, rules, language)
    return problems_of(recordings, notes)


def published_split(name: str) -> str:
    """The path of a transcript, without an ending -> its split in `3.0.0-uzh-document`."""
    transcript = PurePosixPath(name).name
    return "dev" if transcript in DEV else "test" if transcript in TEST else "train"


def _transcripts(root: Path) -> list[Path]:
    return sorted(here / name for here, names in walk(root) for name in names if name.lower().endswith(".eaf"))


def _recordings(root: Path, rules: Mapping[str, str], language: str | None) -> tuple[list[Recording], list[str]]:
    """ROOT -> a recording for each person of each transcript, and notes."""
    own, sentences = changed_rules(AS_THEY_ARE, rules), SENTENCES.get(base_language(language or "de"))
    if sentences is None:
        raise CorpusError(f"no sentences in {language!r}", where=root, remedy=f"--language {' or '.join(SENTENCES)}")
    files = Files(root)
    names = {nfc(path.relative_to(root).with_suffix("").as_posix()): path for path in _transcripts(root)}
    if not names:
        raise CorpusError("no .eaf in it", where=root, remedy="--root holds ID.eaf, ID_1a1.mp4 and ID_1b1.mp4")
    splits, notes = assign_splits(root, list(names), published_split, "as 3.0.0-uzh-document does")
    recordings = []
    for name, split in splits.items():
        path = names[name]
        for person, camera in CAMERAS.items():
            video = f"{path.stem}_{camera}"
            place = next(iter(files.by_id(video)), path.with_name(f"{video}.mp4"))
            signs = tuple(f"{sign}_{person}" for sign in SIGNS)
            tier = f"{sentences}_{person}"
            recordings.append(Recording(f"{path.stem}-{person}", split, place, path, tier, own, gloss_tiers=signs))
    return recordings, notes
