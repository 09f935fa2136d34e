"""State and strict loading, and the files that hold weights."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from glossfree.errors import ModelError
from glossfree.files.disk import digest
from glossfree.models.adapters import add_lora
from glossfree.models.language.mbart import MBart
from glossfree.models.weights import Census, fingerprint, load, read_weights, state, weight_files


class Toy(nn.Module):
    """Parameters, a shared one, and buffers, one of them not persistent."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(3, 5)
        self.again = self.first
        self.norm = nn.BatchNorm1d(5)
        self.passing = nn.Buffer(torch.ones(2), persistent=False)


def test_state_holds_everything_once() -> None:
    assert list(state(Toy())) == [
        "first.weight", "first.bias", "norm.weight", "norm.bias",
        "norm.running_mean", "norm.running_var", "norm.num_batches_tracked",
    ]  # fmt: skip
    names = [
        name
        for name in state(
            MBart(hidden_size=12, num_layers=1, num_heads=3, mlp_size=20, max_positions=16, dropout=0.0).build(40).mbart
        )
        if "embed_tokens" in name or "lm_head" in name
    ]
    assert names == [], "mBART's one table appears as model.shared.weight only"


def test_saved_and_loaded_is_equal_bit_for_bit() -> None:
    first, second = (
        MBart(hidden_size=12, num_layers=1, num_heads=3, mlp_size=20, max_positions=16, dropout=0.0).build(40).mbart,
        MBart(hidden_size=12, num_layers=1, num_heads=3, mlp_size=20, max_positions=16, dropout=0.0).build(40).mbart,
    )
    for model in (first, second):
        add_lora(model.model.decoder, ["q_proj"], 2, 4.0, 0.0)
    tensors = {name: tensor.clone() for name, tensor in state(first).items()}
    assert not all(torch.equal(tensor, tensors[name]) for name, tensor in state(second).items())
    census = load(second, tensors)
    assert all(torch.equal(tensor, tensors[name]) for name, tensor in state(second).items())
    assert census == Census(loaded=tuple(tensors))
    assert second.lm_head.weight is second.model.shared.weight


def test_differences_that_are_named_are_allowed() -> None:
    tensors = {name: torch.full_like(tensor, 2) for name, tensor in state(Toy()).items()}
    for name in [name for name in tensors if name.startswith("norm.")]:
        del tensors[name]
    tensors["head.weight"] = torch.ones(3)
    model = Toy()
    census = load(model, tensors, new=["norm."], ignored=["head."])
    assert census.loaded == ("first.weight", "first.bias")
    assert len(census.new) == 5
    assert census.ignored == ("head.weight",)
    assert (model.first.weight == 2).all()
    assert census.counts() == {"loaded": 2, "trimmed": 0, "new": 5, "ignored": 1}
    assert str(census) == (
        "2 loaded, 0 trimmed, 5 new (norm.weight, norm.bias, norm.running_mean, ...), 1 ignored (head.weight)"
    )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t.pop("first.bias"), "first.bias is missing"),
        (lambda t: t.update(extra=torch.ones(1)), "extra has no place"),
        (lambda t: t.update({"first.bias": torch.ones(4)}), r"first.bias is \(4,\), the model has \(5,\)"),
    ],
)
def test_other_differences_fail_by_name_and_change_nothing(change: object, words: str) -> None:
    model = Toy()
    before = {name: tensor.clone() for name, tensor in state(model).items()}
    tensors = {name: tensor + 1 for name, tensor in before.items()}
    change(tensors)
    with pytest.raises(ModelError, match=words) as caught:
        load(model, tensors, where="some/folder")
    assert caught.value.where == "some/folder"
    assert all(torch.equal(tensor, before[name]) for name, tensor in state(model).items())


def test_many_differences_are_counted() -> None:
    with pytest.raises(ModelError, match="and 4 more"):
        load(Toy(), {})


def test_digest_is_sha256(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert digest(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_files_of_a_folder(tmp_path: Path) -> None:
    save_file({"a": torch.ones(2)}, tmp_path / "part-1.safetensors")
    save_file({"b": torch.zeros(3)}, tmp_path / "part-2.safetensors")
    index = {"weight_map": {"a": "part-1.safetensors", "b": "part-2.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    torch.save({"c": torch.ones(1)}, tmp_path / "pytorch_model.bin")
    assert set(read_weights(tmp_path)) == {"a", "b"}, "safetensors come before older formats"
    assert set(read_weights(tmp_path / "pytorch_model.bin")) == {"c"}
    (tmp_path / "part-2.safetensors").unlink()
    with pytest.raises(ModelError, match=r"part-2\.safetensors: missing, but listed in the index"):
        weight_files(tmp_path)


class Trap:
    """An object that runs code when it is unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Path.touch, (Path("trapped"),)


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
@pytest.mark.parametrize("content", [b"", b"\x00" * 7, b"{}", b"no weights at all, but a long line of text"])
def test_a_broken_file_is_named(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ModelError, match="cannot be read") as caught:
        read_weights(tmp_path)
    assert caught.value.where == str(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_a_file_that_would_run_code_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"weight": Trap()}, "trap.pth")
    with pytest.raises(ModelError, match="cannot be read"):
        read_weights(Path("trap.pth"))
    assert not Path("trapped").exists()


def test_a_checkpoint_that_is_no_dictionary_of_tensors_is_refused(tmp_path: Path) -> None:
    torch.save({"epoch": 3, "weight": torch.ones(1)}, tmp_path / "checkpoint.pth")
    with pytest.raises(ModelError, match="'epoch' is no tensor"):
        read_weights(tmp_path / "checkpoint.pth")


def test_a_folder_without_weights_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no weights here.*model\.safetensors"):
        read_weights(tmp_path)
    with pytest.raises(ModelError, match="no weights here"):
        read_weights(tmp_path / "absent")


def test_a_fingerprint_is_that_of_names_shapes_types_and_bytes() -> None:
    tensors = {"b": torch.arange(6.0).view(2, 3), "a": torch.tensor(1.5), "h": torch.ones(3, dtype=torch.bfloat16)}
    same = {name: tensors[name].clone() for name in reversed(tensors)}
    assert fingerprint(tensors) == fingerprint(same) and len(fingerprint(tensors)) == 64
    assert fingerprint({"b": tensors["b"].T.contiguous().T}) == fingerprint({"b": tensors["b"]})
    others = [
        {**tensors, "b": tensors["b"].view(3, 2)},
        {**tensors, "b": tensors["b"] + 1e-6},
        {**tensors, "h": tensors["h"].half()},
        {("c" if name == "b" else name): tensor for name, tensor in tensors.items()},
        {name: tensor for name, tensor in tensors.items() if name != "a"},
    ]
    assert len({fingerprint(each) for each in [tensors, *others]}) == 6
