"""Beam search against exhaustive search, against a search in plain Python, and against transformers."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from benchmarks.transformers_mbart import generated, of_transformers
from torch import Tensor

from glossfree.models.beam_search import State, Step, beam_search
from glossfree.models.choices import Beams, Translations
from glossfree.models.decoders.mbart import MBartDecoder
from glossfree.models.language.mbart import MBart
from glossfree.models.tokens import EOS_ID, PAD_ID
from glossfree.padded import Padded

V, START = 6, 5
SUPPRESSED = (0, PAD_ID)  # 2, 3, 4, 5 may be produced
Scored = list[tuple[tuple[int, ...], float]]


class Tree:
    """A language model without a pattern: log-probabilities (clip, prefix, V), drawn anew for every prefix."""

    def __init__(self, clips: int, depth: int, seed: int, spread: float = 1.5) -> None:
        prefixes = sum(V**length for length in range(depth))
        generator = torch.Generator().manual_seed(seed)
        logits = spread * torch.randn(clips, prefixes, V, generator=generator, dtype=torch.float64)
        self.table = logits.log_softmax(dim=-1)
        self.calls = 0

    def search(
        self, beams: Beams, suppressed: tuple[int, ...] = SUPPRESSED, clips: slice = slice(None)
    ) -> Translations:
        """A state is (prefix, clip) of each row; the children of prefix i are V i + 1 to V i + V."""
        self.calls = 0
        numbers = torch.arange(len(self.table))[clips]

        def step(tokens: Tensor, state: State) -> tuple[Tensor, State]:
            prefixes, rows = state
            if self.calls:
                prefixes = V * prefixes + 1 + tokens
            else:
                assert tokens.tolist() == [START] * len(rows)
            self.calls += 1
            return self.table[rows, prefixes], (prefixes, rows)

        return beam_search(step, (torch.zeros_like(numbers), numbers), START, beams, suppressed)

    def log_probability(self, clip: int, sequence: tuple[int, ...]) -> float:
        prefix, total = 0, 0.0
        for token in sequence:
            total += float(self.table[clip, prefix, token])
            prefix = V * prefix + 1 + token
        return total

    def all_sentences(self, clip: int, longest: int, length_penalty: float) -> Scored:
        """Every sentence of at most `longest` tokens with its score, best first."""
        words = [token for token in range(V) if token not in (*SUPPRESSED, EOS_ID)]
        ended = [(*each, EOS_ID) for length in range(longest) for each in itertools.product(words, repeat=length)]
        sentences = [*ended, *itertools.product(words, repeat=longest)]
        scored = [(each, self.log_probability(clip, each) / len(each) ** length_penalty) for each in sentences]
        return sorted(scored, key=lambda pair: -pair[1])

    def plain_search(self, clip: int, beams: Beams) -> Scored:
        """Beam search with lists, which never stops early."""
        live: Scored = [((), 0.0)]
        finished: Scored = []
        for length in range(1, beams.max_new_tokens + 1):
            candidates = [
                ((*prefix, token), self.log_probability(clip, (*prefix, token)))
                for prefix, _ in live
                for token in range(V)
                if token not in SUPPRESSED
            ]
            candidates.sort(key=lambda pair: -pair[1])
            for sequence, total in candidates[: beams.num_beams]:
                if sequence[-1] == EOS_ID or length == beams.max_new_tokens:
                    finished.append((sequence, total / length**beams.length_penalty))
            live = [pair for pair in candidates if pair[0][-1] != EOS_ID][: beams.num_beams]
        return sorted(finished, key=lambda pair: -pair[1])[: beams.num_return_sequences]


def written(sequence: Tensor) -> tuple[int, ...]:
    """Ids up to and including `</s>`; only padding may follow."""
    ids = sequence.tolist()
    end = ids.index(EOS_ID) + 1 if EOS_ID in ids else len(ids)
    assert set(ids[end:]) <= {PAD_ID}
    return tuple(ids[:end])


def assert_equal(translations: Translations, clip: int, expected: Scored) -> None:
    assert [written(each) for each in translations.sequences[clip]] == [sequence for sequence, _ in expected]
    scores = torch.tensor([score for _, score in expected], dtype=torch.float64)
    torch.testing.assert_close(translations.scores[clip], scores, rtol=0, atol=1e-12)


@pytest.mark.parametrize("length_penalty", [1.0, 0.4, 0.0, -0.7, 2.5])
@pytest.mark.parametrize("longest", [1, 3, 4])
def test_with_enough_beams_search_is_exhaustive(longest: int, length_penalty: float) -> None:
    tree = Tree(clips=5, depth=longest, seed=longest)
    every = 4**longest  # no candidate is ever dropped
    wanted = min(every, 7)
    translations = tree.search(Beams(every, longest, length_penalty, wanted))
    assert translations.scores.shape == (5, wanted)
    for clip in range(5):
        assert_equal(translations, clip, tree.all_sentences(clip, longest, length_penalty)[:wanted])


def test_all_sentences_can_be_returned() -> None:
    tree = Tree(clips=2, depth=2, seed=3)
    for clip, expected in enumerate(tree.all_sentences(each, 2, 1.0) for each in range(2)):
        assert len(expected) == 1 + 3 + 9
        assert_equal(tree.search(Beams(16, 2, 1.0, 13)), clip, expected)


@pytest.mark.parametrize("length_penalty", [1.0, 0.0, -0.7])
@pytest.mark.parametrize("num_beams", [2, 3, 5])
def test_few_beams_equal_a_plain_search(num_beams: int, length_penalty: float) -> None:
    tree = Tree(clips=19, depth=5, seed=num_beams, spread=0.5)
    beams = Beams(num_beams, 5, length_penalty, (num_beams + 1) // 2)
    translations = tree.search(beams)
    exact = 0
    for clip in range(19):
        expected = tree.plain_search(clip, beams)
        assert_equal(translations, clip, expected)
        exact += expected == tree.all_sentences(clip, 5, length_penalty)[: len(expected)]
    assert exact < 19, "the beams dropped nothing: the test could not fail"


def test_one_beam_takes_the_most_likely_token_each_time() -> None:
    tree = Tree(clips=23, depth=5, seed=8)
    translations = tree.search(Beams(1, 5))
    lengths = set()
    for clip in range(23):
        sequence: tuple[int, ...] = ()
        while len(sequence) < 5 and EOS_ID not in sequence:
            allowed = [token for token in range(V) if token not in SUPPRESSED]
            sequence = max(((*sequence, token) for token in allowed), key=lambda each: tree.log_probability(clip, each))
        assert_equal(translations, clip, [(sequence, tree.log_probability(clip, sequence) / len(sequence))])
        lengths.add(len(sequence))
    assert len(lengths) > 2


def test_a_clip_is_searched_the_same_alone_and_in_a_batch() -> None:
    tree = Tree(clips=11, depth=5, seed=2)
    together = tree.search(Beams(3, 5, 1.0, 2))
    for clip in range(11):
        alone = tree.search(Beams(3, 5, 1.0, 2), clips=slice(clip, clip + 1))
        assert torch.equal(alone.scores[0], together.scores[clip])
        assert [written(each) for each in alone.sequences[0]] == [written(each) for each in together.sequences[clip]]


def table_step(rows: list[list[float]]) -> Step:
    """Probabilities of every token, by length, whatever came before; the last row goes on for ever."""
    lengths = itertools.count()

    def step(tokens: Tensor, state: State) -> tuple[Tensor, State]:
        row = rows[min(next(lengths), len(rows) - 1)]
        return torch.tensor(row).log().expand(len(tokens), -1), state

    return step


@pytest.mark.parametrize(
    ("longest", "length_penalty", "steps", "hasty"),
    [
        (50, 0.0, 2, False),
        (50, -1.0, 2, False),
        (9, 1.0, 2, False),
        (50, 1.0, 4, False),
        (400, 1.0, 24, False),
        (400, 1.0, 3, True),  # "3 3 </s>", finished third, has -1.57; "3 3 4" at its present length -1.80
    ],
)
def test_the_search_ends_as_soon_as_it_is_decided(longest: int, length_penalty: float, steps: int, hasty: bool) -> None:
    # "3 </s>" scores ln(.9 x .8) / 2 = -.164 at penalty 1. Beside it "3 3" has ln(.9 x .1) = -2.41, and loses
    # ln 20 = 3.0 in each further step: too much after 4 steps if 50 tokens may share it, after 24 if 400 may.
    calls = 0
    step = table_step([[0, 0, 0.05, 0.9, 0.05], [0, 0, 0.8, 0.1, 0.1], [0.4, 0.4, 0.1, 0.05, 0.05]])

    def counted(tokens: Tensor, state: State) -> tuple[Tensor, State]:
        nonlocal calls
        calls += 1
        return step(tokens, state)

    translations = beam_search(counted, (torch.zeros(1),), 3, Beams(2, longest, length_penalty), (0, 1), hasty=hasty)
    assert written(translations.sequences[0, 0]) == (3, 2)
    assert float(translations.scores[0, 0]) == pytest.approx(math.log(0.72) / 2**length_penalty)
    assert translations.sequences.shape == (1, 1, 2), "cut behind the longest sentence"
    assert calls == steps


def test_a_long_sentence_may_still_win_after_a_short_one_has_ended() -> None:
    step = table_step([[0, 0, 0.6, 0.4, 0], [0, 0, 0, 0.99, 0.01], [0, 0, 0, 0.99, 0.01], [0, 0, 0.99, 0.01, 0]])
    translations = beam_search(step, (torch.zeros(1),), 3, Beams(2, 8, 1.0, 2))
    assert [written(each) for each in translations.sequences[0]] == [(3, 3, 3, 2), (2,)]


def test_suppressed_tokens_are_never_produced() -> None:
    tree = Tree(clips=7, depth=4, seed=6)
    free = tree.search(Beams(4, 4, 1.0, 4), suppressed=())
    assert {3, 4} <= set(free.sequences.flatten().tolist())
    bound = tree.search(Beams(4, 4, 1.0, 4), suppressed=(0, 1, 3, 4))
    assert set(bound.sequences.flatten().tolist()) == {PAD_ID, EOS_ID, 5}
    for clip in range(7):  # the others keep their probabilities
        for sequence, score in zip(bound.sequences[clip], bound.scores[clip], strict=True):
            ids = written(sequence)
            assert float(score) == pytest.approx(tree.log_probability(clip, ids) / len(ids))


def test_padding_that_is_a_token_of_a_sentence_is_not_cut_off() -> None:
    step = table_step([[0, 0, 0.1, 0.9], [0, 0.9, 0.1, 0]])
    translations = beam_search(step, (torch.zeros(1),), 3, Beams(1, 4))
    assert translations.sequences.tolist() == [[[3, PAD_ID, PAD_ID, PAD_ID]]]


def test_only_the_end_is_allowed() -> None:
    tree = Tree(clips=3, depth=4, seed=1)
    only = tree.search(Beams(4, 4), suppressed=(0, 1, 3, 4, 5))
    assert only.sequences.tolist() == [[[EOS_ID]]] * 3
    with pytest.raises(ValueError, match="fewer than 2 different sentences"):
        tree.search(Beams(4, 4, 1.0, 2), suppressed=(0, 1, 3, 4, 5))


@pytest.mark.parametrize(
    "beams", [Beams(0), Beams(max_new_tokens=0), Beams(num_return_sequences=0), Beams(3, 4, 1.0, 4)]
)
def test_impossible_counts_are_refused(beams: Beams) -> None:
    with pytest.raises(ValueError, match="num_"):
        Tree(clips=2, depth=1, seed=0).search(beams)


@pytest.mark.parametrize("hasty", [False, True])
@pytest.mark.parametrize("length_penalty", [1.0, 0.3, 0.0])
def test_transformers_search_is_the_same(length_penalty: float, hasty: bool) -> None:
    torch.manual_seed(5)
    width, vocabulary_size, start = 18, 41, 40
    options = MBart(hidden_size=width, num_layers=2, num_heads=3, mlp_size=22, max_positions=40, dropout=0.1)
    decoder = MBartDecoder(options.build(vocabulary_size).mbart).eval()
    for name, parameter in decoder.named_parameters():
        if parameter.ndim > 1 and "embed_tokens" not in name:
            torch.nn.init.normal_(parameter, std=0.35)
    decoder.mbart.final_logits_bias[:, EOS_ID] = 2.0
    video = Padded(torch.randn(5, 4, width), torch.full((5,), 4))
    beams = Beams(3, 9, length_penalty, 2)
    suppressed = (0, 1, *range(8, 41))  # few are left, so that </s> is often among the best

    def step(tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """The whole sentence again in each step."""
        states, prefix = state
        prefix = torch.cat((prefix, tokens[:, None]), dim=1)
        # the last label is what a sentence starts from
        labels = torch.cat((prefix[:, 1:], torch.zeros_like(tokens)[:, None], prefix[:, :1]), dim=1)
        logits = decoder(Padded(states, torch.full((len(states),), 4)), labels)[:, :-1]
        return logits[:, -1].log_softmax(dim=-1), (states, prefix)

    first_state = (video.values, torch.zeros(5, 0, dtype=torch.long))
    ours = beam_search(step, first_state, start, beams, suppressed, hasty=hasty)
    early = False if hasty else "never"
    mbart = of_transformers(decoder.mbart, 3)
    theirs = generated(mbart, video, beams, start, suppressed, early_stopping=early)
    sentences = [written(each) for each in ours.sequences.flatten(0, 1)]
    assert sentences == [written(each) for each in theirs.sequences.flatten(0, 1)]
    assert len({len(each) for each in sentences}) > 1
    torch.testing.assert_close(ours.scores, theirs.scores, rtol=0, atol=1e-5)
