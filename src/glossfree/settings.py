"""How the values of a recipe are declared: typed, frozen, each with its meaning, its unit and its standing.

Parts of the model that can be chosen, and objectives, declare their values in their own files;
`glossfree.recipe.schema` puts them together.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Standing = Literal["stated", "released", "derived", "assumed"]
Trained = Literal["adapters", "all", "none"]

# Limits far beyond any model: building a model from a damaged number would take hours and all memory.
DEEPEST, WIDEST, MOST_PIXELS, MOST_TOKENS = 200, 65_536, 4096, 10_000_000


def value(default: Any, standing: Standing, meaning: str, **limits: Any) -> Any:
    """A field: its default, its standing and what it means (with the unit).

    *stated* in the paper, *released* (read off the authors' training code), *derived* (follows from Table 3), *assumed*
    (ours).
    """
    return Field(default, description=meaning, json_schema_extra={"standing": standing}, **limits)


class Section(BaseModel):
    """One table of a recipe: typed, frozen, without unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def problems(self) -> Iterator[str]:
        """Contradictions between values that are valid each, as "key ...", without the table's name."""
        yield from ()


def heads_fit(width: int, heads: int) -> Iterator[str]:
    """The problem of a width that its attention heads do not divide."""
    if width % heads:
        yield f"hidden_size {width} is not a multiple of num_heads {heads}"
