"""8-bit weights: what is stored comes back, products are those of the rounded weights, damage is named."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from glossfree.errors import ModelError
from glossfree.models import int8, packed
from glossfree.models.int8 import Int8Linear, from_int8, pack_int8, quantise, to_int8
from glossfree.models.packed import pack

needs_products = pytest.mark.skipif(not int8.can_multiply(), reason="no fast products with integers here")


class Model(nn.Module):
    """One of each kind: a table that the output layer shares, layers, a norm, a convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.output = nn.Embedding(7, 5), nn.Linear(5, 7, bias=False)
        self.output.weight = self.table.weight
        self.layer, self.norm, self.convolution = nn.Linear(5, 3), nn.LayerNorm(5), nn.Conv1d(5, 3, 2)


def naive(matrix: Tensor) -> Tensor:
    """Each row rounded to the nearest of 255 multiples of its largest / 127."""
    rows = []
    for row in matrix.tolist():
        scale = max(map(abs, row)) / 127
        rows.append([round(each / scale) * scale for each in row])
    return torch.tensor(rows)


def test_matrices_are_rounded_row_by_row_and_the_rest_is_exact() -> None:
    torch.manual_seed(2)
    model = Model()
    stored = to_int8(model)
    read, before = from_int8(stored, where="here"), packed_state(model)
    matrices = {"table.weight", "layer.weight"}  # the output layer's is the table's
    assert {name for name, tensor in stored.items() if tensor.dtype == torch.int8} == matrices
    assert read.keys() == before.keys()
    for name, tensor in read.items():
        expected = naive(before[name]) if name in matrices else before[name]
        torch.testing.assert_close(tensor, expected, rtol=0, atol=1e-6 if name in matrices else 0)


def packed_state(model: nn.Module) -> dict[str, Tensor]:
    return {name: each.detach() for name, each in model.state_dict().items() if name != "output.weight"}


def test_what_was_read_back_gives_the_same_integers_and_rows_of_zeros_stay() -> None:
    matrix = torch.randn(211, 67, generator=torch.Generator().manual_seed(3)) * torch.logspace(-9, 9, 211)[:, None]
    matrix[5] = 0
    integers, scales = quantise(matrix)
    again, _ = quantise(integers * scales[:, None])
    assert torch.equal(integers, again) and not integers[5].any() and scales[5] > 0
    assert integers.abs().amax(dim=1).tolist() == [0 if row == 5 else 127 for row in range(211)]


@pytest.mark.parametrize(
    ("scales", "problem"),
    [
        (None, "no scales"),
        (torch.ones(3, 1), "damaged scales"),
        (torch.ones(4), "damaged scales"),
        (torch.ones(3, dtype=torch.float64), "damaged scales"),
        (torch.tensor([1.0, 0.0, 1.0]), "damaged scales"),
        (torch.tensor([1.0, float("nan"), 1.0]), "damaged scales"),
        (torch.tensor([1.0, float("inf"), 1.0]), "damaged scales"),
    ],
)
def test_missing_and_damaged_scales_are_named(scales: Tensor | None, problem: str) -> None:
    tensors = to_int8(Model())
    del tensors["layer.weight_scale"]
    with pytest.raises(ModelError, match=f"here: layer.weight has 8 bits, and {problem}"):
        from_int8(tensors if scales is None else {**tensors, "layer.weight_scale": scales}, where="here")


def test_integers_that_are_no_matrix_are_named() -> None:
    tensors = {"layer.weight": torch.ones(3, 2, 2, dtype=torch.int8), "layer.weight_scale": torch.ones(3)}
    with pytest.raises(ModelError, match="damaged scales"):
        from_int8(tensors, where="here")


@needs_products
@pytest.mark.parametrize("rows", [(1,), (4,), (8,), (9,), (3, 7), (2, 1, 5)])
@pytest.mark.parametrize("bias", [True, False])
def test_products_are_those_of_the_rounded_weights(rows: tuple[int, ...], bias: bool) -> None:
    torch.manual_seed(1)
    layers, inputs = nn.Sequential(nn.Linear(384, 352, bias=bias)), torch.randn(*rows, 384)
    weight = naive(layers[0].weight)
    expected = inputs.bfloat16().float() @ weight.T + (layers[0].bias if bias else 0.0)
    pack_int8(layers)
    assert isinstance(layers[0], Int8Linear)
    with torch.no_grad():
        torch.testing.assert_close(layers(inputs), expected, rtol=2**-8, atol=1e-3)


@needs_products
def test_a_row_alone_is_that_row_among_many() -> None:
    torch.manual_seed(1)
    layer, inputs = Int8Linear(nn.Linear(384, 352)), torch.randn(23, 384)
    alone = torch.cat([layer(inputs[row : row + 1]) for row in range(23)])
    assert (alone != layer(inputs)).float().mean() < 0.01  # a sum in another order may be rounded the other way


@needs_products
def test_only_large_layers_keep_integers_and_pack_leaves_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed, "SMALLEST", 35)
    layers = nn.Sequential(nn.Linear(5, 7), nn.Linear(17, 2))
    pack_int8(layers)
    pack(layers)
    assert [type(each) for each in layers] == [Int8Linear, nn.Linear]


def test_without_fast_products_weights_stay_floats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(int8, "get_cpu_capability", lambda: "DEFAULT")
    layers = nn.Sequential(nn.Linear(512, 512))
    pack_int8(layers)
    assert type(layers[0]) is nn.Linear
