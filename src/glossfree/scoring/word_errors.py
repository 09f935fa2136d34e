"""Recognised and annotated glosses -> gloss error rate (WER), with substitutions, insertions and deletions.

As public code for PHOENIX14T counts (neccam/slt): each clip's glosses are aligned with the annotated ones at the least
cost, 4 for a substitution, 3 for an insertion or a deletion; the errors of all clips are divided by the number of all
annotated glosses. Glosses are compared as they are: the cleaning of glosses that published numbers include is not done.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

SUBSTITUTION, GAP = 4, 3  # costs of the alignment


@dataclass(frozen=True)
class WordErrors:
    """Errors in `num_clips` clips with `num_glosses` annotated glosses."""

    substitutions: int
    insertions: int
    deletions: int
    num_glosses: int
    num_clips: int

    @property
    def wer(self) -> float:
        """Errors in percent of the annotated glosses; more than 100 where many are inserted."""
        return self._percent(self.substitutions + self.insertions + self.deletions)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"wer": self.wer, **vars(self)}

    def to_text(self) -> str:
        """All rates in one line."""
        kinds = ("substitutions", "insertions", "deletions")
        rates = ", ".join(f"{self._percent(getattr(self, kind)):.2f} {kind}" for kind in kinds)
        return f"gloss error rate (WER) {self.wer:.2f} % ({rates}; {self.num_glosses:,} glosses)"

    def _percent(self, errors: int) -> float:
        return 100 * errors / self.num_glosses


def word_errors(hypotheses: Sequence[Sequence[str]], references: Sequence[Sequence[str]]) -> WordErrors:
    """Recognised and annotated glosses of each clip, in the same order -> WordErrors of all of them.

    Raises ValueError for lists of different lengths, and if nothing is annotated.
    """
    edits = [align(*pair) for pair in zip(hypotheses, references, strict=True)]
    num_glosses = sum(map(len, references))
    if not num_glosses:
        raise ValueError("no annotated gloss: there is no rate of errors")
    substitutions, insertions, deletions = map(sum, zip(*edits, strict=True))
    return WordErrors(substitutions, insertions, deletions, num_glosses, len(references))


def align(hypothesis: Sequence[str], reference: Sequence[str]) -> tuple[int, int, int]:
    """Two sequences -> substitutions, insertions and deletions of their cheapest alignment.

    Of equally cheap ones, that with the fewest errors; all of these have the same counts.
    """
    # (cost, errors, substitutions, insertions, deletions) between the whole of one sequence and the start of the other
    row = [(GAP * n, n, 0, n, 0) for n in range(len(hypothesis) + 1)]
    for annotated in reference:
        above, row = row, [_add(row[0], GAP, deletion=1)]
        for column, word in enumerate(hypothesis):
            diagonal = above[column]
            if word != annotated:
                diagonal = _add(diagonal, SUBSTITUTION, substitution=1)
            row.append(min(diagonal, _add(row[-1], GAP, insertion=1), _add(above[column + 1], GAP, deletion=1)))
    return row[-1][2:]


def _add(
    edits: tuple[int, int, int, int, int], cost: int, *, substitution: int = 0, insertion: int = 0, deletion: int = 0
) -> tuple[int, int, int, int, int]:
    total, errors, substitutions, insertions, deletions = edits
    return total + cost, errors + 1, substitutions + substitution, insertions + insertion, deletions + deletion
