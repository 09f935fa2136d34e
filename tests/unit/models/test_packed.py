"""Packed linear layers compute what they did."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from glossfree.models import packed
from glossfree.models.packed import FreezableLinear, PackedLinear, pack


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


@pytest.mark.parametrize("rows", [(1,), (4,), (3, 7), (2, 1, 5), (0,), (130,)])
def test_a_frozen_layer_and_its_gradient_are_those_of_the_linear_layer(rows: tuple[int, ...]) -> None:
    torch.manual_seed(1)
    layer = FreezableLinear(384, 352)
    inputs, gradient = torch.randn(*rows, 384, requires_grad=True), torch.randn(*rows, 352)
    expected = layer(inputs)
    (of_inputs,) = torch.autograd.grad(expected, inputs, gradient)
    layer.requires_grad_(False)
    product = layer(inputs)
    torch.testing.assert_close(product, expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(torch.autograd.grad(product, inputs, gradient)[0], of_inputs, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(layer(inputs.detach()), expected.detach(), rtol=1e-5, atol=1e-5)


def test_a_rounded_layer_follows_its_weight() -> None:
    torch.manual_seed(1)
    layer, other, rows = FreezableLinear(512, 512).requires_grad_(False), nn.Linear(512, 512), torch.randn(3, 512)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        layer(rows)
        layer.load_state_dict(other.state_dict())
        for each in (layer, copy.deepcopy(layer)):
            torch.testing.assert_close(each(rows), other(rows), rtol=0, atol=0)
        assert layer.double()(rows.double()).dtype == torch.float64
    assert layer.to("meta")(torch.empty(2, 512, device="meta")).shape == (2, 512)


def test_a_frozen_layer_follows_its_weight() -> None:
    torch.manual_seed(1)
    layer, other, inputs = FreezableLinear(512, 512), nn.Linear(512, 512), torch.randn(3, 512, requires_grad=True)
    layer.requires_grad_(False)(inputs).sum().backward()
    layer.load_state_dict(other.state_dict())
    torch.testing.assert_close(layer(inputs), other(inputs), rtol=1e-5, atol=1e-5)
    with torch.no_grad():
        layer.weight.mul_(2)
    twice = copy.deepcopy(layer)
    assert list(twice.state_dict()) == ["weight", "bias"]
    for each in (layer, twice):
        (of_inputs,) = torch.autograd.grad(each(inputs).sum(), inputs)
        torch.testing.assert_close(of_inputs, 2 * other.weight.sum(0).expand(3, -1), rtol=1e-4, atol=1e-4)
    layer.double()
    expected = 2 * (other(inputs) - other.bias) + other.bias
    torch.testing.assert_close(layer(inputs.double()), expected.double(), rtol=1e-4, atol=1e-4)


def test_a_frozen_layer_made_to_infer_only() -> None:
    with torch.inference_mode():
        layer = FreezableLinear(512, 512).requires_grad_(False)
    rows = torch.randn(3, 512)
    with torch.no_grad():
        torch.testing.assert_close(layer(rows), rows @ layer.weight.T + layer.bias, rtol=1e-5, atol=1e-5)


def test_a_layer_that_learns_is_not_packed() -> None:
    layer = FreezableLinear(512, 512)
    layer(torch.randn(3, 512)).sum().backward()
    assert layer.weight.grad is not None and layer.bias.grad is not None


def test_a_layer_that_moves_keeps_nothing_packed() -> None:
    layer, rows = FreezableLinear(512, 512).requires_grad_(False), torch.randn(3, 512)
    layer(rows)
    layer.bfloat16().float()
    torch.testing.assert_close(layer(rows), rows @ layer.weight.T + layer.bias, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("strict", [True, False])
def test_what_is_exported_is_a_linear_layer(strict: bool) -> None:
    layer = FreezableLinear(512, 512).requires_grad_(False)
    program = torch.export.export(nn.Sequential(layer), (torch.randn(3, 512),), strict=strict)
    assert [str(node.target) for node in program.graph.nodes if node.op == "call_function"] == ["aten.linear.default"]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_frozen_layer_in_half_precision_is_as_autocast_makes_it(dtype: torch.dtype) -> None:
    torch.manual_seed(1)
    layer, rows, gradient = FreezableLinear(512, 512), torch.randn(3, 512, requires_grad=True), torch.randn(3, 512)
    with torch.inference_mode(), torch.autocast("cpu", dtype=dtype):
        layer.requires_grad_(False)(rows)  # leaves nothing that could not be used below
    for change in (lambda: None, lambda: layer.weight.mul_(2), lambda: layer.bias.add_(1)):
        with torch.no_grad():
            change()
        results = []
        for learns in (True, False):
            with torch.autocast("cpu", dtype=dtype):
                product = layer.requires_grad_(learns)(rows)
            assert product.dtype == dtype
            results.append((product, torch.autograd.grad(product, rows, gradient.to(dtype))[0]))
        torch.testing.assert_close(results[1], results[0], rtol=0, atol=0)
