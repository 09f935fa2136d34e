"""No keypoints: video is the only stream."""

from __future__ import annotations

from typing import Literal

from glossfree.models.choices import Keypoints, Temporal


class NoKeypoints(Keypoints):
    """No second stream."""

    kind: Literal["none"] = "none"

    def build(self, temporal: Temporal, width: int) -> None:
        """Nothing."""
        return
