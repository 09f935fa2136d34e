"""A request to stop (Ctrl-C, a cluster's SIGTERM) waits until a step is done and saved."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

STOPPING = (signal.SIGINT, signal.SIGTERM)
# a terminal or a scheduler signals every process of a group, and launchers (torchrun, `glossfree sweep`) pass on what
# they get: what comes again within these seconds is the same request, and must not end what is being saved
ECHO = 2.0


class Request:
    """Whether somebody asked this process to stop, and by which signal."""

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None

    def __bool__(self) -> bool:
        return self.signal is not None


@contextmanager
def stop_requests() -> Iterator[Request]:
    """Inside, a first SIGINT or SIGTERM is noted, for the loop to see; a second one, when more than ECHO seconds have
    passed, acts as it always does.

    Outside of the main thread, where Python takes no signals, nothing changes.
    """
    request = Request()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    before: dict[signal.Signals, Any] = {}
    noted_at = 0.0

    def put_back() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def note(number: int, frame: FrameType | None) -> None:
        nonlocal noted_at
        if request.signal is None:
            request.signal, noted_at = signal.Signals(number), time.monotonic()
        elif time.monotonic() - noted_at > ECHO:
            put_back()
            signal.raise_signal(number)

    before.update({number: signal.signal(number, note) for number in STOPPING})
    try:
        yield request
    finally:
        put_back()
