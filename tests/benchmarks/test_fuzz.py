"""Random damage: what a case is, what counts as a finding, and 300 cases that find nothing."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from pathlib import Path

import pytest
from benchmarks.mutations import BY_SUFFIX, BYTES, change_value, mutate

from benchmarks import fuzz, fuzz_seeds
from glossfree.errors import CorpusError


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fuzz_seeds.make(tmp_path_factory.mktemp("seeds"))


@pytest.mark.slow
def test_three_hundred_cases_find_nothing(seeds: Path) -> None:
    report = fuzz.measure(300, seed=1, seeds=seeds)
    assert dict(report.findings) == {}, report.to_text()
    assert report.counts.keys() == fuzz.KINDS.keys()
    totals = [sum(counts[ended] for counts in report.counts.values()) for ended in (fuzz.REFUSED, fuzz.ACCEPTED)]
    assert sum(totals) == 300 and min(totals) > 50  # the damage is neither too coarse nor too fine


@pytest.mark.parametrize("number", [0, 7, 9, 13])
def test_a_case_is_the_same_for_its_seed_and_number(seeds: Path, tmp_path: Path, number: int) -> None:
    made = []
    for name in "ab":
        (tmp_path / name).mkdir()
        kind, command, path = fuzz.prepare_case(number, 5, seeds, tmp_path / name)
        place = str(tmp_path / name)
        made.append(
            (kind, [word.replace(place, "") for word in command], str(path).replace(place, ""), path.read_bytes())
        )
    assert made[0] == made[1]


def test_a_damaged_model_is_signed_anew(seeds: Path, tmp_path: Path) -> None:
    from glossfree.serving.folder import verify

    number = list(fuzz.KINDS).index("signed model")
    signed = 0
    for turn in range(6):
        folder = tmp_path / str(turn)
        folder.mkdir()
        _, _, path = fuzz.prepare_case(number + turn * len(fuzz.KINDS), 3, seeds, folder)
        if path.name != "model.json":
            verify(folder / "model")
            assert path.read_bytes() != (seeds / path.relative_to(folder)).read_bytes()
            signed += 1
    assert signed


@pytest.mark.parametrize(
    ("result", "ended", "word"),
    [
        ((0, "", None), fuzz.ACCEPTED, ""),
        ((1, "", None), fuzz.ACCEPTED, ""),
        ((2, "glossfree: /x/clip.mp4: is odd -> mend it\n", None), fuzz.REFUSED, ""),
        ((2, "a line\nglossfree: /x: has no clip -> mend it\n", None), fuzz.REFUSED, ""),
        ((2, "glossfree: /y/model: is odd -> mend it\n", None), fuzz.REFUSED, ""),
        ((2, "glossfree: is odd -> mend it\n", None), fuzz.FINDING, "without a name"),
        ((2, "Usage: glossfree\n", None), fuzz.FINDING, "without a line"),
        ((139, "", None), fuzz.FINDING, "exit code 139"),
        ((1, "", ZeroDivisionError()), fuzz.FINDING, "ZeroDivisionError"),
        ((1, "", CorpusError("raised by nobody's fault")), fuzz.FINDING, "CorpusError"),
    ],
)
def test_what_a_finding_is(result: tuple[int, str, BaseException | None], ended: str, word: str) -> None:
    outcome = fuzz.judge(7, "mp4", Path("/x/clip.mp4"), ["translate", "/y/model", "/x/clip.mp4"], result)
    assert outcome.ended == ended and word in outcome.problem


def outcome_of(worker: fuzz.Watched, case: int, signal_: int | None = None) -> fuzz.Outcome:
    """What a case comes to whose process gets a signal meanwhile."""
    if signal_ is not None:
        os.kill(worker.process.pid or 0, signal.SIGSTOP)
    worker.give(case)
    if signal_ == signal.SIGKILL:
        os.kill(worker.process.pid or 0, signal_)
    while (outcome := worker.take()) is None:
        time.sleep(0.05)
    return outcome


@pytest.mark.slow
def test_a_case_that_hangs_or_ends_its_process_is_found_and_the_next_one_runs(
    seeds: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = fuzz.Watched(1, seeds)
    monkeypatch.setattr(fuzz, "SECONDS", 0.3)
    assert outcome_of(worker, 2, signal.SIGSTOP).problem == "over 0 s"
    assert outcome_of(worker, 3, signal.SIGKILL).problem == "ended the process (-9)"
    monkeypatch.setattr(fuzz, "SECONDS", 60.0)
    assert outcome_of(worker, 4).ended in (fuzz.REFUSED, fuzz.ACCEPTED)
    worker.stop()


def test_every_mutation_leaves_bytes_and_changes_some() -> None:
    contents = {".json": b'{"a": [1, 2.5],\n "b": "x"}\n', ".toml": b'a = 1\nb = "x"\n', ".model": bytes(range(99))}
    for suffix, mutations in (*BY_SUFFIX.items(), (".mp4", BYTES)):
        content = contents.get(suffix, b"id,text\n1,es taut\n2,es schneit\n")
        for mutation in set(mutations):
            damaged = [mutation(content, random.Random(number)) for number in range(20)]
            assert all(isinstance(each, bytes) for each in damaged)
            assert any(each != content for each in damaged), mutation.__name__
        assert isinstance(mutate(b"", suffix, random.Random(3)), bytes)  # also of an empty file


def test_a_changed_json_value_differs_in_one_place() -> None:
    value = {"a": [1, 2, {"b": "c"}], "d": None}
    changed = [json.dumps(change_value(value, random.Random(number))) for number in range(60)]
    assert len(set(changed)) > 25 and json.dumps(value) == '{"a": [1, 2, {"b": "c"}], "d": null}'
