"""A trained model -> three graphs in ONNX, which run without torch. For one clip at a time, so nothing is padded.

    vision   frames (N, 3, H, W) uint8 RGB -> frame features (N, D); frames do not depend on each other
    encoder  frame features (T, D) -> memory (2, K, H, S, d); with a head, scores (P,) and timeline (S, P)
    decoder  tokens (R,), past (2, K, R, H, L, d), memory -> log-probabilities (R, V), past of L + 1 tokens

K layers of the decoder with H heads of width d; `memory` and `past` hold its keys, then its values, of the segments and
of the L tokens so far. T frames, S segments, D temporal width, P pseudo-glosses, R beams, V vocabulary.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.export import Dim

from glossfree.errors import ModelError
from glossfree.models.adapters import merge_lora
from glossfree.models.decoders.mbart import MBartDecoder
from glossfree.models.hierarchy import HierarchicalEncoder, TranslationModel
from glossfree.objectives.pseudo_gloss import PseudoGlossHead
from glossfree.padded import Padded
from glossfree.pipeline.hub import DECODER, ENCODER, VISION
from glossfree.recipe.schema import Recipe
from glossfree.serving.onnx import session

PACKAGES = ("onnx", "onnxruntime", "onnxscript")
OPSET = 18
MOST_BYTES = 2**31 - 1  # of a graph that is one file
SAME = 1e-3  # by which a graph may differ from the model
TRACED, CHECKED = 38, 21  # frames of the clip that is traced, and of the one that is compared


class Encoder(nn.Module):
    """Frame features of one clip -> what the decoder reads, and pseudo-glosses if there is a head."""

    def __init__(self, hierarchy: HierarchicalEncoder, decoder: MBartDecoder, head: PseudoGlossHead | None) -> None:
        super().__init__()
        self.hierarchy, self.decoder, self.head = hierarchy, decoder, head
        if head is not None:
            _ = head.temperatures  # clamped now: a graph cannot

    def forward(self, features: Tensor) -> tuple[Tensor, ...]:
        """(T, D) -> memory (2, K, H, S, d), scores (P,), timeline (S, P)."""
        segments = self.hierarchy.temporal(as_clip(features))
        mapper = self.hierarchy.mapper
        mapped = segments if mapper is None else segments.with_values(mapper(segments.values))
        memory = self.decoder.memory(self.hierarchy.language(mapped))[:, :, 0]
        if self.head is None:
            return (memory,)
        glosses = self.head(segments)
        return memory, glosses.scores[0], glosses.timeline[0]


class Step(nn.Module):
    """One step of the decoder."""

    def __init__(self, decoder: MBartDecoder) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(self, tokens: Tensor, past: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        """(R,), (2, K, R, H, L, d), (2, K, H, S, d) -> log-probabilities (R, V), the next past."""
        logits, past = self.decoder.step(tokens, past, memory[:, :, None])
        return logits.log_softmax(dim=-1), past


def as_clip(rows: Tensor) -> Padded:
    """(T, D) -> Padded (1, T, D)."""
    return Padded(rows[None], torch.full((1,), rows.shape[0]))


def obstacles(recipe: Recipe) -> Iterator[str]:
    """What of a recipe has no graph."""
    if recipe.decoder.kind != "mbart":
        yield f'decoder.kind "{recipe.decoder.kind}"'
    if recipe.temporal.kind not in ("local_attention", "linear"):
        yield f'temporal.kind "{recipe.temporal.kind}"'
    if (attention := getattr(recipe.temporal, "attention", "window")) != "window":
        yield f'temporal.attention "{attention}"'
    if recipe.vision.neighbours:
        yield "vision.moving_patches below 1"
    if recipe.vision.frozen_in_bf16:
        yield 'vision.frozen_precision "bf16"'
    if recipe.keypoints.joints_read:
        yield f'keypoints.kind "{recipe.keypoints.kind}"'
    if recipe.decode.source != "video":
        yield f'decode.source "{recipe.decode.source}"'


def check_graphs(recipe: Recipe) -> None:
    """Raises ModelError for a model that has no graphs, and without the packages that write them."""
    if problems := list(obstacles(recipe)):
        raise ModelError(f"no form in ONNX for {', '.join(problems)}", where=recipe.name, remedy="leave --onnx out")
    if missing := [name for name in PACKAGES if find_spec(name) is None]:
        remedy = "pip install 'glossfree[onnx]'"
        raise ModelError(f"not installed: {', '.join(missing)}", where="export", remedy=remedy)


@torch.no_grad()
def write_graphs(
    folder: Path, model: TranslationModel, head: PseudoGlossHead | None, image_size: int, *, int8: bool = False
) -> None:
    """Write the graphs of a model on the CPU, whose adapters are merged for good, and compare them with it.

    Raises ModelError: more than 2 GB, or (without `int8`) results that differ by more than SAME.
    """
    (folder / VISION).parent.mkdir(parents=True)
    merge_lora(model)
    visual, decoder = model.eval().requires_grad_(False).hierarchy.visual, model.decoder
    assert isinstance(decoder, MBartDecoder)
    visual.frames_per_pass = 0
    encoder = Encoder(model.hierarchy, decoder, head).eval()
    frames = torch.randint(256, (TRACED, 3, image_size, image_size), dtype=torch.uint8)
    features = visual(frames)
    memory, *_ = encoder(features)
    sides, layers, heads, _, width = memory.shape
    tokens, past = torch.full((3,), 5), torch.randn(sides, layers, 3, heads, 4, width)
    outputs = ["memory"] if head is None else ["memory", "scores", "timeline"]
    free = Dim.DYNAMIC
    _write(visual, folder / VISION, {"frames": frames}, ["features"], [{0: free}])
    _write(encoder, folder / ENCODER, {"features": features}, outputs, [{0: free}])
    inputs = {"tokens": tokens, "past": past, "memory": memory}
    _write(Step(decoder).eval(), folder / DECODER, inputs, ["logs", "next"], [{0: free}, {2: free, 4: free}, {3: free}])
    if int8:
        for name in (VISION, ENCODER, DECODER):
            _quantise(folder / name)
        return
    seen = features[:CHECKED] + 0.1
    memory, *glosses = encoder(seen)
    step = (tokens[:2], past[:, :, :2, :, :3], memory)
    _compare(folder / VISION, [frames[:CHECKED]], [visual(frames[:CHECKED])])
    _compare(folder / ENCODER, [seen], [memory, *glosses])
    _compare(folder / DECODER, step, Step(decoder)(*step))
    first = (tokens[:1], past[:, :, :1, :, :0], memory)
    _compare(folder / DECODER, first, Step(decoder)(*first))


def _write(
    module: nn.Module, path: Path, inputs: dict[str, Tensor], outputs: Sequence[str], free: Sequence[dict[int, object]]
) -> None:
    """Trace a module and write it; `free`: the axes of each input whose size may differ. Raises ModelError."""
    size = sum(tensor.nbytes for tensor in module.state_dict().values())
    if size > MOST_BYTES:
        problem = f"{size / 1e9:.1f} GB, and a graph holds {MOST_BYTES / 1e9:.1f}"
        raise ModelError(problem, where=path.name, remedy="trim the vocabulary, or leave --onnx out")
    with _quiet():
        program = torch.onnx.export(
            module,
            tuple(inputs.values()),
            dynamo=True,
            opset_version=OPSET,
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_shapes=tuple(free),
            verbose=False,
        )
        assert program is not None
        program.save(path, external_data=False)


def _quantise(path: Path) -> None:
    """A graph -> the same with 8-bit weights in its matrix products, of which each row or column has its own scale."""
    from onnxruntime.quantization import QuantType, quantize_dynamic  # an extra

    whole = path.rename(path.with_suffix(".float"))
    with _quiet():
        # 7 bits: on processors without VNNI, sums of products of 8 bits overflow
        quantize_dynamic(whole, path, weight_type=QuantType.QInt8, per_channel=True, reduce_range=True)
    whole.unlink()


def _compare(path: Path, inputs: Sequence[Tensor], expected: Sequence[Tensor]) -> None:
    """Raises ModelError if the graph's results are not those of the model."""
    graph = session(path)
    names = [each.name for each in graph.get_inputs()]
    results = graph.run(None, dict(zip(names, (each.numpy() for each in inputs), strict=True)))
    worst = max(float(np.abs(a - b.numpy()).max()) for a, b in zip(results, expected, strict=True))
    if not worst <= SAME:
        problem = f"differs from the model by {worst:.2g}, more than {SAME:g}"
        raise ModelError(problem, where=path.name, remedy="leave --onnx out, and report it")


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what the libraries say of how they work."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
