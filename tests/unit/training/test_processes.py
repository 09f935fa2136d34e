"""Alone, everything is itself; several processes are tested on the real command line (tests/flow/test_processes.py)."""

from __future__ import annotations

import pytest
import torch
from torch import distributed, nn

from glossfree.errors import RunError
from glossfree.training.processes import Processes, explain_lost_process


def test_a_process_that_nobody_launched_is_alone_and_the_first() -> None:
    assert Processes.launched() == Processes.here() == Processes(0, 1)
    assert Processes().is_main and not Processes(1, 2).is_main


def test_alone_nothing_is_sent() -> None:
    alone, values = Processes(), torch.tensor([2.0, 5.0])
    rows = torch.randn(3, 4)
    weight = nn.Parameter(torch.ones(2))
    weight.grad = torch.tensor([1.0, -1.0])
    assert alone.sum(values) is values and alone.numbers([2, 0.5]) == [2, 0.5]
    assert alone.rows(rows) == (rows, 0) and alone.objects({"a": 1}) == [{"a": 1}]
    alone.sum_gradients([weight, nn.Parameter(torch.ones(1))])
    alone.wait()
    assert torch.equal(weight.grad, torch.tensor([1.0, -1.0]))


def test_a_process_that_is_lost_is_explained_and_other_errors_are_left_alone() -> None:
    for lost in (RuntimeError("[gloo/transport/tcp/pair.cc] Connection closed by peer"), distributed.DistError("x")):
        with (
            pytest.raises(RunError, match=r"another of the processes .* has ended -> .*--resume"),
            explain_lost_process(),
        ):
            raise lost
    with pytest.raises(RuntimeError, match="shapes") as caught, explain_lost_process():
        raise RuntimeError("shapes do not fit")
    assert not isinstance(caught.value, RunError)
