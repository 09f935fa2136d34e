"""doctor on an installation: what works, what is broken in any way, and the exit codes of the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from glossfree.doctor import installation as doctor_installation
from glossfree.doctor.findings import BadClip, Diagnosis, Finding
from glossfree.doctor.installation import LIBRARIES, Library, diagnose_installation, import_all
from glossfree.video.pack import write_clip

BROKEN = {
    "raises_value": "raise ValueError('not made for this version')",
    "raises_os": "raise OSError('libsomething.so.3: cannot open')",
    "exits": "import sys\nsys.exit(3)",
    "crashes": "import os\nos.abort()",
    "closes": "import os\nos.close(1)\nraise RuntimeError('deaf')",
}


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose modules this process and its children can import."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return tmp_path


def levels(diagnosis: Diagnosis) -> dict[str, str]:
    return {finding.topic: finding.level for finding in diagnosis.findings}


@pytest.mark.parametrize("name", BROKEN)
def test_a_library_that_is_broken_in_any_way_is_a_finding(modules: Path, name: str) -> None:
    (modules / f"{name}.py").write_text(BROKEN[name])
    needed = diagnose_installation([Library(name, name)])
    assert (levels(needed)[name], needed.exit_code) == ("problem", 2)
    extra = diagnose_installation([Library(name, name, extra="more")])
    assert (levels(extra)[name], extra.exit_code) == ("warning", 1)
    [finding] = [finding for finding in extra.findings if finding.topic == name]
    assert "pip install" in finding.remedy


def test_a_library_that_ends_the_child_does_not_hide_the_others(modules: Path) -> None:
    for name in ("crashes", "closes"):
        (modules / f"{name}.py").write_text(BROKEN[name])
    (modules / "fine.py").write_text("__version__ = '7.3'")
    facts = import_all([Library(name, name) for name in ("crashes", "fine", "closes")])
    assert facts["fine"] == {"version": "7.3", "error": ""}
    assert facts["crashes"]["error"] and facts["closes"]["error"]


def test_the_error_of_an_import_is_reported(modules: Path) -> None:
    (modules / "odd.py").write_text("print('{\"version\": 7}')\n" + BROKEN["raises_value"])
    facts = import_all([Library("odd", "odd")])
    assert facts == {"odd": {"version": "", "error": "ValueError: not made for this version"}}


def test_an_import_that_never_ends_is_ended(modules: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor_installation, "TIMEOUT", 0.5)
    (modules / "endless.py").write_text("import time\ntime.sleep(300)")
    assert "no result" in import_all([Library("endless", "endless")])["endless"]["error"]


def test_what_works_and_what_is_not_installed(modules: Path) -> None:
    (modules / "fine.py").write_text("__version__ = '7.3'")
    libraries = [Library("fine", "fine"), Library("absent", "absent_one", extra="more")]
    diagnosis = diagnose_installation(libraries)
    assert diagnosis.figures["libraries"] == {"fine": {"version": "7.3", "error": ""}}
    assert "fine 7.3" in diagnosis.to_text()
    assert levels(diagnosis)["not installed"] == "ok"
    missing = diagnose_installation([Library("absent", "absent_one")])
    assert (levels(missing)["absent"], missing.exit_code) == ("problem", 2)


TORCH = """__version__ = '9.1+cu130'
class version: cuda, hip = '13.0', None
class cuda:
    device_count = staticmethod(lambda: 1)
    get_device_name = staticmethod(lambda n: 'B7')
    @staticmethod
    def mem_get_info(n): {answer}
"""


@pytest.mark.parametrize(
    ("answer", "level", "text"),
    [
        ("return 71e9, 80e9", "ok", "71.0 of 80.0 GB"),
        ("return 9e9, 80e9", "warning", "9.0 of 80.0 GB"),
        ("raise RuntimeError('device lost')", "problem", "device lost"),
    ],
)
def test_an_accelerator_and_its_memory(modules: Path, answer: str, level: str, text: str) -> None:
    (modules / "torch.py").write_text(TORCH.format(answer=answer))
    diagnosis = diagnose_installation([library for library in LIBRARIES if library.name == "torch"])
    [finding] = [finding for finding in diagnosis.findings if finding.topic == "accelerator"]
    assert (finding.level, text in finding.text) == (level, True)


SPACY = """__version__ = '3.9'
class util: get_installed_models = staticmethod(lambda: ['de_core_news_lg', 'xx_other'])
"""


@pytest.mark.parametrize(
    ("model", "tagger", "level"),
    [("", "spaCy (de_core_news_lg)", "ok"), ("raise OSError('no file')", "HanTa", "warning")],
)
def test_taggers_are_those_that_work(modules: Path, model: str, tagger: str, level: str) -> None:
    (modules / "spacy.py").write_text(SPACY)
    (modules / "de_core_news_lg.py").write_text(model)
    diagnosis = diagnose_installation([library for library in LIBRARIES if library.name in ("spacy", "HanTa")])
    assert diagnosis.figures["taggers"]["de"] == tagger
    assert levels(diagnosis).get("extras" if level == "ok" else "spacy") == level


def test_little_memory_and_little_disk_are_warnings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "meminfo").write_text("MemTotal: 16000000 kB\nMemAvailable: 9000000 kB\n")
    monkeypatch.setattr(doctor_installation, "MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(doctor_installation, "CGROUP_LIMIT", tmp_path / "none")
    assert levels(diagnose_installation([]))["memory"] == "ok"
    (tmp_path / "memory.max").write_text("3000000000\n")
    monkeypatch.setattr(doctor_installation, "CGROUP_LIMIT", tmp_path / "memory.max")
    monkeypatch.setattr(doctor_installation, "LITTLE_DISK", 1e30)
    diagnosis = diagnose_installation([])
    assert (levels(diagnosis)["memory"], levels(diagnosis)["disk"], diagnosis.exit_code) == ("warning", "warning", 1)
    assert diagnosis.figures["memory"] == 3_000_000_000


def test_a_diagnosis_puts_problems_first_and_remedies_under_them() -> None:
    findings = (
        Finding("c", "ok", "fine"),
        Finding("b", "warning", "odd", "look"),
        Finding("a", "problem", "bad", "mend"),
    )
    diagnosis = Diagnosis("it", findings, {"x": 7}, (BadClip("k", "dev", "k.mp4", ("late", "long")),))
    lines = [line.strip() for line in diagnosis.to_text().split("\n") if line.startswith("  ")]
    assert lines == ["a: bad", "-> mend", "b: odd", "-> look", "dev k (k.mp4): late; long", "c: fine"]
    assert [Diagnosis("it", findings[:count]).exit_code for count in range(4)] == [0, 0, 1, 2]
    assert json.loads(json.dumps(diagnosis.to_dict()))["exit_code"] == 2


def test_the_command_line_says_it_with_its_exit_code(tmp_path: Path, call: Any) -> None:
    for name in "abcde":
        write_clip(tmp_path / f"{name}.mp4", np.full((31, 24, 32, 3), 90, np.uint8), 10.0)
    rows = ("a.mp4,am tag regnet es,train", "b.mp4,es schneit heute,dev", "d.mp4,es hagelt,train", "e.mp4,es taut,dev")
    table = "\n".join(["path,text,split", *rows, "c.mp4,{},test\n"])
    for text, code in (("es taut am abend", 0), ("es taut am abend " * 9, 1), ("", 2)):
        (tmp_path / "sentences.csv").write_text(table.format(text))
        assert call("doctor", tmp_path).code == code
        done = call("doctor", tmp_path, "--json")
        assert (done.code, json.loads(done.out)["exit_code"]) == (code, code)
    assert call("doctor", tmp_path / "gone").code == 2


@pytest.mark.slow
def test_this_installation_works(call: Any) -> None:
    done = call("doctor", "--json")
    data = json.loads(done.out)
    assert done.code < 2, data["findings"]
    assert data["figures"]["precision"] in ("fp32", "bf16", "fp16")
    assert data["figures"]["libraries"]["av"]["ffmpeg"]
