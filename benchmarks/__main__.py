"""`python -m benchmarks [NAME ...]`: run them all, or those named; print each table and put it into its document.

A benchmark is a module with `run() -> str` (Markdown) and one line in BENCHMARKS. Its table stands in the document
between `<!-- benchmark: NAME -->` and `<!-- end -->`, and nowhere is it typed by hand. All together take more than
an hour on two cores that do nothing else; each module says what it takes. Those of docs/benchmarks.md use all cores.
`python -m benchmarks signals --recipe R --corpus C --run FOLDER` has options of its own, and writes into the run.
`python -m benchmarks studio --clip C` measures the server of the studio, for docs/studio.md.
`python -m benchmarks moving --run R` prints what a run translates where patches that are still are not computed.
`python -m benchmarks gpu` prints what a GPU makes of the model, `--small` the same at sizes for a CPU.
`python -m benchmarks evidence` makes docs/evidence.md and its pictures from the records of a sweep.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks import (
    ablation,
    attention,
    cached_features,
    cluster,
    conditions,
    decoding,
    doctor,
    engine,
    evidence,
    formats,
    full_size,
    fuzz,
    gpu,
    int8,
    loader,
    long_video,
    many_clips,
    methods,
    moving,
    onnx_form,
    opening,
    packing,
    real_input,
    scale,
    scoring,
    shards,
    signals,
    step,
    studio,
)

ROOT = Path(__file__).parents[1]
# name -> what runs it, and the page that has its table ("": printed only)
BENCHMARKS: dict[str, tuple[Callable[[], str], str]] = {
    "formats": (formats.run, "docs/data.md"),
    "packing": (packing.run, "docs/data.md"),
    "loader": (loader.run, "docs/data.md"),
    "shards": (shards.run, "docs/data.md"),
    "cluster": (cluster.run, "docs/cluster.md"),
    "scale": (scale.run, "docs/scale.md"),
    "real_input": (real_input.run, ""),
    "doctor": (doctor.run, "docs/data.md"),
    "step": (step.run, "docs/benchmarks.md"),
    "ablation": (ablation.run, "docs/benchmarks.md"),
    "full_size": (full_size.run, "docs/benchmarks.md"),
    "attention": (attention.run, "docs/benchmarks.md"),
    "moving": (moving.run, "docs/benchmarks.md"),
    "decoding": (decoding.run, "docs/benchmarks.md"),
    "many_clips": (many_clips.run, "docs/benchmarks.md"),
    "opening": (opening.run, "docs/benchmarks.md"),
    "cached_features": (cached_features.run, "docs/benchmarks.md"),
    "engine": (engine.run, "docs/benchmarks.md"),
    "methods": (methods.run, "docs/methods.md"),
    "scoring": (scoring.run, "docs/benchmarks.md"),
    "conditions": (conditions.run, "docs/data.md"),
    "long_video": (long_video.run, "docs/data.md"),
    "onnx_form": (onnx_form.run, "docs/models.md"),
    "int8": (int8.run, "docs/models.md"),
    "fuzz": (fuzz.run, "docs/benchmarks.md"),
}

# run only if they are named: they need a finished demo
OF_A_DEMO = {"conditions", "decoding", "long_video", "many_clips", "onnx_form"}


def main() -> None:
    if sys.argv[1:2] == [signals.SIGNALS]:  # of a recipe and a corpus that the user names
        signals.main(sys.argv[2:])
        return
    if sys.argv[1:2] == ["gpu"]:  # of the machine that it runs on: printed, in no document
        print(gpu.main(sys.argv[2:]))
        return
    if sys.argv[1:2] == ["moving"] and "--run" in sys.argv:  # of a run that the user names: printed
        print(moving.main(sys.argv[2:]))
        return
    if sys.argv[1:2] == [studio.STUDIO]:
        text = studio.main([word for word in sys.argv[2:] if word != "--no-write"])
        print(text)
        if "--no-write" not in sys.argv:
            put(ROOT / "docs/studio.md", studio.STUDIO, text)
        return
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure, print, and update docs/.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHMARKS)}; all by default")
    parser.add_argument("--no-write", action="store_true", help="print only")
    parser.add_argument("--demo", type=Path, default=Path("runs/demo"), help="folder of a finished demo")
    parser.add_argument("--split", choices=["dev", "test"], default="test", help="of the demo's clips")
    parser.add_argument("--records", type=Path, default=ROOT / "docs/evidence", help="evidence: folder of records")
    parser.add_argument("--corpus", type=Path, help="evidence: the prepared corpus, to describe it")
    parser.add_argument("--out", type=Path, default=ROOT / "docs/evidence.md", help="evidence: the page")
    parser.add_argument("--count", type=int, default=fuzz.COUNT, help="fuzz: cases")
    parser.add_argument("--seed", type=int, default=fuzz.SEED, help="fuzz: of the cases")
    parser.add_argument("--case", type=int, help="fuzz: only this one, alone; prints what it says")
    arguments = parser.parse_args()
    if arguments.names == ["evidence"]:  # of records, not measured now; a block for each table
        corpus = {} if arguments.corpus is None else {"evidence corpus": evidence.corpus_table(arguments.corpus)}
        for name, text in {**corpus, **evidence.run(arguments.records, arguments.out)}.items():
            print(f"## {name}\n\n{text}\n")
            put(arguments.out, name, text)
        return
    unknown = [name for name in arguments.names if name not in BENCHMARKS]
    if unknown:
        parser.error(f"no benchmark {unknown[0]!r}: one of {', '.join(BENCHMARKS)}")
    for name in arguments.names or [name for name in BENCHMARKS if name not in OF_A_DEMO]:
        run, document = BENCHMARKS[name]
        start = time.perf_counter()
        if run is fuzz.run:
            text = fuzz.run(arguments.count, arguments.seed, arguments.case)
        elif name == "long_video":
            text = long_video.run(arguments.demo)
        elif name in OF_A_DEMO:
            text = run(arguments.demo, arguments.split)  # type: ignore[call-arg]
        else:
            text = run()
        print(f"## {name} ({(time.perf_counter() - start) / 60:.1f} minutes)\n\n{text}\n", flush=True)
        if document and not arguments.no_write and arguments.case is None:
            print(f"written to {put(ROOT / document, name, text)}\n", flush=True)


def put(document: Path, name: str, text: str) -> Path:
    """Replace the section of one benchmark in a document; one that has none yet is added at the end."""
    opening, closing = f"<!-- benchmark: {name} -->", "<!-- end -->"
    section = f"{opening}\n{text}\n{closing}"
    old = document.read_text(encoding="utf-8") if document.is_file() else "# Benchmarks\n"
    pattern = re.compile(f"{re.escape(opening)}.*?{re.escape(closing)}", re.DOTALL)
    new = pattern.sub(lambda _: section, old) if pattern.search(old) else f"{old.rstrip()}\n\n## {name}\n\n{section}\n"
    document.write_text(new, encoding="utf-8")
    return document


if __name__ == "__main__":
    main()
