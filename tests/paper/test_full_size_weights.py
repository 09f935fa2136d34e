"""Folders of the paper's pretrained models at full size, with random weights, on their way into the paper's model.

DINOv2 ViT-S/14 in Hugging Face's form and as the original release's state dict; mBART-large-cc25 with its table of
250,027 rows, as half-precision numbers (1.2 GB on disk while the module runs), trimmed to PHOENIX14T's vocabulary.
"""

from __future__ import annotations

import csv
import hashlib
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import Dinov2Config, Dinov2Model, MBartConfig

from glossfree.console import Silent
from glossfree.corpora.manifest import Manifest, PackedClip
from glossfree.models.decoders.mbart import MBartDecoder
from glossfree.models.hierarchy import TranslationModel
from glossfree.models.language.mbart import MBart
from glossfree.models.weights import state
from glossfree.objectives.base import Inputs
from glossfree.pipeline.assemble import assemble, prepare, training_stage
from glossfree.pipeline.material import Material, gather
from glossfree.pipeline.weights import load_sources, weight_sources
from glossfree.recipe.files import load_recipe
from glossfree.recipe.schema import Recipe
from glossfree.text.pseudo_glosses import PSEUDO_GLOSSES, PseudoGlosses
from glossfree.text.tokenizer import SentenceTokenizer
from glossfree.text.vectors import PROTOTYPES, save_vectors

ROWS, TOKENS, PSEUDO_GLOSSES_OF_THE_PAPER = 250_027, 2_172, 2_322
ONE = 0x3C00  # the bits of 1.0 in half precision: all those below are numbers in [0, 1)
TABLE = "model.shared.weight"
RELEASED = (  # Hugging Face's names within a block -> the original release's
    (r"^encoder\.layer\.", "blocks."),
    (r"attention\.output\.dense", "attn.proj"),
    (r"layer_scale(\d)\.lambda1", r"ls\1.gamma"),
    (r"^embeddings\.(cls_token|mask_token)$", r"\1"),
    (r"^embeddings\.position_embeddings$", "pos_embed"),
    (r"^embeddings\.patch_embeddings\.projection\.", "patch_embed.proj."),
    (r"^layernorm\.", "norm."),
)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def dinov2_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("dinov2")
    torch.manual_seed(2)
    model = Dinov2Model(Dinov2Config(hidden_size=384, num_hidden_layers=12, num_attention_heads=6, image_size=518))
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.02)
    model.save_pretrained(folder)
    yield folder
    shutil.rmtree(folder)


def released(folder: Path) -> Path:
    """The same weights as the original release has them: one file, other names, query, key and value in one."""
    tensors: dict[str, Tensor] = {}
    for name, tensor in load_file(folder / "model.safetensors").items():
        for pattern, replacement in RELEASED:
            name = re.sub(pattern, replacement, name)
        tensors[name] = tensor
    for query in [name for name in tensors if ".query." in name]:
        three = [tensors.pop(query.replace("query", part)) for part in ("query", "key", "value")]
        tensors[query.replace("attention.attention.query", "attn.qkv")] = torch.cat(three)
    torch.save(tensors, folder / "dinov2_vits14_pretrain.pth")
    return folder / "dinov2_vits14_pretrain.pth"


@pytest.fixture(scope="module")
def mbart_folder(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("mbart")
    with torch.device("meta"):
        shapes = {
            name: tensor.shape
            for name, tensor in state(
                MBart(hidden_size=1024, num_layers=12, num_heads=16, mlp_size=4096, max_positions=1024, dropout=0.1)
                .build(ROWS)
                .mbart
            ).items()
        }
    source = torch.Generator().manual_seed(3)
    bits = {name: torch.randint(ONE, shape, dtype=torch.int16, generator=source) for name, shape in shapes.items()}
    save_file({name: each.view(torch.float16) for name, each in bits.items()}, folder / "model.safetensors")
    MBartConfig(vocab_size=ROWS).save_pretrained(folder)
    shutil.copy(shared / "mbart_cc25" / "sentencepiece.bpe.model", folder)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def corpus(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """PHOENIX14T's training sentences as a prepared corpus without videos, and two words for pseudo-glosses."""
    folder = tmp_path_factory.mktemp("phoenix")
    path = shared / "phoenix14t" / "PHOENIX-2014-T.train.corpus.csv"
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="|", quoting=csv.QUOTE_NONE))
    clips = [PackedClip(row["name"], "train", row["translation"], f"{row['name']}.mp4", 50, 25.0) for row in rows]
    Manifest(folder, tuple(clips), {"language": "de"}).save()
    glosses = PseudoGlosses(("regen", "wind"), {"regen": 1, "wind": 1}, {}, {}, {}, "none", "de")
    glosses.save(folder / PSEUDO_GLOSSES)
    save_vectors(folder / PROTOTYPES, np.ones((2, 300), dtype=np.float32), glosses.inventory)
    return folder


@pytest.fixture(scope="module")
def recipe(dinov2_folder: Path, mbart_folder: Path) -> Recipe:
    named = {"vision.weights": dinov2_folder, "language.weights": mbart_folder, "text.tokenizer": mbart_folder}
    return load_recipe("hfa-phoenix14t", [f"{key}={path}" for key, path in named.items()])


@pytest.fixture(scope="module")
def material(recipe: Recipe, corpus: Path) -> Material:
    return gather(recipe, corpus)


@pytest.fixture(scope="module")
def loaded(recipe: Recipe, material: Material) -> tuple[TranslationModel, dict[str, Any], list[str]]:
    console = Silent()
    model = assemble(recipe, len(material.tokenizer))
    return model, load_sources(model, recipe, weight_sources(recipe), material.kept_ids, console), console.lines


def test_every_tensor_is_accounted_for(loaded: Any, dinov2_folder: Path, mbart_folder: Path) -> None:
    _, record, lines = loaded
    # 7 and 14 a block; 16 and 26 a layer, 5 beside them on either side; table and output bias
    counts = {"vision": (7 + 12 * 14, 0), "language": (12 * 16 + 12 * 26 + 2 * 5, 2)}
    for role, folder, line in zip(counts, (dinov2_folder, mbart_folder), lines, strict=True):
        whole, trimmed = counts[role]
        assert line == f"{folder}: {whole} loaded, {trimmed} trimmed, 0 new, 0 ignored"
        with (folder / "model.safetensors").open("rb") as file:
            assert record[role]["files"] == {"model.safetensors": hashlib.file_digest(file, "sha256").hexdigest()}


def test_rows_follow_their_pieces_bit_for_bit(loaded: Any, material: Material, mbart_folder: Path) -> None:
    model, _, _ = loaded
    assert isinstance(model.decoder, MBartDecoder)
    ours = model.decoder.mbart
    original = SentenceTokenizer.load(mbart_folder, "de_DE")
    assert (len(original), len(material.tokenizer)) == (ROWS, TOKENS)
    row_of = {piece: row for row, piece in enumerate(original.pieces)}
    with safe_open(mbart_folder / "model.safetensors", framework="pt") as file:
        table, bias = file.get_slice(TABLE), file.get_tensor("final_logits_bias")
        for token, piece in enumerate(material.tokenizer.pieces):
            row = row_of[piece]
            assert torch.equal(ours.model.shared.weight[token], table[row : row + 1][0].float())
            assert ours.get_buffer("final_logits_bias")[0, token] == bias[0, row]
        for name, tensor in state(ours).items():
            if name not in (TABLE, "final_logits_bias"):
                assert torch.equal(tensor, file.get_tensor(name).float())
    assert ours.lm_head.weight is ours.model.encoder.embed_tokens.weight is ours.model.shared.weight
    assert model.hierarchy.language.adapted is ours.model.encoder


def test_the_original_release_gives_the_same_vision(loaded: Any, dinov2_folder: Path, recipe: Recipe) -> None:
    model, _, _ = loaded
    path = released(dinov2_folder)
    named = load_recipe("hfa-phoenix14t", [f"vision.weights={path}", "language.num_layers=1"])
    other = assemble(named, 50)
    (source,) = weight_sources(named)
    record = load_sources(other, named, [source], list, Silent())
    assert record["vision"]["census"] == {"loaded": 7 + 12 * 14, "trimmed": 0, "new": 0, "ignored": 0}
    ours, theirs = (state(each.hierarchy.visual.backbone) for each in (model, other))
    assert list(ours) == list(theirs)
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in ours.items())
    reference = Dinov2Model.from_pretrained(dinov2_folder, attn_implementation="eager").eval()
    images = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(4))
    with torch.no_grad():
        expected = reference(images).pooler_output
        torch.testing.assert_close(other.eval().hierarchy.visual.backbone(images), expected, rtol=0, atol=1e-5)


def test_adapted_it_has_the_parameters_of_table_3(loaded: Any, recipe: Recipe) -> None:
    """Last in this module: adapters go in and stay. The text encoder and two temperatures are counted elsewhere."""
    model, _, _ = loaded
    inputs = Inputs(vectors=torch.ones(PSEUDO_GLOSSES_OF_THE_PAPER, 300))
    counts = {}
    for config in recipe.planned:
        prepare(model, recipe, config)
        stage = training_stage(model, recipe, config, inputs)
        used = {p for part in (*stage.parts().values(), stage.objectives) for p in part.parameters()}
        counts[config.name] = sum(p.numel() for p in stage.trained().values()), sum(p.numel() for p in used)
    assert counts == {
        "pretrain": (15_200_325 + 2, 346_123_973 + 2 - 154_433_536),
        "finetune1": (1_049_600 + 2_048 + 1_572_864, 395_924_608),
        "finetune2": (16_819_712, 395_924_608),
    }
