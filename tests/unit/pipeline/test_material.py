"""What a recipe makes of a corpus: tokens, targets, batches of each stage; and what it refuses."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.unit.language_models import save_language_model

from glossfree.console import Silent
from glossfree.corpora.manifest import Manifest
from glossfree.errors import ClipError, CorpusError, RecipeError
from glossfree.pipeline.material import gather, view_of
from glossfree.pipeline.weights import with_language_model
from glossfree.recipe.files import load_recipe
from glossfree.recipe.schema import TextConfig
from glossfree.text.corpus import write_pseudo_glosses
from glossfree.text.language_model import LanguageModelTokenizer
from glossfree.text.tokenizer import SentenceTokenizer
from glossfree.video.features import FeatureStore


def material_of(tiny: Any, *overrides: str, corpus: Path | None = None) -> Any:
    return gather(load_recipe(tiny.recipe, overrides), corpus or tiny.corpus)


def copy_without(tiny: Any, tmp_path: Path, split: str) -> Path:
    corpus = tmp_path / "corpus"
    shutil.copytree(tiny.corpus, corpus)
    path = corpus / "manifest.jsonl"
    lines = [line for line in path.read_text().splitlines(keepends=True) if json.loads(line)["split"] != split]
    path.write_text("".join(lines))
    return corpus


def test_the_tokenizer_is_trained_on_the_training_sentences_alone(tiny: Any) -> None:
    material = material_of(tiny)
    train = [clip.text for clip in material.clips("train")]
    assert material.tokenizer.sha256 == SentenceTokenizer.train(train, 90, "de_DE").sha256
    assert material.kept_ids() == []


def test_the_first_training_clips_are_all_that_a_smaller_corpus_knows(tiny: Any) -> None:
    whole, part = material_of(tiny), material_of(tiny, "data.train_clips=5")
    assert part.clips("train") == whole.clips("train")[:5]
    assert [part.clips(split) for split in ("dev", "test")] == [whole.clips(split) for split in ("dev", "test")]
    sentences = [clip.text for clip in part.clips("train")]
    assert part.tokenizer.sha256 == SentenceTokenizer.train(sentences, 90, "de_DE").sha256
    words = {gloss for text in sentences for gloss in whole.glosses.of_sentence(text)}
    assert part.glosses.inventory == tuple(sorted(words)) and len(words) < len(whole.glosses)
    rows = [whole.glosses.inventory.index(gloss) for gloss in part.glosses.inventory]
    assert torch.equal(part.vectors, whole.vectors[rows])
    assert part.document_frequencies().shape == (len(words),) and part.document_frequencies().min() >= 1 / 5
    assert material_of(tiny, "data.train_clips=99").clips("train") == whole.clips("train")


def test_a_tokenizer_that_is_named_is_trimmed_to_the_training_sentences(tiny: Any, tmp_path: Path) -> None:
    big = SentenceTokenizer.train([clip.text for clip in material_of(tiny).manifest], 120, "de_DE")
    big.save(tmp_path / "tokenizer")
    material = material_of(tiny, f"text.tokenizer={tmp_path / 'tokenizer'}")
    kept = material.kept_ids()
    assert len(kept) == len(material.tokenizer) < len(big)
    assert kept[:4] == [0, 1, 2, 3]
    for clip in material.clips("train"):
        assert [kept[token] for token in material.encode(clip.text)] == big.encode(clip.text)


def test_the_tokenizer_of_an_earlier_run_is_taken_as_it_is(tiny: Any) -> None:
    other = SentenceTokenizer.train(["abc def", "defa bc"], 40, "de_DE")
    material = gather(load_recipe(tiny.recipe), tiny.corpus, tokenizer=other)
    assert material.tokenizer is other


def test_a_long_sentence_loses_its_end_but_neither_stop_nor_language(tiny: Any) -> None:
    full, short = material_of(tiny), material_of(tiny, "text.max_tokens=6")
    text = max((clip.text for clip in full.manifest), key=len)
    whole, cut = full.encode(text), short.encode(text)
    assert len(whole) > 6 == len(cut)
    assert cut == [*whole[:4], *whole[-2:]]
    assert cut[-2:] == [full.tokenizer.eos_id, full.tokenizer.language_id]
    assert [row.tolist() for row in short.token_ids([text, text])] == [cut, cut]


def test_a_language_model_brings_its_tokenizer_its_sizes_and_its_ids(tiny: Any, tmp_path: Path) -> None:
    folder = save_language_model(tmp_path / "lm", "llama", [clip.text for clip in material_of(tiny).manifest])
    settings = (f"decoder.weights={folder}", "data.frame_size=28", "data.crop_size=28")
    recipe = load_recipe("sign2gpt-xglm-wetter", settings)
    resolved = with_language_model(recipe)
    options: Any = resolved.decoder
    assert (options.config["model_type"], options.start_id, options.end_id) == ("llama", 1, 2)
    assert "d_model" not in options.config, "nothing is left of the recipe's own sizes"
    assert with_language_model(resolved) == resolved
    material = gather(resolved, tiny.corpus)
    assert isinstance(material.tokenizer, LanguageModelTokenizer) and material.kept_ids() == []
    text = max((clip.text for clip in material.manifest), key=len)
    short = replace(material, recipe=resolved.model_copy(update={"text": TextConfig(max_tokens=5)}))
    assert short.encode(text) == [*material.encode(text)[:4], 2]
    with pytest.raises(RecipeError, match=r"text\.max_tokens 200 exceeds decoder\.max_positions 130"):
        with_language_model(recipe.model_copy(update={"text": TextConfig(max_tokens=200)}))
    assert with_language_model(load_recipe(tiny.recipe)) == load_recipe(tiny.recipe)


def test_frames_of_another_size_are_refused_with_both_sizes(tiny: Any) -> None:
    with pytest.raises(RecipeError, match=r"data\.frame_size is 40, the corpus was packed at 28"):
        material_of(tiny, "data.frame_size=40")


def test_the_remedy_for_another_frame_size_is_a_valid_recipe(tiny: Any) -> None:
    with pytest.raises(RecipeError) as caught:
        material_of(tiny, "data.frame_size=56", "data.crop_size=48")
    settings = [word for word in str(caught.value.remedy).split() if word.startswith("data.")]
    assert len(settings) == 2
    assert material_of(tiny, *settings).recipe.data.crop_size == 24


@pytest.mark.parametrize("name", ["pseudo_glosses.json", "prototypes.safetensors"])
def test_a_corpus_without_pseudo_glosses_is_refused(tiny: Any, tmp_path: Path, name: str) -> None:
    shutil.copytree(tiny.corpus, tmp_path / "corpus")
    (tmp_path / "corpus" / name).unlink()
    with pytest.raises(CorpusError, match=f"no {name}"):
        material_of(tiny, corpus=tmp_path / "corpus")


def test_a_corpus_may_lack_dev_but_not_train_or_test(tiny: Any, tmp_path: Path) -> None:
    material = material_of(tiny, corpus=copy_without(tiny, tmp_path, "dev"))
    assert material.clips("dev") == ()
    assert [material.loader("dev", stage) for stage in material.recipe.stages] == [None] * 4
    assert material.clip_loader("dev", 3) is None
    without_test = material_of(tiny, corpus=copy_without(tiny, tmp_path / "b", "test"))
    with pytest.raises(CorpusError, match="no clip in split 'test'"):
        without_test.clips("test")
    with pytest.raises(CorpusError, match="no clip in split 'train'"):
        material_of(tiny, corpus=copy_without(tiny, tmp_path / "c", "train"))


def test_batches_of_clips_hold_frames_labels_and_targets(tiny: Any) -> None:
    material = material_of(tiny)
    loader = material.loader("train", material.recipe.stage("pretrain"))
    batches = list(loader)
    assert sorted(clip for batch in batches for clip in batch.ids) == [clip.id for clip in material.clips("train")]
    assert min(len(batch) for batch in batches) >= 2  # eq 4 needs somebody to be told from
    for batch in batches:
        assert batch.frames.shape[1:] == (3, 24, 24) and batch.frames.dtype == torch.uint8
        assert batch.frames.shape[0] == int(batch.lengths.sum()) and int(batch.lengths.max()) <= 40
        for row, text in enumerate(batch.texts):
            labels = batch.labels[row]
            assert labels[labels != -100].tolist() == material.encode(text)
            assert np.array_equal(batch.targets["pseudo_glosses"][row].numpy(), material.glosses.targets(text))


def test_only_a_stage_whose_objectives_need_targets_has_them(tiny: Any) -> None:
    material = material_of(tiny)
    targets = {}
    for name in ("pretrain", "finetune2"):
        loader = material.loader("dev", material.recipe.stage(name))
        targets[name] = {tuple(batch.targets) for batch in loader}
    assert targets == {"pretrain": {("pseudo_glosses",)}, "finetune2": {()}}
    assert {tuple(batch.targets) for batch in material.clip_loader("test", 3)} == {()}


def test_steps_have_two_clips_at_least_where_clips_are_compared(tiny: Any) -> None:
    """12 clips in steps of 11: the last one alone, or all twelve together. An equal copy of a stage is the same."""
    material = material_of(tiny, "pretrain.batch_size=11", "finetune2.batch_size=11")
    sizes: dict[str, list[list[int]]] = {}
    for name in ("pretrain", "finetune2"):
        stage = material.recipe.stage(name)
        for each in (stage, stage.model_copy()):
            loader = material.loader("train", each)
            sizes.setdefault(name, []).append(sorted(len(step[0]) for step in loader.steps()))
    assert sizes == {"pretrain": [[12], [12]], "finetune2": [[1, 11], [1, 11]]}


def test_only_training_that_augments_draws_at_random(tiny: Any) -> None:
    material = material_of(tiny)
    seen = {}
    for training, augment in ((True, True), (True, False), (False, False)):
        loader = material.clip_loader("train", 5, training=training, augment=augment)
        epochs = []
        for epoch in (0, 1):
            loader.set_epoch(epoch)
            rows: dict[str, bytes] = {}
            for batch in loader:
                parts = batch.frames.split(batch.lengths.tolist())
                rows |= {clip: part.numpy().tobytes() for clip, part in zip(batch.ids, parts, strict=True)}
            epochs.append(rows)
        seen[training, augment] = epochs[0] == epochs[1]
    assert seen == {(True, True): False, (True, False): True, (False, False): True}


def test_a_stage_augments_training_clips_where_it_says_so_and_never_dev(tiny: Any) -> None:
    material = material_of(tiny, "finetune1.batches=clips")
    stages = [material.recipe.stage(name) for name in ("finetune1", "finetune2")]
    loaders = [material.loader(split, stage) for stage in stages for split in ("train", "dev")]
    assert [(loader.dataset.augment, loader.batch_sampler.shuffle) for loader in loaders] == [
        (False, True),
        (False, False),
        (True, True),
        (False, False),
    ]


def test_clips_of_similar_length_come_together_as_the_recipe_says(tiny: Any) -> None:
    orders = {}
    for width in (0, 16):
        material = material_of(tiny, f"data.bucket_width={width}")
        batches = list(material.clip_loader("train", 5))
        orders[width] = [pair for each in batches for pair in zip(each.ids, each.lengths.tolist(), strict=True)]
    assert [clip for clip, _ in orders[0]] == [clip.id for clip in material.clips("train")]
    assert [n for _, n in orders[16]] == sorted((n for _, n in orders[0]), reverse=True)


def test_batches_of_features_are_those_computed_before(tiny: Any) -> None:
    material = material_of(tiny)
    features = {clip.id: torch.randn(3 + n, 32) for n, clip in enumerate(material.clips("dev"))}
    loader = material.feature_loader("dev", material.recipe.stage("finetune1"), features)
    for batch in loader:
        assert batch.level == "segment_features"
        for clip, part in zip(batch.ids, batch.frames.split(batch.lengths.tolist()), strict=True):
            assert torch.equal(part, features[clip])


def test_a_clip_without_features_is_left_out_in_training_where_the_recipe_says_so(tiny: Any) -> None:
    for split, training in (("train", True), ("dev", False)):
        material = material_of(tiny, "data.on_bad_clip=skip")
        stage = material.recipe.stage("finetune1")
        features = {clip.id: torch.randn(3, 32) for clip in material.clips(split)[1:]}
        if training:
            loader = material.feature_loader(split, stage, features)
            assert loader.skipped() == [material.clips(split)[0].id]
            assert sum(len(batch) for batch in loader) == 11
        with pytest.raises(ValueError, match="1 clips have no features"):
            strict = material if not training else material_of(tiny)
            strict.feature_loader(split, stage, features)


def test_with_stored_features_no_video_is_opened_and_the_plan_stays_the_same(tiny: Any, tmp_path: Path) -> None:
    """The same clips in the same order with the same targets; rows in place of frames."""
    corpus = copy_without(tiny, tmp_path, "nothing")
    material = material_of(tiny, "data.on_bad_clip=skip", corpus=corpus)
    store = FeatureStore(corpus, "key", 6, "make them")
    for clip in material.manifest:
        store.write(clip, torch.randn(clip.num_frames, 6), "stamp")
    pretrain = material.recipe.stage("pretrain")
    expected = list(material.loader("train", pretrain))
    shutil.rmtree(corpus / "clips")
    stored = replace(material, store=store)
    for video, rows in zip(expected, stored.loader("train", pretrain), strict=True):
        assert rows.level == "backbone_features" and rows.frames.shape == (len(video.frames), 6)
        assert (rows.ids, rows.texts) == (video.ids, video.texts) and torch.equal(rows.lengths, video.lengths)
        assert torch.equal(rows.labels, video.labels)
        assert torch.equal(rows.targets["pseudo_glosses"], video.targets["pseudo_glosses"])
    assert {tuple(batch.targets) for batch in stored.clip_loader("test", 3)} == {()}
    first = material.clips("train")[0]
    store.drop(first)
    for options in ({"training": True}, {"may_skip": True}):
        loader = stored.clip_loader("train", 5, **options)
        assert loader.skipped() == [first.id] and sum(len(batch) for batch in loader) == 11
    with pytest.raises(ClipError, match=f"clip {first.id} .* -> make them"):
        list(stored.clip_loader("train", 5))


@pytest.mark.parametrize("split", ["train", "dev"])
def test_a_split_of_one_clip_has_no_pairs(tiny: Any, tmp_path: Path, split: str) -> None:
    material_of(tiny).check_pairs("contrast")
    material_of(tiny, corpus=copy_without(tiny, tmp_path / "none", "dev")).check_pairs("contrast")
    clips = material_of(tiny).manifest.clips
    one = next(clip for clip in clips if clip.split == split)
    manifest = Manifest(tmp_path, tuple(clip for clip in clips if clip.split != split or clip is one))
    with pytest.raises(CorpusError, match=f"{one.id} is the only clip of {split}: contrast compares"):
        replace(material_of(tiny), manifest=manifest).check_pairs("contrast")


def test_a_view_says_what_the_recipe_says(tiny: Any) -> None:
    view = view_of(load_recipe(tiny.recipe))
    assert (view.frame_size, view.crop_size, view.rotation, view.translation) == (28, 24, 5, 1)
    assert (view.augment_probability, view.resize) == (0.5, 0.2)


def test_prototypes_are_the_corpus_s(tiny: Any) -> None:
    material = material_of(tiny)
    assert material.vectors.shape == (len(material.glosses.inventory), 300)
    assert material.vectors.dtype == torch.float32


@pytest.mark.parametrize("how", ["pretrain.objectives.pseudo_gloss.weight=0", "pretrain.epochs=0"])
def test_a_recipe_that_needs_no_pseudo_glosses_reads_none(tiny: Any, tmp_path: Path, how: str) -> None:
    corpus = tmp_path / "corpus"
    shutil.copytree(tiny.corpus, corpus)
    for name in ("pseudo_glosses.json", "prototypes.safetensors"):
        (corpus / name).unlink()
    material = material_of(tiny, how, corpus=corpus)
    assert (material.glosses, material.vectors, material.document_frequencies()) == (None, None, None)
    for batch in material.loader("train", material.recipe.planned[-1]):
        assert batch.targets == {}


WORDS = ('denoise.noise="words"', "pretrain.objectives.pseudo_gloss.weight=0")


def test_a_stage_that_reads_words_needs_pseudo_glosses_and_no_objective_for_them(tiny: Any, tmp_path: Path) -> None:
    material = material_of(tiny, *WORDS, "denoise.missing_rate=0", "denoise.wrong_rate=0")
    tokenizer, stage = material.tokenizer, material.recipe.planned[0]
    for split in ("train", "dev"):
        for batch in material.loader(split, stage):
            for text, ids in zip(batch.ids, batch.input_ids.tolist(), strict=True):
                glosses = {gloss for gloss in material.glosses.of_sentence(text) if gloss in material.glosses.counts}
                words = [token for token in ids if token != tokenizer.pad_id][:-2]
                assert sorted(words) == sorted(id for gloss in glosses for id in tokenizer.piece_ids(gloss))
    corpus = tmp_path / "corpus"
    shutil.copytree(tiny.corpus, corpus)
    write_pseudo_glosses(corpus, splits=["train", "dev"], console=Silent())
    with pytest.raises(CorpusError, match="made from train, dev; the recipe needs those of train ->"):
        material_of(tiny, *WORDS, corpus=corpus)
    (corpus / "pseudo_glosses.json").unlink()
    with pytest.raises(CorpusError, match=r"no pseudo_glosses\.json"):
        material_of(tiny, *WORDS, corpus=corpus)
    assert material_of(tiny, *WORDS, "denoise.epochs=0", corpus=corpus).glosses is None


def test_document_frequencies_are_shares_of_the_training_sentences(tiny: Any) -> None:
    """Each sentence counts once, however many clips say it; those of dev and test do not count."""
    material = material_of(tiny)
    clips = material.manifest.clips
    once = {clip.text for clip in material.clips("train")}
    first = material.clips("train")[0]
    again = tuple(replace(first, id=f"{first.id}-{number}") for number in range(7))
    frequencies = replace(material, manifest=Manifest(tiny.corpus, (*clips, *again))).document_frequencies()
    assert frequencies is not None and frequencies.shape == (len(material.glosses.inventory),)
    for index, gloss in enumerate(material.glosses.inventory):
        holding = [text for text in once if gloss in material.glosses.sentences[text]]
        assert float(frequencies[index]) == pytest.approx(len(holding) / len(once)), gloss
    assert 0 < float(frequencies.min()) < float(frequencies.max()) <= 1


def test_on_an_accelerator_frames_are_cropped_in_the_step(tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    here = material_of(tiny).clip_loader("train", 5, training=True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    there = material_of(tiny).clip_loader("train", 5, training=True)
    assert (here.dataset.crop_later, there.dataset.crop_later) == (False, True)


def test_pseudo_glosses_of_other_splits_than_the_recipe_s_are_refused_in_training(tiny: Any, tmp_path: Path) -> None:
    three = 'pretrain.objectives.pseudo_gloss.splits=["train","dev","test"]'
    with pytest.raises(CorpusError) as caught:
        material_of(tiny, three)
    assert caught.value.where == str(tiny.corpus / "pseudo_glosses.json")
    assert "made from train; the recipe's objective pseudo_gloss says splits = train, dev, test" in str(caught.value)
    assert f"glossfree glosses {tiny.corpus} --splits train,dev,test" in str(caught.value)
    # who only evaluates may find the corpus as somebody else's recipe has left it
    evaluated = gather(load_recipe(tiny.recipe, [three]), tiny.corpus, to_train=False).glosses
    assert evaluated is not None and evaluated.splits == ("train",)


@pytest.mark.parametrize("order", ["train,dev,test", "test,train,dev"])
def test_the_order_of_splits_does_not_matter(tiny: Any, tmp_path: Path, order: str) -> None:
    corpus = tmp_path / "corpus"
    shutil.copytree(tiny.corpus, corpus)
    write_pseudo_glosses(corpus, splits=order.split(","), console=Silent())
    material = material_of(tiny, 'pretrain.objectives.pseudo_gloss.splits=["dev","test","train"]', corpus=corpus)
    assert len(material.glosses) > len(material_of(tiny).glosses)
    with pytest.raises(CorpusError, match=r"made from .*test.*; .* pseudo_gloss says splits = train ->"):
        material_of(tiny, corpus=corpus)


def test_files_that_are_not_there_are_told_when_a_stage_begins(tiny: Any, tmp_path: Path) -> None:
    """Also of dev, which would be read only hours later; a training clip may be missing where the recipe skips it."""
    shutil.copytree(tiny.corpus, tmp_path / "corpus")
    material = material_of(tiny, corpus=tmp_path / "corpus")
    stage = material.recipe.stage("pretrain")
    lost = [material.manifest.split(split)[1] for split in ("train", "dev")]
    for clip in lost:
        (material.manifest.folder / clip.file).unlink()
    for split, clip in zip(("train", "dev"), lost, strict=True):
        with pytest.raises(CorpusError, match=f"1 of .* packed clips are missing: {clip.id}"):
            material.loader(split, stage)
    skipping = material_of(tiny, 'data.on_bad_clip="skip"', corpus=tmp_path / "corpus")
    assert skipping.loader("train", stage) is not None
    with pytest.raises(CorpusError, match="missing"):
        skipping.loader("dev", stage)


def test_pseudo_glosses_that_another_objective_needs_are_those_of_the_training_split(tiny: Any, tmp_path: Path) -> None:
    overrides = ["pretrain.objectives.pseudo_gloss.weight=0", "pretrain.objectives.token_alignment.weight=1"]
    assert material_of(tiny, *overrides).glosses is None
    overrides.append("pretrain.objectives.token_alignment.tokens=pseudo_glosses")
    material = material_of(tiny, *overrides)
    assert material.vectors is not None and len(material.glosses) == len(material.vectors)
    batch = next(iter(material.loader("train", material.recipe.stage("pretrain"))))
    assert batch.targets["pseudo_glosses"].shape == (len(batch), len(material.glosses))
    corpus = tmp_path / "corpus"
    shutil.copytree(tiny.corpus, corpus)
    write_pseudo_glosses(corpus, splits=["train", "dev"], console=Silent())
    with pytest.raises(CorpusError, match="made from train, dev; the recipe needs those of train"):
        material_of(tiny, *overrides, corpus=corpus)
