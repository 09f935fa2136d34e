"""mBART's decoder: logits, beam search against transformers' own, batches, scores."""

from __future__ import annotations

import pytest
import torch
from benchmarks.transformers_mbart import generated, of_transformers
from torch import Tensor

from glossfree.models.choices import Beams
from glossfree.models.decoders.mbart import MBartDecoder, MBartDecoding
from glossfree.models.language.mbart import MBart, MBartEncoder
from glossfree.models.language.none import NoEncoder
from glossfree.models.tokens import CODES_AND_MASK, EOS_ID, never_written
from glossfree.objectives.translation import translation_loss
from glossfree.padded import Padded

E, HEADS, VOCABULARY = 18, 3, 60
LANGUAGE_ID = VOCABULARY - 20
LENGTHS = torch.tensor([6, 2, 1, 4])
FORBIDDEN = set(never_written(VOCABULARY))


@pytest.fixture(scope="module")
def encoder() -> MBartEncoder:
    torch.manual_seed(5)
    options = MBart(hidden_size=E, num_layers=2, num_heads=HEADS, mlp_size=22, max_positions=40)
    encoder = options.build(VOCABULARY)
    # lively enough that clips get different sentences, some of which end before the limit
    for parameter in encoder.mbart.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.35)
    encoder.mbart.final_logits_bias[0, EOS_ID] = 2.0
    encoder.mbart.eval()
    return encoder


def lively(seed: int, bias: float) -> MBartDecoder:
    """A decoder of its own in float64; `bias`: how much it likes to end."""
    torch.manual_seed(seed)
    options = MBart(hidden_size=E, num_layers=2, num_heads=HEADS, mlp_size=22, max_positions=40)
    mbart = options.build(VOCABULARY).mbart
    for parameter in mbart.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.5)
    mbart.final_logits_bias[0, EOS_ID] = bias
    return MBartDecoder(mbart).eval().double().requires_grad_(False)


@pytest.fixture(scope="module")
def decoder(encoder: MBartEncoder) -> MBartDecoder:
    return MBartDecoding().build(encoder, E, VOCABULARY).eval()


@pytest.fixture(scope="module")
def segments() -> Padded:
    values = torch.randn(4, 6, E, generator=torch.Generator().manual_seed(5))
    return Padded(values, LENGTHS)


@pytest.fixture(scope="module")
def video(encoder: MBartEncoder, segments: Padded) -> Padded:
    with torch.no_grad():
        return encoder(segments)


def of_clip(video: Padded, row: int) -> Padded:
    length = int(video.lengths[row])
    return Padded(video.values[row : row + 1, :length], video.lengths[row : row + 1])


def stripped(sequence: Tensor) -> list[int]:
    """Ids up to and including `</s>`; only padding may follow."""
    ids = sequence.tolist()
    end = ids.index(2) + 1 if 2 in ids else len(ids)
    assert set(ids[end:]) <= {1}
    return ids[:end]


def test_it_is_the_decoder_of_the_mbart_that_the_encoder_belongs_to(
    encoder: MBartEncoder, decoder: MBartDecoder
) -> None:
    assert decoder.mbart is encoder.mbart
    assert decoder.adapted is encoder.mbart.model.decoder
    assert list(MBartDecoding().problems_with(MBart())) == []
    assert list(MBartDecoding().problems_with(NoEncoder())) == [
        'decoder.kind "mbart" needs language.kind = "mbart", not "none"'
    ]


def test_logits_are_mbarts_own(decoder: MBartDecoder, segments: Padded, video: Padded) -> None:
    code = LANGUAGE_ID
    labels = torch.tensor([[5, 6, 2, code], [7, 2, code, -100], [8, 9, 2, code], [2, code, -100, -100]])
    logits = decoder(video, labels)
    assert logits.shape == (4, 4, VOCABULARY)
    theirs = of_transformers(decoder.mbart, HEADS)(
        inputs_embeds=segments.values,
        attention_mask=segments.mask.long(),
        decoder_input_ids=torch.tensor([[code, *row] for row in ([5, 6, 2], [7, 2, 1], [8, 9, 2], [2, 1, 1])]),
    ).logits
    torch.testing.assert_close(logits[labels != -100], theirs[labels != -100], rtol=0, atol=1e-5)


def test_clips_have_different_sentences(decoder: MBartDecoder, video: Padded) -> None:
    """So that the tests below can fail."""
    result = decoder.generate(video, Beams(max_new_tokens=12, num_return_sequences=3), LANGUAGE_ID)
    sentences = [[stripped(sequence) for sequence in clip] for clip in result.sequences]
    assert len({tuple(clip[0]) for clip in sentences}) > 1
    assert len({len(sequence) for clip in sentences for sequence in clip}) > 1


@pytest.mark.parametrize("num_beams", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("length_penalty", [1.0, 0.3, 0.0, -0.6, 1.8])
def test_sentences_and_scores_are_those_of_transformers(num_beams: int, length_penalty: float) -> None:
    """In float64, so that no rounding decides between two sentences; all of the n best, many of which end early."""
    lengths = set()
    for seed in range(4):
        decoder, segments = lively(seed, bias=seed - 1.0), Padded(torch.randn(4, 6, E).double(), LENGTHS)
        beams = Beams(num_beams, 11, length_penalty, num_beams)
        expected = generated(of_transformers(decoder.mbart, HEADS), segments, beams, LANGUAGE_ID)
        padded = segments.with_values(segments.values.masked_fill(~segments.mask[..., None], float("nan")))
        result = decoder.generate(padded, beams, LANGUAGE_ID)
        for ours, theirs in zip(result.sequences.flatten(0, 1), expected.sequences.flatten(0, 1), strict=True):
            assert stripped(ours) == stripped(theirs)
            lengths.add(len(stripped(ours)))
        torch.testing.assert_close(result.scores, expected.scores, rtol=1e-6, atol=1e-6)
    assert len(lengths) > 2, "sentences of one length: this shows little"


def test_no_cache_gives_the_same_sentences() -> None:
    decoder, segments = lively(7, bias=0.0), Padded(torch.randn(4, 6, E).double(), LENGTHS)
    theirs = of_transformers(decoder.mbart, HEADS)
    slow = generated(theirs, segments, Beams(3, 10), LANGUAGE_ID, use_cache=False)
    fast = decoder.generate(segments, Beams(3, 10), LANGUAGE_ID)
    assert [stripped(each[0]) for each in fast.sequences] == [stripped(each[0]) for each in slow.sequences]
    torch.testing.assert_close(fast.scores, slow.scores, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("num_beams", "length_penalty"), [(1, 1.0), (1, 0.3), (4, 1.0), (4, 0.3)])
def test_scores_are_log_probabilities_over_length(
    decoder: MBartDecoder, video: Padded, num_beams: int, length_penalty: float
) -> None:
    beams = Beams(num_beams=num_beams, max_new_tokens=9, length_penalty=length_penalty)
    result = decoder.generate(video, beams, LANGUAGE_ID)
    for row in range(4):
        ids = stripped(result.sequences[row, 0])
        labels = torch.tensor([[*ids, LANGUAGE_ID]])  # the last label makes the language code the start
        logits = decoder(of_clip(video, row), labels)[:, :-1].clone()
        total = -translation_loss(logits, labels[:, :-1]) * len(ids)
        assert float(result.scores[row, 0]) == pytest.approx(total.item() / len(ids) ** length_penalty, abs=1e-4)


def test_special_tokens_are_written_where_they_are_not_suppressed(decoder: MBartDecoder, video: Padded) -> None:
    beams = Beams(max_new_tokens=12)
    free = decoder.generate(video, beams, LANGUAGE_ID, suppressed=range(4, 30))
    written = {token for clip in free.sequences for token in stripped(clip[0])}
    assert written & FORBIDDEN and not written & set(range(4, 30))
    usual = decoder.generate(video, beams, LANGUAGE_ID)
    assert not {token for clip in usual.sequences for token in stripped(clip[0])} & FORBIDDEN
    assert len(FORBIDDEN) == 3 + CODES_AND_MASK
