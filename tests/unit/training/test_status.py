"""status.json: written whole or not at all, never in the way, and a process that is gone is seen to be gone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.unit.training.toys import a_run

from glossfree.errors import RunError
from glossfree.training import status
from glossfree.training.run import STATUS, Run
from glossfree.training.status import (
    Planned,
    Status,
    StillTraining,
    check_not_training,
    is_alive,
    read_status,
    start_of_process,
)

PLANNED = [Planned("pretrain", 7, "clips"), Planned("finetune1", 5, "segments")]


def test_what_was_written_is_read(tmp_path: Path) -> None:
    run, told = a_run(tmp_path), Status(planned=PLANNED, stage="pretrain", steps=77, step=13, memory=5, skipped=2)
    before = time.time()
    told.write(run)
    found = read_status(run)
    assert found == told
    assert found.written >= before and found.started <= found.written
    assert (found.pid, found.state) == (os.getpid(), "training")
    assert list(tmp_path.glob(".*")) == []


def test_a_run_goes_on_where_it_cannot_be_written(tmp_path: Path) -> None:
    run = a_run(tmp_path)
    (tmp_path / STATUS).mkdir()
    (tmp_path / STATUS / "child").write_text("")
    Status([]).write(run)
    assert list(tmp_path.glob(".*")) == [], "nothing is left of the attempt"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "not a status"),
        ("[1]", "not a status"),
        ("{}", "not a status"),
        ('{"planned": [], "mood": "good"}', "mood"),
        ('{"planned": [{"name": "pretrain"}]}', "not a status"),
        ('{"planned": [], "steps": "7"}', "steps: "),
        ('{"planned": [], "started": NaN}', "started: "),
        ('{"planned": [{"name": "pretrain", "epochs": [], "kind": "clips"}]}', "epochs: "),
        ("[" * 99_999, "not a status"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path: Path, text: str, words: str) -> None:
    run = a_run(tmp_path)
    (tmp_path / STATUS).write_text(text)
    with pytest.raises(RunError, match=words) as caught:
        read_status(run)
    assert str(tmp_path / STATUS) in str(caught.value)


def test_no_run_and_a_run_that_has_not_begun_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="is this the folder of a run"):
        read_status(Run(tmp_path / "none"))
    with pytest.raises(RunError, match=f"no {STATUS} yet"):
        read_status(a_run(tmp_path))


def test_this_process_lives_and_a_finished_one_does_not() -> None:
    assert is_alive(Status([])) is True
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    told = Status([], pid=child.pid, process=start_of_process(child.pid))
    assert is_alive(told) is True
    child.kill()
    deadline = time.monotonic() + 20
    while is_alive(told) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert is_alive(told) is False, "also before its parent has heard of it"
    child.wait()
    assert is_alive(told) is False


def test_another_process_of_the_same_number_is_not_taken_for_it() -> None:
    told = Status([])
    if not told.process:
        pytest.skip("only Linux says when a process began")
    told.process = str(int(told.process) - 1)
    assert is_alive(told) is False


def test_where_the_system_does_not_say_when_a_process_began_its_number_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    def kill(answer: type[OSError] | None) -> None:
        def killing(pid: int, number: int) -> None:
            assert (pid, number) == (4321, 0)
            if answer is not None:
                raise answer

        monkeypatch.setattr(status.os, "kill", killing)

    told = Status([], pid=4321, process="")
    for answer, expected in ((None, True), (PermissionError, True), (ProcessLookupError, False)):
        kill(answer)
        assert is_alive(told) is expected


def test_of_another_machine_nothing_is_known() -> None:
    assert is_alive(Status([], host="elsewhere.invalid")) is None


def test_the_file_is_plain_json(tmp_path: Path) -> None:
    Status(planned=PLANNED).write(a_run(tmp_path))
    found = json.loads((tmp_path / STATUS).read_text())
    assert found["planned"][1] == {"name": "finetune1", "epochs": 5, "kind": "segments"}


def test_a_run_that_a_live_process_trains_is_refused(tmp_path: Path) -> None:
    run = Run(tmp_path)
    check_not_training(run)
    status = Status([])
    status.write(run)
    with pytest.raises(StillTraining, match=f"process {os.getpid()} is still training"):
        check_not_training(run)
    status.process = "another process of this number"
    status.write(run)
    check_not_training(run)
    for damaged_text in ("", '{"planned": [', "\0" * 99):
        (tmp_path / STATUS).write_text(damaged_text)
        check_not_training(run)
    (tmp_path / STATUS).write_text('{"planned": [], "mood": "good"}')
    with pytest.raises(RunError, match="If no process is training here, remove it") as damaged:
        check_not_training(run)
    assert not isinstance(damaged.value, StillTraining)
