"""Lengths of clips -> the batches of every epoch, and the loader that reads them.

N = packed frames of a batch. Batches are planned from lengths alone, so their number is known before anything is read.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import Any

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Sampler

from glossfree.errors import ClipError
from glossfree.video.batch import ClipBatch
from glossfree.video.dataset import ClipDataset, FeatureDataset, collate

# Batches whose clips are sorted by length together. On lengths like PHOENIX14T's (log-normal, median 110; batch 16)
# a padded batch is 11 % padding, without sorting 49 %; two clips meet again in the next epoch in 1 % of the cases.
POOL = 16


class ClipSampler(Sampler[list[int]]):
    """Every clip once per epoch, in batches of at most `batch_size` clips and `max_frames_per_batch` frames (0 = any).

    A clip longer than that limit has a batch to itself. `bucket` puts clips of similar length together: with `shuffle`
    inside pools of 16 batches drawn anew each epoch, without it over the whole split (longest first, so that memory
    runs out at once or never). `drop_last` leaves out a last batch that is not full. `min_clips` 2 (contrastive stages:
    a clip alone has no negatives) lets a batch of one join its neighbour, or take a clip from it; the limit on frames
    wins where both cannot be kept. The plan depends on (seed, epoch) and the lengths only.

    With `world_size` processes each iterates over its share (`rank` 0 .. world_size-1) of one common plan. With
    `shuffle` all have equally many batches, so that no training step waits for a missing one: the largest are halved
    until the number divides; where all are too small to be halved, the last few are left out.
    """

    def __init__(
        self,
        lengths: Sequence[int],
        *,
        batch_size: int,
        shuffle: bool,
        seed: int,
        max_frames_per_batch: int = 0,
        bucket: bool = True,
        drop_last: bool = False,
        min_clips: int = 1,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        if max_frames_per_batch < 0 or not 1 <= min_clips <= min(batch_size, 2):
            raise ValueError(f"no batches of {batch_size} clips, {max_frames_per_batch} frames, at least {min_clips}")
        if not 0 <= rank < world_size:
            raise ValueError(f"there is no process {rank} of {world_size}")
        self.lengths = np.asarray(lengths, dtype=np.int64)
        self.batch_size, self.shuffle, self.seed = batch_size, shuffle, seed
        self.max_frames_per_batch = max_frames_per_batch or int(self.lengths.sum())
        self.bucket, self.drop_last, self.min_clips = bucket, drop_last, min_clips
        self.rank, self.world_size = rank, world_size
        self.set_epoch(0)

    def set_epoch(self, epoch: int, position: int = 0) -> None:
        """Go to an epoch, and in it past the first `position` batches (a run that is resumed has had them)."""
        self.epoch, self.position = epoch, position
        self._batches = self.plan(epoch)[self.rank :: self.world_size]

    def __len__(self) -> int:
        """The batches that are left of this epoch, for this process."""
        return max(0, len(self._batches) - self.position)

    def __iter__(self) -> Iterator[list[int]]:
        yield from self._batches[self.position :]

    def num_batches(self, epochs: int) -> int:
        """One process's batches in the epochs 0 .. epochs-1: what a schedule over optimiser steps needs."""
        if self.max_frames_per_batch >= int(self.lengths.sum()):  # then every epoch has as many
            return epochs * len(self.plan(0)[self.rank :: self.world_size])
        return sum(len(self.plan(epoch)[self.rank :: self.world_size]) for epoch in range(epochs))

    def plan(self, epoch: int) -> list[list[int]]:
        """The batches of an epoch for all processes, as lists of clip indices."""
        rng = np.random.default_rng([self.seed, epoch])
        order = rng.permutation(len(self.lengths)) if self.shuffle else np.arange(len(self.lengths))
        pool_size = POOL * self.batch_size if self.shuffle else max(1, len(order))
        batches: list[list[int]] = []
        batch: list[int] = []
        for start in range(0, len(order), pool_size):
            for index in self._sorted(order[start : start + pool_size], rng):
                if batch and not self._fits([*batch, index]):
                    batches.append(batch)
                    batch = []
                batch.append(index)
        if batch and not (self.drop_last and len(batch) < self.batch_size):
            batches.append(batch)
        batches = self._joined(batches)
        if not self.shuffle:
            return batches
        batches = self._even([batches[index] for index in rng.permutation(len(batches))])
        return batches[: len(batches) // self.world_size * self.world_size]

    def _sorted(self, pool: np.ndarray, rng: np.random.Generator) -> list[int]:
        if not self.bucket:
            return [int(index) for index in pool]
        keys = self.lengths[pool].astype(np.float64)
        if self.shuffle:  # a small corpus is one pool: without noise its batches would be the same in every epoch
            keys *= rng.uniform(0.9, 1.1, size=len(pool)) * rng.choice([-1, 1])
            return [int(index) for index in pool[np.argsort(keys, kind="stable")]]
        return [int(index) for index in pool[np.argsort(-keys, kind="stable")]]

    def _fits(self, batch: list[int]) -> bool:
        return len(batch) <= self.batch_size and int(self.lengths[batch].sum()) <= self.max_frames_per_batch

    def _even(self, batches: list[list[int]]) -> list[list[int]]:
        """The same clips in a number of batches that `world_size` divides, unless none can be halved any more."""
        while len(batches) % self.world_size:
            largest = max(range(len(batches)), key=lambda index: len(batches[index]))
            whole = batches[largest]
            if len(whole) < 2 * self.min_clips:
                break
            batches = [*batches[:largest], whole[::2], *batches[largest + 1 :], whole[1::2]]
        return batches

    def _joined(self, batches: list[list[int]]) -> list[list[int]]:
        """The same clips, where possible without batches of fewer than `min_clips`."""
        result: list[list[int]] = []
        for batch in batches:
            previous = result[-1] if result else []
            if not previous or min(len(batch), len(previous)) >= self.min_clips:
                result.append(batch)
            elif self.lengths[[*previous, *batch]].sum() <= self.max_frames_per_batch:
                result[-1] = [*previous, *batch]
            elif len(previous) > 2 and self.lengths[[previous[-1], *batch]].sum() <= self.max_frames_per_batch:
                result[-1] = previous[:-1]
                result.append([previous[-1], *batch])
            else:
                result.append(batch)
        return result


class ClipLoader(DataLoader[Any]):
    """Batches of a dataset in a sampler's order; a clip that cannot be read raises its ClipError here, in one line."""

    def set_epoch(self, epoch: int, position: int = 0) -> None:
        """Go to an epoch, past its first `position` batches. To be called before iterating."""
        self.batch_sampler.set_epoch(epoch, position)  # type: ignore[union-attr]
        self.dataset.set_epoch(epoch)  # type: ignore[attr-defined]

    def num_batches(self, epochs: int) -> int:
        """All batches of the epochs 0 .. epochs-1; with a limit on frames they are not equally many in each."""
        return int(self.batch_sampler.num_batches(epochs))  # type: ignore[union-attr]

    def __iter__(self) -> Iterator[ClipBatch]:  # type: ignore[override]
        for batch in super().__iter__():
            if isinstance(batch, ClipError):
                raise batch
            if len(batch):
                yield batch


def make_loader(
    dataset: ClipDataset | FeatureDataset, sampler: ClipSampler, *, num_workers: int = 0, seed: int = 0
) -> ClipLoader:
    """A dataset and the plan of its batches -> a loader; any `num_workers` gives the same batches in the same order.

    Workers live through all epochs and use one thread each. On Linux they are forked, so that they share the cache.
    """
    return ClipLoader(
        dataset,
        batch_sampler=sampler,
        collate_fn=collate,
        num_workers=num_workers,
        persistent_workers=num_workers > 0,
        multiprocessing_context="fork" if num_workers and sys.platform == "linux" else None,
        worker_init_fn=_one_thread,
        pin_memory=torch.cuda.is_available(),
        generator=torch.Generator().manual_seed(seed),
    )


def _one_thread(worker: int) -> None:
    """Workers already are one per core: threads inside them would only get in each other's way."""
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
