"""Videos against sentences, token by token: what is compared, and the edges; the loss is in tests/equations."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from glossfree.models.hierarchy import Levels
from glossfree.objectives import OBJECTIVES
from glossfree.objectives.base import Inputs, Sizes
from glossfree.objectives.token_alignment import (
    NO_TOKENS,
    TokenAlignment,
    TokenAlignmentLoss,
    token_similarities,
)
from glossfree.padded import Padded
from glossfree.video.batch import ClipBatch

E, P = 18, 7
SEGMENTS = (5, 3, 1)
TEXTS = ("es taut", "morgen schneit es", "es taut")
TARGETS = torch.tensor([[0, 1, 0, 0, 1, 0, 0], [0, 0, 0, 0, 0, 0, 0], [0, 1, 0, 0, 0, 0, 1]]).float()


def draw(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


INPUTS = Inputs(vectors=draw(1, P, 6), text_tokens={"es taut": draw(2, 4, E), "morgen schneit es": draw(3, 6, E)})


def build(**options: Any) -> TokenAlignmentLoss:
    torch.manual_seed(0)
    return TokenAlignment(**options).build(Sizes(14, E, 53), INPUTS)


def batch(targets: Tensor = TARGETS) -> ClipBatch:
    lengths = torch.tensor(SEGMENTS)
    rows = draw(4, sum(SEGMENTS), E)
    return ClipBatch(("a", "b", "c"), rows, lengths, TEXTS, level="segment_features",
                     targets={"pseudo_glosses": targets})  # fmt: skip


def video(prefix: int = 0, padding: float = 0.0) -> Padded:
    sequences = Padded.unpack(draw(5, sum(SEGMENTS) + 3 * prefix, E), torch.tensor(SEGMENTS) + prefix)
    return sequences.with_values(sequences.values.masked_fill(~sequences.mask[..., None], padding))


def loss_of(module: TokenAlignmentLoss, features: Padded) -> Tensor:
    loss: Tensor = module(*module.features(Levels(segment=features, video=features), batch()))
    return loss


def test_it_is_registered_and_says_what_it_looks_at() -> None:
    assert OBJECTIVES["token_alignment"] is TokenAlignment
    options, greedy = TokenAlignment(), TokenAlignment(tokens="pseudo_glosses", reads="segment")
    assert (options.level, options.needs, options.compares_clips) == ("video", ("text_tokens",), True)
    assert (greedy.level, greedy.needs, greedy.has_prefix) == ("segment", ("pseudo_glosses",), False)
    assert options.compares_sentences and not greedy.compares_sentences, "test sentences have no pseudo-glosses"
    assert {name for name, _ in build().named_parameters()} == {"logit_scale"}
    own = {name: each.shape for name, each in build(tokens="pseudo_glosses").state_dict().items()}
    assert own == {"logit_scale": (), "projection.weight": (6, E), "projection.bias": (6,)}, "vectors are the corpus's"


@pytest.mark.parametrize(
    "options",
    [
        {"reduce": "max", "special_tokens": True},
        {"reduce": "max", "padding": True},
        {"tokens": "pseudo_glosses", "special_tokens": True},
        {"loss": "divergence", "label_smoothing": 0.2},
        {"combine": "similarities", "mix": 1.0},
    ],
)
def test_options_that_do_not_belong_together_are_refused(options: dict[str, Any]) -> None:
    assert len(list(TokenAlignment(**options).problems())) == 1
    for name, content in options.items():
        alone = TokenAlignment(**{name: content})
        assert not list(alone.problems())


def test_sentences_are_read_without_their_last_two_tokens() -> None:
    video_tokens, text, numbers = build().features(Levels(segment=video(), video=video()), batch())
    assert isinstance(text, Padded) and isinstance(numbers, Tensor) and isinstance(video_tokens, Padded)
    assert text.lengths.tolist() == [2, 4, 2] and video_tokens.lengths.tolist() == list(SEGMENTS)
    assert torch.equal(text.values[1], INPUTS.text_tokens["morgen schneit es"][:4])  # type: ignore[index]
    assert numbers[0] == numbers[2] != numbers[1]
    _, whole, _ = build(special_tokens=True).features(Levels(segment=video(), video=video()), batch())
    assert isinstance(whole, Padded) and whole.lengths.tolist() == [4, 6, 4]


def test_pseudo_glosses_are_the_rows_of_their_vectors() -> None:
    """Other sentences with the same ones have the same number; a sentence without any has none, and no tokens."""
    module = build(tokens="pseudo_glosses")
    _, text, numbers = module.features(Levels(segment=video(), video=video()), batch())
    assert isinstance(text, Padded) and isinstance(numbers, Tensor)
    assert text.lengths.tolist() == [2, 1, 2]
    assert torch.equal(text.values[2], draw(1, P, 6)[[1, 6]]) and not text.values[1].any()
    assert numbers[1] == NO_TOKENS and numbers[0] != numbers[2]
    _, _, same = module.features(Levels(segment=video(), video=video()), batch(TARGETS[[0, 1, 0]]))
    assert isinstance(same, Tensor) and same[0] == same[2]


def test_a_token_that_another_objective_puts_in_front_is_no_segment() -> None:
    longer, segments = video(prefix=1), video()
    tokens = build().features(Levels(segment=segments, video=longer), batch())[0]
    assert isinstance(tokens, Padded) and tokens.lengths.tolist() == list(SEGMENTS)
    assert torch.equal(tokens.values, longer.values[:, 1:])


@pytest.mark.parametrize("options", [{}, {"padding": True}, {"reduce": "max"}, {"tokens": "pseudo_glosses"}])
def test_no_padding_gets_a_gradient_or_changes_the_loss(options: dict[str, Any]) -> None:
    module = build(**options)
    dirty = video(padding=math.nan)
    dirty.values.requires_grad_()
    value = loss_of(module, dirty)
    value.backward()
    assert torch.equal(value, loss_of(module, video()))
    gradient = dirty.values.grad
    assert gradient is not None and gradient[dirty.mask].isfinite().all() and gradient[0].any()
    assert (gradient[~dirty.mask] == 0).all()


def test_a_segment_never_chooses_padding() -> None:
    """Where every cosine is negative, that of padding, 0, would be the highest."""
    one = Padded(torch.tensor([[[-1.0, 0.1], [0.0, 0.0]], [[-1.0, 0.2], [-1.0, 0.3]]]), torch.tensor([1, 2]))
    other = Padded(torch.tensor([[[1.0, 0.0], [0.0, 0.0]], [[1.0, 0.0], [1.0, 0.1]]]), torch.tensor([1, 2]))
    for reduce in ("soft", "max"):
        for similarities in token_similarities(one, other, reduce):  # type: ignore[arg-type]
            assert (similarities < -0.9).all()
    padded = token_similarities(one, other, "soft", padding=True)
    assert (padded[0][:, 0] > -0.1).all(), "a text of one token beside one of two"


def test_a_step_in_which_no_sentence_has_tokens_has_no_gradient() -> None:
    module = build(tokens="pseudo_glosses")
    features = video()
    features.values.requires_grad_()
    _, text, _ = module.features(Levels(segment=features, video=features), batch())
    nothing = Padded(torch.zeros(3, 1, 6), torch.ones(3, dtype=torch.int64))
    video_tokens = module.features(Levels(segment=features, video=features), batch())[0]
    assert isinstance(video_tokens, Padded) and isinstance(text, Padded)
    value = module(video_tokens, nothing, torch.full((3,), NO_TOKENS))
    value.backward()
    assert float(value.detach()) == 0
    assert features.values.grad is not None and (features.values.grad == 0).all()


def test_a_clip_without_tokens_is_no_negative() -> None:
    """Another video in its place changes nothing."""
    module = build(tokens="pseudo_glosses", equal_sentences="negatives")
    features = video()
    other = features.values.clone()
    other[1] = draw(9, *other[1].shape)
    assert torch.equal(loss_of(module, features), loss_of(module, features.with_values(other)))
    other[0] += 1
    assert not torch.equal(loss_of(module, features), loss_of(module, features.with_values(other)))


def test_a_single_clip_and_other_widths_are_refused() -> None:
    tokens = Padded(torch.rand(1, 3, 4), torch.tensor([3]))
    with pytest.raises(ValueError, match="1 clip: at least two"):
        build()(tokens, tokens, torch.tensor([5]))
    wide = Padded(torch.rand(2, 3, 5), torch.tensor([3, 2]))
    with pytest.raises(ValueError, match="width 5 and 4"):
        token_similarities(wide, tokens)


@pytest.mark.parametrize("options", [{"padding": True}, {"reduce": "max", "combine": "similarities"}])
def test_similarity_is_the_mean_of_both_directions_whatever_lies_beside(options: dict[str, Any]) -> None:
    module = build(**options)
    videos, texts, _ = module.features(Levels(segment=video(), video=video()), batch())
    assert isinstance(videos, Padded) and isinstance(texts, Padded)
    together = module.similarity(videos, texts)
    torch.testing.assert_close(together, sum(token_similarities(videos, texts, module.options.reduce)) / 2)
    for row in range(3):
        one = Padded(videos.values[row : row + 1, : SEGMENTS[row]], videos.lengths[row : row + 1])
        for column in range(3):
            other = Padded(
                texts.values[column : column + 1, : texts.lengths[column]], texts.lengths[column : column + 1]
            )
            torch.testing.assert_close(module.similarity(one, other)[0, 0], together[row, column])


def test_logit_scale_is_kept_at_100_at_most() -> None:
    module = build()
    with torch.no_grad():
        module.logit_scale.fill_(9.0)
    loss_of(module, video())
    assert module.logit_scale.item() == pytest.approx(math.log(100))


def test_autocast_does_not_round_the_cosines() -> None:
    module = build()
    expected = loss_of(module, video())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert loss_of(module, video()) == expected


@pytest.mark.parametrize("reduce", ["soft", "max"])
def test_alike_is_cheap_and_chance_is_ln_b(reduce: str) -> None:
    module = build(reduce=reduce, logit_scale=50.0)
    lengths, numbers = torch.tensor([3, 3, 3, 3, 3]), torch.arange(5)
    same = Padded(torch.ones(5, 3, 4), lengths)
    assert float(module(same, same, numbers).detach()) == pytest.approx(math.log(5), rel=1e-5)
    apart = Padded(torch.eye(5)[:, None].expand(5, 3, 5), lengths)
    assert float(module(apart, apart, numbers).detach()) < 1e-6
    turned = apart.with_values(apart.values.roll(1, 0))
    assert float(module(apart, turned, numbers).detach()) > 10
