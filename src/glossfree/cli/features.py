"""`features`: what a frozen backbone makes of every frame of a prepared corpus, for many runs to train from."""

from __future__ import annotations

from typing import Annotated

import typer

from glossfree.cli.options import Address, Engine, EngineName, Overrides, PreparedFolder, engine_of
from glossfree.console import Console
from glossfree.pipeline.features import FeaturesReport, compute_features


def features(
    corpus: PreparedFolder,
    encoder: Annotated[str, typer.Option(help="Weights of DINOv2 (folder, .pth, hub:owner/name), or a run or model.")],
    console: Console,
    overrides: Overrides = None,
    recipe: Annotated[str | None, typer.Option(help="Sizes and crop; else the run's, or the light recipe's.")] = None,
    engine: Engine = EngineName.local,
    address: Address = "",
) -> FeaturesReport:
    """Compute the features of every clip; see `pipeline.features.compute_features`."""
    with engine_of(engine, address) as cluster:
        return compute_features(
            corpus, encoder, console=console, recipe=recipe, overrides=overrides or (), cluster=cluster
        )
