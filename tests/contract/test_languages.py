"""Checks of every language encoder in LANGUAGE."""

from __future__ import annotations

from pathlib import Path

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

from glossfree.errors import GlossfreeError
from glossfree.models.adapters import Adapters, add_lora
from glossfree.models.choices import LanguageEncoder
from glossfree.models.language import LANGUAGE

E, V = 24, 53
LENGTHS = (6, 3, 1, 11)
SENTENCES = torch.tensor([[5, 6, 7, 2, 40, -100], [8, 2, 40, -100, -100, -100], [11, 12, 13, 9, 2, 40]])

pytestmark = pytest.mark.parametrize(("name", "changed"), all_variants(LANGUAGE))


def build(name: str, changed: dict[str, object]) -> LanguageEncoder:
    torch.manual_seed(0)
    module = small(LANGUAGE[name], **changed).build(V)
    spread(module)
    return module.eval()


def test_segments_become_as_many_video_features_of_their_width(name: str, changed: dict[str, object]) -> None:
    segments = ragged(LENGTHS, E)
    video = build(name, changed)(segments)
    assert video.values.shape == segments.values.shape and torch.equal(video.lengths, segments.lengths)
    assert differs(video.values, build(name, changed)(ragged(LENGTHS, E, seed=2)).values)
    assert torch.equal(video.pack(), build(name, changed)(segments).pack()), "twice the same"


def test_a_clip_is_the_same_alone_and_in_a_batch(name: str, changed: dict[str, object]) -> None:
    module, segments = build(name, changed), ragged(LENGTHS, E, rubbish=1e3)
    together = module(segments)
    for row in range(len(LENGTHS)):
        video = module(alone(segments, row))
        torch.testing.assert_close(alone(together, row).values, video.values, rtol=0, atol=1e-5)


def test_a_sentence_is_the_same_alone_and_in_a_batch(name: str, changed: dict[str, object]) -> None:
    module = build(name, changed)
    if not LANGUAGE[name].reads_text:
        with pytest.raises(NotImplementedError):
            module.read(SENTENCES)
        return
    together = module.read(SENTENCES)
    assert together.values.shape == (3, 6, E) and together.lengths.tolist() == [5, 3, 6]
    padded = module.read(SENTENCES.masked_fill(SENTENCES == -100, 1))
    assert torch.equal(padded.pack(), together.pack()), "-100 and <pad> are both padding"
    for row, length in enumerate((5, 3, 6)):
        tokens = module.read(SENTENCES[row : row + 1, :length])
        torch.testing.assert_close(alone(together, row).values, tokens.values, rtol=0, atol=1e-5)


def test_gradients_are_finite_at_the_start(name: str, changed: dict[str, object]) -> None:
    torch.manual_seed(0)
    module, segments = small(LANGUAGE[name], **changed).build(V).train(), ragged(LENGTHS, E)
    segments.values.requires_grad_()
    loss = module(segments).pack().square().sum()
    if LANGUAGE[name].reads_text:  # segments take the place of tokens: without a sentence, no token has a gradient
        loss = loss + module.read(SENTENCES).pack().square().sum()
    loss.backward()
    assert_finite_gradients(module)
    assert segments.values.grad is not None and segments.values.grad.isfinite().all()
    assert (segments.values.grad[~segments.mask] == 0).all()


def test_a_copy_is_independent(name: str, changed: dict[str, object]) -> None:
    module, segments = build(name, changed), ragged(LENGTHS, E)
    before = module(segments).values.clone()
    copied = module.copied().eval()
    spread(module)
    assert torch.equal(copied(segments).values, before)
    assert differs(module(segments).values, before) == bool(list(module.parameters()))


def test_weights_move_to_another_one_that_needs_no_memory_to_be_built(name: str, changed: dict[str, object]) -> None:
    module, segments = build(name, changed), ragged(LENGTHS, E)
    other = small(LANGUAGE[name], **changed).build(V).eval()
    copy_weights(module, other)
    assert torch.equal(other(segments).values, module(segments).values)
    with torch.device("meta"):
        assert_same_shapes(small(LANGUAGE[name], **changed).build(V), module)


def test_adapters_change_nothing_at_first_and_then_they_alone_train(name: str, changed: dict[str, object]) -> None:
    options, module, segments = small(LANGUAGE[name], **changed), build(name, changed), ragged(LENGTHS, E)
    if not isinstance(options, Adapters):
        return
    before = module(segments).values
    add_lora(module.adapted, options.adapter_targets, 2, 4.0, 0.0)
    torch.testing.assert_close(module(segments).values, before)
    assert all("lora_" in each for each, p in module.named_parameters() if p.requires_grad)
    module.train()(segments).pack().square().sum().backward()
    assert_finite_gradients(module)


def test_a_file_without_these_weights_is_named(name: str, changed: dict[str, object], tmp_path: Path) -> None:
    path = tmp_path / "weights.bin"
    torch.save({"something.else": torch.ones(3)}, path)
    with pytest.raises(GlossfreeError) as caught:
        small(LANGUAGE[name], **changed).load(build(name, changed), path, None)
    assert str(path) in str(caught.value)
