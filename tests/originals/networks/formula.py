"""Networks for BLEURT that can be made anywhere to the last digit: weights and token ids from a formula."""

from __future__ import annotations

import torch
from torch import Tensor

# of both layouts of the package bleurt-pytorch: as bleurt-base, and with factorised embeddings as BLEURT-20
LAYOUTS = {"base": None, "20": 12}
SIZES = {
    "vocab_size": 37,
    "hidden_size": 20,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 28,
    "max_position_embeddings": 64,
}


def weights_like(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Names and shapes -> weights between -1 and 1, all different; square, or the matrices would be of rank 2."""
    made = {}
    for number, name in enumerate(sorted(tensors)):
        tensor = tensors[name]
        if tensor.is_floating_point():
            steps = torch.arange(tensor.numel(), dtype=torch.float64).reshape(tensor.shape)
            made[name] = torch.sin(0.37 * steps**2 + 1.3 * number).float()
        else:
            made[name] = tensor.clone()
    return made


def inputs() -> dict[str, Tensor]:
    """Three pairs of at most 11 tokens, the second one shorter."""
    ids = 1 + (7 * torch.arange(33).reshape(3, 11) + 3) % 36
    mask, segments = torch.ones_like(ids), torch.zeros_like(ids)
    mask[1, 7:] = 0
    segments[:, 5:] = 1
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": segments}
