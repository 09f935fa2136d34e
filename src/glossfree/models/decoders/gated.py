"""A language model that reads the video through zero-gated attention: Sign2GPT (Wong et al., ICLR 2024).

The language model is frozen. Of each layer, LoRA on the projections of self-attention trains, and what the layer adds
to it from the video:

    o = W_o (Attn(h) + g_head softmax(Q' K'^T / sqrt(d)) V'),  g = clamp(gamma, 0, 1), gamma = 0 at the start,
    Q' = W_q h + A_q h,  K' = W_k n + A_k n,  V' = W_v n + A_v n,  n = LayerNorm(W (video features + sine positions)),

with the layer's own frozen W_q, W_k, W_v and LayerNorm, its LoRA (in W_o and Attn) and low-rank A_q, A_k, A_v of the
gate. Facts from the authors' public code (ryanwongsa/Sign2GPT). There, A_k and A_v do not start at zero.

B clips, K beams, R = B x K rows, S segments, L tokens, P tokens before them, E width of video features, D width of the
language model, H heads (of keys and values G, which divides H), d width of a head, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.hooks import RemovableHandle

from glossfree.errors import ModelError
from glossfree.models.adapters import Adapters, Lora
from glossfree.models.beam_search import State, beam_search
from glossfree.models.choices import Beams, Decoder, Translations
from glossfree.models.temporal.local_attention import sinusoids
from glossfree.models.tokens import EOS_ID, never_written, shift_right
from glossfree.padded import Padded
from glossfree.settings import WIDEST, value

MODEL = "language_model."
NEW = ("projection.", "gates.")  # what no language model has
Projected = Literal["query", "key", "value"]
# the names that transformers' models have for the parts of a layer
ATTENTIONS = ("self_attn", "attn")
NORMS = ("self_attn_layer_norm", "input_layernorm", "ln_1")
OUTPUTS = ("out_proj", "o_proj", "c_proj", "dense")
PROJECTIONS: dict[Projected, str] = {"query": "q_proj", "key": "k_proj", "value": "v_proj"}
HEAD_NORMS = {"query": "q_norm", "key": "k_norm"}
FUSED = "c_attn"  # GPT-2's one projection for all three


# values of every such decoder's options
TRAIN = value(
    "adapters", "stated", "what of the language model trains: LoRA, everything, nothing; the gated attention does"
)
RANK = value(4, "released", "rank of LoRA and of the gated attention's adapters", ge=1, le=WIDEST)
ALPHA = value(4.0, "released", "scaling factor of both", gt=0)
DROPOUT = value(0.1, "released", "dropout of both", ge=0, lt=1)


class GatedDecoder(Decoder):
    """Video features Padded (B, S, E) and the tokens so far -> logits of the next token."""

    vocabulary_size: int
    start_id: int | None = None  # what a sentence starts from; None: the last label, as `shift_right` has it
    end_id: int = EOS_ID
    unused: tuple[int, ...] = ()  # ids that no token has

    def __init__(
        self, language_model: nn.Module, layers: Sequence[nn.Module], options: Adapters, width: int, hidden: int
    ) -> None:
        """A causal language model of width `hidden` = D, its layers, and the width E of video features.

        Raises ModelError for layers that have other parts than this module knows.
        """
        super().__init__()
        self.language_model = language_model
        self.attentions = [Attention(layer) for layer in layers]
        self.projection = nn.Linear(width, hidden)
        self.gates = nn.ModuleList(Gate(options, attention, hidden) for attention in self.attentions)

    @property
    def adapted(self) -> nn.Module:
        """The module that gets adapters; its other weights are then frozen. The gates are beside it, and train."""
        return self.language_model

    def merge_adapters(self) -> None:
        """Nothing: the gates read with the same projections, without the adapters on them."""

    def logits(self, tokens: Tensor, past: State) -> tuple[Tensor, State]:
        """Token ids (R, L) after those of `past` -> the language model's logits (R, L, V), and the next past.

        `past`: keys and values (R, G, P, d) of each layer in turn; () where no token follows.
        """
        raise NotImplementedError

    def forward(self, video: Padded, labels: Tensor) -> Tensor:
        """Video features Padded (B, S, E) and labels (B, L) -> logits (B, L, V), each from the tokens before it."""
        tokens = shift_right(labels)
        if self.start_id is not None:
            tokens[:, 0] = self.start_id
        return self.write(tokens, self.read(video))[0]

    @torch.no_grad()
    def generate(
        self, video: Padded, beams: Beams, start_id: int, suppressed: Sequence[int] | None = None
    ) -> Translations:
        """Video features Padded (B, S, E) -> Translations by beam search (`suppressed`: by default `never_written`)."""
        memories = self.read(video)

        def step(tokens: Tensor, past: State) -> tuple[Tensor, State]:
            logits, past = self.write(tokens[:, None], memories, past)
            return logits[:, 0].float().log_softmax(dim=-1), past

        # nothing is written yet: P = 0
        first_state = tuple(each[:, :, :0] for memory in memories for each in (memory.keys, memory.values))
        banned = never_written(self.vocabulary_size) if suppressed is None else suppressed
        return beam_search(step, first_state, start_id, beams, (*banned, *self.unused), end_id=self.end_id)

    def read(self, video: Padded) -> tuple[Memory, ...]:
        """Video features Padded (B, S, E) -> the memory of each layer."""
        values = video.zeroed().values
        projected = self.projection(values + sinusoids(values.shape[1], values.shape[2], values.device).to(values))
        pairs: Any = zip(self.attentions, self.gates, strict=True)
        return tuple(gate.read(attention, attention.norm(projected), video.mask) for attention, gate in pairs)

    def write(self, tokens: Tensor, memories: Sequence[Memory], past: State = ()) -> tuple[Tensor, State]:
        """Token ids (R, L), row r of clip r // K, after those of `past` -> as `logits`."""
        with ExitStack() as hooks:
            for attention, memory in zip(self.attentions, memories, strict=True):
                for hook in attention.reading(memory):
                    hooks.enter_context(hook)
            return self.logits(tokens, past)


class Attention:
    """The self-attention of a layer of a language model, and the norm before it, whatever their names there are.

    It owns no weights: they are those of the language model, with or without LoRA.
    """

    def __init__(self, layer: nn.Module) -> None:
        self.norm, self.module = _part(layer, NORMS), _part(layer, ATTENTIONS)
        fused: Any = getattr(self.module, FUSED, None)
        self.fused = hasattr(fused, "nf")  # the class of GPT-2's layers is transformers' own
        self.output = next((name for name in OUTPUTS if hasattr(self.module, name)), "")
        known = {self.output, *HEAD_NORMS.values(), *([FUSED] if self.fused else PROJECTIONS.values())}
        with_weights = {name for name, child in self.module.named_children() if any(True for _ in child.parameters())}
        self.head_size = int(getattr(self.module, "head_dim", 0))
        fits = self.fused or all(
            isinstance(getattr(self.module, name, None), nn.Linear) for name in PROJECTIONS.values()
        )
        if not (fits and self.output and self.head_size and with_weights <= known):
            problem = f"no gated attention can be added to {type(self.module).__name__} ({', '.join(with_weights)})"
            remedy = "name a model with the attention of XGLM, OPT, GPT-2, Llama or Qwen"
            raise ModelError(problem, where="language model", remedy=remedy)
        self.widths: dict[Projected, int] = {
            name: int(fused.nf) // 3 if self.fused else int(getattr(self.module, own).out_features)
            for name, own in PROJECTIONS.items()
        }

    @property
    def num_heads(self) -> int:
        """H."""
        return self.widths["query"] // self.head_size

    def project(self, what: Projected, features: Tensor, adapter: nn.Module) -> Tensor:
        """(B, L, D) -> the frozen projection plus the adapter's: queries (B, H, L, d), keys and values (B, G, L, d)."""
        if self.fused:
            own = frozen(getattr(self.module, FUSED))(features).chunk(3, dim=-1)[list(PROJECTIONS).index(what)]
        else:
            own = frozen(getattr(self.module, PROJECTIONS[what]))(features)
        heads = (own + adapter(features)).unflatten(-1, (-1, self.head_size))
        norm = getattr(self.module, HEAD_NORMS.get(what, ""), None)
        projected: Tensor = heads if norm is None else norm(heads)
        return projected.transpose(1, 2)

    def reading(self, memory: Memory) -> Iterator[RemovableHandle]:
        """Hooks under which the attention also reads a memory: its own heads' results get those of the gate added."""
        hidden: list[Tensor] = []

        def note(module: nn.Module, args: Any, kwargs: dict[str, Any]) -> None:
            hidden[:] = [args[0] if args else kwargs["hidden_states"]]

        def add(module: nn.Module, args: Any) -> tuple[Tensor]:
            gate = memory.gate
            query = self.project("query", hidden[0], gate.query)
            read = gated_attention(query, memory.keys, memory.values, memory.mask, gate.gamma)
            return (args[0] + read.transpose(1, 2).flatten(2),)

        yield self.module.register_forward_pre_hook(note, with_kwargs=True)
        yield getattr(self.module, self.output).register_forward_pre_hook(add)


class Gate(nn.Module):
    """What one layer needs to read the video: gamma, and low-rank adapters beside its projections."""

    def __init__(self, options: Adapters, attention: Attention, hidden: int) -> None:
        super().__init__()
        rank, alpha, dropout = options.adapter_rank, options.adapter_alpha, options.adapter_dropout
        self.gamma = nn.Parameter(torch.zeros(attention.num_heads, 1, 1))
        self.query, self.key, self.value = (
            LowRank(hidden, width, rank, alpha, dropout) for width in attention.widths.values()
        )

    def read(self, attention: Attention, features: Tensor, mask: Tensor) -> Memory:
        """The layer's attention, the normalised features (B, S, D) of the video and their mask -> its memory."""
        keys, values = (attention.project("key", features, self.key), attention.project("value", features, self.value))
        return Memory(self, keys, values, mask)


@dataclass(frozen=True)
class Memory:
    """The video as one layer reads it: keys and values (B, G, S, d), mask (B, S), True = real."""

    gate: Gate
    keys: Tensor
    values: Tensor
    mask: Tensor


def gated_attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor, gamma: Tensor) -> Tensor:
    """Queries (R, H, L, d), row r of clip r // K, keys and values (B, G, S, d), mask (B, S), gamma (H, 1, 1)
    -> clamp(gamma, 0, 1) softmax(Q K^T / sqrt(d)) V (R, H, L, d), over the real steps of each clip.
    """
    beside = query.view(len(key), -1, *query.shape[1:]).transpose(1, 2)  # all beams of a clip read the same memory
    key, value = (each.repeat_interleave(query.shape[1] // key.shape[1], dim=1) for each in (key, value))
    attended = functional.scaled_dot_product_attention(beside.flatten(2, 3), key, value, mask[:, None, None])
    return straight_through_clamp(gamma) * attended.view(beside.shape).transpose(1, 2).flatten(0, 1)


def straight_through_clamp(gamma: Tensor) -> Tensor:
    """clamp(gamma, 0, 1), with the gradient of the identity, so that a gate that has closed can open again."""
    return gamma + (gamma.clamp(0, 1) - gamma).detach()


class LowRank(nn.Module):
    """x (..., D) -> (alpha / rank) B A dropout(x) (..., `output`). B starts at zero."""

    def __init__(self, width: int, output: int, rank: int, alpha: float, dropout: float) -> None:
        super().__init__()
        self.scale = alpha / rank
        self.dropout = nn.Dropout(dropout)
        self.down, self.up = nn.Linear(width, rank, bias=False), nn.Linear(rank, output, bias=False)
        nn.init.zeros_(self.up.weight)

    def forward(self, features: Tensor) -> Tensor:
        """(..., D) -> (..., output)."""
        change: Tensor = self.scale * self.up(self.down(self.dropout(features)))
        return change


def frozen(projection: nn.Module) -> nn.Module:
    """A projection without its LoRA."""
    return projection.base_layer if isinstance(projection, Lora) else projection


def _part(module: nn.Module, names: Sequence[str]) -> nn.Module:
    """The child with one of these names. Raises ModelError if there is none."""
    for name in names:
        if isinstance(part := getattr(module, name, None), nn.Module):
            return part
    problem = f"{type(module).__name__} has none of {', '.join(names)}"
    raise ModelError(problem, where="language model", remedy="name a model like XGLM, OPT, GPT-2, Llama or Qwen")
