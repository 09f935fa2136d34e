"""The command line on a corpus in shards, on this disk and at an address."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from benchmarks.object_store import object_store
from tests.flow.nursery import hashes, records

from glossfree.files import parts

WORKERS = ("--set", "data.num_workers=1")


@pytest.mark.slow
def test_every_verb_takes_shards_and_an_address_and_the_run_is_the_same(
    tiny: Any, tiny_run: Path, tmp_path: Path, call: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GLOSSFREE_CACHE", str(tmp_path / "cache"))
    corpus = Path(shutil.copytree(tiny.corpus, tmp_path / "bucket/corpus"))
    counts = ("--train", 12, "--dev", 4, "--test", 5)
    sharded = ("prepare", "wetter", *counts, "--frame-size", 28, "--workers", 1, "--out", corpus, "--shards", 1)
    done = json.loads(call(*sharded, "--json").out)
    assert (done["packed"], done["skipped"]) == (0, 21)
    with object_store(tmp_path / "bucket") as store:
        address = f"{store.address}/corpus"
        for name, place, options in (("local", corpus, ()), ("far", address, WORKERS)):
            run = tmp_path / name
            trained = call("train", "--recipe", tiny.recipe, "--corpus", place, "--run", run, *options)
            assert trained.code == 0, trained.err
            assert records(run) == records(tiny_run)
            assert hashes(run, "finetune2") == hashes(tiny_run, "finetune2")
            assert call("evaluate", run, "--split", "test").code == 0
            assert (run / "predictions.test.jsonl").read_bytes() == (tiny_run / "predictions.test.jsonl").read_bytes()
        for verb in (
            ("inspect", address),
            ("glosses", address),
            ("doctor", "--corpus", address),
            ("features", address, "--encoder", run),
        ):
            assert call(*verb).code == 0, verb
        assert call("evaluate", tmp_path / "local", "--split", "dev", "--corpus", address).code == 0
        report = call("report", run)
        assert report.code == 0, report.err
    wrong = call("prepare", "wetter", "--out", address)
    assert (wrong.code, wrong.err.count("\n")) == (2, 1)
    monkeypatch.setattr(parts, "PAUSES", ())
    gone = call("inspect", "http://127.0.0.1:9/corpus")  # nobody is there
    assert gone.code == 2
    assert "cannot be read" in gone.err and gone.err.count("\n") == 1
