"""A clip that cannot be read, a worker that dies, a loss that is no number: training stops in one line that names it,
and keeps its checkpoint; or leaves the clip out, where the recipe says so, counts it and names it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.flow.nursery import Moment, Nursery, options, order_of, records
from tests.flow.test_processes import together
from tests.flow.test_stopped import children_of, in_a_group, wait_for

from glossfree.training.run import load_tensors

SKIP, WITHOUT_TEXT = "data.on_bad_clip=skip", "denoise.epochs=0"
STAGES = ("pretrain", "finetune1", "finetune2")


def train(tiny: Any, corpus: Path, run: Path, *overrides: str) -> tuple[object, ...]:
    changes = options(WITHOUT_TEXT, *overrides)
    return ("train", "--recipe", tiny.recipe, "--corpus", corpus, "--run", run, *changes, "--resume")


def corpus_with_bad(tiny: Any, folder: Path, count: int, split: str = "train") -> tuple[Path, dict[str, Path]]:
    """A copy of the corpus in which the second clip of a split, and so many in all, are cut off -> {id: file}."""
    shutil.copytree(tiny.corpus, folder / "corpus")
    lines = [json.loads(line) for line in (tiny.corpus / "manifest.jsonl").read_text().splitlines()]
    bad = {line["id"]: folder / "corpus" / line["file"] for line in lines if line["split"] == split}
    chosen = dict(list(bad.items())[1 : 1 + count])
    for path in chosen.values():
        path.write_bytes(path.read_bytes()[:99])
    return folder / "corpus", chosen


def refused(nursery: Nursery, *words: object) -> None:
    lines = nursery.err.splitlines()
    assert [line for line in lines if line.startswith("glossfree: ")] == lines[-1:], nursery.err
    assert "Traceback" not in nursery.err and nursery.out == "" and " -> " in lines[-1]
    assert [word for word in words if str(word) not in lines[-1]] == [], lines[-1]


@pytest.fixture(scope="module")
def with_bad(tiny: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Path]]:
    """Two of the twelve training clips are cut off."""
    return corpus_with_bad(tiny, tmp_path_factory.mktemp("bad"), 2)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_bad_clip_stops_training_with_its_id_and_path(
    tiny: Any, nursery: Nursery, with_bad: tuple[Path, dict[str, Path]], tmp_path: Path, workers: int
) -> None:
    corpus, bad = with_bad
    overrides = (f"data.num_workers={workers}", "pretrain.batch_size=6")
    assert nursery.run(*train(tiny, corpus, tmp_path / "run", *overrides)) == 2
    assert sum(f"clip {clip} ({path})" in nursery.err for clip, path in bad.items()) == 1
    refused(nursery, "cannot be read", "glossfree prepare")


def test_bad_clips_are_left_out_counted_and_named_at_the_end_of_each_stage(
    tiny: Any, nursery: Nursery, with_bad: tuple[Path, dict[str, Path]], tmp_path: Path
) -> None:
    corpus, bad = with_bad
    trained = []
    for workers in (0, 1, 2):
        run, seen = tmp_path / str(workers), tmp_path / f"seen {workers}"
        assert nursery.run(*train(tiny, corpus, run, SKIP, f"data.num_workers={workers}"), seen=seen) == 0, nursery.err
        assert json.loads((run / "skipped_clips.json").read_text()) == {
            stage: {clip: str(path) for clip, path in bad.items()} for stage in STAGES
        }
        warnings = [line for line in nursery.err.splitlines() if "could not be read" in line]
        assert [line.split(": ")[:2] for line in warnings] == [["warning", stage] for stage in STAGES]
        for line in warnings:
            assert "2 of 12 training clips" in line and all(clip in line for clip in bad)
        trained.append((records(run), order_of(seen)))
    assert trained[0] == trained[1] == trained[2]
    steps = trained[0][1]
    assert len(steps) == 9 - 1  # features are there of ten clips only, in two batches of five
    for stage in STAGES:
        clips = [clip for line in steps if line.startswith(stage) for clip in clips_of(line)]
        assert len(clips) == len(set(clips)) == 10 and not bad.keys() & set(clips)


def clips_of(line: str) -> list[str]:
    """A line of `seen` -> the ids in it."""
    return [clip for batch in json.loads(line.partition(":")[2].replace("'", '"')) for clip in batch]


@pytest.mark.slow
@pytest.mark.parametrize("overrides", [(), (SKIP,), ("pretrain.learning_rate=1e30", "pretrain.epochs=5")])
def test_of_two_processes_both_end_in_one_line_or_leave_out_the_same(
    tiny: Any, nursery: Nursery, with_bad: tuple[Path, dict[str, Path]], tmp_path: Path, overrides: tuple[str, ...]
) -> None:
    corpus, bad = with_bad if len(overrides) < 2 else (tiny.corpus, {})
    ended = together(nursery, 2, *train(tiny, corpus, tmp_path / "run", *overrides))
    lines = [line for _, _, err in ended for line in err.splitlines() if line.startswith("glossfree: ")]
    assert "Traceback" not in ended[0][2] + ended[1][2]
    if overrides == (SKIP,):
        assert [code for code, _, _ in ended] == [0, 0] and lines == []
        found = json.loads((tmp_path / "run/skipped_clips.json").read_text())
        assert found == {stage: {clip: str(path) for clip, path in bad.items()} for stage in STAGES}
        assert "2 of 12 training clips" in ended[0][2] and "training clips" not in ended[1][2]
        return
    assert [code for code, _, _ in ended] == [2, 2] and len(lines) == 2, ended
    if overrides:
        assert all("loss is nan with clips" in line for line in lines)
    else:
        assert sum(any(clip in line for clip in bad) for line in lines) >= 1
        assert all("cannot be read" in line or "another of the processes" in line for line in lines)


def test_what_was_left_out_before_a_kill_is_counted_too(
    tiny: Any, nursery: Nursery, with_bad: tuple[Path, dict[str, Path]], tmp_path: Path
) -> None:
    """The run goes on behind the last step of the last epoch: nothing is read again."""
    corpus, bad = with_bad
    command = train(tiny, corpus, tmp_path / "run", SKIP, "training.checkpoint_minutes=0")
    moment = Moment("pretrain.safetensors", "before")
    assert nursery.run(*command, kill=moment) == -signal.SIGKILL
    (tmp_path / "run/skipped_clips.json").unlink()  # written just before the weights
    assert nursery.run(*command, kill=moment) == -signal.SIGKILL
    assert json.loads((tmp_path / "run/skipped_clips.json").read_text())["pretrain"].keys() == bad.keys()


def test_a_bad_dev_clip_stops_training_even_so(tiny: Any, nursery: Nursery, tmp_path: Path) -> None:
    """Validation over other clips would be another number."""
    corpus, bad = corpus_with_bad(tiny, tmp_path, 1, "dev")
    assert nursery.run(*train(tiny, corpus, tmp_path / "run", SKIP)) == 2
    refused(nursery, *bad, *bad.values())


def test_a_corpus_that_cannot_be_read_at_all_is_named(tiny: Any, nursery: Nursery, tmp_path: Path) -> None:
    corpus, bad = corpus_with_bad(tiny, tmp_path, 99)
    first = json.loads((corpus / "manifest.jsonl").read_text().splitlines()[0])
    (corpus / first["file"]).write_bytes(b"")
    for number, stage in enumerate(STAGES[1:]):  # from video, and from features
        others = [f"{other}.epochs=0" for other in STAGES if other != stage]
        assert nursery.run(*train(tiny, corpus, tmp_path / str(number), SKIP, *others)) == 2
        refused(nursery, stage, "no clip could be read", first["id"], *bad)


def test_a_clip_left_alone_in_a_contrastive_step_is_named(tiny: Any, nursery: Nursery, tmp_path: Path) -> None:
    """Ten clips cannot be read: of the last two, each batch of five has at most both."""
    corpus, bad = corpus_with_bad(tiny, tmp_path, 10)
    clips = {json.loads(line)["id"] for line in (corpus / "manifest.jsonl").read_text().splitlines() if "train" in line}
    overrides = (SKIP, "pretrain.epochs=30", "pretrain.batch_size=2")  # in one of them they are apart
    assert nursery.run(*train(tiny, corpus, tmp_path / "run", *overrides)) == 2
    refused(nursery, "pretrain", "the only one of its step")
    assert sum(f"clip {clip} is the only one" in nursery.err for clip in clips - bad.keys()) == 1


@pytest.mark.parametrize("split", ["train", "dev"])
def test_a_split_of_one_clip_is_refused_before_anything_is_built(
    tiny: Any, nursery: Nursery, tmp_path: Path, split: str
) -> None:
    shutil.copytree(tiny.corpus, tmp_path / "corpus")
    path = tmp_path / "corpus/manifest.jsonl"
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    only = next(line["id"] for line in lines if line["split"] == split)
    kept = [line for line in lines if line["split"] != split or line["id"] == only]
    path.write_text("".join(json.dumps(line) + "\n" for line in kept), encoding="utf-8")
    assert nursery.run(*train(tiny, tmp_path / "corpus", tmp_path / "run")) == 2
    refused(nursery, tmp_path / "corpus", only, f"the only clip of {split}", "pretrain.epochs = 0")
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")
def test_a_worker_that_dies_ends_training_in_one_line_and_keeps_the_checkpoint(
    tiny: Any, nursery: Nursery, tmp_path: Path
) -> None:
    run, longer = tmp_path / "run", ("pretrain.epochs=60", "data.num_workers=2", "training.checkpoint_minutes=0")
    process = in_a_group(*train(tiny, tiny.corpus, run, *longer))
    try:
        wait_for(process, run, 9, workers=2)
        os.kill(children_of(process.pid)[0], signal.SIGKILL)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert (process.returncode, out) == (2, "")
    assert [line for line in err.splitlines() if line.startswith("glossfree: ")] == err.splitlines()[-1:], err
    assert "Traceback" not in err and "a worker process that reads clips has died" in err.splitlines()[-1]
    assert "data.num_workers" in err.splitlines()[-1] and "--resume" in err.splitlines()[-1]
    assert load_tensors(run / "checkpoints/pretrain.last.safetensors")[1]["step"] >= 5


def test_a_loss_that_is_no_number_names_the_clips_and_keeps_the_checkpoint(
    tiny: Any, nursery: Nursery, tmp_path: Path
) -> None:
    run, seen = tmp_path / "run", tmp_path / "seen"
    overrides = ("pretrain.learning_rate=1e30", "pretrain.epochs=9", "training.checkpoint_minutes=0")
    assert nursery.run(*train(tiny, tiny.corpus, run, *overrides), seen=seen) == 2
    last = clips_of(order_of(seen)[-1])
    refused(nursery, "pretrain", "last checkpoint is kept", *last)
    tensors, facts = load_tensors(run / "checkpoints/pretrain.last.safetensors")
    assert facts["step"] == len(order_of(seen)) - 1 > 0
    assert all(bool(tensor.isfinite().all()) for tensor in tensors.values() if tensor.is_floating_point())
