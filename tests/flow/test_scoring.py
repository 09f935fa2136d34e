"""score and compare on the real command line: every kind of file, a run, ids that do not fit, texts of every sort."""

from __future__ import annotations

import csv
import json
import math
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.flow.conftest import World

from glossfree.corpora.manifest import Manifest
from glossfree.scoring.statistics import METRICS

TEXTS = {
    "eins": "heute regnet es im tal",
    "zwei": 'morgen, sagt er, "scheint die sonne"',
    "drei": "der wind weht stark am meer",
    "vier": "über nacht wird es kalt",
}
SAID = {**TEXTS, "eins": "heute schneit es im tal", "drei": "wind am meer", "vier": ""}
FEW = ("--samples", 19)
GERMAN = ("--language", "de")
Call = Callable[..., Any]


def plain(path: Path, texts: Mapping[str, str]) -> Path:
    path.write_text("".join(f"{text}\n" for text in texts.values()), encoding="utf-8")
    return path


def table(path: Path, texts: Mapping[str, str], *, delimiter: str = ",", column: str = "text") -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter=delimiter)
        writer.writerows([("id", column), *list(texts.items())[::-1]])
    return path


def phoenix(path: Path, texts: Mapping[str, str]) -> Path:
    rows = "".join(f"{id}|{id}/1/*.png|-1|-1|Signer01|KALT|{text}\n" for id, text in texts.items())
    path.write_text(f"name|video|start|end|speaker|orth|translation\n{rows}", encoding="utf-8")
    return path


def jsonl(path: Path, texts: Mapping[str, str]) -> Path:
    rows = [json.dumps({"id": id, "hypothesis": text}) for id, text in texts.items()]
    path.write_text("\ufeff" + "\r\n".join(rows), encoding="utf-8")
    return path


def strict(text: str) -> Any:
    """JSON as it is defined: no NaN and no Infinity."""

    def refuse(constant: str) -> float:
        raise AssertionError(f"{constant} in the JSON")

    return json.loads(text, parse_constant=refuse)


def scored(call: Call, *arguments: object) -> dict[str, Any]:
    done = call("score", *arguments, *FEW, "--json")
    assert done.code == 0, done.err
    return strict(done.out)


@pytest.fixture
def everything(tmp_path: Path) -> dict[str, Path]:
    return {
        "text": plain(tmp_path / "said.txt", SAID),
        "csv": table(tmp_path / "said.csv", SAID, column="Prediction"),
        "tsv": table(tmp_path / "said.tsv", SAID, delimiter="\t"),
        "pipe": phoenix(tmp_path / "pipe.csv", SAID),
        "jsonl": jsonl(tmp_path / "said.jsonl", SAID),
        "references": phoenix(tmp_path / "references.csv", TEXTS),
        "plain references": plain(tmp_path / "references.txt", TEXTS),
    }


def test_every_kind_of_file_gives_the_same_scores(everything: dict[str, Path], call: Call) -> None:
    found = {
        kind: scored(call, "--hypotheses", everything[kind], "--references", everything["references"], *GERMAN)
        for kind in ("csv", "tsv", "pipe", "jsonl", "text")
    }
    assert {kind: values["by_line"] for kind, values in found.items() if values["by_line"]} == {"text": True}
    scores = [values["scores"] for values in found.values()]
    assert all(other == scores[0] for other in scores[1:])
    assert scores[0]["exact"] == 25.0 and 0 < scores[0]["bleu4"] < 100
    intervals = [values["intervals"] for values in found.values()]
    assert all(other == intervals[0] for other in intervals[1:])


def test_scores_with_all_conventions_are_printed(everything: dict[str, Path], call: Call) -> None:
    arguments = ("--hypotheses", everything["jsonl"], "--references", everything["plain references"], *FEW, *GERMAN)
    done = call("score", *arguments, "--conventions")
    assert done.code == 0 and "paired by line" in done.out and "1 hypotheses are empty" in done.out
    for name in ("plain", "gfslt-vlp", "sign2gpt", "hfa-as-released", "neccam-slt", "spamo", "slrt"):
        assert f"\n{name} " in done.out, name
    assert done.out == call("score", *arguments, "--conventions").out  # seeded
    assert done.out != call("score", *arguments, "--conventions", "--seed", 5).out


def test_a_run_is_scored_as_evaluate_scored_it(tiny: Any, tiny_run: Path, call: Call) -> None:
    for split in ("dev", "test"):
        found = scored(call, "--hypotheses", tiny_run, "--split", split)
        kept = json.loads((tiny_run / f"scores.{split}.json").read_text())
        assert found["scores"] == {name: kept[name] for name in METRICS}
        assert (found["language_from"], found["by_line"]) == ("corpus", False)
        named = scored(call, "--hypotheses", tiny_run, "--references", tiny.corpus, "--split", split)
        assert named["scores"] == found["scores"]
        file = tiny_run / f"predictions.{split}.jsonl"
        assert scored(call, "--hypotheses", file, "--references", tiny.corpus, "--split", split) == {
            **named,
            "hypotheses": str(file),
        }


def test_two_systems_are_compared(everything: dict[str, Path], tiny_run: Path, call: Call, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    references = ("--references", everything["references"], *GERMAN)
    done = call("compare", everything["jsonl"], everything["references"], *references, *FEW, "--out", page)
    assert done.code == 0 and "B is better on 3, worse on 0, as good on 1" in done.out
    assert "vier" in page.read_text(encoding="utf-8")
    found = strict(call("compare", everything["text"], everything["csv"], *references, *FEW, "--json").out)
    assert (found["wins"], found["ties"], found["losses"]) == (0, 4, 0)
    assert {metric["p_bootstrap"] for metric in found["metrics"].values()} == {1.0}
    assert {metric["p_randomisation"] for metric in found["metrics"].values()} == {1.0}
    # a run on either side brings its corpus as references
    for pair in ((tiny_run, tiny_run), (tiny_run / "predictions.test.jsonl", tiny_run)):
        found = strict(call("compare", *pair, *FEW, "--json").out)
        assert (found["num_sentences"], found["ties"], found["language_from"]) == (5, 5, "corpus")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"zwei": None}, ("1 without a hypothesis: zwei",)),
        ({"null": "x"}, ("1 without a reference: null",)),
        ({"zwei": None, "eins": None, "null": "x"}, ("2 without a hypothesis: eins, zwei", "reference: null")),
    ],
)
def test_ids_that_do_not_fit_are_named(
    everything: dict[str, Path], call: Call, tmp_path: Path, change: dict[str, str | None], words: Sequence[str]
) -> None:
    texts = {id: text for id, text in {**SAID, **change}.items() if text is not None}
    spoiled = jsonl(tmp_path / "spoiled.jsonl", texts)
    references = ("--references", everything["references"], *GERMAN)
    World.refused(call("score", "--hypotheses", spoiled, *references), "spoiled.jsonl", *words)
    World.refused(call("compare", everything["csv"], spoiled, *references), "spoiled.jsonl", *words)


def test_what_cannot_be_scored_is_refused(everything: dict[str, Path], call: Call, tmp_path: Path) -> None:
    references, text = ("--references", everything["references"], *GERMAN), everything["text"]

    def refused(name: str, data: bytes, *words: str) -> None:
        (tmp_path / name).write_bytes(data)
        World.refused(call("score", "--hypotheses", tmp_path / name, *references), name, *words)
        World.refused(call("score", "--hypotheses", text, "--references", tmp_path / name), name)

    twice = everything["jsonl"].read_bytes() + b'\n{"id": "zwei", "text": "x"}'
    (tmp_path / "twice.jsonl").write_bytes(twice)
    World.refused(call("score", "--hypotheses", tmp_path / "twice.jsonl", *references), "1 twice", "zwei")
    refused("short.txt", b"one\ntwo\n", "2", "4")
    refused("empty.txt", b"", "no sentence")
    refused("latin.txt", "schön\n".encode("latin-1") * 4, "not UTF-8")
    refused("columns.csv", b"path,words\na,b\n", "no column id | name | clip", "path, words")
    refused("broken.jsonl", b'{"id": "a"', "line 1", "not JSON")
    World.refused(call("score", "--hypotheses", text), "said.txt", "--references")
    World.refused(call("score", "--hypotheses", text, *references[:2]), "references.csv", "--language", "zh")
    World.refused(call("score", "--hypotheses", tmp_path / "gone.txt", *references), "gone.txt")
    World.refused(call("score", "--hypotheses", tmp_path, *references), "no predictions for test")
    World.refused(call("compare", text, text, "--references", tmp_path), "without references")


def test_a_run_that_lacks_something_is_refused(tiny: Any, tiny_run: Path, call: Call, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(tiny_run, run)
    World.refused(call("score", "--hypotheses", run, "--split", "train"), "no predictions for train")
    World.refused(call("score", "--hypotheses", tiny.corpus), "no hypotheses")
    path = run / "predictions.test.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    path.write_text("".join(lines[1:]), encoding="utf-8")
    World.refused(call("score", "--hypotheses", run), "1 without a hypothesis", json.loads(lines[0])["id"])
    facts = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**facts, "corpus": str(tmp_path / "gone")}))
    World.refused(call("score", "--hypotheses", run), "gone", "--references")


@pytest.mark.parametrize("language", ["de", "zh", "ja"])
@pytest.mark.parametrize(
    ("said", "meant"),
    [
        (["", "", ""], ["heute regnet es", "morgen", "ja"]),
        (["heute regnet es"], ["heute regnet es"]),
        ([""], ["ja"]),
        (["今天下雨", "明天"], ["今天下雨", "明天晴"]),
        (["今 天 下 雨", "明 天"], ["今天下雨", "明天晴"]),
        (["heute  regnet\tes ", "x"], [" heute regnet es", "  x"]),
    ],
)
def test_no_text_crashes_or_gives_nan(
    call: Call, tmp_path: Path, said: list[str], meant: list[str], language: str
) -> None:
    files = [plain(tmp_path / f"{n}.txt", dict(enumerate(texts))) for n, texts in enumerate((said, meant))]  # type: ignore[arg-type]
    options = ("--references", files[1], "--language", language)
    found = scored(call, "--hypotheses", files[0], *options, "--conventions")
    for row in found["conventions"]:
        for name, value in row["scores"].items():
            interval = row["intervals"][name]
            assert math.isfinite(value) and math.isfinite(interval["low"]) and interval["low"] <= interval["high"]
            if len(said) == 1:
                assert interval["low"] == interval["high"] == pytest.approx(value)
    done = call("compare", *files, *options, *FEW, "--json")
    assert done.code == 0 and strict(done.out)["num_sentences"] == len(said)
    assert call("score", "--hypotheses", files[0], *options, *FEW).code == 0


def test_chinese_is_scored_by_its_characters_and_a_wrong_language_is_told(call: Call, tmp_path: Path) -> None:
    texts = {"a": "今天下雨", "b": "明天天气晴朗"}
    spaced = {id: " ".join(text) for id, text in texts.items()}
    references = plain(tmp_path / "references.txt", texts)
    solid, split = plain(tmp_path / "solid.txt", texts), plain(tmp_path / "split.txt", spaced)
    for said in (solid, split):
        found = scored(call, "--hypotheses", said, "--references", references, "--language", "zh")
        assert found["scores"]["bleu4"] == pytest.approx(100) and found["scores"]["rouge_l"] == pytest.approx(100)
        assert not [note for note in found["notes"] if "space" in note]
    found = scored(call, "--hypotheses", solid, "--references", references, *GERMAN)
    assert found["scores"]["bleu4"] == 0.0
    assert [note for note in found["notes"] if "no space" in note and "ja, km, my, th, zh" in note]
    assert [note for note in found["notes"] if "identical" in note]


def test_a_diagnosis_is_printed_with_the_scores(everything: dict[str, Path], tmp_path: Path, call: Call) -> None:
    training = plain(tmp_path / "training.txt", {"a": TEXTS["zwei"], "b": "es wird kalt"})
    sides = ("--hypotheses", everything["csv"], "--references", everything["references"], *GERMAN)
    done = call("score", *sides, *FEW, "--diagnose", "--training", training)
    assert done.code == 0, done.err
    assert "4 sentences, against 2 training sentences" in done.out
    found = scored(call, *sides, "--training", training)["diagnosis"]
    assert (found["num_sentences"], found["num_training"]) == (4, 2)
    assert scored(call, *sides)["diagnosis"] is None
    assert scored(call, *sides, "--diagnose")["diagnosis"]["num_training"] == 0


def test_the_diagnosis_of_a_run_knows_its_training_sentences(world: World, call: Call) -> None:
    found = scored(call, "--hypotheses", world.run, "--diagnose")["diagnosis"]
    manifest = Manifest.load(world.corpus)
    assert found["num_training"] == len(manifest.split("train"))
    assert found["num_sentences"] == len(manifest.split("test"))
