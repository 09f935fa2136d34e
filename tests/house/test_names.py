"""Nothing in the tree names the machine that it was written on, or a host that would have to be asked."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

# a path of some machine, except the bare ones that tests invent ("/a/b.mp4")
MACHINE = re.compile(r"(?<![\w.)}])/(?:work|home|root|mnt|Users|workspace)/\w")
SHARED = re.compile(r"(?<![\w-])(?:\.\./)?shared/\w")
HOST = re.compile(r"https?://(?P<host>[\w.-]+)|\b(?:pypi\.org|pythonhosted\.org)\b")
# licence; names of SVG's and of ELAN's schema; no hosts
KNOWN_HOSTS = {"www.apache.org", "www.w3.org", "www.mpi.nl", "example.net", "127.0.0.1"}
TEXT = {".py", ".md", ".toml", ".txt", ".html", ".css", ".js", ".json", ".cfg", ".yml", ".yaml", ""}


def strange(text: str) -> list[str]:
    """Machine paths, `shared/...` and hosts in a text."""
    found = [match.group() for match in MACHINE.finditer(text)] + [match.group() for match in SHARED.finditer(text)]
    return found + [match.group() for match in HOST.finditer(text) if match["host"] not in KNOWN_HOSTS]


def test_no_file_names_a_machine_or_a_host(tracked: list[Path]) -> None:
    own = Path(__file__).resolve()
    texts = {path: path.read_text(encoding="utf-8") for path in tracked if path.suffix in TEXT and path != own}
    assert {str(path): found for path, text in texts.items() if (found := strange(text))} == {}


@pytest.mark.parametrize(
    "text",
    [
        'Path("/work/main/runs")',
        "see /home/anna/data",
        "read ../shared/phoenix14t/train.csv",
        "pip install -i https://index.example.com/simple",
        "files.pythonhosted.org",
    ],
)
def test_strange_names_are_found(text: str) -> None:
    assert len(strange(text)) == 1


@pytest.mark.parametrize(
    "text", ["docs/paper.md", "a network/home/router", "xmlns='http://www.w3.org/2000/svg'", "shared memory", "(/a/b)"]
)
def test_plain_names_are_not(text: str) -> None:
    assert strange(text) == []
