"""LoRA in place: what freezes, what changes, merging."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from glossfree.models.adapters import AdaptedProduct, Lora, add_lora, merge_lora
from glossfree.models.backbones.dinov2 import Dinov2
from glossfree.models.language.mbart import MBart


def sgd_step(module: torch.nn.Module, loss: torch.Tensor) -> None:
    loss.backward()
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.grad is not None:
                parameter -= 0.5 * parameter.grad


def test_nothing_changes_before_the_first_step_and_only_adapters_after() -> None:
    torch.manual_seed(0)
    backbone = Dinov2(hidden_size=12, num_layers=4, num_heads=3, mlp_ratio=2, patch_size=7, image_size=21).build()
    images = torch.randn(5, 3, 21, 21)
    before = backbone(images).detach()
    add_lora(backbone, ["qkv", "proj", "fc1", "fc2"], rank=2, alpha=6.0, dropout=0.0, layers=[2, 3])
    torch.testing.assert_close(backbone(images), before)
    weights = {name: tensor.clone() for name, tensor in backbone.state_dict().items()}
    for _ in range(2):  # B is zero at first, so that A moves with the second step only
        backbone.zero_grad()
        sgd_step(backbone, backbone(images).pow(2).sum())
    changed = {name for name, tensor in backbone.state_dict().items() if not torch.equal(tensor, weights[name])}
    expected = {
        f"model.encoder.layer.{block}.{linear}.lora_{side}.default.weight"
        for block in (2, 3)
        for linear in ("attention.qkv", "attention.proj", "mlp.fc1", "mlp.fc2")
        for side in "AB"
    }
    assert changed == expected
    assert not torch.allclose(backbone(images), before, atol=1e-3)


def test_an_adapter_adds_alpha_over_rank_times_b_a() -> None:
    torch.manual_seed(1)
    module = torch.nn.ModuleDict({"q_proj": torch.nn.Linear(5, 7), "k_proj": torch.nn.Linear(5, 7)})
    plain = module["q_proj"]
    add_lora(module, ["q_proj"], rank=3, alpha=6.0, dropout=0.2)
    adapted = module.eval()["q_proj"]
    torch.nn.init.normal_(adapted.lora_B["default"].weight)
    x = torch.randn(4, 5)
    expected = plain(x) + 2.0 * (x @ adapted.lora_A["default"].weight.T) @ adapted.lora_B["default"].weight.T
    torch.testing.assert_close(adapted(x), expected)
    assert type(module["k_proj"]) is torch.nn.Linear


def test_decoder_adapters_sit_on_self_and_cross_attention() -> None:
    language = (
        MBart(hidden_size=12, num_layers=2, num_heads=3, mlp_size=20, max_positions=16, dropout=0.0).build(40).mbart
    )
    add_lora(language.model.decoder, ["q_proj", "v_proj"], 2, 4.0, 0.1)
    names = {name for name, p in language.model.decoder.named_parameters() if p.requires_grad}
    assert len(names) == 2 * 2 * 2 * 2
    assert all(".self_attn." in name or ".encoder_attn." in name for name in names)
    assert not any("k_proj" in name or "out_proj" in name for name in names)


def test_merging_keeps_the_function_and_leaves_plain_layers() -> None:
    torch.manual_seed(2)
    backbone = Dinov2(hidden_size=12, num_layers=3, num_heads=3, mlp_ratio=2, patch_size=7, image_size=21).build()
    plain = {name for name, _ in backbone.named_parameters()}
    add_lora(backbone, ["qkv", "fc1"], 2, 4.0, 0.1, layers=[0, 2])
    for name, parameter in backbone.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    images = torch.randn(3, 3, 21, 21)
    backbone.eval()
    adapted = backbone(images)
    merge_lora(backbone)
    torch.testing.assert_close(backbone(images), adapted, rtol=0, atol=1e-5)
    assert {name for name, _ in backbone.named_parameters()} == plain


def test_a_target_that_no_layer_has_is_refused() -> None:
    with pytest.raises(ValueError, match="q_projection"):
        add_lora(
            MBart(hidden_size=12, num_layers=1, num_heads=3, mlp_size=20, max_positions=16, dropout=0.0)
            .build(40)
            .mbart.model.encoder,
            ["q_projection"],
            2,
            4.0,
            0.0,
        )


def dropped_by(rate: float, values: Tensor) -> Tensor:
    """What an adapter's products see: the frozen layer is zero, and both matrices are the identity."""
    width = values.shape[-1]
    adapter = Lora(nn.Linear(width, width, bias=False).requires_grad_(False), width, width, rate).to(values.dtype)
    for side, fill in ((adapter.lora_A, nn.init.eye_), (adapter.lora_B, nn.init.eye_)):
        fill(side["default"].get_parameter("weight"))
    nn.init.zeros_(adapter.base_layer.weight)
    total: Tensor = adapter(values)
    return total


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_dropout_drops_its_share_and_keeps_the_mean(rate: float) -> None:
    torch.manual_seed(0)
    values = torch.ones(9999, 31, requires_grad=True)  # no multiple of 4 values
    dropped = dropped_by(rate, values)
    share = float((dropped == 0).double().mean())
    assert share == pytest.approx(rate, abs=4 * math.sqrt(rate * (1 - rate) / values.numel()) + 2**-16)
    assert float(dropped.detach().double().mean()) == pytest.approx(1, abs=0.02)
    assert len(dropped.detach().unique()) == 2
    dropped.backward(torch.full_like(dropped, 3.0))
    torch.testing.assert_close(values.grad, 3 * dropped.detach())


@pytest.mark.parametrize("of_input", [True, False])
def test_its_gradients_are_those_of_dropout_and_products(of_input: bool) -> None:
    torch.manual_seed(0)
    options = {"dtype": torch.double}
    values = torch.randn(36, 6, **options, requires_grad=of_input)
    weight = torch.randn(5, 6, **options, requires_grad=True)
    down, up = (torch.randn(*size, **options, requires_grad=True) for size in ((3, 6), (5, 3)))
    leaves = [each for each in (values, weight, down, up) if each.requires_grad]
    total = draw_alike(values @ weight.T, values, down, up, 0.7)
    with torch.no_grad():
        eye = torch.eye(6, **options)
        mask = draw_alike(torch.zeros(36, 6, **options), torch.ones_like(values), eye, eye, 1.0)
    assert len(mask.unique()) == 2
    expected = values @ weight.T + 0.7 * (values * mask) @ down.T @ up.T
    torch.testing.assert_close(total, expected)
    gradient = torch.randn_like(total)
    for one, twin in zip(*(torch.autograd.grad(each, leaves, gradient) for each in (total, expected)), strict=True):
        torch.testing.assert_close(one, twin)


def draw_alike(product: Tensor, values: Tensor, down: Tensor, up: Tensor, scaling: float) -> Tensor:
    """The product with an adapter of random numbers that are always the same."""
    torch.manual_seed(1)
    total: Tensor = AdaptedProduct.apply(product, values, down, up, scaling, 40_000)  # type: ignore[no-untyped-call]
    return total


def test_dropout_draws_neighbours_independently() -> None:
    """Four values share a random word: none says anything of another."""
    torch.manual_seed(0)
    dropped = (dropped_by(0.5, torch.ones(200_000, 4)) == 0).double()
    for lag in range(1, 4):
        pairs = torch.corrcoef(torch.stack((dropped[:, 0], dropped[:, lag])))
        assert abs(float(pairs[0, 1])) < 4 / math.sqrt(len(dropped))
    assert (dropped.mean(dim=0) - 0.5).abs().max() < 4 * 0.5 / math.sqrt(len(dropped))


def test_dropout_depends_on_the_random_state_alone() -> None:
    values, masks = torch.randn(7, 13, 3).transpose(0, 1), []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        masks.append(dropped_by(0.3, values))
    assert torch.equal(masks[0], masks[1]) and not torch.equal(masks[0], masks[2])
    torch.testing.assert_close(masks[0][masks[0] != 0], (values / 0.7)[masks[0] != 0], rtol=1e-4, atol=0)
    assert torch.equal(dropped_by(0.0, values), values)
    assert dropped_by(0.3, torch.empty(0, 13, 3)).shape == (0, 13, 3)
    assert not dropped_by(1.0, values).any()
    assert dropped_by(0.3, values.bfloat16()).dtype == torch.bfloat16


def test_a_step_keeps_few_bytes_for_each_value() -> None:
    """The input once for both layers, and two bytes of each for its mask."""
    values = torch.randn(500, 64, requires_grad=True)
    layers, kept = [Lora(nn.Linear(64, 64), 2, 1.0, 0.1) for _ in range(2)], {}

    def pack(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    for layer in layers:
        layer.base_layer.requires_grad_(False)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        products = [layer(values) for layer in layers]
    assert sum(kept.values()) < values.numel() * (4 + 2 * 2) * 1.2
    assert len(products) == 2


def test_adapters_have_their_rate() -> None:
    module = nn.Sequential(nn.Linear(5, 5))
    add_lora(module, ["0"], rank=2, alpha=2.0, dropout=0.25)
    assert [each.p for each in module.modules() if isinstance(each, nn.Dropout)] == [0.25]
