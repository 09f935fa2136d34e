"""Annotated glosses -> ids. Only recipes with `supervision = "glosses"` get here; pseudo-glosses are another file's."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from glossfree.errors import CorpusError
from glossfree.files.disk import read_json, write_json

GLOSSES = "glosses.json"
FORMAT = 1


def gloss_sentence(glosses: Iterable[str]) -> str:
    """Glosses -> a text for the tokenizer of sentences: in lower case, as its pieces are mostly."""
    return " ".join(glosses).lower()


@dataclass(frozen=True)
class GlossVocabulary:
    """The G distinct glosses of the training split, sorted. Number n has the id n + 1: id 0 is CTC's blank."""

    inventory: tuple[str, ...]

    @classmethod
    def of(cls, sequences: Iterable[Sequence[str]]) -> GlossVocabulary:
        """The gloss sequences of the training split -> their vocabulary."""
        return cls(tuple(sorted({gloss for sequence in sequences for gloss in sequence})))

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {gloss: number for number, gloss in enumerate(self.inventory, start=1)}

    def __len__(self) -> int:
        return len(self.inventory)

    def ids(self, glosses: Iterable[str]) -> list[int]:
        """Glosses -> ids in their order; glosses that are not in the training split are left out."""
        return [self._ids[gloss] for gloss in glosses if gloss in self._ids]

    def save(self, path: Path) -> None:
        """Write JSON atomically. Raises CorpusError."""
        write_json(path, {"format": FORMAT, "inventory": list(self.inventory)})

    @classmethod
    def load(cls, path: Path) -> GlossVocabulary:
        """Inverse of `save`. Raises CorpusError: missing, or something else."""
        remedy = "copy the run again, or start it anew"
        content = read_json(path, remedy=remedy)
        inventory = content.get("inventory")
        if not isinstance(inventory, list) or not all(isinstance(gloss, str) for gloss in inventory):
            raise CorpusError("no list of glosses in it", where=path, remedy=remedy)
        return cls(tuple(inventory))
