"""The state of the server as Prometheus reads it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from glossfree.studio.service import Service


def prometheus(service: Service, responses: Counter[tuple[str, int]]) -> str:
    """Counters and gauges in Prometheus' text format."""
    lines: list[str] = []

    def metric(name: str, kind: str, text: str, values: Mapping[str, float]) -> None:
        lines.extend((f"# HELP glossfree_{name} {text}", f"# TYPE glossfree_{name} {kind}"))
        lines.extend(f"glossfree_{name}{labels} {value:g}" for labels, value in values.items())

    answers = {f'{{method="{method}",status="{status}"}}': n for (method, status), n in sorted(responses.items())}
    metric("http_responses_total", "counter", "Answers by method and status.", answers)
    ended = {f'{{state="{state}"}}': service.counts[state] for state in ("done", "failed", "cancelled")}
    metric("translations_total", "counter", "Translations that ended, by state.", ended)
    times = {"_sum": service.total_seconds, "_count": service.counts.total()}
    lines += [
        "# HELP glossfree_translation_seconds From request to end.",
        "# TYPE glossfree_translation_seconds summary",
    ]
    ordered = sorted(service.seconds)
    for quantile in (0.5, 0.95) if ordered else ():
        value = ordered[min(len(ordered) - 1, int(quantile * len(ordered)))]
        lines.append(f'glossfree_translation_seconds{{quantile="{quantile}"}} {value:g}')
    lines += [f"glossfree_translation_seconds{name} {value:g}" for name, value in times.items()]
    metric("queue", "gauge", "Translations that wait or run.", {"": service.unfinished})
    metric("queue_limit", "gauge", "Translations that may.", {"": service.limits.queue})
    metric(
        "worker_restarts_total", "counter", "Workers that were lost and replaced.", {"": service.supervisor.restarts}
    )
    metric("worker_ready", "gauge", "Whether the model is open.", {"": service.supervisor.facts is not None})
    return "\n".join(lines) + "\n"
