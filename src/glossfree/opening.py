"""A model folder or a name on the hub -> what translates with it; torch is loaded only for a model that needs it."""

from __future__ import annotations

from pathlib import Path

from glossfree.pipeline.hub import model_folder
from glossfree.serving.folder import RECIPE, verify_but_weights
from glossfree.serving.onnx import OnnxTranslator, is_onnx
from glossfree.serving.translations import Translator


def open_model(source: str | Path) -> Translator:
    """As `SignTranslator.from_pretrained`. Raises ModelError."""
    folder = model_folder(source)
    if is_onnx(folder):
        return OnnxTranslator(folder)
    verified = verify_but_weights(folder)  # they are hashed while torch is imported
    from glossfree.translator import SignTranslator

    return SignTranslator.of_folder(folder, verified)


def batch_size_of(source: str | Path) -> int:
    """The clips of which `explain_all` makes a batch with this model, which is not opened. Raises ModelError."""
    from glossfree.recipe.files import load_recipe  # torch, too

    return load_recipe(model_folder(source) / RECIPE).decode.batch_size
