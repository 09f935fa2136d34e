"""The files of a model folder, checked against their hashes before any of them is opened."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from glossfree import __version__
from glossfree.errors import ModelError
from glossfree.files.disk import digest
from glossfree.pipeline.hub import CONFIG, HUB, README, is_model_file
from glossfree.video.intake import validate_profile

CARD, RECIPE, WEIGHTS = "model.json", "recipe.toml", "model.safetensors"
FORMAT = 2
READ_BY = {1: "glossfree 0.1.0, from before recipes had stages,"}  # formats that this version no longer reads
AGAIN = "make the folder again: glossfree export RUN FOLDER"
CLOSED = ("tokenizer/", "onnx/")  # folders that hold nothing but what the card names


@dataclass(frozen=True)
class Verified:
    """The `card` of a folder whose files are as it says, but for the weights, which are hashed meanwhile."""

    card: dict[str, Any]
    check_weights: Callable[[], None]  # waits; raises ModelError. To be called before they are read.


def verify(folder: Path) -> dict[str, Any]:
    """Check a model folder against its card -> the card. Raises ModelError naming the missing or altered file."""
    verified = verify_but_weights(folder)
    verified.check_weights()
    return verified.card


def verify_but_weights(folder: Path) -> Verified:
    """As `verify`, but the weights, which may take seconds, are hashed by a thread. Raises ModelError."""
    try:
        card: dict[str, Any] = json.loads((folder / CARD).read_text(encoding="utf-8"))
        files = {name.replace("\\", "/"): sha256 for name, sha256 in dict(card["files"]).items()}  # Windows wrote "\\"
        card["files"] = files
    except FileNotFoundError as error:
        remedy = AGAIN if folder.is_dir() else f"check the path; a model on the hub is {HUB}owner/name"
        raise ModelError(f"no {CARD}: not a model folder", where=folder, remedy=remedy) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"{CARD} is damaged ({error})", where=folder, remedy=AGAIN) from error
    if (number := card.get("format")) != FORMAT:
        reader = next((text for known, text in READ_BY.items() if known == number), f"a version after {__version__}")
        remedy = f"use that version (glossfree {card.get('glossfree', '?')} made it), or export it again from its run"
        raise ModelError(f"format {number}, which {reader} reads", where=folder, remedy=remedy)
    weights: list[Future[str]] = []
    for name, expected in files.items():
        path = folder / name
        if not is_model_file(name):
            raise ModelError(f"{name} is no file of a model: it may hold code", where=folder, remedy=AGAIN)
        if not path.is_file():
            raise ModelError(f"{name} is missing", where=folder, remedy=AGAIN)
        if name == WEIGHTS:
            weights.append(ThreadPoolExecutor(1).submit(digest, path))
        elif digest(path) != expected:
            raise _altered(name, folder)
    if unknown := [name for name in others(folder, files) if name.startswith(CLOSED)]:
        remedy = "move it elsewhere: it could change what the model reads"
        raise ModelError(f"{CARD} does not name {unknown[0]}", where=folder, remedy=remedy)

    def check_weights() -> None:
        if any(each.result() != files[WEIGHTS] for each in weights):
            raise _altered(WEIGHTS, folder)

    return Verified(card, check_weights)


def _altered(name: str, folder: Path) -> ModelError:
    return ModelError(f"{name} was altered: its SHA-256 is not the card's", where=folder, remedy=AGAIN)


def others(folder: Path, files: Collection[str]) -> list[str]:
    """Files of a model folder that are not among `files`, `model.json` and what is for the hub; none that is hidden."""
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return [name for name in names if name not in {*files, CARD, README, CONFIG} and "/." not in f"/{name}"]


def training_of(card: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """What a card says of the training clips. Raises ModelError: not a profile."""
    try:
        return validate_profile(card.get("training", {}))
    except ValueError as error:
        raise ModelError(f"{CARD} is damaged ({error})", where=folder, remedy=AGAIN) from error
