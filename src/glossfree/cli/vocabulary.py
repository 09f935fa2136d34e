"""A tokenizer and training sentences -> the size of the vocabulary that is left (DESIGN: 2,172 for PHOENIX14T)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from glossfree.cli.options import Language, Sentences
from glossfree.console import Console, Result
from glossfree.errors import named
from glossfree.languages import profile_of
from glossfree.text.corpus import language_of, training_sentences
from glossfree.text.tokenizer import SentenceTokenizer
from glossfree.text.unigram import SPECIALS


@dataclass(frozen=True)
class VocabularyReport(Result):
    """size = specials + pieces + codes + mask. `original_size`: tokens before trimming."""

    size: int
    pieces: int
    specials: int
    codes: int
    mask: int
    original_size: int
    num_sentences: int
    language: str
    sha256: str

    def to_text(self) -> str:
        """One line for people."""
        return (
            f"{self.size:,} tokens = {self.specials} special + {self.pieces:,} pieces that {self.num_sentences:,} "
            f"sentences use + {self.codes} language codes + {self.mask} mask (of {self.original_size:,})"
        )


def vocabulary(
    tokenizer: Annotated[Path, typer.Option(help="Folder with sentencepiece.bpe.model.")],
    console: Console,
    corpus: Annotated[Path | None, typer.Option(help="A folder made by `glossfree prepare`.")] = None,
    sentences: Sentences = None,
    language: Language = None,
) -> VocabularyReport:
    """Trim the tokenizer in a folder to the training sentences of a prepared corpus, or to those of a file.

    Raises ModelError: unusable tokenizer; CorpusError: both or no source, no sentence, no language.
    """
    texts = training_sentences(corpus, sentences, console)
    original = SentenceTokenizer.load(tokenizer, profile_of(language_of(corpus, sentences, language)).token)
    with named(sentences or corpus):
        trimmed, _ = original.trimmed(texts)
    return VocabularyReport(
        size=len(trimmed),
        pieces=trimmed.num_pieces,
        specials=len(SPECIALS),
        codes=len(trimmed.codes),
        mask=1,
        original_size=len(original),
        num_sentences=len(texts),
        language=trimmed.language,
        sha256=trimmed.sha256,
    )
