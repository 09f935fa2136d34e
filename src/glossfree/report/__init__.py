"""A run -> one self-contained HTML file: scores, curves, clips with their pseudo-gloss timelines, settings.

`write_report(path, ReportData(...))` is all that the outside needs. The page's own text lies beside the code:
`report.html` (frame), `report.css`, `report.js`. Nothing in the file points outside it.
"""

from __future__ import annotations

from glossfree.report.data import ReportClip, ReportData
from glossfree.report.page import write_report

__all__ = ["ReportClip", "ReportData", "write_report"]
