"""The same work on many items, on a Ray cluster (`--engine ray`; extra `ray`).

Each item is a task of one core. A task whose worker is killed, or whose node goes away, is done again elsewhere; nodes
that join get work. This project must be installed on every node, and the files that the work reads must be there under
the same paths; what it makes comes back to this process, which alone writes.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Self

from glossfree.errors import ClipError, GlossfreeError

RETRIES = 5  # of an item whose worker or node is lost
POLL = 1.0  # seconds after which the size of the cluster is asked for again
AHEAD = 2  # tasks for each core that are handed out at once


def cores() -> int:
    """The cores of this machine that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True)
class Lost:
    """In place of an outcome: every worker that tried an item has died, as one that takes too much memory does."""

    problem: str

    def error(self, where: str | Path) -> ClipError:
        """What stands in the way of the clip that the item was."""
        return ClipError(self.problem, where=where, remedy="cut it into shorter clips, or use workers with more memory")


class Cluster:
    """A Ray cluster at an `address` ("auto", "HOST:6379", "ray://HOST:10001"), by default one on this machine alone.

    Used in a `with` block, at whose end this process leaves it. Raises GlossfreeError: no Ray, nothing at the address.
    """

    def __init__(self, address: str = "") -> None:
        self.address = address

    def __enter__(self) -> Self:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        try:
            import ray
        except ImportError as error:
            remedy = 'pip install "glossfree[ray]"'
            raise GlossfreeError(f"Ray cannot be imported ({error})", where="--engine ray", remedy=remedy) from error
        try:
            ray.init(self.address or None, log_to_driver=False, logging_level=logging.ERROR)
        except (ConnectionError, OSError, ValueError, RuntimeError) as error:
            where, problem = self.address or "--engine ray", str(error).partition("\n")[0]
            remedy = "start one with `ray start --head`, and name its address"
            raise GlossfreeError(f"no Ray cluster ({problem})", where=where, remedy=remedy) from error
        # Ray tells of lost nodes on standard output, which is for results
        sys.modules["ray._private.worker"].__dict__["print_to_stdstream"] = lambda *_, **__: None
        self.ray = ray
        return self

    def __exit__(self, *_: object) -> None:
        self.ray.shutdown()

    def map(
        self, work: Callable[[Any], Any], items: Iterable[Any], *, on_gpu: bool = False
    ) -> Iterator[tuple[int, Any]]:
        """`work(item)` for each item -> its number and the outcome, or `Lost`, in the order in which they end.

        `work` is sent once to each worker, which keeps it: what it opens is opened once. `on_gpu`: with a GPU for each
        task, if the cluster has any. Raises what `work` raises.
        """
        ray, queue = self.ray, iter(enumerate(items))
        on_gpu = on_gpu and "GPU" in ray.cluster_resources()
        call, shared = ray.remote(max_retries=RETRIES, num_gpus=int(on_gpu))(_call), ray.put(work)
        numbers: dict[Any, int] = {}
        while True:
            room = AHEAD * int(ray.cluster_resources().get("GPU" if on_gpu else "CPU", 0)) + 1 - len(numbers)
            for number, item in islice(queue, max(0, room)):
                numbers[call.remote([shared], item)] = number
            if not numbers:
                return
            ended, _ = ray.wait(list(numbers), timeout=POLL)
            for reference in ended:
                number = numbers.pop(reference)
                try:
                    outcome = ray.get(reference)
                except ray.exceptions.RayTaskError as error:
                    raise error.as_instanceof_cause() from None
                except ray.exceptions.RayError as error:
                    outcome = Lost(f"every worker that tried it has died ({str(error).partition(chr(10))[0]})")
                yield number, outcome


_KEPT: dict[Any, Callable[[Any], Any]] = {}  # in a worker: the work that was sent last


def _call(shared: list[Any], item: Any) -> Any:
    (reference,) = shared  # in a list, so that Ray does not send the work itself with each item
    if reference not in _KEPT:
        import ray

        _KEPT.clear()
        _KEPT[reference] = ray.get(reference)
    return _KEPT[reference](item)
