"""The files of the page: texts in both languages, and nothing that the security policy forbids."""

from __future__ import annotations

import re
from pathlib import Path

import glossfree.studio

STATIC = Path(glossfree.studio.__file__).parent / "static"
TEXT = r'"((?:[^"\\]|\\.)*)"'
ROW = re.compile(rf"^  (\w+): \[\s*{TEXT},\s*{TEXT},?\s*\],", re.MULTILINE)


def read(pattern: str) -> str:
    return "\n".join(path.read_text(encoding="utf-8") for path in sorted(STATIC.glob(pattern)))


def test_every_text_exists_in_both_languages() -> None:
    rows = ROW.findall(read("table.js"))
    keys = [key for key, _, _ in rows]
    assert len(keys) == len(set(keys)) == len(re.findall(r"^  \w+:", read("table.js"), re.MULTILINE))
    for key, english, german in rows:
        assert sorted(re.findall(r"{\w+}", english)) == sorted(re.findall(r"{\w+}", german)), key
    assert set(re.findall(r'\bt\("(\w+)"', read("*.js"))) <= set(keys)


def test_every_text_is_used() -> None:
    scripts = "".join(path.read_text(encoding="utf-8") for path in STATIC.glob("*.js") if path.name != "table.js")
    families = set(re.findall(r"t\(`(\w+_)\${", scripts)) | {"light_", "size_", "rate_"}  # t(`finding_${name}`)
    used = set(re.findall(r'"(\w+)"', scripts)) | set(re.findall(r"\b(\w+):", scripts))
    keys = {key for key, _, _ in ROW.findall(read("table.js"))}
    unused = {key for key in keys if key.removesuffix("_remedy") not in used and key not in used}
    assert {key for key in unused if not key.startswith(tuple(families))} == set()


def test_no_address_elsewhere_and_nothing_inline() -> None:
    files = read("*.js") + read("*.css") + read("*.html")
    elsewhere = set(re.findall(r"(?:https?:)?//[\w.-]+\.\w+", files)) - {"http://www.w3.org"}
    assert elsewhere == set()
    html = read("*.html")
    assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)", html)
    assert not re.search(r"innerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", files)


def test_every_module_that_is_imported_exists() -> None:
    for name in re.findall(r'from "\./([\w.]+)"', read("*.js")):
        assert (STATIC / name).is_file()
