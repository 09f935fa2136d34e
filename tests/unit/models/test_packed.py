"""Packed linear layers compute what they did."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from glossfree.models import packed
from glossfree.models.packed import PackedLinear, pack


class Other(nn.Linear):
    """A layer whose weights something else may use."""


@pytest.mark.parametrize("rows", [(1,), (4,), (3, 7), (2, 1, 5), (130,)])
@pytest.mark.parametrize("bias", [True, False])
def test_results_are_those_of_the_linear_layer(rows: tuple[int, ...], bias: bool) -> None:
    torch.manual_seed(1)
    layers, inputs = nn.Sequential(nn.Linear(384, 352, bias=bias)), torch.randn(*rows, 384)
    expected = layers(inputs)
    pack(layers)
    assert isinstance(layers[0], PackedLinear) or not torch.backends.mkldnn.is_available()
    with torch.no_grad():
        torch.testing.assert_close(layers(inputs), expected, rtol=1e-5, atol=1e-5)


def test_only_large_layers_of_float32_are_packed(monkeypatch: pytest.MonkeyPatch) -> None:
    layers = nn.ModuleList([nn.Linear(512, 512), nn.Linear(16, 512), nn.Linear(512, 512).double(), Other(512, 512)])
    pack(layers)
    assert [type(each) for each in layers][1:] == [nn.Linear, nn.Linear, Other]
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    without = nn.Sequential(nn.Linear(512, 512))
    pack(without)
    assert type(without[0]) is nn.Linear


def test_the_smallest_that_is_packed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed, "SMALLEST", 35)
    layers = nn.Sequential(nn.Linear(5, 7), nn.Linear(17, 2))
    pack(layers)
    assert type(layers[1]) is nn.Linear and len(list(layers[0].parameters())) in (0, 2)


def test_packed_weights_are_not_saved_as_if_there_were_none() -> None:
    layers = nn.Sequential(nn.Linear(512, 512))
    pack(layers)
    if isinstance(layers[0], PackedLinear):
        with pytest.raises(RuntimeError, match="packed to translate cannot be saved"):
            layers.state_dict()
