"""The demo's model in PyTorch and in ONNX, each also with 8-bit weights: megabytes, seconds, sentences that change.

The run of a finished `make demo` (--demo names its folder) is exported in each form; each translates the split, a clip
at a time, on one thread, in turns of BLOCK clips. A process of its own translates one clip for what a user waits for,
and another says which packages that took. In PyTorch the demo's layers are too small for products with integers, which
change sentences, too: these are scored with every layer made so. Ten minutes on two cores.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Sequence
from importlib.metadata import distribution, packages_distributions
from pathlib import Path
from statistics import median

from benchmarks.processes import Finished, finish
from benchmarks.timing import machine, table
from glossfree.corpora.manifest import Manifest
from glossfree.opening import open_model
from glossfree.scoring.conventions import convention_for
from glossfree.scoring.statistics import Statistics
from glossfree.serving.translations import Translator

RUN = "with-pretraining"
FORMS: dict[str, tuple[str, ...]] = {
    "PyTorch": (),
    "PyTorch, int8": ("--int8",),
    "ONNX": ("--onnx",),
    "ONNX, int8": ("--onnx", "--int8"),
}
BLOCK, ROUNDS = 40, 3  # clips of a turn; processes of which the median counts
MEGABYTE = 1e6


def run(demo: Path = Path("runs/demo"), split: str = "test") -> str:
    """The table in Markdown."""
    os.environ["OMP_NUM_THREADS"] = "1"
    clips = Manifest.load(demo / "corpus").split(split)
    paths, references = [demo / "corpus" / clip.file for clip in clips], [clip.text for clip in clips]
    with tempfile.TemporaryDirectory() as name:
        folders = {form: Path(name) / str(number) for number, form in enumerate(FORMS)}
        for form, options in FORMS.items():
            finish("glossfree", "export", demo / RUN, folders[form], *options)
        sizes = {form: megabytes([path for path in folders[form].rglob("*") if path.is_file()]) for form in FORMS}
        cold: dict[str, list[Finished]] = {form: [] for form in FORMS}
        for _ in range(ROUNDS):
            for form in FORMS:
                cold[form].append(finish("glossfree", "translate", folders[form], paths[0]))
        installed = {form: finish("benchmarks.onnx_form", folders[form], paths[0]).output for form in FORMS}
        sentences, seconds = in_blocks(folders, paths)
        integers = integer_products(folders["PyTorch, int8"])
        products = [integers.translate(path) for path in paths]
    rows = [
        [
            form,
            f"{sizes[form]:.1f}",
            f"{float(installed[form]):.0f}",
            f"{median(each.cpu_seconds for each in cold[form]):.2f}",
            f"{1000 * median(each.peak_gigabytes for each in cold[form]):.0f}",
            f"{1000 * seconds[form] / len(paths):.0f}",
            same(sentences[form], sentences["PyTorch"]),
            f"{bleu4(sentences[form], references):.2f}",
        ]
        for form in FORMS
    ]
    header = ["form", "folder, MB", "packages, MB", "first clip, s", "memory, MB", "next clip, ms", "same", "BLEU-4"]
    note = (
        f"{len(paths)} clips of {split}. Processor seconds: of a process that opens the model and translates one clip "
        f"(median of {ROUNDS}), and of one more clip, one at a time on one thread. Packages: those that such a "
        f"process imports. Same: sentences as PyTorch's. With products of integers in every layer of "
        f"PyTorch's decoder: {same(products, sentences['PyTorch'])} the same, BLEU-4 "
        f"{bleu4(products, references):.2f}. {machine()}."
    )
    return f"{table(header, rows)}\n\n{note}"


def in_blocks(folders: dict[str, Path], paths: Sequence[Path]) -> tuple[dict[str, list[str]], dict[str, float]]:
    """Model folders and clips -> sentences and processor seconds of each; all translate a block, then the next."""
    translators = {form: open_model(folder) for form, folder in folders.items()}
    sentences: dict[str, list[str]] = {form: [] for form in folders}
    seconds = dict.fromkeys(folders, 0.0)
    for translator in translators.values():
        translator.translate(paths[0])
    for start in range(0, len(paths), BLOCK):
        for form, translator in translators.items():
            before = time.process_time()
            sentences[form] += [translator.translate(path) for path in paths[start : start + BLOCK]]
            seconds[form] += time.process_time() - before
    return sentences, seconds


def integer_products(folder: Path) -> Translator:
    """A model with 8-bit weights, in whose decoder a layer of any size multiplies with integers."""
    from glossfree.models import packed  # torch: not above, a process without it runs this module

    smallest, packed.SMALLEST = packed.SMALLEST, 1
    try:
        return open_model(folder)
    finally:
        packed.SMALLEST = smallest


def same(sentences: Sequence[str], others: Sequence[str]) -> str:
    """How many are equal, for a table."""
    return f"{sum(map(str.__eq__, sentences, others))} of {len(others)}"


def bleu4(hypotheses: Sequence[str], references: Sequence[str]) -> float:
    """0 to 100."""
    return Statistics.of(hypotheses, references, convention_for("de")).scores()["bleu4"]


def megabytes(paths: Sequence[Path]) -> float:
    """Files -> their size together."""
    return sum(path.stat().st_size for path in paths) / MEGABYTE


def imported() -> float:
    """Megabytes of the installed packages of which this process has imported something."""
    modules = {name.partition(".")[0] for name in sys.modules}
    owners = {owner for name, found in packages_distributions().items() if name in modules for owner in found}
    files = {Path(str(file.locate())) for owner in owners for file in distribution(owner).files or ()}
    return megabytes([path for path in files if path.is_file()])


if __name__ == "__main__":
    open_model(Path(sys.argv[1])).translate(sys.argv[2])
    print(imported())
