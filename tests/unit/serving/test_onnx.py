"""A model folder in ONNX: the same sentences as in PyTorch, without torch, and refused where it cannot be."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from glossfree.corpora.manifest import Manifest
from glossfree.errors import ModelError
from glossfree.files.disk import digest
from glossfree.opening import open_model
from glossfree.pipeline.assemble import assemble
from glossfree.pipeline.hub import DECODER, ENCODER, VISION
from glossfree.recipe.files import load_recipe
from glossfree.serving import graphs
from glossfree.serving.folder import verify
from glossfree.serving.onnx import OnnxTranslator
from glossfree.translator import SignTranslator
from glossfree.video.intake import ModelClip

Call = Callable[..., Any]
pytestmark = pytest.mark.slow
WITHOUT = ("torch", "transformers", "accelerate", "peft", "gensim", "HanTa", "tokenizers")


@pytest.fixture(scope="module")
def folder(tiny_run: Path, tmp_path_factory: pytest.TempPathFactory, call: Call) -> Path:
    """The tiny model in ONNX; no test may write into it."""
    folder = tmp_path_factory.mktemp("onnx") / "model"
    done = call("export", tiny_run, folder, "--onnx")
    assert done.code == 0, done.err
    return folder


def clips_of(tiny: Any) -> list[Path]:
    return [tiny.corpus / clip.file for clip in Manifest.load(tiny.corpus).split("test")]


def test_sentences_scores_and_timelines_are_the_models(tiny: Any, tiny_model: Path, folder: Path) -> None:
    ours, theirs = SignTranslator.from_pretrained(folder), SignTranslator.from_pretrained(tiny_model)
    assert isinstance(ours, OnnxTranslator) and isinstance(theirs, SignTranslator)
    requests = [(path, None) for path in clips_of(tiny)]
    pairs = zip(
        *(each.explain_all(requests, num_hypotheses=2, num_tracks=3) for each in (ours, theirs)),
        strict=True,
    )
    for own, expected in pairs:
        assert [each.text for each in own.hypotheses] == [each.text for each in expected.hypotheses]
        assert [each.score for each in own.hypotheses] == pytest.approx(
            [each.score for each in expected.hypotheses], abs=1e-3
        )
        assert [each.pseudo_gloss for each in own.tracks] == [each.pseudo_gloss for each in expected.tracks]
        for one, other in zip(own.tracks, expected.tracks, strict=True):
            assert one.timeline == pytest.approx(other.timeline, abs=1e-3)
        assert own.num_frames == expected.num_frames and own.notes == expected.notes
    assert list(ours.middles(7)) == list(theirs.middles(7))
    assert ours.about.has_timeline and ours.about.name == theirs.about.name == "tiny"


@pytest.mark.parametrize("length", [1, 2, 5, 40, 73])
def test_the_encoder_is_the_models_at_any_length(tiny_model: Path, folder: Path, length: int) -> None:
    ours, theirs = OnnxTranslator(folder), SignTranslator.from_pretrained(tiny_model)
    assert isinstance(theirs, SignTranslator)
    frames = np.random.default_rng(length).integers(0, 256, (length, 3, 24, 24), dtype=np.uint8)
    with torch.no_grad():
        video = theirs.model.hierarchy.video(torch.from_numpy(frames), torch.tensor([length]))
        expected = theirs.model.decoder.memory(video)[:, :, 0]
    np.testing.assert_allclose(ours.encode(frames)["memory"], expected.numpy(), atol=1e-3)


def test_nothing_of_torch_is_needed(tiny: Any, folder: Path) -> None:
    blocked = f"import sys; sys.modules.update(dict.fromkeys({WITHOUT}))"
    words = ["translate", str(folder), str(clips_of(tiny)[0])]
    code = f"{blocked}; from glossfree.cli.app import main; main({words!r})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == OnnxTranslator(folder).translate(clips_of(tiny)[0])


def test_the_folder_holds_graphs_in_place_of_weights(folder: Path, tmp_path: Path) -> None:
    card = verify(folder)
    assert card["onnx"] == {"int8": False, "frames_per_segment": 2}
    assert {VISION, ENCODER, DECODER} < set(card["files"]) and "model.safetensors" not in card["files"]
    copy = tmp_path / "model"
    shutil.copytree(folder, copy)
    (copy / "onnx/weights.bin").write_bytes(b"0")
    with pytest.raises(ModelError, match=r"does not name onnx/weights\.bin"):
        open_model(copy)


@pytest.mark.parametrize("content", [b"", b"no graph"])
def test_what_is_no_graph_is_refused(folder: Path, tmp_path: Path, content: bytes) -> None:
    copy = altered(folder, tmp_path, content)
    with pytest.raises(ModelError, match="not a graph that onnxruntime reads"):
        open_model(copy)


def test_a_graph_of_another_model_is_refused(folder: Path, tmp_path: Path) -> None:
    copy = altered(folder, tmp_path, (folder / ENCODER).read_bytes())
    with pytest.raises(ModelError, match="it takes features, and gives "):
        open_model(copy)


def test_a_graph_reads_no_other_file(folder: Path, tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    graph = onnx.load(folder / DECODER)
    (tmp_path / "secret").write_bytes(bytes(100_000_000 // 1000))
    tensor = max(graph.graph.initializer, key=lambda each: len(each.raw_data))
    size = len(tensor.raw_data)
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, value in {"location": "../../secret", "length": str(size)}.items():
        tensor.external_data.add(key=key, value=value)
    copy = altered(folder, tmp_path, graph.SerializeToString())
    with pytest.raises(ModelError, match="not a graph that onnxruntime reads"):
        open_model(copy)


def altered(folder: Path, tmp_path: Path, decoder: bytes) -> Path:
    """A copy with another decoder, and a card that names its hash: as a stranger may make one."""
    copy = tmp_path / "model"
    shutil.copytree(folder, copy)
    (copy / DECODER).write_bytes(decoder)
    card = json.loads((copy / "model.json").read_text())
    card["files"][DECODER] = digest(copy / DECODER)
    (copy / "model.json").write_text(json.dumps(card))
    return copy


def test_8_bits_are_smaller_and_translate(
    tiny_run: Path, folder: Path, tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The graphs are those that `folder` has: to trace the same model again takes most of an export."""
    monkeypatch.setattr(graphs, "_write", lambda _, path, *__: shutil.copyfile(folder / "onnx" / path.name, path))
    assert call("export", tiny_run, tmp_path / "int8", "--onnx", "--int8").code == 0
    sizes = [(each / DECODER).stat().st_size for each in (tmp_path / "int8", folder)]
    assert sizes[0] < 0.7 * sizes[1] and verify(tmp_path / "int8")["onnx"]["int8"] is True
    clip = ModelClip(np.zeros((9, 3, 24, 24), np.uint8), 9, 8.0, 0.0, 1.1, 1.0)
    (hypotheses,), _ = open_model(tmp_path / "int8").answer([clip], 2, 0)
    assert len(hypotheses) == 2 and np.isfinite([each.score for each in hypotheses]).all()


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("nslt-wetter", 'decoder.kind "gru"'),
        ("tspnet-wetter", 'temporal.kind "pyramid"'),
        ("gaslt-wetter", 'temporal.attention "gloss"'),
        ("csgcr-wetter", 'decode.source "words"'),
    ],
)
def test_what_has_no_graph_is_named(name: str, reason: str) -> None:
    with pytest.raises(ModelError, match=reason):
        graphs.check_graphs(load_recipe(name))


def test_a_position_table_of_another_size_and_no_head(tmp_path: Path, tiny: Any) -> None:
    """As at the paper's size: a table of 37 x 37 patches, and frames of 16 x 16."""
    recipe = load_recipe(str(tiny.recipe), ["vision.image_size=40"])
    torch.manual_seed(0)
    graphs.write_graphs(tmp_path, assemble(recipe, 97), None, recipe.data.crop_size)  # compares them, too
    assert {path.name for path in (tmp_path / "onnx").iterdir()} == {"vision.onnx", "encoder.onnx", "decoder.onnx"}


def test_a_graph_that_differs_is_refused(folder: Path) -> None:
    frames = torch.zeros(2, 3, 24, 24, dtype=torch.uint8)
    with pytest.raises(ModelError, match="differs from the model by"):
        graphs._compare(folder / VISION, [frames], [torch.full((2, 36), 50.0)])
