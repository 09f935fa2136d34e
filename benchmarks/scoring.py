"""What scores with intervals cost: `glossfree score` of text files, under the default convention and all published.

Sentences of the drawn signer's weather grammar, and the same with words lost, exchanged and moved as hypotheses: as
many as PHOENIX14T's test split has, and 20,000; 1,000 bootstrap samples each. Default and all take turns. About 2
minutes on two cores.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from tools.wetter.sentences import draw

from benchmarks.timing import in_turns, machine, table
from glossfree.cli.score import Scored, score
from glossfree.console import Silent
from glossfree.scoring.conventions import published_for

GOALS = {642: 10, 20_000: 60}  # sentences: seconds, at most
SAMPLES, ROUNDS = 1000, 3
LOST, EXCHANGED, MOVED = 0.1, 0.2, 0.1  # of the words


def pairs(count: int, seed: int = 0) -> list[tuple[str, str]]:
    """(Hypothesis, reference) so many times, each time the same for a seed."""
    rng = random.Random(seed)
    references = [draw(rng)[1] for _ in range(count)]
    known = sorted({word for text in references for word in text.split()})
    return [(_spoilt(text, known, rng), text) for text in references]


def _spoilt(text: str, known: Sequence[str], rng: random.Random) -> str:
    words = [rng.choice(known) if rng.random() < EXCHANGED else word for word in text.split() if rng.random() >= LOST]
    for place in range(1, len(words)):
        if rng.random() < MOVED:
            words[place - 1 : place + 1] = words[place], words[place - 1]
    return " ".join(words)


def measure(count: int, folder: Path, samples: int = SAMPLES, rounds: int = ROUNDS) -> tuple[float, float, Scored]:
    """So many sentences -> median seconds under the default convention and under all, and the scores of the default."""
    files = [folder / "hypotheses.txt", folder / "references.txt"]
    for path, texts in zip(files, zip(*pairs(count), strict=True), strict=True):
        path.write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")
    once = partial(score, files[0], references=files[1], language="de", samples=samples, console=Silent())
    found = once()  # and the libraries are loaded
    seconds = in_turns({"one": once, "all": partial(once, conventions=True)}, rounds, warm_up=0)
    return seconds["one"], seconds["all"], found


def run(goals: dict[int, int] = GOALS, samples: int = SAMPLES, rounds: int = ROUNDS) -> str:
    """All sizes -> a table in Markdown."""
    rows = []
    for count, goal in goals.items():
        with tempfile.TemporaryDirectory() as folder:
            one, every, found = measure(count, Path(folder), samples, rounds)
        (first,) = found.rows
        bleu4 = f"{first.scores['bleu4']:.2f}"
        rows.append([f"{len(found.systems.references):,}", f"{one:.1f}", f"{every:.1f}", str(goal), bleu4])
    conventions = 1 + len(published_for("de"))
    header = ["sentences", "default convention, s", f"{conventions} conventions, s", "goal, s", "BLEU-4 of the default"]
    note = (
        f"From two text files to all scores with intervals, {samples:,} bootstrap samples, medians of {rounds} turns; "
        f"Python's start is not in it. Sentences of the weather grammar; of the hypotheses' words {LOST:.0%} are lost, "
        f"{EXCHANGED:.0%} exchanged, {MOVED:.0%} moved. {machine()}."
    )
    return f"{table(header, rows)}\n\n{note}"
