"""Any system's hypotheses and their references, from files, runs and corpora; their language; notes on odd texts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from glossfree.corpora.manifest import MANIFEST, Manifest
from glossfree.errors import CorpusError, RunError
from glossfree.files.disk import read_json
from glossfree.scoring.conventions import CONVENTION_OF_LANGUAGE, Convention
from glossfree.scoring.metrics import COLUMNS
from glossfree.scoring.predictions import Prediction, predictions_path, read_predictions
from glossfree.scoring.sentences import Pairs, Sentences, read_hypotheses, read_references
from glossfree.scoring.significance import Interval

LANGUAGE = "de"  # if neither the user nor a corpus says which
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
    predictions = load_predictions(path, split)
    return Sentences.of(list(predictions), [prediction.text for prediction in predictions.values()], path)


def load_predictions(run: Path, split: str) -> dict[str, Prediction]:
    """A run folder -> its predictions of a split by clip id. Raises RunError where there are none."""
    path = predictions_path(run, split)
    if not path.is_file():
        raise RunError(f"no predictions for {split}", where=run, remedy=f"glossfree evaluate {run} --split {split}")
    return read_predictions(path)


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
    """The references that the user names, otherwise those of the corpus that a run was trained on.

    Raises RunError if that corpus is gone, CorpusError for a file of hypotheses without references.
    """
    if references is not None:
        return load_references(references, split=split)
    if not hypotheses.source.is_dir():
        remedy = "add --references: a file, or a folder made by `glossfree prepare`"
        raise CorpusError("a file of hypotheses, and no references", where=hypotheses.source, remedy=remedy)
    facts = hypotheses.source / "run.json"
    corpus = read_json(facts, RunError, remedy="add --references").get("corpus")
    if not isinstance(corpus, str):
        raise RunError("does not say which corpus it is of", where=facts, remedy="add --references")
    if not (Path(corpus) / MANIFEST).is_file():
        problem = f"its corpus is no longer at {corpus}"
        raise RunError(problem, where=hypotheses.source, remedy="add --references: where the corpus is now")
    return load_references(corpus, split=split)


def find_language(option: str | None, references: Sentences) -> tuple[str, str]:
    """(Spoken language, ISO 639-1; where it comes from: "option", "corpus" or "assumed")."""
    if option:
        return option, "option"
    return (references.language, "corpus") if references.language else (LANGUAGE, "assumed")


def list_reading_notes(sides: Iterable[Sentences]) -> Iterator[str]:
    """How files were read, each note once for each file."""
    for source, note in dict.fromkeys((side.source, note) for side in sides for note in side.notes):
        yield f"note: {source.name}: {note}"


def list_warnings(systems: Sequence[Sequence[str]], pairs: Pairs, convention: Convention) -> Iterator[str]:
    """Hypotheses of one or more systems, references of `pairs` -> notes on texts that make scores misleading."""
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
    for side, texts in (
        ("hypotheses", [text for hypotheses in systems for text in hypotheses]),
        ("references", references),
    ):
        if empty := sum(not text.strip() for text in texts):
            yield f"note: {empty:,} {side} are empty"
        odd = sum(text.strip() != "" and text != " ".join(text.split()) for text in texts)
        if odd and not convention.characters:
            yield f"note: {odd:,} {side} hold blanks at an end, several in a row, or tabs: ROUGE-L counts empty words"


def describe_pairs(num_sentences: int, by_line: bool, language: str, language_from: str) -> str:
    """What was scored, in words; `language_from` as in `find_language`."""
    assumed = ", assumed (--language says another)" if language_from == "assumed" else ""
    return f"{num_sentences:,} sentences, paired by {'line' if by_line else 'id'}; language {language}{assumed}"


def format_interval(interval: Interval) -> str:
    """An interval in words."""
    return f"{interval.low:.2f} to {interval.high:.2f}"
