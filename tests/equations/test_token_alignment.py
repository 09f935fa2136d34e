"""Tokens of videos against tokens of sentences, with loops over every pair, segment and token in float64.

CiCo's soft similarity and VAP's greedy one, the losses of both and C2RL's, on clips of other lengths, two of which have
the same sentence and one of which has a sentence without tokens.
"""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from glossfree.models.hierarchy import Levels
from glossfree.objectives.base import Inputs, Sizes
from glossfree.objectives.token_alignment import TokenAlignment, TokenAlignmentLoss, token_similarities
from glossfree.padded import Padded
from glossfree.video.batch import ClipBatch

E, P = 18, 7
SEGMENTS = (5, 3, 1, 4, 2)
TEXTS = ("es taut", "morgen schneit es", "es taut", "", "nachts wird es kalt")
TOKENS = {"es taut": 2, "morgen schneit es": 4, "": 0, "nachts wird es kalt": 3}  # besides </s> and language code
GLOSSES = ((1, 4), (0, 2, 5), (1, 4), (), (3,))
SCALE = 6.0


def draw(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def segments() -> list[Tensor]:
    return [draw(clip, number, E) + 0.3 for clip, number in enumerate(SEGMENTS)]


def text_tokens() -> dict[str, Tensor]:
    return {text: draw(20 + number, count + 2, E) for number, (text, count) in enumerate(TOKENS.items())}


def build(**options: Any) -> TokenAlignmentLoss:
    torch.manual_seed(0)
    inputs = Inputs(text_tokens=text_tokens(), vectors=draw(40, P, 6))
    return TokenAlignment(logit_scale=SCALE, **options).build(Sizes(14, E, 53), inputs).double()


def loss_of(module: TokenAlignmentLoss) -> float:
    lengths = torch.tensor(SEGMENTS)
    targets = torch.zeros(len(GLOSSES), P)
    for clip, glosses in enumerate(GLOSSES):
        targets[clip, list(glosses)] = 1
    ids = tuple(map(str, range(len(SEGMENTS))))
    packed = torch.cat(segments())
    batch = ClipBatch(ids, packed, lengths, TEXTS, level="segment_features", targets={"pseudo_glosses": targets})
    video = Padded.unpack(packed, lengths)
    return float(module(*module.features(Levels(segment=video, video=video), batch)).detach())


def cosine(a: Tensor, b: Tensor) -> float:
    return float(a @ b) / math.sqrt(float(a @ a)) / math.sqrt(float(b @ b))


def naive_reduced(cosines: list[float], reduce: str, temperature: float, padding: int) -> float:
    if reduce == "max":
        return max(cosines)
    weights = [math.exp(each / temperature) for each in cosines]
    return sum(w * c for w, c in zip(weights, cosines, strict=True)) / (sum(weights) + padding)


def naive_similarities(video: Tensor, text: Tensor, longest: tuple[int, int], **options: Any) -> tuple[float, float]:
    """One video and one text -> to_text, to_video. `longest`: segments and tokens of the longest of a step."""
    reduce, temperature = options.get("reduce", "soft"), options.get("inner_temperature", 0.07)
    extra = options.get("padding", False)
    to_text = [
        naive_reduced([cosine(s, w) for w in text], reduce, temperature, extra * (longest[1] - len(text)))
        for s in video
    ]
    to_video = [
        naive_reduced([cosine(s, w) for s in video], reduce, temperature, extra * (longest[0] - len(video)))
        for w in text
    ]
    return sum(to_text) / len(to_text), sum(to_video) / len(to_video)


def naive_rows(logits: list[list[float]], excluded: list[list[bool]], **options: Any) -> float:
    """The loss of each row, whose diagonal is the pair, averaged."""
    total, number = 0.0, len(logits)
    for i in range(number):
        compared = [j for j in range(number) if not excluded[i][j]]
        logs = {j: logits[i][j] - math.log(sum(math.exp(logits[i][k]) for k in compared)) for j in compared}
        if options.get("loss") == "divergence":
            wanted = {j: math.exp(options.get("identity_sharpness", 10.0) * (i == j)) for j in compared}
            shares = {j: wanted[j] / sum(wanted.values()) for j in compared}
            total += sum(shares[j] * (math.log(shares[j]) - logs[j]) for j in compared)
        else:
            smoothing = options.get("label_smoothing", 0.0)
            total -= (1 - smoothing) * logs[i] + smoothing * sum(logs.values()) / len(compared)
    return total / number


def turned(matrix: list[list[Any]]) -> list[list[Any]]:
    return [list(column) for column in zip(*matrix, strict=True)]


def naive_loss(videos: list[Tensor], texts: list[Tensor], sentences: list[object], **options: Any) -> float:
    number = len(videos)
    longest = max(map(len, videos)), max(1, *map(len, texts))
    equal = options.get("equal_sentences", "left_out") == "left_out"
    excluded = [
        [
            i != j and (not len(texts[i]) or not len(texts[j]) or (equal and sentences[i] == sentences[j]))
            for j in range(number)
        ]
        for i in range(number)
    ]
    pairs = [
        [
            naive_similarities(video, text, longest, **options) if len(text) else (0.0, 0.0)  # compared with none
            for text in texts
        ]
        for video in videos
    ]
    to_text, to_video = ([[SCALE * pair[way] for pair in row] for row in pairs] for way in (0, 1))
    if options.get("combine") == "similarities":
        both = [[(x + y) / 2 for x, y in zip(*rows, strict=True)] for rows in zip(to_text, to_video, strict=True)]
        losses = naive_rows(both, excluded, **options), naive_rows(turned(both), turned(excluded), **options)
        return sum(losses) / 2
    mix = options.get("mix", 0.5)
    return sum(
        mix * naive_rows(own, left_out, **options) + (1 - mix) * naive_rows(turned(own), turned(left_out), **options)
        for own, left_out in ((to_text, excluded), (turned(to_video), turned(excluded)))
    ) / 2  # fmt: skip


OPTIONS: list[dict[str, Any]] = [
    {},
    {"equal_sentences": "negatives"},
    {"inner_temperature": 0.3, "padding": True},
    {"mix": 1.0, "label_smoothing": 0.2, "padding": True},
    {"mix": 0.3},
    {"combine": "similarities", "label_smoothing": 0.1},
    {"loss": "divergence", "mix": 0.8, "identity_sharpness": 3.5},
    {"reduce": "max"},
    {"reduce": "max", "combine": "similarities"},
    {"reduce": "max", "combine": "similarities", "loss": "divergence", "equal_sentences": "negatives"},
]


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: "-".join(map(str, options.values())))
def test_the_loss_of_token_features(options: dict[str, Any]) -> None:
    """Without the last two rows of each sentence, which are </s> and the language code."""
    texts = [text_tokens()[text][:-2] for text in TEXTS]
    expected = naive_loss(segments(), texts, list(TEXTS), **options)
    assert loss_of(build(**options)) == pytest.approx(expected, rel=1e-7)


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: "-".join(map(str, options.values())))
def test_the_loss_of_pseudo_glosses(options: dict[str, Any]) -> None:
    """Of vectors (P, 6), behind a linear layer of segments; a clip without any is compared with no other."""
    module = build(tokens="pseudo_glosses", reads="segment", **options)
    weight, bias = module.projection.weight.detach(), module.projection.bias.detach()
    videos = [each @ weight.T + bias for each in segments()]
    texts = [draw(40, P, 6)[list(glosses)] for glosses in GLOSSES]
    assert loss_of(module) == pytest.approx(naive_loss(videos, texts, list(GLOSSES), **options), rel=1e-6)


def test_special_tokens_may_take_part() -> None:
    texts = [text_tokens()[text] for text in TEXTS]
    expected = naive_loss(segments(), texts, list(TEXTS))
    assert loss_of(build(special_tokens=True)) == pytest.approx(expected, rel=1e-7)
    assert expected != pytest.approx(loss_of(build()), rel=1e-2)


@pytest.mark.parametrize("reduce", ["soft", "max"])
def test_similarities_of_other_numbers_of_videos_and_texts(reduce: Any) -> None:
    """Rows are videos and columns texts, whatever their numbers and lengths."""
    videos, texts = segments()[:3], [draw(60 + number, number, E) for number in (2, 6, 3, 1)]
    padded = [Padded.unpack(torch.cat(each), torch.tensor(list(map(len, each)))) for each in (videos, texts)]
    results = token_similarities(*padded, reduce, temperature=0.2)
    assert [tuple(each.shape) for each in results] == [(3, 4), (3, 4)] and results[0].dtype == torch.float64
    for i, video in enumerate(videos):
        for j, text in enumerate(texts):
            expected = naive_similarities(video, text, (5, 6), reduce=reduce, inner_temperature=0.2)
            assert [float(each[i, j]) for each in results] == pytest.approx(expected, rel=1e-9)
