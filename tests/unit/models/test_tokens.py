"""Token ids in mBART's layout."""

from __future__ import annotations

import torch
from transformers.models.mbart.modeling_mbart import shift_tokens_right

from glossfree.models.tokens import CODES_AND_MASK, EOS_ID, never_written, shift_right


def test_shift_right_is_mbarts_with_ignored_labels() -> None:
    labels = torch.tensor([[5, 6, 2, 60, -100], [7, 2, 60, -100, -100], [8, 9, 8, 2, 60]])
    shifted = shift_right(labels)
    # a shorter row still ends in its language code: an input whose label is ignored
    assert shifted.tolist() == [[60, 5, 6, 2, 60], [60, 7, 2, 60, 1], [60, 8, 9, 8, 2]]
    assert torch.equal(shifted, shift_tokens_right(labels, 1))
    assert labels[0, 4] == -100, "the argument was changed"


def test_a_piece_with_the_id_of_padding_is_a_piece() -> None:
    """Other tokenizers than mBART's have one; only what follows the last other token counts as padding."""
    assert shift_right(torch.tensor([[1, 5, 1, 9, -100], [1, 9, 1, 1, -100]])).tolist() == [
        [9, 1, 5, 1, 9],
        [9, 1, 9, 1, 1],
    ]


def test_special_tokens_codes_and_mask_are_never_written() -> None:
    ids = never_written(60)
    assert ids == (0, 1, 3, *range(34, 60)) and EOS_ID not in ids
    assert len(ids) == 3 + CODES_AND_MASK == 29
