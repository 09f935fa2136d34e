"""Both kinds of losses in a stage: some that compare ragged tokens and pooled clips, beside means, in float64."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.nn import functional

from glossfree.models.backbones.convnet import ConvNet
from glossfree.models.hierarchy import HierarchicalEncoder, Levels, Mapper, TranslationModel, VisualEncoder
from glossfree.models.language.mbart import MBart
from glossfree.models.temporal.local_attention import LocalAttention
from glossfree.objectives.base import Inputs, JointLoss, Objective, SeparableLoss, Sizes
from glossfree.objectives.token_alignment import TokenAlignment
from glossfree.padded import Padded
from glossfree.pipeline.stages import TrainingStage
from glossfree.training.step import backward, losses_of
from glossfree.video.batch import ClipBatch

D, E, V, P, PIXELS = 14, 18, 60, 6, 28
LENGTHS = (11, 4, 1, 7, 6)
TOKENS = (3, 6, 2, 4, 5)  # the third sentence is nothing but </s> and the language code
GLOSSES = torch.tensor(
    [[1, 0, 1, 0, 0, 0], [0, 1, 1, 1, 1, 0], [0, 0, 0, 0, 0, 1], [0] * 6, [1, 1, 0, 0, 0, 0]]
).float()


class TokenSimilarity(JointLoss):
    """Each token of a sentence looks for the video step that is most like it; a clip's sentence is to be its own."""

    def __init__(self, tokens: list[Tensor]) -> None:
        super().__init__()
        self.tokens = tokens
        self.projection = nn.Linear(E, 8)
        self.log_scale = nn.Parameter(torch.tensor(0.7))

    def features(self, levels: Levels, batch: Any) -> tuple[Tensor | Padded, ...]:
        assert levels.video is not None
        rows = [self.tokens[int(clip)] for clip in batch.ids]
        text = Padded.unpack(torch.cat(rows), torch.tensor([len(each) for each in rows]))
        return levels.video.with_values(self.projection(levels.video.values)), text

    def forward(self, video: Padded, text: Padded) -> Tensor:
        products = torch.einsum("ild,jmd->ijlm", video.values, text.values) * self.log_scale.exp()
        best = products.masked_fill(~video.mask[:, None, :, None], -torch.inf).amax(dim=2)
        return contrast(best.masked_fill(~text.mask[None], 0.0).sum(dim=2) / text.lengths)


class Pooled(JointLoss):
    """Averages of videos against averages of the same tokens, with a token of its own before each video."""

    def __init__(self, tokens: list[Tensor]) -> None:
        super().__init__()
        self.tokens = tokens
        self.prefix = nn.Parameter(torch.randn(1, E) * 0.1)

    def features(self, levels: Levels, batch: Any) -> tuple[Tensor | Padded, ...]:
        assert levels.video is not None
        return levels.video.mean()[:, :8], torch.stack([self.tokens[int(clip)].mean(dim=0) for clip in batch.ids])

    def forward(self, video: Tensor, text: Tensor) -> Tensor:
        return contrast(video @ text.T)


class Size(SeparableLoss):
    """Mean square of each clip's average segment."""

    def forward(self, levels: Levels, batch: Any) -> Tensor:
        assert levels.segment is not None
        return levels.segment.mean().square().mean()


def contrast(logits: Tensor) -> Tensor:
    pairs = torch.arange(len(logits))
    return (functional.cross_entropy(logits, pairs) + functional.cross_entropy(logits.T, pairs)) / 2


def build() -> TrainingStage:
    torch.manual_seed(0)
    language = MBart(hidden_size=E, num_layers=1, num_heads=3, mlp_size=22, max_positions=40).build(V)
    hierarchy = HierarchicalEncoder(
        VisualEncoder(ConvNet(12, 1, 7, PIXELS), 12, D),
        LocalAttention(
            hidden_size=D,
            num_layers=2,
            num_heads=1,
            mlp_size=20,
            window_size=3,
            downsample_after=1,
            dropout=0.1,
            drop_path=0.1,
            layer_scale=0.5,
        ).build(E),
        language,
        Mapper(E),
    )
    source = torch.Generator().manual_seed(4)
    tokens = [torch.randn(number, 8, generator=source, dtype=torch.float64) for number in TOKENS]
    objectives = {"ragged": TokenSimilarity(tokens), "pooled": Pooled(tokens), "size": Size(), **alignments()}
    model = TranslationModel(hierarchy, NoDecoder(), V)
    weights = {"ragged": 2.0, "pooled": 0.5, "size": 3.0, "soft": 0.7, "greedy": 1.3}
    trains = ("vision", "temporal", "language", "mapper")
    return TrainingStage("three", model, objectives, weights, level="video", trains=trains).double().eval()


def alignments() -> dict[str, JointLoss]:
    """The shipped losses on ragged tokens: of video and sentences, of segments and pseudo-glosses."""
    source = torch.Generator().manual_seed(6)
    rows = {
        f"s{clip}": torch.randn(number, E, generator=source, dtype=torch.float64) for clip, number in enumerate(TOKENS)
    }
    inputs = Inputs(text_tokens=rows, vectors=torch.randn(P, 5, generator=source))
    greedy = TokenAlignment(tokens="pseudo_glosses", reads="segment", reduce="max", combine="similarities")
    return {name: each.build(Sizes(D, E, V), inputs) for name, each in (("soft", TokenAlignment()), ("greedy", greedy))}


class NoDecoder(nn.Module):
    """A model needs a decoder, this stage does not."""


def batch_of(clips: list[int]) -> ClipBatch:
    rows = [
        torch.randint(0, 256, (LENGTHS[clip], 3, PIXELS, PIXELS), dtype=torch.uint8,
                      generator=torch.Generator().manual_seed(clip))
        for clip in clips
    ]  # fmt: skip
    lengths = torch.tensor([LENGTHS[clip] for clip in clips])
    texts = tuple(f"s{clip}" for clip in clips)
    targets = {"pseudo_glosses": torch.stack([GLOSSES[clip] for clip in clips])}
    return ClipBatch(tuple(map(str, clips)), torch.cat(rows), lengths, texts, targets=targets)


def test_losses_of_both_kinds_are_summed_by_their_weights() -> None:
    stage = build()
    losses = stage(batch_of([0, 1, 2, 3, 4]))
    assert set(losses) == {"loss", "ragged", "pooled", "size", "soft", "greedy"}
    means = 2 * losses["ragged"] + 0.5 * losses["pooled"] + 3 * losses["size"]
    torch.testing.assert_close(losses["loss"], means + 0.7 * losses["soft"] + 1.3 * losses["greedy"])
    assert stage.compares_clips and stage.units(batch_of([0, 1])) == {"size": 2.0}
    _, compared = stage.separable(batch_of([2, 3]))
    video, text = compared["ragged"]
    assert isinstance(video, Padded) and video.lengths.tolist() == [2, 5], "segments, and the prefix before them"
    assert isinstance(text, Padded) and text.lengths.tolist() == [2, 4]


@pytest.mark.parametrize("cut", [[[0, 1], [2, 3, 4]], [[4], [2, 0], [3, 1]]])
def test_a_step_in_batches_equals_one_batch(cut: list[list[int]]) -> None:
    """In other batches with other padding: all losses, and all gradients of the model and of the objectives."""
    order = [clip for clips in cut for clip in clips]
    one, several = build(), build()
    expected = backward(one, [batch_of(order)], Accelerator())
    losses = backward(several, [batch_of(clips) for clips in cut], Accelerator())
    with torch.no_grad():
        assert losses_of(one, [batch_of(clips) for clips in cut]).keys() == losses.keys()
    for name, value in expected.items():
        torch.testing.assert_close(losses[name].detach(), value.detach(), rtol=1e-10, atol=1e-12)
    own = {n for n in one.trained() if n.startswith("objectives.")}
    assert own == {f"objectives.{n}" for n in ("ragged.projection.weight", "ragged.projection.bias", "ragged.log_scale",
                                                "pooled.prefix", "soft.logit_scale", "greedy.projection.weight",
                                                "greedy.projection.bias", "greedy.logit_scale")}  # fmt: skip
    gradients = {name: parameter.grad for name, parameter in several.trained().items()}
    for name, parameter in one.trained().items():
        if "embed_tokens" in name:  # segments take the place of tokens
            assert parameter.grad is None and gradients[name] is None
            continue
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name
        torch.testing.assert_close(gradients[name], parameter.grad, rtol=1e-9, atol=1e-11, msg=name)


def test_what_an_objective_declares_by_default() -> None:
    class Plain(Objective):
        level: ClassVar = "segment"

        def build(self, sizes: Sizes, inputs: Inputs) -> Size:
            return Size()

    options = Plain()
    assert (options.weight, options.needs, options.compares_clips, list(options.problems())) == (1.0, (), False, [])
    assert Size().units(["a", "b", "c"]) == 3.0
    assert JointLoss().prefix is None and JointLoss().state_dict() == {}
