"""Small entries of the registries, and checks that all of them share."""

from __future__ import annotations

import typing
from collections.abc import Iterator, Mapping
from typing import Literal, TypeVar

import pytest
import torch
from pydantic import BaseModel
from torch import Tensor, nn

from glossfree.models.weights import load, state
from glossfree.padded import Padded

# values for the entries that have them; all other values keep their defaults
SIZES = {
    "hidden_size": 24,
    "num_layers": 3,
    "num_heads": 4,
    "mlp_ratio": 2,
    "mlp_size": 20,
    "patch_size": 7,
    "image_size": 28,
    "max_positions": 40,
    "layer_scale": 0.7,  # so that a leak through attention would show
    "vector_size": 6,
    "config": {
        "model_type": "llama",
        "hidden_size": 24,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "intermediate_size": 20,
    },
}
Options = TypeVar("Options", bound=BaseModel)


def small(kind: type[Options], **values: object) -> Options:
    """An entry with SIZES, and these `values`."""
    return kind.model_validate({name: size for name, size in SIZES.items() if name in kind.model_fields} | values)


def variants(kind: type[BaseModel]) -> Iterator[dict[str, object]]:
    """No change, and then each other choice of each boolean or literal value, one at a time."""
    yield {}
    for name, field in kind.model_fields.items():
        if name in ("kind", "train", "features"):  # not about what the module computes
            continue
        if typing.get_origin(field.annotation) is Literal:
            choices: tuple[object, ...] = typing.get_args(field.annotation)
        else:
            choices = (False, True) if field.annotation is bool else ()
        yield from ({name: choice} for choice in choices if choice != field.default)


def all_variants(registry: Mapping[str, type[BaseModel]]) -> list[object]:
    """Parameters of a test: each entry with each of its valid variants."""
    return [
        pytest.param(name, changed, id="-".join([name, *(f"{key}={item}" for key, item in changed.items())]))
        for name, kind in registry.items()
        for changed in variants(kind)
        if not list(small(kind, **changed).problems())  # type: ignore[attr-defined]
    ]


def spread(module: nn.Module) -> nn.Module:
    """The module with parameters far from 0 and from each other, so that no path starts without effect."""
    source = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=source)
    return module


def ragged(lengths: tuple[int, ...], width: int, rubbish: float = 0.0, seed: int = 1) -> Padded:
    """Random sequences of these lengths, padded with `rubbish`."""
    rows = torch.randn(sum(lengths), width, generator=torch.Generator().manual_seed(seed))
    padded = Padded.unpack(rows, torch.tensor(lengths))
    return padded.with_values(padded.values.masked_fill(~padded.mask[..., None], rubbish))


def alone(sequences: Padded, row: int) -> Padded:
    """A single sequence, without padding."""
    length = int(sequences.lengths[row])
    return Padded(sequences.values[row : row + 1, :length], sequences.lengths[row : row + 1])


def assert_finite_gradients(module: nn.Module, apart_from: tuple[str, ...] = ()) -> None:
    """Every parameter that trains has a finite gradient."""
    for name, parameter in module.named_parameters():
        if parameter.requires_grad and not name.endswith(apart_from):
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all(), name


def assert_same_shapes(one: nn.Module, other: nn.Module) -> None:
    """Both have the same tensors by name."""
    shapes = [{name: tensor.shape for name, tensor in state(each).items()} for each in (one, other)]
    assert shapes[0] == shapes[1]


def copy_weights(source: nn.Module, target: nn.Module) -> None:
    """Copy as saving and loading do."""
    load(target, {name: tensor.clone() for name, tensor in state(source).items()})


def differs(one: Tensor, other: Tensor) -> bool:
    """Whether two results differ by more than rounding."""
    return one.shape != other.shape or not torch.allclose(one, other, atol=1e-3)
