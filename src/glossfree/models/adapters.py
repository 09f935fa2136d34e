"""LoRA: small trainable matrices parallel to some linear layers of a frozen module (sections 3.1 and 4.2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from glossfree.settings import WIDEST, Section, value

CHOICES = 2**16  # values of 16 random bits


class Adapters(Section):
    """Options of a part that can carry LoRA."""

    adapter_rank: int = value(16, "stated", "LoRA rank", ge=1, le=WIDEST)
    adapter_alpha: float = value(32.0, "stated", "LoRA scaling factor", gt=0)
    adapter_dropout: float = value(0.1, "stated", "LoRA dropout", ge=0, lt=1)

    adapter_targets: ClassVar[tuple[str, ...]] = ()  # names of the linear layers that get LoRA


class Dropout(nn.Dropout):
    """nn.Dropout whose mask on a CPU is made of 16 random bits a value: in 1.3 ns, where torch takes 9.

    The rate is rounded to a multiple of 1 / 65,536. The adapters of the ViT draw 170 million values in a step of 116
    frames, which took 9 % of it.
    """

    def forward(self, input: Tensor) -> Tensor:
        """A tensor -> the same shape."""
        kept = round((1 - self.p) * CHOICES)
        if not (self.training and input.is_cpu and 0 < kept < CHOICES):
            return super().forward(input)
        words = torch.empty(-(-input.numel() // 4), dtype=torch.int64).random_(-(2**63), None)
        bits = words.view(torch.int16)[: input.numel()].view(input.shape)
        # straight into floats: by way of bool it would take 1 ns more
        mask = torch.lt(bits, kept - CHOICES // 2, out=torch.empty(input.shape, dtype=input.dtype))
        return input * mask.mul_(CHOICES / kept)


def add_lora(
    module: nn.Module,
    targets: Sequence[str],
    rank: int,
    alpha: float,
    dropout: float,
    layers: Sequence[int] | None = None,
) -> None:
    """Freeze `module` and add LoRA to every linear layer named in `targets`, in place.

    y = W x + (alpha / rank) B A dropout(x). B starts at zero, so nothing changes before the first step. `layers`: only
    in these blocks of the module; None: in all. Raises ValueError if no layer has such a name.
    """
    module.requires_grad_(False)
    config = LoraConfig(
        r=rank,
        lora_alpha=alpha,  # type: ignore[arg-type]  # peft accepts any number
        lora_dropout=dropout,
        target_modules=list(targets),
        layers_to_transform=None if layers is None else list(layers),
        bias="none",
        fan_in_fan_out=any(isinstance(each, Conv1D) for each in module.modules()),  # GPT-2's weights are transposed
    )
    inject_adapter_in_model(config, module)
    for layer in [each for each in module.modules() if isinstance(each, LoraLayer)]:
        for name, each in layer.lora_dropout.items():
            if isinstance(each, nn.Dropout):
                layer.lora_dropout[name] = Dropout(each.p)


def merge_lora(module: nn.Module) -> None:
    """Merge every adapter into its base weight and restore the plain linear layer, in place."""
    for parent in list(module.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, LoraLayer):
                child.merge()
                setattr(parent, name, child.get_base_layer())
