"""The visual encoder: parity with transformers' DINOv2, what is kept for backward, normalisation."""

from __future__ import annotations

import pytest
import torch
from transformers import Dinov2Config, Dinov2Model

from glossfree.models.adapters import add_lora
from glossfree.models.convnet import convnet
from glossfree.models.vision import IMAGENET_MEAN, IMAGENET_STD, Dinov2ClassToken, VisualEncoder, dinov2
from glossfree.models.weights import state

WIDTH, BLOCKS, HEADS, PATCH = 30, 4, 5, 14
TARGETS = ["qkv", "proj", "fc1", "fc2"]


def twin(model: Dinov2ClassToken, image_size: int) -> Dinov2Model:
    """transformers' own DINOv2 with the same weights, moved name by name."""
    reference = Dinov2Model(
        Dinov2Config(
            hidden_size=WIDTH, num_hidden_layers=BLOCKS, num_attention_heads=HEADS, patch_size=PATCH,
            image_size=image_size, attn_implementation="eager",
        )
    )  # fmt: skip
    ours, theirs = model.model.state_dict(), {}
    for name in reference.state_dict():
        block, _, rest = name.partition("attention.")
        if not rest:
            theirs[name] = ours[name]
            continue
        projection, kind = rest.split(".")
        if projection == "o_proj":
            theirs[name] = ours[f"{block}attention.proj.{kind}"]
        else:
            third = ["q_proj", "k_proj", "v_proj"].index(projection)
            theirs[name] = ours[f"{block}attention.qkv.{kind}"].chunk(3)[third]
    reference.load_state_dict(theirs)
    return reference.eval()


@pytest.fixture
def backbone() -> Dinov2ClassToken:
    torch.manual_seed(0)
    model = dinov2(WIDTH, BLOCKS, HEADS, 4, PATCH, 518)
    for parameter in model.parameters():  # biases and scales that are not 0 and 1
        torch.nn.init.normal_(parameter, std=0.2)
    return model.eval()


@pytest.mark.parametrize("pixels", [224, 70])
def test_equal_to_transformers_with_zero_adapters(backbone: Dinov2ClassToken, pixels: int) -> None:
    reference = twin(backbone, 518)
    add_lora(backbone, TARGETS, 4, 4.0, 0.1, layers=[1, 2, 3])
    images = torch.randn(3, 3, pixels, pixels, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = reference(images).pooler_output
        torch.testing.assert_close(backbone(images), expected, rtol=0, atol=1e-5)


def test_gradients_are_those_of_transformers() -> None:
    torch.manual_seed(3)
    backbone = dinov2(WIDTH, BLOCKS, HEADS, 4, PATCH, 42)
    reference = twin(backbone, 42)
    images = torch.randn(2, 3, 42, 42)
    backbone(images).pow(2).sum().backward()
    reference(images).pooler_output.pow(2).sum().backward()
    for block, theirs in zip(backbone.model.encoder.layer, reference.encoder.layer, strict=True):
        three = [theirs.attention.q_proj, theirs.attention.k_proj, theirs.attention.v_proj]
        expected = torch.cat([each.weight.grad for each in three])
        torch.testing.assert_close(block.attention.qkv.weight.grad, expected, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(block.mlp.fc2.weight.grad, theirs.mlp.fc2.weight.grad, rtol=1e-4, atol=1e-5)
    patches = backbone.model.embeddings.patch_embeddings.projection.weight.grad
    torch.testing.assert_close(
        patches, reference.embeddings.patch_embeddings.projection.weight.grad, rtol=1e-4, atol=1e-5
    )


def test_blocks_below_the_adapters_keep_nothing_for_backward(backbone: Dinov2ClassToken) -> None:
    add_lora(backbone, TARGETS, 2, 2.0, 0.0, layers=[2, 3])
    needs_gradient: list[bool] = []
    for block in backbone.model.encoder.layer:
        block.register_forward_hook(lambda module, inputs, output: needs_gradient.append(output.requires_grad))
    backbone.train()(torch.randn(2, 3, 42, 42))
    assert needs_gradient == [False, False, True]  # the last block is not called as a whole


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
    encoder = VisualEncoder(convnet(12, 2, 3, 2, 7, 21), 12, 10)
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


def test_the_mask_token_never_trains() -> None:
    backbone = dinov2(12, 2, 3, 2, 7, 21)
    assert [name for name, p in backbone.named_parameters() if not p.requires_grad] == ["model.embeddings.mask_token"]
    backbone(torch.randn(2, 3, 21, 21)).sum().backward()
    assert [name for name, p in backbone.named_parameters() if p.grad is None] == ["model.embeddings.mask_token"]


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
