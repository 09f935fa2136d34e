"""The loader follows a sampler's plan: the same batches with any number of workers; a lost clip is named."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import numpy as np
import pytest
import torch

from glossfree.corpora.manifest import PackedClip
from glossfree.errors import ClipError, CorpusError
from glossfree.video.augment import View
from glossfree.video.batch import ClipBatch
from glossfree.video.dataset import ClipDataset, FeatureDataset
from glossfree.video.pack import write_clip
from glossfree.video.sampler import ClipSampler, dead_workers_explained, make_loader
from glossfree.video.sampling import Sampling


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
    loader = make_loader(dataset, sampler, num_workers=num_workers, seed=5)
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
    loader = make_loader(dataset, sampler, num_workers=num_workers)
    steps = list(loader.steps())
    assert len(steps) == loader.num_steps(1) == 4
    assert [sum(len(batch) for batch in step) for step in steps] == [4, 4, 1, 0]  # the lost are left out
    assert all(int(batch.lengths.sum()) <= 20 for step in steps for batch in step)
    assert max(map(len, steps)) > 1
    assert [batch.ids for step in steps for batch in step] == [batch.ids for batch in loader]


@pytest.mark.parametrize("num_workers", [0, 2])
def test_loading_leaves_the_chance_of_training_alone(corpus: tuple[Path, list[PackedClip]], num_workers: int):
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
        list(make_loader(stop, order, num_workers=num_workers))
    assert "\n" not in str(caught.value)
    skip = ClipDataset(folder, [*clips, bad, bad], view, on_bad_clip="skip")
    order = ClipSampler(skip.lengths, batch_size=1, shuffle=False, seed=0)
    loader = make_loader(skip, order, num_workers=num_workers)
    assert loader.skipped() == []
    assert sorted(batch.ids[0] for batch in loader) == sorted(clip.id for clip in clips)
    assert loader.skipped() == skip.bad_clips() == ["clip-lost", "clip-lost"]


def test_a_bad_clip_ends_the_workers_at_once(corpus: tuple[Path, list[PackedClip]]):
    """Though error and loader are held: if the garbage collector finds them, torch waits 10 s for each worker."""
    folder, clips = corpus
    dataset = ClipDataset(folder, [*clips, PackedClip("clip-lost", "train", "wind", "lost.mp4", 5, 25.0)], View(25, 19))
    before = set(multiprocessing.active_children())
    loader = make_loader(dataset, ClipSampler(dataset.lengths, batch_size=3, shuffle=False, seed=0), num_workers=2)
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
    with pytest.raises(CorpusError, match=expected) as caught, dead_workers_explained(tmp_path):
        raise RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed.\nmore")
    assert "\n" not in str(caught.value) and str(tmp_path) in str(caught.value)
    with pytest.raises(RuntimeError, match="shapes"), dead_workers_explained(tmp_path):
        raise RuntimeError("shapes do not fit")


def test_features_are_loaded_the_same_way(corpus: tuple[Path, list[PackedClip]]):
    _, clips = corpus
    features = {clip.id: torch.full((clip.num_frames, 7), float(index)) for index, clip in enumerate(clips)}
    dataset = FeatureDataset(features, clips, level="frame_features")
    loader = make_loader(dataset, ClipSampler(dataset.lengths, batch_size=4, shuffle=True, seed=0))
    loader.set_epoch(2)
    assert (loader.frames(), loader.largest_batch()) == (sum(dataset.lengths), sum(sorted(dataset.lengths)[-4:]))
    for batch in loader:
        assert batch.level == "frame_features"
        for name, rows in zip(batch.ids, batch.frames.split(batch.lengths.tolist()), strict=True):
            assert rows.unique().tolist() == [float(name.removeprefix("clip-"))]
