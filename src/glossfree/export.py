"""A trained run -> a model folder, as `translator` describes it."""

from __future__ import annotations

import shutil
from pathlib import Path

from glossfree import __version__
from glossfree.console import Console
from glossfree.errors import ModelError, RunError
from glossfree.files.disk import atomic, digest, read_json, write_json
from glossfree.models.int8 import INT8, to_int8
from glossfree.pipeline.card import write_card
from glossfree.pipeline.trained import TOKENIZER, TrainedRun
from glossfree.scoring.predictions import scores_path
from glossfree.serving.folder import CARD, FORMAT, RECIPE, WEIGHTS
from glossfree.serving.graphs import check_graphs, write_graphs
from glossfree.text.pseudo_glosses import PSEUDO_GLOSSES
from glossfree.training.run import save_tensors


def export_model(run: Path, folder: Path, console: Console, *, onnx: bool = False, int8: bool = False) -> None:
    """The model of a run -> a model folder, atomically; warns of weights that the run no longer has.

    `onnx`: graphs in place of the weights, for CPUs without torch; `int8`: 8-bit weights in either. Raises ModelError
    if `folder` holds anything or cannot be written, and for a model that ONNX cannot hold; RunError if no translating
    stage has finished.
    """
    if folder.is_file() or (folder.exists() and any(folder.iterdir())):
        problem = "is a file" if folder.is_file() else "is not empty"
        raise ModelError(problem, where=folder, remedy="name a new folder, or remove this one first")
    trained = TrainedRun(run)
    tensors, has_timeline = trained.tensors(), bool(trained.head_tensors())
    if onnx:
        check_graphs(trained.recipe)
    for line in trained.missing_weights():
        console.warn(line)
    if weight := trained.recipe.decode.rerank:
        console.warn(f"decode.rerank is {weight:g}: evaluate re-ranks, a model folder does not")
    with atomic(folder, ModelError) as temporary:
        if onnx:
            model, head = trained.model()
            write_graphs(temporary, model, head, trained.recipe.data.crop_size, int8=int8)
        elif int8:
            model, _ = trained.model()
            model.merge_adapters()
            rounded = to_int8(model) | trained.head_tensors()
            save_tensors(temporary / WEIGHTS, rounded, {"stage": trained.last_stage, INT8: True})
        else:
            save_tensors(temporary / WEIGHTS, tensors, {"stage": trained.last_stage})
        shutil.copytree(run / TOKENIZER, temporary / TOKENIZER)
        shutil.copyfile(trained.run.recipe, temporary / RECIPE)
        if has_timeline:
            trained.pseudo_glosses().without_sentences().save(temporary / PSEUDO_GLOSSES)
        files = sorted(path for path in temporary.rglob("*") if path.is_file())
        card = {
            "format": FORMAT,
            "glossfree": __version__,
            "files": {path.relative_to(temporary).as_posix(): digest(path) for path in files},
            # those of the run as it is: not of `evaluate --rerank`, which a model folder cannot reach, or --corpus
            "scores": {
                path.stem: read_json(path, RunError)
                for path in (scores_path(run, split) for split in ("dev", "test", "train"))
                if path.is_file()
            },
            "supervision": trained.recipe.supervision,
            "timeline": has_timeline,
            **({INT8: True} if int8 and not onnx else {}),
            **(
                {"onnx": {"int8": int8, "frames_per_segment": model.hierarchy.temporal.frames_per_segment}}
                if onnx
                else {}
            ),
            "training": {"fit": trained.recipe.data.fit, **trained.run.read_json("run.json").get("profile", {})},
        }
        write_json(temporary / CARD, card, ModelError)
        write_card(temporary, trained, tensors, FORMAT, int8=int8)
        if folder.exists():
            folder.rmdir()
