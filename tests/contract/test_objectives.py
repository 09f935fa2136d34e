"""Checks of every objective in OBJECTIVES."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any, get_args

import pytest
import torch
from tests.contract.choices import all_variants, assert_finite_gradients, copy_weights, small, spread
from torch import Tensor

from glossfree.models.hierarchy import Levels
from glossfree.models.tokens import shift_right
from glossfree.objectives import OBJECTIVES
from glossfree.objectives.base import Inputs, JointLoss, Level, Need, SeparableLoss, Sizes
from glossfree.padded import Padded
from glossfree.pipeline.stages import LEVELS
from glossfree.training.step import joined
from glossfree.video.batch import ClipBatch

D, E, V, P = 14, 18, 53, 7
GLOSSES = ("ABEND", "BLEIBEN", "KALT", "REGEN", "TAUEN")
# of each clip; the third has more than segments, the fourth has no annotation
GLOSS_IDS = torch.tensor([[5, 2, 5], [1, 4, -100], [3, 3, 1], [-100, -100, -100], [4, -100, -100]])
FRAMES = (61, 47, 3, 30, 1)  # enough for what looks at frames far apart, and too few
TEXTS = ("es taut", "morgen schneit es", "es taut", "nachts wird es kalt", "es regnet")
TOKENS = (4, 5, 4, 7, 3)
EVERYBODY = range(len(FRAMES))
# values by which a loss depends on the clips of a forward pass: their own meanings say so
DEPENDS_ON_ITS_BATCH = {("contrastive", "average_padding")}
# the same as tokens of a sentence; longer than any clip of these
GLOSS_LABELS = torch.tensor(
    [[9, 6, 9, 2, 40, -100], [5, 8, 2, 40, -100, -100], [7, 7, 5, 2, 40, -100], [-100] * 6, [8, 2, 40] + [-100] * 3]
)

pytestmark = pytest.mark.parametrize(("name", "changed"), all_variants(OBJECTIVES))
Changed = dict[str, object]


def draw(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def labels_of(clips: Sequence[int]) -> Tensor:
    """Sentences of the clips; equal texts have equal tokens."""
    labels = torch.full((len(clips), max(TOKENS[clip] for clip in clips)), -100)
    for row, clip in enumerate(clips):
        pieces = torch.arange(4, 2 + TOKENS[clip]) + TEXTS.index(TEXTS[clip])
        labels[row, : TOKENS[clip]] = torch.tensor([*pieces.tolist(), 2, 40])
    return labels


def read(labels: Tensor, table: Tensor | None = None) -> Padded:
    """A text encoder: each token its own row."""
    rows = draw(11, V, E) if table is None else table
    return Padded(rows[labels.clamp(min=0)], (labels != -100).sum(dim=1))


def inputs(needs: Sequence[Need] | None = None) -> Inputs:
    """All that an objective may ask for, or what it `needs` and nothing else."""
    everything = Inputs(
        vectors=draw(12, P, 6),
        document_frequencies=torch.linspace(0.1, 0.9, P),
        text_features={text: draw(20 + number, E) for number, text in enumerate(TEXTS)},
        text_tokens={text: draw(30 + number, TOKENS[number], E) for number, text in enumerate(TEXTS)},
        text_encoder=read,
        sentence_vectors={text: draw(40 + number, 9) for number, text in enumerate(TEXTS)},
        glosses=GLOSSES,
    )
    if needs is None:
        return everything
    named = {*needs, *(("vectors", "document_frequencies") if "pseudo_glosses" in needs else ())}
    return replace(everything, **{field.name: None for field in fields(Inputs) if field.name not in named})


def write(video: Padded, labels: Tensor) -> Tensor:
    """A decoder: logits from the average of the video and the last token."""
    state = video.mean() @ draw(13, E, V)
    return state[:, None] + draw(14, V, V)[shift_right(labels)]


@dataclass
class Pass:
    """What a model may have made of some of the clips, and the tensor of the level that an objective looks at."""

    levels: Levels
    batch: ClipBatch
    seen: Tensor


def forward_pass(clips: Sequence[int], level: Level, prefix: bool, rubbish: float = 0.0, reads: bool = False) -> Pass:
    """Clips as they come in one batch, padded with `rubbish` to the longest of them; no level above the named one.

    What an objective that reads text looks at is the encoder's table.
    """

    def padded(seed: int, lengths: Sequence[int], width: int) -> Padded:
        rows = torch.cat([draw(seed + clip, length, width) for clip, length in zip(clips, lengths, strict=True)])
        sequences = Padded.unpack(rows, torch.tensor(lengths))
        return sequences.with_values(sequences.values.masked_fill(~sequences.mask[..., None], rubbish))

    frames = [FRAMES[clip] for clip in clips]
    segments = [-(-length // 2) for length in frames]
    labels = labels_of(clips)
    logits = padded(400, [TOKENS[clip] for clip in clips], V).values
    everything: dict[Level, Any] = {
        "frame": padded(100, frames, D),
        "segment": padded(200, segments, E),
        "video": padded(300, [length + prefix for length in segments], E),
        "logits": logits,
    }
    table = draw(11, V, E)
    seen = table if reads else everything[level] if level == "logits" else everything[level].values
    seen.requires_grad_()
    targets = {
        "pseudo_glosses": torch.stack([(draw(500 + clip, P) > 0.3).float() for clip in clips]),
        "glosses": GLOSS_IDS[list(clips)],
        "gloss_labels": GLOSS_LABELS[list(clips)],
    }
    batch = ClipBatch(
        tuple(f"clip{clip}" for clip in clips), everything["frame"].pack().detach(), torch.tensor(frames),
        tuple(TEXTS[clip] for clip in clips), labels, level="frame_features", targets=targets,
    )  # fmt: skip
    below = LEVELS[: LEVELS.index(level) + 1]
    reader = partial(read, table=table)
    streams = (padded(210, segments, E), padded(220, segments, E))
    levels = Levels(**{each: everything[each] for each in below}, decoder=write, reader=reader, streams=streams)
    return Pass(levels, batch, seen)


def build(name: str, changed: Changed, **options: Any) -> SeparableLoss | JointLoss:
    torch.manual_seed(0)
    objective = small(OBJECTIVES[name], **changed, **options)
    return objective.build(Sizes(D, E, V), inputs(objective.needs))


def level_of(name: str, changed: Changed) -> Level:
    return small(OBJECTIVES[name], **changed).level


def pass_for(
    module: SeparableLoss | JointLoss, name: str, changed: Changed, clips: Sequence[int], rubbish: float = 0.0
) -> Pass:
    prefix = isinstance(module, JointLoss) and module.prefix is not None
    return forward_pass(clips, level_of(name, changed), prefix, rubbish, OBJECTIVES[name].reads_text)


def loss_of(module: SeparableLoss | JointLoss, seen: Pass) -> Tensor:
    """The loss of a step that is one batch."""
    if isinstance(module, JointLoss):
        value: Tensor = module(*module.features(seen.levels, seen.batch))
        return value
    return module(seen.levels, seen.batch)


def rows(part: Tensor | Padded) -> list[Tensor]:
    """A compared part -> of each clip."""
    if isinstance(part, Padded):
        return list(part.pack().split(part.lengths.tolist()))
    return list(part)


def gradients_by_clip(seen: Pass) -> list[Tensor]:
    """Of the features that an objective looks at, without padding."""
    assert seen.seen.grad is not None
    features = seen.levels.segment if seen.levels.video is None else seen.levels.video
    assert features is not None and features.values is seen.seen
    return rows(features.with_values(seen.seen.grad))


def skip_if_it_depends_on_its_batch(name: str, changed: Changed) -> None:
    if any((name, key) in DEPENDS_ON_ITS_BATCH for key in changed):
        pytest.skip("it says so itself")


def test_it_builds_the_kind_of_loss_that_it_says_from_what_it_needs(name: str, changed: Changed) -> None:
    objective, module = small(OBJECTIVES[name], **changed), build(name, changed)
    assert isinstance(module, JointLoss if objective.compares_clips else SeparableLoss)
    assert objective.level in LEVELS == get_args(Level) and set(objective.needs) <= set(get_args(Need))
    value = loss_of(module, pass_for(module, name, changed, EVERYBODY))
    assert value.shape == () and value.dtype == torch.float32 and value.isfinite()


def test_gradients_are_finite_at_the_start(name: str, changed: Changed) -> None:
    module = build(name, changed).train()
    torch.manual_seed(1)
    seen = pass_for(module, name, changed, EVERYBODY)
    loss_of(module, seen).backward()
    assert_finite_gradients(module, apart_from=("prefix",))  # that comes back through the model
    assert seen.seen.grad is not None and seen.seen.grad.isfinite().all()
    assert seen.seen.grad.abs().sum() > 0


def test_gradients_of_equal_features_and_zeros_are_finite(name: str, changed: Changed) -> None:
    """A clip that stands still, and a model in which everything is dead."""
    for constant in (0.0, 1.0):
        module = build(name, changed).eval()
        seen = pass_for(module, name, changed, EVERYBODY)
        with torch.no_grad():
            seen.seen.fill_(constant)
        loss_of(module, seen).backward()
        assert seen.seen.grad is not None and seen.seen.grad.isfinite().all()
        assert_finite_gradients(module, apart_from=("prefix",))


def test_evaluation_is_deterministic(name: str, changed: Changed) -> None:
    module = build(name, changed).eval()
    first = loss_of(module, pass_for(module, name, changed, EVERYBODY))
    torch.manual_seed(99)
    assert torch.equal(loss_of(module, pass_for(module, name, changed, EVERYBODY)), first)


def test_a_clip_counts_the_same_alone_and_in_a_batch(name: str, changed: Changed) -> None:
    """A mean over parts of clips is that of all batches, each weighted by its units; what is compared is the clip's."""
    skip_if_it_depends_on_its_batch(name, changed)
    module = build(name, changed).eval()
    together = pass_for(module, name, changed, EVERYBODY)
    singles = [pass_for(module, name, changed, [clip]) for clip in EVERYBODY]
    if isinstance(module, JointLoss):
        of_batch = module.features(together.levels, together.batch)
        for clip, single in enumerate(singles):
            for whole, part in zip(of_batch, module.features(single.levels, single.batch), strict=True):
                torch.testing.assert_close(rows(whole)[clip], rows(part)[0], rtol=1e-5, atol=1e-6)
        return
    for cut in ([[clip] for clip in EVERYBODY], [[0, 2], [1, 4, 3]]):
        parts = [pass_for(module, name, changed, clips) for clips in cut]
        units = [module.units(part.batch) for part in parts]
        total = sum(loss_of(module, part) * unit for part, unit in zip(parts, units, strict=True)) / sum(units)
        torch.testing.assert_close(total, loss_of(module, together), rtol=1e-5, atol=1e-6)
        assert module.units(together.batch) == pytest.approx(sum(units))


def test_what_is_compared_may_come_in_several_batches(name: str, changed: Changed) -> None:
    """With other padding: the loss, and the gradients of every clip and of the objective's own parameters."""
    skip_if_it_depends_on_its_batch(name, changed)
    one, several = build(name, changed).eval(), build(name, changed).eval()
    if not isinstance(one, JointLoss) or not isinstance(several, JointLoss):
        return  # the test above is about these
    together = pass_for(one, name, changed, [2, 0, 4, 1, 3])
    parts = [pass_for(several, name, changed, clips) for clips in ([2], [0, 4], [1, 3])]
    features = [several.features(part.levels, part.batch) for part in parts]
    losses = [loss_of(one, together), several(*(joined(each) for each in zip(*features, strict=True)))]
    for loss in losses:
        loss.backward()
    torch.testing.assert_close(losses[1], losses[0])
    gradients = [clip for part in parts for clip in gradients_by_clip(part)]
    for clip, expected in zip(gradients, gradients_by_clip(together), strict=True):
        torch.testing.assert_close(clip, expected, rtol=1e-4, atol=1e-6)
    for (key, own), other in zip(several.named_parameters(), one.parameters(), strict=True):
        if key != "prefix":
            torch.testing.assert_close(own.grad, other.grad, rtol=1e-4, atol=1e-6)


def test_padding_changes_nothing_and_gets_no_gradient(name: str, changed: Changed) -> None:
    skip_if_it_depends_on_its_batch(name, changed)
    module = build(name, changed).eval()
    clean, dirty = pass_for(module, name, changed, EVERYBODY), pass_for(module, name, changed, EVERYBODY, rubbish=1e3)
    values = [loss_of(module, each) for each in (clean, dirty)]
    assert torch.equal(*values)
    values[1].backward()
    if OBJECTIVES[name].reads_text:
        return  # it does not look at videos
    level = level_of(name, changed)
    real = (dirty.batch.labels != -100) if level == "logits" else getattr(dirty.levels, level).mask
    assert dirty.seen.grad is not None and (~real).any()
    assert (dirty.seen.grad[~real] == 0).all()


def test_the_order_of_clips_and_so_of_processes_does_not_matter(name: str, changed: Changed) -> None:
    module = build(name, changed).eval()
    usual, turned = (loss_of(module, pass_for(module, name, changed, clips)) for clips in (EVERYBODY, [3, 0, 4, 2, 1]))
    torch.testing.assert_close(turned, usual, rtol=1e-5, atol=1e-6)


def test_in_half_precision_the_loss_is_close_and_in_float32(name: str, changed: Changed) -> None:
    module = build(name, changed).eval()
    expected = loss_of(module, pass_for(module, name, changed, EVERYBODY))
    seen = pass_for(module, name, changed, EVERYBODY)
    levels = {
        field.name: content.with_values(content.values.bfloat16())
        if isinstance(content, Padded)
        else content.bfloat16()
        for field in fields(Levels)
        if field.name in LEVELS and (content := getattr(seen.levels, field.name)) is not None
    }
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = Levels(**levels, decoder=write, reader=seen.levels.reader, streams=seen.levels.streams)
        value = loss_of(module, replace(seen, levels=half))
    assert value.dtype == torch.float32
    assert float(value.detach()) == pytest.approx(float(expected.detach()), rel=0.1)


def test_weights_move_to_another_one(name: str, changed: Changed) -> None:
    module, other = build(name, changed).eval(), build(name, changed).eval()
    spread(module)
    copy_weights(module, other)
    values = [loss_of(each, pass_for(each, name, changed, EVERYBODY)) for each in (module, other)]
    assert torch.equal(*values)


def test_options_have_no_problems_by_themselves_and_a_weight(name: str, changed: Changed) -> None:
    objective = OBJECTIVES[name]()
    assert list(objective.problems()) == [] and objective.weight > 0
