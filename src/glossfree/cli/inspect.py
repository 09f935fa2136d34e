"""`inspect`: counts, lengths, vocabulary and problems of a prepared corpus."""

from __future__ import annotations

from glossfree.cli.options import PreparedFolder
from glossfree.corpora import inspection
from glossfree.corpora.inspection import Inspection


def inspect(out: PreparedFolder) -> Inspection:
    """A prepared folder -> its figures. Raises CorpusError if it is none."""
    return inspection.inspect(out)
