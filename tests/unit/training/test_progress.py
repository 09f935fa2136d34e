"""Where a run stands, worked out by hand from what it has written."""

from __future__ import annotations

import json
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from glossfree.errors import RunError
from glossfree.training import progress as module
from glossfree.training.progress import (
    GONE,
    SILENCE,
    RunStatus,
    epoch_seconds,
    read_progress,
    seconds_left,
    seconds_to_come,
    state_of,
)
from glossfree.training.run import Run
from glossfree.training.status import Planned, Status

PLANNED = [
    *(Planned("denoise", 3, "sentences"), Planned("pretrain", 5, "clips")),
    *(Planned("finetune1", 4, "segments"), Planned("finetune2", 7, "clips")),
]


def step(stage: str, epoch: int, number: int, seconds: float = 2.0, **losses: float) -> dict[str, Any]:
    named = losses or {"loss": 1.0}
    where = {"kind": "step", "stage": stage, "epoch": epoch, "step": number, "lr": 3e-4}
    return {**where, "frames": 30, "clips": 5, **named, "seconds": seconds, "waited": 0.5}


def epoch(stage: str, number: int, steps: int, clock: float, dev: float | None) -> dict[str, Any]:
    found = {} if dev is None else {"loss": dev, "contrastive": dev / 2}
    where = {"kind": "epoch", "stage": stage, "epoch": number, "step": steps, "seconds": clock}
    return {**where, "train": {"loss": 9.0 - number}, "dev": found}


def a_run(folder: Path, told: Status | None, *records: dict[str, Any]) -> Run:
    run = Run(folder / "run")
    run.start("", {}, resume=False)
    for record in records:
        run.log(record)
    if told is not None:
        told.write(run)
    return run


def second_epoch() -> list[dict[str, Any]]:
    """One epoch of denoise; of pretrain one of three steps and two steps more, which took 4 s each."""
    return [
        *(step("denoise", 0, 1), epoch("denoise", 0, 1, 21.0, None)),
        *(step("pretrain", 0, n, 10.0) for n in (1, 2, 3)),
        epoch("pretrain", 0, 3, 36.0, 2.5),
        *(step("pretrain", 1, n, 4.0, loss=3.5, contrastive=0.25) for n in (4, 5)),
    ]


def test_a_live_run(tmp_path: Path) -> None:
    told = Status(planned=PLANNED, stage="pretrain", epochs=5, steps=15, step=3, memory=2_500_000_000, skipped=2)
    told.started -= 100
    run = a_run(tmp_path, told, *second_epoch())
    run.checkpoint("pretrain", "last").parent.mkdir()
    run.checkpoint("pretrain", "last").write_text("")
    os.utime(run.checkpoint("pretrain", "last"), (time.time() - 70, time.time() - 70))
    found = read_progress(run.folder)
    assert (found.state, found.stage, found.epoch, found.epochs, found.step, found.steps) == (
        "training",
        "pretrain",
        2,
        5,
        5,
        15,
    )
    assert found.losses == {"loss": 3.5, "contrastive": 0.25}
    assert (found.train_losses, found.dev_losses) == ({"loss": 9.0}, {"loss": 2.5, "contrastive": 1.25})
    assert (found.best_loss, found.best_epoch, found.learning_rate) == (2.5, 1, 3e-4)
    assert found.speed == pytest.approx(150 / 38) and found.waiting == pytest.approx(2.5 / 38)
    # 10 of 15 steps are left of five epochs of 36 s; then seven of finetune2; nothing is known of segments
    assert found.stage_seconds_left == pytest.approx(36 * 5 * 10 / 15)
    assert found.all_seconds_left == pytest.approx(36 * 5 * 10 / 15 + 7 * 36)
    assert found.without == ("finetune1",)
    assert found.elapsed_seconds == pytest.approx(100, abs=5)
    assert found.checkpoint_seconds_ago == pytest.approx(70, abs=5)
    assert (found.memory_bytes, found.skipped_clips, found.pid) == (2_500_000_000, 2, os.getpid())
    text = found.to_text()
    for words in (
        *("training", f"{os.getpid()} on ", "pretrain, epoch 2 of 5, step 5 of 15", "loss 3.5  contrastive 0.25"),
        *(
            "loss 2.5 in epoch 1",
            "4 frames/s, 7 % of the time waiting for data, learning rate 0.0003",
            "2.5 GB at most",
        ),
        *("the stage about 2 min more, all stages without finetune1 about 6 min", "70 s old", "2 clips"),
    ):
        assert words in text, text
    assert json.loads(json.dumps(found.to_dict()))["without"] == ["finetune1"]
    assert list(found.to_dict()) == list(RunStatus.__annotations__)


def test_a_run_that_was_killed_a_while_ago(tmp_path: Path) -> None:
    told = Status(planned=PLANNED, stage="pretrain", epochs=5, steps=15, step=3, process="1")
    told.started -= 500
    run = a_run(tmp_path, told, *second_epoch())
    told.pid = 2**22 + 1  # beyond the numbers that Linux gives
    told.write(run)
    for path in (run.folder / "status.json", run.steps):
        os.utime(path, (time.time() - 300, time.time() - 300))
    text = json.loads((run.folder / "status.json").read_text())
    (run.folder / "status.json").write_text(json.dumps({**text, "written": time.time() - 450}))
    os.utime(run.steps, (time.time() - 300, time.time() - 300))
    found = read_progress(run.folder)
    assert found.state == GONE
    assert (found.step, found.losses["loss"]) == (5, 3.5)
    assert (found.stage_seconds_left, found.all_seconds_left, found.checkpoint_seconds_ago) == (None, None, None)
    assert found.sign_seconds_ago == pytest.approx(300, abs=5), "its last line, not its last status"
    assert found.elapsed_seconds == pytest.approx(200, abs=5), "until then"
    assert GONE in found.to_text() and "more" not in found.to_text()


@pytest.mark.parametrize("state", ["stopped", "failed", "finished"])
def test_a_run_that_is_over(tmp_path: Path, state: str) -> None:
    told = Status(state=state, planned=PLANNED, stage="pretrain", epochs=5, steps=15, step=5, problem="a reason")
    found = read_progress(a_run(tmp_path, told, *second_epoch()).folder)
    assert (found.state, found.stage_seconds_left, found.epoch) == (state, None, 2)
    assert f"{state}: a reason" in found.to_text() and "last sign" not in found.to_text()


def test_a_run_before_its_first_step_and_before_its_first_stage(tmp_path: Path) -> None:
    found = read_progress(a_run(tmp_path, Status(planned=PLANNED, stage="denoise", epochs=3, steps=9)).folder)
    assert (found.epoch, found.step, found.losses, found.stage_seconds_left, found.without) == (1, 0, {}, None, (
        "pretrain", "finetune1", "finetune2",
    ))  # fmt: skip
    assert "denoise, epoch 1 of 3, step 0 of 9" in found.to_text()
    (tmp_path / "b").mkdir()
    found = read_progress(a_run(tmp_path / "b", Status(planned=PLANNED)).folder)
    assert (found.stage, found.stage_seconds_left, found.state) == (None, None, "training")
    assert "stage" not in found.to_text()


def test_the_speed_is_that_of_the_last_steps(tmp_path: Path) -> None:
    slow, fast = ([step("pretrain", 0, n, seconds) for n in numbers] for seconds, numbers in
                  ((10.0, range(1, 31)), (1.0, range(31, 31 + module.RECENT_STEPS))))  # fmt: skip
    told = Status(planned=PLANNED, stage="pretrain", epochs=5, steps=500)
    assert read_progress(a_run(tmp_path, told, *slow, *fast).folder).speed == pytest.approx(30)


@pytest.mark.parametrize(
    ("stage", "speed"), [("denoise", "2 sentences/s"), ("pretrain", "15 frames/s"), ("finetune1", "15 segments/s")]
)
def test_the_speed_is_in_the_unit_of_the_stage(tmp_path: Path, stage: str, speed: str) -> None:
    told = Status(planned=PLANNED, stage=stage, epochs=5, steps=15)
    assert f" {speed}" in read_progress(a_run(tmp_path, told, step(stage, 0, 1)).folder).to_text()


def test_a_resumed_stage_is_not_behind_its_checkpoint(tmp_path: Path) -> None:
    """The lines of steps that are to be trained again are dropped before the stage begins."""
    told = Status(planned=PLANNED, stage="pretrain", epochs=5, steps=15, step=4)
    assert read_progress(a_run(tmp_path, told, step("pretrain", 0, 3)).folder).step == 4


def test_seconds_of_an_epoch_are_the_last_few_s() -> None:
    clock = [100.0, 130.0, 150.0, 172.0, 190.0]
    records = [epoch("pretrain", n, 3 * n, seconds, 1.0) for n, seconds in enumerate(clock)]
    assert epoch_seconds(records) == pytest.approx((20 + 22 + 18) / 3)
    assert epoch_seconds(records[:1]) == 100
    assert epoch_seconds([step("pretrain", 0, 1)]) is None


def test_before_the_first_epoch_has_ended_steps_tell_but_not_the_first_two() -> None:
    records = [step("pretrain", 0, n, seconds) for n, seconds in enumerate((70.0, 30.0, 2.0, 4.0), start=1)]
    assert seconds_left(records, done=4, steps=44, epochs=4) == pytest.approx(3 * 40)
    assert seconds_left(records[:2], done=2, steps=44, epochs=4) is None
    assert seconds_left(records, done=45, steps=44, epochs=4) == 0


def test_what_is_to_come_is_told_from_the_latest_stage_of_its_kind(tmp_path: Path) -> None:
    told = Status(planned=PLANNED, stage="finetune1")
    records = [epoch("pretrain", 0, 3, 36.0, 2.5), epoch("finetune1", 0, 3, 5.0, 2.5)]
    run = a_run(tmp_path, told)
    assert seconds_to_come(told, records, run) == (7 * 36.0, ())
    told = replace(told, planned=[*PLANNED, Planned("more", 2, "clips")], stage="finetune2")
    records.append(epoch("finetune2", 0, 3, 50.0, 1.0))
    assert seconds_to_come(told, records, run) == (100.0, ())
    run.weights("more").parent.mkdir()
    run.weights("more").write_text("")
    assert seconds_to_come(told, records, run) == (0, ()), "what has finished before is not to come"
    assert seconds_to_come(replace(told, stage="pretrain"), [], run) == (None, ("finetune1", "finetune2"))


def test_of_another_machine_silence_tells() -> None:
    told = Status([], host="elsewhere.invalid")
    assert state_of(told, silence=SILENCE - 1) == "training"
    assert state_of(told, silence=SILENCE + 1) == GONE
    assert state_of(replace(told, state="failed"), silence=SILENCE + 1) == "failed"
    assert state_of(Status([]), silence=SILENCE + 1) == "training", "here its process is seen"


def test_no_run_no_status(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="is this the folder of a run"):
        read_progress(tmp_path)
    with pytest.raises(RunError, match=r"no status\.json yet"):
        read_progress(a_run(tmp_path, None).folder)


@pytest.mark.parametrize(
    "damage",
    [
        {"stage": 7},
        {"kind": None},
        {"stage": ["pretrain"]},
        {"seconds": float("nan")},
        {"step": None},
        {"loss": "low"},
        {"kind": "epoch"},
        {"kind": "epoch", "train": {}, "dev": {}},
        {"kind": "epoch", "train": {"loss": 1.0}, "dev": []},
    ],
)
def test_a_damaged_line_of_the_log_is_left_out(tmp_path: Path, damage: dict[str, Any]) -> None:
    told = Status(planned=PLANNED, stage="denoise", epochs=3, steps=9, step=2)
    good = [step("denoise", 0, 1), step("denoise", 0, 2, loss=0.5)]
    run = a_run(tmp_path, told, *good, {**step("denoise", 0, 3), **damage})
    shown = read_progress(run.folder)
    assert shown.losses == {"loss": 0.5} and shown.to_text()
