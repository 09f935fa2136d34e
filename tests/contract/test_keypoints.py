"""Checks of every stream of keypoints in KEYPOINTS."""

from __future__ import annotations

import pytest
import torch
from tests.contract.choices import all_variants, alone, assert_finite_gradients, copy_weights, differs, small, spread
from torch import Tensor

from glossfree.models.choices import KeypointStream
from glossfree.models.hierarchy import HierarchicalEncoder, VisualEncoder
from glossfree.models.keypoints import KEYPOINTS
from glossfree.models.language.none import Unchanged
from glossfree.models.temporal.local_attention import LocalAttention
from glossfree.padded import Padded

J, W, D, E = 5, 9, 24, 18
LENGTHS = (7, 1, 11)
pytestmark = pytest.mark.parametrize(("name", "changed"), all_variants(KEYPOINTS))
Changed = dict[str, object]


def temporal() -> LocalAttention:
    return LocalAttention(hidden_size=D, num_layers=2, num_heads=4, mlp_size=20, downsample_after=1, drop_path=0.0)


def build(name: str, changed: Changed) -> KeypointStream | None:
    torch.manual_seed(0)
    joints = {"num_joints": J} if "num_joints" in KEYPOINTS[name].model_fields else {}
    return small(KEYPOINTS[name], **changed, **joints).build(temporal(), E)


def points(seed: int = 1) -> Tensor:
    """(N, J, 3) with a point that was not seen."""
    rows = torch.rand(sum(LENGTHS), J, 3, generator=torch.Generator().manual_seed(seed))
    rows[3, 2] = 0
    return rows


def stream_of(name: str, changed: Changed) -> KeypointStream:
    stream = build(name, changed)
    if stream is None:
        assert small(KEYPOINTS[name], **changed).joints_read == 0
        pytest.skip("no stream")
    spread(stream)
    return stream.eval()


def test_segments_of_a_clip_are_the_same_alone_and_in_a_batch(name: str, changed: Changed) -> None:
    stream, lengths = stream_of(name, changed), torch.tensor(LENGTHS)
    assert KEYPOINTS[name].model_validate({"num_joints": J, **changed}).joints_read == J
    together = stream(points(), lengths)
    assert together.lengths.tolist() == temporal().build(E).out_lengths(lengths).tolist()
    for row, rows in enumerate(points().split(LENGTHS)):
        single = stream(rows, lengths[row : row + 1])
        assert torch.allclose(single.values, alone(together, row).values, atol=1e-5)
    assert differs(stream(points(2), lengths).values, together.values)


def test_where_a_point_was_not_seen_its_place_does_not_matter(name: str, changed: Changed) -> None:
    stream, moved = stream_of(name, changed), points()
    moved[3, 2, :2] = 0.9
    lengths = torch.tensor(LENGTHS)
    assert torch.equal(stream(moved, lengths).values, stream(points(), lengths).values)
    moved[3, 2, 2] = 0.5
    assert differs(stream(moved, lengths).values, stream(points(), lengths).values)


def test_both_streams_reach_the_joint_segments_and_all_gradients_are_finite(name: str, changed: Changed) -> None:
    stream, lengths = stream_of(name, changed).train(), torch.tensor(LENGTHS)
    own = stream(points(), lengths)
    video = Padded(torch.randn(own.values.shape, requires_grad=True), own.lengths)
    joint = stream.join(video, own)
    assert joint.values.shape == own.values.shape and torch.equal(joint.lengths, own.lengths)
    joint.pack().square().sum().backward()
    assert_finite_gradients(stream)
    assert video.values.grad is not None and (video.values.grad[~video.mask] == 0).all()


def test_a_model_without_keypoints_of_a_batch_says_so(name: str, changed: Changed) -> None:
    visual = VisualEncoder(torch.nn.Identity(), W, D)
    model = HierarchicalEncoder(visual, temporal().build(E), Unchanged(), keypoints=stream_of(name, changed)).eval()
    rows, lengths = torch.randn(sum(LENGTHS), W), torch.tensor(LENGTHS)
    with pytest.raises(ValueError, match="reads keypoints"):
        model(rows, lengths, "backbone_features")
    levels = model(rows, lengths, "backbone_features", keypoints=points())
    assert levels.streams is not None and levels.segment is not None
    assert torch.equal(levels.segment.values, model.keypoints.join(*levels.streams).values)  # type: ignore[union-attr]
    segments = model.segments(rows, lengths, "backbone_features", points())
    again = model(segments.pack(), segments.lengths, "segment_features").video
    assert again is not None and torch.equal(again.pack(), segments.pack())


def test_weights_move_to_another_one(name: str, changed: Changed) -> None:
    stream, other = stream_of(name, changed), build(name, changed)
    assert other is not None
    copy_weights(stream, other)
    lengths = torch.tensor(LENGTHS)
    assert torch.equal(stream(points(), lengths).values, other.eval()(points(), lengths).values)
    with torch.device("meta"):
        assert build(name, changed) is not None
