"""mBART's decoder on video features, with beam search (section 3.3, eq 6).

B clips, S segments, L tokens, E language width, V vocabulary, n translations per clip; K layers, H heads of width d.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from glossfree.models.adapters import Adapters
from glossfree.models.beam_search import State, beam_search
from glossfree.models.choices import Beams, Decoder, Decoding, Language, LanguageEncoder, Translations
from glossfree.models.language.mbart import MBart, MBartEncoder
from glossfree.models.mbart import OFFSET, MBartNetwork
from glossfree.models.tokens import never_written, shift_right
from glossfree.padded import Padded
from glossfree.settings import Trained, value


class MBartDecoding(Adapters, Decoding):
    """The decoder of the mBART in [language], which has its sizes; its adapters are set here."""

    kind: Literal["mbart"] = "mbart"
    train: Trained = value("adapters", "stated", "what of the decoder trains: LoRA, everything, nothing")

    # stated: query and value, of self- and of cross-attention
    adapter_targets: ClassVar[tuple[str, ...]] = ("q_proj", "v_proj")

    def build(self, language: LanguageEncoder, width: int, vocabulary_size: int) -> MBartDecoder:
        """The decoder that belongs to this encoder."""
        assert isinstance(language, MBartEncoder)
        return MBartDecoder(language.mbart)

    def problems_with(self, language: Language) -> Iterator[str]:
        """Any encoder but mBART's."""
        if not isinstance(language, MBart):
            yield f'decoder.kind "mbart" needs language.kind = "mbart", not "{language.kind}"'


class MBartDecoder(Decoder):
    """Decoder, token table and output layer of an mBART. Its encoder is the model's language encoder."""

    def __init__(self, mbart: MBartNetwork) -> None:
        super().__init__()
        self.mbart = mbart

    @property
    def adapted(self) -> torch.nn.Module:
        """The module that gets adapters; its other weights are then frozen."""
        return self.mbart.model.decoder

    def forward(self, video: Padded, labels: Tensor) -> Tensor:
        """Video features Padded (B, S, E) and labels (B, L) -> logits (B, L, V), each from the tokens before it."""
        rows = self.mbart.model.decoder.embed_tokens(shift_right(labels))
        hidden, _ = self.mbart.model.decoder(rows, memory=video.values, memory_mask=video.mask)
        return self.mbart.logits(hidden)

    def memory(self, video: Padded) -> Tensor:
        """Video features Padded (B, S, E) -> keys and values of cross-attention (2, K, B, H, S, d)."""
        layers: list[Any] = [layer.encoder_attn for layer in self.mbart.model.decoder.layers]
        keys = torch.stack([each.heads(each.k_proj(video.values)) for each in layers])
        return torch.stack((keys, torch.stack([each.heads(each.v_proj(video.values)) for each in layers])))

    def step(self, tokens: Tensor, past: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        """Last tokens (R,), keys and values of the L before, `past` (2, K, R, H, L, d) -> logits (R, V), the next past.

        All rows are of the clip whose `memory` (2, K, 1, H, S, d) it is. `generate` keeps what was written in place,
        which a graph cannot.
        """
        grown: list[Tensor] = []

        def remember(layer: int, written: Tensor) -> Tensor:
            grown.append(torch.cat((past[:, layer], written), dim=3))
            return grown[-1]

        logits = self._next(tokens[:, None], past.shape[4], remember, memory)
        return logits[:, 0], torch.stack(grown, dim=1)

    def _next(
        self,
        tokens: Tensor,
        position: int,
        remember: Callable[[int, Tensor], Tensor],
        memory: Tensor,
        seen: Tensor | None = None,
        real: Tensor | None = None,
    ) -> Tensor:
        """Tokens (G, N) at one position, N beside each other in a group -> logits of the next (G, N, V).

        `remember`: a layer's number, and keys and values (2, G, H, N, d) of the tokens -> those of everything written
        in the group (2, G, H, M, d), of which each token sees `seen` (G, 1, N, M). `real`: mask of the memory.
        """
        decoder: Any = self.mbart.model.decoder
        place = decoder.embed_positions.weight[position + OFFSET]
        hidden = decoder.layernorm_embedding(decoder.embed_tokens(tokens) + place)
        for number, layer in enumerate(decoder.layers):
            own, cross = layer.self_attn, layer.encoder_attn
            normal = layer.self_attn_layer_norm(hidden)
            written = torch.stack((own.heads(own.k_proj(normal)), own.heads(own.v_proj(normal))))
            keys, values = remember(number, written)
            hidden = hidden + _attend(own, normal, keys, values, seen)
            normal = layer.encoder_attn_layer_norm(hidden)
            hidden = hidden + _attend(cross, normal, memory[0, number], memory[1, number], real)
            hidden = hidden + layer.mlp(layer.final_layer_norm(hidden))
        return self.mbart.logits(decoder.layer_norm(hidden))

    @torch.no_grad()
    def generate(
        self, video: Padded, beams: Beams, start_id: int, suppressed: Sequence[int] | None = None
    ) -> Translations:
        """Video features Padded (B, S, E) -> Translations by beam search (`suppressed`: by default `never_written`).

        The beams of a clip share one cache of keys and values, with a place for each beam and position. Nothing in it
        is ever moved: which places a beam continues is its state.
        """
        if suppressed is None:
            suppressed = never_written(self.mbart.model.shared.num_embeddings)
        memory = self.memory(video.zeroed())
        sides, layers, clips, heads, _, width = memory.shape
        beside = beams.num_beams
        cache = memory.new_empty(layers, sides, clips, heads, beams.max_new_tokens * beside, width)
        places = torch.arange(beside, device=memory.device).repeat(clips)[:, None]

        def step(tokens: Tensor, state: State) -> tuple[Tensor, State]:
            """The state has the place (R, L) of each token so far."""
            position = state[0].shape[1]
            first, end = position * beside, (position + 1) * beside
            history = torch.cat((state[0], first + places), dim=1)
            seen = torch.zeros(len(tokens), end, dtype=torch.bool, device=tokens.device).scatter_(1, history, True)

            def remember(layer: int, written: Tensor) -> Tensor:
                cache[layer, :, :, :, first:end] = written
                return cache[layer, :, :, :, :end]

            logits = self._next(
                tokens.view(clips, beside),
                position,
                remember,
                memory,
                seen.view(clips, 1, beside, end),
                video.mask[:, None, None],
            )
            return logits.flatten(0, 1).float().log_softmax(dim=-1), (history,)

        first_state = (torch.empty(clips, 0, dtype=torch.long, device=memory.device),)
        return beam_search(step, first_state, start_id, beams, suppressed, hasty=True)


def _attend(attention: Any, rows: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None) -> Tensor:
    """Rows (G, N, E) to keys and values (G or 1, H, M, d), as far as `mask` (G, 1, N or 1, M) is True -> (G, N, E)."""
    queries = attention.heads(attention.q_proj(rows)) * attention.head_dim**-0.5
    weights = queries @ keys.transpose(-1, -2)
    if mask is not None:
        weights = weights.masked_fill(~mask, float("-inf"))
    attended = weights.softmax(dim=-1) @ values
    mixed: Tensor = attention.out_proj(attended.transpose(1, 2).flatten(2))
    return mixed
