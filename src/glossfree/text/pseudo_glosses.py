"""Spoken sentences -> pseudo-glosses: lower-case lemmas of their content words (section 3.2).

Nouns, numerals, adverbs, pronouns, proper nouns, adjectives and verbs are kept. The inventory (P of them, sorted) comes
from the training split alone. The paper's 2,322 come from all three splits, including words of the test split; name all
three splits to get these.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from glossfree.errors import CorpusError
from glossfree.files.disk import write_json
from glossfree.files.encoding import nfc
from glossfree.text.tagging import CONTENT, KEPT_POS, Tagger

PSEUDO_GLOSSES = "pseudo_glosses.json"
FORMAT = 1
KEPT = {*KEPT_POS, CONTENT}


@dataclass(frozen=True)
class PseudoGlosses:
    """The inventory with its counts, and the pseudo-glosses of each tagged sentence (not all in the inventory)."""

    inventory: tuple[str, ...]
    counts: dict[str, int]  # pseudo-gloss -> occurrences in `splits`
    sentences: dict[str, tuple[str, ...]]  # sentence -> its pseudo-glosses, in word order, with repetitions
    kept: dict[str, int]  # part of speech -> running words kept, in `splits`
    dropped: dict[str, int]  # part of speech -> running words dropped, in `splits`
    backend: str
    language: str
    splits: tuple[str, ...] = ("train",)

    @cached_property
    def _rows(self) -> dict[str, int]:
        return {gloss: row for row, gloss in enumerate(self.inventory)}

    def __len__(self) -> int:
        return len(self.inventory)

    def of_sentence(self, text: str) -> tuple[str, ...]:
        """Sentence -> its pseudo-glosses, in word order. Raises CorpusError if it was not tagged."""
        text = nfc(text)
        if text not in self.sentences:
            raise CorpusError(
                "sentence without pseudo-glosses", where=repr(text), remedy="run glossfree glosses on this corpus again"
            )
        return self.sentences[text]

    def targets(self, text: str) -> np.ndarray:
        """Sentence -> (P,) float32, 1 for each of its pseudo-glosses in the inventory."""
        multi_hot = np.zeros(len(self.inventory), dtype=np.float32)
        multi_hot[[self._rows[gloss] for gloss in self.of_sentence(text) if gloss in self._rows]] = 1.0
        return multi_hot

    def limited_to(self, texts: Iterable[str]) -> PseudoGlosses:
        """The inventory, with its counts, of some of the sentences that it was made from."""
        known = (gloss for text in texts for gloss in self.of_sentence(text) if gloss in self._rows)
        counts = dict(sorted(Counter(known).items()))
        return replace(self, inventory=tuple(counts), counts=counts)

    def without_sentences(self) -> PseudoGlosses:
        """The inventory alone, for an exported model: it must not contain the sentences of the corpus."""
        return replace(self, sentences={})

    @property
    def sha256(self) -> str:
        """Hash of the content, independent of the layout of the file."""
        return hashlib.sha256(json.dumps(self._content, sort_keys=True, ensure_ascii=False).encode()).hexdigest()

    @property
    def _content(self) -> dict[str, Any]:
        """The fields as they are: `asdict` would copy every word of every sentence first."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def save(self, path: str | Path) -> None:
        """Write JSON atomically. Raises CorpusError."""
        write_json(Path(path), {"format": FORMAT, "sha256": self.sha256, **self._content})

    @classmethod
    def load(cls, path: str | Path) -> PseudoGlosses:
        """Inverse of `save`. Raises CorpusError: missing, of another kind, altered."""
        path = Path(path)
        remedy = "make it with: glossfree glosses OUT"
        if not path.is_file():
            raise CorpusError("no pseudo-glosses", where=path, remedy=remedy)
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            sha256, is_known_format = content.pop("sha256"), content.pop("format") == FORMAT
            loaded = cls(
                inventory=tuple(content.pop("inventory")),
                sentences={text: tuple(glosses) for text, glosses in content.pop("sentences").items()},
                splits=tuple(content.pop("splits")),
                **content,
            )
            is_intact = is_known_format and loaded.sha256 == sha256  # ValueError: JSON can escape lone surrogates
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise CorpusError(f"not a file of pseudo-glosses ({error})", where=path, remedy=remedy) from error
        if not is_intact:
            raise CorpusError("does not match its hash: altered", where=path, remedy=remedy)
        return loaded


class ClipTargets(Mapping[str, np.ndarray]):
    """{clip id: the targets (P,) of its sentence}, each made when it is asked for and not kept.

    A million rows over 20,000 pseudo-glosses would take 80 GB.
    """

    def __init__(self, glosses: PseudoGlosses, texts: Mapping[str, str]) -> None:
        """`texts`: {clip id: sentence}. Raises CorpusError if one was not tagged."""
        for text in texts.values():
            glosses.of_sentence(text)
        self.glosses, self.texts = glosses, texts

    def __getitem__(self, id: str) -> np.ndarray:
        return self.glosses.targets(self.texts[id])

    def __iter__(self) -> Iterator[str]:
        return iter(self.texts)

    def __len__(self) -> int:
        return len(self.texts)


def extract(
    sentences_by_split: Mapping[str, Iterable[str]],
    tagger: Tagger,
    splits: tuple[str, ...] = ("train",),
    *,
    language: str,
    on_progress: Callable[[], object] = lambda: None,
) -> PseudoGlosses:
    """Sentences of each split -> PseudoGlosses, with the inventory of `splits` alone; sentences are keys in NFC.

    Sentences of the other splits are tagged too (dev needs targets for its loss) but do not affect anything else.
    `on_progress` is called after each sentence. Raises CorpusError if `splits` hold no sentence or no content word.
    """
    by_split = {name: [nfc(text) for text in texts] for name, texts in sentences_by_split.items()}
    if not any(by_split.get(name) for name in splits):
        problem = f"no sentence in {' or '.join(splits) or 'no split'}"
        raise CorpusError(problem, remedy=f"splits here: {', '.join(sorted(by_split))}")
    sentences: dict[str, tuple[str, ...]] = {}
    counts: Counter[str] = Counter()
    kept: Counter[str] = Counter()
    dropped: Counter[str] = Counter()
    for name in sorted(by_split, key=lambda name: (name not in splits, name)):
        for text in by_split[name]:
            if name in splits or text not in sentences:
                tokens = tagger.tag(text)
                sentences[text] = tuple(token.lemma for token in tokens if token.pos in KEPT)
            if name in splits:
                counts.update(sentences[text])
                kept.update(token.pos for token in tokens if token.pos in KEPT)
                dropped.update(token.pos for token in tokens if token.pos not in KEPT)
            on_progress()
    if not counts:
        raise CorpusError("no content word in the sentences", remedy="check their language")
    return PseudoGlosses(
        inventory=tuple(sorted(counts)),
        counts=dict(sorted(counts.items())),
        sentences=sentences,
        kept=dict(kept.most_common()),
        dropped=dict(dropped.most_common()),
        backend=tagger.name,
        language=language,
        splits=tuple(splits),
    )
