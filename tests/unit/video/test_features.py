"""Feature files: atomic writes, reading back, and a check that they belong to the current clip."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from glossfree.corpora.manifest import PackedClip
from glossfree.errors import ClipError, CorpusError
from glossfree.video.batch import ClipBatch, collate
from glossfree.video.dataset import FeatureDataset
from glossfree.video.features import FeatureStore, clip_identities, features_key
from glossfree.video.timeline import Sampling, Timeline

CLIPS = [PackedClip(f"c{n}", "train", f"satz {n}", f"clips/train/c{n}.mp4", length, 25.0) for n, length in
         enumerate((7, 3, 11))]  # fmt: skip


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    return FeatureStore(tmp_path, "abc", 5, "make them")


def rows(clip: PackedClip) -> torch.Tensor:
    return torch.randn(clip.num_frames, 5, generator=torch.Generator().manual_seed(clip.num_frames))


def filled(store: FeatureStore) -> FeatureStore:
    store.begin({"width": 5})
    for clip in CLIPS:
        store.write(clip, rows(clip), clip_identities(store.corpus, CLIPS)[clip.id])
    return store


def stored(store: FeatureStore, sampling: Sampling, **options: Any) -> FeatureDataset:
    lengths = {clip.id: sampling.length(Timeline.of(clip)) for clip in CLIPS if store.path(clip).is_file()}
    read = partial(store.read_sampled, sampling=sampling)
    return FeatureDataset(CLIPS, lengths, read, level="backbone_features", **options)


def test_what_fits_into_memory_is_read_once(store: FeatureStore) -> None:
    """Two clips of the three fit; all stay what they were."""
    filled(store)
    read: list[str] = []

    def reading(clip: PackedClip) -> torch.Tensor:
        read.append(clip.id)
        return store.read(clip)

    lengths = {clip.id: clip.num_frames for clip in CLIPS}
    room = sum(rows(clip).nbytes for clip in CLIPS[:2])
    dataset = FeatureDataset(CLIPS, lengths, reading, level="backbone_features", cache_bytes=room)
    for _ in range(3):
        for index, clip in enumerate(CLIPS):
            assert torch.equal(dataset[index].frames, rows(clip)) and dataset[index].ids == (clip.id,)
    assert [read.count(clip.id) for clip in CLIPS] == [1, 1, 6]


def test_a_key_follows_from_weights_and_sizes() -> None:
    keys = {
        features_key(*arguments) for arguments in (("a", 256, 224), ("b", 256, 224), ("a", 64, 224), ("a", 256, 56))
    }
    assert len(keys) == 4 and features_key("a", 256, 224) in keys
    assert features_key("a", 256, 224, 0.5) not in keys


def test_written_features_are_read_back(store: FeatureStore) -> None:
    filled(store)
    assert store.path(CLIPS[0]) == store.corpus / "features/abc/train/c0.safetensors"
    for clip in CLIPS:
        assert torch.equal(store.read(clip), rows(clip))
        assert torch.equal(store.read(clip, np.array([2, 0])), rows(clip)[[2, 0]])
    store.check(CLIPS)
    assert list(store.folder.rglob(".*")) == [] and store.not_read() == {}


def test_frames_are_sampled_as_those_of_a_video(store: FeatureStore) -> None:
    filled(store)
    dataset = stored(store, Sampling(stride=2, max_frames=4), encode=lambda text: [len(text), 2])
    assert dataset.lengths == [4, 2, 4] and len(dataset) == 3 and dataset.bad_clips() == []
    items = [dataset[index] for index in range(3)]
    assert all(isinstance(item, ClipBatch) for item in items)
    for clip, item in zip(CLIPS, items, strict=True):
        assert torch.equal(item.frames, rows(clip)[Sampling(stride=2, max_frames=4).sample(clip.num_frames)])
    batch = collate(items)
    assert batch.level == "backbone_features" and batch.frames.shape == (10, 5)


def test_missing_stale_and_damaged_files_are_listed_separately(store: FeatureStore) -> None:
    with pytest.raises(CorpusError, match="no features of these weights -> make them"):
        store.check(CLIPS)
    filled(store)
    store.path(CLIPS[0]).unlink()
    (store.corpus / "clips/train").mkdir(parents=True)
    (store.corpus / CLIPS[1].file).write_bytes(b"packed anew")
    store.path(CLIPS[2]).write_bytes(store.path(CLIPS[2]).read_bytes()[:-3])
    with pytest.raises(CorpusError, match=r"1 clips have no features \(c0\) and 2 clips were packed again.*\(c1, c2\)"):
        store.check(CLIPS)
    with pytest.raises(ClipError, match=r"clip c2 .*cannot be read"):
        store.read(CLIPS[2])
    longer = PackedClip("c1", "train", "x", CLIPS[1].file, 9, 25.0)
    with pytest.raises(ClipError, match=r"features of shape \(3, 5\) where \(9, 5\) is expected"):
        store.read(longer)


def test_rows_of_another_width_are_refused(store: FeatureStore) -> None:
    filled(store)
    wider = FeatureStore(store.corpus, "abc", 6, "make them")
    with pytest.raises(CorpusError, match=r"3 clips were packed again since, or are damaged \(c0, c1, c2\) -> make"):
        wider.check(CLIPS)
    with pytest.raises(ClipError, match=r"shape \(7, 5\) where \(7, 6\)"):
        wider.read(CLIPS[0])


def test_a_clip_that_could_not_be_read_is_left_out_only_where_that_is_asked_for(store: FeatureStore) -> None:
    filled(store)
    store.drop(CLIPS[1])
    store.drop(CLIPS[1])  # as often as one likes
    with pytest.raises(CorpusError, match=r"1 clips have no features \(c1\) -> make them"):
        store.check(CLIPS, "skip")  # nobody has tried
    store.describe({"width": 5}, {"c1": clip_identities(store.corpus, CLIPS)["c1"]})
    expected = r'1 clips could not be read \(c1\) -> pack them again .*"skip"; then make them'
    with pytest.raises(CorpusError, match=expected):
        store.check(CLIPS)
    store.check(CLIPS, "skip")
    dataset = stored(store, Sampling(stride=1, max_frames=9), on_bad_clip="skip")
    assert (dataset.lengths, dataset.bad_clips()) == ([7, 9], ["c1"])
    assert [dataset[index].ids for index in range(len(dataset))] == [("c0",), ("c2",)]
    (store.corpus / "clips/train").mkdir(parents=True)
    (store.corpus / CLIPS[1].file).write_bytes(b"packed anew: it may well be read now")
    with pytest.raises(CorpusError, match=r"1 clips have no features \(c1\)"):
        store.check(CLIPS, "skip")


def test_half_written_files_of_a_killed_run_are_removed(store: FeatureStore) -> None:
    filled(store)
    half = store.folder / "train/.c0.safetensors.123.tmp"
    half.write_bytes(b"half")
    store.begin({"width": 5})
    assert not half.exists()
    store.check(CLIPS)


def test_a_description_that_is_damaged_is_refused(store: FeatureStore) -> None:
    filled(store)
    (store.folder / "features.json").write_text("{}")
    store.check(CLIPS)  # nothing is wrong with the features
    store.drop(CLIPS[0])
    with pytest.raises(CorpusError, match=r"features.json: cannot be read .* -> make them"):
        store.check(CLIPS)


def test_a_folder_that_cannot_be_written_is_a_user_s_problem(tmp_path: Path) -> None:
    (tmp_path / "features").write_text("a file")
    store = FeatureStore(tmp_path, "abc", 5, "make them")
    with pytest.raises(CorpusError, match="cannot be written"):
        store.begin({})
    with pytest.raises(CorpusError, match="cannot be written"):
        store.write(CLIPS[0], rows(CLIPS[0]), "x")
