"""Small batches of clips and of texts, and what objectives need of their corpus."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from glossfree.objectives.base import Inputs
from glossfree.pipeline.denoising import TextBatch
from glossfree.video.batch import ClipBatch

V, P, B = 53, 7, 3
LENGTHS = torch.tensor([7, 4, 5])
TEXTS = ("es taut", "morgen schneit es", "nachts wird es kalt")


def clip_batch() -> ClipBatch:
    source = torch.Generator().manual_seed(1)
    frames = torch.randint(0, 256, (int(LENGTHS.sum()), 3, 24, 24), dtype=torch.uint8, generator=source)
    labels = torch.tensor([[5, 6, 2, 40, -100], [7, 8, 9, 2, 40], [11, 2, 40, -100, -100]])
    targets = (torch.rand(B, P, generator=source) > 0.6).float()
    glosses = torch.tensor([[3, 1, -100], [2, -100, -100], [-100, -100, -100]])
    gloss_labels = torch.tensor([[9, 12, 9, 2, 40], [11, 2, 40, -100, -100], [-100] * 5])
    others = {"pseudo_glosses": targets, "glosses": glosses, "gloss_labels": gloss_labels}
    return ClipBatch(("a", "b", "c"), frames, LENGTHS, TEXTS, labels, targets=others)


def part_of_batch(whole: ClipBatch, clips: Sequence[int]) -> ClipBatch:
    """Some of its clips, as a loader makes a batch of them: padded to the longest among them."""
    rows, chosen = whole.frames.split(whole.lengths.tolist()), list(clips)
    assert whole.labels is not None
    labels = whole.labels[chosen]
    return ClipBatch(
        tuple(whole.ids[i] for i in chosen),
        torch.cat([rows[i] for i in chosen]),
        whole.lengths[chosen],
        tuple(whole.texts[i] for i in chosen),
        labels[:, : int((labels != -100).sum(dim=1).max())],
        targets={name: target[chosen] for name, target in whole.targets.items()},
    )


def text_batch() -> TextBatch:
    noised = torch.tensor([[5, 52, 2, 40, 1], [7, 52, 9, 2, 40], [52, 2, 40, 1, 1]])
    labels = clip_batch().labels
    assert labels is not None
    return TextBatch(TEXTS, noised, labels, torch.tensor([4, 5, 3]))


def inputs() -> Inputs:
    source = torch.Generator().manual_seed(2)
    features = {text: torch.randn(32, generator=source) for text in TEXTS}
    return Inputs(
        vectors=torch.randn(P, 300, generator=torch.Generator().manual_seed(3)),
        document_frequencies=torch.linspace(0.0, 1.0, P),
        text_features=features,
        glosses=("KALT", "REGEN", "TAUEN"),
    )
