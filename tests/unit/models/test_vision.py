"""The visual encoder: normalisation of images and of features, frames in passes, a frozen backbone."""

from __future__ import annotations

import torch

from glossfree.models.backbones.convnet import ConvNet
from glossfree.models.backbones.dinov2 import dinov2
from glossfree.models.vision import IMAGENET_MEAN, IMAGENET_STD, VisualEncoder
from glossfree.models.weights import state


def test_frames_are_normalised_as_imagenet() -> None:
    seen: list[torch.Tensor] = []

    class Probe(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            seen.append(images)
            return images.mean(dim=(2, 3))

    encoder = VisualEncoder(Probe(), backbone_size=3, hidden_size=5)
    frames = torch.randint(0, 256, (4, 3, 6, 6), dtype=torch.uint8)
    assert encoder(frames).shape == (4, 5)
    for channel in range(3):
        expected = (frames[:, channel] / 255 - IMAGENET_MEAN[channel]) / IMAGENET_STD[channel]
        torch.testing.assert_close(seen[0][:, channel], expected, rtol=0, atol=1e-5)


def test_features_are_batch_normalised_in_training_and_constant_in_evaluation() -> None:
    torch.manual_seed(0)
    encoder = VisualEncoder(dinov2(12, 2, 3, 2, 7, 21), 12, 10)
    frames = torch.randint(0, 256, (9, 3, 21, 21), dtype=torch.uint8)
    features = encoder.train()(frames)
    torch.testing.assert_close(features.mean(dim=0), torch.zeros(10), rtol=0, atol=1e-4)
    encoder.eval()
    torch.testing.assert_close(encoder(frames)[2:5], encoder(frames[2:5]), rtol=0, atol=1e-5)


def test_a_backbone_of_which_nothing_trains_evaluates() -> None:
    """Its BatchNorm neither looks at the batch nor moves; what stands above it does both."""
    torch.manual_seed(0)
    encoder = VisualEncoder(ConvNet(12, 2, 7, 21), 12, 10)
    frames = torch.randint(0, 256, (9, 3, 21, 21), dtype=torch.uint8)
    before = {name: tensor.clone() for name, tensor in state(encoder).items()}
    encoder.train()(frames)
    moved = {name for name, tensor in state(encoder).items() if not torch.equal(tensor, before[name])}
    assert any(name.startswith("backbone.") for name in moved), "while it trains"
    encoder.backbone.requires_grad_(False)
    frozen = {name: tensor.clone() for name, tensor in state(encoder).items()}
    torch.testing.assert_close(encoder.train().look(frames)[3:7], encoder.look(frames[3:7]), rtol=0, atol=1e-5)
    encoder(frames)
    moved = {name for name, tensor in state(encoder).items() if not torch.equal(tensor, frozen[name])}
    assert moved == {"norm.running_mean", "norm.running_var", "norm.num_batches_tracked"} & set(frozen)
    encoder.backbone.requires_grad_(True)
    assert encoder.train().backbone.training and not encoder.eval().backbone.training


def test_frames_seen_in_passes_give_the_same_features_and_the_same_statistics() -> None:
    torch.manual_seed(0)
    backbone = dinov2(12, 2, 3, 2, 7, 21)
    frames = torch.randint(0, 256, (11, 3, 21, 21), dtype=torch.uint8)
    encoders = [VisualEncoder(backbone, 12, 10, frames_per_pass=count) for count in (0, 3, 11)]
    seen: list[int] = []
    backbone.register_forward_hook(lambda module, inputs, output: seen.append(len(output)))
    for encoder in encoders:
        encoder.load_state_dict(encoders[0].state_dict())
    found = [encoder.train()(frames) for encoder in encoders]
    assert seen == [11, 3, 3, 3, 2, 11]
    for features, encoder in zip(found[1:], encoders[1:], strict=True):
        torch.testing.assert_close(features, found[0], rtol=0, atol=1e-5)
        torch.testing.assert_close(encoder.norm.running_var, encoders[0].norm.running_var)
        torch.testing.assert_close(features.mean(dim=0), torch.zeros(10), rtol=0, atol=1e-4)
