"""The pseudo-gloss head and its loss as modules, and at their edges; eqs 1-3 are in tests/equations."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from glossfree.models.hierarchy import Levels
from glossfree.objectives.base import Inputs, Sizes
from glossfree.objectives.pseudo_gloss import (
    PseudoGloss,
    PseudoGlossHead,
    PseudoGlossLoss,
    gloss_scores,
    localise,
    pseudo_gloss_loss,
    sigmoid_pseudo_gloss_loss,
    similarity,
)
from glossfree.padded import Padded

P, WIDTH, VECTOR = 7, 10, 6
FREQUENCIES = torch.tensor([0.1, 0.4, 0.39, 0.9, 0.4, 0.0, 1.0])


def head(**changed: object) -> PseudoGlossHead:
    torch.manual_seed(0)
    settings: dict = {
        "dropout": 0.2, "prototype_temperature": 0.1, "time_temperature": 0.3,
        "learn_temperatures": True, "train_prototypes": True,
    }  # fmt: skip
    return PseudoGloss(**{**settings, **changed}).head(WIDTH, torch.randn(P, VECTOR)).eval()


def segments() -> Padded:
    return Padded(torch.randn(2, 5, WIDTH, generator=torch.Generator().manual_seed(1)), torch.tensor([5, 3]))


def test_shapes_and_the_three_equations_in_order() -> None:
    module = head()
    output = module(segments())
    assert output.scores.shape == (2, P)
    assert output.timeline.shape == (2, 5, P)
    assert output.lengths.tolist() == [5, 3]
    sims = similarity(module.projection(segments().values), module.prototypes)
    timeline = localise(sims, segments().mask, torch.tensor(0.1), torch.tensor(0.3))
    torch.testing.assert_close(output.timeline, timeline)
    torch.testing.assert_close(output.scores, gloss_scores(timeline))


def test_a_clip_is_the_same_alone_and_in_a_batch() -> None:
    module, values = head(), torch.randn(2, 9, WIDTH)
    together = module(Padded(values, torch.tensor([9, 4])))
    alone = module(Padded(values[1:, :4], torch.tensor([4])))
    torch.testing.assert_close(together.scores[1:], alone.scores, rtol=0, atol=1e-6)


def test_clamped_temperatures_still_learn() -> None:
    module = head()
    with torch.no_grad():
        module.log_prototype_temperature.fill_(-40.0)
        module.log_time_temperature.fill_(3.0)
    module(segments()).scores.sum().backward()
    temperatures = [temperature.item() for temperature in module.temperatures]
    assert temperatures == pytest.approx([0.01, 1.0], rel=1e-6)
    assert module.log_prototype_temperature.grad.abs() > 0
    assert module.log_time_temperature.grad.abs() > 0


def test_temperatures_start_as_given_and_learn_on_a_log_scale() -> None:
    """A step of Adam moves a temperature by the learning rate times itself, not by the learning rate."""
    module = head()
    assert [t.item() for t in module.temperatures] == pytest.approx([0.1, 0.3])
    optimizer = torch.optim.Adam([module.log_prototype_temperature, module.log_time_temperature], lr=0.05)
    module(segments()).scores.sum().backward()
    optimizer.step()
    moved = [abs(t.item() / start - 1) for t, start in zip(module.temperatures, (0.1, 0.3), strict=True)]
    assert moved == pytest.approx([0.05, 0.05], rel=0.05)


def test_switches_decide_what_trains() -> None:
    fixed = head(learn_temperatures=False, train_prototypes=False)
    assert {name for name, p in fixed.named_parameters() if p.requires_grad} == {"projection.weight", "projection.bias"}
    assert len([p for p in head().parameters() if p.requires_grad]) == 5


def test_the_vectors_of_the_corpus_are_not_trained_themselves() -> None:
    vectors = torch.randn(P, VECTOR)
    module = PseudoGloss(
        dropout=0.0, prototype_temperature=0.1, time_temperature=0.1, learn_temperatures=True, train_prototypes=True
    ).head(WIDTH, vectors)
    with torch.no_grad():
        module.prototypes.zero_()
    assert vectors.abs().sum() > 0


def test_a_zero_prototype_is_refused_by_number() -> None:
    vectors = torch.ones(P, VECTOR)
    vectors[3] = 0
    with pytest.raises(ValueError, match=r"\[3\]"):
        PseudoGloss(
            dropout=0.0, prototype_temperature=0.1, time_temperature=0.1, learn_temperatures=True, train_prototypes=True
        ).head(WIDTH, vectors)


def test_without_the_zero_prototype_every_segment_belongs_to_pseudo_glosses() -> None:
    module = head(zero_prototype=False)
    cosines = similarity(module.projection(segments().values), module.prototypes)[..., :-1]
    over_time = (cosines / 0.3).masked_fill(~segments().mask[..., None], float("-inf")).softmax(dim=1)
    torch.testing.assert_close(module(segments()).timeline, (cosines / 0.1).softmax(dim=-1) * over_time)


def test_autocast_does_not_round_the_cosines() -> None:
    module = head(prototype_temperature=0.01, time_temperature=0.01)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = module(segments())
        rounded = Padded(module.projection(segments().values).float(), segments().lengths)
    module.projection = torch.nn.Identity()
    torch.testing.assert_close(output.scores, module(rounded).scores)


def build(**options: object) -> PseudoGlossLoss:
    torch.manual_seed(0)
    inputs = Inputs(vectors=torch.randn(P, VECTOR), document_frequencies=FREQUENCIES)
    return PseudoGloss(**options).build(Sizes(14, WIDTH, 53), inputs).eval()


def batch_of(targets: Tensor) -> SimpleNamespace:
    return SimpleNamespace(targets={"pseudo_glosses": targets})


def targets() -> Tensor:
    return torch.tensor([[1.0, 1, 1, 1, 0, 0, 1], [0, 0, 1, 1, 1, 0, 1]])


def test_the_head_is_built_as_the_options_say() -> None:
    options = {"dropout": 0.3, "prototype_temperature": 0.2, "time_temperature": 0.4, "train_prototypes": False}
    loss = build(**options, learn_temperatures=False)
    assert loss.head.dropout.p == 0.3
    assert [t.item() for t in loss.head.temperatures] == pytest.approx([0.2, 0.4])
    assert [name for name, p in loss.head.named_parameters() if p.requires_grad] == [
        "projection.weight", "projection.bias",
    ]  # fmt: skip


def test_random_prototypes_follow_the_seed_and_not_the_corpus() -> None:
    drawn = [build(prototypes="random").head.prototypes for _ in range(2)]
    torch.testing.assert_close(*drawn)
    words = build().head.prototypes
    assert not torch.allclose(drawn[0], words)
    torch.testing.assert_close(drawn[0].norm(dim=1), words.norm(dim=1))


@pytest.mark.parametrize(
    ("name", "function"),
    [("cross_entropy", pseudo_gloss_loss), ("sigmoid_cross_entropy", sigmoid_pseudo_gloss_loss)],
)
def test_the_loss_is_the_one_of_the_recipe(name: str, function: object) -> None:
    loss = build(loss=name)
    value = loss(Levels(segment=segments()), batch_of(targets()))
    assert value == function(loss.head(segments()).scores, targets())
    assert loss.units(["a", "b"]) == 2


def test_frequent_pseudo_glosses_are_no_targets_and_nothing_else_changes() -> None:
    """Those of 40 % of the sentences or more are as if they were in none; prototypes and scores stay."""
    all_of_them, rare = build(), build(max_document_frequency=0.4)
    kept = targets().clone()
    kept[:, [1, 3, 4, 6]] = 0  # 0.4, 0.9, 0.4 and 1.0
    assert kept.sum() == 3
    levels = Levels(segment=segments())
    assert rare(levels, batch_of(targets())) == all_of_them(levels, batch_of(kept))
    assert rare(levels, batch_of(targets())) != all_of_them(levels, batch_of(targets()))
    assert rare.state_dict().keys() == all_of_them.state_dict().keys(), "a weights file fits with and without"
    assert torch.equal(rare.head(segments()).scores, all_of_them.head(segments()).scores)
    assert rare.head.prototypes.shape == (P, VECTOR)


def test_at_a_share_of_1_even_a_pseudo_gloss_of_every_sentence_is_a_target() -> None:
    levels = Levels(segment=segments())
    without_last = targets() * torch.tensor([1.0, 1, 1, 1, 1, 1, 0])
    assert build()(levels, batch_of(targets())) != build()(levels, batch_of(without_last))


def test_certain_scores_cost_a_finite_amount_and_keep_gradients_finite() -> None:
    scores = torch.tensor([[0.0, 1.0, 0.5]], requires_grad=True)
    loss = pseudo_gloss_loss(scores, torch.tensor([[1.0, 0.0, 1.0]]))
    loss.backward()
    assert loss.isfinite()
    assert loss > 9
    assert scores.grad is not None
    assert scores.grad.isfinite().all()


def test_right_scores_cost_nothing() -> None:
    wanted = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 1.0]])
    assert pseudo_gloss_loss(wanted, wanted) < 1e-5


def test_after_a_sigmoid_wrong_and_right_scores_are_close_to_ln_2() -> None:
    wanted = torch.zeros(3, 211)
    wanted[:, :5] = 1.0
    best, nothing = sigmoid_pseudo_gloss_loss(wanted, wanted), sigmoid_pseudo_gloss_loss(0 * wanted, wanted)
    assert float(nothing) == pytest.approx(math.log(2), rel=1e-6)
    assert 0.98 < float(best / nothing) < 1
    assert pseudo_gloss_loss(wanted, wanted) < 1e-5
    assert float(sigmoid_pseudo_gloss_loss(torch.ones(1, 1), torch.ones(1, 1))) == pytest.approx(0.3133, abs=1e-4)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("loss", [pseudo_gloss_loss, sigmoid_pseudo_gloss_loss])
def test_half_precision_is_raised_to_float32(dtype: torch.dtype, loss: object) -> None:
    value = loss(torch.tensor([[1.0, 0.0]], dtype=dtype), torch.tensor([[0.0, 1.0]]))
    assert value.dtype == torch.float32 and value.isfinite()


def test_shapes_that_do_not_fit_are_refused() -> None:
    for loss in (pseudo_gloss_loss, sigmoid_pseudo_gloss_loss):
        with pytest.raises(ValueError, match="shape"):
            loss(torch.rand(2, 3), torch.rand(2, 1))
