"""Plans of batches, and the loader that follows them."""

from __future__ import annotations

import itertools
import multiprocessing
from pathlib import Path

import numpy as np
import pytest
import torch

from glossfree.corpora.manifest import PackedClip
from glossfree.errors import ClipError, CorpusError
from glossfree.video.batch import ClipBatch
from glossfree.video.dataset import ClipDataset, FeatureDataset
from glossfree.video.frames import View
from glossfree.video.pack import write_clip
from glossfree.video.sampler import ClipLoader, ClipSampler, explain_dead_workers
from glossfree.video.timeline import Sampling

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
def test_a_resumed_epoch_continues_at_its_step(limit: int):
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


def test_a_single_last_clip_joins_the_step_before():
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


def test_batches_may_exceed_the_limit_when_a_step_has_about_one_clip_per_process():
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
def test_no_batch_of_any_epoch_exceeds_largest_batch(batch_size: int, limit: int):
    for count, world_size in itertools.product((3, 7, 131), (1,) if limit == 61 else (1, 2)):
        for rank in range(world_size):
            sampler = ClipSampler(
                LENGTHS[:count], batch_size=batch_size, shuffle=True, seed=2, max_frames_per_batch=limit,
                min_clips=2, rank=rank, world_size=world_size,
            )  # fmt: skip
            assert int(sampler.lengths.sum()) == sum(LENGTHS[:count])
            largest = 0
            for epoch in range(8):
                sampler.set_epoch(epoch)
                largest = max(largest, *(sum(LENGTHS[index] for index in batch) for batch in sampler))
            assert largest <= sampler.largest_batch() <= int(sampler.lengths.sum())
            if count <= batch_size and not limit:
                assert largest == sampler.largest_batch(), "where all clips are one batch it is exact"
            assert not limit or sampler.largest_batch() <= limit


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[PackedClip]]:
    folder = tmp_path_factory.mktemp("packed")
    clips = []
    for number, length in enumerate((5, 3, 11, 7, 4, 9, 2, 6, 13)):
        tiles = np.random.default_rng(number).integers(0, 256, size=(length, 5, 5, 3), dtype=np.uint8)
        write_clip(folder / f"{number}.mp4", tiles.repeat(5, axis=1).repeat(5, axis=2), 25.0)
        clips.append(PackedClip(f"clip-{number}", "train", f"satz {number}", f"{number}.mp4", length, 25.0))
    return folder, clips


def epochs(folder: Path, clips: list[PackedClip], num_workers: int, **options: int) -> list[list[ClipBatch]]:
    dataset = ClipDataset(
        folder,
        clips,
        View(25, 19, 1.0),
        sampling=Sampling(stride=2),
        augment=True,
        seed=5,
        encode=lambda text: [len(text), 2],
        **options,
    )
    sampler = ClipSampler(dataset.lengths, batch_size=4, shuffle=True, seed=5)
    loader = ClipLoader(dataset, sampler, num_workers=num_workers, seed=5)
    result = []
    for epoch in (0, 1, 2):
        loader.set_epoch(epoch)
        assert len(loader) == 3 and loader.num_steps(5) == 15
        result.append(list(loader))
    loader.set_epoch(1, position=2)
    result.append(list(loader))
    return result


def test_any_number_of_workers_gives_the_same_batches(corpus: tuple[Path, list[PackedClip]]):
    reference = epochs(*corpus, num_workers=0)
    assert [batch.ids for batch in reference[0]] != [batch.ids for batch in reference[1]]
    assert [batch.ids for batch in reference[3]] == [reference[1][2].ids]
    for batches in reference[:3]:
        assert sorted(name for batch in batches for name in batch.ids) == sorted(clip.id for clip in corpus[1])
    for options in ({"num_workers": 1}, {"num_workers": 2}, {"num_workers": 2, "cache_bytes": 10**6}):
        for expected, actual in zip(reference, epochs(*corpus, **options), strict=True):
            assert [batch.ids for batch in expected] == [batch.ids for batch in actual]
            for one, other in zip(expected, actual, strict=True):
                assert torch.equal(one.frames, other.frames) and torch.equal(one.lengths, other.lengths)
                assert one.labels is not None and other.labels is not None and torch.equal(one.labels, other.labels)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_loader_gives_steps_of_batches(corpus: tuple[Path, list[PackedClip]], num_workers: int):
    folder, clips = corpus
    lost = [PackedClip(f"lost-{n}", "train", "wind", f"lost-{n}.mp4", 6, 25.0) for n in range(4)]
    dataset = ClipDataset(folder, [*clips, *lost], View(25, 19), on_bad_clip="skip")
    options = {"batch_size": 4, "max_frames_per_batch": 20, "bucket_width": 0}
    sampler = ClipSampler(dataset.lengths, shuffle=False, seed=0, **options)
    loader = ClipLoader(dataset, sampler, num_workers=num_workers)
    steps = list(loader.steps())
    assert len(steps) == loader.num_steps(1) == 4
    assert [sum(len(batch) for batch in step) for step in steps] == [4, 4, 1, 0]  # the lost are left out
    assert all(int(batch.lengths.sum()) <= 20 for step in steps for batch in step)
    assert max(map(len, steps)) > 1
    assert [batch.ids for step in steps for batch in step] == [batch.ids for batch in loader]


@pytest.mark.parametrize("num_workers", [0, 2])
def test_loading_does_not_change_the_random_state_of_training(corpus: tuple[Path, list[PackedClip]], num_workers: int):
    """Dropout must not depend on how many workers read the clips."""
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    epochs(*corpus, num_workers=num_workers)
    assert torch.equal(torch.rand(3), expected)


def test_augmentation_differs_between_epochs(corpus: tuple[Path, list[PackedClip]]):
    seen = [{name: batch.frames for batch in batches for name in batch.ids[:1]} for batches in epochs(*corpus, 0)[:2]]
    assert any(not torch.equal(seen[0][name], seen[1][name]) for name in seen[0].keys() & seen[1].keys())


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_bad_clip_stops_in_one_line_or_is_skipped(corpus: tuple[Path, list[PackedClip]], num_workers: int):
    folder, clips = corpus
    bad = PackedClip("clip-lost", "train", "wind", "lost.mp4", 5, 25.0)
    view = View(25, 19)
    stop = ClipDataset(folder, [*clips, bad], view)
    order = ClipSampler(stop.lengths, batch_size=3, shuffle=False, seed=0)
    with pytest.raises(ClipError, match="clip clip-lost") as caught:
        list(ClipLoader(stop, order, num_workers=num_workers))
    assert "\n" not in str(caught.value)
    del caught  # its traceback holds the loader: collected later, its workers are waited for
    skip = ClipDataset(folder, [*clips, bad, bad], view, on_bad_clip="skip")
    order = ClipSampler(skip.lengths, batch_size=1, shuffle=False, seed=0)
    loader = ClipLoader(skip, order, num_workers=num_workers)
    assert loader.skipped() == []
    assert sorted(batch.ids[0] for batch in loader) == sorted(clip.id for clip in clips)
    assert loader.skipped() == skip.bad_clips() == ["clip-lost", "clip-lost"]


def test_a_bad_clip_ends_the_workers_at_once(corpus: tuple[Path, list[PackedClip]]):
    """Though error and loader are held: if the garbage collector finds them, torch waits 10 s for each worker."""
    folder, clips = corpus
    dataset = ClipDataset(folder, [*clips, PackedClip("clip-lost", "train", "wind", "lost.mp4", 5, 25.0)], View(25, 19))
    before = set(multiprocessing.active_children())
    loader = ClipLoader(dataset, ClipSampler(dataset.lengths, batch_size=3, shuffle=False, seed=0), num_workers=2)
    batches = iter(loader)
    next(batches)
    workers = set(multiprocessing.active_children()) - before
    assert len(workers) == 2
    with pytest.raises(ClipError) as caught:
        list(batches)
    assert not any(worker.is_alive() for worker in workers), caught
    with pytest.raises(ClipError):
        list(loader)


def test_a_dead_worker_is_explained_and_nothing_else_is_touched(tmp_path: Path):
    expected = r"has died \(DataLoader worker \(pid 7\).*data.num_workers"
    with pytest.raises(CorpusError, match=expected) as caught, explain_dead_workers(tmp_path):
        raise RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed.\nmore")
    assert "\n" not in str(caught.value) and str(tmp_path) in str(caught.value)
    with pytest.raises(RuntimeError, match="shapes"), explain_dead_workers(tmp_path):
        raise RuntimeError("shapes do not fit")


def test_features_are_loaded_the_same_way(corpus: tuple[Path, list[PackedClip]]):
    _, clips = corpus
    features = {clip.id: torch.full((clip.num_frames, 7), float(index)) for index, clip in enumerate(clips)}
    lengths = {name: len(rows) for name, rows in features.items()}
    dataset = FeatureDataset(clips, lengths, lambda clip: features[clip.id], level="frame_features")
    loader = ClipLoader(dataset, ClipSampler(dataset.lengths, batch_size=4, shuffle=True, seed=0))
    loader.set_epoch(2)
    assert (loader.frames(), loader.largest_batch()) == (sum(dataset.lengths), sum(sorted(dataset.lengths)[-4:]))
    for batch in loader:
        assert batch.level == "frame_features"
        for name, rows in zip(batch.ids, batch.frames.split(batch.lengths.tolist()), strict=True):
            assert rows.unique().tolist() == [float(name.removeprefix("clip-"))]
