"""DINOv2: parity with transformers', what is kept for backward, weights from files as others write them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import Dinov2Config, Dinov2Model

from glossfree.errors import ModelError
from glossfree.models.adapters import add_lora
from glossfree.models.backbones.dinov2 import Dinov2, Dinov2ClassToken, moving_patches
from glossfree.models.hierarchy import VisualEncoder
from glossfree.models.weights import state

WIDTH, BLOCKS, HEADS, PATCH = 30, 4, 5, 14
TARGETS = Dinov2.adapter_targets


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
    model = Dinov2(
        hidden_size=WIDTH, num_layers=BLOCKS, num_heads=HEADS, mlp_ratio=4, patch_size=PATCH, image_size=518
    ).build()
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
    backbone = Dinov2(
        hidden_size=WIDTH, num_layers=BLOCKS, num_heads=HEADS, mlp_ratio=4, patch_size=PATCH, image_size=42
    ).build()
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
    assert needs_gradient == [False, False, True, True]


def test_the_mask_token_never_trains() -> None:
    backbone = Dinov2(hidden_size=12, num_layers=2, num_heads=3, mlp_ratio=2, patch_size=7, image_size=21).build()
    assert [name for name, p in backbone.named_parameters() if not p.requires_grad] == ["model.embeddings.mask_token"]
    backbone(torch.randn(2, 3, 21, 21)).sum().backward()
    assert [name for name, p in backbone.named_parameters() if p.grad is None] == ["model.embeddings.mask_token"]


def test_options_build_what_they_say_and_name_what_does_not_fit() -> None:
    options = Dinov2(hidden_size=12, num_layers=5, num_heads=3, mlp_ratio=2, patch_size=7, image_size=21)
    module = options.build()
    assert len(module.model.encoder.layer) == 5 and list(options.adapter_layers_of()) == [2, 3, 4]
    assert module(torch.randn(2, 3, 21, 21)).shape == (2, 12)
    assert list(options.problems()) == []
    wrong = Dinov2(hidden_size=10, num_heads=3, num_layers=2)
    assert [problem.split()[0] for problem in wrong.problems()] == ["hidden_size", "adapter_layers"]


FILE_WIDTH, FILE_BLOCKS, FILE_HEADS = 20, 11, 4  # more than ten blocks: number 1 is a prefix of number 10


@pytest.fixture(scope="module")
def reference() -> Dinov2Model:
    torch.manual_seed(0)
    config = Dinov2Config(
        hidden_size=FILE_WIDTH,
        num_hidden_layers=FILE_BLOCKS,
        num_attention_heads=FILE_HEADS,
        mlp_ratio=2,
        image_size=56,
    )
    model = Dinov2Model(config).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return model


def empty_backbone(blocks: int = FILE_BLOCKS) -> Dinov2ClassToken:
    return (
        Dinov2(
            hidden_size=FILE_WIDTH, num_layers=blocks, num_heads=FILE_HEADS, mlp_ratio=2, patch_size=14, image_size=56
        )
        .build()
        .eval()
    )


def original_names(reference: Dinov2Model) -> dict[str, Tensor]:
    """The state dict as the original release writes it, spelled out here once more."""
    theirs = reference.state_dict()
    tensors = {
        "cls_token": theirs["embeddings.cls_token"],
        "pos_embed": theirs["embeddings.position_embeddings"],
        "mask_token": theirs["embeddings.mask_token"],
        "patch_embed.proj.weight": theirs["embeddings.patch_embeddings.projection.weight"],
        "patch_embed.proj.bias": theirs["embeddings.patch_embeddings.projection.bias"],
        "norm.weight": theirs["layernorm.weight"],
        "norm.bias": theirs["layernorm.bias"],
    }
    for n in range(FILE_BLOCKS):
        block, old = f"blocks.{n}.", f"encoder.layer.{n}."
        tensors[block + "ls1.gamma"] = theirs[old + "layer_scale1.lambda1"]
        tensors[block + "ls2.gamma"] = theirs[old + "layer_scale2.lambda1"]
        for kind in ("weight", "bias"):
            for name in ("norm1", "norm2", "mlp.fc1", "mlp.fc2"):
                tensors[f"{block}{name}.{kind}"] = theirs[f"{old}{name}.{kind}"]
            three = [theirs[f"{old}attention.{letter}_proj.{kind}"] for letter in "qkv"]
            tensors[f"{block}attn.qkv.{kind}"] = torch.cat(three)
            tensors[f"{block}attn.proj.{kind}"] = theirs[f"{old}attention.o_proj.{kind}"]
    return tensors


def write(reference: Dinov2Model, kind: str, folder: Path) -> Path:
    if kind == "transformers 4":  # what save_pretrained of either version writes
        reference.save_pretrained(folder)
        assert any(".attention.attention.query." in name for name in load_file(folder / "model.safetensors"))
        return folder
    if kind == "transformers 5":
        save_file(reference.state_dict(), folder / "model.safetensors")
        return folder
    if kind == "with a classifier":
        tensors = {f"dinov2.{name}": tensor for name, tensor in reference.state_dict().items()}
        torch.save({**tensors, "classifier.weight": torch.ones(2, 40)}, folder / "pytorch_model.bin")
        return folder
    torch.save(original_names(reference), folder / "dinov2_vits14_pretrain.pth")
    return folder / "dinov2_vits14_pretrain.pth"


@pytest.mark.parametrize("kind", ["transformers 4", "transformers 5", "with a classifier", "original"])
def test_dinov2_from_every_kind_of_file(reference: Dinov2Model, kind: str, tmp_path: Path) -> None:
    backbone = empty_backbone()
    census = Dinov2().load(backbone, write(reference, kind, tmp_path))
    assert set(census.loaded) == set(state(backbone))
    assert census.new == census.trimmed == ()
    assert census.ignored == (("classifier.weight",) if kind == "with a classifier" else ())
    images = torch.randn(2, 3, 56, 42)
    with torch.no_grad():
        torch.testing.assert_close(backbone(images), reference(images).pooler_output, rtol=0, atol=1e-5)


def test_a_missing_mask_token_is_new(reference: Dinov2Model, tmp_path: Path) -> None:
    tensors = original_names(reference)
    del tensors["mask_token"]
    torch.save(tensors, tmp_path / "weights.pth")
    assert Dinov2().load(empty_backbone(), tmp_path / "weights.pth").new == ("model.embeddings.mask_token",)


def test_dinov2_that_does_not_fit_is_refused_by_name(reference: Dinov2Model, tmp_path: Path) -> None:
    source = write(reference, "original", tmp_path)
    with pytest.raises(ModelError, match=r"encoder\.layer\.10\..* has no place"):
        Dinov2().load(empty_backbone(FILE_BLOCKS - 1), source)
    with pytest.raises(ModelError, match=r"encoder\.layer\.11\..* is missing"):
        Dinov2().load(empty_backbone(FILE_BLOCKS + 1), source)
    with pytest.raises(ModelError, match="position_embeddings is"):
        Dinov2().load(
            Dinov2(
                hidden_size=FILE_WIDTH,
                num_layers=FILE_BLOCKS,
                num_heads=FILE_HEADS,
                mlp_ratio=2,
                patch_size=14,
                image_size=70,
            ).build(),
            source,
        )
    tensors = reference.state_dict()
    del tensors["encoder.layer.3.attention.k_proj.bias"]
    save_file(tensors, tmp_path / "broken.safetensors")
    with pytest.raises(ModelError, match=r"encoder\.layer\.3\.attention\.qkv\.bias: only query, value"):
        Dinov2().load(empty_backbone(), tmp_path / "broken.safetensors")
    torch.save({**original_names(reference), "register_tokens": torch.ones(1, 4, FILE_WIDTH)}, source)
    with pytest.raises(ModelError, match="register_tokens has no place"):
        Dinov2().load(empty_backbone(), source)


def moving(share: float, **others: Any) -> Dinov2:
    return Dinov2(
        hidden_size=WIDTH, num_layers=BLOCKS, num_heads=HEADS, mlp_ratio=4, patch_size=PATCH, image_size=70,
        moving_patches=share, adapter_layers=1, **others,
    )  # fmt: skip


def with_weights(share: float, backbone: Dinov2ClassToken, **others: Any) -> Dinov2ClassToken:
    other = moving(share, **others).build().eval()
    tensors = {name: tensor for name, tensor in backbone.state_dict().items() if "position" not in name}
    other.load_state_dict(tensors, strict=False)
    torch.manual_seed(1)
    torch.nn.init.normal_(other.model.embeddings.position_embeddings, std=0.2)
    for name, parameter in other.named_parameters():  # what a token sees of the others matters
        if "layer_scale" in name:
            torch.nn.init.ones_(parameter)
    return other


def frames(*, seed: int = 2) -> Tensor:
    """Five neighbouring frames of 25 patches; 4 of them, the same ones, are others in each."""
    images = torch.randn(1, 3, 70, 70, generator=torch.Generator().manual_seed(seed)).repeat(5, 1, 1, 1)
    images[:, :, 14:42, 28:56] = torch.randn(5, 3, 28, 28, generator=torch.Generator().manual_seed(seed + 1))
    return images


def one_by_one(model: Dinov2ClassToken, images: Tensor, places: list[int]) -> Tensor:
    """Each frame but the middle one alone, `places` of its tokens; each head of each of them alone."""
    middle = len(images) // 2
    tokens = model.model.embeddings(images)
    blocks = model.model.encoder.layer
    for block in blocks[: model.num_frozen]:
        normed, attention = block.norm1(tokens), block.attention
        seen = normed.clone()
        for frame in range(len(images)):
            for token in range(normed.shape[1]):
                if frame != middle and token not in places:
                    seen[frame, token] = normed[middle, token]
        query, key, value = attention.qkv(seen).chunk(3, -1)
        mixed = torch.zeros_like(query)
        size = WIDTH // HEADS
        for head in range(HEADS):
            part = slice(head * size, (head + 1) * size)
            weights = (query[..., part] @ key[..., part].transpose(1, 2) / size**0.5).softmax(-1)
            mixed[..., part] = weights @ value[..., part]
        tokens = tokens + block.layer_scale1.lambda1 * attention.proj(mixed)
        tokens = tokens + block.layer_scale2.lambda1 * block.mlp(block.norm2(tokens))
        for frame in range(len(images)):
            for token in range(tokens.shape[1]):
                if token not in places:
                    tokens[frame, token] = tokens[middle, token]
    for block in blocks[model.num_frozen :]:
        tokens = block(tokens)
    return model.model.layernorm(tokens[:, 0])


@torch.no_grad()
def test_what_has_not_moved_is_taken_over_from_the_middle_frame(backbone: Dinov2ClassToken) -> None:
    model, images = with_weights(4 / 25, backbone), frames()
    moved = [7, 8, 12, 13]  # rows 1 and 2, columns 2 and 3
    patches = moving_patches(images, 2, PATCH, 4 / 25)
    assert sorted(patches[0].tolist()) == moved and patches.shape == (4, 4)
    places = [0, *(1 + patch for patch in moved)]
    torch.testing.assert_close(model(images), one_by_one(model, images, places), rtol=0, atol=1e-5)
    assert (model(images) - with_weights(1, backbone)(images)).abs().max() > 5e-4, "it is not the same for nothing"


@torch.no_grad()
def test_where_everything_moves_or_nothing_does_it_is_the_whole_model(backbone: Dinov2ClassToken) -> None:
    whole, images = with_weights(1, backbone), frames()
    torch.testing.assert_close(with_weights(0.99, backbone)(images), whole(images), rtol=0, atol=1e-5)
    same = images[:1].repeat(4, 1, 1, 1)
    torch.testing.assert_close(with_weights(0.1, backbone)(same), whole(same), rtol=0, atol=1e-5)
    torch.testing.assert_close(with_weights(0.1, backbone)(same[:1]), whole(same[:1]), rtol=0, atol=0)


@torch.no_grad()
@pytest.mark.parametrize("share", [1, 4 / 25])
def test_frozen_blocks_alone_compute_in_bfloat16(backbone: Dinov2ClassToken, share: float) -> None:
    exact, images = with_weights(share, backbone), frames()
    half = with_weights(share, backbone, frozen_precision="bf16").requires_grad_(False)
    seen: dict[int, tuple[torch.dtype, torch.dtype]] = {}
    for number, block in enumerate(half.model.encoder.layer):
        block.mlp.register_forward_hook(lambda _, inputs, out, n=number: seen.update({n: (inputs[0].dtype, out.dtype)}))
    rows, usual = half(images), exact(images)
    in_half = [number for number, (_, out) in seen.items() if out == torch.bfloat16]
    assert in_half == list(range(half.num_frozen)) and len(seen) == BLOCKS
    assert {taken for taken, _ in seen.values()} == {torch.float32}, "tokens and LayerNorm are not rounded"
    assert rows.dtype == torch.float32 and 1e-5 < (rows - usual).norm() / usual.norm() < 0.05


def test_a_little_noise_everywhere_does_not_count_as_movement() -> None:
    images = frames()
    noise = 0.2 * torch.randn(images.shape, generator=torch.Generator().manual_seed(9))
    assert {*moving_patches(images + noise, 2, PATCH, 4 / 25).flatten().tolist()} == {7, 8, 12, 13}


@torch.no_grad()
def test_frames_are_compared_within_their_clip(backbone: Dinov2ClassToken) -> None:
    options = moving(0.2)
    visual = VisualEncoder(
        with_weights(0.2, backbone), WIDTH, 10, frames_per_pass=options.neighbours, within_clips=True
    ).eval()
    clips = [torch.randint(0, 256, (count, 3, 70, 70), dtype=torch.uint8) for count in (11, 1, 4)]
    together = visual.look(torch.cat(clips), torch.tensor([11, 1, 4])).split([11, 1, 4])
    for rows, clip in zip(together, clips, strict=True):
        torch.testing.assert_close(rows, visual.look(clip), rtol=0, atol=1e-5)


def test_cached_features_of_another_share_precision_or_of_other_heads_are_others() -> None:
    """The weights say none of these; DINOv2's own heads are 64 wide."""
    usual = Dinov2()
    assert usual.variant == () and usual.model_copy(update={"num_heads": 12}).variant
    different = [moving(share, frozen_precision=half) for share in (1, 0.5, 0.25) for half in ("fp32", "bf16")]
    assert len({options.variant for options in different}) == 6


@pytest.mark.parametrize("options", [moving(0.5), moving(1, frozen_precision="bf16")])
def test_adapters_above_frozen_blocks_that_save_get_gradients(options: Dinov2) -> None:
    model = options.build()
    add_lora(model, TARGETS, 2, 4.0, 0.0, layers=options.adapter_layers_of())
    model.train()(frames()).sum().backward()
    trained = {name: p.grad is not None for name, p in model.named_parameters() if p.requires_grad}
    assert trained and all(trained.values())


def test_only_frozen_blocks_take_patches_over() -> None:
    assert list(moving(0.5, train="all").problems())
    assert list(moving(1, train="all", frozen_precision="bf16").problems())
    assert list(moving(0.5).model_copy(update={"adapter_layers": BLOCKS}).problems()), "no block is frozen"
    assert list(moving(1).model_copy(update={"adapter_layers": 0}).problems()), "nothing would train"
    assert not list(moving(0.5).problems()) and not list(moving(1, train="all").problems())
    assert moving(0.5).build().num_frozen == 3 == moving(0.5, train="none").build().num_frozen
