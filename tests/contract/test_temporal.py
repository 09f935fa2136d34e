"""What every temporal module in TEMPORAL promises, whoever adds one."""

from __future__ import annotations

import pytest
import torch
from tests.contract.choices import (
    all_variants,
    alone,
    assert_finite_gradients,
    assert_same_shapes,
    copy_weights,
    differs,
    ragged,
    small,
    spread,
)

from glossfree.models.choices import Temporal, TemporalModule
from glossfree.models.temporal import TEMPORAL
from glossfree.padded import Padded

D, E = 24, 18
LENGTHS = (11, 4, 1, 35, 2)


@pytest.fixture(params=all_variants(TEMPORAL))
def options(request: pytest.FixtureRequest) -> Temporal:
    raise AssertionError("indirect")


def built(name: str, changed: dict[str, object], seed: int = 0) -> TemporalModule:
    torch.manual_seed(seed)
    return small(TEMPORAL[name], **changed).build(E).eval()


every = pytest.mark.parametrize(("name", "changed"), all_variants(TEMPORAL))


@every
def test_frames_become_segments_of_the_width_that_is_asked_for(name: str, changed: dict[str, object]) -> None:
    module = built(name, changed)
    segments = module(ragged(LENGTHS, D))
    per_segment = module.frames_per_segment
    expected = [-(-length // per_segment) for length in LENGTHS]
    assert segments.lengths.tolist() == module.out_lengths(torch.tensor(LENGTHS)).tolist() == expected
    assert segments.values.shape == (5, max(expected), E)
    assert segments.values.dtype == torch.float32
