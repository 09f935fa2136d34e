"""`locate` on a run: numbers as from its parts, pictures, and what it refuses."""

from __future__ import annotations

import json
import shutil
import xml.etree.ElementTree as ElementTree
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from glossfree.console import Silent
from glossfree.corpora.manifest import Manifest
from glossfree.pipeline.trained import TrainedRun
from glossfree.report.pointing import measure_pointing
from glossfree.report.timed import time_clips
from glossfree.scoring.gloss_sets import choose_threshold, set_scores
from glossfree.text.pseudo_glosses import PSEUDO_GLOSSES
from glossfree.training.run import load_tensors


@pytest.fixture
def run(tiny_run: Path, tmp_path: Path) -> Path:
    """A copy to write into."""
    return Path(shutil.copytree(tiny_run, tmp_path / "run"))


def test_peaks_are_those_of_the_report_and_sets_those_of_the_scores(tiny: Any, run: Path, call: Any) -> None:
    done = call("locate", run, "--split", "test", "--json")
    assert done.code == 0, done.err
    result = json.loads(done.out)
    trained = TrainedRun(run)
    scorer, material = trained.scorer(), trained.material()
    timed = {name: time_clips(scorer.hierarchy, scorer.head, material, name, Silent()) for name in ("dev", "test")}
    pointing = measure_pointing(timed["test"].values(), scorer.glosses.inventory)
    assert pointing is not None and result["signs"]["overall"]["pairs"] == pointing.pairs > 0
    for name, (value, chance) in pointing.rates.items():
        measured = result["signs"]["overall"]["values"][name]
        assert (measured["run"], measured["chance"]) == pytest.approx((value, chance))
    assert result["stage"] == "finetune2"
    kept = json.loads((run / "localisation.test.json").read_text(encoding="utf-8"))
    assert kept == {name: value for name, value in result.items() if name != "pictures"}

    dev = Manifest.load(tiny.corpus).split("dev")
    scores = np.stack([timed["dev"][clip.id].timeline.sum(axis=0) for clip in dev])
    targets = np.stack([scorer.glosses.targets(clip.text) for clip in dev])
    threshold = choose_threshold(scores, targets)
    assert result["sets"]["run"]["threshold"] == pytest.approx(threshold)
    on_dev = json.loads(call("locate", run, "--split", "dev", "--json").out)["sets"]
    assert on_dev["run"] == pytest.approx(vars(set_scores(scores, targets, threshold)))
    assert on_dev["most frequent"]["threshold"] == result["sets"]["most frequent"]["threshold"]


def test_the_sentences_of_test_are_tagged_as_those_of_training(tiny: Any, run: Path, call: Any, tmp_path: Path) -> None:
    corpus = Path(shutil.copytree(tiny.corpus, tmp_path / "corpus"))
    assert call("glosses", corpus, "--splits", "train,dev,test").code == 0
    tagged = json.loads((corpus / PSEUDO_GLOSSES).read_text(encoding="utf-8"))["sentences"]
    inventory = set(TrainedRun(run).scorer().glosses.inventory)
    wanted = sum(len(set(tagged[clip.text]) & inventory) for clip in Manifest.load(corpus).split("test"))
    sets = json.loads(call("locate", run, "--json").out)["sets"]
    micro = sets["run"]
    right = micro["precision"] * micro["per_clip"] * 5  # of 5 clips
    assert right == pytest.approx(micro["recall"] * wanted)


def test_a_stage_scores_with_its_own_weights(run: Path, call: Any) -> None:
    stages = ("pretrain", "finetune1", "finetune2")
    results = {stage: json.loads(call("locate", run, "--stage", stage, "--json").out) for stage in stages}
    assert [result["stage"] for result in results.values()] == list(stages)
    assert results["pretrain"]["signs"] == results["finetune1"]["signs"], "finetune1 trains nothing below the mapper"
    assert (run / "localisation.test.pretrain.json").is_file()
    weights, _ = load_tensors(run / "weights/pretrain.safetensors")
    scorer = TrainedRun(run).scorer("pretrain")
    for name, tensor in scorer.head.state_dict().items():
        assert torch.equal(tensor.cpu(), weights[f"objectives.pseudo_gloss.head.{name}"])
    hierarchy = {name: tensor for name, tensor in weights.items() if name.startswith("hierarchy.temporal.")}
    own = scorer.hierarchy.state_dict()
    assert all(torch.equal(own[name.removeprefix("hierarchy.")].cpu(), tensor) for name, tensor in hierarchy.items())


def test_a_run_that_only_pre_trained_is_measured(tiny: Any, call: Any, tmp_path: Path) -> None:
    run = tmp_path / "run"
    only = ("--set", "pretrain.objectives.contrastive.weight=0")
    assert call("train", *tiny.options, "--run", run, "--until", "pretrain", *only).code == 0
    done = call("locate", run, "--json")
    assert done.code == 0 and json.loads(done.out)["stage"] == "pretrain"


def test_pictures_are_svg_of_worst_and_random_clips(tiny: Any, run: Path, call: Any, tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    done = call("locate", run, "--split", "train", "--pictures", folder)
    assert done.code == 0, done.err
    names = sorted(path.name for path in folder.iterdir())
    assert [name[:8] for name in names] == [
        *(f"random-{n}" for n in range(1, 6)),
        *(f"worst-{n}-" for n in range(1, 6)),
    ]
    assert str(folder / names[0]) in done.out
    clips = {clip.id: clip for clip in Manifest.load(tiny.corpus).split("train")}
    for path in folder.iterdir():
        root = ElementTree.fromstring(path.read_text(encoding="utf-8"))
        clip = clips[path.stem.split("-", 2)[2]]
        texts = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
        assert clip.text in texts and {span.gloss for span in clip.spans} <= set(texts)
        kinds = [element.get("class") for element in root.iter("{http://www.w3.org/2000/svg}rect")]
        assert kinds.count("predicted") >= 1 and kinds.count("truth") >= kinds.count("predicted")


def shapes(root: ElementTree.Element) -> Counter[tuple[str | None, ...]]:
    """The rectangles of a picture, wherever their row is: rows with equal peaks are in the order of their names."""
    rectangles = root.iter("{http://www.w3.org/2000/svg}rect")
    return Counter(tuple(each.get(name) for name in ("class", "x", "width", "opacity")) for each in rectangles)


def test_pictures_without_words_have_the_same_shapes(tiny: Any, run: Path, call: Any, tmp_path: Path) -> None:
    drawn: dict[str, list[ElementTree.Element]] = {}
    for name, options in {"words": (), "numbers": ("--without-words",)}.items():
        done = call("locate", run, "--split", "train", "--pictures", tmp_path / name, *options)
        assert done.code == 0, done.err
        drawn[name] = [ElementTree.parse(path).getroot() for path in sorted((tmp_path / name).iterdir())]
    words = {clip.text for clip in Manifest.load(tiny.corpus).clips}
    words |= {span.gloss for clip in Manifest.load(tiny.corpus).clips for span in clip.spans}
    for plain, numbered in zip(drawn["words"], drawn["numbers"], strict=True):
        assert shapes(plain) == shapes(numbered)
        texts = {element.text for element in numbered.iter("{http://www.w3.org/2000/svg}text")}
        assert not texts & words and any(text.isdigit() for text in texts if text)


def test_a_corpus_without_sign_times_has_sets_alone(tiny: Any, run: Path, call: Any, tmp_path: Path) -> None:
    corpus = Path(shutil.copytree(tiny.corpus, tmp_path / "other"))
    manifest = corpus / "manifest.jsonl"
    lines = [json.loads(line) | {"spans": []} for line in manifest.read_text(encoding="utf-8").splitlines()]
    manifest.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    result = json.loads(call("locate", run, "--corpus", corpus, "--json").out)
    assert result["signs"] is None and result["sets"]["run"]["f1"] >= 0
    assert call("locate", run, "--corpus", corpus).code == 0
    assert {path.name for path in run.glob("localisation.*")} == {"localisation.test.corpus-other.json"}
    (run / "localisation.test.corpus-other.json").unlink()
    refused = call("locate", run, "--corpus", corpus, "--pictures", tmp_path / "pictures")
    assert refused.code == 2 and "no true sign times" in refused.err
    assert (run / "localisation.test.corpus-other.json").is_file(), "what was measured is kept"
    refused = call("locate", run, "--without-words")
    assert refused.code == 2 and "--pictures" in refused.err


def test_a_run_without_scores_is_refused(tiny: Any, run: Path, call: Any, tmp_path: Path) -> None:
    without = tmp_path / "without"
    weights = ("--set", "pretrain.objectives.pseudo_gloss.weight=0", "--until", "pretrain")
    assert call("train", *tiny.options, "--run", without, *weights).code == 0
    for options, word in (
        ((without,), "of it"),
        ((run, "--stage", "denoise"), "denoise"),
        ((run, "--stage", "x"), "x"),
    ):
        refused = call("locate", *options)
        assert refused.code == 2 and refused.err.count("\n") == 1
        assert f"no finished stage {word} scores pseudo-glosses" in refused.err
    refused = call("locate", run, "--split", "tset")
    assert refused.code == 2 and refused.err.count("\n") == 1
