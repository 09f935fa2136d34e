"""What a stage under way tells: a note, estimates, status.json, trackers; and that no number depends on it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.unit.training.toys import PLAN, Loader, Toy, a_run, without_seconds

from glossfree.console import Silent
from glossfree.errors import Interrupted, RunError
from glossfree.training import watch as module
from glossfree.training.checkpoint import Progress
from glossfree.training.loop import train
from glossfree.training.processes import Processes
from glossfree.training.run import Run
from glossfree.training.status import Planned, read_status
from glossfree.training.trackers import Trackers
from glossfree.training.watch import Spent, Watch

PLANNED = (Planned("toy", 4, "clips"),)


class Measured(Loader):
    """A loader that knows its lengths: 35 frames an epoch, 14 in its largest batch."""

    def frames(self) -> int:
        return 35

    def largest_batch(self) -> int:
        return 14


class Tracker:
    """Keeps what it is told."""

    name = "kept"

    def __init__(self) -> None:
        self.values: list[tuple[int, dict[str, float]]] = []
        self.is_finished = False

    def log(self, values: dict[str, float], step: int) -> None:
        self.values.append((step, values))

    def finish(self) -> None:
        self.is_finished = True


def a_watch(run: Run, console: Silent | None = None, **options: Any) -> Watch:
    return Watch(run, console or Silent(), planned=PLANNED, **options)


def test_training_is_the_same_to_the_last_bit_watched_or_not(tmp_path: Path) -> None:
    found = []
    for name in ("watched", "alone"):
        run, stage = a_run(tmp_path / name), Toy()
        if name == "watched":
            with a_watch(run, trackers=Trackers(Silent(), [Tracker()])) as watch:  # type: ignore[list-item]
                train(stage, Measured(), Loader(), PLAN, run, Silent(), watch)
        else:
            train(stage, Loader(), Loader(), PLAN, run, Silent())
        found.append((stage.state_dict(), without_seconds(run)))
    (watched, lines), (alone, expected) = found
    assert lines == expected
    assert [name for name in alone if not torch.equal(alone[name], watched[name])] == []
    assert (tmp_path / "watched/status.json").exists() and not (tmp_path / "alone/status.json").exists()


def test_the_status_follows_a_stage_to_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, seen = a_run(tmp_path), []
    write = Run.write_json
    monkeypatch.setattr(
        Run, "write_json", lambda *a: seen.append((a[2]["state"], a[2]["stage"], a[2]["step"])) or write(*a)
    )
    with a_watch(run) as watch:
        train(Toy(), Measured(), Loader(), PLAN, run, Silent(), watch)
    steps = [step for _, _, step in seen]
    assert (steps[0], steps[-1]) == (0, 12) and steps == sorted(steps)
    assert [stage for _, stage, _ in seen] == [None] + ["toy"] * (len(seen) - 1)
    assert [state for state, _, _ in seen] == ["training"] * (len(seen) - 1) + ["finished"]
    told = read_status(run)
    assert (told.epochs, told.steps, told.step, told.problem) == (4, 12, 12, None)
    assert told.memory > 20e6


@pytest.mark.parametrize(
    ("error", "state", "problem"),
    [
        (Interrupted("saved at step 7", where="run"), "stopped", "saved at step 7"),
        (KeyboardInterrupt(), "stopped", "interrupted"),
        (RunError("is full", where="disk", remedy="buy one"), "failed", "disk: is full -> buy one"),
        (ZeroDivisionError("by nought"), "failed", "ZeroDivisionError: by nought"),
    ],
)
def test_how_it_ended_is_told_and_the_error_goes_on(
    tmp_path: Path, error: BaseException, state: str, problem: str
) -> None:
    run, tracker = a_run(tmp_path), Tracker()
    with pytest.raises(type(error)), a_watch(run, trackers=Trackers(Silent(), [tracker])):  # type: ignore[list-item]
        raise error
    told = read_status(run)
    assert (told.state, told.problem) == (state, problem)
    assert tracker.is_finished


def test_skipped_clips_are_counted_with_each_checkpoint(tmp_path: Path) -> None:
    run, loader = a_run(tmp_path), Loader()
    loader.left_out = ["d", "a"]
    with a_watch(run) as watch:
        train(Toy(), loader, None, PLAN, run, Silent(), watch)
    assert read_status(run).skipped == 2


def test_other_processes_than_the_first_write_and_say_nothing(tmp_path: Path) -> None:
    run, console = a_run(tmp_path), Silent()
    with a_watch(run, console, group=Processes(1, 2)) as watch:
        watch.begin(Toy(), Measured(), Progress(), 4, 12)
        for step in range(1, 7):
            assert "frames/s" in watch.step(Progress(step=step), {"loss": 1.5}, 0.1, [], Spent(7, 0.5, 0.1))
        watch.saved(Progress())
    assert not (tmp_path / "status.json").exists() and console.lines == []


def test_the_note_names_all_there_is_the_loss_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "peak_memory", lambda: 3_400_000_000)
    watch = a_watch(a_run(tmp_path))
    watch.begin(Toy(), Loader(), Progress(), 4, 12)
    losses = {"loss": 2.5, "contrastive": 0.25, "other": 1.0}
    note = watch.step(Progress(epoch=2, step=7), losses, 3e-4, [], Spent(units=90, seconds=0.5, waited=0.06))
    first = "loss 2.500  epoch 3/4  180 frames/s  contrastive 0.250  other 1.000"
    assert note == f"{first}  12 % waiting  lr 3.0e-04  peak 3.4 GB"


def test_speed_is_in_the_unit_of_the_stage(tmp_path: Path) -> None:
    watch, stage = a_watch(a_run(tmp_path)), Toy()
    stage.unit = "sentences"
    watch.begin(stage, Loader(), Progress(), 4, 12)
    assert "  8 sentences/s  " in watch.step(Progress(step=1), {"loss": 2.5}, 0.1, [], Spent(4, 0.5, 0.0))


def steps(watch: Watch, first: int, seconds: list[float]) -> None:
    for number, each in enumerate(seconds, start=first + 1):
        batch = next(iter(Loader()))  # 14 frames
        watch.step(Progress(epoch=(number - 1) // 3, step=number), {"loss": 1.0}, 0.1, [batch], Spent(14, each, 0.0))


def estimates(console: Silent) -> list[str]:
    return [line for line in console.lines if "an epoch takes" in line]


def test_time_is_estimated_once_from_three_steps_after_two(tmp_path: Path) -> None:
    console = Silent()
    with a_watch(a_run(tmp_path), console) as watch:
        watch.begin(Toy(), Measured(), Progress(), 400, 1200)
        steps(watch, 0, [90.0, 80.0, 0.5, 1.5, 1.0])
        # 14 frames/s; 35 frames an epoch: 2.5 s; 400 epochs less 5 steps of 3 to an epoch
        (line,) = estimates(console)
        assert "an epoch takes about 2 s, the stage 17 min more (until " in line
        steps(watch, 5, [1.0] * 5)
        assert len(estimates(console)) == 1


def test_without_lengths_time_is_estimated_from_steps_and_after_a_break_from_new_ones(tmp_path: Path) -> None:
    console = Silent()
    with a_watch(a_run(tmp_path), console) as watch:
        watch.begin(Toy(), Loader(), Progress(step=600), 400, 1200)
        steps(watch, 600, [9.0, 9.0, 4.0, 8.0, 6.0])
    (line,) = estimates(console)
    assert "an epoch takes about 18 s, the stage 60 min more" in line  # 595 steps of 6 s


def test_a_stage_that_is_over_by_then_has_no_estimate(tmp_path: Path) -> None:
    console = Silent()
    with a_watch(a_run(tmp_path), console) as watch:
        watch.begin(Toy(), Measured(), Progress(), 1, 5)
        steps(watch, 0, [1.0] * 5)
    assert console.lines == []


@pytest.mark.parametrize(
    ("first", "largest", "peak", "growth", "moments"),
    [(0, 21, 1_600_000_000, 1.5, 2), (3, 21, 1_600_000_000, 1.5, 0), (3, 7, 1_600_000_000, 1.0, 0)],
)
def test_memory_is_estimated_from_the_first_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: int, largest: int, peak: int, growth: float, moments: int
) -> None:
    """In proportion to frames: the first batch has 14. Not loaded from a checkpoint, the optimiser comes on top."""
    peaks = [1_000_000_000]
    monkeypatch.setattr(module, "peak_memory", lambda: peaks[-1])
    monkeypatch.setattr(module, "held_memory", lambda: 600_000_000)
    monkeypatch.setattr(Measured, "largest_batch", lambda _: largest)
    stage = Toy()
    trained = sum(each.nbytes for each in stage.trained().values())
    with a_watch(a_run(tmp_path)) as watch:
        watch.begin(stage, Measured(), Progress(step=first), 4, 12)
        peaks.append(peak)
        steps(watch, first, [1.0])
    assert watch.expected_memory == 600_000_000 + moments * trained + round((peak - 600_000_000) * growth)


def test_without_a_new_peak_nothing_is_known_of_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "peak_memory", lambda: 7)
    with a_watch(a_run(tmp_path)) as watch:
        watch.begin(Toy(), Measured(), Progress(), 4, 12)
        steps(watch, 0, [1.0])
    assert watch.expected_memory == 0


def test_trackers_have_all_stages_in_one_curve(tmp_path: Path) -> None:
    run, tracker = a_run(tmp_path), Tracker()
    for step in (1, 2, 3, 4, 5):
        run.log({"kind": "step", "stage": "before", "epoch": 0, "step": step})
    with a_watch(run, trackers=Trackers(Silent(), [tracker])) as watch:  # type: ignore[list-item]
        train(Toy(), Loader(), Loader(), replace(PLAN, epochs=2), run, Silent(), watch)
    assert [step for step, _ in tracker.values] == [6, 7, 8, 8, 9, 10, 11, 11]
    records = [record for record in run.records() if record["stage"] == "toy"]
    for record, (_, values) in zip(records, tracker.values, strict=True):
        if record["kind"] == "epoch":
            assert values == {f"toy/dev/{name}": value for name, value in record["dev"].items()}
            continue
        assert values["toy/loss"] == record["loss"] and values["toy/half"] == record["half"]
        assert values["toy/learning_rate"] == record["lr"]
        seconds = record["frames"] / values["toy/frames_per_second"]
        assert seconds == pytest.approx(record["seconds"], abs=6e-5)  # the record's are rounded to 1e-4
        assert 0 <= values["toy/waiting"] <= 1
    assert re.fullmatch(r"toy/\w+", min(tracker.values[0][1]))


def test_who_observes_an_epoch_draws_no_number_of_the_training(tmp_path: Path) -> None:
    seen = []

    def observe(stage: Any, progress: Progress, dev: Mapping[str, float]) -> None:
        seen.append((progress.step, dict(dev), float(torch.rand(()))))

    watch = Watch(Run(tmp_path), Silent(), observe=observe)
    watch.stage = None  # type: ignore[assignment]
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    watch.epoch(Progress(step=7), {"loss": 2.0})
    assert torch.equal(torch.rand(4), expected)
    assert seen == [(7, {"loss": 2.0}, pytest.approx(float(expected[0])))]
