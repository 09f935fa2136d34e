"""Batches of noised sentences for text stages: the model reads the noise and writes the sentence."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np
import torch
from torch import Tensor

from glossfree.errors import CorpusError
from glossfree.recipe.schema import StageConfig
from glossfree.text.noise import NoisyWords, encoder_ids, mask_spans, mask_tail
from glossfree.text.pseudo_glosses import PseudoGlosses
from glossfree.text.tokenizer import SentenceTokenizer

Noise = Callable[[str, np.random.Generator], Sequence[str | None]]  # sentence -> words, and None for each mask

NONE: Mapping[str, Sequence[Sequence[str]]] = MappingProxyType({})


def noise_of(
    stage: StageConfig, glosses: PseudoGlosses | None, annotated: Mapping[str, Sequence[Sequence[str]]] = NONE
) -> Noise:
    """What a stage's batches of sentences have the encoder read.

    `glosses`: needed for the noise "words". `annotated`: for the noise "glosses", the words of each sentence's glosses,
    from every clip that has the sentence; one of them is drawn.
    """
    if stage.noise == "spans":
        return lambda text, rng: mask_spans(text.split(), stage.mask_ratio, stage.mean_span, rng)
    if stage.noise == "tail":
        return lambda text, rng: mask_tail(text.split(), stage.mask_ratio, rng)
    if stage.noise == "glosses":
        return lambda text, rng: annotated[text][int(rng.integers(len(annotated[text])))]
    assert glosses is not None
    counts, of_sentence = glosses.counts, glosses.of_sentence
    words = NoisyWords(counts, stage.missing_rate, stage.wrong_rate, shuffled=stage.word_order == "shuffled")
    return lambda text, rng: words([word for word in of_sentence(text) if word in counts], rng)


@dataclass(frozen=True)
class TextBatch:
    """B noised sentences `input_ids` (B, L), padded, and the originals: `labels` (B, M), -100 = ignored.

    `lengths` are always in main memory. `origin`: the batch there that this one was moved from.
    """

    ids: tuple[str, ...]
    input_ids: Tensor
    labels: Tensor
    lengths: Tensor
    origin: TextBatch | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def prepared(self, device: torch.device | str) -> TextBatch:
        """The batch as the model takes it, on its device."""
        input_ids, labels = (each.to(device, non_blocking=True) for each in (self.input_ids, self.labels))
        return replace(self, input_ids=input_ids, labels=labels, origin=self)


def pad(rows: Sequence[Sequence[int]], fill: int) -> Tensor:
    """Rows of different lengths -> (B, longest) int64, padded on the right."""
    longest = max(map(len, rows))
    return torch.tensor([[*row, *[fill] * (longest - len(row))] for row in rows], dtype=torch.int64)


class DenoisingLoader:
    """Every sentence once per epoch, with noise that depends on (seed, epoch, sentence) only.

    Of `world_size` processes each reads the sentences rank, rank + world_size ... of every batch; those of a last batch
    that is too small for all join the batch before it.
    """

    def __init__(
        self,
        sentences: Sequence[str],
        tokenizer: SentenceTokenizer,
        *,
        batch_size: int,
        noise: Noise,
        shuffle: bool,
        seed: int,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self.sentences, self.tokenizer = list(sentences), tokenizer
        self.batch_size, self.noise = batch_size, noise
        self.shuffle, self.seed, self.epoch, self.position = shuffle, seed, 0, 0
        self.rank, self.world_size = rank, world_size
        if len(self.sentences) < world_size:
            problem = f"{len(self.sentences)} distinct sentences for {world_size} processes"
            raise CorpusError(problem, where="text stage", remedy="use fewer processes, or a larger split")

    def set_epoch(self, epoch: int, position: int = 0) -> None:
        """Change noise and order, and skip the first `position` steps; without shuffling (dev) nothing changes."""
        self.epoch, self.position = (epoch if self.shuffle else 0), position

    def __len__(self) -> int:
        """Batches of an epoch."""
        return len(self._starts())

    def _starts(self) -> list[int]:
        """Where in the order each batch begins."""
        starts = list(range(0, len(self.sentences), self.batch_size))
        if len(starts) > 1 and len(self.sentences) - starts[-1] < self.world_size:
            starts.pop()
        return starts

    def num_steps(self, epochs: int) -> int:
        """All steps of the epochs 0 .. epochs-1."""
        return epochs * len(self)

    def skipped(self) -> list[str]:
        """[]: every sentence can be read."""
        return []

    def steps(self) -> Iterator[list[TextBatch]]:
        """The epoch, a step at a time: sentences are short, a step is one batch."""
        for batch in self:
            yield [batch]

    def __iter__(self) -> Iterator[TextBatch]:
        order = np.arange(len(self.sentences))
        if self.shuffle:
            np.random.default_rng([self.seed, self.epoch]).shuffle(order)
        starts = self._starts()
        for first, end in list(zip(starts, [*starts[1:], len(order)], strict=True))[self.position :]:
            yield self._batch([self.sentences[i] for i in order[first:end][self.rank :: self.world_size]])

    def _batch(self, sentences: list[str]) -> TextBatch:
        noised = [encoder_ids(self.tokenizer, self.noise(text, self._rng(text))) for text in sentences]
        labels = [self.tokenizer.encode(text) for text in sentences]
        return TextBatch(
            ids=tuple(sentences),
            input_ids=pad(noised, self.tokenizer.pad_id),
            labels=pad(labels, -100),
            lengths=torch.tensor([len(row) for row in labels]),
        )

    def _rng(self, text: str) -> np.random.Generator:
        return np.random.default_rng([self.seed, self.epoch, zlib.crc32(text.encode())])
