"""Batches of the text stage: every sentence once, noise from seed, epoch and sentence alone."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from glossfree.errors import CorpusError
from glossfree.pipeline.denoising import DenoisingLoader, TextBatch, noise_of, pad
from glossfree.recipe.schema import StageConfig
from glossfree.text.pseudo_glosses import PseudoGlosses
from glossfree.text.tokenizer import SentenceTokenizer

SENTENCES = [f"am {day} regnet es im {where}" for day in ("montag", "dienstag", "abend") for where in ("norden", "tal")]


@pytest.fixture(scope="module")
def tokenizer() -> SentenceTokenizer:
    return SentenceTokenizer.train(SENTENCES, 60, "de_DE")


STAGE = StageConfig(batches="sentences", mask_ratio=0.5, mean_span=2.0)
# places are not in the inventory
GLOSSES = PseudoGlosses(
    inventory=("abend", "dienstag", "montag", "regnen"),
    counts={"abend": 2, "dienstag": 2, "montag": 2, "regnen": 6},
    sentences={text: (text.split()[1], "regnen", text.split()[-1]) for text in SENTENCES},
    kept={}, dropped={}, backend="", language="de",
)  # fmt: skip


def loader(
    tokenizer: SentenceTokenizer,
    *,
    stage: StageConfig = STAGE,
    glosses: PseudoGlosses | None = None,
    shuffle: bool = True,
    seed: int = 0,
    size: int = 4,
) -> DenoisingLoader:
    noise = noise_of(stage, glosses)
    return DenoisingLoader(SENTENCES, tokenizer, batch_size=size, noise=noise, shuffle=shuffle, seed=seed)


def by_sentence(batches: list[TextBatch], pad_id: int) -> dict[str, list[int]]:
    return {
        text: [token for token in row if token != pad_id]
        for batch in batches
        for text, row in zip(batch.ids, batch.input_ids.tolist(), strict=True)
    }


def test_padding() -> None:
    assert pad([[1, 2, 3], [4], []], 9).tolist() == [[1, 2, 3], [4, 9, 9], [9, 9, 9]]


def test_every_sentence_once_with_itself_as_label(tokenizer: SentenceTokenizer) -> None:
    batches = list(loader(tokenizer))
    assert [len(batch) for batch in batches] == [4, 2]
    assert loader(tokenizer).num_steps(3) == 6
    assert loader(tokenizer).skipped() == []
    assert sorted(text for batch in batches for text in batch.ids) == sorted(SENTENCES)
    for batch in batches:
        for text, row, length in zip(batch.ids, batch.labels.tolist(), batch.lengths.tolist(), strict=True):
            assert row[:length] == tokenizer.encode(text)
            assert set(row[length:]) <= {-100}
    assert any(tokenizer.mask_id in row for row in by_sentence(batches, tokenizer.pad_id).values())


def test_noise_depends_on_seed_epoch_and_sentence_and_on_no_neighbour(tokenizer: SentenceTokenizer) -> None:
    first = by_sentence(list(loader(tokenizer)), tokenizer.pad_id)
    assert first == by_sentence(list(loader(tokenizer, size=3, shuffle=False)), tokenizer.pad_id)
    assert first != by_sentence(list(loader(tokenizer, seed=1)), tokenizer.pad_id)
    later = loader(tokenizer)
    later.set_epoch(1)
    assert first != by_sentence(list(later), tokenizer.pad_id)


def test_order_changes_with_the_epoch_in_training_only(tokenizer: SentenceTokenizer) -> None:
    for shuffle in (True, False):
        one, two = loader(tokenizer, shuffle=shuffle), loader(tokenizer, shuffle=shuffle)
        two.set_epoch(5)
        orders = [[text for batch in chosen for text in batch.ids] for chosen in (one, two)]
        assert (orders[0] == orders[1]) == (not shuffle)
        assert shuffle or orders[0] == SENTENCES
        noise = [by_sentence(list(chosen), tokenizer.pad_id) for chosen in (one, two)]
        assert (noise[0] == noise[1]) == (not shuffle)


def test_the_end_of_a_sentence_is_masked(tokenizer: SentenceTokenizer) -> None:
    stage = StageConfig(batches="sentences", noise="tail", mask_ratio=0.1)
    for text, ids in by_sentence(list(loader(tokenizer, stage=stage)), tokenizer.pad_id).items():
        kept = tokenizer.piece_ids(text.rpartition(" ")[0])
        assert ids == [*kept, tokenizer.mask_id, tokenizer.eos_id, tokenizer.language_id]


def test_pseudo_glosses_of_the_inventory_stand_for_the_sentence(tokenizer: SentenceTokenizer) -> None:
    stage = StageConfig(batches="sentences", noise="words", word_order="kept", missing_rate=0.0, wrong_rate=0.0)
    batches = list(loader(tokenizer, stage=stage, glosses=GLOSSES))
    for text, ids in by_sentence(batches, tokenizer.pad_id).items():
        words = f"{text.split()[1]} regnen"
        assert ids == [*tokenizer.piece_ids(words), tokenizer.eos_id, tokenizer.language_id]
    for batch in batches:
        for text, row, length in zip(batch.ids, batch.labels.tolist(), batch.lengths.tolist(), strict=True):
            assert row[:length] == tokenizer.encode(text)


def test_words_are_noisy_and_a_sentence_without_any_is_the_end_alone(tokenizer: SentenceTokenizer) -> None:
    stage = StageConfig(batches="sentences", noise="words")
    noisy = by_sentence(list(loader(tokenizer, stage=stage, glosses=GLOSSES)), tokenizer.pad_id)
    assert noisy == by_sentence(list(loader(tokenizer, stage=stage, glosses=GLOSSES, size=2)), tokenizer.pad_id)
    later = loader(tokenizer, stage=stage, glosses=GLOSSES)
    later.set_epoch(1)
    assert noisy != by_sentence(list(later), tokenizer.pad_id)
    empty = replace(GLOSSES, sentences=dict.fromkeys(SENTENCES, ("unbekannt",)))
    for ids in by_sentence(list(loader(tokenizer, stage=stage, glosses=empty)), tokenizer.pad_id).values():
        assert ids == [tokenizer.eos_id, tokenizer.language_id]


def test_a_batch_moves_whole() -> None:
    batch = TextBatch(("a",), torch.ones(1, 2), torch.ones(1, 3), torch.tensor([3]))
    moved = batch.prepared("meta")
    assert {t.device.type for t in (moved.input_ids, moved.labels)} == {"meta"}
    assert moved.lengths is batch.lengths and moved.origin is batch
    assert (moved.ids, len(moved)) == (("a",), 1)


def test_more_processes_than_sentences_are_refused(tokenizer: SentenceTokenizer) -> None:
    noise = noise_of(STAGE, None)
    with pytest.raises(CorpusError, match="2 distinct sentences for 3 processes"):
        DenoisingLoader(
            SENTENCES[:2], tokenizer, batch_size=4, noise=noise, shuffle=False, seed=0, rank=0, world_size=3
        )
