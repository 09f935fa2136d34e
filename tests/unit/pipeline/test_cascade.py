"""CSGCR's cascade: words found in a video, and a decoder that reads nothing else of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from glossfree.console import Silent
from glossfree.errors import RecipeError, RunError
from glossfree.export import export_model
from glossfree.objectives.pseudo_gloss import GlossScores
from glossfree.padded import Padded
from glossfree.pipeline.assemble import beams_of
from glossfree.pipeline.decode import Decoder, WordFinder
from glossfree.pipeline.evaluate import evaluate
from glossfree.pipeline.start import train_recipe
from glossfree.pipeline.trained import TrainedRun
from glossfree.recipe.files import load_recipe
from glossfree.text.noise import encoder_ids
from glossfree.training.run import Run, load_tensors
from glossfree.translator import SignTranslator

CASCADE = """base = "BASE"
stages = ["denoise", "pretrain", "words"]
[words]
epochs = 1
batch_size = 5
batches = "sentences"
noise = "words"
train = ["language", "decoder"]
[words.objectives.translation]
[decode]
source = "words"
"""


class Head:
    """Scores that were written down."""

    def __call__(self, segments: Padded) -> GlossScores:
        scores = torch.tensor([[0.2, 0.9, 0.5, 0.6], [0.1, 0.3, 0.2, 0.0]])
        return GlossScores(scores, scores[:, None], segments.lengths)


@pytest.fixture(scope="module")
def run(tiny: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cascade")
    path = folder / "cascade.toml"
    path.write_text(CASCADE.replace("BASE", str(tiny.recipe)), encoding="utf-8")
    return train_recipe(load_recipe(path), corpus=tiny.corpus, run=folder / "run", console=Silent()).folder


def decoder_of(trained: TrainedRun, find_words: Any) -> Decoder:
    return Decoder(trained.model()[0].eval(), trained.tokenizer, trained.recipe, find_words=find_words)


def test_words_above_the_threshold_are_found_the_best_first_and_never_none() -> None:
    segments, names = Padded(torch.zeros(2, 3, 5), torch.tensor([3, 2])), ("kalt", "regen", "sonne", "wind")
    for threshold, words in ((0.5, ["regen", "wind", "sonne"]), (0.95, ["regen"]), (0.6, ["regen", "wind"])):
        assert WordFinder(Head(), names, threshold)(segments) == [words, ["regen"]]  # type: ignore[arg-type]


def test_the_decoder_reads_the_words_and_nothing_else_of_the_video(run: Path) -> None:
    trained = TrainedRun(run)
    words = [["regen", "morgen"], ["sonne"]]
    decoder = decoder_of(trained, lambda segments: words)
    source = torch.Generator().manual_seed(5)
    lengths = torch.tensor([7, 11])
    one, other = (
        decoder.hypotheses(torch.randint(256, (18, 3, 24, 24), generator=source, dtype=torch.uint8), lengths, 2)
        for _ in range(2)
    )
    assert one == other
    for clip, hypotheses in zip(words, one, strict=True):
        ids = torch.tensor([encoder_ids(trained.tokenizer, clip)])
        with torch.no_grad():
            read = decoder.model.hierarchy.language.read(ids)
            expected = decoder.model.decoder.generate(
                read, beams_of(trained.recipe, 2), trained.tokenizer.language_id, trained.tokenizer.never_written
            )
        assert [each.text for each in hypotheses] == [
            trained.tokenizer.decode(row) for row in expected.sequences[0].tolist()
        ]
        assert [each.score for each in hypotheses] == pytest.approx(expected.scores[0].tolist(), abs=1e-5)


def test_more_words_than_a_sentence_may_have_tokens_are_cut(run: Path) -> None:
    trained = TrainedRun(run)
    limit = trained.recipe.text.max_tokens
    seen: list[torch.Tensor] = []
    decoder = decoder_of(trained, lambda segments: [["regen"] * 300])
    language = decoder.model.hierarchy.language
    read, language.read = language.read, lambda ids: seen.append(ids) or read(ids)  # type: ignore[assignment,func-returns-value]
    decoder.hypotheses(torch.zeros(5, 3, 24, 24, dtype=torch.uint8), torch.tensor([5]))
    assert seen[0].shape == (1, limit) and seen[0][0, -1] == trained.tokenizer.language_id


def test_each_part_of_the_model_is_that_of_the_last_stage_that_used_it(run: Path) -> None:
    tensors = TrainedRun(run).tensors()
    pretrain, words = (load_tensors(Run(run).weights(name))[0] for name in ("pretrain", "words"))
    assert not any(name.startswith("hierarchy.visual.") for name in words)
    for name, tensor in tensors.items():
        if not name.startswith("head."):
            assert torch.equal(tensor, words.get(name, pretrain.get(name, torch.nan)))
    language = [name for name in words if name.startswith("hierarchy.language.") and name in pretrain]
    assert any(not torch.equal(words[name], pretrain[name]) for name in language)


def test_evaluate_and_an_exported_model_find_the_words_of_the_head(run: Path, tiny: Any, tmp_path: Path) -> None:
    trained = TrainedRun(run)
    _, head = trained.model()
    assert head is not None
    found: list[Sequence[str]] = []
    finder = WordFinder(head.eval(), trained.pseudo_glosses().inventory, trained.recipe.decode.word_threshold)
    predictions = evaluate(run, split="test", console=Silent()).predictions
    export_model(run, tmp_path / "model", Silent())
    translator = SignTranslator.from_pretrained(tmp_path / "model")
    decoder = decoder_of(trained, lambda segments: [found.append(words) or words for words in finder(segments)])  # type: ignore[func-returns-value]
    for batch in trained.material().clip_loader("test", 1) or ():
        (best,) = decoder(batch)
        assert best.text == predictions[batch.ids[0]].text
        (exported,) = translator.decoder(batch)
        assert exported.text == best.text
    assert len(found) == 5 and all(found)


def test_a_cascade_needs_both_of_its_stages(tiny: Any, run: Path, tmp_path: Path) -> None:
    path = tmp_path / "cascade.toml"
    path.write_text(CASCADE.replace("BASE", str(tiny.recipe)), encoding="utf-8")
    for problem in (
        "words.noise=spans",
        "words.epochs=0",
        "words.start=denoise",
        'stages=["denoise","words","pretrain"]',
    ):
        with pytest.raises(RecipeError, match=r'decode.source "words" needs a stage'):
            load_recipe(path, [problem])
    trained = TrainedRun(run)
    with pytest.raises(RunError, match="no weights of a stage that scores pseudo-glosses"):
        WordFinder.of(trained.recipe, None, ())
    video = trained.recipe.model_copy(update={"decode": trained.recipe.decode.model_copy(update={"source": "video"})})
    assert WordFinder.of(video, None, ()) is None
    assert replace(decoder_of(trained, None), recipe=video).find_words is None
