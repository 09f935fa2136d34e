"""Sentences of a prepared corpus, or of a file -> pseudo-glosses and their prototypes, as two files (section 3.2)."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from glossfree.console import Console, Silent
from glossfree.corpora.manifest import Manifest
from glossfree.errors import CorpusError, named
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
from glossfree.text.pseudo_glosses import PSEUDO_GLOSSES, PseudoGlosses, extract
from glossfree.text.tagging import tagger
from glossfree.text.vectors import PROTOTYPES, save_vectors, vectors_for

TUNED_ON = ("train", "dev")  # splits that training reads; test is only looked at if the user names it
SHOWN = 12  # words out of vocabulary that the text report names


@dataclass(frozen=True)
class GlossReport:
    """What `glosses` wrote. `kept` and `dropped`: running words by part of speech, in `splits`.

    `out_of_vocabulary`: pseudo-glosses that the vectors' source does not hold as words.
    """

    out: Path
    num_pseudo_glosses: int
    num_sentences: int
    kept: dict[str, int]
    dropped: dict[str, int]
    out_of_vocabulary: tuple[str, ...]
    backend: str
    language: str
    splits: tuple[str, ...]
    vectors: str
    vector_size: int
    sha256: str

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self) | {
            "out": str(self.out),
            "out_of_vocabulary": list(self.out_of_vocabulary),
            "splits": list(self.splits),
        }

    def to_text(self) -> str:
        """A few lines for people."""
        unknown = ", ".join(self.out_of_vocabulary[:SHOWN])
        more = f", ... ({len(self.out_of_vocabulary) - SHOWN:,} more)" if len(self.out_of_vocabulary) > SHOWN else ""
        rows = [
            ("pseudo-glosses", f"{self.num_pseudo_glosses:,} from {self.num_sentences:,} sentences"),
            ("splits", ", ".join(self.splits)),
            ("tagger", f"{self.backend}, language {self.language}"),
            ("words kept", _by_pos(self.kept)),
            ("words dropped", _by_pos(self.dropped)),
            ("vectors", f"{self.vector_size} numbers each, {self.vectors}"),
            ("out of vocabulary", f"{len(self.out_of_vocabulary):,}" + (f": {unknown}{more}" if unknown else "")),
            ("written", f"{self.out / PSEUDO_GLOSSES}, {self.out / PROTOTYPES}"),
        ]
        return "\n".join(f"{name:<18} {text}" for name, text in rows)


def _by_pos(counts: dict[str, int]) -> str:
    by_pos = ", ".join(f"{pos} {count:,}" for pos, count in counts.items())
    return f"{sum(counts.values()):,}" + (f" ({by_pos})" if by_pos else "")


def glosses(
    corpus: Path | None = None,
    *,
    sentences: Path | None = None,
    out: Path | None = None,
    vectors: Path | None = None,
    language: str | None = None,
    splits: Sequence[str] = ("train",),
    backend: str | None = None,
    say: Callable[[str], None] | None = None,
    console: Console | None = None,
) -> GlossReport:
    """Extract from a prepared folder, or from a file (see `training_sentences`); write into `out` (else the folder).

    Inventory and trained vectors come from `splits` alone; dev is tagged too, as its loss needs targets. `vectors`
    names a fastText file; `language` defaults to the corpus's, else "de". Earlier files stay until both are ready.
    Raises CorpusError: both or no source, no sentence, unusable `out`, unusable vectors.
    """
    console = console or Silent()
    say = say or console.say
    if vectors is not None and not vectors.is_file():
        raise CorpusError("no such file of vectors", where=vectors, remedy="name fastText's .bin or .vec")
    by_split, found_language = _sentences_by_split(corpus, sentences, tuple(splits), say)
    splits = tuple(splits) if sentences is None else ("train",)
    folder = _writable(out or corpus, sentences)
    language = (language or found_language).replace("-", "_").split("_")[0].lower()
    inventory_texts = [text for name in splits for text in by_split[name]]
    with named(sentences or corpus):
        chosen = tagger(language, inventory_texts, backend, say)
        say(f"tagging with {chosen.name}")
        with console.progress("tagging sentences", sum(map(len, by_split.values()))) as advance:
            found = extract(by_split, chosen, splits, language=language, on_progress=lambda done, total: advance())
        prototypes, unknown = _prototypes(found.inventory, inventory_texts, vectors, say, console)
    save_vectors(folder / PROTOTYPES, prototypes, found.inventory)
    found.save(folder / PSEUDO_GLOSSES)
    return _report(folder, found, inventory_texts, unknown, vectors, prototypes.shape[1])


def _prototypes(
    words: Sequence[str], texts: Sequence[str], file: Path | None, say: Callable[[str], None], console: Console
) -> tuple[np.ndarray, list[str]]:
    """Pseudo-glosses -> their vectors (P, width), and the words out of vocabulary."""
    if file:
        say(f"reading vectors from {file}")
        return vectors_for(words, fasttext=file)
    say("training vectors on the sentences")
    with console.progress("training vectors", 100) as advance:
        shown = 0

        def on_progress(done: int, total: int) -> None:
            nonlocal shown
            advance(100 * done // total - shown)
            shown = 100 * done // total

        return vectors_for(words, sentences=texts, on_progress=on_progress)


def _report(
    folder: Path, found: PseudoGlosses, texts: Sequence[str], unknown: Sequence[str], vectors: Path | None, size: int
) -> GlossReport:
    return GlossReport(
        out=folder,
        num_pseudo_glosses=len(found),
        num_sentences=len(texts),
        kept=found.kept,
        dropped=found.dropped,
        out_of_vocabulary=tuple(unknown),
        backend=found.backend,
        language=found.language,
        splits=found.splits,
        vectors=f"from {vectors}" if vectors else "trained on the sentences",
        vector_size=size,
        sha256=found.sha256,
    )


def _sentences_by_split(
    corpus: Path | None, sentences: Path | None, splits: tuple[str, ...], say: Callable[[str], None]
) -> tuple[dict[str, list[str]], str]:
    """The sentences to tag, and their language: all are training sentences where they come from a file."""
    if sentences is not None:
        return {"train": training_sentences(corpus, sentences, say)}, "de"
    manifest = _manifest(corpus, sentences)
    by_split = {name: [clip.text for clip in manifest.split(name)] for name in splits}
    for name in TUNED_ON:
        texts = [clip.text for clip in manifest if clip.split == name]
        if texts:
            by_split.setdefault(name, texts)
    return by_split, manifest.language


def training_sentences(
    corpus: Path | None, sentences: Path | None, say: Callable[[str], None] | None = None
) -> list[str]:
    """Training sentences of a prepared folder, or those of a file, in NFC; `say` is told how the file was read.

    A table gives its column `text`, with a column `split` that of its training rows; any other file gives its lines.
    Raises CorpusError: both or neither named, a file that cannot be read, none in it.
    """
    manifest = _manifest(corpus, sentences)
    if sentences is None:
        return [clip.text for clip in manifest.split("train")]
    text = read_text(sentences)
    if sentences.suffix.lower() in TABLES | JSON_LINES or has_header(text):
        texts, notes = _sentences_of_table(sentences, text)
    else:
        lines = split_lines(text)
        texts = [nfc(line) for line in lines]
        changed = sum(line != other for line, other in zip(lines, texts, strict=True))
        notes = list(form_notes(changed, len(lines), "lines"))
    if say is not None:
        for note in notes:
            say(f"note: {sentences.name}: {note}")
    texts = [text.strip() for text in texts if text.strip()]
    if not texts:
        remedy = "one sentence a line, or a table with a column text"
        raise CorpusError("no sentence in it", where=sentences, remedy=remedy)
    return texts


def _sentences_of_table(path: Path, text: str) -> tuple[list[str], list[str]]:
    """A table -> the sentences of its training rows, of all rows if it has no column `split`; and notes."""
    table = rename_columns(read_table(path, text), ("text", "split"))
    if table.rows and "text" not in table.columns:
        problem = f"no column text; columns here: {name_columns(table.columns)}"
        raise CorpusError(problem, where=path, remedy="name the column of the sentences text")
    rows = [row.fields for row in table.rows]
    train = [row for row in rows if split_of(row.get("split", "train").strip()) == "train"]
    others = len(rows) - len(train)
    left = [f"{others:,} rows of other splits than train are left aside"] if others else []
    return [" ".join(row.get("text", "").split()) for row in train], [*table.notes, *left]


def _manifest(corpus: Path | None, sentences: Path | None) -> Manifest:
    """The one source that is named; an empty manifest where that is a file of sentences."""
    if (corpus is None) == (sentences is None):
        problem = "no sentences named" if corpus is None else "sentences named twice"
        raise CorpusError(problem, where=corpus, remedy="either a folder made by prepare, or --sentences FILE")
    return Manifest.load(corpus) if corpus is not None else Manifest(Path(), ())


def _writable(out: Path | None, sentences: Path | None) -> Path:
    """The folder to write to, made if need be: known to work before the work starts. Raises CorpusError."""
    if out is None:
        raise CorpusError("no folder to write to", where=sentences, remedy="name one with --out")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CorpusError(f"cannot be made ({error.strerror})", where=out, remedy="choose another --out") from error
    if not os.access(out, os.W_OK):
        raise CorpusError("cannot be written", where=out, remedy="choose another --out, or check its rights")
    return out
