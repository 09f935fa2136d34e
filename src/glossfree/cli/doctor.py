"""`doctor`: will this work? The installation, a corpus before it is packed, or a model with clips -> a Diagnosis."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from glossfree.cli.options import CaptionRules, ImageRate, SignLanguage, Tier, pairs
from glossfree.console import Console, Silent
from glossfree.corpora.registry import CORPORA
from glossfree.doctor.corpus import diagnose_corpus
from glossfree.doctor.findings import Diagnosis
from glossfree.doctor.installation import diagnose_installation
from glossfree.errors import CorpusError, os_errors_as

CARD = "model.json"  # what makes a folder a model


def doctor(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            help="A corpus's folder or table; a model (or hub:owner/name) and clips; the installation if left out."
        ),
    ] = None,
    corpus: Annotated[str | None, typer.Option(help=f"One of {', '.join(CORPORA)}; else known by its layout.")] = None,
    rules: CaptionRules = None,
    tier: Tier = None,
    sign_language: SignLanguage = None,
    language: Annotated[str | None, typer.Option(help="Of captions in several languages, the one to take.")] = None,
    fps: ImageRate = None,
    console: Console | None = None,
) -> Diagnosis:
    """No path: the installation. A model's folder and clips: do they suit it? Else one corpus: ROOT or its table.

    Raises GlossfreeError for paths that are none of these.
    """
    console = console or Silent()
    if fps is not None and not any(path.is_dir() for path in (paths or ())[1:]):
        console.warn("--fps is for folders of images behind a model, and there are none: a corpus has a column fps")
    if not paths:
        return diagnose_installation()
    first, *clips = paths
    if first.as_posix().startswith("hub:"):
        from glossfree.pipeline.hub import model_folder

        first = model_folder(first)
    with os_errors_as(CorpusError, "cannot be read", where=first, remedy="check the path"):
        exists, is_model = first.exists(), corpus is None and (first / CARD).is_file()
    if not exists:
        raise CorpusError("no such file or folder", where=first, remedy="check the path")
    if is_model:
        from glossfree.doctor.model import diagnose_model  # needs torch, which takes seconds to import

        return diagnose_model(first, clips, fps)
    if clips:
        remedy = "name the model first: glossfree doctor MODEL clip.mp4; corpora one at a time"
        raise CorpusError("no model folder, and several paths", where=first, remedy=remedy)
    options = {"rules": pairs(rules), "tier": tier, "language": language, "sign_language": sign_language}
    return diagnose_corpus(first, corpus, console, **{name: value for name, value in options.items() if value})
