"""BatchNorm in a single process; over several, see tests/flow/test_processes.py."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from glossfree.models.norm import FrameNorm


@pytest.mark.parametrize("shape", [(11, 5), (3, 5, 4, 7)])
def test_in_a_single_process_it_is_torchs(shape: tuple[int, ...]) -> None:
    ours, theirs = FrameNorm(5), (nn.BatchNorm1d(5) if len(shape) == 2 else nn.BatchNorm2d(5))
    for _ in range(2):
        values = torch.randn(shape) + 3
        assert torch.equal(ours(values), theirs(values))
    assert ours.state_dict().keys() == theirs.state_dict().keys()
    assert all(torch.equal(ours.get_buffer(name), buffer) for name, buffer in theirs.named_buffers())
    values = torch.randn(shape)
    assert torch.equal(ours.eval()(values), theirs.eval()(values))


def test_another_number_of_axes_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\(N,D\) or \(N,D,H,W\) expected, got \(2, 5, 3\)"):
        FrameNorm(5)(torch.zeros(2, 5, 3))
