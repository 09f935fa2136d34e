"""The model of the pre-training stage: what it compares, what gets a gradient."""

from __future__ import annotations

import math

import pytest
import torch

from glossfree.losses import contrastive_loss, pseudo_gloss_loss
from glossfree.models.hierarchy import HierarchicalEncoder
from glossfree.models.language import LanguageEncoder, TextEncoder, mbart
from glossfree.models.pretraining import PretrainingModel
from glossfree.models.prototypes import PseudoGlossHead
from glossfree.models.temporal import TemporalEncoder
from glossfree.models.vision import VisualEncoder, dinov2

D, E, P, PIXELS = 14, 18, 5, 28
LENGTHS = torch.tensor([7, 4])
LABELS = torch.tensor([[5, 6, 2, 45], [7, 2, 45, -100]])


def build(with_text: bool = True, average_padding: bool = False) -> PretrainingModel:
    torch.manual_seed(0)
    hierarchy = HierarchicalEncoder(
        VisualEncoder(dinov2(12, 2, 3, 2, 14, PIXELS), 12, D),
        TemporalEncoder(D, E, 3, 1, 20, 7, 2, 0.1, 0.0, 0.5),
        LanguageEncoder(mbart(50, E, 2, 3, 22, 40, 0.1).model.encoder),
    )
    text = TextEncoder(mbart(50, E, 2, 3, 22, 40, 0.1).model.encoder) if with_text else None
    head = PseudoGlossHead(E, torch.randn(P, 6), 0.2, 0.1, 0.1, True, True)
    return PretrainingModel(hierarchy, head, text, 20.0, average_padding)


def frames() -> torch.Tensor:
    return torch.randint(0, 256, (11, 3, PIXELS, PIXELS), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def test_outputs() -> None:
    model = build().eval()
    output = model(frames(), LENGTHS, LABELS)
    assert output.video.shape == output.text.shape == (2, E)
    assert output.gloss.scores.shape == (2, P)
    assert output.gloss.timeline.shape == (2, 4, P)
    assert float(output.logit_scale.detach()) == pytest.approx(20.0)
    levels = model.hierarchy(frames(), LENGTHS, prefix=model.token)
    torch.testing.assert_close(output.video, levels.video.mean())
    torch.testing.assert_close(output.gloss.scores, model.head(levels.segment).scores)
    torch.testing.assert_close(output.text, model.text_encoder(LABELS))


def test_text_features_may_be_kept_elsewhere() -> None:
    assert build(with_text=False)(frames(), LENGTHS).text is None
    assert build()(frames(), LENGTHS).text is None


def test_everything_but_text_encoder_and_token_table_gets_a_gradient() -> None:
    model = build().train()
    output = model(frames(), LENGTHS, LABELS)
    loss = contrastive_loss(output.video, output.text, output.logit_scale)
    (loss + pseudo_gloss_loss(output.gloss.scores, torch.eye(P)[:2])).backward()
    without = {name for name, p in model.named_parameters() if p.requires_grad and p.grad is None}
    assert without == {"hierarchy.language.encoder.embed_tokens.weight"}
    assert all(p.grad is None for p in model.text_encoder.parameters())
    assert model.token.grad.abs().sum() > 0


def test_logit_scale_is_kept_at_100_at_most() -> None:
    model = build().eval()
    with torch.no_grad():
        model.logit_scale.fill_(9.0)
    assert model(frames(), LENGTHS).logit_scale.item() == pytest.approx(100.0)
    assert model.logit_scale.item() == pytest.approx(math.log(100))


def test_averages_over_padding_make_a_video_depend_on_its_neighbours_and_change_nothing_else() -> None:
    first, second = frames().split(LENGTHS.tolist())
    found = {}
    for average_padding in (False, True):
        model = build(average_padding=average_padding).eval()
        together = model(frames(), LENGTHS)
        alone = [model(part, torch.tensor([len(part)])) for part in (first, second)]
        found[average_padding] = together, alone
        levels = model.hierarchy(frames(), LENGTHS, prefix=model.token)
        torch.testing.assert_close(together.video, levels.video.mean(padding=average_padding))
        torch.testing.assert_close(
            together.video[:1], alone[0].video, atol=1e-5, rtol=1e-5
        )  # the longest has no padding
        if average_padding:
            expected = sum(levels.video.values[:, step] for step in range(5)) / 5  # 4 segments and the learned token
            torch.testing.assert_close(together.video, expected)
    (plain, apart), (padded, padded_apart) = found[False], found[True]
    torch.testing.assert_close(plain.video[1:], apart[1].video, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(padded.video[1:], padded_apart[1].video, atol=1e-2)
    torch.testing.assert_close(padded_apart[1].video, apart[1].video)
    torch.testing.assert_close(padded.gloss.scores, plain.gloss.scores)
