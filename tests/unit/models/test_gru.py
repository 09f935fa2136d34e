"""NSLT's encoder and decoder: against loops in float64, padding, decoding against forward(), gradients, dropout."""

from __future__ import annotations

import itertools
from typing import Any, Literal

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from glossfree.models.choices import Beams, Translations
from glossfree.models.decoders import DECODERS
from glossfree.models.decoders.gru import Memory, RecurrentDecoder, RecurrentDecoding, reverse_time
from glossfree.models.language.none import Unchanged
from glossfree.models.tokens import EOS_ID, PAD_ID, never_written
from glossfree.padded import Padded

E, D, V, NUM_LAYERS = 7, 6, 39, 3
CODE = V - 20
LENGTHS = torch.tensor([5, 1, 4])
LABELS = torch.tensor([[5, 6, 7, EOS_ID, CODE], [EOS_ID, CODE, -100, -100, -100], [8, 5, EOS_ID, CODE, -100]])
FEW = (0, 1, *range(7, V))  # suppressed: 2, 3, 4, 5, 6 may be produced
KINDS = ("none", "luong", "bahdanau")
Kind = Literal["none", "luong", "bahdanau"]
Array = np.ndarray[Any, np.dtype[np.float64]]


def decoder(kind: Kind = "bahdanau", reverse: bool = True, dropout: float = 0.0, seed: int = 3) -> RecurrentDecoder:
    """Small, in evaluation mode, and lively enough that clips get different sentences of different lengths."""
    torch.manual_seed(seed)
    module = RecurrentDecoding(
        hidden_size=D, num_layers=NUM_LAYERS, dropout=dropout, attention=kind, reverse=reverse
    ).build(Unchanged(), E, V)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.8)
    return module.double().eval()


def features(seed: int = 1, clips: int = 3, steps: int = 5) -> Tensor:
    return torch.randn(clips, steps, E, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def video() -> Padded:
    return Padded(features(), LENGTHS)


def clip_alone(batch: Padded, clip: int) -> Padded:
    lengths = batch.lengths[clip : clip + 1]
    return Padded(batch.values[clip : clip + 1, : int(lengths)], lengths)


def written(sequence: Tensor) -> list[int]:
    """Ids up to and including `</s>`; only padding may follow."""
    ids: list[int] = sequence.tolist()
    end = ids.index(EOS_ID) + 1 if EOS_ID in ids else len(ids)
    assert set(ids[end:]) <= {PAD_ID}
    return ids[:end]


def sentences(translations: Translations) -> list[list[list[int]]]:
    return [[written(sequence) for sequence in clip] for clip in translations.sequences]


class Naive:
    """One clip, one step, one layer at a time, from the weights by name."""

    def __init__(self, module: RecurrentDecoder) -> None:
        self.weights = {name: weight.detach().numpy() for name, weight in module.named_parameters()}

    def gru(self, name: str, fed: Array, state: Array) -> Array:
        w, u, b, c = (self.weights[f"{name}.{part}_l0"] for part in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"))
        from_input, from_state = w @ fed + b, u @ state + c
        reset = 1 / (1 + np.exp(-from_input[:D] - from_state[:D]))
        update = 1 / (1 + np.exp(-from_input[D : 2 * D] - from_state[D : 2 * D]))
        new = np.tanh(from_input[2 * D :] + reset * from_state[2 * D :])
        mixed: Array = update * state + (1 - update) * new
        return mixed

    def stack(self, name: str, fed: Array, states: list[Array]) -> tuple[Array, list[Array]]:
        """One step through all layers; residual connections from the second layer on."""
        output, new_states = fed, []
        for layer, state in enumerate(states):
            hidden = self.gru(f"{name}.layers.{layer}", output, state)
            output = hidden if layer == 0 else output + hidden
            new_states.append(hidden)
        return output, new_states

    def energy(self, kind: str, query: Array, output: Array) -> float:
        key = self.weights["attention.keys.weight"] @ output
        if kind == "luong":
            return float(sum(query[column] * key[column] for column in range(D)))
        inner = np.tanh(self.weights["attention.query.weight"] @ query + key)
        return float(sum(self.weights["attention.energy.weight"][0, column] * inner[column] for column in range(D)))

    def attention_vector(self, kind: str, query: Array, outputs: list[Array]) -> Array:
        exponentials = [np.exp(self.energy(kind, query, output)) for output in outputs]
        context = np.zeros(D)
        for exponential, output in zip(exponentials, outputs, strict=True):
            context += exponential / sum(exponentials) * output
        combined: Array = self.weights["attention.combine.weight"] @ np.concatenate([context, query])
        return combined

    def logits(self, kind: str, reverse: bool, frames: list[Array], token_ids: list[int]) -> list[Array]:
        outputs, states = [], [np.zeros(D)] * NUM_LAYERS
        for frame in reversed(frames) if reverse else frames:
            output, states = self.stack("encoder", frame, states)
            outputs.append(output)
        vector, logits = np.zeros(D), []
        for token in token_ids:
            embedded = self.weights["embedding.weight"][token]
            fed = embedded if kind == "none" else np.concatenate([embedded, vector])
            output, states = self.stack("decoder", fed, states)
            vector = output if kind == "none" else self.attention_vector(kind, output, outputs)
            logits.append(self.weights["output.weight"] @ vector)
        return logits


@pytest.mark.parametrize("reverse", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_logits_are_those_of_loops(kind: Kind, reverse: bool) -> None:
    module = decoder(kind, reverse)
    logits = module(video(), LABELS)
    assert logits.shape == (3, 5, V)
    for clip, length in enumerate(LENGTHS.tolist()):
        pieces = [label for label in LABELS[clip].tolist() if label != -100][:-1]
        frames = list(video().values[clip, :length].numpy())
        expected = Naive(module).logits(kind, reverse, frames, [CODE, *pieces])
        ours = logits[clip, : len(expected)].detach().numpy()
        np.testing.assert_allclose(ours, np.stack(expected), rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", ["luong", "bahdanau"])
def test_attention_vectors_are_those_of_loops(kind: Kind) -> None:
    module = decoder(kind)
    assert module.attention is not None
    generator = torch.Generator().manual_seed(7)
    outputs = torch.randn(3, 5, D, generator=generator, dtype=torch.float64)
    queries = torch.randn(3 * 2, D, generator=generator, dtype=torch.float64)  # two beams of each clip
    memory = Memory(outputs, module.attention.keys(outputs), Padded(outputs, LENGTHS).mask)
    vectors = module.attention(queries, memory).detach().numpy()
    for row, query in enumerate(queries.numpy()):
        real = list(outputs[row // 2, : LENGTHS[row // 2]].numpy())
        np.testing.assert_allclose(vectors[row], Naive(module).attention_vector(kind, query, real), rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("garbage", [3e4, float("nan")])
def test_padding_after_a_clip_changes_nothing(kind: Kind, garbage: float) -> None:
    module = decoder(kind)
    filled = Padded(video().values.masked_fill(~video().mask[..., None], garbage), LENGTHS).values
    longer = Padded(torch.cat((filled, torch.full((3, 2, E), garbage, dtype=torch.float64)), dim=1), LENGTHS)
    logits = module(longer, LABELS)
    beams = Beams(4, 6, 0.5, 3)
    together = module.generate(longer, beams, CODE, FEW)
    assert len({len(sentence) for clip in sentences(together) for sentence in clip}) > 1
    assert len({str(clip) for clip in sentences(together)}) == 3, "all clips alike: the test could not fail"
    for clip in range(3):
        alone = clip_alone(video(), clip)
        real = int((LABELS[clip] != -100).sum())
        expected = module(alone, LABELS[clip : clip + 1, :real])
        torch.testing.assert_close(logits[clip : clip + 1, :real], expected, rtol=0, atol=1e-12)
        separate = module.generate(alone, beams, CODE, FEW)
        assert sentences(separate)[0] == sentences(together)[clip]
        torch.testing.assert_close(separate.scores[0], together.scores[clip], rtol=0, atol=1e-6)


def test_padding_has_no_gradient() -> None:
    values = features().masked_fill(~video().mask[..., None], float("nan")).requires_grad_()
    module = decoder()
    module(Padded(values, LENGTHS), LABELS)[LABELS != -100].square().sum().backward()
    assert values.grad is not None
    assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in module.parameters())
    assert (values.grad[video().mask].abs().sum(dim=-1) > 0).all()
    assert (values.grad[~video().mask] == 0).all()


def test_only_real_steps_are_reversed() -> None:
    backwards = reverse_time(video())
    assert backwards.lengths.tolist() == LENGTHS.tolist()
    for clip, length in enumerate(LENGTHS.tolist()):
        assert torch.equal(backwards.values[clip, :length], video().values[clip, :length].flip(0))
        assert torch.equal(backwards.values[clip, length:], video().values[clip, length:])


def test_reading_backwards_is_reading_the_reversed_clip() -> None:
    backwards, forwards = decoder(reverse=True), decoder(reverse=False)
    ours = backwards(video(), LABELS)
    torch.testing.assert_close(ours, forwards(reverse_time(video()), LABELS), rtol=0, atol=1e-12)
    real = LABELS != -100
    differs = (ours - forwards(video(), LABELS)).abs().amax(dim=-1)
    assert (differs[0][real[0]] > 1e-3).all()
    assert (differs[1][real[1]] < 1e-12).all(), "one step is the same in both directions"


def log_probability(module: RecurrentDecoder, clip: Padded, sentence: list[int]) -> float:
    """Sum over a sentence's tokens, from one teacher-forced pass."""
    labels = torch.tensor([[*sentence, CODE]])  # the last label makes the language code the start
    log_probabilities = module(clip, labels)[0, :-1].log_softmax(dim=-1)
    return float(log_probabilities.gather(1, labels[0, :-1, None]).detach().sum())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("num_beams", "length_penalty"), [(1, 1.0), (1, 0.3), (4, 1.0), (4, 0.3), (4, 0.0)])
def test_scores_are_log_probabilities_over_length(kind: Kind, num_beams: int, length_penalty: float) -> None:
    module = decoder(kind)
    translations = module.generate(video(), Beams(num_beams, 6, length_penalty, min(num_beams, 3)), CODE)
    for clip in range(3):
        assert translations.scores[clip].tolist() == sorted(translations.scores[clip].tolist(), reverse=True)
        for sentence, score in zip(sentences(translations)[clip], translations.scores[clip], strict=True):
            expected = log_probability(module, clip_alone(video(), clip), sentence) / len(sentence) ** length_penalty
            assert float(score) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_with_enough_beams_search_is_exhaustive(kind: Kind) -> None:
    module = decoder(kind)
    words = (3, 4, 5, 6)
    ended = [[*each, EOS_ID] for length in range(3) for each in itertools.product(words, repeat=length)]
    every = [*ended, *map(list, itertools.product(words, repeat=3))]
    translations = module.generate(video(), Beams(5**3, 3, 0.8, 9), CODE, FEW)
    for clip in range(3):
        alone = clip_alone(video(), clip)
        scored = sorted((-log_probability(module, alone, each) / len(each) ** 0.8, each) for each in every)[:9]
        assert sentences(translations)[clip] == [each for _, each in scored]
        assert translations.scores[clip].tolist() == pytest.approx([-score for score, _ in scored], abs=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_one_beam_takes_the_most_likely_token_each_time(kind: Kind) -> None:
    module = decoder(kind, seed=4)
    batch = Padded(features(clips=9, steps=5), torch.tensor([5, 1, 4, 2, 3, 5, 5, 1, 2]))
    translations = module.generate(batch, Beams(1, 6), CODE, FEW)
    lengths = set()
    for clip in range(9):
        sentence: list[int] = []
        while len(sentence) < 6 and EOS_ID not in sentence:
            logits = module(clip_alone(batch, clip), torch.tensor([[*sentence, CODE]]))[0, -1]
            logits[list(FEW)] = float("-inf")
            sentence.append(int(logits.argmax()))
        assert sentences(translations)[clip] == [sentence]
        lengths.add(len(sentence))
    assert len(lengths) > 1


def test_decoding_twice_gives_the_same() -> None:
    module = decoder(dropout=0.4)
    first, second = (module.generate(video(), Beams(3, 7, 1.0, 2), CODE) for _ in range(2))
    assert torch.equal(first.sequences, second.sequences)
    assert torch.equal(first.scores, second.scores)
    assert not first.scores.requires_grad


def test_by_default_special_tokens_are_never_produced() -> None:
    module = decoder()
    written_ids = set(module.generate(video(), Beams(6, 9, 1.0, 6), CODE).sequences.flatten().tolist())
    assert not (written_ids - {PAD_ID}) & set(never_written(V))
    free = module.generate(video(), Beams(6, 9, 1.0, 6), CODE, suppressed=())
    assert set(free.sequences.flatten().tolist()) & {0, 3, *range(V - 26, V)}, "suppression had no effect"


def test_the_language_code_is_what_a_sentence_starts_from() -> None:
    module = decoder()
    scores = [module.generate(video(), Beams(2, 5), code).scores for code in (CODE, CODE + 1)]
    assert not torch.equal(*scores)


def test_more_sentences_than_beams_are_refused() -> None:
    with pytest.raises(ValueError, match="num_return_sequences = 3 exceeds num_beams = 2"):
        decoder().generate(video(), Beams(2, 5, 1.0, 3), CODE)


@pytest.mark.parametrize("kind", KINDS)
def test_a_gradient_reaches_every_parameter(kind: Kind) -> None:
    module = (
        RecurrentDecoding(hidden_size=D, num_layers=NUM_LAYERS, dropout=0.1, attention=kind, reverse=True)
        .build(Unchanged(), E, V)
        .double()
        .train()
    )
    module(video(), LABELS)[LABELS != -100].square().sum().backward()
    without = [name for name, weight in module.named_parameters() if weight.grad is None or not weight.grad.any()]
    assert without == []


@pytest.mark.parametrize("part", ["encoder", "decoder"])
def test_dropout_acts_in_training_only(part: str) -> None:
    module = decoder(dropout=0.4)
    getattr(module, "decoder" if part == "encoder" else "encoder").dropout = 0.0
    assert torch.equal(module(video(), LABELS), module(video(), LABELS))
    assert torch.equal(module(video(), LABELS), decoder(dropout=0.0)(video(), LABELS))
    module.train()
    assert not torch.equal(module(video(), LABELS), module(video(), LABELS))


def test_dropout_acts_on_the_gru_but_not_on_the_residual() -> None:
    stack = decoder(dropout=0.4).encoder.train()
    for weight in stack.layers[1:].parameters():  # GRUs that always return 0: what is left is what passed them by
        nn.init.zeros_(weight)
    torch.manual_seed(0)
    first, _ = stack.layers[0](nn.functional.dropout(features(), 0.4))
    torch.manual_seed(0)
    outputs, _ = stack(features())
    assert torch.equal(outputs, first)


def test_gates_start_at_bias_1_and_weights_at_glorots_spread() -> None:
    module = RecurrentDecoding(hidden_size=61, num_layers=2, dropout=0.0, attention="bahdanau", reverse=True).build(
        Unchanged(), 97, 211
    )
    for layer in (*module.encoder.layers, *module.decoder.layers):
        assert layer.bias_ih_l0.tolist() == [1.0] * 122 + [0.0] * 61
        assert not layer.bias_hh_l0.any()
    for layer in (module.output, module.embedding):
        assert float(layer.weight.detach().std()) == pytest.approx((2 / (211 + 61)) ** 0.5, rel=0.05)


def test_the_options_are_nslts_and_all_of_them_are_used() -> None:
    options = DECODERS["gru"](kind="gru")
    assert isinstance(options, RecurrentDecoding)
    assert (options.hidden_size, options.num_layers, options.dropout) == (1000, 4, 0.2)
    assert (options.attention, options.reverse, options.train) == ("bahdanau", True, "all")
    small = RecurrentDecoding(hidden_size=D, num_layers=2, dropout=0.3, attention="luong", reverse=False)
    module = small.build(Unchanged(), E, V)
    assert module.reverse is False
    assert module.attention is not None and module.attention.kind == "luong"
    for stack, width in ((module.encoder, E), (module.decoder, 2 * D)):
        assert (len(stack.layers), stack.dropout) == (2, 0.3)
        assert stack.layers[0].weight_ih_l0.shape == (3 * D, width)
    assert module.output.weight.shape == module.embedding.weight.shape == (V, D)
    with pytest.raises(ValidationError):
        RecurrentDecoding(train="adapters")  # type: ignore[arg-type]


def test_half_precision_decodes() -> None:
    module = decoder().float()
    half = Padded(video().values.float(), LENGTHS)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = module(half, LABELS)
        scores = module.generate(half, Beams(2, 5), CODE).scores
    torch.testing.assert_close(logits.double(), decoder()(video(), LABELS), rtol=0.1, atol=0.5)
    assert scores.dtype == torch.float32
    assert scores.isfinite().all()
