"""A trained run opened: its model, head, corpus and scores, and what is refused."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from glossfree.console import Silent
from glossfree.corpora.manifest import Manifest
from glossfree.errors import CorpusError, ModelError, RunError
from glossfree.export import export_model
from glossfree.pipeline.decode import Decoder
from glossfree.pipeline.evaluate import evaluate
from glossfree.pipeline.trained import TrainedRun, load_model_and_head
from glossfree.recipe.files import load_recipe
from glossfree.scoring.metrics import score
from glossfree.scoring.predictions import read_predictions, read_scores
from glossfree.text.corpus import write_pseudo_glosses
from glossfree.text.pseudo_glosses import PseudoGlosses
from glossfree.training.run import Run
from glossfree.translator import SignTranslator


@pytest.fixture
def copy(tiny_run: Path, tmp_path: Path) -> Path:
    shutil.copytree(tiny_run, tmp_path / "copy")
    return tmp_path / "copy"


def test_every_clip_of_the_split_is_scored_once(tiny: Any, copy: Path) -> None:
    found = evaluate(copy, split="dev", console=Silent())
    clips = Manifest.load(tiny.corpus).split("dev")
    predictions = read_predictions(copy, "dev")
    assert list(predictions) == [clip.id for clip in clips]
    expected = score([predictions[clip.id].text for clip in clips], [clip.text for clip in clips], language="de")
    assert found.scores == replace(expected, supervision="gloss-free")
    assert json.loads((copy / "scores.dev.json").read_text())["bleu4"] == expected.bleu4


def test_another_corpus_of_the_same_size_may_be_named(tiny: Any, copy: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny.corpus, tmp_path / "other")
    path = tmp_path / "other/manifest.jsonl"
    lines = [line for line in path.read_text().splitlines(keepends=True) if "wetter-test-00003" not in line]
    path.write_text("".join(lines))
    own = {path.name: path.read_bytes() for path in copy.glob("*.test.*")}
    assert {"scores.test.json", "predictions.test.jsonl"} <= own.keys()
    assert evaluate(copy, split="test", console=Silent(), corpus=tmp_path / "other").scores.num_sentences == 4
    assert {path.name: path.read_bytes() for path in copy.glob("*.test.*") if path.name in own} == own
    scores = read_scores(copy / "scores.test.corpus-other.json")
    assert scores.num_sentences == 4 == len((copy / "predictions.test.corpus-other.jsonl").read_text().splitlines())
    evaluate(copy, split="test", console=Silent(), corpus=tmp_path / "other", rerank=2.0)
    assert (copy / "scores.test.corpus-other.rerank-2.json").is_file()
    export_model(copy, tmp_path / "model", Silent())
    card = json.loads((tmp_path / "model/model.json").read_text())
    assert {*card["scores"]} == {path.stem for path in copy.glob("scores.*.json") if path.stem.count(".") == 1}


def test_the_own_corpus_by_another_path_is_not_another_one(tiny: Any, copy: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tiny.corpus)
    evaluate(copy, split="test", console=Silent(), corpus=tmp_path / "link")
    assert not [*copy.glob("*.corpus-*")]


def test_a_corpus_that_was_moved_is_named_with_the_option(tiny: Any, copy: Path, tmp_path: Path) -> None:
    path = copy / "run.json"
    facts = json.loads(path.read_text())
    path.write_text(json.dumps({**facts, "corpus": str(tmp_path / "moved")}))
    with pytest.raises(RunError, match=r"moved.* -> .*--corpus") as caught:
        evaluate(copy, split="dev", console=Silent())
    assert str(path) in str(caught.value)
    assert evaluate(copy, split="dev", console=Silent(), corpus=tiny.corpus).scores.num_sentences == 4
    assert not [*copy.glob("*.corpus-*")], "it is still the run's own"


def test_a_split_that_is_not_there_is_named(copy: Path) -> None:
    with pytest.raises(CorpusError, match="tset"):
        evaluate(copy, split="tset", console=Silent())


def test_the_model_is_that_of_the_last_finished_stage(tiny: Any, copy: Path) -> None:
    assert TrainedRun(copy).last_stage == "finetune2"
    (copy / "weights/finetune2.safetensors").unlink()
    trained = TrainedRun(copy)
    assert trained.last_stage == "finetune1"
    expected = load_file(copy / "weights/finetune1.safetensors")["hierarchy.mapper.linear.weight"]
    assert trained.model()[0].state_dict()["hierarchy.mapper.linear.weight"].equal(expected)
    (copy / "weights/finetune1.safetensors").unlink()
    with pytest.raises(RunError, match=r"no stage that learns to translate has finished \(finetune1, finetune2\)"):
        trained.model()
    trained.recipe = load_recipe(tiny.recipe, ["finetune1.epochs=0", "finetune2.epochs=0"])
    with pytest.raises(RunError, match="this recipe has none"):
        trained.model()


def test_the_head_is_found_here_or_where_the_run_started(copy: Path, tmp_path: Path) -> None:
    names = set(TrainedRun(copy).head_tensors())
    assert "head.prototypes" in names and all(name.startswith("head.") for name in names)
    facts = json.loads((copy / "run.json").read_text())
    shutil.copytree(copy, tmp_path / "later")
    (tmp_path / "later/weights/pretrain.safetensors").unlink()
    assert TrainedRun(tmp_path / "later").head_tensors() == {}
    (tmp_path / "later/run.json").write_text(json.dumps({**facts, "start": str(copy)}))
    assert set(TrainedRun(tmp_path / "later").head_tensors()) == names


def test_names_of_pseudo_glosses_come_with_the_head(tiny: Any, copy: Path, tmp_path: Path) -> None:
    """A run that took its head from another was trained on a corpus with pseudo-glosses of its own."""
    run, model = Run(tmp_path / "later"), tmp_path / "model"
    shutil.copytree(copy, run.folder)
    run.weights("pretrain").unlink()
    run.write_json("run.json", {**run.read_json("run.json"), "start": str(copy)})
    shutil.copytree(tiny.corpus, tmp_path / "corpus")
    write_pseudo_glosses(tmp_path / "corpus", splits=("train", "dev", "test"), console=Silent())
    shutil.copyfile(tmp_path / "corpus/pseudo_glosses.json", run.folder / "pseudo_glosses.json")
    expected = PseudoGlosses.load(copy / "pseudo_glosses.json").inventory
    assert PseudoGlosses.load(run.folder / "pseudo_glosses.json").inventory != expected
    assert SignTranslator.of_run(TrainedRun(run.folder)).pseudo_glosses == expected
    export_model(run.folder, model, Silent())
    assert SignTranslator.from_pretrained(model).pseudo_glosses == expected


def test_a_head_of_other_segments_is_not_taken(tiny: Any, copy: Path) -> None:
    """The head of pre-training scores segments as pre-training makes them: not those of a stage without it."""
    for setting, has_head in (("finetune1.start=none", False), ("finetune2.start=pretrain", True)):
        trained = TrainedRun(copy)
        trained.recipe = load_recipe(tiny.recipe, [setting])
        assert bool(trained.head_tensors()) == has_head


def test_a_folder_that_is_no_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="not a run"):
        TrainedRun(tmp_path)


def test_predictions_do_not_depend_on_the_batches(tiny: Any, tiny_run: Path) -> None:
    trained = TrainedRun(tiny_run)
    decoder = Decoder(trained.model()[0].eval(), trained.tokenizer, trained.recipe)
    material = trained.material()
    single, several = (
        {
            id: prediction.score
            for batch in material.clip_loader("test", size) or ()
            for id, prediction in zip(batch.ids, decoder(batch), strict=True)
        }
        for size in (1, 4)
    )
    assert len(single) == 5 and single.keys() == several.keys()
    assert single == pytest.approx(several, abs=1e-5)


def test_what_the_recipe_appends_is_scored_with_and_said(tiny: Any, copy: Path) -> None:
    plain = evaluate(copy, split="test", console=Silent())
    path = copy / "recipe.toml"
    path.write_text(path.read_text().replace('append = ""', 'append = " ."'))
    stopped = evaluate(copy, split="test", console=Silent())
    assert stopped.predictions == plain.predictions
    assert stopped.scores.bleu1 > plain.scores.bleu1
    kept = json.loads((copy / "scores.test.json").read_text())
    assert kept["convention"]["append"] == " ." and kept["signatures"]["bleu1"].endswith('|append:" ."')


def test_a_chinese_corpus_is_scored_by_characters_with_the_same_stop(tiny: Any, copy: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny.corpus, tmp_path / "other")
    path = tmp_path / "other/corpus.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "language": "zh"}))
    recipe = copy / "recipe.toml"
    recipe.write_text(recipe.read_text().replace('append = ""', 'append = "。"'))
    found = evaluate(copy, split="test", console=Silent(), corpus=tmp_path / "other").scores
    assert found.convention == {**found.convention, "name": "plain-chinese", "append": "。", "characters": True}
    assert "tok:zh" in found.signatures["bleu4"] and found.signatures["rouge_l"].endswith('|append:"。"')


def test_a_corpus_whose_inventory_was_made_anew_can_still_be_evaluated(tiny: Any, copy: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny.corpus, tmp_path / "other")
    write_pseudo_glosses(tmp_path / "other", splits=("train", "dev", "test"), console=Silent())
    assert evaluate(copy, split="dev", console=Silent(), corpus=tmp_path / "other").scores.num_sentences == 4


@pytest.mark.parametrize("facts", [[], {}, {"corpus": 5}, {"corpus": "nowhere", "start": ["x"]}])
def test_facts_of_a_run_that_were_damaged_are_named(copy: Path, facts: object) -> None:
    (copy / "run.json").write_text(json.dumps(facts))
    (copy / "weights/pretrain.safetensors").unlink()
    with pytest.raises(RunError, match=r"run\.json"):
        evaluate(copy, split="dev", console=Silent())


def test_a_head_that_does_not_belong_to_the_recipe_is_refused(tiny: Any, tiny_run: Path) -> None:
    trained = TrainedRun(tiny_run)
    recipe, tensors, size = trained.recipe, trained.tensors(), len(trained.tokenizer)
    assert load_model_and_head(recipe, size, tensors, where=tiny_run)[1] is not None
    plain = {name: tensor for name, tensor in tensors.items() if not name.startswith("head.")}
    assert load_model_and_head(recipe, size, plain, where=tiny_run)[1] is None
    without = load_recipe(tiny.recipe, ["pretrain.objectives.pseudo_gloss.weight=0"])
    with pytest.raises(ModelError, match="a pseudo-gloss head without a recipe"):
        load_model_and_head(without, size, tensors, where=tiny_run)
    del tensors["head.prototypes"]
    with pytest.raises(ModelError, match="a pseudo-gloss head without prototypes"):
        load_model_and_head(recipe, size, tensors, where=tiny_run)
