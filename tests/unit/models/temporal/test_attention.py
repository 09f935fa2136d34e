"""Windowed attention's cost; that it is dense attention with a band is in tests/equations."""

from __future__ import annotations

import pytest
import torch
from torch.autograd.graph import saved_tensors_hooks

from glossfree.models.temporal.gloss_attention import gloss_attention
from glossfree.models.temporal.local_attention import local_attention, rotary


def kept_for_backward(steps: int, attention: str) -> int:
    """Numbers that autograd keeps for one windowed or gloss attention over `steps` steps."""
    kept: dict[int, int] = {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    query, key, value = torch.randn(3, 1, 2, steps, 4, requires_grad=True).unbind(0)
    with saved_tensors_hooks(note, lambda tensor: tensor):
        if attention == "gloss":
            gloss_attention(query, key, value, torch.zeros(1, 2, steps, 7), torch.tensor([steps]))
        else:
            local_attention(query, key, value, torch.tensor([steps]), 7)
    return sum(kept.values())


@pytest.mark.parametrize("attention", ["window", "gloss"])
def test_memory_grows_linearly_with_time(attention: str) -> None:
    assert kept_for_backward(4096, attention) < 4.4 * kept_for_backward(1024, attention)


def test_results_keep_the_precision_of_the_input() -> None:
    query, key, value = torch.randn(3, 1, 2, 9, 4).bfloat16().unbind(0)
    assert local_attention(query, key, value, torch.tensor([9]), 3).dtype == torch.bfloat16
    assert rotary(query, torch.arange(9)).dtype == torch.bfloat16
    offsets = torch.zeros(1, 2, 9, 3).bfloat16()
    assert gloss_attention(query, key, value, offsets, torch.tensor([9])).dtype == torch.bfloat16


def test_rotary_needs_pairs() -> None:
    with pytest.raises(ValueError, match="even"):
        rotary(torch.zeros(1, 1, 2, 5), torch.arange(2))
