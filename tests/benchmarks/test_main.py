"""Tables go where they belong, and each benchmark is named in its page."""

from __future__ import annotations

from pathlib import Path

from benchmarks.__main__ import BENCHMARKS, ROOT, put


def test_a_table_is_added_and_then_replaced(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# Page\n\nWords.\n")
    put(page, "one", "first \\1")
    put(page, "two", "2")
    put(page, "one", "second \\1")
    text = page.read_text()
    assert text.startswith("# Page\n\nWords.\n\n## one\n\n<!-- benchmark: one -->\nsecond \\1\n<!-- end -->\n")
    assert "first" not in text and text.count("benchmark: two") == 1


def test_every_benchmark_of_the_page_is_explained_there() -> None:
    page = ROOT / "docs/benchmarks.md"
    text = page.read_text(encoding="utf-8")
    names = [name for name, (_, document) in BENCHMARKS.items() if ROOT / document == page]
    assert len(names) >= 5
    assert [name for name in names if f"[{name}](../benchmarks/" not in text] == []
