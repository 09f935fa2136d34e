"""The `wetter` corpus: how many sentences, how they are split, what a lookup would score."""

from __future__ import annotations

import pickle
from collections import Counter

import pytest
import sacrebleu

from glossfree.avatar import wetter
from glossfree.corpora.manifest import SPLITS
from glossfree.errors import CorpusError

MOST = {"train": 4000, "dev": 600, "test": 600}


@pytest.fixture(scope="module")
def train() -> list[wetter.WetterSentence]:
    return wetter.sentences("train", 1200)


@pytest.fixture(scope="module")
def test() -> list[wetter.WetterSentence]:
    return wetter.sentences("test", 240)


def test_inventory_is_sorted_and_large_enough() -> None:
    glosses = wetter.inventory()
    assert len(glosses) >= 120
    assert list(glosses) == sorted(set(glosses))
    assert all(gloss.isascii() and gloss.isupper() and gloss.isalpha() for gloss in glosses)


def test_half_of_the_training_sentences_have_every_gloss(train: list[wetter.WetterSentence]) -> None:
    assert {gloss for sentence in train for gloss in sentence.glosses} == set(wetter.inventory())


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_every_gloss_is_signed_often_enough_to_be_learned(seed: int) -> None:
    sentences = wetter.sentences("train", wetter.COUNTS["train"], seed)
    counts = Counter(gloss for sentence in sentences for gloss in set(sentence.glosses))
    rare = {gloss: counts[gloss] for gloss in wetter.inventory() if counts[gloss] < 12}
    assert not rare
    assert max(counts.values()) > 8 * min(counts.values())  # and not all alike


def test_splits_share_no_text_and_no_gloss_sequence_and_repeat_none() -> None:
    everything = [x for split in SPLITS for x in wetter.sentences(split, MOST[split])]
    assert len(everything) == 5200
    assert len({x.text for x in everything}) == len({x.glosses for x in everything}) == len(everything)


@pytest.mark.parametrize("seed", [0, 7])
def test_more_sentences_than_there_are_is_an_error_that_says_how_many_there_are(seed: int) -> None:
    for split in SPLITS:
        assert len(set(wetter.sentences(split, MOST[split], seed))) == MOST[split]
        with pytest.raises(CorpusError, match=rf"there are only {MOST[split]:,} -> at most --{split} {MOST[split]}$"):
            wetter.sentences(split, MOST[split] + 1, seed)


def test_same_arguments_same_sentences_and_a_prefix_of_more(train) -> None:
    assert wetter.sentences("train", 130) == train[:130]
    some = wetter.sentences("dev", 30, seed=1)
    assert some == wetter.sentences("dev", 99, seed=1)[:30] != wetter.sentences("dev", 30, seed=2)


def test_lengths_and_vocabulary(train) -> None:
    assert 4.5 <= sum(len(x.glosses) for x in train) / len(train) <= 5.7
    assert max(len(x.glosses) for x in train) <= 10
    assert 8 <= sum(len(x.text.split()) for x in train) / len(train) <= 11
    assert 400 <= len({word for x in train for word in x.text.split()}) <= 700


def test_text_is_lower_case_words_only(train) -> None:
    for sentence in train:
        assert sentence.text == sentence.text.lower() == " ".join(sentence.text.split())
        assert all(word.isalpha() for word in sentence.text.split()), sentence.text


def test_test_words_are_mostly_known_from_training(train, test) -> None:
    known = {word for x in train for word in x.text.split()}
    unknown = [word for x in test for word in x.text.split() if word not in known]
    assert len(unknown) <= 0.01 * sum(len(x.text.split()) for x in test)


def test_looking_up_the_nearest_training_sentence_does_not_solve_it(train, test) -> None:
    """Even with the true glosses at hand, copying the training sentence with most of them stays far below 60 BLEU-4."""
    bags = [(Counter(x.glosses), x.text) for x in train]

    def nearest(sentence: wetter.WetterSentence) -> str:
        bag = Counter(sentence.glosses)
        return max(bags, key=lambda other: 2 * (bag & other[0]).total() / (bag.total() + other[0].total()))[1]

    some = test[:120]
    bleu = sacrebleu.corpus_bleu([nearest(x) for x in some], [[x.text for x in some]], tokenize="none", force=True)
    assert 10 < bleu.score < 45


def test_unknown_split_names_the_choices() -> None:
    with pytest.raises(CorpusError, match="train, dev, test"):
        wetter.sentences("valid", 3)


def test_clips_carry_drawing_spans_and_signer() -> None:
    clips = list(wetter.clips(None, "dev", limit=23))
    assert [clip.id for clip in clips][:2] == ["wetter-dev-00000", "wetter-dev-00001"]
    assert len({clip.signer for clip in clips}) >= 4
    for clip, sentence in zip(clips, wetter.sentences("dev", 23), strict=True):
        assert (clip.split, clip.text, clip.fps) == ("dev", sentence.text, wetter.FPS)
        assert tuple(span.gloss for span in clip.spans) == sentence.glosses == clip.glosses
        assert 0 <= clip.spans[0].start < clip.spans[-1].end <= clip.source.num_frames
    assert pickle.loads(pickle.dumps(clips[3])) == clips[3]


def test_clips_count_limit_and_repeat() -> None:
    few = list(wetter.clips(None, "test", counts={"test": 7}))
    assert len(few) == 7 and len(list(wetter.clips(None, "test", counts={"test": 7}, limit=5))) == 5
    again = list(wetter.clips(None, "test", limit=7))
    assert few == again
    assert (few[2].source.render(40) == again[2].source.render(40)).all()
    assert [clip.text for clip in few] != [clip.text for clip in wetter.clips(None, "test", limit=7, seed=5)]
