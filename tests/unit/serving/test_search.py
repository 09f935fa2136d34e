"""mBART's decoder step by step, and beam search in numpy: the sentences of its own `generate`."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.contract.choices import ragged, small

from glossfree.models.choices import Beams
from glossfree.models.decoders.mbart import MBartDecoder
from glossfree.models.language.mbart import MBart
from glossfree.models.tokens import EOS_ID, PAD_ID, never_written
from glossfree.padded import Padded
from glossfree.recipe.decoding import DecodeConfig
from glossfree.serving.search import beam_search

E, V, CODE = 24, 60, 40


def lively(seed: int) -> MBartDecoder:
    """A decoder whose sentences end at different lengths, in float64."""
    torch.manual_seed(seed)
    decoder = MBartDecoder(small(MBart).build(V).mbart).eval()
    for parameter in decoder.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.5)
    decoder.mbart.final_logits_bias[0, EOS_ID] = 4.0
    return decoder.double().requires_grad_(False)


@torch.no_grad()
def test_a_step_with_its_cache_is_the_decoder_on_the_sentence_so_far() -> None:
    decoder, video = lively(3), ragged((7,), E, 0.0, 1)
    video = video.with_values(video.values.double())
    labels = torch.tensor([[5, 6, 7, 2, CODE], [8, 9, 4, 2, CODE]])
    expected = decoder(video.with_values(video.values), labels[:1]), decoder(video, labels[1:])
    memory = decoder.memory(video)
    assert memory.shape == (2, 3, 1, 4, 7, 6)
    past = memory.new_zeros(2, 3, 2, 4, 0, 6)
    inputs = torch.cat((labels[:, -1:], labels[:, :-1]), dim=1)
    for position in range(5):
        logits, past = decoder.step(inputs[:, position], past, memory)
        for row in range(2):
            torch.testing.assert_close(logits[row], expected[row][0, position], rtol=0, atol=1e-9)
    assert past.shape == (2, 3, 2, 4, 5, 6)


@pytest.mark.parametrize("num_beams", [1, 2, 5])
@pytest.mark.parametrize("penalty", [1.0, 0.0, 1.2, -0.5])
@torch.no_grad()
def test_the_sentences_are_those_of_generate(penalty: float, num_beams: int) -> None:
    longest, ends = 12, set()
    decode = DecodeConfig(max_new_tokens=longest, length_penalty=penalty)
    for seed, length in ((3, 6), (4, 3), (5, 1), (6, 11), (7, 4), (8, 5)):
        decoder, video = lively(seed), ragged((length,), E, 0.0, seed)
        video = video.with_values(video.values.double())
        found = decoder.generate(video, Beams(num_beams, longest, penalty, num_beams), CODE)
        best = beam_search(Eager(decoder, video), CODE, EOS_ID, never_written(V), decode, num_beams)
        expected = [[id for id in row if id != PAD_ID] for row in found.sequences[0].tolist()]
        assert [ids for ids, _ in best] == expected
        np.testing.assert_allclose([score for _, score in best], found.scores[0].numpy(), atol=1e-4)
        ends |= {len(ids) for ids in expected}
    assert len(ends) > 1, "every sentence has the same length: this shows little"


class Eager:
    """The decoder's step, as the graph has it."""

    def __init__(self, decoder: MBartDecoder, video: Padded) -> None:
        self.decoder, self.memory = decoder, decoder.memory(video)
        self.past = torch.zeros(2, 3, 1, 4, 0, 6, dtype=torch.float64)

    def __call__(self, tokens: np.ndarray, parents: np.ndarray | None) -> np.ndarray:
        past = self.past if parents is None else self.past[:, :, torch.from_numpy(parents)]
        logits, self.past = self.decoder.step(torch.from_numpy(tokens), past, self.memory)
        return np.asarray(logits.log_softmax(dim=-1).numpy())
