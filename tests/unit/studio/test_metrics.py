"""What Prometheus reads."""

from __future__ import annotations

import re

from tests.unit.studio.conftest import Start, send


def test_counters_count(start: Start) -> None:
    client = start()
    send(client, "a")
    send(client, "bad")
    client.get("/nothing")
    response = client.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    lines = [line for line in response.text.splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r'glossfree_\w+(\{(\w+="[\w.]+",?)+\})? [\d.e+-]+', line) for line in lines), lines
    values = {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}
    assert values['glossfree_translations_total{state="done"}'] == 1
    assert values['glossfree_translations_total{state="failed"}'] == 1
    assert values["glossfree_translation_seconds_count"] == 2
    assert values['glossfree_http_responses_total{method="POST",status="422"}'] == 1
    assert values['glossfree_http_responses_total{method="GET",status="404"}'] == 1
    assert values["glossfree_queue"] == 0 and values["glossfree_worker_ready"] == 1
    assert values['glossfree_translation_seconds{quantile="0.95"}'] <= values["glossfree_translation_seconds_sum"]
