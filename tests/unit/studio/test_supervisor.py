"""Workers that end, hang or answer nonsense: what they did is done again, and nobody else notices."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
from starlette.testclient import TestClient
from tests.unit.studio.conftest import Start, finished, send
from tests.unit.studio.test_app import error_of, service_of

from glossfree.studio.limits import Limits


def worker(client: TestClient) -> int:
    """The worker's process id, once the model is open."""
    client.get("/v1/models")
    pid = service_of(client).supervisor.pid
    assert pid is not None
    return pid


def batches(client: TestClient, kind: str = "translate") -> list[int]:
    """The size of every batch of one kind that workers were given."""
    lines = Path(service_of(client).settings.model, "batches").read_text().splitlines()
    return [int(line.split()[1]) for line in lines if line.startswith(kind)]


def test_what_waits_becomes_a_batch_and_owners_take_turns(start: Start) -> None:
    client = start()
    pid = worker(client)
    os.kill(pid, signal.SIGSTOP)
    first = send(client, "slow", wait=False).json()["id"]
    ids = [send(client, "a", wait=False, window=2).json()["id"] for _ in range(5)]
    positions = [client.get(f"/v1/translations/{id}").json()["queue_position"] for id in ids]
    assert positions == [1, 2, 3, 4, 5]
    os.kill(pid, signal.SIGCONT)
    assert all(finished(client, id)["state"] == "done" for id in (first, *ids))
    assert sum(batches(client)) == 11 and max(batches(client)) > 1 and max(batches(client, "inspect")) == 5


def test_other_numbers_of_sentences_are_another_batch(start: Start) -> None:
    client = start()
    pid = worker(client)
    send(client, "slow", wait=False)
    ids = [send(client, "a", wait=False, n_best=1 + number % 2).json()["id"] for number in range(4)]
    values = [finished(client, id) for id in ids]
    assert [len(each["segments"][0]["n_best"]) for each in values] == [1, 2, 1, 2]
    assert worker(client) == pid


def test_a_killed_worker_is_replaced_and_nothing_is_lost(start: Start) -> None:
    client = start()
    pid = worker(client)
    os.kill(pid, signal.SIGSTOP)
    ids = [send(client, word, wait=False).json()["id"] for word in ("a", "b", "c")]
    os.kill(pid, signal.SIGKILL)
    assert [finished(client, id)["state"] for id in ids] == ["done"] * 3
    assert worker(client) != pid and service_of(client).supervisor.restarts == 1


def test_a_worker_killed_at_rest_is_replaced_before_anyone_asks(start: Start) -> None:
    client = start()
    pid = worker(client)
    os.kill(pid, signal.SIGKILL)
    end = time.monotonic() + 10
    while service_of(client).supervisor.restarts == 0 and time.monotonic() < end:
        time.sleep(0.02)
    assert worker(client) != pid


@pytest.mark.parametrize(("order", "status"), [("crash", 500), ("memory", 422), ("nonsense", 500), ("hang", 422)])
def test_a_video_that_ends_the_worker_fails_and_harms_no_other(start: Start, order: str, status: int) -> None:
    client = start()
    pid = worker(client)
    os.kill(pid, signal.SIGSTOP)
    others = [send(client, word, wait=False).json()["id"] for word in ("a", order, "c")]
    if order == "hang":  # from now on: the worker that was stopped has shown no sign of life, either
        service_of(client).supervisor.limits = Limits(timeout=2)
    os.kill(pid, signal.SIGCONT)
    states = [finished(client, id)["state"] for id in others]
    assert states == ["done", "failed", "done"]
    response = send(client, order)
    assert "the worker ended" in error_of(response, status)["problem"]
    assert send(client, "d").status_code == 200


def test_a_task_is_tried_twice(start: Start) -> None:
    client = start()
    assert send(client, "crash once").status_code == 200
    assert service_of(client).supervisor.restarts == 1


def test_a_worker_that_hangs_is_killed(start: Start) -> None:
    client = start(timeout=0.3)
    pid = worker(client)
    error_of(send(client, "hang"), 422)
    deadline = time.monotonic() + 10  # it is reaped a moment later
    with pytest.raises(ProcessLookupError):
        while time.monotonic() < deadline:
            os.kill(pid, 0)
            time.sleep(0.01)
