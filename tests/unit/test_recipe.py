"""What a recipe holds: every value explained, nothing changed in place, nothing that does not belong."""

from __future__ import annotations

from collections.abc import Iterator
from typing import get_args

import pytest
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from glossfree.recipe import Recipe, Standing


def leaves(model: type[BaseModel] = Recipe, prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Every value of a recipe with its dotted key."""
    for name, info in model.model_fields.items():
        if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel):
            yield from leaves(info.annotation, f"{prefix}{name}.")
        else:
            yield prefix + name, info


@pytest.mark.parametrize(("key", "info"), [pytest.param(key, info, id=key) for key, info in leaves()])
def test_every_field_says_what_it_means_and_how_well_it_is_known(key: str, info: FieldInfo) -> None:
    assert info.description
    assert isinstance(info.json_schema_extra, dict)
    assert info.json_schema_extra["standing"] in get_args(Standing)


def test_a_recipe_cannot_be_changed_in_place() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Recipe().seed = 3  # type: ignore[misc]
    with pytest.raises(ValueError, match="frozen"):
        Recipe().data.stride = 3  # type: ignore[misc]


def test_a_stage_has_its_own_length() -> None:
    recipe = Recipe()
    epochs = [stage.epochs for stage in (recipe.denoise, recipe.pretrain, recipe.finetune1, recipe.finetune2)]
    assert epochs == [0, 100, 100, 200]


@pytest.mark.parametrize("tables", [{"pretrain": {"mask_ratio": 0.3}}, {"decode": {"num_beams": 0}}, {"sed": 1}])
def test_what_does_not_belong_is_refused(tables: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Recipe.model_validate(tables)
