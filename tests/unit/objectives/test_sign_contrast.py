"""SignCL's loss: what it depends on, its edges, and the unit of its margin. Its equation is in tests/equations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from glossfree.models.hierarchy import Levels
from glossfree.models.tokens import IGNORED
from glossfree.objectives import OBJECTIVES
from glossfree.objectives.base import Inputs, SeparableLoss, Sizes
from glossfree.objectives.sign_contrast import (
    SignContrast,
    even_draws,
    far_frames,
    mean_distance,
    negative_gaps,
    sign_contrast_loss,
)
from glossfree.padded import Padded
from glossfree.video.batch import ClipBatch

D = 14
SMALL: dict[str, Any] = {"min_reach": 2, "zipf": 0.7, "negatives": 3}


def random_clips(*lengths: int, width: int = D) -> list[Tensor]:
    generator = torch.Generator().manual_seed(7)
    return [torch.randn(length, width, generator=generator) for length in lengths]


def batch_of(clips: Sequence[Tensor], tokens: Sequence[int] | None = None) -> ClipBatch:
    """Clips (T, D) and the tokens of their sentences, special ones aside; None: a batch without labels."""
    labels = None
    if tokens is not None:
        labels = torch.nn.utils.rnn.pad_sequence(
            [torch.arange(5, count + 7) for count in tokens], batch_first=True, padding_value=IGNORED
        )
    ids = tuple(f"clip{number}" for number in range(len(clips)))
    lengths = torch.tensor([len(clip) for clip in clips])
    return ClipBatch(ids, torch.cat(list(clips)), lengths, ids, labels, level="frame_features")


def build(**options: Any) -> SeparableLoss:
    """In evaluation mode."""
    return SignContrast(**{**SMALL, **options}).build(Sizes(D, 9, 50), Inputs()).eval()


def loss_of(loss: SeparableLoss, batch: ClipBatch, values: Tensor | None = None) -> Tensor:
    frames = Padded.unpack(batch.frames, batch.lengths)
    result: Tensor = loss(Levels(frame=frames if values is None else frames.with_values(values)), batch)
    return result


def gradient_of(loss: SeparableLoss, clips: Sequence[Tensor], tokens: Sequence[int] | None = None) -> Tensor:
    """Of all frames (N, D)."""
    batch = batch_of([clip.clone().requires_grad_() for clip in clips], tokens)
    batch.frames.retain_grad()
    loss_of(loss, batch).backward()
    assert batch.frames.grad is not None
    return batch.frames.grad


def test_it_is_registered_and_looks_at_frames() -> None:
    assert OBJECTIVES["sign_contrast"] is SignContrast
    options = SignContrast()
    assert (options.level, options.compares_clips, options.needs) == ("frame", False, ())
    assert not list(build().parameters())


def test_a_margin_in_the_wrong_unit_is_refused() -> None:
    assert [problem.split()[0] for problem in SignContrast(margin=64).problems()] == ["margin"]
    assert not list(SignContrast(margin=64, scale_free=False).problems())
    assert not list(SignContrast().problems())


@pytest.mark.parametrize("scale_free", [True, False])
@pytest.mark.parametrize("distance", ["l1", "l2"])
def test_a_clip_alone_is_the_clip_in_a_batch(scale_free: bool, distance: str) -> None:
    loss = build(scale_free=scale_free, distance=distance, margin=2.0)
    clips, tokens = random_clips(11, 40, 23), (3, 8, 5)
    lengths = torch.tensor([len(clip) for clip in clips])
    alone = [loss_of(loss, batch_of([clip], [count])) for clip, count in zip(clips, tokens, strict=True)]
    together = loss_of(loss, batch_of(clips, tokens))
    torch.testing.assert_close(together, (torch.stack(alone) * lengths / lengths.sum()).sum())
    assert len({round(float(each), 4) for each in alone}) == 3


@pytest.mark.parametrize("padding", [1e6, float("nan")])
def test_padding_changes_nothing(padding: float) -> None:
    loss, batch = build(), batch_of(random_clips(11, 23), (3, 5))
    values = Padded.unpack(batch.frames, batch.lengths).values.clone()
    values[0, 11:] = padding
    values.requires_grad_()
    result = loss_of(loss, batch, values)
    result.backward()
    assert torch.equal(result, loss_of(loss, batch))
    assert values.grad is not None
    assert values.grad[0, :11].any()
    assert not values.grad[0, 11:].any()


def test_a_step_in_two_batches_equals_one_batch() -> None:
    loss = build()
    clips, tokens = random_clips(11, 40, 1, 23), (3, 8, 2, 5)
    whole, first, second = batch_of(clips, tokens), batch_of(clips[:3], tokens[:3]), batch_of(clips[3:], tokens[3:])
    assert loss.units(first) == 52
    assert loss.units(first) + loss.units(second) == loss.units(whole)
    parts = [loss_of(loss, each) * loss.units(each) / loss.units(whole) for each in (first, second)]
    torch.testing.assert_close(sum(parts), loss_of(loss, whole))


@pytest.mark.parametrize("form", ["hinge", "softplus"])
def test_clips_too_short_for_negatives_only_attract(form: str) -> None:
    for length in (2, 3, 5):  # with a reach of 2, negatives are 5 frames away
        loss, [clip] = build(scale_free=False, loss=form, margin=4.0), random_clips(length)
        steps = (clip[1:] - clip[:-1]).norm(dim=-1)
        terms = steps if form == "hinge" else torch.nn.functional.softplus(steps - 4.0)
        near = [terms[max(i - 1, 0) : i + 1].mean() for i in range(length)]
        torch.testing.assert_close(loss_of(loss, batch_of([clip])), torch.stack(near).mean())
        gradient = gradient_of(loss, [clip])
        assert gradient.isfinite().all()
        assert gradient.any(dim=1)[[0, -1]].all()
        assert gradient_of(build(loss=form), [clip]).isfinite().all()
    [longer] = random_clips(6)
    assert loss_of(build(scale_free=False, margin=99.0), batch_of([longer])) > 20, "two of six frames have negatives"


@pytest.mark.parametrize("scale_free", [True, False])
def test_a_clip_of_one_frame_costs_nothing_and_counts_as_a_frame(scale_free: bool) -> None:
    loss, clips = build(scale_free=scale_free), random_clips(1, 13)
    assert float(loss_of(loss, batch_of(clips[:1]))) == 0
    gradient = gradient_of(loss, clips)
    assert not gradient[0].any()
    assert gradient[1:].any(dim=1).all()
    torch.testing.assert_close(loss_of(loss, batch_of(clips)), loss_of(loss, batch_of(clips[1:])) * 13 / 14)


@pytest.mark.parametrize("options", [{}, {"distance": "l1"}, {"loss": "softplus"}, {"scale_free": False}])
def test_frames_have_a_finite_gradient(options: dict[str, Any]) -> None:
    gradient = gradient_of(build(**options).train(), random_clips(11, 40, 2), (3, 8, 2))
    assert gradient.isfinite().all()
    assert gradient.any(dim=1).all()


@pytest.mark.parametrize("value", [0.0, 3.0])
@pytest.mark.parametrize("distance", ["l1", "l2"])
def test_identical_frames_cost_the_margin_without_gradient(value: float, distance: str) -> None:
    loss, clip = build(distance=distance), torch.full((29, D), value)
    torch.testing.assert_close(loss_of(loss, batch_of([clip], [9])), torch.tensor(SignContrast().margin))
    assert not gradient_of(loss, [clip], [9]).any()


def test_a_clip_without_motion_does_not_dominate_others() -> None:
    """Its frames differ by rounding. Divided by their mean distance, its gradient would be a million times larger."""
    [moving] = random_clips(29)
    still = moving[:1] + 1e-6 * moving
    gradients = [gradient_of(build(), [clip], [9]).norm() for clip in (moving, still)]
    assert 0 < gradients[1] < 200 * gradients[0]


def test_the_scale_is_the_mean_over_pairs_of_real_frames() -> None:
    clips = random_clips(5, 31, 1)
    frames = Padded.unpack(torch.cat(clips), torch.tensor([5, 31, 1]))
    for order in (1, 2):
        means = [torch.pdist(clip, order).mean() for clip in clips[:2]]
        torch.testing.assert_close(mean_distance(frames, order)[:2], torch.stack(means))
    assert mean_distance(frames, 2)[2] > 0


def test_scaled_and_shifted_features_cost_the_same() -> None:
    batch, loss = batch_of(random_clips(11, 40), (3, 8)), build()
    values = Padded.unpack(batch.frames, batch.lengths).values
    torch.testing.assert_close(loss_of(loss, batch, 37 * values - 5), loss_of(loss, batch))
    assert loss_of(build(scale_free=False), batch, 37 * values) > 30 * loss_of(build(scale_free=False), batch)


def test_the_scale_is_a_constant_for_the_gradient() -> None:
    [clip] = random_clips(31)
    scale = float(mean_distance(Padded.unpack(clip, torch.tensor([31])), 2))
    fixed = gradient_of(build(scale_free=False, margin=1.2 * scale), [clip], [9]) / scale
    torch.testing.assert_close(gradient_of(build(margin=1.2), [clip], [9]), fixed, rtol=1e-4, atol=1e-7)


def test_published_margins_do_not_suit_normalised_features() -> None:
    """Unrelated frames of unit variance, D = 512: 32 apart in L2, 578 in L1. Scale-free, the default margin acts."""
    clips = random_clips(70, width=512)
    frames = Padded.unpack(clips[0], torch.tensor([70]))
    assert float(mean_distance(frames, 2)) == pytest.approx(32, abs=0.5)
    assert float(mean_distance(frames, 1)) == pytest.approx(578, abs=6)

    def negatives_cost(**options: Any) -> float:
        """The loss beyond that of neighbours alone."""
        with_negatives, without = SignContrast(**options), SignContrast(**{**options, "min_reach": 35})
        batch = batch_of(clips, [20])
        losses = [loss_of(each.build(Sizes(512, 9, 50), Inputs()).eval(), batch) for each in (with_negatives, without)]
        return float(losses[0] - losses[1])

    assert negatives_cost(scale_free=False, distance="l1", margin=32) == 0  # released
    assert negatives_cost(scale_free=False, distance="l2", margin=64) == pytest.approx(32, abs=1)  # each of them
    assert negatives_cost() == pytest.approx(SignContrast().margin - 1, rel=0.1)


def test_signs_that_are_well_apart_cost_nothing_but_their_borders() -> None:
    """Nine signs of 21 frames each, equally far from each other: only neighbours across a border are apart."""
    clip = 5 * torch.eye(D)[:9].repeat_interleave(21, dim=0)
    # zipf * T / L = 10.9: a negative is at least 22 frames away, in another sign
    loss = SignContrast().build(Sizes(D, 9, 50), Inputs()).eval()
    across = 5 * 2**0.5 / float(mean_distance(Padded.unpack(clip, torch.tensor([189])), 2))
    assert across > SignContrast().margin
    assert float(loss_of(loss, batch_of([clip], [40]))) == pytest.approx(8 * across / 189, rel=1e-5)
    mixed = clip.clone()
    mixed[21:42] = clip[105:126] + 0.1  # the second sign looks like the sixth
    assert loss_of(loss, batch_of([mixed], [40])) > loss_of(loss, batch_of([clip], [40])) + 0.01


def test_reach_is_of_each_clip_and_its_own_sentence() -> None:
    lengths, tokens = torch.tensor([116, 116, 90, 40]), torch.tensor([13, 7, 0, 20])
    # 2 * reach = 2 * 2.3 * T / L: 41.05, 76.2, 414 (no token counts as one), and twice the floor
    assert negative_gaps(lengths, tokens, 2.3, 10).tolist() == [42, 77, 415, 21]
    assert negative_gaps(lengths, None, 2.3, 10).tolist() == [21] * 4


def test_special_tokens_and_padding_of_labels_are_no_words() -> None:
    """T = 24 and L = 4: 2 * reach = 2 * 0.7 * 24 / 4 = 8.4, so that negatives are 9 frames away."""
    [clip, longer] = random_clips(24, 11)
    frames, lengths = Padded.unpack(torch.cat((clip, longer)), torch.tensor([24, 11])), torch.tensor([24, 11])
    draws = even_draws(torch.empty(2, 24, 3))
    expected, others = (
        sign_contrast_loss(frames, *far_frames(lengths, torch.tensor([gap, 5]), draws), torch.ones(2), 9.0, 2, "hinge")
        for gap in (9, 6)  # 6: if the special tokens were counted
    )
    loss = build(scale_free=False, margin=9.0)
    torch.testing.assert_close(loss_of(loss, batch_of([clip, longer], [4, 13])), expected)
    assert abs(float(expected - others)) > 0.01
    # one special token less, one piece more
    other = SignContrast(**SMALL, scale_free=False, margin=9.0).build(Sizes(D, 9, 50, special_tokens=1), Inputs())
    torch.testing.assert_close(loss_of(other.eval(), batch_of([clip, longer], [3, 12])), expected)


@pytest.mark.parametrize("number", [1, 4, 9])
def test_draws_are_within_the_clip_beyond_the_gap_and_take_each_frame_equally_often(number: int) -> None:
    lengths, gaps = torch.tensor([17, 12, 3]), torch.tensor([6, 5, 2])
    generator, rounds = torch.Generator().manual_seed(1), 4000
    taken: Counter[tuple[int, int, int]] = Counter()
    draws = torch.rand(rounds, 3, 17, number, generator=generator)
    for each in draws:
        negatives, exist = far_frames(lengths, gaps, each)
        for clip, frame in ((0, 0), (0, 8), (0, 16), (1, 3), (2, 0)):
            assert exist[clip, frame]
            taken.update((clip, frame, other) for other in negatives[clip, frame].tolist())
    for clip, frame in ((0, 0), (0, 8), (0, 16), (1, 3), (2, 0)):
        allowed = [j for j in range(int(lengths[clip])) if abs(j - frame) >= int(gaps[clip])]
        assert sorted(other for c, f, other in taken if (c, f) == (clip, frame)) == allowed
        for other in allowed:
            expected = rounds * number / len(allowed)
            assert taken[clip, frame, other] == pytest.approx(expected, abs=5 * expected**0.5)


def test_as_many_draws_as_frames_take_each_once() -> None:
    negatives, exist = far_frames(torch.tensor([12]), torch.tensor([5]), torch.full((1, 12, 7), 0.5))
    assert negatives[0, 0].tolist() == [5, 6, 7, 8, 9, 10, 11]
    assert negatives[0, 11].tolist() == [0, 1, 2, 3, 4, 5, 6]
    assert exist.all()


def test_the_largest_draw_stays_in_the_clip() -> None:
    largest = torch.full((1, 300, 4), 1 - 2**-24)  # 3 + this is 4 in float32
    negatives, _ = far_frames(torch.tensor([300]), torch.tensor([21]), largest)
    assert (negatives[0] - torch.arange(300)[:, None]).abs().min() >= 21
    assert not far_frames(torch.tensor([8]), torch.tensor([9]), largest[:, :8])[1].any()


def test_in_evaluation_all_frames_far_away_are_compared() -> None:
    """One negative for each of 150 frames: all lags from the gap on, and not the same few."""
    negatives, exist = far_frames(torch.tensor([150]), torch.tensor([21]), even_draws(torch.empty(1, 150, 1)))
    lags = (negatives[0, :, 0] - torch.arange(150)).abs()[exist[0]]
    assert lags.min() >= 21
    assert len(lags.unique()) > 60


def test_training_draws_by_the_seed_and_evaluation_does_not_draw() -> None:
    loss, batch = build(margin=2.0), batch_of(random_clips(40, 23), (8, 5))
    before = torch.get_rng_state()
    assert torch.equal(loss_of(loss, batch), loss_of(loss, batch))
    assert torch.equal(torch.get_rng_state(), before)
    loss.train()
    drawn = []
    for seed in (1, 2, 1):
        torch.manual_seed(seed)
        drawn.append(float(loss_of(loss, batch)))
    assert drawn[0] == drawn[2] != drawn[1]


def test_gradients_are_the_same_to_the_bit_each_time() -> None:
    """With two threads, the gradient of plain indexing is not."""
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        clips, loss = random_clips(290, width=64), build(negatives=128)
        first = gradient_of(loss, clips, [30])
        assert all(torch.equal(gradient_of(loss, clips, [30]), first) for _ in range(4))
    finally:
        torch.set_num_threads(threads)


def test_autocast_changes_nothing() -> None:
    loss, batch = build(), batch_of(random_clips(40, 23), (8, 5))
    with torch.autocast("cpu", torch.bfloat16):
        result = loss_of(loss, batch)
    assert result.dtype == torch.float32
    assert torch.equal(result, loss_of(loss, batch))


@pytest.mark.parametrize("scale_free", [True, False])
def test_half_precision_is_raised_to_float32_first(scale_free: bool) -> None:
    loss, batch = build(scale_free=scale_free, margin=2.0), batch_of(random_clips(40, 23), (8, 5))
    half = Padded.unpack(batch.frames, batch.lengths).values.bfloat16()
    assert torch.equal(loss_of(loss, batch, half), loss_of(loss, batch, half.float()))
