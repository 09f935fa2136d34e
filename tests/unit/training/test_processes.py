"""Alone, everything is itself; several processes are tested on the real command line (tests/flow/test_processes.py)."""

from __future__ import annotations

import torch
from torch import nn

from glossfree.training.processes import Processes


def test_a_process_that_nobody_launched_is_alone_and_the_first() -> None:
    assert Processes.launched() == Processes.here() == Processes(0, 1)
    assert Processes().is_main and not Processes(1, 2).is_main


def test_alone_nothing_is_sent() -> None:
    alone, values = Processes(), torch.tensor([2.0, 5.0])
    rows = torch.randn(3, 4)
    weight = nn.Parameter(torch.ones(2))
    weight.grad = torch.tensor([1.0, -1.0])
    assert alone.sum(values) is values and alone.most(values) is values
    assert alone.rows(rows) == (rows, 0) and alone.objects({"a": 1}) == [{"a": 1}]
    alone.sum_gradients([weight, nn.Parameter(torch.ones(1))])
    alone.wait()
    assert torch.equal(weight.grad, torch.tensor([1.0, -1.0]))
