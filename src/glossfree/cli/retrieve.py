"""`retrieve`: how well a run finds the sentence of a video, and the video of a sentence."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from glossfree.cli.options import OtherCorpus
from glossfree.console import Console, Result, text_table
from glossfree.errors import RunError
from glossfree.files.disk import write_json
from glossfree.pipeline.joint_space import JointSpace
from glossfree.pipeline.trained import TrainedRun
from glossfree.scoring.predictions import measured_path
from glossfree.scoring.retrieval import RECALLS, Retrieval, retrieval
from glossfree.video.sampler import explain_dead_workers


@dataclass(frozen=True)
class Retrieved(Result):
    """Retrieval in both directions, by the joint space of `stage`."""

    split: str
    stage: str
    directions: dict[str, Retrieval]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        directions = {name: asdict(each) for name, each in self.directions.items()}
        return {"split": self.split, "stage": self.stage, **directions}

    def to_text(self) -> str:
        """A line for each direction, and what a random order would give."""
        header = (f"{self.split}, space of {self.stage}", *(f"R@{k}, %" for k in RECALLS), "median rank", "queries")
        rows = [
            (name, *(f"{each.recall[k]:.1f}" for k in RECALLS), f"{each.median_rank:g}", str(each.num_queries))
            for name, each in self.directions.items()
        ]
        chance = next(iter(self.directions.values()))
        recalls = (f"{chance.recall_by_chance[k]:.1f}" for k in RECALLS)
        rows.append(("a random order", *recalls, f"{chance.median_rank_by_chance:g}", ""))
        return text_table(header, rows, left=1)


def retrieve(
    run: Annotated[Path, typer.Argument(help="A run with a stage that has contrastive or token_alignment.")],
    console: Console,
    split: Annotated[str, typer.Option(help="train, dev or test.")] = "test",
    corpus: OtherCorpus = None,
) -> Retrieved:
    """Rank all sentences of a split for each video, and all videos for each sentence.

    Clips with equal sentences count as each other's. Writes retrieval.SPLIT.json into the run's folder. Raises
    RunError: no run, or no stage of it compares videos with sentences; CorpusError.
    """
    trained = TrainedRun(run)
    material = trained.material(corpus, [split])
    material.manifest.split(split)  # raises CorpusError for one without clips
    space = JointSpace.load(trained, material)
    loader = material.clip_loader(split, trained.recipe.decode.batch_size)
    assert loader is not None  # the split has clips
    with explain_dead_workers(material.manifest.folder):
        sentences, similarities = space.similarities(loader)
    result = Retrieved(split, space.stage, retrieval(similarities.numpy(), sentences))
    path = measured_path(run, "retrieval", split, *trained.kinds(material.manifest))
    write_json(path, result.to_dict(), RunError)
    return result
