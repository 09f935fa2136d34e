"""Checks of every temporal module in TEMPORAL."""

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

from glossfree.models.choices import TemporalModule
from glossfree.models.temporal import TEMPORAL

D, E = 24, 18
LENGTHS = (11, 4, 1, 35, 2)

pytestmark = pytest.mark.parametrize(("name", "changed"), all_variants(TEMPORAL))


def build(name: str, changed: dict[str, object]) -> TemporalModule:
    torch.manual_seed(0)
    module = small(TEMPORAL[name], **changed).build(E)
    spread(module)
    return module.eval()


def test_frames_become_segments_of_the_width_that_is_asked_for(name: str, changed: dict[str, object]) -> None:
    module = build(name, changed)
    segments = module(ragged(LENGTHS, D))
    expected = [len(module.middles(length)) for length in LENGTHS]
    assert segments.lengths.tolist() == module.out_lengths(torch.tensor(LENGTHS)).tolist() == expected
    assert segments.values.shape == (5, max(expected), E)
    assert segments.values.dtype == torch.float32


def test_segments_lie_one_after_another_within_their_clip(name: str, changed: dict[str, object]) -> None:
    module = build(name, changed)
    for length in range(1, 40):
        middles = list(module.middles(length))
        assert middles == sorted(set(middles)) and middles[0] >= 0 and middles[-1] < length


def test_a_clip_is_the_same_alone_and_in_a_batch(name: str, changed: dict[str, object]) -> None:
    module, frames = build(name, changed), ragged(LENGTHS, D, rubbish=1e3)
    together = module(frames)
    for row in range(len(LENGTHS)):
        segments = module(alone(frames, row))
        torch.testing.assert_close(alone(together, row).values, segments.values, rtol=0, atol=1e-4)


def test_clips_make_a_difference_and_twice_the_same_does_not(name: str, changed: dict[str, object]) -> None:
    module = build(name, changed)
    first, second = module(ragged(LENGTHS, D)), module(ragged(LENGTHS, D, seed=2))
    assert differs(first.values, second.values)
    assert torch.equal(module(ragged(LENGTHS, D)).values, first.values)


def test_gradients_are_finite_at_the_start_and_none_comes_from_padding(name: str, changed: dict[str, object]) -> None:
    torch.manual_seed(0)
    module = small(TEMPORAL[name], **changed).build(E).train()
    frames = ragged(LENGTHS, D, rubbish=1e3)
    frames.values.requires_grad_()
    module(frames).pack().square().sum().backward()
    assert_finite_gradients(module)
    assert frames.values.grad is not None and frames.values.grad.isfinite().all()
    assert (frames.values.grad[~frames.mask] == 0).all()
    assert (frames.values.grad[frames.mask].abs().sum(dim=1) > 0).all(), "a frame that nothing looks at"


def test_weights_move_to_another_one_that_needs_no_memory_to_be_built(name: str, changed: dict[str, object]) -> None:
    module, frames = build(name, changed), ragged(LENGTHS, D)
    other = small(TEMPORAL[name], **changed).build(E).eval()
    assert differs(other(frames).values, module(frames).values)
    copy_weights(module, other)
    assert torch.equal(other(frames).values, module(frames).values)
    with torch.device("meta"):
        assert_same_shapes(small(TEMPORAL[name], **changed).build(E), module)
