"""Token ids of all language encoders and decoders, in mBART's fairseq layout.

<s> 0, <pad> 1, </s> 2, <unk> 3, the pieces, the language codes, <mask> last. B sentences, L tokens.
"""

from __future__ import annotations

import torch
from torch import Tensor

BOS_ID, PAD_ID, EOS_ID, UNK_ID = 0, 1, 2, 3
IGNORED = -100  # a label that losses ignore
SPECIAL_TOKENS = 2  # </s> and the language code, at the end of all labels
CODES_AND_MASK = 26  # the last ids of mBART-cc25's layout: 25 language codes and <mask>


def shift_right(labels: Tensor) -> Tensor:
    """Labels (B, L) "pieces </s> code" -> decoder input (B, L) "code pieces </s>": the last token comes first.

    -100 counts as padding. Each row needs at least one token.
    """
    tokens = labels.masked_fill(labels == IGNORED, PAD_ID)
    last = (torch.arange(tokens.shape[1], device=tokens.device) * (tokens != PAD_ID)).argmax(dim=1, keepdim=True)
    return torch.cat((tokens.gather(1, last), tokens[:, :-1]), dim=1)


def never_written(vocabulary_size: int) -> tuple[int, ...]:
    """V -> the ids that no translation may contain: <s>, <pad>, <unk>, the language codes and <mask>."""
    return (BOS_ID, PAD_ID, UNK_ID, *range(vocabulary_size - CODES_AND_MASK, vocabulary_size))
