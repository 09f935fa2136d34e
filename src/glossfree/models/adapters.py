"""LoRA: small trainable matrices parallel to some linear layers of a frozen module (sections 3.1 and 4.2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.lora import LoraLayer
from torch import nn
from transformers.pytorch_utils import Conv1D

from glossfree.settings import WIDEST, Section, value


class Adapters(Section):
    """Options of a part that can carry LoRA."""

    adapter_rank: int = value(16, "stated", "LoRA rank", ge=1, le=WIDEST)
    adapter_alpha: float = value(32.0, "stated", "LoRA scaling factor", gt=0)
    adapter_dropout: float = value(0.1, "stated", "LoRA dropout", ge=0, lt=1)

    adapter_targets: ClassVar[tuple[str, ...]] = ()  # names of the linear layers that get LoRA


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


def merge_lora(module: nn.Module) -> None:
    """Merge every adapter into its base weight and restore the plain linear layer, in place."""
    for parent in list(module.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, LoraLayer):
                child.merge()
                setattr(parent, name, child.get_base_layer())
