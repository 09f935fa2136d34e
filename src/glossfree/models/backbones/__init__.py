"""Visual backbones that a recipe can name as `vision.kind`: one file each."""

from glossfree.models.backbones.convnet import SmallConvNet
from glossfree.models.backbones.dinov2 import Dinov2
from glossfree.models.choices import Backbone

BACKBONES: dict[str, type[Backbone]] = {
    "dinov2": Dinov2,
    "convnet": SmallConvNet,
}
