"""LoRA in place: what freezes, what changes, merging."""

from __future__ import annotations

import pytest
import torch

from glossfree.models.adapters import add_lora, merge_lora
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
