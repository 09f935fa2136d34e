"""A recurrent encoder and decoder with attention on video features: NSLT (Camgoz et al., CVPR 2018).

The details follow the released code, which uses TensorFlow's AttentionWrapper: residual connections around every layer
but the first, dropout on the input of each layer, linear layers without bias, Glorot initialisation, gate biases of 1.
Two details differ. torch's GRU applies the reset gate after the product with the state (as cuDNN does), TensorFlow's
before it. A sentence is a language code and pieces; in NSLT it is <s> and words.

B clips, K beams, R = B x K rows, S segments, L tokens, E width of video features, D hidden size, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from glossfree.models.beam_search import State, beam_search
from glossfree.models.choices import Beams, Decoder, Decoding, LanguageEncoder, Translations
from glossfree.models.tokens import never_written, shift_right
from glossfree.padded import Padded
from glossfree.settings import DEEPEST, WIDEST, value


class RecurrentDecoding(Decoding):
    """NSLT's sizes. NSLT has no language encoder: language.kind = "none"."""

    kind: Literal["gru"] = "gru"
    train: Literal["all", "none"] = value("all", "stated", "what of the decoder trains: everything, nothing")
    hidden_size: int = value(1000, "stated", "width of encoder, decoder and token table", ge=1, le=WIDEST)
    num_layers: int = value(4, "stated", "GRU layers of the encoder, and of the decoder", ge=1, le=DEEPEST)
    dropout: float = value(0.2, "released", "dropout", ge=0, lt=1)
    attention: Literal["none", "luong", "bahdanau"] = value(
        "bahdanau", "stated", "attention of the decoder: the paper's best; the released command uses luong"
    )
    reverse: bool = value(True, "released", "the encoder reads a clip from its end")

    def build(self, language: LanguageEncoder, width: int, vocabulary_size: int) -> RecurrentDecoder:
        """Encoder and decoder, with random weights."""
        return RecurrentDecoder(self, width, vocabulary_size)


class RecurrentDecoder(Decoder):
    """Video features Padded (B, S, E) and the tokens so far -> logits of the next token."""

    def __init__(self, options: RecurrentDecoding, width: int, vocabulary_size: int) -> None:
        super().__init__()
        hidden_size, num_layers, dropout = options.hidden_size, options.num_layers, options.dropout
        self.reverse = options.reverse
        self.encoder = ResidualGRU(width, hidden_size, num_layers, dropout)
        self.embedding = nn.Embedding(vocabulary_size, hidden_size)
        self.attention = None if options.attention == "none" else Attention(options.attention, hidden_size)
        # input feeding: the previous attention vector is concatenated with the token
        input_size = hidden_size if self.attention is None else 2 * hidden_size
        self.decoder = ResidualGRU(input_size, hidden_size, num_layers, dropout)
        self.output = nn.Linear(hidden_size, vocabulary_size, bias=False)
        for parameter in self.parameters():
            if parameter.ndim > 1:
                nn.init.xavier_normal_(parameter)

    def forward(self, video: Padded, labels: Tensor) -> Tensor:
        """Video features Padded (B, S, E) and labels (B, L) -> logits (B, L, V), each from the tokens before it."""
        memory, state = self.encode(video)
        outputs, _ = self.decode(shift_right(labels), memory, state)
        logits: Tensor = self.output(outputs)
        return logits

    @torch.no_grad()
    def generate(
        self, video: Padded, beams: Beams, start_id: int, suppressed: Sequence[int] | None = None
    ) -> Translations:
        """Video features Padded (B, S, E) -> Translations by beam search (`suppressed`: by default `never_written`)."""
        if suppressed is None:
            suppressed = never_written(self.output.out_features)
        memory, first_state = self.encode(video)

        def step(tokens: Tensor, state: State) -> tuple[Tensor, State]:
            outputs, state = self.decode(tokens[:, None], memory, state)
            logits: Tensor = self.output(outputs[:, 0])
            return logits.float().log_softmax(dim=-1), state

        return beam_search(step, first_state, start_id, beams, suppressed)

    def encode(self, video: Padded) -> tuple[Memory, State]:
        """Video features Padded (B, S, E) -> the memory of attention, and the decoder's first state.

        A state holds a tensor (R, D) for each layer, initially the encoder's last state of that layer. With attention,
        the last attention vector (R, D) follows, initially 0.
        """
        sequence = reverse_time(video) if self.reverse else video
        outputs, state = self.encoder(sequence.zeroed().values, lengths=video.lengths)
        if self.attention is None:
            return Memory(outputs, outputs, video.mask), state
        return Memory(outputs, self.attention.keys(outputs), video.mask), (*state, torch.zeros_like(state[-1]))

    def decode(self, token_ids: Tensor, memory: Memory, state: State) -> tuple[Tensor, State]:
        """Token ids (R, L), row r of clip r // K -> inputs of the output layer (R, L, D), and the next state."""
        embedded = self.embedding(token_ids)
        if self.attention is None:
            outputs, state = self.decoder(embedded, state)
            return outputs, state
        vectors = []
        *layers, vector = state
        for token in embedded.unbind(dim=1):
            outputs, layers = self.decoder(torch.cat((token, vector), dim=-1)[:, None], layers)
            vector = self.attention(outputs[:, 0], memory)
            vectors.append(vector)
        return torch.stack(vectors, dim=1), (*layers, vector)


class ResidualGRU(nn.Module):
    """Unidirectional GRU layers: x_1 = GRU_1(x_0), and x_l = x_{l-1} + GRU_l(x_{l-1}) from the second layer on.

    Dropout acts on the input of a GRU, not on the residual connection.
    """

    def __init__(self, input_size: int, hidden_size: int, num_layers: int, dropout: float) -> None:
        super().__init__()
        self.dropout = dropout
        sizes = [input_size] + [hidden_size] * (num_layers - 1)
        self.layers = nn.ModuleList(_gru(size, hidden_size) for size in sizes)

    def forward(
        self, values: Tensor, state: Sequence[Tensor] | None = None, lengths: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """(R, T, W) and the state (R, D) of each layer, None = 0 -> (R, T, D) and the last state of each layer.

        The last step is `lengths` (R,), or T without it. No real step depends on padding: nothing needs to be packed.
        """
        states = []
        rows = torch.arange(len(values), device=values.device)
        for number, layer in enumerate(self.layers):
            dropped = functional.dropout(values, self.dropout, self.training)
            hidden, last = layer(dropped, None if state is None else state[number][None])
            states.append(last[0] if lengths is None else hidden[rows, lengths - 1])
            values = hidden if number == 0 else values + hidden
        return values, tuple(states)


def _gru(input_size: int, hidden_size: int) -> nn.GRU:
    """One layer. The biases of reset and update gate (rows 0 to 2D in torch) start at 1, as in TensorFlow."""
    layer = nn.GRU(input_size, hidden_size, batch_first=True)
    weights = dict(layer.named_parameters())
    nn.init.zeros_(weights["bias_ih_l0"])
    nn.init.zeros_(weights["bias_hh_l0"])
    nn.init.ones_(weights["bias_ih_l0"][: 2 * hidden_size])
    return layer


@dataclass(frozen=True)
class Memory:
    """The memory of attention: the encoder's outputs (B, S, D), their keys (B, S, D), mask (B, S), True = real."""

    values: Tensor
    keys: Tensor
    mask: Tensor


class Attention(nn.Module):
    """Outputs d (R, D) of the decoder's top layer -> attention vectors (R, D).

    alpha_i = softmax of e(d, h_i) over the real steps of the clip; attention vector = W_c [sum_i alpha_i h_i; d],
    linear as in AttentionWrapper (Luong et al. 2015 apply a tanh).
    "luong": e(d, h) = d^T W h ("general", Luong et al. 2015), keys are W h.
    "bahdanau": e(d, h) = u^T tanh(W_1 d + W_2 h) (Bahdanau et al. 2015), keys are W_2 h.
    """

    def __init__(self, kind: Literal["luong", "bahdanau"], hidden_size: int) -> None:
        super().__init__()
        self.kind = kind
        self.keys = nn.Linear(hidden_size, hidden_size, bias=False)
        self.combine = nn.Linear(2 * hidden_size, hidden_size, bias=False)
        if kind == "bahdanau":
            self.query = nn.Linear(hidden_size, hidden_size, bias=False)
            self.energy = nn.Linear(hidden_size, 1, bias=False)

    def forward(self, outputs: Tensor, memory: Memory) -> Tensor:
        """Outputs (R, D), row r of clip r // K -> attention vectors (R, D)."""
        queries = outputs.view(len(memory.keys), -1, outputs.shape[-1])
        if self.kind == "luong":
            energies = queries @ memory.keys.transpose(1, 2)
        else:
            energies = self.energy(torch.tanh(self.query(queries)[:, :, None] + memory.keys[:, None])).squeeze(-1)
        energies = energies.masked_fill(~memory.mask[:, None], float("-inf"))
        context = energies.softmax(dim=-1).to(memory.values.dtype) @ memory.values
        vectors: Tensor = self.combine(torch.cat((context.flatten(0, 1), outputs), dim=-1))
        return vectors


def reverse_time(sequence: Padded) -> Padded:
    """Padded (B, T, W) -> the same with the real steps of each clip reversed; padding stays at the end."""
    batch, steps, _ = sequence.values.shape
    forward = torch.arange(steps, device=sequence.values.device).expand(batch, -1)
    order = torch.where(sequence.mask, sequence.lengths[:, None] - 1 - forward, forward)
    return sequence.with_values(sequence.values.gather(1, order[..., None].expand_as(sequence.values)))
