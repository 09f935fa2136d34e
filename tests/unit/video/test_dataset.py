"""Packed files -> items -> batches."""

from __future__ import annotations

import multiprocessing
import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from glossfree.corpora.manifest import PackedClip
from glossfree.errors import ClipError
from glossfree.video.batch import ClipBatch, collate
from glossfree.video.dataset import ClipDataset, FeatureDataset, FrameCache, clip_rng
from glossfree.video.frames import View
from glossfree.video.pack import read_clip, write_clip
from glossfree.video.timeline import Sampling

LENGTHS = (5, 11, 2, 17, 8)
SIZE, CROP = 30, 23
VIEW = View(SIZE, CROP, augment_probability=1.0, translation=3)
TEXTS = ("sonne im süden", "regen", "am abend kühl", "regen", "wind")


def encode(text: str) -> list[int]:
    """One token per word, and an end."""
    return [len(word) + 3 for word in text.split()] + [2]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("packed")
    for number, length in enumerate(LENGTHS):
        tiles = np.random.default_rng(number).integers(0, 256, size=(length, 6, 6, 3), dtype=np.uint8)
        write_clip(folder / f"{number}.mp4", tiles.repeat(5, axis=1).repeat(5, axis=2), 25.0)
    return folder


@pytest.fixture
def clips() -> list[PackedClip]:
    return [
        PackedClip(f"clip-{number}", "train", text, f"{number}.mp4", length, 25.0)
        for number, (length, text) in enumerate(zip(LENGTHS, TEXTS, strict=True))
    ]


def in_memory(features: dict[str, torch.Tensor], clips: list[PackedClip], **options: Any) -> FeatureDataset:
    lengths = {name: len(rows) for name, rows in features.items()}
    return FeatureDataset(clips, lengths, lambda clip: features[clip.id], **options)


def item_of(dataset: ClipDataset | FeatureDataset, index: int) -> ClipBatch:
    item = dataset[index]
    assert isinstance(item, ClipBatch)
    return item


def test_without_augmentation_frames_are_the_centre_crop_of_the_sampled_frames(folder: Path, clips: list[PackedClip]):
    dataset = ClipDataset(folder, clips, VIEW, sampling=Sampling(stride=2, max_frames=7))
    assert dataset.lengths == [3, 6, 1, 7, 4]
    for index, clip in enumerate(clips):
        item = item_of(dataset, index)
        taken = Sampling(stride=2, max_frames=7).sample(clip.num_frames)
        expected = read_clip(folder / clip.file)[taken, 3:26, 3:26].transpose(0, 3, 1, 2)
        assert item.frames.dtype == torch.uint8 and item.frames.is_contiguous()
        assert item.frames.shape == (dataset.lengths[index], 3, CROP, CROP)
        np.testing.assert_array_equal(item.frames.numpy(), expected)
        assert (item.ids, item.texts, item.labels, item.targets) == ((clip.id,), (clip.text,), None, {})


def test_random_draws_depend_on_seed_epoch_and_id_only(folder: Path, clips: list[PackedClip]):
    def frames(order: list[PackedClip], seed: int, epoch: int, index: int) -> torch.Tensor:
        dataset = ClipDataset(folder, order, VIEW, sampling=Sampling(stride=3), augment=True, seed=seed)
        dataset.set_epoch(epoch)
        return item_of(dataset, index).frames

    reference = frames(clips, 1, 4, 3)
    assert torch.equal(reference, frames(clips, 1, 4, 3))
    assert torch.equal(reference, frames(clips[::-1], 1, 4, 1)), "the place in the corpus must not matter"
    assert not torch.equal(reference, frames(clips, 2, 4, 3))
    assert not torch.equal(reference, frames(clips, 1, 5, 3))
    draws = {clip_rng(seed, epoch, name).random() for seed in (0, 1) for epoch in (0, 1, 11) for name in ("1", "11")}
    assert len(draws) == 12
    assert clip_rng(0, 1, "ä").random() == pytest.approx(0.7672768984993973)  # the same on every machine


def test_the_cache_changes_no_pixel(folder: Path, clips: list[PackedClip]):
    everything = sum(LENGTHS) * SIZE * SIZE * 3
    plain = ClipDataset(folder, clips, VIEW, sampling=Sampling(stride=2), augment=True, seed=3)
    for limit, kept in ((everything, 5), (everything - 1, 4), (16 * SIZE * SIZE * 3, 2), (0, 0)):
        cached = ClipDataset(folder, clips, VIEW, sampling=Sampling(stride=2), augment=True, seed=3, cache_bytes=limit)
        assert cached.cache.kept == kept
        for epoch in (0, 1, 2):
            plain.set_epoch(epoch)
            cached.set_epoch(epoch)
            for index in range(len(clips)):
                assert torch.equal(item_of(plain, index).frames, item_of(cached, index).frames)
        assert [cached.cache.get(index) is not None for index in range(5)] == [index < kept for index in range(5)]


def test_a_cached_clip_is_not_read_again(folder: Path, clips: list[PackedClip], monkeypatch: pytest.MonkeyPatch):
    dataset = ClipDataset(folder, clips, VIEW, cache_bytes=10**7)
    first = item_of(dataset, 1).frames
    monkeypatch.setattr("glossfree.video.dataset.read_clip", lambda *_: pytest.fail("read twice"))
    assert torch.equal(first, item_of(dataset, 1).frames)


def test_labels_and_targets_belong_to_their_clip(folder: Path, clips: list[PackedClip]):
    glosses = {clip.id: np.eye(5, dtype=np.float32)[number] for number, clip in enumerate(clips)}
    signers = {clip.id: np.full((2, 3), number) for number, clip in enumerate(clips)}
    targets = {"pseudo_glosses": glosses, "signers": signers}
    dataset = ClipDataset(folder, clips, VIEW, encode=encode, targets=targets)
    batch = collate([dataset[index] for index in (3, 0, 2)])
    assert not isinstance(batch, ClipError)
    assert batch.ids == ("clip-3", "clip-0", "clip-2") and batch.texts == (TEXTS[3], TEXTS[0], TEXTS[2])
    assert batch.lengths.tolist() == [17, 5, 2] and batch.frames.shape == (24, 3, CROP, CROP)
    assert torch.equal(batch.frames[17:22], item_of(dataset, 0).frames)
    assert batch.labels is not None
    assert batch.labels.tolist() == [[8, 2, -100, -100], [8, 5, 8, 2], [5, 8, 7, 2]]
    assert batch.labels.dtype == torch.int64
    dtypes = {name: target.dtype for name, target in batch.targets.items()}
    assert dtypes == {"pseudo_glosses": torch.float32, "signers": torch.int64}
    assert batch.targets["pseudo_glosses"].argmax(dim=1).tolist() == [3, 0, 2]
    assert batch.targets["signers"].shape == (3, 2, 3)
    assert batch.targets["signers"][:, 0, 0].tolist() == [3, 0, 2]


@pytest.mark.parametrize("name", ["pseudo_glosses", "vectors"])
def test_targets_that_lack_a_clip_are_refused_by_name(folder: Path, clips: list[PackedClip], name: str):
    every = {clip.id: np.ones(3) for clip in clips}
    some = {id: target for id, target in every.items() if id != "clip-4"}
    targets = {"pseudo_glosses": every, "vectors": every} | {name: some}
    with pytest.raises(ValueError, match=f"{name} lack 1 clips, the first is 'clip-4'"):
        ClipDataset(folder, clips, VIEW, targets=targets)


def broken(folder: Path, clips: list[PackedClip], tmp_path: Path) -> list[PackedClip]:
    """The same clips; clip-1 is cut off, clip-3 is missing."""
    (tmp_path / "cut.mp4").write_bytes((folder / "1.mp4").read_bytes()[:200])
    files = [str(folder / clip.file) for clip in clips]
    files[1], files[3] = str(tmp_path / "cut.mp4"), str(tmp_path / "missing.mp4")
    return [
        PackedClip(clip.id, clip.split, clip.text, file, clip.num_frames, clip.fps)
        for clip, file in zip(clips, files, strict=True)
    ]


def test_a_bad_clip_stops_with_its_id_and_path(folder: Path, clips: list[PackedClip], tmp_path: Path):
    dataset = ClipDataset(folder, broken(folder, clips, tmp_path), VIEW)
    with pytest.raises(ClipError, match=r"clip clip-1 \(.*cut\.mp4\): .* -> ") as caught:
        dataset[1]
    assert "\n" not in str(caught.value)
    item_of(dataset, 0)


def test_a_bad_clip_is_skipped_and_counted(folder: Path, clips: list[PackedClip], tmp_path: Path):
    dataset = ClipDataset(folder, broken(folder, clips, tmp_path), VIEW, encode=encode, on_bad_clip="skip")
    batch = collate([dataset[index] for index in (2, 1, 0)])
    assert not isinstance(batch, ClipError)
    assert batch.ids == ("clip-2", "clip-0") and batch.lengths.tolist() == [2, 5]
    assert dataset.bad_clips() == ["clip-1"]
    nothing = collate([dataset[1], dataset[3]])
    assert not isinstance(nothing, ClipError)
    assert len(nothing) == 0
    assert dataset.bad_clips() == ["clip-1", "clip-3"]


@pytest.mark.parametrize(("frame_size", "num_frames"), [(32, 5), (SIZE, 4), (SIZE, 6)])
@pytest.mark.parametrize("cache_bytes", [0, 10**7])
def test_a_file_that_the_manifest_does_not_describe_is_refused(
    folder: Path, frame_size: int, num_frames: int, cache_bytes: int
):
    clip = PackedClip("other", "train", "wind", "0.mp4", num_frames, 25.0)
    dataset = ClipDataset(folder, [clip], View(frame_size, CROP), cache_bytes=cache_bytes)
    if num_frames < 5 and not cache_bytes:
        assert len(item_of(dataset, 0).frames) == 4  # only the frames asked for are read: a longer file goes unseen
    else:
        with pytest.raises(ClipError, match="clip other"):
            dataset[0]


@pytest.mark.parametrize(("level", "width"), [("frame_features", 7), ("segment_features", 5)])
def test_features_are_batched_like_frames(clips: list[PackedClip], level: str, width: int):
    features = {clip.id: torch.full((clip.num_frames, width), float(index)) for index, clip in enumerate(clips)}
    dataset = in_memory(features, clips, level=level, encode=encode)
    assert dataset.lengths == list(LENGTHS) and len(dataset) == 5
    batch = collate([dataset[4], dataset[1]])
    assert not isinstance(batch, ClipError)
    assert batch.level == level and batch.frames.shape == (19, width) and batch.lengths.tolist() == [8, 11]
    assert batch.frames[:8].unique().tolist() == [4.0] and batch.frames[8:].unique().tolist() == [1.0]
    with pytest.raises(ValueError, match="'clip-2'"):
        in_memory({k: v for k, v in features.items() if k != "clip-2"}, clips, level="frame_features")


def test_a_clip_without_features_is_left_out_and_counted(clips: list[PackedClip]):
    features = {clip.id: torch.full((clip.num_frames, 3), float(index)) for index, clip in enumerate(clips)}
    del features["clip-2"], features["clip-4"]
    dataset = in_memory(features, clips, level="segment_features", on_bad_clip="skip")
    assert dataset.bad_clips() == ["clip-2", "clip-4"]
    assert dataset.lengths == [LENGTHS[index] for index in (0, 1, 3)]
    item = dataset[2]
    assert item.ids == ("clip-3",) and item.frames.unique().tolist() == [3.0]


@pytest.mark.parametrize("augment", [True, False])
def test_frames_cropped_later_are_those_cropped_now(folder: Path, clips: list[PackedClip], augment: bool):
    datasets = [
        ClipDataset(
            folder, clips, VIEW, sampling=Sampling(stride=2), augment=augment, seed=3, encode=encode, crop_later=later
        )
        for later in (False, True)
    ]
    now, later = (collate([dataset[index] for index in range(len(clips))]) for dataset in datasets)
    assert isinstance(now, ClipBatch) and isinstance(later, ClipBatch)
    assert later.views is not None and later.views.shape == (5, 2, 3)
    assert later.frames.shape == (len(now.frames), SIZE, SIZE, 3) and later.frames.dtype == torch.uint8
    moved = later.prepared("cpu")
    assert moved.frames.shape == now.frames.shape and torch.equal(moved.lengths, now.lengths)
    assert now.labels is not None and moved.labels is not None and torch.equal(moved.labels, now.labels)
    difference = (moved.frames.int() - now.frames.int()).abs()
    assert int(difference.max()) <= (1 if augment else 0)


NUM_FRAMES, SIDE = (3, 2, 5), 4
FRAME = SIDE * SIDE * 3


def filled(index: int) -> np.ndarray:
    return np.random.default_rng(index).integers(1, 256, size=(NUM_FRAMES[index], SIDE, SIDE, 3), dtype=np.uint8)


@pytest.mark.parametrize(("limit", "kept"), [(0, 0), (3 * FRAME - 1, 0), (3 * FRAME, 1), (9 * FRAME, 2), (10**6, 3)])
def test_the_first_clips_that_fit_are_kept(limit: int, kept: int):
    cache = FrameCache(NUM_FRAMES, SIDE, limit)
    assert cache.kept == kept
    for index in range(kept):
        assert cache.get(index) is None
        cache.put(index, filled(index))
    for index in range(3):
        frames = cache.get(index)
        assert (frames is not None) == (index < kept)
        if frames is not None:
            np.testing.assert_array_equal(frames, filled(index))


@pytest.mark.skipif(sys.platform != "linux", reason="workers are forked on Linux only")
def test_forked_workers_share_the_cache():
    cache = FrameCache(NUM_FRAMES, SIDE, 10**6)
    worker = multiprocessing.get_context("fork").Process(target=cache.put, args=(2, filled(2)))
    worker.start()
    worker.join()
    frames = cache.get(2)
    assert frames is not None and cache.get(0) is None
    np.testing.assert_array_equal(frames, filled(2))


def test_a_pickled_cache_arrives_empty():
    cache = FrameCache(NUM_FRAMES, SIDE, 10**6)
    cache.put(1, filled(1))
    copy = pickle.loads(pickle.dumps(cache))
    assert copy.kept == 3 and copy.get(1) is None
    assert cache.get(1) is not None


def test_no_clips_need_no_memory():
    assert FrameCache([], SIDE, 10**6).kept == 0
