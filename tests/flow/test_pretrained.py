"""Pretrained weights on the real command line: in, counted, recorded, never mixed; a network only where one is named.

Small folders in Hugging Face's form, with random weights, made by Hugging Face's own classes.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.flow.nursery import options
from tests.paper.losses import IN_TURN
from transformers import Dinov2Config, Dinov2Model, MBartConfig, MBartForConditionalGeneration

from glossfree.text.tokenizer import SETTINGS_FILE, SentenceTokenizer

# commands without a network: what opens a connection, or asks for an address, ends the program
NO_NETWORK = f"""import socket
def refuse(*_): raise SystemExit("a network was asked for")
socket.socket.connect = socket.socket.connect_ex = refuse
socket.getaddrinfo = refuse
{IN_TURN}"""


@dataclass(frozen=True)
class Pretrained:
    """Folders of a DINOv2 and of an mBART (with its tokenizer), and the settings that name them."""

    vision: Path
    language: Path

    @property
    def settings(self) -> tuple[object, ...]:
        named = {"vision.weights": self.vision, "language.weights": self.language, "text.tokenizer": self.language}
        others = options("denoise.epochs=0", "language.train=adapters", "decoder.train=adapters")
        return (*others, *(word for key, path in named.items() for word in ("--set", f"{key}={path}")))

    def file(self, role: str) -> Path:
        return (self.vision if role == "vision" else self.language) / "model.safetensors"


@pytest.fixture
def pretrained(tiny: Any, tmp_path: Path) -> Pretrained:
    torch.manual_seed(1)
    made = Pretrained(tmp_path / "dinov2", tmp_path / "mbart")
    Dinov2Model(
        Dinov2Config(
            hidden_size=24, num_hidden_layers=2, num_attention_heads=2, mlp_ratio=4, patch_size=8, image_size=24
        )
    ).save_pretrained(made.vision)
    lines = (tiny.corpus / "manifest.jsonl").read_text(encoding="utf-8").splitlines()
    tokenizer = SentenceTokenizer.train([json.loads(line)["text"] for line in lines], 140, "de_DE")
    tokenizer.save(made.language)
    (made.language / SETTINGS_FILE).unlink()  # ours; Hugging Face's folder has none such
    model = MBartForConditionalGeneration(
        MBartConfig(
            vocab_size=len(tokenizer), d_model=32, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
            decoder_attention_heads=2, encoder_ffn_dim=48, decoder_ffn_dim=48, max_position_embeddings=128,
        )
    )  # fmt: skip
    torch.nn.init.normal_(model.model.shared.weight)
    model.save_pretrained(made.language)
    return made


def other_weights(path: Path) -> None:
    """The same names and shapes, other numbers."""
    save_file({name: tensor + 1 for name, tensor in load_file(path).items()}, path)


def test_pretrained_weights_go_in_and_are_recorded(
    tiny: Any, pretrained: Pretrained, call: Any, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    done = call("train", *tiny.options, "--until", "pretrain", "--run", run, *pretrained.settings)
    assert (done.code, done.out) == (0, f"{run}\n")
    counts = {"vision": (7 + 2 * 14, 0), "language": (21 + 31, 2)}  # encoder and decoder, without table and bias
    record = json.loads((run / "run.json").read_text())["weights"]
    for role, (loaded, trimmed) in counts.items():
        folder = pretrained.file(role).parent
        assert f"{folder}: {loaded} loaded, {trimmed} trimmed, 0 new, 0 ignored\n" in done.err
        assert record[role] == {
            "source": str(folder),
            "files": {"model.safetensors": hashlib.sha256(pretrained.file(role).read_bytes()).hexdigest()},
            "census": {"loaded": loaded, "trimmed": trimmed, "new": 0, "ignored": 0},
        }
    # what is frozen left training as it lies in the folders
    weights = load_file(run / "weights/pretrain.safetensors")
    vision, language = (load_file(pretrained.file(role)) for role in ("vision", "language"))
    patches = "embeddings.patch_embeddings.projection.weight"
    assert torch.equal(weights[f"hierarchy.visual.backbone.model.{patches}"], vision[patches])
    key = "layers.0.self_attn.k_proj.weight"
    assert torch.equal(weights[f"hierarchy.language.encoder.{key}"], language[f"model.encoder.{key}"])
    tokenizer, original = (
        SentenceTokenizer.load(run / "tokenizer"),
        SentenceTokenizer.load(pretrained.language, "de_DE"),
    )
    assert len(tokenizer) < len(original)
    table = weights["hierarchy.language.encoder.embed_tokens.weight"]
    rows = [original.pieces.index(piece) for piece in tokenizer.pieces]
    assert torch.equal(table, language["model.shared.weight"][rows])


@pytest.mark.parametrize("role", ["vision", "language"])
def test_a_run_goes_on_with_its_own_weights_only(
    tiny: Any, pretrained: Pretrained, call: Any, tmp_path: Path, role: str
) -> None:
    run = tmp_path / "run"
    command = ("train", *tiny.options, "--until", "pretrain", "--run", run, *pretrained.settings, "--resume")
    assert call(*command).code == 0
    assert "finished before" in call(*command).err
    fine = ("train", *tiny.options, "--from", run, "--run", tmp_path / "fine", *pretrained.settings)
    assert call(*fine).code == 0  # trimmed once more, to the same rows
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    other_weights(pretrained.file(role))
    again = ("train", *tiny.options, "--from", run, "--run", tmp_path / "mixed", *pretrained.settings)
    for refused in (call(*command), call(*again)):
        assert (refused.code, refused.out) == (2, "")
        assert refused.err.splitlines()[-1].startswith(f"glossfree: {run}: {pretrained.file(role).parent} is not what")
        assert "(model.safetensors differ) -> " in refused.err
    assert not (tmp_path / "mixed").exists()
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_weights_that_do_not_fit_leave_no_run_behind(
    tiny: Any, pretrained: Pretrained, call: Any, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    command = ("train", *tiny.options, "--until", "pretrain", "--run", run, *pretrained.settings)
    whole = shutil.copyfile(pretrained.file("vision"), tmp_path / "whole")
    tensors = load_file(whole)
    save_file({"layernorm.weight": tensors.pop("layernorm.weight")}, pretrained.file("vision"))
    refused = call(*command)
    assert (refused.code, run.exists()) == (2, False)
    assert "is missing" in refused.err
    shutil.copyfile(whole, pretrained.file("vision"))
    assert call(*command).code == 0


@pytest.mark.slow
def test_no_network_is_asked_for_unless_one_is_named(tiny: Any, pretrained: Pretrained, tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "HF_HUB_OFFLINE"}

    def start(*commands: tuple[object, ...]) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", NO_NETWORK, json.dumps([[str(word) for word in each] for each in commands])]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment, check=False)

    run, model = tmp_path / "run", tmp_path / "model"
    train = ("train", *tiny.options, "--run", run, *pretrained.settings)
    clip = next((tiny.corpus / "clips/test").glob("*.mp4"))
    done = start(train, ("evaluate", run), ("export", run, model), ("translate", model, clip))
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{run}\n") and f"\n{model}\n" in done.stdout
    asked = start(("train", *tiny.options, "--run", tmp_path / "a", "--set", "vision.weights=hub:glossfree-tests/none"))
    assert asked.returncode == 1 and "a network was asked for" in asked.stderr, "the guard above must be able to fail"


@pytest.mark.slow
@pytest.mark.parametrize("setting", ["vision.weights", "text.tokenizer"])
@pytest.mark.parametrize("offline", [True, False])
def test_a_hub_that_cannot_be_reached_is_one_line_at_once(
    tiny: Any, tmp_path: Path, setting: str, offline: bool
) -> None:
    """Told to stay offline, or with nobody at the other end."""
    nobody = {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HUB_OFFLINE": str(int(offline)), "HF_HOME": str(tmp_path)}
    command = [sys.executable, "-m", "glossfree", "train", *map(str, tiny.options), "--run", str(tmp_path / "run")]
    command += ["--set", f"{setting}=hub:glossfree-tests/none"]
    environment = {**os.environ, **nobody}
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("glossfree: hub:glossfree-tests/none: cannot be fetched (")
    assert done.stderr.endswith("-> download it where there is a network, and name the folder\n")
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "run").exists()
