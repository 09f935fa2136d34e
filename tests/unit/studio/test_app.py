"""Every route and every refusal, with a worker that is a stub."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient
from tests.unit.studio.conftest import Start, finished, send

from glossfree.studio import app as studio_app
from glossfree.studio.app import RequestError, options_of
from glossfree.studio.limits import Limits
from glossfree.studio.service import Options, Service


def error_of(response: Any, status: int) -> dict[str, str]:
    """The error of a response that must have this status, with all of its parts."""
    assert response.status_code == status, response.text
    error: dict[str, str] = response.json()["error"]
    assert set(error) == {"problem", "where", "remedy"} and all(error.values()), error
    assert "Traceback" not in response.text and "glossfree-studio-" not in response.text
    return error


def service_of(client: TestClient) -> Service:
    service: Service = client.app.state.service  # type: ignore[attr-defined]
    return service


def test_a_translation_from_upload_to_end(start: Start) -> None:
    client = start()
    assert client.get("/healthz").json()["status"] == "ok"
    (model,) = client.get("/v1/models").json()
    assert model["id"] == "stub" and model["limits"]["queue"] == 32
    response = send(client, "guten tag", wait=False, n_best=2, name="../../etc/päss\x00wd<b>.mp4")
    assert response.status_code == 202
    values = response.json()
    assert values["state"] == "queued" and values["queue_position"] == 0 and values["progress"] == 0
    assert response.headers["location"] == f"/v1/translations/{values['id']}"
    done = finished(client, values["id"])
    assert done["state"] == done["step"] == "done" and done["progress"] == 1 and done["error"] is None
    assert done["file"].startswith("p") and "/" not in done["file"] and "\x00" not in done["file"]
    assert done["video"]["seconds"] == 4.0 and done["warnings"] == ["25 frames/s"]
    (segment,) = done["segments"]
    assert segment["sentence"].startswith("guten tag") and len(segment["n_best"]) == 2
    assert set(segment) == {"start", "end", "sentence", "n_best", "pseudo_glosses", "timeline"}


def test_a_client_that_waits_gets_the_result_at_once(start: Start) -> None:
    client = start()
    response = send(client, "hallo", wait=True)
    assert response.status_code == 200 and response.json()["state"] == "done"
    failed = send(client, "bad")
    error = error_of(failed, 422)
    assert error["where"] == "clip.mp4" and failed.json()["state"] == "failed"


def test_windows_and_parts_become_segments(start: Start) -> None:
    client = start()
    values = send(client, "a", window=2).json()
    assert [(each["start"], each["end"]) for each in values["segments"]] == [(0.0, 2.0), (2.0, 4.0)]
    assert values["warnings"] == ["25 frames/s"]  # once
    (part,) = send(client, "a", start=1, end=3).json()["segments"]
    assert (part["start"], part["end"]) == (1.0, 3.0)


def test_a_segment_that_fails_leaves_the_others(start: Start) -> None:
    values = send(start(), "half bad", window=2).json()
    good, bad = values["segments"]
    assert values["state"] == "done" and good["sentence"] and not bad["sentence"]
    assert bad["error"]["problem"] == "too short" and bad["end"] == 4.0


def test_segments_can_be_edited_and_unchanged_ones_are_kept(start: Start) -> None:
    client = start()
    first = send(client, "a", window=2).json()
    url = f"/v1/translations/{first['id']}/segments"
    response = client.post(url, json=[{"start": 0, "end": 2}, {"start": 2, "end": 3.5}, {"start": 3.5}])
    assert response.status_code == 202
    again = finished(client, first["id"])
    assert [(each["start"], each["end"]) for each in again["segments"]] == [(0, 2), (2, 3.5), (3.5, 4.0)]
    assert again["segments"][0] == first["segments"][0]
    batches = Path(service_of(client).settings.model, "batches").read_text().split("\n")
    assert [line for line in batches if line.startswith("translate")] == ["translate 2", "translate 2"]


def test_where_all_new_segments_fail_the_earlier_ones_stay(start: Start) -> None:
    client = start()
    first = send(client, "half bad").json()
    assert first["segments"][0]["sentence"]
    client.post(f"/v1/translations/{first['id']}/segments", json=[{"start": 1, "end": 2}, {"start": 2}])
    again = finished(client, first["id"])
    assert again["state"] == "failed" and again["segments"] == first["segments"]


@pytest.mark.parametrize("parts", [[], [{"start": 2, "end": 1}], [{"start": -1}], [{"start": 9}], [{}], {}, "x", [[1]]])
def test_wrong_segments_are_refused(start: Start, parts: Any) -> None:
    client = start()
    values = send(client, "a").json()
    error_of(client.post(f"/v1/translations/{values['id']}/segments", json=parts), 422)
    assert finished(client, values["id"])["state"] == "done"


def test_too_many_segments_are_refused(start: Start) -> None:
    client = start(segments=2)
    url = f"/v1/translations/{send(client, 'a').json()['id']}/segments"
    error_of(client.post(url, json=[{"start": n / 9, "end": 1} for n in range(3)]), 422)


def test_segments_of_what_is_not_finished_are_refused(start: Start) -> None:
    client = start()
    values = send(client, "hang", wait=False).json()
    error_of(client.post(f"/v1/translations/{values['id']}/segments", json=[{"start": 1}]), 409)


@pytest.mark.parametrize(
    ("values", "where"),
    [
        ({"n_best": "0"}, "n_best"),
        ({"n_best": "11"}, "n_best"),
        ({"n_best": "1.5"}, "n_best"),
        ({"n_best": True}, "n_best"),
        ({"n_best": 10**400}, "n_best"),
        ({"n_best": "nan"}, "n_best"),
        ({"window": "0.1"}, "window"),
        ({"window": "inf"}, "window"),
        ({"start": "-1"}, "start"),
        ({"start": []}, "start"),
        ({"start": "5", "end": "5"}, "end"),
        ({"colour": "red"}, "body"),
    ],
)
def test_wrong_options_are_refused(values: dict[str, Any], where: str) -> None:
    with pytest.raises(RequestError) as caught:
        options_of(values, Limits())
    assert (caught.value.status, caught.value.where) == (422, where)


def test_options_are_numbers() -> None:
    assert options_of({"n_best": "3", "start": "1e0", "end": 2, "window": ""}, Limits()) == Options(3, 1.0, 2.0, None)


def test_forms_that_are_none_are_refused(start: Start) -> None:
    client = start()
    url = "/v1/translations"
    error_of(client.post(url), 415)
    error_of(client.post(url, content=b"x", headers={"content-type": "video/mp4"}), 415)
    error_of(client.post(url, content=b"x", headers={"content-type": "multipart/form-data"}), 400)
    error_of(client.post(url, content=b"--x", headers={"content-type": "multipart/form-data; boundary=y"}), 400)
    error_of(client.post(url, data={"video": "text"}, files={"other": b"x"}), 422)
    error_of(client.post(url, files={"video": b""}), 422)
    error_of(client.post(url, files=[("video", b"a"), ("video", b"b")]), 400)
    error_of(client.post(url, files={"video": b"x"}, data={"n_best": "9" * 2000}), 400)
    error_of(client.post(url, files={"video": b"x"}, data={"colour": "red"}), 422)
    assert service_of(client).unfinished == 0 and list(service_of(client).folder.iterdir()) == []


def test_a_path_must_lie_in_an_allowed_folder(start: Start, tmp_path: Path) -> None:
    allowed, corpus = tmp_path / "allowed", tmp_path / "corpus"
    for folder in (allowed, corpus, tmp_path / "allowed too"):
        folder.mkdir()
        (folder / "clip.mp4").write_text("hallo")
    (allowed / "link.mp4").symlink_to(tmp_path / "allowed too/clip.mp4")
    client = start(settings={"allowed": (allowed,), "corpora": (corpus,)})
    url = "/v1/translations?wait=true"
    for folder in (allowed, corpus):
        response = client.post(url, json={"path": str(folder / "clip.mp4"), "n_best": 2})
        assert response.status_code == 200 and response.json()["file"] == "clip.mp4"
    outside = [
        "/etc/passwd",
        f"{allowed}/../allowed too/clip.mp4",
        str(allowed / "link.mp4"),
        str(tmp_path / "allowed too/clip.mp4"),
        "clip.mp4",
        "",
        "x" * 9000,
        "~/clip.mp4",
    ]
    for path in outside:
        error_of(client.post(url, json={"path": path}), 403)
    error_of(client.post(url, json={"path": str(allowed / "gone.mp4")}), 404)
    for values in (
        {},
        {"path": 3},
        {"path": "a\0b"},
        [],
        {"path": str(allowed / "clip.mp4"), "colour": 1},
    ):
        error_of(client.post(url, json=values), 422)
    surrogate = b'{"path": "\\ud800"}'
    error_of(client.post(url, content=surrogate, headers={"content-type": "application/json"}), 422)
    for body in (b"{", b"\xff\xfe", b"[" * 99_000):
        error_of(client.post(url, content=body, headers={"content-type": "application/json"}), 400)


def test_a_full_queue_says_when_to_come_again(start: Start) -> None:
    client = start(queue=2)
    ids = [send(client, "hang", wait=False).json()["id"] for _ in range(2)]
    response = send(client, "a")
    error_of(response, 429)
    assert int(response.headers["retry-after"]) >= 1
    assert client.delete(f"/v1/translations/{ids[1]}").status_code == 204
    assert send(client, "a", wait=False).status_code == 202


def test_a_place_is_free_as_soon_as_its_translation_is_cancelled(start: Start) -> None:
    client = start(queue=1)
    service, id = service_of(client), send(client, "hang", wait=False).json()["id"]

    def cancel() -> tuple[int, bool]:
        service.forget(service.translations[id])
        return service.unfinished, service.translations[id].ended.is_set()

    assert client.portal is not None and client.portal.call(cancel) == (0, False)  # in one turn of the event loop


def test_a_step_that_is_told_after_cancelling_changes_nothing(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    client = start()
    service, steps = service_of(client), []

    async def do(owner: str, task: dict[str, Any], on_step: Any) -> dict[str, Any]:
        if task["kind"] == "translate":
            steps.append(on_step)
            await asyncio.Event().wait()
        return {"video": {"seconds": 4.0}, "plays_as": "", "segments": [None]}

    def cancel() -> None:
        service.forget(service.translations[id])
        steps[0]("translating")

    monkeypatch.setattr(service.supervisor, "do", do)
    id = send(client, "a", wait=False).json()["id"]
    end = time.monotonic() + 20
    while not steps and time.monotonic() < end:
        time.sleep(0.01)
    assert client.portal is not None
    client.portal.call(cancel)
    client.portal.call(service.translations[id].ended.wait)
    assert client.get(f"/v1/translations/{id}").json()["state"] == "cancelled"


def test_cancelling_leaves_no_file_and_forgetting_no_trace(start: Start) -> None:
    client = start(queue=3)
    running, waiting = (send(client, "hang", wait=False).json()["id"] for _ in range(2))
    for id in (running, waiting):
        assert client.delete(f"/v1/translations/{id}").status_code == 204
        assert finished(client, id)["state"] == "cancelled"
    assert list(service_of(client).folder.iterdir()) == []
    assert client.delete(f"/v1/translations/{waiting}").status_code == 204
    error_of(client.get(f"/v1/translations/{waiting}"), 404)
    error_of(client.delete(f"/v1/translations/{waiting}"), 404)


def test_videos_are_served_whole_and_in_ranges(start: Start) -> None:
    client = start()
    for content, expected in (("playable", b"playable"), ("other", b"copy of other")):
        url = f"/v1/translations/{send(client, content).json()['id']}/video"
        response = client.get(url)
        assert (response.content, response.headers["content-type"]) == (expected, "video/mp4")
        part = client.get(url, headers={"range": "bytes=2-4"})
        assert (part.status_code, part.content) == (206, expected[2:5])
        assert client.get(url, headers={"range": "bytes=900-"}).status_code == 416
    error_of(client.get("/v1/translations/none/video"), 404)


def test_old_translations_are_forgotten_with_their_files(start: Start) -> None:
    client = start(keep=2)
    ids = [send(client, "a").json()["id"] for _ in range(4)]
    assert [client.get(f"/v1/translations/{id}").status_code for id in ids] == [404, 404, 200, 200]
    assert {path.name for path in service_of(client).folder.iterdir()} == set(ids[2:])
    old = start(keep_seconds=0.3)
    id = send(old, "a").json()["id"]
    end = time.monotonic() + 20
    while list(service_of(old).folder.iterdir()) and time.monotonic() < end:
        time.sleep(0.02)
    assert list(service_of(old).folder.iterdir()) == []
    error_of(old.get(f"/v1/translations/{id}"), 404)
    large = start(kept_bytes=4)
    ids = [send(large, "abc").json()["id"] for _ in range(3)]
    assert [large.get(f"/v1/translations/{id}").status_code for id in ids] == [404, 404, 200]


def test_a_full_disk_is_said(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    client = start()
    monkeypatch.setattr(studio_app.shutil, "copyfileobj", full)
    assert "No space left" in error_of(send(client, "a"), 507)["problem"]
    assert list(service_of(client).folder.iterdir()) == []


def test_a_slow_upload_is_ended(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    async def slow(*arguments: object, **options: object) -> None:
        await asyncio.sleep(60)

    client = start(receiving=0.1)
    monkeypatch.setattr(studio_app.Request, "form", slow)
    error_of(send(client, "a"), 408)
    assert service_of(client).unfinished == 0


def test_what_is_not_there(start: Start) -> None:
    client = start()
    for path in ("/", "/v1", "/docs", "/v1/translations/..%2f..%2fetc%2fpasswd", "/static/app.py", "/../app.py"):
        error_of(client.get(path), 404)
    error_of(client.put("/v1/translations"), 405)
    schema = client.get("/openapi.json").json()
    assert {"/healthz", "/v1/models", "/v1/translations", "/v1/translations/{id}/segments"} <= set(schema["paths"])
    assert set(schema["paths"]["/v1/translations"]["post"]["requestBody"]["content"]) == {
        "multipart/form-data",
        "application/json",
    }


def test_a_bug_shows_no_traceback(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    client = start()
    monkeypatch.setattr(studio_app, "prometheus", lambda *_: json.loads("{"))
    response = client.get("/metrics")
    error_of(response, 500)
    assert "json" not in response.text and response.headers["x-content-type-options"] == "nosniff"


def test_a_model_that_cannot_be_opened_is_said_to_everyone(start: Start, tmp_path: Path) -> None:
    for name in ("missing", "dies"):
        client = start(settings={"model": tmp_path / name})
        end = time.monotonic() + 10
        while client.get("/healthz").status_code == 200 and time.monotonic() < end:
            time.sleep(0.02)
        for response in (client.get("/healthz"), client.get("/v1/models"), send(client, "a")):
            error_of(response, 503)


def test_nothing_is_left_when_it_ends(start: Start) -> None:
    client = start()
    values = send(client, "hang", wait=False).json()
    service = service_of(client)
    client.get("/v1/models")  # answered when the worker is there
    pid = service.supervisor.pid
    assert pid and values["state"] == "queued" and service.folder.is_dir()
    client.__exit__(None, None, None)
    assert not service.folder.exists() and service.supervisor.pid is None
    client.__enter__()  # for the fixture to leave
