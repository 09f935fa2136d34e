"""Gated attention of Sign2GPT against plain loops, in float64."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from glossfree.models.adapters import add_lora
from glossfree.models.decoders.causal import CausalDecoder, CausalDecoding, straight_through_clamp
from glossfree.models.language.none import Unchanged
from glossfree.models.temporal.local_attention import sinusoids
from glossfree.padded import Padded

B, K, L, E, D, H, RANK = 2, 3, 4, 7, 10, 2, 3
LENGTHS = (5, 3)
GAMMAS = (0.625, 1.75)  # the second counts as 1


def decoder_of(dropout: float = 0.0) -> CausalDecoder:
    """One layer in float64, with LoRA, all of its weights away from 0, and gates half and wide open."""
    torch.manual_seed(0)
    options = CausalDecoding(
        hidden_size=D, num_layers=1, num_heads=H, mlp_size=12, max_positions=20, adapter_rank=RANK, adapter_alpha=6.0
    )
    decoder = options.build(Unchanged(), E, 40)
    add_lora(decoder.adapted, options.adapter_targets, RANK, 6.0, dropout)
    for parameter in decoder.parameters():
        torch.nn.init.normal_(parameter, std=0.6)
    decoder.gates[0].gamma.data = torch.tensor(GAMMAS).view(H, 1, 1)
    return decoder.double().eval().requires_grad_(False)


def low_rank(adapter: Any, x: Tensor) -> Tensor:
    return 6.0 / RANK * adapter.up.weight @ (adapter.down.weight @ x)


def adapted(projection: Any, x: Tensor) -> Tensor:
    """W x + b + (alpha / rank) B A x."""
    down, up = projection.lora_A["default"].weight, projection.lora_B["default"].weight
    return plain(projection, x) + 6.0 / RANK * up @ (down @ x)


def plain(projection: Any, x: Tensor) -> Tensor:
    base = projection.base_layer
    return base.weight @ x + base.bias


def softmax_of(query: Tensor, keys: list[Tensor], values: list[Tensor]) -> Tensor:
    weights = [math.exp(float(query @ key) / math.sqrt(len(query))) for key in keys]
    return sum((weight / sum(weights) * value for weight, value in zip(weights, values, strict=True)), torch.zeros(()))


def naive(decoder: CausalDecoder, hidden: Tensor, clip: Tensor) -> Tensor:
    """Inputs (L, D) of the layer's attention, and a clip's own video features (S, E) -> (L, D)."""
    layer: Any = decoder.language_model.layers[0]
    gate: Any = decoder.gates[0]
    attention, norm = layer.self_attn, layer.self_attn_layer_norm
    positions = sinusoids(len(clip), E).double()
    features = []
    for segment, position in zip(clip, positions, strict=True):
        x = decoder.projection.weight @ (segment + position) + decoder.projection.bias
        x = (x - x.mean()) / torch.sqrt(((x - x.mean()) ** 2).mean() + 1e-5)
        features.append(norm.weight * x + norm.bias)
    outputs = []
    for step in range(L):
        heads = []
        for head in range(H):
            own = slice(head * D // H, (head + 1) * D // H)
            past = hidden[: step + 1]
            itself = softmax_of(
                adapted(attention.q_proj, hidden[step])[own],
                [adapted(attention.k_proj, each)[own] for each in past],
                [adapted(attention.v_proj, each)[own] for each in past],
            )
            video = softmax_of(
                (plain(attention.q_proj, hidden[step]) + low_rank(gate.query, hidden[step]))[own],
                [(plain(attention.k_proj, each) + low_rank(gate.key, each))[own] for each in features],
                [(plain(attention.v_proj, each) + low_rank(gate.value, each))[own] for each in features],
            )
            heads.append(itself + min(max(GAMMAS[head], 0.0), 1.0) * video)
        outputs.append(adapted(attention.out_proj, torch.cat(heads)))
    return torch.stack(outputs)


def test_a_layer_attends_to_its_tokens_and_through_the_gate_to_the_video() -> None:
    decoder = decoder_of()
    source = torch.Generator().manual_seed(1)
    clips = [torch.randn(length, E, generator=source).double() for length in LENGTHS]
    hidden = torch.randn(B * K, L, D, generator=source).double()
    memories = decoder.read(Padded.unpack(torch.cat(clips), torch.tensor(LENGTHS)))
    attention: Any = decoder.language_model.layers[0].self_attn
    result, _ = attention(hidden, memories)
    for row in range(B * K):
        torch.testing.assert_close(result[row], naive(decoder, hidden[row], clips[row // K]))


def test_a_gate_lies_between_0_and_1_and_its_gradient_is_that_of_the_identity() -> None:
    gamma = torch.tensor([-0.5, 0.0, 0.25, 1.0, 1.5], dtype=torch.float64, requires_grad=True)
    gate = straight_through_clamp(gamma)
    torch.testing.assert_close(gate.detach(), torch.tensor([0.0, 0.0, 0.25, 1.0, 1.0], dtype=torch.float64))
    factors = torch.tensor([2.0, 3.0, 5.0, 7.0, 11.0], dtype=torch.float64)
    (gradient,) = torch.autograd.grad((factors * gate).sum(), gamma)
    assert torch.equal(gradient, factors)
