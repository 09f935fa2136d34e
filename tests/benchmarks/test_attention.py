"""What is compared computes the same."""

from __future__ import annotations

import torch

from benchmarks import attention
from glossfree.models.temporal.local_attention import local_attention


def test_dense_attention_is_windowed_attention() -> None:
    query, key, value = (torch.randn(2, 3, 71, 10, dtype=torch.float64) for _ in range(3))
    lengths = torch.tensor([71, 38])
    dense, windowed = (f(query, key, value, lengths, 7) for f in (attention.dense_attention, local_attention))
    for clip, length in enumerate(lengths.tolist()):
        torch.testing.assert_close(dense[clip, :, :length], windowed[clip, :, :length])


def test_the_table() -> None:
    text = attention.run((16,), rounds=1)
    assert text.splitlines()[2].startswith("| 16 | ")
    assert text.splitlines()[2].count("|") == text.splitlines()[0].count("|") == 8
