"""Temporal modules that a recipe can name as `temporal.kind`: one file each."""

from glossfree.models.choices import Temporal
from glossfree.models.temporal.linear import PerFrame
from glossfree.models.temporal.local_attention import LocalAttention
from glossfree.models.temporal.pyramid import Pyramid

TEMPORAL: dict[str, type[Temporal]] = {
    "local_attention": LocalAttention,
    "linear": PerFrame,
    "pyramid": Pyramid,
}
