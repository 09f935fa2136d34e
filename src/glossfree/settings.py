"""How the values of a recipe are declared: typed and frozen, each with its meaning, unit and standing.

The choices for a part of the model, and the objectives, declare their values in their own files.
`glossfree.recipe.schema` combines them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Standing = Literal["stated", "released", "derived", "assumed"]
Trained = Literal["adapters", "all", "none"]

# Limits far beyond any model. Without them, a corrupt number could take hours and all memory to build.
DEEPEST, WIDEST, MOST_PIXELS, MOST_TOKENS = 200, 65_536, 4096, 10_000_000


def value(default: Any, standing: Standing, meaning: str, **limits: Any) -> Any:
    """A field with its default, its standing and its meaning (with the unit).

    Standing: *stated* in the paper, *released* (in the authors' training code), *derived* from Table 3, or
    *assumed* by us.
    """
    return Field(default, description=meaning, json_schema_extra={"standing": standing}, **limits)


class Section(BaseModel):
    """One table of a recipe: typed, frozen, without unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def problems(self) -> Iterator[str]:
        """Contradictions between values that are valid on their own, as "key ...", without the table's name.

        Every section: heads, if it has any, divide the width.
        """
        width, heads = getattr(self, "hidden_size", 0), getattr(self, "num_heads", 1)
        if width % heads:
            yield f"hidden_size {width} is not a multiple of num_heads {heads}"
