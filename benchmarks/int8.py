"""The paper's model at full size, random weights, in floats and with 8-bit weights (`glossfree export --int8`).

One run is exported in both forms. In turns: a process that opens the folder and translates one clip; one more clip of
an open model; and the language decoder alone. In processor seconds on one thread. The weights are those of
`benchmarks.decoding`, so every sentence has TOKENS tokens; what rounding does to sentences is measured on the demo
(`python -m benchmarks onnx_form`). About 7 minutes on two cores, 6 GB of memory and 4 GB of disk.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch

from benchmarks.decoding import BEAMS, FRAMES, SEGMENTS, TOKENS, write_run
from benchmarks.full_size import RECIPE
from benchmarks.loader import signer
from benchmarks.onnx_form import megabytes
from benchmarks.processes import Finished, finish
from benchmarks.timing import in_turns, machine, processor_seconds, table
from glossfree.console import Silent
from glossfree.export import export_model
from glossfree.padded import Padded
from glossfree.pipeline.assemble import beams_of
from glossfree.recipe.files import load_recipe
from glossfree.recipe.schema import Recipe
from glossfree.serving.translations import Translator
from glossfree.translator import SignTranslator
from glossfree.video.pack import write_clip

FORMS = {"floats": False, "8 bits": True}
TOGETHER = (1, 4)  # clips that are decoded together
ROUNDS, STARTS = 3, 2  # turns of an open model, and of processes


def run(recipe: Recipe | None = None, frames: int = FRAMES, segments: int = SEGMENTS, rounds: int = ROUNDS) -> str:
    """The table in Markdown."""
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)
    if recipe is None:
        recipe = load_recipe(RECIPE, [f"decode.num_beams={BEAMS}", f"decode.max_new_tokens={TOKENS}"])
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        write_run(work / "run", recipe)
        write_clip(work / "clip.mp4", signer(frames, seed=0), 25.0)
        folders = {form: work / form.replace(" ", "-") for form in FORMS}
        for form, int8 in FORMS.items():
            export_model(work / "run", folders[form], Silent(), int8=int8)
        sizes = {form: megabytes([each for each in folders[form].rglob("*") if each.is_file()]) for form in FORMS}
        opened: dict[str, list[Finished]] = {form: [] for form in FORMS}
        for _ in range(STARTS):
            for form in FORMS:
                opened[form].append(finish("glossfree", "translate", folders[form], work / "clip.mp4"))
        translators = {form: SignTranslator.from_pretrained(folders[form]) for form in FORMS}
        again = {form: clip(each, work / "clip.mp4") for form, each in translators.items()}
        columns = [in_turns(again, rounds, seconds_of=processor_seconds)]
    for count in TOGETHER:
        video = Padded(torch.randn(count, segments, recipe.language.hidden_size), torch.full((count,), segments))
        decoders = {form: decoding(each, video) for form, each in translators.items()}
        columns.append(in_turns(decoders, rounds, seconds_of=processor_seconds))
    values = {
        form: [
            sizes[form],
            median(each.cpu_seconds for each in opened[form]),
            1000 * median(each.peak_gigabytes for each in opened[form]),
            *(column[form] for column in columns),
        ]
        for form in FORMS
    }
    rows = [[form, *(f"{each:,.0f}" if each >= 100 else f"{each:.2f}" for each in values[form])] for form in FORMS]
    ratios = [f"{one / other:.2f}" for one, other in zip(*values.values(), strict=True)]
    decoded = [f"decoding {count} clip{'s' * (count > 1)}, s" for count in TOGETHER]
    header = ["full size", "folder, MB", "first clip, s", "memory, MB", "next clip, s", *decoded]
    note = (
        f"Random weights, clips of {frames} frames, beam {recipe.decode.num_beams}, {recipe.decode.max_new_tokens} "
        f"tokens. Processor seconds on one thread: of a process that opens the model and translates one clip (median "
        f"of {STARTS}); of one more clip; of its decoding alone, 1 and {TOGETHER[-1]} clips together (medians of "
        f"{rounds}, in turns). {machine()}."
    )
    return f"{table(header, [*rows, ['ratio', *ratios]])}\n\n{note}"


def clip(translator: Translator, path: Path) -> Callable[[], object]:
    """What translates the clip once more."""
    return lambda: translator.translate(path)


def decoding(translator: Translator, video: Padded) -> Callable[[], object]:
    """What writes the sentences of video features Padded (B, S, E)."""
    assert isinstance(translator, SignTranslator)
    beams, tokenizer = beams_of(translator.recipe), translator.tokenizer
    return lambda: translator.model.decoder.generate(video, beams, tokenizer.start_id, tokenizer.never_written)
