"""The model card: what the run recorded, in the hub's own form, and nothing else."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from huggingface_hub import EvalResult, ModelCard
from safetensors.torch import load_file

from glossfree import __version__
from glossfree.console import Silent
from glossfree.export import export_model
from glossfree.pipeline.card import SUPERVISION, evaluated, metadata
from glossfree.recipe.files import load_recipe
from glossfree.scoring.conventions import convention_for
from glossfree.scoring.metrics import score
from glossfree.scoring.predictions import write_scores
from glossfree.scoring.significance import intervals
from glossfree.scoring.statistics import Statistics
from glossfree.serving.folder import FORMAT, verify


def export(run: Path, folder: Path) -> ModelCard:
    export_model(run, folder, Silent())
    return ModelCard.load(folder / "README.md")


def results_of(card: ModelCard) -> dict[tuple[str, str], EvalResult]:
    """{(split, metric): what the hub reads}."""
    return {(str(each.dataset_split), str(each.metric_name)): each for each in card.data.eval_results or ()}


@pytest.fixture
def run(tiny_run: Path, tmp_path: Path) -> Path:
    shutil.copytree(tiny_run, tmp_path / "run")
    return tmp_path / "run"


def test_the_hub_reads_what_the_run_recorded(run: Path, tmp_path: Path) -> None:
    """With hypotheses that have another third word in every other sentence: no two scores are equal."""
    path = run / "predictions.test.jsonl"
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    for number, line in enumerate(lines):
        words = line["reference"].split()
        line["hypothesis"] = " ".join([*words[:2], "und", *words[3:]] if number % 2 else words)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    sides = [[line[side] for line in lines] for side in ("hypothesis", "reference")]
    write_scores(run / "scores.test.json", score(*sides, language="de"))
    card = export(run, tmp_path / "model")
    data = card.data
    assert (data.library_name, data.language, data.license) == ("glossfree", "de", "apache-2.0")
    assert "gloss-free" in data.tags and data.model_name == "tiny"
    results = results_of(card)
    assert len(results) == 2 * 6 and {each.dataset_name for each in results.values()} == {"wetter"}
    expected = intervals(Statistics.of(*sides, convention_for("de")))
    scores = json.loads((run / "scores.test.json").read_text())
    names = {"bleu1": "BLEU-1", "bleu2": "BLEU-2", "bleu3": "BLEU-3", "bleu4": "BLEU-4", "rouge_l": "ROUGE-L"}
    for key, name in {**names, "chrf": "chrF"}.items():
        result, interval = results["test", name], [round(expected[key].low, 2), round(expected[key].high, 2)]
        assert result.metric_value == round(scores[key], 2) and interval[0] < interval[1]
        assert result.metric_args == {"signature": scores["signatures"][key], "interval_95": interval}
        assert f"{scores[key]:.2f} ({interval[0]:.2f} to {interval[1]:.2f})" in card.text
        assert scores["signatures"][key] in card.text
    assert len({result.metric_value for (split, _), result in results.items() if split == "test"}) == 6
    assert {result.metric_type for result in results.values()} == {"bleu", "rouge", "chrf"}


def test_the_text_has_the_size(tiny_model: Path) -> None:
    count = sum(tensor.numel() for tensor in load_file(tiny_model / "model.safetensors").values())
    assert f"{count:,}" in ModelCard.load(tiny_model / "README.md").text


def test_config_names_the_library_and_repeats_nothing(tiny_model: Path) -> None:
    config = json.loads((tiny_model / "config.json").read_text())
    assert config == {"library_name": "glossfree", "library_version": __version__, "format": FORMAT}


def test_without_scores_there_are_none(run: Path, tmp_path: Path) -> None:
    for path in run.glob("scores.*.json"):
        path.unlink()
    card = export(run, tmp_path / "model")
    assert card.data.eval_results is None and "signature" not in card.text


def test_scores_of_other_sentences_have_no_interval(run: Path, tmp_path: Path) -> None:
    """Predictions written anew beside scores of before; scores of training are no result."""
    path = run / "predictions.test.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    path.write_text("".join(json.dumps({**line, "hypothesis": line["reference"]}) + "\n" for line in lines))
    for name in ("scores.dev.json", "predictions.dev.jsonl"):
        (run / name).rename(run / name.replace("dev", "train"))
    assert [(each.split, bool(each.intervals)) for each in evaluated(run)] == [("test", False), ("train", True)]
    results = results_of(export(run, tmp_path / "model"))
    assert {split for split, _ in results} == {"test"}
    assert all(list(each.metric_args or ()) == ["signature"] for each in results.values())


def test_what_is_not_recorded_is_not_said(run: Path, tmp_path: Path) -> None:
    """A run of an earlier version, with its corpus and without."""
    facts = json.loads((run / "run.json").read_text())
    assert facts.pop("data") == {"name": "wetter", "language": "de"}
    (run / "run.json").write_text(json.dumps(facts))
    assert export(run, tmp_path / "with").data.language == "de"
    (run / "run.json").write_text(json.dumps({**facts, "corpus": str(tmp_path / "gone")}))
    data = export(run, tmp_path / "without").data
    assert data.language is None and data.license is None


def test_stages_of_another_run_are_named(run: Path, tmp_path: Path) -> None:
    facts = json.loads((run / "run.json").read_text())
    assert "weights of another run" not in export(run, tmp_path / "own").text
    facts |= {"start": "/runs/first", "start_data": {"name": "phoenix14t"}, "taken": ["denoise", "pretrain"]}
    (run / "run.json").write_text(json.dumps(facts))
    row = "| weights of another run | denoise, pretrain of first (its corpus: phoenix14t) |"
    assert row in export(run, tmp_path / "other").text


def test_an_owner_may_rewrite_the_card(tiny_model: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_model, tmp_path / "model")
    (tmp_path / "model/README.md").write_text("mine")
    (tmp_path / "model/config.json").unlink()
    verify(tmp_path / "model")


def test_settings_that_were_changed_are_listed(run: Path, tmp_path: Path) -> None:
    text = export(run, tmp_path / "own").text
    recipe = run / "recipe.toml"
    recipe.write_text(recipe.read_text().replace('name = "tiny"', 'name = "hfa-phoenix14t"', 1))
    changed = export(run, tmp_path / "changed").text
    assert "`vision.hidden_size` | `384` | `24`" in changed and "`vision.hidden_size`" not in text
    assert "`seed`" not in changed


def test_supervision_and_bases_are_metadata() -> None:
    weights = {"vision": {"source": "hub:a/b@v1"}, "language": {"source": "hub:c/d"}, "decoder": {"source": "/x/y"}}
    for supervision, line in SUPERVISION.items():
        recipe = load_recipe("demo", [f"supervision={supervision}"])
        text = metadata(recipe, {"weights": weights}, {"name": "folder", "language": "nl"}, [])
        assert f"- {line.partition(':')[0]}" in text and "license" not in text
        assert "- a/b\n- c/d\n" in text and "/x/y" not in text
