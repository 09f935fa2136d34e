"""Stand-in until the real file is written: overwrite it."""

from glossfree.objectives.base import Objective


class SignContrast(Objective):
    """Stand-in."""
