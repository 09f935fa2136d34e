"""Lengths of clips -> the steps and batches of every epoch, and the loader that reads them.

A *step* is one optimiser step, a recipe's `batch_size` of clips. It is read and computed in one batch or, if its frames
would not fit into memory, in several, whose gradients add up. Both are planned from lengths alone, so their number is
known before anything is read.
"""

from __future__ import annotations

import atexit
import mmap
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Sampler

from glossfree.errors import ClipError, CorpusError
from glossfree.video.batch import ClipBatch, collate
from glossfree.video.dataset import ClipDataset, FeatureDataset

# Steps whose clips are sorted by length together. On lengths like PHOENIX14T's (log-normal, median 110; batch 16)
# a padded batch is 11 % padding, without sorting 49 %; 1 % of the pairs in a step share a step in the next epoch too.
BUCKET_WIDTH = 16


class ClipSampler(Sampler[list[int]]):
    """Every clip once per epoch, in steps of `batch_size` clips, each in batches of `max_frames_per_batch` (0 = any).

    A clip longer than that limit is a batch of its own. `bucket_width` groups clips of similar length: with `shuffle`,
    the clips of that many steps are sorted together, drawn anew each epoch; without it, the whole split is sorted,
    longest first, so that memory runs out at once or never; 0 keeps the order. A last step of fewer than `min_clips`
    (losses that compare clips need 2: a single clip has no negatives), or of fewer clips than processes, joins the step
    before it. The plan depends on (seed, epoch) and the lengths only.

    All `world_size` processes follow one plan. With `shuffle`, each takes its share of every step (`rank` 0 ..
    world_size-1), so that a step has the same clips on any number of processes; without it, its share of the steps.
    """

    def __init__(
        self,
        lengths: Sequence[int],
        *,
        batch_size: int,
        shuffle: bool,
        seed: int,
        max_frames_per_batch: int = 0,
        bucket_width: int = BUCKET_WIDTH,
        min_clips: int = 1,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        if max_frames_per_batch < 0 or not 1 <= min_clips <= batch_size:
            raise ValueError(f"no steps of {batch_size} clips, {max_frames_per_batch} frames, at least {min_clips}")
        if not 0 <= rank < world_size:
            raise ValueError(f"no rank {rank} among {world_size} processes")
        self.lengths = np.asarray(lengths, dtype=np.int64)
        self.batch_size, self.shuffle, self.seed = batch_size, shuffle, seed
        self.max_frames_per_batch = max_frames_per_batch or int(self.lengths.sum())
        self.bucket_width = bucket_width
        self.rank, self.world_size = rank, world_size
        self.min_clips = max(min_clips, world_size) if shuffle else min_clips
        self.set_epoch(0)

    def set_epoch(self, epoch: int, position: int = 0) -> None:
        """Set the epoch, and skip its first `position` steps (a resumed run has already taken them)."""
        self.epoch, self.position = epoch, position
        self._steps = [self._batches_of(step) for step in self._own_steps(self.plan(epoch))]

    def __len__(self) -> int:
        """The number of batches left in this epoch, for this process."""
        return sum(self.batches_of_steps())

    def __iter__(self) -> Iterator[list[int]]:
        for step in self._steps[self.position :]:
            yield from step

    def batches_of_steps(self) -> list[int]:
        """For each step left in this epoch, the number of batches in which this process reads it."""
        return [len(step) for step in self._steps[self.position :]]

    def num_steps(self, epochs: int) -> int:
        """The steps of one process in the epochs 0 .. epochs-1; every epoch has the same number."""
        return epochs * len(self._own_steps(self.plan(0)))

    def largest_batch(self) -> int:
        """Frames of the largest batch that this process may get in any epoch: the longest clips may share a step."""
        left_over = len(self.lengths) % self.batch_size
        clips = self.batch_size + (left_over if left_over < self.min_clips else 0)
        longest = np.sort(self.lengths)[::-1][:clips]
        if self.shuffle:  # a step is shared
            longest = longest[self.rank :: self.world_size]
        return max(int(longest.max(initial=0)), min(int(longest.sum()), self.max_frames_per_batch))

    def plan(self, epoch: int) -> list[list[int]]:
        """The steps of an epoch for all processes together, as lists of clip indices."""
        rng = np.random.default_rng([self.seed, epoch])
        order = rng.permutation(len(self.lengths)) if self.shuffle else np.arange(len(self.lengths))
        pool_size = max(1, self.bucket_width) * self.batch_size if self.shuffle else max(1, len(order))
        steps = []
        for start in range(0, len(order), pool_size):
            pool = self._sort_by_length(order[start : start + pool_size], rng)
            steps += [pool[first : first + self.batch_size] for first in range(0, len(pool), self.batch_size)]
        if len(steps) > 1 and len(steps[-1]) < self.min_clips:
            steps[-2:] = [[*steps[-2], *steps[-1]]]
        return [steps[index] for index in rng.permutation(len(steps))] if self.shuffle else steps

    def _own_steps(self, steps: list[list[int]]) -> list[list[int]]:
        """The steps of this process: all if steps are shared, else its share of them."""
        return steps if self.shuffle else steps[self.rank :: self.world_size]

    def _batches_of(self, step: list[int]) -> list[list[int]]:
        """The batches of this process in a step: of the clips sorted by length, number rank, rank + world_size, ...

        Processes synchronise in every batch, so all get as many batches as the largest share needs. No process can have
        more batches than clips; in that case (a last step with about one clip each) a batch may exceed the limit.
        """
        if not self.shuffle or self.world_size == 1:
            return self._split(step)
        longest_first = sorted(step, key=lambda index: -self.lengths[index])
        clips = [longest_first[rank :: self.world_size] for rank in range(self.world_size)]
        shares = [self._split(share) for share in clips]
        number = min(max(map(len, shares)), min(map(len, clips)))
        own = shares[self.rank]
        while len(own) < number:
            largest = max(own, key=len)
            own = [*(batch for batch in own if batch is not largest), largest[::2], largest[1::2]]
        while len(own) > number:
            *rest, last, smallest = sorted(own, key=lambda batch: -self.lengths[batch].sum())
            own = [*rest, [*last, *smallest]]
        return own

    def _split(self, clips: list[int]) -> list[list[int]]:
        """Clips -> batches under the limit: each clip, longest first, goes into the first batch that has room."""
        if self.lengths[clips].sum() <= self.max_frames_per_batch:
            return [clips]
        batches: list[list[int]] = []
        for index in sorted(clips, key=lambda index: -self.lengths[index]):
            for batch in batches:
                if self.lengths[[*batch, index]].sum() <= self.max_frames_per_batch:
                    batch.append(index)
                    break
            else:
                batches.append([index])
        return batches

    def _sort_by_length(self, pool: np.ndarray, rng: np.random.Generator) -> list[int]:
        if self.bucket_width:
            keys = -self.lengths[pool].astype(np.float64)
            if (
                self.shuffle
            ):  # a small corpus is a single pool: without noise its steps would be the same in every epoch
                keys *= rng.uniform(0.9, 1.1, size=len(pool)) * rng.choice([1, -1])
            pool = pool[np.argsort(keys, kind="stable")]
        indices: list[int] = pool.tolist()
        return indices


class ClipLoader(DataLoader[Any]):
    """Batches of a dataset in a sampler's order; a clip that cannot be read raises its ClipError here, in one line.

    Any `num_workers` gives the same batches in the same order. Workers live through all epochs and use one thread each.
    On Linux they are forked, so that they share the cache.
    """

    def __init__(
        self, dataset: ClipDataset | FeatureDataset, sampler: ClipSampler, *, num_workers: int = 0, seed: int = 0
    ) -> None:
        super().__init__(
            dataset,
            batch_sampler=sampler,
            collate_fn=collate,
            num_workers=num_workers,
            persistent_workers=num_workers > 0,
            multiprocessing_context="fork" if num_workers and sys.platform == "linux" else None,
            worker_init_fn=_prepare_worker,
            pin_memory=torch.cuda.is_available(),
            generator=torch.Generator().manual_seed(seed),
        )
        self.clips, self.clip_sampler = dataset, sampler

    def set_epoch(self, epoch: int, position: int = 0) -> None:
        """Set the epoch, and skip its first `position` steps. Call it before iterating."""
        self.clip_sampler.set_epoch(epoch, position)
        self.clips.set_epoch(epoch)

    def num_steps(self, epochs: int) -> int:
        """All steps of the epochs 0 .. epochs-1."""
        return self.clip_sampler.num_steps(epochs)

    def frames(self) -> int:
        """Frames of an epoch, for all processes together."""
        return int(self.clip_sampler.lengths.sum())

    def largest_batch(self) -> int:
        """Frames of the largest batch that this process may get in any epoch."""
        return self.clip_sampler.largest_batch()

    def skipped(self) -> list[str]:
        """Ids of the clips that any worker of this process has skipped so far."""
        return self.clips.bad_clips()

    def steps(self) -> Iterator[list[ClipBatch]]:
        """The batches of each step of the epoch; an empty list if all clips of a step were skipped."""
        counts = self.clip_sampler.batches_of_steps()
        batches = self._read()
        for count in counts:
            yield [batch for batch in islice(batches, count) if len(batch)]

    def __iter__(self) -> Iterator[ClipBatch]:  # type: ignore[override]
        return (batch for batch in self._read() if len(batch))

    def _read(self) -> Iterator[ClipBatch]:
        """Every planned batch, including empty ones, whose clips were all skipped."""
        for batch in super().__iter__():
            if isinstance(batch, ClipError):
                # End the workers now. If the garbage collector frees them later, as part of a reference cycle (error,
                # traceback, frame), their queues are closed first, and it waits 10 s for each worker.
                self._iterator = None
                raise batch
            yield batch


@contextmanager
def explain_dead_workers(folder: Path) -> Iterator[None]:
    """Turn the death of a loader's worker into a CorpusError.

    torch learns of it from a signal and raises from whatever line is running: wrap everything done while a loader is
    open.
    """
    try:
        yield
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise CorpusError(
            f"a worker process that reads clips has died ({str(error).splitlines()[0]})",
            where=folder,
            remedy="memory may have run out: lower data.num_workers or data.cache_megabytes, then --resume",
        ) from error


def _prepare_worker(worker: int) -> None:
    """Use one thread, since workers are one per core, and ignore signals that are meant for the parent.

    A terminal's Ctrl-C and a cluster's SIGTERM reach workers too, but they must keep reading until a step is saved.
    SIGTERM ends them only when their parent is exiting.
    """
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":  # where workers are forked
        signal.signal(signal.SIGTERM, lambda number, frame: os._exit(0) if _PARENT_CLOSES[0] else None)


# One byte shared with forked workers: whether this process is exiting, so that the SIGTERM is its own.
_PARENT_CLOSES = mmap.mmap(-1, 1)
atexit.register(_PARENT_CLOSES.__setitem__, 0, 1)
