"""The local-attention transformer: lengths, padding, its layers in symbols."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from glossfree.models.temporal.local_attention import LocalAttention, TemporalEncoder, TemporalLayer, halve, sinusoids
from glossfree.padded import Padded

D, E = 12, 18


@pytest.fixture
def encoder() -> TemporalEncoder:
    torch.manual_seed(0)
    # LayerScale of 0.7, so that attention matters: at 1e-5 a leak through it would not show
    return (
        LocalAttention(
            hidden_size=D,
            num_layers=4,
            num_heads=3,
            mlp_size=20,
            window_size=7,
            downsample_after=2,
            dropout=0.3,
            drop_path=0.2,
            layer_scale=0.7,
        )
        .build(E)
        .eval()
    )


def clips(*lengths: int) -> list[Tensor]:
    return [torch.randn(length, D, generator=torch.Generator().manual_seed(length)) for length in lengths]


@pytest.mark.parametrize("length", [1, 2, 3, 4, 5, 11, 32, 33, 71])
def test_segments_are_half_the_frames_rounded_up(encoder: TemporalEncoder, length: int) -> None:
    segments = encoder(Padded(torch.randn(2, length, D), torch.tensor([length, max(1, length - 1)])))
    assert segments.values.shape == (2, -(-length // 2), E)
    assert segments.lengths.tolist() == [-(-length // 2), -(-max(1, length - 1) // 2)]
    assert torch.equal(segments.lengths, encoder.out_lengths(torch.tensor([length, max(1, length - 1)])))


def test_a_clip_is_the_same_alone_and_in_a_batch(encoder: TemporalEncoder) -> None:
    each = clips(11, 4, 1, 70, 33)
    padded = torch.nn.utils.rnn.pad_sequence(each, batch_first=True, padding_value=1e4)
    together = encoder(Padded(padded, torch.tensor([len(clip) for clip in each])))
    for row, clip in enumerate(each):
        alone = encoder(Padded(clip[None], torch.tensor([len(clip)]))).values[0]
        torch.testing.assert_close(together.values[row, : len(alone)], alone, rtol=0, atol=1e-5)


def test_without_halving_every_frame_is_a_segment() -> None:
    encoder = LocalAttention(hidden_size=D, num_layers=2, num_heads=3, mlp_size=20, downsample_after=0).build(E).eval()
    lengths = torch.tensor([7, 4])
    segments = encoder(Padded(torch.randn(2, 7, D), lengths))
    assert segments.values.shape == (2, 7, E)
    assert segments.lengths.tolist() == encoder.out_lengths(lengths).tolist() == [7, 4]
    assert list(encoder.middles(7)) == list(range(7))


def test_halving_is_torchs_average_pooling_of_the_clip_alone() -> None:
    for length in (1, 2, 5, 6):
        clip = torch.randn(1, length, 3)
        alone = functional.avg_pool1d(clip.transpose(1, 2), 3, 2, 1).transpose(1, 2)
        padded = torch.cat([clip, torch.full((1, 4, 3), 9.0)], dim=1)
        halved = halve(Padded(padded, torch.tensor([length])))
        assert halved.lengths.tolist() == [alone.shape[1]]
        torch.testing.assert_close(halved.values[:, : alone.shape[1]], alone)


def test_a_layer_is_post_norm_with_layer_scale_on_attention_only() -> None:
    torch.manual_seed(1)
    layer = TemporalLayer(
        LocalAttention(hidden_size=D, num_heads=3, mlp_size=20, window_size=5, dropout=0.4, layer_scale=0.3), 0.5
    ).eval()
    sequence = Padded(torch.randn(2, 9, D), torch.tensor([9, 9]))
    first = layer.attention_norm(sequence.values + 0.3 * layer._attention(sequence))
    expected = layer.mlp_norm(first + layer.mlp(first))
    torch.testing.assert_close(layer(sequence).values, expected)


def test_a_position_sees_only_its_window() -> None:
    torch.manual_seed(2)
    layer = TemporalLayer(
        LocalAttention(hidden_size=D, num_heads=3, mlp_size=20, window_size=5, dropout=0.0, layer_scale=1.0), 0.0
    )
    values = torch.randn(1, 15, D, requires_grad=True)
    layer(Padded(values, torch.tensor([15]))).values[0, 7].sum().backward()
    seen = values.grad[0].abs().sum(dim=1) > 1e-9
    assert seen.nonzero().flatten().tolist() == [5, 6, 7, 8, 9]


def test_order_matters_even_without_rotary(encoder: TemporalEncoder) -> None:
    (clip,) = clips(9)
    forwards = encoder(Padded(clip[None], torch.tensor([9]))).values
    backwards = encoder(Padded(clip.flip(0)[None], torch.tensor([9]))).values
    assert not torch.allclose(forwards, backwards.flip(1), atol=1e-2)


def test_stochastic_depth_drops_whole_clips_in_training_only() -> None:
    layer = TemporalLayer(
        LocalAttention(hidden_size=D, num_heads=3, mlp_size=20, window_size=5, dropout=0.0, layer_scale=1.0), 0.4
    )
    torch.manual_seed(0)
    dropped = layer.train()._drop_path(torch.ones(2000, 3, 2))
    per_clip = dropped.flatten(1)
    assert (per_clip == per_clip[:, :1]).all()
    assert per_clip[:, 0].unique().tolist() == pytest.approx([0.0, 1 / 0.6])
    assert abs(float(dropped.mean()) - 1) < 0.05
    assert torch.equal(layer.eval()._drop_path(torch.ones(3, 3, 2)), torch.ones(3, 3, 2))


def test_stochastic_depth_rises_with_depth() -> None:
    rates = [
        layer.drop_path
        for layer in LocalAttention(
            hidden_size=D,
            num_layers=5,
            num_heads=3,
            mlp_size=20,
            window_size=7,
            downsample_after=2,
            dropout=0.0,
            drop_path=0.2,
            layer_scale=1.0,
        )
        .build(E)
        .layers
    ]
    assert rates == pytest.approx([0, 0.05, 0.1, 0.15, 0.2])


def test_sinusoids() -> None:
    table = sinusoids(50, 6)
    assert table.shape == (50, 6)
    assert table[7, 0] == pytest.approx(torch.tensor(7.0).sin())
    assert table[7, 1] == pytest.approx(torch.tensor(7.0).cos())
    assert table[7, 5] == pytest.approx(torch.tensor(7.0 / 10_000 ** (4 / 6)).cos())
    assert sinusoids(3, 5).shape == (3, 5)


def test_options_build_what_they_say_and_name_what_does_not_fit() -> None:
    options = LocalAttention(
        hidden_size=D, num_layers=3, num_heads=3, mlp_size=20, window_size=5, downsample_after=1, dropout=0.25
    )
    encoder = options.build(E)
    assert (len(encoder.layers), encoder.downsample_after, encoder.output.out_features) == (3, 1, E)
    layer = encoder.layers[2]
    assert (layer.num_heads, layer.window_size, layer.dropout.p, layer.mlp[0].out_features) == (3, 5, 0.25, 20)
    assert list(options.problems()) == []
    wrong = LocalAttention(hidden_size=10, num_heads=3, window_size=6, num_layers=2, downsample_after=3)
    assert [problem.split()[0] for problem in wrong.problems()] == ["hidden_size", "window_size", "downsample_after"]


@pytest.mark.parametrize("attention", ["gloss", "released_gloss"])
def test_gloss_attention_begins_with_a_window_and_learns_where_to_look(attention: str) -> None:
    torch.manual_seed(3)
    options = LocalAttention(hidden_size=D, num_heads=3, mlp_size=20, window_size=5, attention=attention)
    layer = TemporalLayer(options, 0.0)
    assert layer.offsets.weight.shape == (3 * 5, D) and not layer.offsets.weight.any() and not layer.offsets.bias.any()
    layer(Padded(torch.randn(2, 9, D), torch.tensor([9, 6]))).pack().square().sum().backward()
    assert layer.offsets.weight.grad.abs().max() > 0
    other = TemporalLayer(options.model_copy(update={"attention": "window"}), 0.0)
    assert {*dict(layer.named_parameters())} - {*dict(other.named_parameters())} == {"offsets.weight", "offsets.bias"}
