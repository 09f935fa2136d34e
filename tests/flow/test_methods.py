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

# the shipped recipes that are methods of their own, and the losses that each of their stages logs
LOSSES = {
    "pgp-phoenix14t": {"pretrain": {"pseudo_gloss"}, "finetune1": {"translation"}, "finetune2": {"translation"}},
    "gfslt-vlp-phoenix14t": {"pretrain": {"contrastive"}, "finetune1": {"translation"}, "finetune2": {"translation"}},
    "signcl-phoenix14t": {
        "pretrain": {"contrastive", "sign_contrast"},
        "finetune1": {"translation"},
        "finetune2": {"translation", "sign_contrast"},
    },
    "cico-phoenix14t": {
        "pretrain": {"token_alignment"},
        "finetune1": {"translation"},
        "finetune2": {"translation"},
    },
    "vap-phoenix14t": {
        "glosses_to_text": {"translation"},
        "pretrain": {"token_alignment", "light_translation"},
        "finetune1": {"translation"},
        "finetune2": {"translation"},
    },
    "hfa-cico-phoenix14t": {
        "pretrain": {"pseudo_gloss", "token_alignment"},
        "finetune1": {"translation"},
        "finetune2": {"translation"},
    },
    "fla-llm-phoenix14t": {"light": {"light_translation"}, "finetune": {"translation"}},
    "c2rl-phoenix14t": {"light": {"light_translation", "token_alignment"}, "finetune": {"translation"}},
    "hfa-fla-phoenix14t": {
        "pretrain": {"pseudo_gloss", "contrastive", "light_translation"},
        "finetune1": {"translation"},
        "finetune2": {"translation"},
    },
    "mmtlb-phoenix14t": {"s2g": {"gloss_ctc"}, "joint": {"gloss_ctc", "translation"}},
    "gfslt-vlp2-phoenix14t": {
        "masked_text": {"translation"},
        "pretrain": {"contrastive"},
        "finetune1": {"translation"},
        "finetune2": {"translation"},
    },
    "csgcr-phoenix14t": {
        "words_to_text": {"translation"},
        "pretrain": {"pseudo_gloss", "contrastive"},
        "finetune1": {"translation"},
        "finetune2": {"translation"},
    },
    "gaslt-phoenix14t": {"translate": {"translation", "text_similarity"}},
    "tspnet-phoenix14t": {"translate": {"translation"}},
    "sltunet-phoenix14t": {"s2g": {"gloss_ctc"}, "joint": {"gloss_ctc", "gloss_translation", "translation"}},
    "nslt-phoenix14t": {"translate": {"translation"}},
    "nslt-luong-phoenix14t": {"translate": {"translation"}},
    "nslt-bahdanau-phoenix14t": {"translate": {"translation"}},
}
FAMILY = {"demo", "hfa-phoenix14t", "hfa-phoenix14t-as-released", "hfa-phoenix14t-light"}
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
DECODERS = {"gru": "hidden_size = 20, num_layers = 2", "mbart": ""}
# small sizes of objectives that have any
OBJECTIVES = {
    "light_translation": "hidden_size = 16, encoder_layers = 1, num_layers = 1, num_heads = 2, mlp_size = 24",
}


@pytest.fixture(scope="module")
def without_glosses(tmp_path_factory: pytest.TempPathFactory, call: Any) -> Path:
    """A corpus for which `glossfree glosses` was never called."""
    corpus = tmp_path_factory.mktemp("methods") / "corpus"
    counts = ("--train", 12, "--dev", 4, "--test", 5, "--frame-size", 28, "--workers", 1)
    assert call("prepare", "wetter", *counts, "--out", corpus).code == 0
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
    ]
    for stage in recipe.planned:
        lines.append(f"[{stage.name}]\nepochs = 2\nbatch_size = 5")
        lines += [
            f"objectives.{name} = {{ {OBJECTIVES[name]} }}" for name in stage.used_objectives if name in OBJECTIVES
        ]
    return "\n".join(lines)


def test_every_method_is_tried() -> None:
    assert {path.stem for path in shipped_recipes()} == FAMILY | set(LOSSES)


@pytest.mark.parametrize("method", LOSSES)
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
    assert logged == LOSSES[method]
    assert [record["epoch"] for record in epochs] == [0, 1] * len(logged)
    assert all(record["dev"]["loss"] > 0 for record in epochs)

    evaluated, supervision = call("evaluate", run, "--split", "dev"), load_recipe(method).supervision
    assert evaluated.code == 0
    assert ("trained with annotated glosses" in evaluated.out) == (supervision == "glosses")
    assert call("export", run, model).code == 0
    card = json.loads((model / "model.json").read_text(encoding="utf-8"))
    assert card["supervision"] == supervision
    assert card["timeline"] == scores_glosses == (model / "pseudo_glosses.json").is_file()
    clip = sorted((corpus / "clips/test").iterdir())[0]
    translation = json.loads(call("translate", model, clip, "--json").out)
    assert bool(translation["pseudo_glosses"]) == scores_glosses
    assert call("report", run, "--split", "dev", "--clips", 1).code == 0
