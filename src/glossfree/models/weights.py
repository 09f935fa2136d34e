"""Named tensors of our own models, and other people's weights under our names.

Loading is strict: every tensor of the model is accounted for, and every tensor of the source, or it fails by name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from glossfree.errors import ModelError


@dataclass(frozen=True)
class Census:
    """Where every tensor went: `loaded` as it was, `trimmed` to some of its rows, `new` (only in the model, left as
    initialised), `ignored` (only in the source)."""

    loaded: tuple[str, ...]
    trimmed: tuple[str, ...] = ()
    new: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()

    def __str__(self) -> str:
        """One line, "223 loaded, 2 trimmed, 0 new, 1 ignored (pooler)": with the first names of the last two."""
        parts = [f"{len(self.loaded)} loaded", f"{len(self.trimmed)} trimmed"]
        for word, names in (("new", self.new), ("ignored", self.ignored)):
            shown = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
            parts.append(f"{len(names)} {word}" + (f" ({shown})" if names else ""))
        return ", ".join(parts)


def state(model: nn.Module) -> dict[str, Tensor]:
    """Model -> {name: tensor} of all parameters and persistent buffers, detached; a shared tensor once, under the
    first of its names."""
    tensors: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, tensor in model.state_dict(keep_vars=True).items():
        if id(tensor) not in seen:
            seen.add(id(tensor))
            tensors[name] = tensor.detach()
    return tensors


def load(
    model: nn.Module,
    tensors: Mapping[str, Tensor],
    *,
    where: str = "weights",
    new: Sequence[str] = (),
    ignored: Sequence[str] = (),
) -> Census:
    """Copy `tensors` (as `state` names them) into `model`, in place -> Census.

    `new` and `ignored` are prefixes of names that may be missing from the source, and from the model. Raises
    ModelError for any other difference in names, and for a difference in shape; the model is then unchanged.
    """
    targets = state(model)
    missing = [name for name in targets if name not in tensors]
    surplus = [name for name in tensors if name not in targets]
    bad = [f"{name} is missing" for name in missing if not name.startswith(tuple(new))]
    bad += [f"{name} has no place in the model" for name in surplus if not name.startswith(tuple(ignored))]
    bad += [
        f"{name} is {tuple(tensors[name].shape)}, the model has {tuple(target.shape)}"
        for name, target in targets.items()
        if name in tensors and tensors[name].shape != target.shape
    ]
    if bad:
        more = f" and {len(bad) - 3} more" if len(bad) > 3 else ""
        raise ModelError("; ".join(bad[:3]) + more, where=where, remedy="weights and recipe must belong together")
    with torch.no_grad():
        for name, target in targets.items():
            if name in tensors:
                target.copy_(tensors[name])
    loaded = tuple(name for name in targets if name in tensors)
    return Census(loaded=loaded, new=tuple(missing), ignored=tuple(surplus))
