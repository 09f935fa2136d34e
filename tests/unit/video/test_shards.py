"""Loose clips -> shards, and back through every way in which clips are read."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from benchmarks.object_store import Store, object_store

from glossfree.console import Silent
from glossfree.corpora.inspection import inspect
from glossfree.corpora.manifest import Manifest
from glossfree.corpora.remote import local_folder
from glossfree.errors import ClipError, CorpusError
from glossfree.files.disk import alone_in
from glossfree.files.parts import Part
from glossfree.video.batch import ClipBatch
from glossfree.video.corpus import prepare_corpus
from glossfree.video.dataset import ClipDataset
from glossfree.video.features import clip_identities
from glossfree.video.frames import View
from glossfree.video.pack import Packing, read_clip
from glossfree.video.prepare import PrepareResult
from glossfree.video.sampler import ClipLoader, ClipSampler
from glossfree.video.shards import write_shards

COUNTS = {"train": 9, "dev": 3, "test": 3}
SMALL = 0.04  # MB: three or four clips


def prepared(out: Path, shards: int = 0, **options: object) -> PrepareResult:
    return prepare_corpus(
        "wetter", out, Packing(64), console=Silent(), counts=COUNTS, workers=1, shards=shards, **options
    )


@pytest.fixture(scope="module")
def loose(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("loose") / "corpus"
    prepared(folder)
    return folder


@pytest.fixture(scope="module", autouse=True)
def no_faces() -> Iterator[None]:
    """Finding the signers of a corpus takes most of `prepare` here; tests/unit/video/test_signer.py is about it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("glossfree.video.signer._faces", lambda _: [])
        yield


@pytest.fixture
def corpus(loose: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(loose, tmp_path / "corpus"))


@contextmanager
def at_an_address(folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Store, Path]]:
    """A store that serves the folder's parent, and the local copy of the folder."""
    monkeypatch.setenv("GLOSSFREE_CACHE", str(cache))
    with object_store(folder.parent) as store:
        yield store, local_folder(f"{store.address}/{folder.name}")


def frames_of(folder: Path) -> dict[str, np.ndarray]:
    return {clip.id: read_clip(clip.source(folder)) for clip in Manifest.load(folder)}


def same(first: dict[str, np.ndarray], second: dict[str, np.ndarray]) -> bool:
    return first.keys() == second.keys() and all(np.array_equal(first[name], second[name]) for name in first)


def test_shards_hold_the_same_bytes_and_nothing_else_is_left(loose: Path, corpus: Path) -> None:
    before = Manifest.load(loose)
    sharded = write_shards(Manifest.load(corpus), SMALL)
    assert same(frames_of(corpus), frames_of(loose))
    assert [replace(clip, shard=None) for clip in Manifest.load(corpus)] == list(before)
    assert len({clip.shard.file for clip in sharded if clip.shard}) == len(list((corpus / "shards").iterdir())) > 4
    assert not [path for path in (corpus / "clips").rglob("*") if path.is_file()]
    assert clip_identities(corpus, sharded.clips) == clip_identities(loose, before.clips), (
        "features would be made again"
    )
    assert inspect(corpus).problems == inspect(loose).problems
    assert inspect(corpus).total == inspect(loose).total


def test_shards_are_webdatasets(corpus: Path) -> None:
    manifest = Manifest.load(corpus)
    manifest = replace(manifest, clips=(replace(manifest.clips[0], id="a.b/ü"), *manifest.clips[1:]))
    first, *_ = write_shards(manifest, SMALL).clips
    assert first.shard is not None
    with tarfile.open(corpus / first.shard.file) as tar:
        names = tar.getnames()
        keys = [name.partition(".")[0] for name in names]
        assert keys[::2] == keys[1::2] and len(set(keys)) == len(keys) / 2
        assert {name.partition(".")[2] for name in names} == {"mp4", "json"}
        about = json.load(tar.extractfile(names[1]) or pytest.fail("no file"))
        assert (about["id"], about["text"]) == ("a.b/ü", first.text)
        assert all(member.size <= SMALL * 1e6 for member in tar)


def test_packing_again_keeps_shards_and_makes_only_what_has_changed(corpus: Path) -> None:
    result = prepared(corpus, shards=1)
    assert (result.packed, result.skipped) == (0, 15)
    names = {path.name: path.stat().st_mtime_ns for path in (corpus / "shards").iterdir()}
    for shards in (0, 1):
        again = prepared(corpus, shards=shards)
        assert (again.packed, again.skipped) == (0, 15)
        assert {path.name: path.stat().st_mtime_ns for path in (corpus / "shards").iterdir()} == names
    (corpus / "shards" / next(name for name in names if name.startswith("dev"))).unlink()
    mended = prepared(corpus, shards=1)
    assert (mended.packed, mended.skipped) == (3, 12)
    assert {path.name for path in (corpus / "shards").iterdir()} == set(names)


def test_a_folder_that_has_lost_its_journal_is_sharded_as_well(loose: Path, corpus: Path) -> None:
    (corpus / "packed.jsonl").unlink()
    write_shards(Manifest.load(corpus), SMALL)
    assert same(frames_of(corpus), frames_of(loose))


def test_packing_fewer_clips_loses_none_of_the_others(corpus: Path) -> None:
    prepared(corpus, shards=1)
    names = {path.name for path in (corpus / "shards").iterdir()}
    few = prepared(corpus, shards=1, limit=2)
    assert (few.packed, few.skipped, len(Manifest.load(corpus).clips)) == (0, 6, 6)
    again = prepared(corpus, shards=1)
    assert (again.packed, again.skipped) == (0, 15)
    assert {path.name for path in (corpus / "shards").iterdir()} == names


def test_clips_that_are_packed_anew_leave_no_shards_of_the_old_ones(loose: Path, corpus: Path) -> None:
    prepared(corpus, shards=1)
    journal = (corpus / "packed.jsonl").read_text()
    (corpus / "packed.jsonl").write_text(re.sub(r'"fingerprint": "[^"]*"', '"fingerprint": "another"', journal))
    assert prepared(corpus).packed == 15
    assert not list((corpus / "shards").iterdir())
    assert Manifest.load(corpus).clips == Manifest.load(loose).clips


def test_a_shard_that_was_cut_off_is_written_again(loose: Path, corpus: Path) -> None:
    prepared(corpus, shards=1)
    for path in (corpus / "shards").iterdir():
        path.write_bytes(path.read_bytes()[:1000])
    mended = prepared(corpus, shards=1)
    assert (mended.packed, mended.skipped) == (15, 0)
    assert same(frames_of(corpus), frames_of(loose))


def test_two_at_once_are_refused_and_nothing_is_lost(loose: Path, corpus: Path) -> None:
    with alone_in(corpus):
        for work in (lambda: prepared(corpus), lambda: write_shards(Manifest.load(corpus), SMALL)):
            with pytest.raises(CorpusError, match="another process"):
                work()
    assert same(frames_of(corpus), frames_of(loose))


@pytest.mark.parametrize("file", ["../../etc/hosts", "http://127.0.0.1:9/secret", 5])
def test_the_journal_cannot_name_what_lies_elsewhere(corpus: Path, file: object) -> None:
    lines = [json.loads(line) for line in (corpus / "packed.jsonl").read_text().splitlines()]
    changed = [{**line, "num_bytes": 9, "shard": {"file": file, "offset": 0, "size": 9}} for line in lines]
    (corpus / "packed.jsonl").write_text("".join(json.dumps(line) + "\n" for line in changed))
    assert prepared(corpus, shards=1).packed == 15


def test_other_sizes_move_clips_from_shards_to_shards(loose: Path, corpus: Path) -> None:
    write_shards(Manifest.load(corpus), 1)
    write_shards(Manifest.load(corpus), SMALL)
    assert same(frames_of(corpus), frames_of(loose))


def test_a_clip_that_cannot_be_read_is_named_and_nothing_is_lost(corpus: Path) -> None:
    write_shards(Manifest.load(corpus), 1)
    clip = Manifest.load(corpus).clips[0]
    assert clip.shard is not None
    path = corpus / clip.shard.file
    path.write_bytes(path.read_bytes()[: clip.shard.offset + 10])
    with pytest.raises(CorpusError, match=path.name):
        write_shards(Manifest.load(corpus), SMALL)
    with pytest.raises(ClipError, match=path.name):
        read_clip(clip.source(corpus))
    assert any("missing" in problem for problem in inspect(corpus).problems)


KILLED = """
import os, sys, signal
from glossfree.corpora.manifest import Manifest
from glossfree.video import shards
left = int(sys.argv[2])
def dies(function):
    def wrapper(*given, **named):
        global left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*given, **named)
    return wrapper
shards._write, shards.write_journal = dies(shards._write), dies(shards.write_journal)
Manifest.save, shards.remove_unused = dies(Manifest.save), dies(shards.remove_unused)
from pathlib import Path
Path.unlink = dies(Path.unlink)
shards.write_shards(Manifest.load(sys.argv[1]), float(sys.argv[3]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("was_sharded", [False, True])
def test_killed_at_any_moment_every_clip_can_be_read_and_the_next_run_ends_it(
    loose: Path, tmp_path: Path, was_sharded: bool
) -> None:
    deaths, expected = 0, frames_of(loose)
    for moment in range(0, 60, 3):
        corpus = Path(shutil.copytree(loose, tmp_path / f"corpus{moment}"))
        if was_sharded:
            write_shards(Manifest.load(corpus), 1)
        command = (sys.executable, "-c", KILLED, corpus, str(moment), str(SMALL))
        code = subprocess.run(command, env={**os.environ, "OMP_NUM_THREADS": "1"}, check=False).returncode
        assert code in (0, -signal.SIGKILL)
        deaths += code != 0
        assert same(frames_of(corpus), expected), f"killed at {moment}"
        again = prepared(corpus, shards=1)
        assert (again.packed, again.skipped) == (0, 15)
        assert same(frames_of(corpus), expected)
        assert len(list((corpus / "shards").iterdir())) == 3
        if code == 0:
            break
    assert deaths > 3


def batches(folder: Path, num_workers: int, *, epoch: int = 1, position: int = 0) -> list[ClipBatch]:
    clips = Manifest.load(folder).split("train")
    dataset = ClipDataset(folder, clips, View(64, 56, 1.0), augment=True, seed=5, encode=lambda text: [len(text), 2])
    loader = ClipLoader(
        dataset, ClipSampler(dataset.lengths, batch_size=4, shuffle=True, seed=5), num_workers=num_workers
    )
    loader.set_epoch(epoch, position)
    return list(loader)


def assert_same_batches(first: list[ClipBatch], second: list[ClipBatch]) -> None:
    assert [batch.ids for batch in first] == [batch.ids for batch in second]
    for one, other in zip(first, second, strict=True):
        assert torch.equal(one.frames, other.frames)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_steps_are_the_same_from_files_shards_and_an_address(
    loose: Path, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, num_workers: int
) -> None:
    expected = batches(loose, 0)
    write_shards(Manifest.load(corpus), SMALL)
    assert_same_batches(batches(corpus, num_workers), expected)
    with at_an_address(corpus, tmp_path / "cache", monkeypatch) as (store, copy):
        assert_same_batches(batches(copy, num_workers), expected)
        assert len(expected[2].ids) == 4
        store.most_at_once, store.awaited = 0, 4
        assert_same_batches(batches(copy, num_workers, position=2), expected[2:])
        assert store.most_at_once >= 4, "the clips of a batch are asked for together"


def test_a_copy_follows_its_address_and_keeps_what_was_made_in_it(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_shards(Manifest.load(corpus), SMALL)
    with at_an_address(corpus, tmp_path / "cache", monkeypatch) as (store, copy):
        assert [clip.id for clip in Manifest.load(copy)] == [clip.id for clip in Manifest.load(corpus)]
        assert inspect(copy).total == inspect(corpus).total
        (copy / "pseudo_glosses.json").write_text("made here")
        before = (copy / "manifest.jsonl").stat().st_mtime_ns
        address = f"{store.address}/{corpus.name}"
        assert local_folder(address) == copy == local_folder(Path(address))  # type: ignore[arg-type]
        assert (copy / "manifest.jsonl").stat().st_mtime_ns == before
        assert (copy / "pseudo_glosses.json").read_text() == "made here"
        lines = (corpus / "manifest.jsonl").read_text().splitlines(keepends=True)
        (corpus / "manifest.jsonl").write_text("".join(lines[:-1]))
        assert len(Manifest.load(local_folder(address)).clips) == 14
        with pytest.raises(CorpusError, match=r"no manifest\.jsonl"):
            local_folder(f"{store.address}/other")


@pytest.mark.parametrize("file", ["../corpus.json", "/etc/hosts", "shards/../../x", "C:\\x", "\\\\host\\x"])
def test_no_shard_outside_the_folder_is_read(corpus: Path, file: str) -> None:
    lines = (corpus / "manifest.jsonl").read_text().splitlines()
    first = json.loads(lines[0])
    first["shard"] = {"file": file, "offset": 0, "size": 5}
    (corpus / "manifest.jsonl").write_text("\n".join([json.dumps(first), *lines[1:]]) + "\n")
    with pytest.raises(CorpusError, match="lie in the folder"):
        Manifest.load(corpus)


def test_a_folder_asks_no_server_that_the_user_has_not_named(corpus: Path) -> None:
    clip = Manifest.load(corpus).clips[0]
    far = replace(clip, shard=Part("http://127.0.0.1:9/train.tar", 0, 5))
    (corpus / "manifest.jsonl").write_text(far.to_json() + "\n")
    with pytest.raises(CorpusError, match=r"127\.0\.0\.1.*--corpus ADDRESS"):
        Manifest.load(corpus)


def test_loose_files_at_an_address_are_refused(loose: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLOSSFREE_CACHE", str(tmp_path))
    with object_store(loose.parent) as store, pytest.raises(CorpusError, match="--shards"):
        local_folder(f"{store.address}/{loose.name}")


def test_a_server_without_ranges_is_named_before_anything_is_read(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_shards(Manifest.load(corpus), SMALL)
    monkeypatch.setenv("GLOSSFREE_CACHE", str(tmp_path / "cache"))
    with object_store(corpus.parent) as store:
        store.ranges = False
        with pytest.raises(CorpusError, match="whole files only"):
            local_folder(f"{store.address}/{corpus.name}")


def test_a_shard_that_goes_away_is_a_bad_clip(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_shards(Manifest.load(corpus), SMALL)
    with at_an_address(corpus, tmp_path / "cache", monkeypatch) as (_, copy):
        clips = Manifest.load(copy).split("train")
        first = clips[0].shard
        assert isinstance(first, Part)
        gone = {clip.id for clip in clips if clip.shard is not None and clip.shard.file == first.file}
        (corpus / "shards" / Path(first.file).name).unlink()
        dataset = ClipDataset(copy, clips, View(64, 56), on_bad_clip="skip")
        dataset.__getitems__(range(len(clips)))
        assert set(dataset.bad_clips()) == gone
        with pytest.raises(ClipError, match=clips[0].id):
            ClipDataset(copy, clips, View(64, 56)).__getitems__([0, 8])


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    """A server of S3 in this process, with an empty bucket "bucket" -> what copies files there."""
    boto3, server = pytest.importorskip("boto3"), pytest.importorskip("moto.server")
    s3fs = pytest.importorskip("s3fs")
    started = server.ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    started.start()
    host, port = started.get_host_and_port()
    for name, value in {
        "ENDPOINT_URL": f"http://{host}:{port}",
        "ACCESS_KEY_ID": "x",
        "SECRET_ACCESS_KEY": "y",
    }.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("GLOSSFREE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("glossfree.files.parts.PAUSES", ())
    s3fs.S3FileSystem.clear_instance_cache()
    client = boto3.client("s3")
    client.create_bucket(Bucket="bucket")
    yield client
    started.stop()
    s3fs.S3FileSystem.clear_instance_cache()


def test_clips_are_read_from_a_bucket_of_s3(loose: Path, corpus: Path, bucket: Any) -> None:
    write_shards(Manifest.load(corpus), SMALL)
    for path in (path for path in corpus.rglob("*") if path.is_file()):
        bucket.upload_file(str(path), "bucket", f"data/corpus/{path.relative_to(corpus).as_posix()}")
    assert same(frames_of(local_folder("s3://bucket/data/corpus")), frames_of(loose))
    for address in ("s3://bucket/data/none", "s3://none/data/corpus"):
        with pytest.raises(CorpusError, match=f"{address}: no manifest.jsonl"):
            local_folder(address)


def test_a_bucket_that_does_not_answer_is_named(bucket: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(CorpusError, match=r"s3://bucket/corpus: manifest.jsonl cannot be read \(Could not connect"):
        local_folder("s3://bucket/corpus")
