"""Sentences of a prepared corpus or a file -> two files: pseudo-glosses and their prototypes (section 3.2)."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from glossfree.console import Console, Result
from glossfree.corpora.manifest import Manifest
from glossfree.errors import CorpusError, name_some, named, os_errors_as
from glossfree.files.encoding import nfc, read_text, split_lines
from glossfree.files.tables import (
    JSON_LINES,
    TABLES,
    form_notes,
    has_header,
    name_columns,
    read_table,
    rename_columns,
    split_of,
)
from glossfree.languages import profile_of, unnamed_language
from glossfree.text.pseudo_glosses import KEPT, PSEUDO_GLOSSES, PseudoGlosses, extract
from glossfree.text.tagging import AnalyserTagger, Tagger, split_words, tagger
from glossfree.text.vectors import PROTOTYPES, read_vectors, save_vectors, train_vectors

TUNED_ON = ("train", "dev")  # splits that training reads; test is read only if the user names it
SHOWN = 12  # words out of vocabulary that to_text lists


@dataclass(frozen=True)
class GlossReport(Result):
    """What was written into `out`. `unknown`: pseudo-glosses without a vector of their own in the source of vectors."""

    out: Path
    glosses: PseudoGlosses
    num_sentences: int
    unknown: tuple[str, ...]
    vectors: str
    vector_size: int

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "out": str(self.out),
            "num_pseudo_glosses": len(self.glosses),
            "num_sentences": self.num_sentences,
            "kept": self.glosses.kept,
            "dropped": self.glosses.dropped,
            "out_of_vocabulary": list(self.unknown),
            "backend": self.glosses.backend,
            "language": self.glosses.language,
            "splits": list(self.glosses.splits),
            "vectors": self.vectors,
            "vector_size": self.vector_size,
            "sha256": self.glosses.sha256,
        }

    def to_text(self) -> str:
        """A line for each fact."""
        rows = [
            ("pseudo-glosses", f"{len(self.glosses):,} from {self.num_sentences:,} sentences"),
            ("splits", ", ".join(self.glosses.splits)),
            ("tagger", f"{self.glosses.backend}, language {self.glosses.language}"),
            ("words kept", _by_pos(self.glosses.kept)),
            ("words dropped", _by_pos(self.glosses.dropped)),
            ("vectors", f"{self.vector_size} numbers each, {self.vectors}"),
            (
                "out of vocabulary",
                f"{len(self.unknown):,}" + (f": {name_some(self.unknown, limit=SHOWN)}" if self.unknown else ""),
            ),
            ("written", f"{self.out / PSEUDO_GLOSSES}, {self.out / PROTOTYPES}"),
        ]
        return "\n".join(f"{name:<18} {text}" for name, text in rows)


def _by_pos(counts: dict[str, int]) -> str:
    by_pos = ", ".join(f"{pos} {count:,}" for pos, count in counts.items())
    return f"{sum(counts.values()):,}" + (f" ({by_pos})" if by_pos else "")


def write_pseudo_glosses(
    corpus: Path | None,
    *,
    console: Console,
    sentences: Path | None = None,
    out: Path | None = None,
    vectors: Path | None = None,
    language: str | None = None,
    splits: Sequence[str] = ("train",),
) -> GlossReport:
    """Extract pseudo-glosses from a prepared folder or a file of sentences; write both files into `out`.

    `out` is the prepared folder by default. The inventory and trained vectors come from `splits` alone; dev is tagged
    too, because its loss needs targets. `vectors` names a fastText file; `language` is the corpus's by default, and
    needed for a file. Writes only after all work is done, so that earlier files survive an error.
    Raises CorpusError: both or no source, no sentence, no language, unusable `out`, unusable vectors.
    """
    if vectors is not None and not vectors.is_file():
        raise CorpusError("no such file of vectors", where=vectors, remedy="name fastText's .bin or .vec")
    if corpus is None or sentences is not None:
        by_split, splits = {"train": training_sentences(corpus, sentences, console)}, ("train",)
    else:
        by_split = _read_splits(Manifest.load(corpus), splits)
    language = language_of(corpus, sentences, language)
    folder = out or corpus
    if folder is None:
        raise CorpusError("no folder to write to", where=sentences, remedy="name one with --out")
    _check_writable(folder)
    texts = [text for name in splits for text in by_split[name]]
    with named(sentences or corpus):
        pos_tagger = tagger(language, texts, say=console.say)
        console.say(f"tagging with {pos_tagger.name}")
        with console.progress("tagging sentences", sum(map(len, by_split.values()))) as advance:
            glosses = extract(by_split, pos_tagger, tuple(splits), language=language, on_progress=advance)
        prototypes, unknown = _prototypes(glosses.inventory, texts, vectors, console, pos_tagger)
    save_vectors(folder / PROTOTYPES, prototypes, glosses.inventory)
    glosses.save(folder / PSEUDO_GLOSSES)
    source = f"from {vectors}" if vectors else "trained on the sentences"
    return GlossReport(folder, glosses, len(texts), tuple(unknown), source, prototypes.shape[1])


def with_sentences(glosses: PseudoGlosses, texts: Iterable[str], training: Sequence[str]) -> PseudoGlosses:
    """Pseudo-glosses with those of more sentences, by the tagger that made them; the inventory stays.

    `training`: the sentences that the inventory comes from. Raises CorpusError if that tagger is not installed.
    """
    new = [text for text in dict.fromkeys(map(nfc, texts)) if text not in glosses.sentences]
    if not new:
        return glosses
    pos_tagger = tagger(glosses.language, training)
    if pos_tagger.name != glosses.backend:
        raise CorpusError(
            f"made by {glosses.backend}, which is not installed here",
            where=PSEUDO_GLOSSES,
            remedy=f"install it, or make them again with {pos_tagger.name}: glossfree glosses",
        )
    kept = {text: tuple(token.lemma for token in pos_tagger.tag(text) if token.pos in KEPT) for text in new}
    return replace(glosses, sentences=glosses.sentences | kept)


def _prototypes(
    words: Sequence[str], texts: Sequence[str], file: Path | None, console: Console, pos_tagger: Tagger
) -> tuple[np.ndarray, list[str]]:
    """Pseudo-glosses -> their vectors (P, width), and the words out of vocabulary.

    Where a package finds the words, vectors are trained on these, as the pseudo-glosses have them: as lemmas.
    """
    finds_words = isinstance(pos_tagger, AnalyserTagger)
    split = (lambda text: [token.lemma for token in pos_tagger.tag(text)]) if finds_words else split_words
    if file:
        console.say(f"reading vectors from {file}")
        return read_vectors(words, file)
    console.say("training vectors on the sentences")
    with console.progress("training vectors", 100) as advance:
        return train_vectors(
            words, texts, lambda epoch, num: advance(100 * epoch // num - 100 * (epoch - 1) // num), split
        )


def _read_splits(manifest: Manifest, splits: Sequence[str]) -> dict[str, list[str]]:
    """The sentences of `splits`, and of train and dev where the corpus has them."""
    by_split = {name: [clip.text for clip in manifest.split(name)] for name in splits}
    for name in TUNED_ON:
        texts = [clip.text for clip in manifest if clip.split == name]
        if texts:
            by_split.setdefault(name, texts)
    return by_split


def outdated_glosses(manifest: Manifest) -> str:
    """Why the pseudo-glosses of a prepared folder have to be made again; "" if they do not, or if there are none."""
    path = manifest.folder / PSEUDO_GLOSSES
    if not path.is_file():
        return ""
    try:
        glosses = PseudoGlosses.load(path)
    except CorpusError as error:
        return f"{path.name}: {error.problem}"
    sentences = {clip.text for clip in manifest if clip.split in {*glosses.splits, *TUNED_ON}}
    same = glosses.sentences.keys() == sentences
    return "" if same else f"{path.name} was made from other sentences than the corpus has now"


def language_of(corpus: Path | None, sentences: Path | None, named: str | None) -> str:
    """The language (ISO 639-1) that the user names, else of the corpus. Raises CorpusError if neither has one."""
    if named:
        return profile_of(named).code
    if corpus is None:
        raise unnamed_language(sentences)
    return Manifest.load(corpus).language


def training_sentences(corpus: Path | None, sentences: Path | None, console: Console) -> list[str]:
    """The training sentences of a prepared folder or of a file, in NFC; notes on the file go to the console.

    A table is read by its column `text`; a column `split` selects its training rows. Any other file has a sentence on
    each line. Raises CorpusError: both or no source, a file that cannot be read, no sentence in it.
    """
    if corpus is not None and sentences is None:
        return [clip.text for clip in Manifest.load(corpus).split("train")]
    if corpus is not None or sentences is None:
        problem = "no sentences named" if corpus is None else "sentences named twice"
        raise CorpusError(problem, where=corpus, remedy="either a folder made by prepare, or --sentences FILE")
    text = read_text(sentences)
    if sentences.suffix.lower() in TABLES | JSON_LINES or has_header(text):
        texts, notes = _sentences_of_table(sentences, text)
    else:
        lines = split_lines(text)
        texts = [nfc(line) for line in lines]
        changed = sum(line != other for line, other in zip(lines, texts, strict=True))
        notes = form_notes(changed, len(lines), "lines")
    for note in notes:
        console.say(f"note: {sentences.name}: {note}")
    texts = [text.strip() for text in texts if text.strip()]
    if not texts:
        remedy = "one sentence a line, or a table with a column text"
        raise CorpusError("no sentence in it", where=sentences, remedy=remedy)
    return texts


def _sentences_of_table(path: Path, text: str) -> tuple[list[str], list[str]]:
    """A table -> the sentences of its training rows (of all rows without a column `split`), and notes."""
    table = rename_columns(read_table(path, text), ("text", "split"))
    if table.rows and "text" not in table.columns:
        problem = f"no column text; columns here: {name_columns(table.columns)}"
        raise CorpusError(problem, where=path, remedy="name the column of the sentences text")
    rows = [row.fields for row in table.rows]
    train = [row for row in rows if split_of(row.get("split", "train").strip()) == "train"]
    num_others = len(rows) - len(train)
    notes = [f"{num_others:,} rows of splits other than train are ignored"] if num_others else []
    return [" ".join(row.get("text", "").split()) for row in train], [*table.notes, *notes]


def _check_writable(folder: Path) -> None:
    """Create the folder if it is missing; raise CorpusError before the work starts if it cannot be written."""
    with os_errors_as(CorpusError, "cannot be made", where=folder, remedy="choose another --out"):
        folder.mkdir(parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK):
        raise CorpusError("cannot be written", where=folder, remedy="choose another --out, or check its rights")
