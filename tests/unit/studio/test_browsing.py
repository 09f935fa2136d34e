"""Corpora and runs over HTTP: a corpus of five clips and two runs, written by hand."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from fastapi.testclient import TestClient

from glossfree.corpora.manifest import Manifest, PackedClip
from glossfree.errors import GlossfreeError
from glossfree.scoring.predictions import Prediction, write_predictions
from glossfree.studio.browsing import browsing, findings
from glossfree.training.run import Run
from glossfree.training.status import Planned, Status

TEXTS = {
    "a": ("train", "in köln regnet es"),
    "b": ("train", "morgen scheint die sonne"),
    "c": ("test", "am montag werden es drei grad"),
    "d": ("test", "im norden stürmt es"),
    "e": ("test", "Über <b>Köln</b> scheint die Sonne"),
}
FIRST = {"c": "am montag werden es drei grad", "d": "morgen scheint die sonne", "e": ""}
SECOND = {"c": "am montag werden es vier grad", "d": "im norden stürmt es", "e": ""}


def a_run(folder: Path, corpus: Path, hypotheses: Mapping[str, str]) -> Path:
    run = Run(folder)
    run.start("", {"corpus": str(corpus)}, resume=False)
    for number in range(1, 8):
        facts = {"kind": "step", "stage": "pretrain", "epoch": 0, "step": number, "lr": 1e-3, "frames": 5, "clips": 2}
        run.log({**facts, "loss": 9.0 - number, "seconds": 1.0, "waited": 0.0})
    Status(planned=[Planned("pretrain", 2, "clips")], state="finished", stage="pretrain", epochs=2, steps=7).write(run)
    predictions = {id: Prediction(text, -0.5) for id, text in hypotheses.items()}
    path = folder / "predictions.test.jsonl"
    write_predictions(path, predictions, {id: TEXTS[id][1] for id in hypotheses})
    return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    folder = tmp_path_factory.mktemp("shelf")
    corpus = folder / "corpus"
    clips = [
        PackedClip(id, split, text, f"clips/{id}.mp4", 50, 25.0, signer=f"signer{id}")
        for id, (split, text) in TEXTS.items()
    ]
    clips.append(PackedClip("outside", "dev", "x", "clips/link.mp4", 50, 25.0))
    Manifest(corpus, tuple(clips), {"name": "wetter", "language": "de", "problems": ["f: no frames"]}).save()
    (folder / "secret.mp4").write_bytes(b"secret")
    (corpus / "clips").mkdir()
    (corpus / "clips" / "link.mp4").symlink_to(folder / "secret.mp4")
    (corpus / "clips" / "a.mp4").write_bytes(bytes(range(100)))
    return corpus, a_run(folder / "first", corpus, FIRST), a_run(folder / "second", corpus, SECOND)


def client_of(corpora: list[Path], runs: list[Path]) -> TestClient:
    app = FastAPI()
    app.include_router(browsing(corpora, runs))

    @app.exception_handler(GlossfreeError)
    def refuse(request: Request, error: GlossfreeError) -> JSONResponse:
        return JSONResponse({"problem": error.problem}, getattr(error, "status", 503))

    return TestClient(app)


@pytest.fixture(scope="module")
def client(folders: tuple[Path, Path, Path]) -> TestClient:
    corpus, *runs = folders
    return client_of([corpus], runs)


def clips(client: TestClient, **query: Any) -> dict[str, Any]:
    answer = client.get("/v1/corpora/0/clips", params=query)
    assert answer.status_code == 200
    values: dict[str, Any] = answer.json()
    return values


def test_corpora_and_their_clips(client: TestClient) -> None:
    (corpus,) = client.get("/v1/corpora").json()
    assert corpus["splits"] == {"train": 2, "test": 3, "dev": 1}
    assert (corpus["name"], corpus["problems"]) == ("wetter", ["f: no frames"])
    assert [clip["id"] for clip in clips(client, split="test", offset=1, limit=1)["clips"]] == ["d"]
    assert clips(client, split="test", offset=1, limit=1)["total"] == 3
    assert clips(client)["clips"][0]["seconds"] == 2.0


@pytest.mark.parametrize(
    ("query", "ids"),
    [("KÖLN", "ae"), ("sonne scheint", "be"), ("signerd", "d"), ("sonne regnet", ""), ("<b>", "e")],
)
def test_search_wants_every_word_in_any_case(client: TestClient, query: str, ids: str) -> None:
    assert [clip["id"] for clip in clips(client, query=query)["clips"]] == list(ids)


def test_videos_come_from_the_corpus_only_and_in_ranges(client: TestClient) -> None:
    assert client.get("/v1/corpora/0/clips/a/video", headers={"range": "bytes=3-5"}).content == b"\x03\x04\x05"
    for id in ("outside", "..%2Fsecret", "b", "%2Fetc%2Fpasswd", "nobody"):
        assert client.get(f"/v1/corpora/0/clips/{id}/video").status_code == 404
    assert client.get("/v1/corpora/1/clips").status_code == client.get("/v1/runs/-1").status_code == 404


def predictions(client: TestClient, number: int = 0, **query: Any) -> dict[str, Any]:
    values: dict[str, Any] = client.get(f"/v1/runs/{number}/predictions", params=query).json()
    return values


def test_predictions_are_sorted_and_say_what_is_notable(client: TestClient) -> None:
    worst = predictions(client)
    assert [each["id"] for each in worst["predictions"]] == ["e", "d", "c"]
    assert [each["findings"] for each in worst["predictions"]] == [["empty"], ["copy"], ["exact"]]
    assert worst["predictions"][2]["chrf"] == 100
    assert [each["id"] for each in predictions(client, sort="best")["predictions"]] == ["c", "d", "e"]
    assert [each["id"] for each in predictions(client, sort="order", query="im")["predictions"]] == ["d"]
    marks = predictions(client, 1, query="montag")["predictions"][0]
    assert [word for word, matches in marks["hypothesis_words"] if not matches] == ["vier"]
    assert marks["findings"] == ["numbers"]


def test_findings() -> None:
    def of(hypothesis: str, reference: str) -> list[str]:
        return findings({"hypothesis": hypothesis, "reference": reference}, "de", set())

    assert of("es regnet", "es regnet heute im ganzen land") == ["short"]
    assert of("a b c d a b c d", "a b c d e f") == ["repeats"]
    assert of("a b c d e f", "a b c") == ["long"]
    assert of("Es regnet.", "es regnet") == ["exact"]
    assert of("sonne", "regen") == []


def test_the_diagnosis_needs_the_corpus(client: TestClient, folders: tuple[Path, Path, Path]) -> None:
    diagnosis = client.get("/v1/runs/0/diagnosis").json()
    assert (diagnosis["num_sentences"], diagnosis["num_training"]) == (3, 2)
    without = client_of([], [folders[1]])
    assert without.get("/v1/runs/0/diagnosis").status_code == 404
    assert without.get("/v1/runs/0/predictions").json()["corpus"] is None


def test_two_runs_clip_by_clip(client: TestClient) -> None:
    answer = client.get("/v1/compare", params={"a": 0, "b": 1}).json()
    assert (answer["wins"], answer["ties"], answer["losses"], answer["total"]) == (1, 1, 1, 3)
    assert [each["id"] for each in answer["clips"]] == ["d", "c", "e"]
    assert answer["clips"][0]["chrf_b"] == 100
    back = client.get("/v1/compare", params={"a": 1, "b": 0}).json()
    assert back["metrics"]["bleu4"]["difference"] == pytest.approx(-answer["metrics"]["bleu4"]["difference"])


def test_where_a_run_stands(client: TestClient) -> None:
    run = client.get("/v1/runs/1").json()
    assert (run["run"], run["state"], run["step"]) == ("second", "finished", 7)
    assert run["curves"]["pretrain"]["loss"]["step"][0] == [1.0, 8.0]
    (first, second) = client.get("/v1/runs").json()
    assert (first["name"], first["splits"], second["id"]) == ("first", ["test"], 1)


def test_a_damaged_line_of_a_log_is_left_out(folders: tuple[Path, Path, Path], tmp_path: Path) -> None:
    run = a_run(tmp_path / "run", folders[0], FIRST)
    with (run / "steps.jsonl").open("a") as file:
        file.write(json.dumps({"kind": "step", "loss": 3}) + "\n")
    assert client_of([], [run]).get("/v1/runs/0").status_code == 200


@pytest.mark.parametrize("query", ["split=no", "sort=no", "limit=0", "limit=1000000", "offset=-1"])
def test_impossible_queries_are_refused(client: TestClient, query: str) -> None:
    assert client.get(f"/v1/runs/0/predictions?{query}").status_code == 422
    assert client.get("/v1/runs/0/predictions?split=dev").status_code == 404
