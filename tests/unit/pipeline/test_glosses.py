"""Recipes that train on annotated glosses: what reaches a batch, what is refused, what goes on from stage to stage."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from glossfree.console import Silent
from glossfree.corpora.manifest import Manifest, PackedClip
from glossfree.errors import CorpusError, RecipeError, RunError
from glossfree.objectives.gloss_ctc import best_path
from glossfree.pipeline.evaluate import evaluate
from glossfree.pipeline.glosses import clips_too_short, gloss_ids, gloss_vocabulary_of
from glossfree.pipeline.material import gather
from glossfree.pipeline.start import train_recipe
from glossfree.pipeline.trained import TrainedRun
from glossfree.recipe.files import load_recipe
from glossfree.recipe.schema import Recipe
from glossfree.scoring.predictions import read_scores
from glossfree.scoring.word_errors import align
from glossfree.text.glosses import GLOSSES, GlossVocabulary
from glossfree.training.run import Run

SUPERVISED = """base = "BASE"
supervision = "glosses"
stages = ["recognise", "translate"]
[recognise]
epochs = 1
batch_size = 5
learning_rate = 3e-3
adapters = false
train = ["vision", "temporal"]
[recognise.objectives.gloss_ctc]
[translate]
epochs = 1
batch_size = 5
adapters = false
[translate.objectives.gloss_ctc]
[translate.objectives.translation]
"""


@pytest.fixture
def recipe(tiny: Any, tmp_path: Path) -> Recipe:
    path = tmp_path / "supervised.toml"
    path.write_text(SUPERVISED.replace("BASE", str(tiny.recipe)), encoding="utf-8")
    return load_recipe(path)


def corpus_with(tiny: Any, folder: Path, **glosses: tuple[str, ...]) -> Path:
    """A copy of the corpus where all clips of the splits that are named have these glosses."""
    shutil.copytree(tiny.corpus, folder)
    manifest = Manifest.load(folder)
    clips = [replace(clip, glosses=glosses.get(clip.split, clip.glosses)) for clip in manifest]
    replace(manifest, clips=tuple(clips)).save()
    return folder


def clip(number: int, *glosses: str) -> PackedClip:
    return PackedClip(f"c{number}", "train", "es taut", f"{number}.mp4", 9, 25.0, glosses=glosses)


def test_a_batch_holds_the_ids_of_each_clip(tiny: Any, recipe: Recipe) -> None:
    material = gather(recipe, tiny.corpus)
    assert material.glosses is None, "no pseudo-glosses: no objective needs them"
    vocabulary = material.gloss_vocabulary
    assert vocabulary == GlossVocabulary.of(clip.glosses for clip in material.clips("train")) and len(vocabulary) > 5
    glosses = {clip.id: clip.glosses for clip in material.manifest}
    for split in ("train", "dev"):
        loader = material.loader(split, recipe.stage("recognise"))
        assert loader is not None
        for batch in loader:
            for clip_id, row in zip(batch.ids, batch.targets["glosses"], strict=True):
                assert row[row != -100].tolist() == vocabulary.ids(glosses[clip_id])


def test_glosses_as_a_sentence_are_labels_and_in_the_vocabulary(tiny: Any, recipe: Recipe, tmp_path: Path) -> None:
    material = gather(recipe, tiny.corpus)
    both = load_recipe(tmp_path / "supervised.toml", ["translate.objectives.gloss_translation.weight=2"])
    wider = gather(both, tiny.corpus)
    assert len(wider.tokenizer) >= len(material.tokenizer) and wider.tokenizer.sha256 != material.tokenizer.sha256
    clips = wider.clips("train")
    loader = wider.loader("train", both.stage("translate"))
    assert loader is not None
    glosses = {clip.id: clip.glosses for clip in clips}
    for batch in loader:
        for clip_id, row in zip(batch.ids, batch.targets["gloss_labels"], strict=True):
            assert row[row != -100].tolist() == wider.encode(" ".join(glosses[clip_id]).lower())
    assert wider.tokenizer.mask_id not in {
        token for batch in loader for token in batch.targets["gloss_labels"].flatten().tolist()
    }


def test_a_text_stage_reads_the_glosses_of_one_of_the_clips_of_its_sentence(
    tiny: Any, recipe: Recipe, tmp_path: Path
) -> None:
    stage = recipe.stage("translate").model_copy(update={"batches": "sentences", "noise": "glosses"})
    shutil.copytree(tiny.corpus, tmp_path / "corpus")
    manifest = Manifest.load(tmp_path / "corpus")
    first, second, third, *others = manifest.clips
    clips = (first, replace(second, text=first.text), replace(third, glosses=()), *others)
    replace(manifest, clips=clips).save()
    material = gather(recipe.model_copy(update={"stages": (stage,)}), tmp_path / "corpus")
    loader = material.loader("train", stage)
    assert loader is not None
    tokenizer, seen, read = material.tokenizer, set[str](), set[str]()
    sources = {text: {" ".join(clip.glosses).lower() for clip in clips if clip.text == text} for text in
               {clip.text for clip in material.clips("train")}}  # fmt: skip
    for epoch in range(8):
        loader.set_epoch(epoch)
        for batch in loader:
            for text, row, labels in zip(batch.ids, batch.input_ids, batch.labels, strict=True):
                source = tokenizer.decode(row.tolist())
                assert source in sources[text] and tokenizer.decode(labels.tolist()) == text
                assert tokenizer.mask_id not in row.tolist(), "the tokenizer knows the letters of glosses"
                seen.add(text)
                read |= {source} if text == first.text else set()
    assert len(read) == 2, "both clips of that sentence"
    assert third.text not in seen and len(seen) == len(material.clips("train")) - 2


def test_ids_are_padded_to_the_longest_clip() -> None:
    clips = [clip(1, "A", "C", "A"), clip(2), clip(3, "C", "NEW")]
    vocabulary = GlossVocabulary(("A", "C"))
    rows = {name: row.tolist() for name, row in gloss_ids(vocabulary, clips).items()}
    assert rows == {"c1": [1, 2, 1], "c2": [-100, -100, -100], "c3": [2, -100, -100]}


def test_clips_with_fewer_segments_than_glosses_are_named() -> None:
    clips = [clip(1, "A", "C", "A"), clip(2), clip(3, "C", "C"), clip(4, "C", "C")]
    assert clips_too_short(GlossVocabulary(("A", "C")), clips, torch.tensor([3, 1, 2, 3])) == ["c3"]


@pytest.mark.parametrize("split", ["train", "dev"])
def test_a_corpus_without_glosses_is_refused_before_anything_is_written(
    tiny: Any, recipe: Recipe, tmp_path: Path, split: str
) -> None:
    corpus, run = corpus_with(tiny, tmp_path / "corpus", **{split: ()}), tmp_path / "run"
    with pytest.raises(CorpusError, match=f"no clip of {split} has glosses") as caught:
        train_recipe(recipe, corpus=corpus, run=run, console=Silent())
    assert caught.value.where == str(corpus) and "glossfree prepare" in str(caught.value.remedy)
    assert not run.exists()
    assert gather(load_recipe(tiny.recipe), corpus).gloss_vocabulary is None, "a gloss-free recipe trains on it"


@pytest.mark.parametrize("supervision", ["gloss-free", "weak"])
def test_glosses_need_a_recipe_that_says_so(tiny: Any, tmp_path: Path, supervision: str) -> None:
    path = tmp_path / "hidden.toml"
    path.write_text(SUPERVISED.replace("BASE", str(tiny.recipe)).replace('"glosses"', f'"{supervision}"'))
    expected = (
        f'recognise.objectives.gloss_ctc trains on annotated glosses.*supervision = "glosses", not "{supervision}"'
    )
    with pytest.raises(RecipeError, match=expected):
        load_recipe(path)
    expected = f'recognise.noise "glosses" trains on annotated glosses.*not "{supervision}"'
    with pytest.raises(RecipeError, match=expected):
        load_recipe(path, ["recognise.batches=sentences", "recognise.noise=glosses"])
    weights = [f"{stage}.objectives.gloss_ctc.weight=0" for stage in ("recognise", "translate")]
    assert load_recipe(path, [*weights, "recognise.epochs=0"]).supervision == supervision


def test_the_layer_of_glosses_goes_on_where_the_stage_before_left_it(tiny: Any, recipe: Recipe, tmp_path: Path) -> None:
    run = tmp_path / "run"
    frozen = recipe.stage("translate").model_copy(update={"learning_rate": 1e-12})
    recipe = recipe.model_copy(update={"stages": (recipe.stage("recognise"), frozen)})
    console = Silent()
    train_recipe(recipe, corpus=tiny.corpus, run=run, console=console)
    before, after = (load_file(Run(run).weights(name)) for name in ("recognise", "translate"))
    names = [name for name in before if name.startswith("objectives.gloss_ctc.")]
    assert len(names) == 2
    for name in names:
        torch.testing.assert_close(after[name], before[name], rtol=0, atol=1e-6)
    assert GlossVocabulary.load(run / GLOSSES) == gloss_vocabulary_of(Manifest.load(tiny.corpus))


def test_a_run_on_other_glosses_is_neither_resumed_nor_taken_from(tiny: Any, recipe: Recipe, tmp_path: Path) -> None:
    run, corpus = tmp_path / "run", corpus_with(tiny, tmp_path / "corpus", train=("A", "B"))
    train_recipe(recipe, corpus=tiny.corpus, run=run, console=Silent(), until="recognise")
    with pytest.raises(RunError, match="other sentences, glosses or pseudo-glosses"):
        train_recipe(recipe, corpus=corpus, run=run, console=Silent(), resume=True)
    with pytest.raises(RunError, match="was trained with other glosses"):
        train_recipe(recipe, corpus=corpus, run=tmp_path / "new", console=Silent(), start=run)
    assert not (tmp_path / "new").exists()


def test_a_gloss_free_recipe_takes_nothing_from_a_run_on_glosses(tiny: Any, recipe: Recipe, tmp_path: Path) -> None:
    run, new = tmp_path / "run", tmp_path / "new"
    train_recipe(recipe, corpus=tiny.corpus, run=run, console=Silent(), until="recognise")
    changes = ["recognise.objectives.gloss_ctc.weight=0", "recognise.objectives.sign_contrast.weight=1",
               "translate.objectives.gloss_ctc.weight=0", "supervision=gloss-free"]  # fmt: skip
    path = tmp_path / "supervised.toml"
    with pytest.raises(RunError, match='was trained with supervision = "glosses"; the recipe says "gloss-free"'):
        train_recipe(load_recipe(path, changes), corpus=tiny.corpus, run=new, console=Silent(), start=run,
                     after="recognise")  # fmt: skip
    with pytest.raises(RecipeError, match='was trained with supervision = "glosses"; the recipe says "gloss-free"'):
        free = load_recipe(tiny.recipe, [f"vision.weights={run}"])
        train_recipe(free, corpus=tiny.corpus, run=new, console=Silent())
    assert not new.exists()


def test_training_says_how_many_clips_are_too_short(tiny: Any, recipe: Recipe, tmp_path: Path) -> None:
    corpus = corpus_with(tiny, tmp_path / "corpus", train=("A",) * 40)
    console = Silent()
    train_recipe(recipe, corpus=corpus, run=tmp_path / "run", console=console, until="recognise")
    (line,) = [line for line in console.lines if "too few segments" in line]
    assert "12 of 12 training clips" in line and "wetter-train-00000" in line


def test_evaluate_recognises_glosses_and_counts_errors(tiny: Any, recipe: Recipe, tmp_path: Path) -> None:
    """Clip by clip from the weights, and without clips that have no annotation."""
    run, corpus = tmp_path / "run", tmp_path / "corpus"
    rate = {"learning_rate": 3e-2, "epochs": 4}
    stages = tuple(stage.model_copy(update=rate) for stage in recipe.stages)  # so that it is not all blanks
    decode = recipe.decode.model_copy(update={"num_beams": 1})
    recipe = recipe.model_copy(update={"stages": stages, "decode": decode})
    train_recipe(recipe, corpus=tiny.corpus, run=run, console=Silent())
    shutil.copytree(tiny.corpus, corpus)
    manifest = Manifest.load(corpus)
    first = next(clip for clip in manifest if clip.split == "test")
    clips = [replace(clip, glosses=() if clip is first else clip.glosses) for clip in manifest]
    replace(manifest, clips=tuple(clips)).save()
    evaluation = evaluate(run, split="test", console=Silent(), corpus=corpus)

    trained = TrainedRun(run)
    model, tensors = trained.model()[0].eval(), load_file(Run(run).weights("translate"))
    weight, bias = (tensors[f"objectives.gloss_ctc.head.{name}"] for name in ("weight", "bias"))
    names, edits, glosses = GlossVocabulary.load(run / GLOSSES).inventory, [0, 0, 0], 0
    loader = trained.material(corpus).clip_loader("test", 1)
    assert loader is not None
    for batch in loader:
        with torch.no_grad():
            rows = model.hierarchy.segments(batch.frames, batch.lengths).values[0] @ weight.T + bias
        recognised = [names[id - 1] for id in best_path(rows.numpy())]
        assert evaluation.predictions[batch.ids[0]].glosses == tuple(recognised)
        annotated = next(clip.glosses for clip in clips if clip.id == batch.ids[0])
        if annotated:
            edits = [total + each for total, each in zip(edits, align(recognised, annotated), strict=True)]
            glosses += len(annotated)
    written = read_scores(next(run.glob("scores.test*.json")))
    assert [written.recognition[name] for name in ("substitutions", "insertions", "deletions")] == edits
    assert written.recognition["wer"] == pytest.approx(100 * sum(edits) / glosses)
    assert (written.recognition["num_clips"], written.recognition["num_beams"]) == (4, 1)
    assert f"WER) {written.recognition['wer']:.2f} %" in written.gloss_line
    assert any(each.glosses for each in evaluation.predictions.values())
    lines = [json.loads(line) for line in next(run.glob("predictions.test*")).read_text().splitlines()]
    assert [line["glosses"] for line in lines] == [" ".join(e.glosses or ()) for e in evaluation.predictions.values()]

    free = replace(Manifest.load(corpus), clips=tuple(replace(clip, glosses=()) for clip in clips))
    free.save()
    assert evaluate(run, split="test", console=Silent(), corpus=corpus).scores.recognition == {}


def test_a_head_whose_segments_were_trained_further_recognises_nothing(
    tiny: Any, recipe: Recipe, tmp_path: Path
) -> None:
    for train, recognises in ((["temporal", "decoder"], False), (["language", "decoder"], True)):
        later = load_recipe(tmp_path / "supervised.toml", ["translate.objectives.gloss_ctc.weight=0",
                                                           f"translate.train={json.dumps(train)}"])  # fmt: skip
        run = tmp_path / train[0]
        train_recipe(later, corpus=tiny.corpus, run=run, console=Silent())
        recogniser = TrainedRun(run).recogniser()
        assert (recogniser is not None) == recognises


@pytest.mark.parametrize(("given", "says"), [("weak", "gloss-free"), ("glosses", "weak")])
def test_a_recipe_says_the_strongest_supervision_that_its_weights_were_given(
    given: str, says: str, tiny: Any, tmp_path: Path
) -> None:
    run, new = tmp_path / "run", tmp_path / "new"
    train_recipe(load_recipe(tiny.recipe, [f"supervision={given}"]), corpus=tiny.corpus, run=run, console=Silent(),
                 until="pretrain")  # fmt: skip
    weaker = load_recipe(tiny.recipe, [f"supervision={says}"])
    problem = f'was trained with supervision = "{given}"; the recipe says "{says}"'
    with pytest.raises(RunError, match=problem):
        train_recipe(weaker, corpus=tiny.corpus, run=new, console=Silent(), start=run)
    with pytest.raises(RunError, match=r"another recipe .*supervision"):
        train_recipe(weaker, corpus=tiny.corpus, run=run, console=Silent(), resume=True)
    with pytest.raises(RecipeError, match=problem):
        named = load_recipe(tiny.recipe, [f"supervision={says}", f"vision.weights={run}"])
        train_recipe(named, corpus=tiny.corpus, run=new, console=Silent())
    assert not new.exists()
    stronger = load_recipe(tiny.recipe, ["supervision=glosses"])
    train_recipe(stronger, corpus=tiny.corpus, run=new, console=Silent(), start=run, until="finetune1")
    assert TrainedRun(new).recipe.supervision == "glosses"
