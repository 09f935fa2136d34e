"""Files, runs and corpora -> paired hypotheses and references, their language, and notes for the user."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

from glossfree.corpora.manifest import MANIFEST, Manifest, is_same_corpus
from glossfree.errors import CorpusError, RunError
from glossfree.files.disk import read_json
from glossfree.languages import PROFILES, profile_of, unnamed_language
from glossfree.scoring.conventions import Convention, convention_for
from glossfree.scoring.metrics import COLUMNS
from glossfree.scoring.predictions import read_predictions, read_scores, scores_path
from glossfree.scoring.sentences import Pairs, Sentences, pair, read_sentences

TITLES = {**dict(COLUMNS), "chrf": "chrF2", "exact": "exact match %", "length_ratio": "length ratio"}


@dataclass(frozen=True)
class Systems:
    """One or more systems beside their references: `hypotheses` as read, `pairs` in the order of the references.

    `language`: the spoken language (ISO 639-1); `language_from`: "option" or "corpus". `convention` is the default of
    the language. `notes` warn of texts that make scores misleading.
    """

    hypotheses: tuple[Sentences, ...]
    references: Sentences
    pairs: tuple[Pairs, ...]
    language: str
    language_from: str
    convention: Convention
    notes: tuple[str, ...]

    @property
    def by_line(self) -> bool:
        """Whether a system is paired with the references by line."""
        return any(pairs.by_line for pairs in self.pairs)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, without the sentences."""
        return {
            "references": str(self.references.source),
            "num_sentences": len(self.references),
            "by_line": self.by_line,
            "language": self.language,
            "language_from": self.language_from,
        }

    def describe(self) -> str:
        """How many sentences, how they are paired, and their language."""
        paired = f"{len(self.references):,} sentences, paired by {'line' if self.by_line else 'id'}"
        return f"{paired}; language {self.language}"


def load_systems(paths: Sequence[Path], references: Path | None, *, split: str, language: str | None) -> Systems:
    """Files or runs, and their references -> Systems. Without `references`, a run's corpus has them.

    Raises CorpusError, RunError: what cannot be read, ids that do not match, a run whose corpus is gone, sentences
    whose language is not named.
    """
    hypotheses = tuple(load_hypotheses(path, split=split) for path in paths)
    runs = [side for side in hypotheses if side.source.is_dir()]
    expected = load_references(references or _corpus_of((runs or hypotheses)[0].source), split=split)
    if expected.numbered:
        for other in hypotheses[1:]:
            _check_order(hypotheses[0], other)
    corpora = () if references else _corpora(runs)
    mixed = f"these runs are of different corpora: {', '.join(corpora)}" if len(corpora) > 1 else ""
    try:
        pairs = tuple(pair(side, expected) for side in hypotheses)
    except CorpusError as error:
        if not mixed:
            raise
        remedy = "glossfree evaluate --corpus, then name the files of predictions and --references"
        raise CorpusError(f"{mixed} ({error.problem})", where=error.where, remedy=remedy) from error
    if not (language or expected.language):
        raise unnamed_language(expected.source)
    code = profile_of(language or expected.language).code
    convention = convention_for(code)
    warned = [f"note: {mixed}; the references are of {expected.source}"] if mixed else []
    return Systems(
        hypotheses,
        expected,
        pairs,
        code,
        "option" if language else "corpus",
        convention,
        (*warned, *_notes((*hypotheses, expected), pairs, convention)),
    )


def load_hypotheses(path: Path, *, split: str) -> Sentences:
    """A file, or a run folder (its predictions of `split`) -> Sentences.

    Raises CorpusError as `read_sentences` does, RunError for a folder without predictions.
    """
    if not path.is_dir():
        return read_sentences(path, "hypotheses")
    if (path / MANIFEST).is_file():
        remedy = "name a run or a file as hypotheses, and this folder with --references"
        raise CorpusError("a prepared corpus holds references, no hypotheses", where=path, remedy=remedy)
    predictions = read_predictions(path, split)
    scores = scores_path(path, split)
    notes = read_scores(scores).notes if scores.is_file() else []
    return Sentences.of(list(predictions), [prediction.text for prediction in predictions.values()], path, notes=notes)


def load_references(path: Path, *, split: str) -> Sentences:
    """A file, or a prepared corpus (the sentences of `split` in its manifest) -> Sentences. Raises CorpusError."""
    if not path.is_dir():
        return read_sentences(path, "references")
    if not (path / MANIFEST).is_file():
        remedy = "name a file, or a folder made by `glossfree prepare`"
        raise CorpusError(f"no {MANIFEST}: a folder without references", where=path, remedy=remedy)
    manifest = Manifest.load(path)
    clips = manifest.split(split)
    return Sentences.of(
        [clip.id for clip in clips], [clip.text for clip in clips], path, language=manifest.corpus.get("language", "")
    )


def _corpus_of(run: Path) -> Path:
    """The corpus that a run was trained on. Raises RunError if it is gone, CorpusError for a file."""
    if not run.is_dir():
        remedy = "add --references: a file, or a folder made by `glossfree prepare`"
        raise CorpusError("a file of hypotheses, and no references", where=run, remedy=remedy)
    facts = run / "run.json"
    corpus = read_json(facts, RunError, remedy="add --references").get("corpus")
    if not isinstance(corpus, str):
        raise RunError("does not say which corpus it is of", where=facts, remedy="add --references")
    if not (Path(corpus) / MANIFEST).is_file():
        problem = f"its corpus is no longer at {corpus}"
        raise RunError(problem, where=run, remedy="add --references: where the corpus is now")
    return Path(corpus)


def _corpora(runs: Sequence[Sentences]) -> list[str]:
    """Where the corpora of runs lie, as far as they say so; a copy at another place counts once."""
    known: list[dict[str, Any]] = []
    for run in runs:
        with suppress(RunError):  # of predictions without their run
            facts = read_json(run.source / "run.json", RunError)
            if facts.get("corpus") and not any(is_same_corpus(facts, each) for each in known):
                known.append(facts)
    return sorted(str(facts["corpus"]) for facts in known)


def _check_order(a: Sentences, b: Sentences) -> None:
    """Check that two systems paired with references by line have their ids, if any, in the same order."""
    if not a.numbered and not b.numbered and a.ids != b.ids:
        place = next(n for n, (x, y) in enumerate(zip_longest(a.ids, b.ids), start=1) if x != y)
        problem = f"its ids are not those of {a.source} in the same order (first at sentence {place:,})"
        remedy = "references without ids are paired by line: give references with ids"
        raise CorpusError(problem, where=b.source, remedy=remedy)


def empty_notes(name: str, texts: Sequence[str]) -> Iterator[str]:
    """A note if some of the `texts`, called `name`, are empty."""
    if empty := sum(not text.strip() for text in texts):
        yield f"note: {empty:,} {name} are empty"


def _notes(sides: Sequence[Sentences], pairs: Sequence[Pairs], convention: Convention) -> Iterator[str]:
    """How each file was read, then what is odd about the texts."""
    for source, note in dict.fromkeys((side.source, note) for side in sides for note in side.notes):
        yield f"note: {source.name}: {note}"
    references = pairs[0].references
    if any(each.hypotheses == references for each in pairs):
        yield "note: hypotheses and references are identical: was one file given as both?"
    written = [text for text in references if text]
    unspaced = sum(not any(letter.isspace() for letter in text) for text in written)
    if not convention.characters and 2 * unspaced > len(written):
        known = ", ".join(code for code, profile in PROFILES.items() if profile.characters)
        yield (
            f"note: {unspaced:,} of {len(written):,} references hold no space: BLEU takes each for one word. If their "
            f"language is written without spaces, say so: --language, of {known}"
        )
    for name, texts in (
        ("hypotheses", [text for each in pairs for text in each.hypotheses]),
        ("references", references),
    ):
        yield from empty_notes(name, texts)
        odd = sum(text.strip() != "" and text != " ".join(text.split()) for text in texts)
        if odd and not convention.characters:
            yield f"note: {odd:,} {name} hold blanks at an end, several in a row, or tabs: ROUGE-L counts empty words"
