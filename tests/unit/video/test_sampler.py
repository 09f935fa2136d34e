"""Plans of batches, and the loader that follows them."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from glossfree.video.sampler import ClipSampler

RNG = np.random.default_rng(0)
LENGTHS = RNG.integers(3, 60, size=131).tolist()


def flat(batches: list[list[int]]) -> list[int]:
    return [index for batch in batches for index in batch]


def steps_of(sampler: ClipSampler) -> list[list[list[int]]]:
    """Steps, each as its batches."""
    batches = iter(sampler)
    return [[next(batches) for _ in range(count)] for count in sampler.batches_of_steps()]


@pytest.mark.parametrize(("batch_size", "min_clips"), [(1, 1), (2, 1), (2, 2), (5, 1), (5, 2), (200, 1), (200, 2)])
@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("bucket_width", [0, 1, 3, 16])
def test_every_clip_once_and_no_batch_too_large(batch_size: int, min_clips: int, shuffle: bool, bucket_width: int):
    for count, limit in itertools.product((0, 1, 2, 5, 7, 33, 131), (0, 40, 157)):
        lengths = LENGTHS[:count]
        sampler = ClipSampler(
            lengths,
            batch_size=batch_size,
            shuffle=shuffle,
            seed=3,
            max_frames_per_batch=limit,
            bucket_width=bucket_width,
            min_clips=min_clips,
        )
        for epoch in (0, 1, 5):
            sampler.set_epoch(epoch)
            batches = list(sampler)
            assert len(batches) == len(sampler)
            assert sorted(flat(batches)) == list(range(count))
            for batch in batches:
                assert limit == 0 or len(batch) == 1 or sum(lengths[index] for index in batch) <= limit
            sizes = [len(flat(step)) for step in steps_of(sampler)]
            assert len(sizes) == sampler.num_steps(1)
            assert all(min_clips <= size <= batch_size + min_clips - 1 for size in sizes) or count == 1
            assert sum(size != batch_size for size in sizes) <= 1


def test_a_limit_on_frames_cuts_steps_and_changes_none():
    """However small the memory: the same clips in the same steps, each in about as few batches as there is room for."""
    samplers = [
        ClipSampler(LENGTHS, batch_size=9, shuffle=True, seed=4, max_frames_per_batch=limit) for limit in (0, 157)
    ]
    for epoch in (0, 3):
        for sampler in samplers:
            sampler.set_epoch(epoch)
        whole, cut = map(steps_of, samplers)
        assert [sorted(flat(step)) for step in whole] == [sorted(flat(step)) for step in cut]
        assert {len(step) for step in whole} == {1} and max(len(step) for step in cut) > 2
        for step in cut:
            frames = sum(LENGTHS[index] for index in flat(step))
            assert len(step) <= 1.5 * np.ceil(frames / 157) + 1


def test_a_plan_depends_on_seed_and_epoch_only():
    def plan(seed: int, epoch: int) -> list[list[int]]:
        sampler = ClipSampler(LENGTHS, batch_size=7, shuffle=True, seed=seed)
        sampler.set_epoch(epoch)
        return list(sampler)

    assert plan(1, 2) == plan(1, 2)
    assert plan(1, 2) != plan(1, 3) and plan(1, 2) != plan(2, 2)
    assert {frozenset(batch) for batch in plan(1, 2)}.isdisjoint(frozenset(batch) for batch in plan(1, 3))


def test_without_shuffle_every_epoch_is_the_same():
    longest_first = ClipSampler(LENGTHS, batch_size=7, shuffle=False, seed=1)
    taken = [LENGTHS[index] for index in flat(longest_first.plan(0))]
    assert taken == sorted(LENGTHS, reverse=True) and longest_first.plan(0) == longest_first.plan(4)
    as_written = ClipSampler(LENGTHS, batch_size=7, shuffle=False, seed=1, bucket_width=0)
    assert flat(as_written.plan(3)) == list(range(131))


def test_the_more_steps_are_sorted_together_the_less_padding():
    def padding(bucket_width: int) -> float:
        plan = ClipSampler(LENGTHS, batch_size=8, shuffle=True, seed=0, bucket_width=bucket_width).plan(0)
        return 1 - sum(LENGTHS) / sum(len(batch) * max(LENGTHS[index] for index in batch) for batch in plan)

    assert padding(16) < 0.8 * padding(4) < 0.8 * 0.8 * padding(0)
    assert padding(16) < 0.5 * padding(0)


def test_sorting_single_steps_changes_no_step():
    """Widths 0 and 1: the same clips meet; sorted within their step, or in the order in which they were drawn."""
    single, none = (
        ClipSampler(LENGTHS, batch_size=7, shuffle=True, seed=3, bucket_width=width).plan(2) for width in (1, 0)
    )
    assert {frozenset(step) for step in single} == {frozenset(step) for step in none}
    assert {tuple(step) for step in single} != {tuple(step) for step in none}


@pytest.mark.parametrize("limit", [0, 157])
def test_a_resumed_epoch_goes_on_where_it_stopped(limit: int):
    sampler = ClipSampler(LENGTHS, batch_size=7, shuffle=True, seed=0, max_frames_per_batch=limit)
    sampler.set_epoch(4)
    whole = steps_of(sampler)
    sampler.set_epoch(4, position=5)
    assert steps_of(sampler) == whole[5:] and len(sampler) == sum(map(len, whole[5:]))
    sampler.set_epoch(5)
    assert len(steps_of(sampler)) == len(whole)


@pytest.mark.parametrize("limit", [0, 157])
def test_steps_of_all_epochs_are_counted_beforehand(limit: int):
    sampler = ClipSampler(LENGTHS, batch_size=7, shuffle=True, seed=0, max_frames_per_batch=limit)
    total = 0
    for epoch in range(6):
        sampler.set_epoch(epoch)
        total += len(steps_of(sampler))
    assert sampler.num_steps(6) == total


def test_a_last_clip_alone_joins_the_step_before():
    joined = ClipSampler([3, 3, 3, 3, 3, 3, 3], batch_size=3, shuffle=False, seed=0, min_clips=2)
    assert [len(batch) for batch in joined] == [3, 4]
    cut = ClipSampler([5, 5, 5, 4], batch_size=3, shuffle=False, seed=0, min_clips=2, max_frames_per_batch=15)
    assert steps_of(cut) == [[[0, 1, 2], [3]]]  # one step of four clips, in two batches


@pytest.mark.parametrize("world_size", [2, 3, 4])
@pytest.mark.parametrize("limit", [0, 157])
def test_processes_share_every_step_of_one_plan(world_size: int, limit: int):
    options = {"batch_size": 6, "shuffle": True, "seed": 0, "max_frames_per_batch": limit, "min_clips": 2}
    alone = ClipSampler(LENGTHS, **options)  # type: ignore[arg-type]
    ranks = [ClipSampler(LENGTHS, **options, rank=r, world_size=world_size) for r in range(world_size)]  # type: ignore[arg-type]
    for epoch in range(3):
        for sampler in (alone, *ranks):
            sampler.set_epoch(epoch)
        counts = [[len(step) for step in steps_of(sampler)] for sampler in ranks]
        assert all(count == counts[0] for count in counts), "processes meet in every batch"
        assert (max(counts[0]) > 1) == (limit > 0 and world_size == 2)
        shares = [[flat(step) for step in steps_of(sampler)] for sampler in ranks]
        assert all(share for steps in shares for share in steps)
        together = [sorted(flat(list(step))) for step in zip(*shares, strict=True)]
        assert sorted(flat(together)) == list(range(131))
        if alone.plan(epoch) == ranks[0].plan(epoch):  # but where a last step is too small for all processes
            assert together == [sorted(flat(step)) for step in steps_of(alone)]
    whole = [ClipSampler([4] * 7, batch_size=1, shuffle=False, seed=0, rank=rank, world_size=2) for rank in (0, 1)]
    assert [len(share) for share in whole] == [4, 3]  # evaluation leaves nothing out


def test_where_a_step_has_hardly_a_clip_for_each_process_the_limit_gives_way():
    ranks = [
        ClipSampler([60, 59, 58], batch_size=3, shuffle=True, seed=0, max_frames_per_batch=61, rank=r, world_size=2)
        for r in (0, 1)
    ]
    assert [list(sampler) for sampler in ranks] == [[[0, 2]], [[1]]]


@pytest.mark.parametrize(
    "wrong",
    [{"batch_size": 0}, {"max_frames_per_batch": -1}, {"min_clips": 4}, {"rank": 1}, {"batch_size": 1, "min_clips": 2}],
)
def test_wrong_arguments_are_refused(wrong: dict[str, int]):
    with pytest.raises(ValueError, match="no "):
        ClipSampler(LENGTHS, **{"batch_size": 3, "shuffle": True, "seed": 0, **wrong})  # type: ignore[arg-type]


@pytest.mark.parametrize("limit", [0, 61, 157])
@pytest.mark.parametrize("batch_size", [2, 5, 13, 200])
def test_no_batch_of_any_epoch_is_larger_than_foreseen(batch_size: int, limit: int):
    for count, world_size in itertools.product((3, 7, 131), (1,) if limit == 61 else (1, 2)):
        for rank in range(world_size):
            sampler = ClipSampler(
                LENGTHS[:count], batch_size=batch_size, shuffle=True, seed=2, max_frames_per_batch=limit,
                min_clips=2, rank=rank, world_size=world_size,
            )  # fmt: skip
            assert sampler.frames() == sum(LENGTHS[:count])
            largest = 0
            for epoch in range(8):
                sampler.set_epoch(epoch)
                largest = max(largest, *(sum(LENGTHS[index] for index in batch) for batch in sampler))
            assert largest <= sampler.largest_batch() <= sampler.frames()
            if count <= batch_size and not limit:
                assert largest == sampler.largest_batch(), "where all clips are one batch it is exact"
            assert not limit or sampler.largest_batch() <= limit
