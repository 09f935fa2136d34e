"""Cells -> the lines of a plain-text table, for the terminal."""

from __future__ import annotations

from collections.abc import Sequence


def aligned(rows: Sequence[Sequence[str]], left: int = 1) -> list[str]:
    """Rows of cells -> a line each; the first `left` columns are set to the left, the others to the right.

    Two blanks stand between columns and none at the end. Raises ValueError if the rows are not of one length.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [
            cell.ljust(width) if column < left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return lines


def text_table(header: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """`aligned` header and rows, with a rule of `-` between them that is as long as the longest line."""
    first, *rest = aligned([header, *rows], left)
    rule = "-" * max(len(line) for line in (first, *rest))
    return "\n".join([first, rule, *rest])
