"""What the scores of any system rest on: which references, which language, how files were read, odd texts."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from glossfree.corpora.manifest import MANIFEST, Manifest
from glossfree.errors import CorpusError, RunError
from glossfree.scoring.conventions import CONVENTION_OF_LANGUAGE, Convention
from glossfree.scoring.metrics import COLUMNS
from glossfree.scoring.predictions import predictions_path, read_predictions
from glossfree.scoring.sentences import Pairs, Sentences, read_hypotheses, read_references
from glossfree.scoring.significance import Interval

LANGUAGE = "de"  # where neither the user nor a corpus says which
TITLES = {**dict(COLUMNS), "chrf": "chrF2", "exact": "exact match", "length_ratio": "length ratio"}


def load_hypotheses(path: str | Path, *, split: str = "test") -> Sentences:
    """A file, or a run folder (its predictions of `split`) -> Sentences.

    Raises CorpusError as `read_hypotheses` does, RunError for a folder without predictions.
    """
    path = Path(path)
    if not path.is_dir():
        return read_hypotheses(path)
    if (path / MANIFEST).is_file():
        remedy = "name a run or a file as hypotheses, and this folder with --references"
        raise CorpusError("a prepared corpus holds references, no hypotheses", where=path, remedy=remedy)
    if not predictions_path(path, split).is_file():
        remedy = f"glossfree evaluate {path} --split {split}"
        raise RunError(f"no predictions for {split}", where=path, remedy=remedy)
    predictions = read_predictions(predictions_path(path, split))
    return Sentences.of(list(predictions), [prediction.text for prediction in predictions.values()], path)


def load_references(path: str | Path, *, split: str = "test") -> Sentences:
    """A file, or a prepared corpus (the sentences of `split` in its manifest) -> Sentences. Raises CorpusError."""
    path = Path(path)
    if not path.is_dir():
        return read_references(path)
    if not (path / MANIFEST).is_file():
        remedy = "name a file, or a folder made by `glossfree prepare`"
        raise CorpusError(f"no {MANIFEST}: a folder without references", where=path, remedy=remedy)
    manifest = Manifest.load(path)
    clips = manifest.split(split)
    return Sentences.of([clip.id for clip in clips], [clip.text for clip in clips], path, language=manifest.language)


def find_references(hypotheses: Sentences, references: Path | None, *, split: str) -> Sentences:
    """The references that the user names, else the manifest's of the corpus that a run was trained on.

    Raises RunError where that corpus is gone, CorpusError where a file of hypotheses comes without references.
    """
    if references is not None:
        return load_references(references, split=split)
    if not hypotheses.source.is_dir():
        remedy = "add --references: a file, or a folder made by `glossfree prepare`"
        raise CorpusError("a file of hypotheses, and no references", where=hypotheses.source, remedy=remedy)
    facts = hypotheses.source / "run.json"
    try:
        corpus = Path(json.loads(facts.read_text(encoding="utf-8"))["corpus"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError("does not say which corpus it is of", where=facts, remedy="add --references") from error
    if not (corpus / MANIFEST).is_file():
        problem = f"its corpus is no longer at {corpus}"
        raise RunError(problem, where=hypotheses.source, remedy="add --references: where the corpus is now")
    return load_references(corpus, split=split)


def language_of(given: str | None, references: Sentences) -> tuple[str, str]:
    """(Spoken language, ISO 639-1; where it was found: "option", "corpus" or "assumed")."""
    if given:
        return given, "option"
    return (references.language, "corpus") if references.language else (LANGUAGE, "assumed")


def how_read(sides: Iterable[Sentences]) -> Iterator[str]:
    """What is to be said of how files were read, each thing once of each file."""
    for source, note in dict.fromkeys((side.source, note) for side in sides for note in side.notes):
        yield f"note: {source.name}: {note}"


def warnings(systems: Sequence[Sequence[str]], pairs: Pairs, convention: Convention) -> Iterator[str]:
    """The hypotheses of one system or several, with the references of `pairs` -> what a reader of the scores should
    know of the texts."""
    references = pairs.references
    if any(tuple(hypotheses) == references for hypotheses in systems):
        yield "note: hypotheses and references are identical: was one file given as both?"
    written = [text for text in references if text]
    solid = sum(not any(letter.isspace() for letter in text) for text in written)
    if not convention.characters and 2 * solid > len(written):
        known = ", ".join(CONVENTION_OF_LANGUAGE)
        yield (
            f"note: {solid:,} of {len(written):,} references hold no space: BLEU takes each for one word. If their "
            f"language is written without spaces, say so: --language, of {known}"
        )
    for side, texts in (("hypotheses", [text for said in systems for text in said]), ("references", references)):
        if empty := sum(not text.strip() for text in texts):
            yield f"note: {empty:,} {side} are empty"
        odd = sum(text.strip() != "" and text != " ".join(text.split()) for text in texts)
        if odd and not convention.characters:
            yield f"note: {odd:,} {side} hold blanks at an end, several in a row, or tabs: ROUGE-L counts empty words"


def how_paired(num_sentences: int, by_line: bool, language: str, language_from: str) -> str:
    """What was scored, as a person reads it; `language_from` as in `language_of`."""
    assumed = ", assumed (--language says another)" if language_from == "assumed" else ""
    return f"{num_sentences:,} sentences, paired by {'line' if by_line else 'id'}; language {language}{assumed}"


def between(interval: Interval) -> str:
    """An interval as a person reads it."""
    return f"{interval.low:.2f} to {interval.high:.2f}"
