"""`export`: a run -> one self-contained model folder that `translate` and `SignTranslator` load."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Annotated

import typer

from glossfree import __version__
from glossfree.cli.verb import Written
from glossfree.errors import ModelError
from glossfree.files.disk import digest
from glossfree.pipeline.trained import TOKENIZER, TrainedRun
from glossfree.text.pseudo_glosses import PSEUDO_GLOSSES
from glossfree.training.run import save_tensors
from glossfree.translator import CARD, FORMAT, RECIPE, WEIGHTS


def export(
    run: Annotated[Path, typer.Argument(help="Folder of a fine-tuned run.")],
    folder: Annotated[Path, typer.Argument(help="New folder for the model.")],
) -> Written:
    """Write the model folder beside a temporary name and move it into place; an existing one is left alone.

    Raises ModelError if `folder` holds anything, RunError if the run has no finished fine-tuning stage.
    """
    if folder.is_file() or (folder.exists() and any(folder.iterdir())):
        problem = "is a file" if folder.is_file() else "is not empty"
        raise ModelError(problem, where=folder, remedy="name a new folder, or remove this one first")
    trained = TrainedRun(run)
    tensors = trained.tensors()
    temporary = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        save_tensors(temporary / WEIGHTS, tensors, {"stage": trained.last_stage})
        shutil.copytree(run / TOKENIZER, temporary / TOKENIZER)
        shutil.copyfile(trained.run.recipe, temporary / RECIPE)
        has_timeline = any(name.startswith("head.") for name in tensors)
        if has_timeline:
            trained.pseudo_glosses().without_sentences().save(temporary / PSEUDO_GLOSSES)
        scores = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(run.glob("scores.*.json"))}
        files = sorted(path for path in temporary.rglob("*") if path.is_file())
        card = {
            "format": FORMAT,
            "glossfree": __version__,
            "files": {str(path.relative_to(temporary)): digest(path) for path in files},
            "scores": scores,
            "timeline": has_timeline,
            "training": {"fit": trained.recipe.data.fit, **trained.run.read_json("run.json").get("profile", {})},
        }
        (temporary / CARD).write_text(json.dumps(card, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
        if folder.exists():
            folder.rmdir()
        temporary.rename(folder)
    except OSError as error:
        reason = error.strerror or error  # shutil's own errors are lists without one
        raise ModelError(f"cannot be written ({reason})", where=folder, remedy="check space and rights") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return Written(folder)
