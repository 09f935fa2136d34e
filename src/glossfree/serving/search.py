"""Beam search in numpy, for one clip at a time: that of transformers with its defaults, as mBART's decoder uses.

K beams, V vocabulary, L tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from glossfree.recipe.decoding import DecodeConfig

# last tokens (K,) and the beams (K,) that they extend, None at first -> log-probabilities of the next token (K, V)
Step = Callable[[np.ndarray, np.ndarray | None], np.ndarray]


def beam_search(
    step: Step, start_id: int, end_id: int, suppressed: Sequence[int], decode: DecodeConfig, num_beams: int
) -> list[tuple[list[int], float]]:
    """The K best token sequences, the end included, and their scores: log-probability / length ** length_penalty.

    The K best continuations without the end go on; one with the end counts if it is among the K best of all. The search
    ends when K are finished and the best beam, at its present length, is no better than the worst of them; with one
    beam at the first end. There are fewer than K results if there are fewer different sentences.
    """
    longest, penalty = decode.max_new_tokens, decode.length_penalty
    finished: list[tuple[list[int], float]] = []
    live, totals = np.zeros((1, 0), np.int64), np.zeros(1, np.float32)
    tokens, parents = np.full(1, start_id), None
    for length in range(1, longest + 1):
        log_probabilities = step(tokens, parents)
        log_probabilities[:, list(suppressed)] = -np.inf
        scores = (totals[:, None] + log_probabilities).ravel()
        best = np.argsort(-scores, kind="stable")[: 2 * num_beams]
        best = best[np.isfinite(scores[best])]
        beams, ids = np.divmod(best, log_probabilities.shape[1])
        candidates = np.concatenate((live[beams], ids[:, None]), axis=1)
        ends = (ids == end_id) | (length == longest)
        finished += [
            (candidates[number].tolist(), float(scores[best[number]] / length**penalty))
            for number in range(min(num_beams, len(best)))
            if ends[number]
        ]
        finished = sorted(finished, key=lambda each: -each[1])[:num_beams]
        going = np.flatnonzero(~ends)[:num_beams]
        if not len(going) or (num_beams == 1 and finished):
            break
        live, totals, tokens, parents = candidates[going], scores[best[going]], ids[going], beams[going]
        if len(finished) == num_beams and totals[0] / length**penalty <= finished[-1][1]:
            break
    return finished
