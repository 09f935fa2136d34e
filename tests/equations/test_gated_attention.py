"""Gated attention of Sign2GPT against plain loops, in float64."""

from __future__ import annotations

import math
from contextlib import ExitStack
from typing import Any

import pytest
import torch
from torch import Tensor

from glossfree.models.adapters import add_lora
from glossfree.models.decoders.causal import CausalDecoding
from glossfree.models.decoders.gated import Attention, GatedDecoder, straight_through_clamp
from glossfree.models.decoders.language_model import LanguageModelDecoding
from glossfree.models.language.none import Unchanged
from glossfree.models.temporal.local_attention import sinusoids
from glossfree.padded import Padded

B, K, L, E, D, H, RANK = 2, 3, 5, 7, 16, 4, 3
LENGTHS = (5, 3)
GAMMAS = (0.625, 1.75, -0.5, 0.25)  # the second counts as 1, the third as 0
GPT2 = {"model_type": "gpt2", "n_embd": D, "n_layer": 1, "n_head": H}
LLAMA = {"model_type": "llama", "hidden_size": D, "num_hidden_layers": 1, "num_attention_heads": H}
LLAMA |= {"num_key_value_heads": 2, "intermediate_size": 14}
QWEN = {**LLAMA, "model_type": "qwen3", "head_dim": 6}
MBART = CausalDecoding(hidden_size=D, num_layers=1, num_heads=H, mlp_size=14, max_positions=20)
MODELS = {"mbart": MBART} | {
    str(config["model_type"]): LanguageModelDecoding(config=config) for config in (GPT2, LLAMA, QWEN)
}


def decoder_of(name: str) -> GatedDecoder:
    """One layer in float64, with LoRA, all of its weights away from 0, and gates half and wide open."""
    torch.manual_seed(0)
    options = MODELS[name].model_copy(update={"adapter_rank": RANK, "adapter_alpha": 6.0})
    decoder: Any = options.build(Unchanged(), E, 40)
    add_lora(decoder.adapted, options.adapter_targets, RANK, 6.0, 0.0)
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
    weight = base.weight.T if hasattr(base, "nf") else base.weight  # GPT-2's is transposed
    return weight @ x + (0.0 if base.bias is None else base.bias)


def of_one(attention: Any, place: int, x: Tensor) -> Tensor:
    """The frozen projection for query (0), key (1) or value (2)."""
    if hasattr(attention, "c_attn"):
        return plain(attention.c_attn, x).reshape(3, -1)[place]
    return plain(getattr(attention, ("q_proj", "k_proj", "v_proj")[place]), x)


def normed(norm: Any, x: Tensor) -> Tensor:
    """LayerNorm, or Llama's RMSNorm."""
    if not hasattr(norm, "bias"):
        return norm.weight * x / torch.sqrt((x**2).mean() + norm.variance_epsilon)
    return norm.weight * (x - x.mean()) / torch.sqrt(((x - x.mean()) ** 2).mean() + norm.eps) + norm.bias


def by_heads(attention: Any, place: int, x: Tensor) -> list[Tensor]:
    """A projection -> that of each of the H heads; several queries may share a key."""
    heads = list(x.split(attention.head_dim))
    norm = getattr(attention, ("q_norm", "k_norm", "")[place], None) if place < 2 else None
    if norm is not None:
        heads = [normed(norm, head) for head in heads]
    return [head for head in heads for _ in range(H // len(heads))]


def softmax_of(query: Tensor, keys: list[Tensor], values: list[Tensor]) -> Tensor:
    weights = [math.exp(float(query @ key) / math.sqrt(len(query))) for key in keys]
    return sum((weight / sum(weights) * value for weight, value in zip(weights, values, strict=True)), torch.zeros(()))


def read_of_video(decoder: Any, hidden: Tensor, clip: Tensor) -> Tensor:
    """Inputs (L, D) of the layer's attention, and a clip's own video features (S, E) -> what the gates add (L, H d)."""
    attention, gate = decoder.attentions[0].module, decoder.gates[0]
    adapters = (gate.query, gate.key, gate.value)
    features = [
        normed(
            decoder.attentions[0].norm,
            decoder.projection.weight @ (segment + position) + decoder.projection.bias,
        )
        for segment, position in zip(clip, sinusoids(len(clip), E).double(), strict=True)
    ]

    def projected(place: int, x: Tensor) -> list[Tensor]:
        return by_heads(attention, place, of_one(attention, place, x) + low_rank(adapters[place], x))

    keys, values = ([projected(place, each) for each in features] for place in (1, 2))
    rows = []
    for step in range(L):
        queries = projected(0, hidden[step])
        rows.append(
            torch.cat(
                [
                    min(max(GAMMAS[head], 0.0), 1.0)
                    * softmax_of(queries[head], [each[head] for each in keys], [each[head] for each in values])
                    for head in range(H)
                ]
            )
        )
    return torch.stack(rows)


def setting(decoder: Any) -> tuple[list[Tensor], Tensor, Any]:
    """Two clips, inputs (R, L, D) of the layer's attention, and the memory of the clips."""
    source = torch.Generator().manual_seed(1)
    clips = [torch.randn(length, E, generator=source).double() for length in LENGTHS]
    hidden = torch.randn(B * K, L, D, generator=source).double()
    (memory,) = decoder.read(Padded.unpack(torch.cat(clips), torch.tensor(LENGTHS)))
    return clips, hidden, memory


def result_of(attention: Attention, memory: Any, hidden: Tensor, **others: Any) -> tuple[Tensor, Tensor]:
    """With a memory (None: without) -> the input of the output projection, and its result."""
    seen: list[Tensor] = []
    output: Any = getattr(attention.module, attention.output)
    with ExitStack() as hooks:
        for hook in () if memory is None else attention.reading(memory):
            hooks.enter_context(hook)
        hooks.enter_context(output.register_forward_pre_hook(lambda module, args: seen.append(args[0])))
        result: Tensor = attention.module(hidden, **others)[0]
    return seen[0], result


@pytest.mark.parametrize("name", MODELS)
def test_the_output_projection_with_its_lora_gets_what_the_gates_read_of_the_video(name: str) -> None:
    decoder = decoder_of(name)
    clips, hidden, memory = setting(decoder)
    attention = decoder.attentions[0]
    width = H * attention.head_size
    others, within = {}, 1e-10
    if name in ("llama", "qwen3"):  # rotations of tokens, which the video does not get
        others["position_embeddings"] = decoder.language_model.model.rotary_emb(hidden, torch.arange(L)[None])
        others["attention_mask"], within = None, 1e-4  # transformers computes their norms in float32
    itself, without = result_of(attention, None, hidden, **others)
    both, with_gates = result_of(attention, memory, hidden, **others)
    assert torch.equal(attention.module(hidden, **others)[0], without), "no hook stays behind"
    output = getattr(attention.module, attention.output)
    assert itself.shape == (B * K, L, width)
    for row in range(B * K):
        read = read_of_video(decoder, hidden[row], clips[row // K])
        torch.testing.assert_close(both[row] - itself[row], read, rtol=0, atol=within)
        expected = torch.stack([adapted(output, each) for each in itself[row] + read])
        torch.testing.assert_close(with_gates[row], expected, rtol=0, atol=10 * within)


def test_of_mbart_s_decoder_a_layer_attends_to_its_tokens_and_through_the_gate_to_the_video() -> None:
    decoder = decoder_of("mbart")
    clips, hidden, memory = setting(decoder)
    attention: Any = decoder.attentions[0].module
    _, result = result_of(decoder.attentions[0], memory, hidden)
    for row in range(B * K):
        names = ("q_proj", "k_proj", "v_proj")
        queries, keys, values = (
            [by_heads(attention, place, adapted(getattr(attention, own), each)) for each in hidden[row]]
            for place, own in enumerate(names)
        )
        itself = torch.stack(
            [
                torch.cat(
                    [
                        softmax_of(
                            queries[step][head],
                            [each[head] for each in keys[: step + 1]],
                            [each[head] for each in values[: step + 1]],
                        )
                        for head in range(H)
                    ]
                )
                for step in range(L)
            ]
        )
        joined = itself + read_of_video(decoder, hidden[row], clips[row // K])
        torch.testing.assert_close(result[row], torch.stack([adapted(attention.out_proj, each) for each in joined]))


def test_a_gate_lies_between_0_and_1_and_its_gradient_is_that_of_the_identity() -> None:
    gamma = torch.tensor([-0.5, 0.0, 0.25, 1.0, 1.5], dtype=torch.float64, requires_grad=True)
    gate = straight_through_clamp(gamma)
    torch.testing.assert_close(gate.detach(), torch.tensor([0.0, 0.0, 0.25, 1.0, 1.0], dtype=torch.float64))
    factors = torch.tensor([2.0, 3.0, 5.0, 7.0, 11.0], dtype=torch.float64)
    (gradient,) = torch.autograd.grad((factors * gate).sum(), gamma)
    assert torch.equal(gradient, factors)
