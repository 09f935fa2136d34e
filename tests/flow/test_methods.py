"""Each method beside HFA, from its shipped recipe, at tiny sizes: prepared, trained for two epochs, scored, translated.

Methods without pseudo-glosses get a corpus that never had any.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from glossfree.objectives.pseudo_gloss import PseudoGloss
from glossfree.recipe.files import load_recipe, shipped_recipes

METHODS = [path.stem for path in shipped_recipes() if path.match("methods/*-phoenix14t.toml")]
COMMON = """
text = { num_pieces = 90 }
vision = { hidden_size = 24, num_layers = 2, num_heads = 2, patch_size = 8, image_size = 24, adapter_layers = 1 }
data = { fps = 0.0, frame_size = 28, crop_size = 24, num_workers = 0, max_frames = 60 }
decode = { num_beams = 2, max_new_tokens = 9, batch_size = 3 }
"""
# small sizes of temporal modules, language encoders and decoders, by kind
TEMPORAL = {
    "local_attention": "hidden_size = 36, num_layers = 2, num_heads = 2, mlp_size = 40, downsample_after = 1",
    "pyramid": "hidden_size = 36, num_heads = 2, mlp_size = 40",
    "linear": "hidden_size = 36",
}
LANGUAGE = {
    "mbart": "hidden_size = 32, num_layers = 1, num_heads = 2, mlp_size = 48, max_positions = 128",
    "none": "hidden_size = 36",
}
DECODERS = {
    "gru": "hidden_size = 20, num_layers = 2",
    "mbart": "",
    "causal": "hidden_size = 32, num_layers = 2, num_heads = 2, mlp_size = 48, max_positions = 128",
    "language_model": "config = { d_model = 32, num_layers = 2, attention_heads = 2, ffn_dim = 48 }",
}
KEYPOINTS = {"none": "", "joints": "num_joints = 55, hidden_size = 20"}
# small sizes of objectives that have any
OBJECTIVES = {
    "light_translation": "hidden_size = 16, encoder_layers = 1, num_layers = 1, num_heads = 2, mlp_size = 24",
}


@pytest.fixture(scope="module")
def without_glosses(tmp_path_factory: pytest.TempPathFactory, call: Any) -> Path:
    """A corpus for which `glossfree glosses` was never called."""
    corpus = tmp_path_factory.mktemp("methods") / "corpus"
    counts = ("--train", 12, "--dev", 4, "--test", 5, "--frame-size", 28, "--workers", 1)
    assert call("prepare", "wetter", *counts, "--out", corpus, "--poses").code == 0
    return corpus


def small(method: str) -> str:
    """A recipe of the method at tiny sizes, two epochs for each of its stages."""
    recipe = load_recipe(method)
    lines = [
        f'base = "{method}"',
        COMMON,
        f"temporal = {{ {TEMPORAL[recipe.temporal.kind]} }}",
        f"language = {{ {LANGUAGE[recipe.language.kind]} }}",
        f"decoder = {{ {DECODERS[recipe.decoder.kind]} }}",
        f"keypoints = {{ {KEYPOINTS[recipe.keypoints.kind]} }}",
    ]
    for stage in recipe.planned:
        lines.append(f"[{stage.name}]\nepochs = 2\nbatch_size = 5")
        lines += [
            f"objectives.{name} = {{ {OBJECTIVES[name]} }}" for name in stage.used_objectives if name in OBJECTIVES
        ]
    return "\n".join(lines)


@pytest.mark.parametrize("method", METHODS)
def test_a_method_has_a_recipe_that_trains_in_minutes(method: str) -> None:
    full, small = load_recipe(method), load_recipe(method.replace("phoenix14t", "wetter"))
    kinds = [(each.temporal.kind, each.language.kind, each.decoder.kind, each.supervision) for each in (full, small)]
    assert kinds[0] == kinds[1] and small.data.crop_size == 56
    losses = [{stage.name: {*stage.used_objectives} for stage in each.planned} for each in (full, small)]
    text = {"denoise": {"translation"}}  # stands in for a pretrained mBART
    assert losses[1] in (losses[0], losses[0] | text)
    assert sum(stage.epochs for stage in small.planned) <= 30


@pytest.mark.parametrize("method", METHODS)
def test_a_method_trains_and_translates(
    method: str, tiny: Any, without_glosses: Path, call: Any, tmp_path: Path
) -> None:
    recipe, run, model = tmp_path / "small.toml", tmp_path / "run", tmp_path / "model"
    recipe.write_text(small(method), encoding="utf-8")
    scores_glosses = load_recipe(recipe).objective(PseudoGloss) is not None
    corpus = tiny.corpus if "pseudo_glosses" in load_recipe(recipe).needs else without_glosses
    trained = call("train", "--recipe", recipe, "--corpus", corpus, "--run", run)
    assert trained.code == 0, trained.err

    records = [json.loads(line) for line in (run / "steps.jsonl").read_text(encoding="utf-8").splitlines()]
    epochs = [record for record in records if record["kind"] == "epoch"]
    logged = {record["stage"]: set(record["dev"]) - {"loss"} for record in epochs}
    assert logged == {stage.name: {*stage.used_objectives} for stage in load_recipe(method).planned}
    assert [record["epoch"] for record in epochs] == [0, 1] * len(logged)
    assert all(record["dev"]["loss"] > 0 for record in epochs)

    evaluated, supervision = call("evaluate", run, "--split", "dev"), load_recipe(method).supervision
    assert evaluated.code == 0
    assert ("trained with annotated glosses" in evaluated.out) == (supervision == "glosses")
    scored = json.loads((run / "scores.dev.json").read_text(encoding="utf-8"))
    assert bool(scored["recognition"]) == (supervision == "glosses") == ("WER" in evaluated.out)
    assert call("export", run, model).code == 0
    card = json.loads((model / "model.json").read_text(encoding="utf-8"))
    assert card["supervision"] == supervision
    assert card["timeline"] == scores_glosses == (model / "pseudo_glosses.json").is_file()
    clip = sorted((corpus / "clips/test").iterdir())[0]
    translation = json.loads(call("translate", model, clip, "--json").out)
    assert bool(translation["pseudo_glosses"]) == scores_glosses
    assert call("report", run, "--split", "dev", "--clips", 1).code == 0
    uses = [objective for stage in load_recipe(method).planned for objective in stage.used_objectives.values()]
    has_space = any(objective.compares_sentences for objective in uses)
    assert call("retrieve", run, "--split", "dev").code == (0 if has_space else 2)
    assert (run / "retrieval.dev.json").is_file() == has_space
    assert call("locate", run, "--split", "dev").code == (0 if scores_glosses else 2)
    assert (run / "localisation.dev.json").is_file() == scores_glosses
    page = (run / "report.html").read_text(encoding="utf-8") if supervision == "glosses" else "WER"
    assert "WER" in page
