"""Beam search for any decoder that can compute the log-probabilities of the next token.

B clips, K beams (`num_beams`), R = B x K rows, clip by clip, V vocabulary, L tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from glossfree.models.choices import Beams, Translations
from glossfree.models.tokens import EOS_ID, PAD_ID

State = tuple[Tensor, ...]
Step = Callable[[Tensor, State], tuple[Tensor, State]]

IMPOSSIBLE = float("-inf")


@torch.no_grad()
def beam_search(
    step: Step,
    state: State,
    start_id: int,
    beams: Beams,
    suppressed: Sequence[int] = (),
    *,
    end_id: int = EOS_ID,
    hasty: bool = False,
) -> Translations:
    """A step function and its first state -> the best sentences of each clip.

    `step`: the last token of each row (R,) and the state -> log-probabilities of the next token (R, V), all <= 0, and
    the next state. `state`: at least one tensor, each with B rows; the search repeats the rows for the beams and
    reorders them. Row r belongs to clip r // K, so `step` can look up what all beams of a clip share. `suppressed`:
    ids that are never produced; the probabilities of the other ids do not change. `end_id`: that of `</s>`.

    The K best continuations without `</s>` stay in the search. A continuation with `</s>` is finished if it is among
    the K best of all. After the last step each of the K best is finished. Score: log-probability / length **
    length_penalty, with `</s>` counted. The search of a clip ends when no unfinished beam can beat its
    `num_return_sequences` best; with one beam, at the first `</s>` (greedy search). transformers has the same search as
    early_stopping="never". `hasty`: its default in place of that (early_stopping=False). The search of a clip ends when
    K sentences are finished and no unfinished beam, with its present length and score, beats the worst of them.

    Raises ValueError for counts below 1, for more sentences than beams, and if too few different sentences exist.
    """
    _check(beams)
    num_beams, longest = beams.num_beams, beams.max_new_tokens
    num_clips, device = len(state[0]), state[0].device
    banned = torch.tensor(list(suppressed), dtype=torch.long, device=device)
    first_rows = torch.arange(num_clips, device=device)[:, None] * num_beams
    state = tuple(each.repeat_interleave(num_beams, dim=0) for each in state)
    tokens = torch.full((num_clips * num_beams,), start_id, device=device)
    live = _empty(num_clips, num_beams, longest, device)
    live.scores[:, 0] = 0.0  # the beams of a clip start equal: only the first one counts
    finished = _empty(num_clips, num_beams if hasty else beams.num_return_sequences, longest, device)
    is_final = torch.zeros(num_clips, dtype=torch.bool, device=device)
    for length in range(1, longest + 1):
        log_probabilities, state = step(tokens, state)
        candidates, parents = _continuations(live, log_probabilities.index_fill(-1, banned, IMPOSSIBLE), length)
        ends = candidates.sequences[:, :, length - 1] == end_id
        finishes = (ends | (length == longest)) & ~is_final[:, None]
        scores = (candidates.scores / length**beams.length_penalty).masked_fill(~finishes, IMPOSSIBLE)
        finished = _best(finished, _Hypotheses(candidates.sequences[:, :num_beams], scores[:, :num_beams]))

        order = ends.long().sort(dim=1, stable=True).indices[:, :num_beams]  # without </s> first; stable: best first
        live = candidates.pick(order)
        is_final = is_final | _is_final(live, finished, length, beams, hasty)
        if length == longest or bool(is_final.all()):
            break
        rows = (first_rows + parents.gather(1, order)).flatten()
        state = tuple(each[rows] for each in state)
        tokens = live.sequences[:, :, length - 1].flatten()
    sequences, scores = (each[:, : beams.num_return_sequences] for each in (finished.sequences, finished.scores))
    if bool((scores == IMPOSSIBLE).any()):
        raise ValueError(
            f"fewer than {beams.num_return_sequences} different sentences of at most {longest} tokens exist"
        )
    return Translations(_without_surplus(sequences, end_id), scores)


def _check(beams: Beams) -> None:
    if min(beams.num_beams, beams.max_new_tokens, beams.num_return_sequences) < 1:
        raise ValueError(f"num_beams, max_new_tokens and num_return_sequences must be at least 1, got {beams}")
    if beams.num_return_sequences > beams.num_beams:
        raise ValueError(f"num_return_sequences = {beams.num_return_sequences} exceeds num_beams = {beams.num_beams}")


@dataclass(frozen=True)
class _Hypotheses:
    """`sequences` (B, K, longest), padded, and `scores` (B, K), best first; -inf: there is no such hypothesis."""

    sequences: Tensor
    scores: Tensor

    def pick(self, order: Tensor) -> _Hypotheses:
        """The hypotheses at `order` (B, K')."""
        rows = order[:, :, None].expand(-1, -1, self.sequences.shape[2])
        return _Hypotheses(self.sequences.gather(1, rows), self.scores.gather(1, order))


def _empty(num_clips: int, count: int, longest: int, device: torch.device) -> _Hypotheses:
    """Empty places for `count` hypotheses of each clip."""
    return _Hypotheses(
        torch.full((num_clips, count, longest), PAD_ID, device=device),
        torch.full((num_clips, count), IMPOSSIBLE, device=device),
    )


def _continuations(live: _Hypotheses, log_probabilities: Tensor, length: int) -> tuple[_Hypotheses, Tensor]:
    """Beams and log-probabilities (R, V) -> the 2K best continuations of each clip and the beams (B, 2K) they extend.

    2K are enough, as at most K of them, one for each beam, end in `</s>`.
    """
    num_clips, num_beams = live.scores.shape
    vocabulary_size = log_probabilities.shape[-1]
    totals = live.scores[:, :, None] + log_probabilities.view(num_clips, num_beams, vocabulary_size)
    scores, positions = totals.flatten(1).topk(min(2, vocabulary_size) * num_beams)
    parents = positions // vocabulary_size
    candidates = _Hypotheses(live.sequences, live.scores).pick(parents)
    candidates.sequences[:, :, length - 1] = positions % vocabulary_size
    return _Hypotheses(candidates.sequences, scores), parents


def _best(finished: _Hypotheses, others: _Hypotheses) -> _Hypotheses:
    """The best of both, as many as `finished` holds; with equal scores, the earlier one."""
    sequences = torch.cat((finished.sequences, others.sequences), dim=1)
    scores = torch.cat((finished.scores, others.scores), dim=1)
    order = scores.sort(dim=1, descending=True, stable=True).indices[:, : finished.scores.shape[1]]
    return _Hypotheses(sequences, scores).pick(order)


def _is_final(live: _Hypotheses, finished: _Hypotheses, length: int, beams: Beams, hasty: bool) -> Tensor:
    """Whether the result of each clip is final (B,): no unfinished beam can still beat the worst finished one.

    A log-probability can only fall. So the best possible score of a beam uses its present log-probability and the most
    favourable length: the longest if the penalty is positive, else the next one. `hasty`: its present length.
    """
    if beams.num_beams == 1:
        return finished.scores[:, 0] > IMPOSSIBLE
    reached_at = length if hasty else beams.max_new_tokens if beams.length_penalty > 0 else length + 1
    reachable: Tensor = live.scores[:, 0] / reached_at**beams.length_penalty
    return reachable <= finished.scores[:, -1]


def _without_surplus(sequences: Tensor, end_id: int) -> Tensor:
    """(B, n, longest) -> (B, n, L), L = tokens of the longest sentence; one without `</s>` fills all positions."""
    ends = sequences == end_id
    lengths = torch.where(ends.any(dim=-1), ends.long().argmax(dim=-1) + 1, sequences.shape[-1])
    return sequences[:, :, : int(lengths.max())]
