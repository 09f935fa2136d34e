"""A corpus of many rows over few files, at small sizes: every row is seen, each file once."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import doctor
from glossfree.cli.doctor import doctor as diagnose

SIZE = (48, 34)


@pytest.mark.parametrize(("segments", "files"), [(False, 17), (True, 3)])
def test_a_corpus_has_so_many_rows_and_files(tmp_path: Path, segments: bool, files: int) -> None:
    root = doctor.write_corpus(tmp_path / "corpus", 17, 3, 31, segments=segments, size=SIZE)
    figures = diagnose([root]).figures
    assert (sum(figures["clips"].values()), figures["files"]) == (17, files)
    assert "behind" not in figures["faults"] and "missing" not in figures["faults"]


@pytest.mark.slow
def test_the_table_has_a_row_for_each_measurement() -> None:
    lines = doctor.run(rows=13, videos=2, frames=27, size=SIZE).split("\n")
    assert len([line for line in lines if line.startswith("|")]) == 5
    assert "13 segments of 2 files" in lines[3]
