"""Named tensors of models, and the files that hold them.

Loading is strict: it fails, with names, unless every tensor of the model and of the source is accounted for.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError  # torch raises it if a file would run code
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from glossfree.errors import ModelError


class Undrawn(TorchFunctionMode):
    """A context in which modules are built without random weights: their memory holds anything until it is loaded."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Call any function but those of torch.nn.init."""
        kwargs = kwargs or {}
        if getattr(func, "__module__", None) == "torch.nn.init":
            return kwargs["tensor"]
        return func(*args, **kwargs)


@dataclass(frozen=True)
class Census:
    """Names of tensors: `loaded`; `trimmed`, only some rows; `new`, only in the model; `ignored`, only in the file."""

    loaded: tuple[str, ...]
    trimmed: tuple[str, ...] = ()
    new: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()

    def __str__(self) -> str:
        """One line: "223 loaded, 2 trimmed, 0 new, 1 ignored (pooler)"."""
        parts = [f"{len(self.loaded)} loaded", f"{len(self.trimmed)} trimmed"]
        for word, names in (("new", self.new), ("ignored", self.ignored)):
            shown = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
            parts.append(f"{len(names)} {word}" + (f" ({shown})" if names else ""))
        return ", ".join(parts)

    def counts(self) -> dict[str, int]:
        """The number of tensors of each kind."""
        return {name: len(names) for name, names in vars(self).items()}


def state(model: nn.Module) -> dict[str, Tensor]:
    """Model -> {name: tensor} of all parameters and persistent buffers, detached.

    A shared tensor is listed once, under its first name.
    """
    tensors: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, tensor in model.state_dict(keep_vars=True).items():
        if id(tensor) not in seen:
            seen.add(id(tensor))
            tensors[name] = tensor.detach()
    return tensors


def below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose names begin with a prefix, by the rest of their names."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def fingerprint(tensors: Mapping[str, Tensor]) -> str:
    """Named tensors -> SHA-256 of names, types, shapes and bytes, in hexadecimal; order and device do not matter."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy(force=True).data)
    return digest.hexdigest()


def load(
    model: nn.Module,
    tensors: Mapping[str, Tensor],
    *,
    where: str = "weights",
    new: Sequence[str] = (),
    ignored: Sequence[str] = (),
) -> Census:
    """Copy `tensors` (as `state` names them) into `model`, in place -> Census.

    `new` and `ignored` are prefixes of names that may be missing from the source and from the model. Raises ModelError
    for any other difference in names or shapes; the model is then unchanged.
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


def weight_files(source: Path) -> list[Path]:
    """A weights file, or a Hugging Face folder -> the files of its tensors, safetensors before older formats.

    Raises ModelError if there are none, or if a file in the folder's index is missing.
    """
    if source.is_file():
        return [source]
    for name in ("model.safetensors", "pytorch_model.bin"):
        if (source / name).is_file():
            return [source / name]
        index = source / f"{name}.index.json"
        if index.is_file():
            try:
                shards = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
            except (json.JSONDecodeError, KeyError, AttributeError, UnicodeDecodeError) as error:
                raise ModelError(f"not an index of weights ({error})", where=index, remedy="fetch it again") from error
            for shard in shards:
                if not (source / shard).is_file():
                    raise ModelError("missing, but listed in the index", where=source / shard, remedy="fetch it")
            return [source / shard for shard in shards]
    remedy = "a folder with model.safetensors or pytorch_model.bin, or one such file"
    raise ModelError("no weights here", where=source, remedy=remedy)


def read_weights(source: Path) -> dict[str, Tensor]:
    """A weights file or a Hugging Face folder -> its named tensors, in main memory.

    Reads safetensors, or torch's own format with `weights_only=True`: no code in the file can run. Raises ModelError.
    """
    tensors: dict[str, Tensor] = {}
    for path in weight_files(source):
        try:
            if path.suffix == ".safetensors":
                tensors |= load_file(path)
            else:
                tensors |= torch.load(path, map_location="cpu", weights_only=True)
        except (SafetensorError, UnpicklingError, RuntimeError, EOFError, OSError, TypeError) as error:
            problem = f"cannot be read as weights ({str(error).splitlines()[0][:120] if str(error) else 'empty'})"
            raise ModelError(problem, where=path, remedy="fetch the file again, complete") from error
    odd = [name for name, tensor in tensors.items() if not isinstance(tensor, Tensor)]
    if odd:
        raise ModelError(f"{odd[0]!r} is no tensor", where=source, remedy="name a file of weights, not a checkpoint")
    return tensors
