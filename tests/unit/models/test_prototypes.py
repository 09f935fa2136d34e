"""The pseudo-gloss head as a module; eqs 1-3 are in tests/equations."""

from __future__ import annotations

import pytest
import torch

from glossfree.models.prototypes import PseudoGlossHead, gloss_scores, localise, similarity
from glossfree.padded import Padded

P, WIDTH, VECTOR = 7, 10, 6


def head(**changed: object) -> PseudoGlossHead:
    torch.manual_seed(0)
    settings: dict = {
        "dropout": 0.2, "prototype_temperature": 0.1, "time_temperature": 0.3,
        "learn_temperatures": True, "train_prototypes": True,
    }  # fmt: skip
    return PseudoGlossHead(WIDTH, torch.randn(P, VECTOR), **{**settings, **changed}).eval()


def test_shapes_and_the_three_equations_in_order() -> None:
    module = head()
    segments = Padded(torch.randn(2, 5, WIDTH), torch.tensor([5, 3]))
    output = module(segments)
    assert output.scores.shape == (2, P)
    assert output.timeline.shape == (2, 5, P)
    assert output.lengths.tolist() == [5, 3]
    sims = similarity(module.projection(segments.values), module.prototypes)
    timeline = localise(sims, segments.mask, torch.tensor(0.1), torch.tensor(0.3))
    torch.testing.assert_close(output.timeline, timeline)
    torch.testing.assert_close(output.scores, gloss_scores(timeline))


def test_a_clip_is_the_same_alone_and_in_a_batch() -> None:
    module, values = head(), torch.randn(2, 9, WIDTH)
    together = module(Padded(values, torch.tensor([9, 4])))
    alone = module(Padded(values[1:, :4], torch.tensor([4])))
    torch.testing.assert_close(together.scores[1:], alone.scores, rtol=0, atol=1e-6)


def test_temperatures_return_into_their_range_and_go_on_learning() -> None:
    module = head()
    segments = Padded(torch.randn(2, 5, WIDTH), torch.tensor([5, 3]))
    with torch.no_grad():
        module.log_prototype_temperature.fill_(-40.0)
        module.log_time_temperature.fill_(3.0)
    module(segments).scores.sum().backward()
    found = [temperature.item() for temperature in module.temperatures]
    assert found == pytest.approx([0.01, 1.0], rel=1e-6)
    assert module.log_prototype_temperature.grad.abs() > 0
    assert module.log_time_temperature.grad.abs() > 0


def test_temperatures_start_where_they_are_told_and_move_by_a_share_of_themselves() -> None:
    """A step of Adam moves a temperature by the learning rate times itself, not by the learning rate."""
    module = head()
    assert [t.item() for t in module.temperatures] == pytest.approx([0.1, 0.3])
    optimizer = torch.optim.Adam([module.log_prototype_temperature, module.log_time_temperature], lr=0.05)
    module(Padded(torch.randn(2, 5, WIDTH), torch.tensor([5, 3]))).scores.sum().backward()
    optimizer.step()
    moved = [abs(t.item() / start - 1) for t, start in zip(module.temperatures, (0.1, 0.3), strict=True)]
    assert moved == pytest.approx([0.05, 0.05], rel=0.05)


def test_switches_decide_what_trains() -> None:
    fixed = head(learn_temperatures=False, train_prototypes=False)
    assert {name for name, p in fixed.named_parameters() if p.requires_grad} == {"projection.weight", "projection.bias"}
    assert len([p for p in head().parameters() if p.requires_grad]) == 5


def test_the_vectors_given_are_not_trained_themselves() -> None:
    vectors = torch.randn(P, VECTOR)
    module = PseudoGlossHead(WIDTH, vectors, 0.0, 0.1, 0.1, True, True)
    with torch.no_grad():
        module.prototypes.zero_()
    assert vectors.abs().sum() > 0


def test_a_zero_prototype_is_refused_by_number() -> None:
    vectors = torch.ones(P, VECTOR)
    vectors[3] = 0
    with pytest.raises(ValueError, match=r"\[3\]"):
        PseudoGlossHead(WIDTH, vectors, 0.0, 0.1, 0.1, True, True)


def test_autocast_does_not_round_the_cosines() -> None:
    module = head(prototype_temperature=0.01, time_temperature=0.01)
    segments = Padded(torch.randn(2, 5, WIDTH), torch.tensor([5, 3]))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = module(segments)
        rounded = Padded(module.projection(segments.values).float(), segments.lengths)
    module.projection = torch.nn.Identity()
    torch.testing.assert_close(output.scores, module(rounded).scores)
