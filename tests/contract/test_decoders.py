"""Checks of every decoder in DECODERS, on every language encoder that it fits."""

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
)
from torch import Tensor

from glossfree.models.adapters import Adapters, add_lora
from glossfree.models.choices import Beams, Decoder
from glossfree.models.decoders import DECODERS
from glossfree.models.int8 import from_int8, to_int8
from glossfree.models.language import LANGUAGE
from glossfree.models.packed import pack
from glossfree.models.tokens import EOS_ID, PAD_ID, never_written
from glossfree.models.weights import load
from glossfree.padded import Padded

E, V = 24, 60
CODE = V - 20
LENGTHS = (6, 3, 1, 11)
LABELS = torch.tensor(
    [[5, 6, 7, 2, CODE, -100], [8, 2, CODE, -100, -100, -100], [11, 12, 13, 9, 2, CODE], [4, 4, 2, CODE, -100, -100]]
)
STARTS_BLIND = {"causal", "language_model"}  # gates closed: the video has no effect yet, and gets no gradient
PAIRS = [
    pytest.param(*decoder.values, language, id=f"{decoder.id}-on-{language}")
    for decoder in all_variants(DECODERS)
    for language, kind in LANGUAGE.items()
    if not list(DECODERS[decoder.values[0]]().problems_with(small(kind)))
]

pytestmark = pytest.mark.parametrize(("name", "changed", "language"), PAIRS)
Changed = dict[str, object]


def build(name: str, changed: Changed, language: str, seed: int = 0) -> Decoder:
    torch.manual_seed(seed)
    encoder = small(LANGUAGE[language]).build(V)
    return small(DECODERS[name], **changed).build(encoder, E, V)


def lively(name: str, changed: Changed, language: str) -> Decoder:
    """In evaluation mode, with weights that make clips differ; some sentences end before the limit.

    In float64: such weights make rounding errors grow to 3e-4 in float32.
    """
    decoder = build(name, changed, language).eval()
    torch.manual_seed(3)
    for parameter in decoder.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.5)
    return decoder.double().requires_grad_(False)


def video_of(rubbish: float = 0.0, seed: int = 1) -> Padded:
    """Video features of four clips in float64, padded with `rubbish`."""
    video = ragged(LENGTHS, E, rubbish, seed)
    return video.with_values(video.values.double())


def stripped(sequence: Tensor) -> list[int]:
    """Ids up to and including `</s>`; only padding may follow."""
    ids = sequence.tolist()
    end = ids.index(EOS_ID) + 1 if EOS_ID in ids else len(ids)
    assert set(ids[end:]) <= {PAD_ID}
    return ids[:end]


def test_every_decoder_works_on_a_language_encoder(name: str, changed: Changed, language: str) -> None:
    assert {pair.values[0] for pair in PAIRS} == set(DECODERS)
    logits = build(name, changed, language)(ragged(LENGTHS, E), LABELS)
    assert logits.shape == (4, 6, V) and logits.dtype == torch.float32


def test_logits_of_a_clip_are_the_same_alone_and_in_a_batch(name: str, changed: Changed, language: str) -> None:
    decoder, video = lively(name, changed, language), video_of(rubbish=1e3)
    together = decoder(video, LABELS)
    assert torch.equal(decoder(video, LABELS), together), "twice the same"
    for row in range(4):
        length = int((LABELS[row] != -100).sum())
        single = decoder(alone(video, row), LABELS[row : row + 1, :length])
        torch.testing.assert_close(together[row, :length], single[0], rtol=0, atol=1e-9)


def test_a_token_is_predicted_from_those_before_it_and_from_the_clip(
    name: str, changed: Changed, language: str
) -> None:
    decoder, video = lively(name, changed, language), video_of()
    logits = decoder(video, LABELS)
    assert differs(logits, decoder(video_of(seed=2), LABELS))
    for position in range(4):
        labels = LABELS.clone()
        labels[2, position] = 21
        others = decoder(video, labels)
        torch.testing.assert_close(others[2, : position + 1], logits[2, : position + 1], rtol=0, atol=1e-9)
        assert differs(others[2, position + 1], logits[2, position + 1])
    labels = LABELS.clone()
    labels[2, 5] = CODE + 1  # the code is what a sentence starts from
    assert differs(decoder(video, labels)[2, 0], logits[2, 0])


@pytest.mark.parametrize("num_beams", [1, 3])
def test_a_clip_is_translated_the_same_alone_and_in_a_batch(
    name: str, changed: Changed, language: str, num_beams: int
) -> None:
    decoder, video = lively(name, changed, language), video_of(rubbish=1e3)
    beams = Beams(num_beams=num_beams, max_new_tokens=9, num_return_sequences=num_beams)
    together = decoder.generate(video, beams, CODE)
    assert together.sequences.shape[:2] == together.scores.shape == (4, num_beams)
    assert together.sequences.shape[2] <= 9
    sentences = [[stripped(sequence) for sequence in clip] for clip in together.sequences]
    assert len({tuple(clip[0]) for clip in sentences}) > 1, "clips alike: the test could not fail"
    again = decoder.generate(video, beams, CODE)
    assert torch.equal(again.sequences, together.sequences) and torch.equal(again.scores, together.scores)
    for row in range(4):
        single = decoder.generate(alone(video, row), beams, CODE)
        assert [stripped(sequence) for sequence in single.sequences[0]] == sentences[row]
        torch.testing.assert_close(single.scores[0], together.scores[row], rtol=0, atol=1e-9)


def test_the_best_come_first_and_no_two_are_equal(name: str, changed: Changed, language: str) -> None:
    beams = Beams(num_beams=4, max_new_tokens=9, num_return_sequences=4)
    result = lively(name, changed, language).generate(video_of(), beams, CODE)
    for sequences, scores in zip(result.sequences, result.scores, strict=True):
        assert scores.tolist() == sorted(scores.tolist(), reverse=True) and (scores < 0).all()
        assert len({tuple(stripped(sequence)) for sequence in sequences}) == 4


@pytest.mark.parametrize(("num_beams", "length_penalty"), [(1, 1.0), (4, 1.0), (4, 0.3)])
def test_scores_are_log_probabilities_over_length(
    name: str, changed: Changed, language: str, num_beams: int, length_penalty: float
) -> None:
    decoder, video = lively(name, changed, language), video_of()
    suppressed = [0, 1, 3]  # they count in the softmax: a score is that of the model, not of what it may write
    result = decoder.generate(video, Beams(num_beams, 9, length_penalty), CODE, suppressed)
    for row in range(4):
        ids = stripped(result.sequences[row, 0])
        labels = torch.tensor([[*ids, CODE]])  # the last label is what the sentence starts from
        log_probabilities = decoder(alone(video, row), labels)[0, :-1].log_softmax(dim=-1)
        total = float(log_probabilities.gather(1, torch.tensor(ids)[:, None]).sum())
        assert float(result.scores[row, 0]) == pytest.approx(
            total / len(ids) ** length_penalty, rel=1e-5
        )  # summed up in float32


def test_suppressed_ids_are_never_written(name: str, changed: Changed, language: str) -> None:
    decoder, video = lively(name, changed, language), video_of()
    beams = Beams(num_beams=4, max_new_tokens=9, num_return_sequences=4)
    usual = {token for clip in decoder.generate(video, beams, CODE).sequences for s in clip for token in stripped(s)}
    assert usual and not usual & set(never_written(V))
    pieces = usual - {EOS_ID}
    without = decoder.generate(video, beams, CODE, suppressed=[*never_written(V), *pieces])
    assert not {token for clip in without.sequences for s in clip for token in stripped(s)} & pieces
    free = decoder.generate(video, beams, CODE, suppressed=range(4, V - 26))
    assert {token for clip in free.sequences for s in clip for token in stripped(s)} & set(never_written(V))


def test_gradients_are_finite_at_the_start(name: str, changed: Changed, language: str) -> None:
    decoder, video = build(name, changed, language).train(), ragged(LENGTHS, E)
    video.values.requires_grad_()
    logits = decoder(video, LABELS)
    torch.nn.functional.cross_entropy(logits.flatten(0, 1), LABELS.flatten(), ignore_index=-100).backward()
    assert_finite_gradients(decoder.adapted)
    assert video.values.grad is not None and video.values.grad.isfinite().all()
    assert (video.values.grad[~video.mask] == 0).all()
    assert bool(video.values.grad.any()) == (name not in STARTS_BLIND)


def test_weights_move_to_another_one_that_needs_no_memory_to_be_built(
    name: str, changed: Changed, language: str
) -> None:
    decoder, video = lively(name, changed, language), video_of()
    other = build(name, changed, language, seed=9).eval().double().requires_grad_(False)
    assert differs(other(video, LABELS), decoder(video, LABELS))
    copy_weights(decoder, other)
    assert torch.equal(other(video, LABELS), decoder(video, LABELS))
    with torch.device("meta"):
        assert_same_shapes(build(name, changed, language), decoder)


def test_adapters_change_nothing_at_first_and_then_they_alone_train(name: str, changed: Changed, language: str) -> None:
    options, decoder, video = small(DECODERS[name], **changed), lively(name, changed, language), video_of()
    if not isinstance(options, Adapters):
        return
    before = decoder(video, LABELS)
    add_lora(decoder.adapted, options.adapter_targets, 2, 4.0, 0.0)
    torch.testing.assert_close(decoder(video, LABELS), before)
    assert all("lora_" in each for each, p in decoder.adapted.named_parameters() if p.requires_grad)
    decoder.train()(video, LABELS).square().sum().backward()
    assert_finite_gradients(decoder.adapted)


def test_merged_adapters_write_the_same(name: str, changed: Changed, language: str) -> None:
    options, decoder, video = small(DECODERS[name], **changed), lively(name, changed, language), video_of()
    if not isinstance(options, Adapters):
        return
    add_lora(decoder.adapted, options.adapter_targets, 2, 4.0, 0.0)
    beams = Beams(num_beams=3, max_new_tokens=9, num_return_sequences=3)
    untrained = decoder.double().generate(video, beams, CODE)
    for each, weight in decoder.named_parameters():
        if "lora_B" in each:
            torch.nn.init.normal_(weight, std=0.5)
    before = decoder.generate(video, beams, CODE)
    assert differs(before.scores, untrained.scores), "adapters without effect: the test could not fail"
    decoder.merge_adapters()
    after = decoder.generate(video, beams, CODE)
    assert torch.equal(after.sequences, before.sequences)
    torch.testing.assert_close(after.scores, before.scores, rtol=1e-6, atol=1e-6)


def test_packed_it_translates_as_before(
    name: str, changed: Changed, language: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoder, video = lively(name, changed, language).float(), video_of()
    video = video.with_values(video.values.float())
    before = decoder.generate(video, Beams(num_beams=2, max_new_tokens=3), CODE)
    monkeypatch.setattr("glossfree.models.packed.SMALLEST", 1)
    pack(decoder)
    after = decoder.generate(video, Beams(num_beams=2, max_new_tokens=3), CODE)
    torch.testing.assert_close(after.scores, before.scores, rtol=1e-3, atol=1e-3)


def test_weights_come_back_from_8_bits(name: str, changed: Changed, language: str) -> None:
    decoder, again = (build(name, changed, language, seed) for seed in (0, 1))
    stored = to_int8(decoder)
    assert any(tensor.dtype == torch.int8 for tensor in stored.values())
    load(again, from_int8(stored, where="here"))
    with torch.no_grad():
        logits, rounded = (each.eval()(ragged(LENGTHS, E), LABELS) for each in (decoder, again))
    torch.testing.assert_close(rounded, logits, rtol=0, atol=0.05 * logits.abs().max().item())
