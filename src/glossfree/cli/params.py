"""`params`: trainable and total parameters of a recipe, per part and stage."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from glossfree.cli.options import Overrides, Recipe
from glossfree.pipeline.params import Counts, count_parameters
from glossfree.recipe.files import load_recipe


def params(
    recipe: Recipe,
    overrides: Overrides = None,
    corpus: Annotated[Path | None, typer.Option(help="Count with the sizes of this prepared corpus.")] = None,
) -> Counts:
    """Count the parameters of each stage; see `pipeline.params.count_parameters`."""
    return count_parameters(load_recipe(recipe, overrides or ()), corpus)
