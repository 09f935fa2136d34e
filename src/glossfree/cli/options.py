"""Options that several verbs share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from glossfree.cluster import Cluster
from glossfree.errors import CorpusError, GlossfreeError, shortened
from glossfree.files.parts import is_address


def prepared_folder(name: str) -> Path:
    """A prepared folder as the user names it; of one at an address the copy on this disk. Raises CorpusError."""
    if not is_address(name):
        return Path(name)
    from glossfree.corpora.remote import local_folder

    return local_folder(name)


class EngineName(StrEnum):
    """Where work on many clips is done."""

    local = "local"
    ray = "ray"


@contextmanager
def engine_of(engine: EngineName, address: str) -> Iterator[Cluster | None]:
    """The cluster for the time of a block; None on this machine. Raises GlossfreeError."""
    if engine is EngineName.local:
        if address:
            remedy = "--engine ray goes with it"
            raise GlossfreeError(
                f"an address without a cluster ({shortened(address)})", where="--address", remedy=remedy
            )
        yield None
        return
    with Cluster(address) as cluster:
        yield cluster


PREPARED = {"parser": prepared_folder, "metavar": "FOLDER"}

Recipe = Annotated[str, typer.Option(help="A TOML file, or the name of a shipped recipe.")]
Corpus = Annotated[Path, typer.Option(help="A folder made by `glossfree prepare`, or its address.", **PREPARED)]
PreparedFolder = Annotated[
    Path, typer.Argument(help="A folder made by `glossfree prepare`, or its address.", **PREPARED)
]
Model = Annotated[Path, typer.Argument(help="Folder made by `glossfree export`, or hub:owner/name[@revision].")]
RunFolder = Annotated[Path, typer.Option("--run", help="Folder of the run.")]
Overrides = Annotated[list[str] | None, typer.Option("--set", help="section.key=value; may be given several times.")]
Track = Annotated[
    list[str] | None,
    typer.Option("--track", help="tensorboard, wandb, trackio or mlflow; may be given several times."),
]
Sentences = Annotated[Path | None, typer.Option(help="A file, one sentence a line, instead of a corpus.")]
References = Annotated[
    Path | None, typer.Option(help="A file, or a prepared corpus; of a run, its own corpus if left out.")
]
Split = Annotated[str, typer.Option(help="Split of the run or corpus: train, dev or test.")]
Language = Annotated[str | None, typer.Option(help="Spoken language, as de, en or zh; the corpus's if left out.")]
Engine = Annotated[EngineName, typer.Option("--engine", help="Where clips are worked on: this machine, or Ray's.")]
Address = Annotated[
    str,
    typer.Option("--address", help="Ray's cluster: auto, HOST:6379 or ray://HOST:10001; a new local one if left out."),
]
Samples = Annotated[int, typer.Option(min=1, max=100_000, help="Bootstrap samples.")]
Seed = Annotated[int, typer.Option(min=0, help="Seed of the bootstrap samples.")]
OtherCorpus = Annotated[Path | None, typer.Option(help="Another prepared corpus than the run's.", **PREPARED)]
ImageRate = Annotated[
    float | None, typer.Option(min=0.1, max=1000, help="Frames per second of folders of images; 25 if left out.")
]
Tier = Annotated[str | None, typer.Option(help="Tier of the .eaf.")]
SignLanguage = Annotated[
    str | None, typer.Option(help="youtube-sl25: videos in this sign language alone, as ase (ISO 639-3).")
]
CaptionRules = Annotated[
    list[str] | None,
    typer.Option("--set", help="RULE=VALUE: how captions become sentences, as pause=0.5; may be given several times."),
]


def pairs(texts: list[str] | None) -> dict[str, str]:
    """["a=b", ...] -> {"a": "b"}. Raises CorpusError for a text without "="."""
    if wrong := [text for text in texts or () if "=" not in text]:
        raise CorpusError(f"{shortened(wrong[0])!r} is not RULE=VALUE", where="--set", remedy="as --set pause=0.5")
    return {name.strip(): value.strip() for name, _, value in (text.partition("=") for text in texts or ())}
