"""A request to stop (Ctrl-C, a cluster's SIGTERM) waits until the current step is done and saved."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

STOPPING = (signal.SIGINT, signal.SIGTERM)
# seconds in which a second signal is the same request: a terminal or scheduler signals every process of a group, and
# launchers (torchrun, `glossfree sweep`) forward what they get
ECHO = 2.0


class Request:
    """Whether this process was asked to stop, and by which signal."""

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None

    def __bool__(self) -> bool:
        return self.signal is not None


@contextmanager
def stop_requests() -> Iterator[Request]:
    """Inside, a first SIGINT or SIGTERM is only noted; a second one, more than ECHO seconds later, acts as usual.

    Outside of the main thread, where Python handles no signals, nothing changes.
    """
    request = Request()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    handlers: dict[signal.Signals, Any] = {}
    noted_at = 0.0

    def restore() -> None:
        for number, handler in handlers.items():
            signal.signal(number, handler)

    def note(number: int, frame: FrameType | None) -> None:
        nonlocal noted_at
        if request.signal is None:
            request.signal, noted_at = signal.Signals(number), time.monotonic()
        elif time.monotonic() - noted_at > ECHO:
            restore()
            signal.raise_signal(number)

    handlers.update({number: signal.signal(number, note) for number in STOPPING})
    try:
        yield request
    finally:
        restore()
