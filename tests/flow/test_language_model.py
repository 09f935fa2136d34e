"""Sign2GPT with language models of transformers, by folder: trained, killed and resumed, scored, exported, translated.

Small ones with random weights and tokenizers of their own. See test_methods for one without a folder.
"""

from __future__ import annotations

import json
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file
from tests.flow.nursery import Moment, Nursery, different, hashes, records
from tests.unit.language_models import SIZES, SURPLUS, save_language_model

from glossfree.recipe.files import load_recipe
from glossfree.text.language_model import LanguageModelTokenizer

STAGES = ("pretrain", "translate")
RECIPE = """
base = "sign2gpt-xglm-phoenix14t"
vision = { hidden_size = 24, num_layers = 2, num_heads = 2, patch_size = 8, image_size = 24, adapter_layers = 1 }
data = { fps = 0.0, frame_size = 28, crop_size = 24, num_workers = 0, max_frames = 60 }
temporal = { hidden_size = 36, num_layers = 2, num_heads = 2, mlp_size = 40, downsample_after = 1 }
language = { hidden_size = 36 }
decode = { num_beams = 2, max_new_tokens = 9, batch_size = 3 }
pretrain = { epochs = 2, batch_size = 5 }
translate = { epochs = 2, batch_size = 5, learning_rate = 0.02 }
"""


@pytest.fixture(scope="module")
def sentences(tiny: Any) -> list[str]:
    lines = (tiny.corpus / "manifest.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["text"] for line in lines]


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "small.toml"
    path.write_text(RECIPE, encoding="utf-8")
    return path


def train(tiny: Any, recipe: Path, folder: Path, run: Path, *others: object) -> tuple[object, ...]:
    named = ("--set", f"decoder.weights={folder}")
    return ("train", "--recipe", recipe, "--corpus", tiny.corpus, "--run", run, *named, *others)


@pytest.mark.parametrize("kind", SIZES)
def test_a_language_model_in_a_folder_learns_to_translate(
    tiny: Any, sentences: list[str], recipe: Path, call: Any, tmp_path: Path, kind: str
) -> None:
    folder = save_language_model(tmp_path / "lm", kind, sentences)
    tokenizer, tensors = LanguageModelTokenizer.load(folder), load_file(folder / "model.safetensors")
    run, model = tmp_path / "run", tmp_path / "model"
    trained = call(*train(tiny, recipe, folder, run))
    assert trained.code == 0, trained.err
    facts = json.loads((run / "run.json").read_text(encoding="utf-8"))["weights"]["decoder"]
    assert facts["source"] == str(folder) and [*facts["files"]] == ["model.safetensors"]
    assert facts["census"]["loaded"] == len(tensors) and facts["census"]["ignored"] == 0
    weights = load_file(run / "weights/translate.safetensors")
    moved = 0
    for name, tensor in tensors.items():
        own = f"decoder.language_model.{name}"
        with_lora = own.replace(".weight", ".base_layer.weight").replace(".bias", ".base_layer.bias")
        assert weights.get(own, weights.get(with_lora)).equal(tensor), f"{name} is frozen"
    for name, tensor in weights.items():
        moved += ("lora_B" in name or name.endswith("gamma")) and "decoder." in name and bool(tensor.any())
    assert moved, "its adapters have trained"

    epochs = [record for record in records(run) if record["kind"] == "epoch" and record["stage"] == "translate"]
    assert epochs[1]["dev"]["loss"] < epochs[0]["dev"]["loss"]

    assert call("export", run, model).code == 0
    counted = call(
        "params", "--recipe", recipe, "--corpus", tiny.corpus, "--set", f"decoder.weights={folder}", "--json"
    )
    total = json.loads(counted.out)["translate"]["parts"]["decoder"]["total"]
    assert total == sum(tensor.numel() for name, tensor in weights.items() if name.startswith("decoder."))
    shutil.rmtree(folder)  # what was trained needs it no more
    evaluated = call("evaluate", run, "--split", "dev")
    assert evaluated.code == 0, evaluated.err
    clip = sorted((tiny.corpus / "clips/test").iterdir())[0]
    translation = json.loads(call("translate", model, clip, "--json").out)
    assert translation["text"] == translation["hypotheses"][0]["text"] and translation["pseudo_glosses"]
    options: Any = load_recipe(model / "recipe.toml").decoder
    assert (options.start_id, options.end_id) == (tokenizer.start_id, tokenizer.end_id)
    assert options.config["vocab_size"] == len(tokenizer) + SURPLUS
    assert LanguageModelTokenizer.load(model / "tokenizer").sha256 == tokenizer.sha256


@pytest.mark.slow
def test_killed_and_resumed_nothing_is_different(
    tiny: Any, sentences: list[str], recipe: Path, nursery: Nursery, tmp_path: Path
) -> None:
    folder = save_language_model(tmp_path / "lm", "xglm", sentences)

    def outcome(run: Path) -> dict[str, Any]:
        assert nursery.run("evaluate", run, "--split", "dev") == 0, nursery.err
        weights = {f"{stage}/{name}": each for stage in STAGES for name, each in hashes(run, stage).items()}
        return {**weights, "records": records(run), "dev": (run / "predictions.dev.jsonl").read_bytes()}

    minutes = ("--set", "training.checkpoint_minutes=0")
    assert nursery.run(*train(tiny, recipe, folder, tmp_path / "whole", *minutes)) == 0, nursery.err
    command = train(tiny, recipe, folder, tmp_path / "killed", *minutes, "--resume")
    for moment in (Moment("step of pretrain", "after", 2), Moment("step of translate", "before", 2)):
        assert nursery.run(*command, kill=moment) == -signal.SIGKILL, nursery.err
    assert nursery.run(*command) == 0, nursery.err
    assert different(outcome(tmp_path / "killed"), outcome(tmp_path / "whole")) == []


def test_a_run_goes_on_with_the_same_model_only(
    tiny: Any, sentences: list[str], recipe: Path, call: Any, tmp_path: Path
) -> None:
    folder, run = save_language_model(tmp_path / "lm", "gpt2", sentences), tmp_path / "run"
    command = train(tiny, recipe, folder, run, "--until", "pretrain", "--resume")
    assert call(*command).code == 0
    second = call(*train(tiny, recipe, folder, tmp_path / "second", "--from", run))
    assert second.code == 0 and "other settings" not in second.err and "pretrain: finished before" in second.err
    kept = {path.name: path.read_bytes() for path in folder.iterdir()}
    for change in ("model.safetensors", "config.json", "tokenizer.json"):
        for name, content in kept.items():
            (folder / name).write_bytes(content)
        path = folder / change
        if change == "model.safetensors":
            save_language_model(tmp_path / "other", "gpt2", sentences, seed=2)
            path.write_bytes((tmp_path / "other" / change).read_bytes())
        elif change == "config.json":
            path.write_text(json.dumps(json.loads(path.read_text()) | {"layer_norm_epsilon": 0.5}))
        else:
            path.write_text(path.read_text().replace('"add_prefix_space": false', '"add_prefix_space": true', 1))
        refused = call(*command)
        assert (refused.code, refused.out) == (2, ""), change
        assert refused.err.splitlines()[-1].startswith(f"glossfree: {run}"), change
    for name, content in kept.items():
        (folder / name).write_bytes(content)
    assert call(*command).code == 0


@pytest.mark.parametrize("missing", ["config.json", "tokenizer.json", "model.safetensors"])
def test_a_folder_that_lacks_a_file_leaves_no_run_behind(
    tiny: Any, sentences: list[str], recipe: Path, call: Any, tmp_path: Path, missing: str
) -> None:
    folder = save_language_model(tmp_path / "lm", "llama", sentences)
    (folder / missing).unlink()
    refused = call(*train(tiny, recipe, folder, tmp_path / "run"))
    assert (refused.code, refused.out, (tmp_path / "run").exists()) == (2, "", False)
    assert str(folder) in refused.err.splitlines()[-1] and " -> " in refused.err.splitlines()[-1]
