"""The pyramid: segments, where they lie, sizes that contradict each other. Its equations: tests/equations."""

from __future__ import annotations

import pytest
import torch

from glossfree.models.temporal.pyramid import Pyramid, PyramidModule
from glossfree.padded import Padded

D, E = 12, 7


@pytest.fixture
def pyramid() -> PyramidModule:
    torch.manual_seed(0)
    return Pyramid(hidden_size=D, num_heads=3, mlp_size=10, dropout=0.3).build(E).eval()


@pytest.mark.parametrize(
    ("length", "middles"),
    [(1, [0]), (2, [0]), (7, [3]), (8, [3]), (9, [3, 5]), (10, [3, 5]), (11, [3, 5, 7]), (16, [3, 5, 7, 9, 11])],
)
def test_a_segment_is_a_window_of_eight_frames(pyramid: PyramidModule, length: int, middles: list[int]) -> None:
    segments = pyramid(Padded(torch.randn(1, length, D), torch.tensor([length])))
    assert segments.values.shape == (1, len(middles), E)
    assert segments.lengths.tolist() == pyramid.out_lengths(torch.tensor([length])).tolist() == [len(middles)]
    assert pyramid.middles(length) == middles


def test_translating_computes_what_training_does_without_dropout(pyramid: PyramidModule) -> None:
    """Without gradients, torch takes another path through its layers."""
    frames = Padded(torch.randn(2, 31, D), torch.tensor([31, 20]))
    with_gradients = pyramid(frames).pack()
    with torch.no_grad():
        torch.testing.assert_close(pyramid(frames).pack(), with_gradients, rtol=0, atol=1e-5)


def test_dropout_acts_in_training_only(pyramid: PyramidModule) -> None:
    frames = Padded(torch.randn(1, 31, D), torch.tensor([31]))
    assert torch.equal(pyramid(frames).values, pyramid(frames).values)
    pyramid.train()
    assert not torch.equal(pyramid(frames).values, pyramid(frames).values)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"windows": (8, 8)}, "windows must rise"),
        ({"windows": (1, 3)}, "windows must rise"),
        ({"windows": (8, 100_000)}, "windows must rise"),
        ({"windows": (8, 11)}, "windows must differ"),
        ({"num_heads": 5}, "hidden_size"),
    ],
)
def test_sizes_that_do_not_fit_are_named(options: dict[str, object], problem: str) -> None:
    assert [
        each[: len(problem)] for each in Pyramid.model_validate({"hidden_size": D, "num_heads": 3} | options).problems()
    ] == [problem]
    assert list(Pyramid(windows=(5, 9, 11)).problems()) == []
