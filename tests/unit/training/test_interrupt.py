"""A request to stop waits for the step; what was there before comes back."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.unit.training.toys import PLAN, Batch, Loader, Toy, a_run, without_seconds
from torch import Tensor

from glossfree.console import Silent
from glossfree.errors import Interrupted
from glossfree.training import interrupt, loop
from glossfree.training.interrupt import STOPPING, stop_requests
from glossfree.training.loop import train
from glossfree.training.run import load_tensors


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("moment", [1, 4, 6])
def test_asked_to_stop_it_saves_the_step_and_goes_on_from_there(tmp_path: Path, number: int, moment: int) -> None:
    """The signal comes while a step is under way, or (6) while the last of an epoch is."""

    class Stopped(Toy):
        calls = 0

        def forward(self, batch: Batch) -> dict[str, Tensor]:
            self.calls += self.training
            if self.calls == moment and self.training:
                os.kill(os.getpid(), number)
            return super().forward(batch)

    whole, run = a_run(tmp_path / "whole"), a_run(tmp_path / "run")
    expected, before = Toy(), signal.getsignal(number)
    train(expected, Loader(), Loader(), PLAN, whole, Silent())
    with pytest.raises(Interrupted, match=f"saved at step {moment} of 12 of toy") as stopped:
        train(Stopped(), Loader(), Loader(), PLAN, run, Silent())
    assert stopped.value.signal == number and signal.getsignal(number) is before
    found = Toy()
    train(found, Loader(), Loader(), PLAN, run, Silent())
    for name, tensor in expected.state_dict().items():
        assert torch.equal(found.state_dict()[name], tensor), name
    assert without_seconds(run) == without_seconds(whole)


def test_asked_after_the_last_epoch_it_stops_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the best epoch's weights are loaded: the next stage does not begin."""

    def load(path: Path) -> Any:
        os.kill(os.getpid(), signal.SIGTERM)
        return load_tensors(path)

    run = a_run(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(loop, "load_tensors", load)
        with pytest.raises(Interrupted, match="saved at step 12 of 12 of toy") as stopped:
            train(Toy(), Loader(), Loader(), PLAN, run, Silent())
    assert stopped.value.signal == signal.SIGTERM
    records = without_seconds(run)
    assert train(Toy(), Loader(), Loader(), PLAN, run, Silent()).step == 12
    assert without_seconds(run) == records


@pytest.mark.parametrize("number", STOPPING)
def test_the_first_request_is_noted_and_the_second_acts(
    number: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(interrupt, "ECHO", 0.0)
    before = {each: signal.signal(each, signal.default_int_handler) for each in STOPPING}
    try:
        with pytest.raises(KeyboardInterrupt), stop_requests() as request:
            assert not request
            os.kill(os.getpid(), number)
            assert request and request.signal == number
            os.kill(os.getpid(), number)
        assert all(signal.getsignal(each) is signal.default_int_handler for each in STOPPING)
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def test_a_launcher_that_passes_the_signal_on_does_not_end_what_is_being_saved() -> None:
    """The terminal's SIGINT to the whole group, and at once the launcher's SIGTERM."""
    before = {each: signal.signal(each, signal.default_int_handler) for each in STOPPING}
    try:
        with stop_requests() as request:
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGTERM):
                os.kill(os.getpid(), number)
            assert request.signal == signal.SIGINT
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def test_outside_of_the_main_thread_nothing_changes() -> None:
    seen = []

    def work() -> None:
        with stop_requests() as request:
            seen.append((bool(request), signal.getsignal(signal.SIGINT)))

    before = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [(False, before)]
