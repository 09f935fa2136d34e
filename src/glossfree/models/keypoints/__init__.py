"""Streams of keypoints by name: the values of `keypoints.kind`."""

from __future__ import annotations

from glossfree.models.choices import Keypoints
from glossfree.models.keypoints.joints import JointRows
from glossfree.models.keypoints.none import NoKeypoints

KEYPOINTS: dict[str, type[Keypoints]] = {"none": NoKeypoints, "joints": JointRows}
