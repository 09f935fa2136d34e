"""The real command line on a Ray cluster of three nodes: the same bytes as on one machine, whatever dies meanwhile."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from benchmarks.cluster import killer, nodes

from glossfree.cluster import Cluster, Lost
from glossfree.errors import CorpusError, GlossfreeError

pytest.importorskip("ray")
pytestmark = pytest.mark.slow
COUNTS = ("--train", 24, "--dev", 4, "--test", 5)


@pytest.fixture(scope="module", name="nodes")
def three_nodes() -> Iterator[Any]:
    with nodes(3) as cluster:
        yield cluster


def files(folder: Path) -> dict[str, bytes]:
    """What a folder holds, by relative path, without journals, whose lines may have any order."""
    paths = (path for path in folder.rglob("*") if path.is_file() and path.name != "packed.jsonl")
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def prepare(out: Path, *options: object) -> tuple[object, ...]:
    # of less than 64 pixels, x264 itself writes some frames a little differently each time
    return "prepare", "wetter", *COUNTS, "--frame-size", 64, "--workers", 1, "--out", out, *options, "--json"


def test_a_corpus_is_packed_the_same_while_workers_are_killed_and_a_node_goes_away(
    nodes: Any, tmp_path: Path, call: Any
) -> None:
    assert call(*prepare(tmp_path / "here")).code == 0
    engine = ("--engine", "ray", "--address", nodes.address)
    extra = nodes.add_node(num_cpus=1, object_store_memory=100 * 2**20)
    leaves = threading.Timer(2.0, lambda: nodes.remove_node(extra, allow_graceful=False))
    leaves.start()
    with killer(5) as killed:
        packed = call(*prepare(tmp_path / "there", *engine))
    leaves.join()
    assert packed.code == 0, packed.err
    assert len(killed) >= 3, "little was killed: the test shows nothing"
    assert (json.loads(packed.out)["packed"], json.loads(packed.out)["failed"]) == (33, [])
    assert files(tmp_path / "there") == files(tmp_path / "here")
    again = json.loads(call(*prepare(tmp_path / "there", *engine)).out)
    assert (again["packed"], again["skipped"]) == (0, 33)


def test_features_and_translations_are_the_same(
    nodes: Any, tiny: Any, tiny_model: Path, corpus: Path, tmp_path: Path, call: Any
) -> None:
    engine = ("--engine", "ray", "--address", nodes.address)
    for place in ("here", "there"):
        min((corpus / "clips/dev").iterdir()).write_bytes(b"no video")
        options = engine if place == "there" else ()
        made = call("features", corpus, "--encoder", tiny_model, *options, "--json")
        assert made.code == 1
        assert len(json.loads(made.out)["bad"]) == 1
        (corpus / "features").rename(tmp_path / place)
    assert files(tmp_path / "there") == files(tmp_path / "here")
    clips = (*sorted((tiny.corpus / "clips/test").iterdir()), tmp_path / "none.mp4", corpus / "clips/dev")
    here = call("translate", tiny_model, *clips, "--format", "json", "--hypotheses", 2)
    there = call("translate", tiny_model, *clips, "--format", "json", "--hypotheses", 2, *engine)
    assert (there.code, here.code) == (1, 1)
    results = [[json.loads(line) for line in each.out.splitlines()] for each in (here, there)]
    assert len(results[0]) == len(list((tiny.corpus / "clips/test").iterdir())) + 5
    assert [rounded(result) for result in results[1]] == [rounded(result) for result in results[0]]


def rounded(result: Any) -> Any:
    """Batches of other clips are padded to other lengths, which the last digits of a score show."""
    if isinstance(result, dict):
        return {key: rounded(value) for key, value in result.items()}
    if isinstance(result, list):
        return [rounded(value) for value in result]
    return pytest.approx(result, rel=1e-4) if isinstance(result, float) else result


def fails(number: int) -> int:
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def refuses(number: int) -> int:
    raise CorpusError(f"item {number}", where="there", remedy="nothing")


def test_an_item_that_kills_every_worker_is_lost_alone_and_an_error_is_raised(
    nodes: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("glossfree.cluster.RETRIES", 1)
    with Cluster(nodes.address) as cluster:
        outcomes = dict(cluster.map(fails, range(6)))
        assert {number for number, outcome in outcomes.items() if isinstance(outcome, Lost)} == {3}
        assert [outcomes[number] for number in (0, 1, 2, 4, 5)] == [0, 1, 2, 4, 5]
        with pytest.raises(CorpusError, match="there: item 0"):
            list(cluster.map(refuses, [0]))
        assert list(cluster.map(fails, [])) == []


def test_what_is_no_cluster_is_refused_in_one_line(tmp_path: Path, call: Any) -> None:
    done = call(*prepare(tmp_path / "out", "--address", "auto"))
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "--engine ray" in done.err
    began = time.monotonic()
    with pytest.raises(GlossfreeError, match="no Ray cluster"), Cluster("nonsense://x"):
        pass
    assert time.monotonic() - began < 30
