"""Floating-point operations that a training step cannot do without, counted from shapes: a recipe's numbers alone.

A product of (n, i) and (i, o) is 2 n i o. Counted are matrix products; what is done element by element (norms, GELU,
softmax, the optimiser) is not. Counted is what is *needed*:
- Backward through a linear layer costs its forward once where the layer is frozen and something below it learns, twice
  where it learns itself, nothing where neither does. The ViT's blocks below its adapters are of the last kind.
- The last block of the ViT needs keys and values of all patches, and everything else of the class token only. (Ours
  makes the queries of all patches, too, because one matrix makes all three.)
- Windowed attention: window_size keys for each query. Other attention: all keys of the clip, backward twice the forward
  (attention that does not keep its weights computes them once more: its own choice).
- Text features are computed once per sentence before the stage, and so cost a step nothing.
`counted` is what torch itself counts while something runs: the test compares the two, part by part.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch.utils.flop_counter import FlopCounterMode

from glossfree.models.backbones.dinov2 import Dinov2
from glossfree.models.decoders.mbart import MBartDecoding
from glossfree.models.language.mbart import MBart
from glossfree.models.packed import can_pack
from glossfree.models.temporal.local_attention import LocalAttention
from glossfree.objectives.pseudo_gloss import PseudoGloss
from glossfree.recipe.schema import Recipe

T = TypeVar("T")
GIGA = 1e9


@dataclass(frozen=True)
class Flops:
    """Operations of one step, forward and backward."""

    forward: float = 0.0
    backward: float = 0.0

    def __add__(self, other: Flops) -> Flops:
        return Flops(self.forward + other.forward, self.backward + other.backward)

    def __mul__(self, times: int) -> Flops:
        return Flops(self.forward * times, self.backward * times)

    @property
    def total(self) -> float:
        """Forward and backward."""
        return self.forward + self.backward


def frozen(rows: int, inputs: int, outputs: int, below: bool = True) -> Flops:
    """A linear layer that does not learn. `below`: something below it does, so that gradients must pass."""
    once = 2.0 * rows * inputs * outputs
    return Flops(once, once * below)


def trained(rows: int, inputs: int, outputs: int, below: bool = True) -> Flops:
    """A linear layer that learns."""
    once = 2.0 * rows * inputs * outputs
    return Flops(once, once * (1 + below))


def lora(rows: int, inputs: int, outputs: int, rank: int, below: bool = True) -> Flops:
    """The two small matrices beside a linear layer."""
    return trained(rows, inputs, rank, below) + trained(rows, rank, outputs)


def attention(queries: int, keys: int, width: int, learns: bool = True) -> Flops:
    """Scores and weighted values of all heads together."""
    once = 4.0 * queries * keys * width
    return Flops(once, 2 * once * learns)


def options_of(options: object, kind: type[T]) -> T:
    """A recipe's options of a part, if they are of the kind that is counted here. Raises ValueError."""
    if not isinstance(options, kind):
        raise ValueError(f"operations are counted for {kind.__name__}, not for {type(options).__name__}")
    return options


def vision_flops(recipe: Recipe, frames: int) -> Flops:
    """The ViT with adapters on its top blocks, for so many frames. Raises ValueError for another kind of training."""
    vision = options_of(recipe.vision, Dinov2)
    if vision.train != "adapters" or not vision.adapter_layers:
        raise ValueError("counted for a ViT with adapters only")
    width, mlp, rank = vision.hidden_size, vision.hidden_size * vision.mlp_ratio, vision.adapter_rank
    patches = (recipe.data.crop_size // vision.patch_size) ** 2
    tokens = patches + 1
    total = frozen(patches, 3 * vision.patch_size**2, width, below=False)
    lowest = vision.num_layers - vision.adapter_layers
    for number in range(vision.num_layers):
        learns, below = number >= lowest, number > lowest
        read = 1 if number == vision.num_layers - 1 else tokens  # rows that something behind this block reads
        total += frozen(read, width, width, below) + frozen(tokens, width, 2 * width, below)
        total += attention(read, tokens, width, learns)
        total += frozen(read, width, width, learns)
        total += frozen(read, width, mlp, learns) + frozen(read, mlp, width, learns)
        if learns:
            total += trained(tokens, width, rank, below) + trained(tokens, rank, 2 * width) + trained(read, rank, width)
            total += lora(read, width, width, rank) + lora(read, width, mlp, rank) + lora(read, mlp, width, rank)
    return total * frames


def temporal_flops(recipe: Recipe, lengths: Sequence[int]) -> Flops:
    """The temporal encoder and the linear layer in front of it, for clips of so many frames."""
    temporal, width = options_of(recipe.temporal, LocalAttention), recipe.temporal.hidden_size
    frames, segments = sum(lengths), sum(map(segments_of, lengths))
    total = trained(frames, recipe.vision.hidden_size, width)
    for number in range(temporal.num_layers):
        rows = frames if number < temporal.downsample_after else segments
        total += trained(rows, width, 3 * width) + attention(rows, temporal.window_size, width)
        total += trained(rows, width, width)
        total += trained(rows, width, temporal.mlp_size) + trained(rows, temporal.mlp_size, width)
    return total + trained(segments, width, recipe.language.hidden_size)


def encoder_flops(recipe: Recipe, steps: Sequence[int]) -> Flops:
    """mBART's encoder with adapters on queries and values, on clips of so many segments (and tokens before them)."""
    language, width, total = options_of(recipe.language, MBart), recipe.language.hidden_size, Flops()
    for rows in steps:
        total += frozen(rows, width, width) * 4 + lora(rows, width, width, language.adapter_rank) * 2
        total += attention(rows, rows, width)
        total += frozen(rows, width, language.mlp_size) + frozen(rows, language.mlp_size, width)
    return total * language.num_layers


def decoder_flops(recipe: Recipe, steps: Sequence[int], tokens: int) -> Flops:
    """mBART's decoder, adapters on both attentions, on clips of so many segments and sentences of so many tokens.

    The sentence enters the first layer, and nothing below that learns.
    """
    language, width, total = options_of(recipe.language, MBart), recipe.language.hidden_size, Flops()
    rank = options_of(recipe.decoder, MBartDecoding).adapter_rank
    for number in range(language.num_layers):
        below = number > 0
        for rows in steps:
            total += frozen(tokens, width, width, below) * 3 + lora(tokens, width, width, rank, below) * 2
            total += attention(tokens, tokens, width) + frozen(tokens, width, width)
            # cross-attention: queries and output of the tokens, keys and values of the video
            total += frozen(tokens, width, width) * 2 + lora(tokens, width, width, rank)
            total += frozen(rows, width, width) * 2 + lora(rows, width, width, rank)
            total += attention(tokens, rows, width)
            total += frozen(tokens, width, language.mlp_size) + frozen(tokens, language.mlp_size, width)
    return total + frozen(tokens, width, recipe.text.vocabulary_size) * len(steps)


def head_flops(recipe: Recipe, lengths: Sequence[int]) -> Flops:
    """The pseudo-gloss head: its linear layer, and the cosines of all segments with all prototypes."""
    head, rows = options_of(recipe.objective(PseudoGloss), PseudoGloss), sum(map(segments_of, lengths))
    project = trained(rows, recipe.language.hidden_size, head.vector_size)
    return project + trained(rows, head.vector_size, head.num_pseudo_glosses)


def pretraining_flops(recipe: Recipe, lengths: Sequence[int]) -> dict[str, Flops]:
    """A pre-training step on clips of so many frames, part by part; a learned token stands before the segments."""
    return {
        "ViT": vision_flops(recipe, sum(lengths)),
        "temporal encoder": temporal_flops(recipe, lengths),
        "language encoder": encoder_flops(recipe, [segments_of(length) + 1 for length in lengths]),
        "pseudo-gloss head": head_flops(recipe, lengths),
    }


def translation_flops(recipe: Recipe, lengths: Sequence[int], tokens: int) -> dict[str, Flops]:
    """A step of fine-tuning stage 2 on clips of so many frames and sentences of so many tokens, part by part."""
    steps, width = [segments_of(length) for length in lengths], recipe.language.hidden_size
    return {
        "ViT": vision_flops(recipe, sum(lengths)),
        "temporal encoder": temporal_flops(recipe, lengths),
        "language encoder": trained(sum(steps), width, width) + encoder_flops(recipe, steps),  # with the mapper
        "language decoder": decoder_flops(recipe, steps, tokens),
    }


def segments_of(frames: int) -> int:
    """Frames of a clip -> its segments."""
    return (frames + 1) // 2


def counted(work: Callable[[], T]) -> tuple[T, float]:
    """Run `work` -> its result, and the operations that torch counted meanwhile."""
    attention_on_cpu = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    known: dict[Any, Any] = {  # what torch's counter does not know
        torch.ops.aten.addmm_: lambda _, left, right, **__: 2 * math.prod(left) * right[1],
        attention_on_cpu: lambda query, key, *_, **__: attended(query, key).forward,
        torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: (
            lambda _, query, key, *__, **___: attended(query, key).backward
        ),
    }
    if can_pack():
        known[torch.ops.mkldnn._linear_pointwise] = lambda rows, weight, *_, **__: 2 * math.prod(rows) * weight[0]
    with FlopCounterMode(display=False, custom_mapping=known) as counter:
        result = work()
    return result, float(counter.get_total_flops())


def attended(query: Sequence[int], key: Sequence[int]) -> Flops:
    """Shapes (B, H, queries, d) and (B, H, keys, d) -> what attention between them costs."""
    clips, heads, queries, width = query
    return attention(queries, key[2], heads * width) * clips
