"""Files of corpora and runs -> what the pages show of them, kept in memory while the files are unchanged.

A page shows a few of a split's clips, but its order, its scores and its tests are those of the whole split: with 5,000
clips they take seconds. Each function keeps the KEPT results that were asked for last. What it returns is shared, so
callers must not change it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from glossfree.corpora.manifest import MANIFEST, Manifest
from glossfree.errors import GlossfreeError
from glossfree.files.encoding import nfc
from glossfree.report.diagnosis import diagnose, split_words
from glossfree.scoring.conventions import CONVENTIONS, Convention, convention_for
from glossfree.scoring.predictions import predictions_path, read_predictions
from glossfree.scoring.significance import compare
from glossfree.scoring.statistics import Statistics, chrf
from glossfree.text.pseudo_glosses import PSEUDO_GLOSSES, PseudoGlosses

SPLITS = ("dev", "test", "train")
KEPT = 8
COMPARED = ("metrics", "sentence_metric", "wins", "ties", "losses", "num_sentences", "samples")

Json = dict[str, Any]
Lines = tuple[Json, ...]
Version = tuple[int, int]  # of a file: nanoseconds of its last change, bytes


class MissingError(GlossfreeError):
    """Something that is not on the shelf."""

    status = 404


class QueryError(GlossfreeError):
    """A query that cannot be answered."""

    status = 422


@dataclass(frozen=True)
class Compared:
    """Two runs on the clips that both have: `facts` (see `Comparison`), and `clips`, the largest change first: the line
    of each run and the sentence's chrF by each, 0-100."""

    facts: Json
    clips: tuple[tuple[Json, Json, float, float], ...]


def manifest_of(corpus: Path) -> Manifest:
    """The manifest of a prepared folder. Raises CorpusError."""
    return _manifest(corpus, _version(corpus / MANIFEST))


def pseudo_glosses_of(corpus: Path) -> Mapping[str, tuple[str, ...]]:
    """{sentence: its pseudo-glosses} of a prepared folder; {} without them. Raises CorpusError."""
    path = corpus / PSEUDO_GLOSSES
    return _pseudo_glosses(path, _version(path)) if path.is_file() else {}


def training_sentences(corpus: Path) -> frozenset[str]:
    """The training sentences of a prepared folder, each as its words with spaces between. Raises CorpusError."""
    return _training_sentences(corpus, _version(corpus / MANIFEST))


def scored_lines(run: Path, split: str, language: str) -> Lines:
    """The predictions of a split: id, hypothesis, reference, log_probability, and the sentence's chrF, 0-100.

    `language` "": not known, so that words are scored as they are. Raises QueryError, MissingError, RunError.
    """
    return _scored_lines(run, split, _version_of_split(run, split), language)


def diagnosis_of(run: Path, split: str, corpus: Path) -> Json:
    """The error analysis of a split. Raises QueryError, MissingError, RunError, CorpusError."""
    return _diagnosis(run, split, _version_of_split(run, split), corpus, _version(corpus / MANIFEST))


def compare_lines(first: Path, second: Path, split: str, language: str) -> Compared:
    """Run `second` against run `first`. Raises QueryError, also without a clip in common, MissingError, RunError."""
    versions = _version_of_split(first, split), _version_of_split(second, split)
    return _compared(first, second, split, versions, language)


def _version(path: Path) -> Version:
    """The version of a file; (0, 0) without one."""
    if not path.is_file():
        return 0, 0
    facts = path.stat()
    return facts.st_mtime_ns, facts.st_size


def _version_of_split(run: Path, split: str) -> Version:
    """The version of the predictions of a split. Raises QueryError, MissingError."""
    if split not in SPLITS:
        raise QueryError(f"unknown split {split!r}", where="split", remedy=f"one of {', '.join(SPLITS)}")
    path = predictions_path(run, split)
    if not path.is_file():
        raise MissingError(f"no predictions of {split}", where=run.name, remedy="make them with: glossfree evaluate")
    return _version(path)


@lru_cache(maxsize=KEPT)
def _manifest(folder: Path, version: Version) -> Manifest:
    return Manifest.load(folder)


@lru_cache(maxsize=KEPT)
def _pseudo_glosses(path: Path, version: Version) -> Mapping[str, tuple[str, ...]]:
    glosses = PseudoGlosses.load(path)
    known = set(glosses.inventory)
    return {text: tuple(name for name in names if name in known) for text, names in glosses.sentences.items()}


@lru_cache(maxsize=KEPT)
def _training_sentences(corpus: Path, version: Version) -> frozenset[str]:
    clips = _manifest(corpus, version)
    return frozenset(" ".join(split_words(clip.text)) for clip in clips if clip.split == "train")


@lru_cache(maxsize=KEPT)
def _lines(run: Path, split: str, version: Version) -> Lines:
    predictions = read_predictions(run, split)  # checks every line
    text = predictions_path(run, split).read_text(encoding="utf-8")
    values = (json.loads(line) for line in text.split("\n") if line)
    references = {nfc(str(each["id"])): str(each.get("reference", "")) for each in values}
    return tuple(
        {"id": id, "hypothesis": each.text, "reference": references[id], "log_probability": each.score}
        for id, each in predictions.items()
    )


@lru_cache(maxsize=KEPT)
def _scored_lines(run: Path, split: str, version: Version, language: str) -> Lines:
    lines = _lines(run, split, version)
    texts = [line["hypothesis"] for line in lines], [line["reference"] for line in lines]
    scores = chrf(Statistics.of(*texts, _convention(language)).table).tolist()
    return tuple({**line, "chrf": score} for line, score in zip(lines, scores, strict=True))


@lru_cache(maxsize=KEPT)
def _diagnosis(run: Path, split: str, version: Version, corpus: Path, corpus_version: Version) -> Json:
    manifest = _manifest(corpus, corpus_version)
    lines = _lines(run, split, version)
    result = diagnose(
        {line["id"]: line["hypothesis"] for line in lines},
        {line["id"]: line["reference"] for line in lines},
        training=[clip.text for clip in manifest if clip.split == "train"],
        language=manifest.language,
        signers={clip.id: clip.signer for clip in manifest},
    )
    return asdict(result)


@lru_cache(maxsize=KEPT)
def _compared(first: Path, second: Path, split: str, versions: tuple[Version, Version], language: str) -> Compared:
    theirs = {line["id"]: line for line in _lines(second, split, versions[1])}
    pairs = [(line, theirs[line["id"]]) for line in _lines(first, split, versions[0]) if line["id"] in theirs]
    if not pairs:
        problem = f"runs {first.name!r} and {second.name!r} have no clip of {split!r} in common"
        raise QueryError(problem, where="compare", remedy="compare runs on one corpus")
    references = [ours["reference"] for ours, _ in pairs]
    sides = [
        Statistics.of([line["hypothesis"] for line in lines], references, _convention(language))
        for lines in zip(*pairs, strict=True)
    ]
    values = asdict(compare(*sides))
    scores = [chrf(side.table).tolist() for side in sides]
    clips = [(*pair, *each) for pair, each in zip(pairs, zip(*scores, strict=True), strict=True)]
    clips.sort(key=lambda clip: -abs(clip[3] - clip[2]))
    return Compared({name: values[name] for name in COMPARED}, tuple(clips))


def _convention(language: str) -> Convention:
    """The default convention of a language; words as they are, if the language is not known."""
    return convention_for(language) if language else CONVENTIONS["plain"]
