"""The mapper in symbols."""

from __future__ import annotations

import torch
from torch.nn import functional

from glossfree.models.mapper import Mapper


def test_linear_then_norm_then_gelu() -> None:
    torch.manual_seed(0)
    mapper = Mapper(9)
    features = torch.randn(2, 5, 9)
    linear = features @ mapper.linear.weight.T + mapper.linear.bias
    expected = functional.gelu(functional.layer_norm(linear, (9,), mapper.norm.weight, mapper.norm.bias))
    torch.testing.assert_close(mapper(features), expected)
