"""Keypoints: exact ones of drawings, `.pose` files, their time and fit, and how a crop moves them."""

from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from pose_format import Pose
from pose_format.numpy.pose_body import NumPyPoseBody
from pose_format.pose_header import PoseHeader, PoseHeaderComponent, PoseHeaderDimensions

from glossfree.avatar.signing import SignedSentence
from glossfree.console import Silent
from glossfree.corpora.manifest import Clip, FrameFolder, Manifest, VideoFile
from glossfree.errors import ClipError, CorpusError
from glossfree.video.corpus import prepare_corpus
from glossfree.video.frames import View, draw_affine, fit_frame, warp_frames, warp_points
from glossfree.video.keypoints import KeypointStore, read_keypoints, write_keypoints
from glossfree.video.pack import Packing, write_clip
from glossfree.video.poses import Keypoints, keypoints_of_clip, read_pose
from glossfree.video.prepare import prepare
from glossfree.video.timeline import Timeline

WIDTH, HEIGHT = 120, 80
JOINTS = ("BODY.nose", "BODY.wrist", "HAND.tip")


PARTS = {"BODY": ["nose", "wrist"], "BODY_WORLD_LANDMARKS": ["nose"], "HAND": ["tip"]}


def write_pose(
    path: Path,
    points: np.ndarray,
    fps: float = 25.0,
    size: tuple[int, int] = (WIDTH, HEIGHT),
    parts: dict[str, list[str]] = PARTS,
) -> Path:
    """Points (T, J, 3) or (T, people, J, 3) in pixels and confidence -> a file; PARTS has a 3-D copy to be left out."""
    points = points[:, None] if points.ndim == 3 else points
    points = points[:, :, [0, 1, 0, 2]] if parts is PARTS else points
    components = [PoseHeaderComponent(name, names, [], [], "XYC") for name, names in parts.items()]
    body = NumPyPoseBody(fps, points[..., :2].astype(np.float32), points[..., 2].astype(np.float32))
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        Pose(PoseHeader(0.2, PoseHeaderDimensions(*size, 0), components), body).write(file)
    return path


def moving(frames: int = 7) -> np.ndarray:
    """(T, 3, 3): joints that move by 2 pixels a frame."""
    points = np.tile(np.array([(30.0, 20.0, 0.9), (60.0, 40.0, 0.5), (90.0, 70.0, 1.0)]), (frames, 1, 1))
    points[..., 0] += 2 * np.arange(frames)[:, None]
    return points


def video(path: Path, frames: int = 7, fps: float = 25.0) -> Path:
    rng = np.random.default_rng(0)
    write_clip(path, rng.integers(0, 256, (frames, HEIGHT, WIDTH, 3), dtype=np.uint8), fps)
    return path


def packed(tmp_path: Path, *sources: VideoFile | FrameFolder | SignedSentence, fps: float = 0.0) -> Manifest:
    clips = [Clip(f"c{number}", "train", "satz", source) for number, source in enumerate(sources)]
    about = {"name": "mine", "language": "de", "settings": {}}
    return prepare(clips, tmp_path / "packed", Packing(32, fps=fps), about).manifest


def test_a_file_is_read_in_fractions_of_the_picture_without_its_3d_copy(tmp_path: Path) -> None:
    keypoints = read_pose(write_pose(tmp_path / "a.pose", moving()))
    expected = moving() / (WIDTH, HEIGHT, 1)
    assert keypoints.joints == JOINTS and keypoints.points.dtype == np.float32
    assert np.allclose(keypoints.points, expected, atol=1e-3) and keypoints.aspect == WIDTH / HEIGHT
    assert keypoints.timeline.fps == 25 and len(keypoints.timeline) == 7


def test_what_is_not_seen_is_zero(tmp_path: Path) -> None:
    points = moving()
    points[2, 0, 2], points[3, 1, 0], points[4, 2, 2] = 0.0, np.nan, np.nan
    read = read_pose(write_pose(tmp_path / "a.pose", points)).points
    assert not read[2, 0].any() and not read[3, 1].any() and not read[4, 2].any()
    assert read[..., 2].astype(bool).sum() == 7 * 3 - 3


def test_the_surest_person_counts(tmp_path: Path) -> None:
    both = np.stack([moving() * (1, 1, 0.3), moving() * (0.5, 1, 1)], axis=1)
    assert np.allclose(read_pose(write_pose(tmp_path / "a.pose", both)).points[..., 0], moving()[..., 0] / WIDTH / 2)


@pytest.mark.parametrize(
    ("points", "fps", "problem"),
    [
        (moving() * (1, 1, 0), 25.0, "no keypoint is seen"),
        (moving()[:0], 25.0, "no keypoints in it"),
        (moving(), 0.0, "0 frames/s"),
    ],
)
def test_a_file_without_use_is_named(points: np.ndarray, fps: float, problem: str, tmp_path: Path) -> None:
    with pytest.raises(ClipError, match=rf"a\.pose.*{problem}"):
        read_pose(write_pose(tmp_path / "a.pose", points, fps), "monday")


def test_a_missing_and_a_damaged_file_are_named(tmp_path: Path) -> None:
    with pytest.raises(ClipError, match=r"monday.*a\.pose.*no such file"):
        read_pose(tmp_path / "a.pose", "monday")
    content = write_pose(tmp_path / "a.pose", moving()).read_bytes()
    for cut in (0, 3, 20, len(content) // 2):
        (tmp_path / "a.pose").write_bytes(content[:cut])
        with pytest.raises(ClipError, match=r"monday.*a\.pose"):
            read_pose(tmp_path / "a.pose", "monday")


@pytest.mark.parametrize("fit", ["stretch", "pad", "crop"])
@pytest.mark.parametrize("size", [(120, 80), (80, 120), (96, 96)])
def test_points_move_as_frames_are_fitted(fit: str, size: tuple[int, int]) -> None:
    width, height = size
    frame = np.zeros((height, width, 3), np.uint8)
    frame[height // 2 - 9 : height // 2 - 4, width // 2 + 6 : width // 2 + 11] = 255  # its middle is a pixel's
    point = ((width // 2 + 8.5) / width, (height // 2 - 6.5) / height, 1.0)
    keypoints = Keypoints(np.array([[point]], np.float32), ("tip",), Timeline.constant(1, 25), width / height)
    fitted = keypoints.packed(Timeline.constant(1, 25), fit)[0, 0]  # type: ignore[arg-type]
    picture = fit_frame(frame, 60, fit)[..., 0].astype(float)  # type: ignore[arg-type]
    y, x = np.indices(picture.shape)
    middle = [(picture * axis).sum() / picture.sum() + 0.5 for axis in (x, y)]
    assert np.abs(fitted[:2] * 60 - middle).max() < 0.6


def test_rows_are_resampled_by_time_as_frames_are(tmp_path: Path) -> None:
    own = Timeline.constant(24, 24.0)
    points = np.arange(24, dtype=np.float32)[:, None, None].repeat(3, axis=2)
    keypoints = Keypoints(points, ("tip",), own)
    for fps in (24.0, 8.0, 12.5, 50.0):
        rows = keypoints.packed(Timeline.constant(len(own.at_rate(fps)), fps), "stretch")
        assert np.array_equal(rows[:, 0, 0], own.at_rate(fps))
    part = keypoints.packed(Timeline.constant(5, 24.0), "stretch", start=0.5)
    assert part[:, 0, 0].tolist() == [12, 13, 14, 15, 16]


def test_prepare_writes_the_points_of_drawings_for_its_packed_frames(tmp_path: Path) -> None:
    result = prepare_corpus(
        "wetter", tmp_path / "w", Packing(32, fps=4.0), console=Silent(), limit=2, poses=True, workers=1
    )
    store = KeypointStore.of(tmp_path / "w")
    store.check(result.manifest.clips)
    assert store.described()["source"] == "drawings" and result.failed == () and len(store.joints) == 55
    for clip in result.manifest.clips:
        points = store.read(clip)
        assert points.shape == (clip.num_frames, 55, 3) and (points[..., 2] == 1).all()
    (tmp_path / "w/poses/train").joinpath(f"{result.manifest.clips[0].id}.safetensors").unlink()
    with pytest.raises(CorpusError, match=rf"1 clips have no keypoints.*{result.manifest.clips[0].id}"):
        store.check(result.manifest.clips)


def test_drawn_points_are_those_of_the_frames_that_are_packed(tmp_path: Path) -> None:
    drawing = SignedSentence(("REGEN",), 1, 3, 12.5)
    manifest = packed(tmp_path, drawing, fps=5.0)
    clips = [Clip("c0", "train", "satz", drawing)]
    points, joints = keypoints_of_clip(clips[0], manifest.clips[0], "stretch")
    frames = Timeline.constant(drawing.num_frames, 12.5).at_rate(5.0)
    assert np.allclose(points[..., :2], drawing.keypoints()[frames], atol=1e-6) and joints[0] == "avatar.right_shoulder"


def test_files_beside_videos_are_read_by_prepare(tmp_path: Path) -> None:
    root = tmp_path / "root"
    rows = ["id,split,video,text,start,end"]
    for name, frames in (("mo", 25), ("di", 30), ("mi", 25)):
        video(root / f"{name}.mp4", frames)
        rows.append(f"{name},train,{name}.mp4,satz {name},,")
    rows.append("part,train,di.mp4,satz teil,0.4,0.8")
    (root / "sentences.csv").write_text("\n".join(rows))
    write_pose(root / "mo.pose", moving(25))
    write_pose(root / "di.pose", moving(30))
    write_pose(root / "mi.pose", moving(25), fps=12.5)
    result = prepare_corpus(
        "folder", tmp_path / "out", Packing(32), console=Silent(), root=root, poses=True, workers=1, language="de"
    )
    assert [clip for clip, _ in result.failed] == ["mi"] and result.exit_code == 1
    assert "25 frames at 12.5/s (2.00 s) of keypoints, 25 frames at 25/s (1.00 s) of video" in result.failed[0][1]
    store = KeypointStore.of(tmp_path / "out")
    clips = {clip.id: clip for clip in result.manifest.clips}
    assert np.allclose(store.read(clips["mo"])[..., 0], moving(25)[..., 0] / WIDTH, atol=1e-3)
    assert np.allclose(store.read(clips["part"])[..., 0], moving(30)[10:20, :, 0] / WIDTH, atol=1e-3)
    assert store.not_read().keys() == {"mi"} and store.joints == JOINTS


def test_files_for_a_prepared_corpus_are_checked_clip_by_clip(tmp_path: Path) -> None:
    sources = [VideoFile(video(tmp_path / f"{n}.mp4", frames)) for n, frames in enumerate((9, 8, 20, 7))]
    manifest, root = packed(tmp_path, *sources, fps=12.5), tmp_path / "poses"
    write_pose(root / "train/c0.pose", moving(9))
    write_pose(root / "c1.pose", moving(4), fps=12.5)
    write_pose(root / "c2.pose", moving(40))
    report = read_keypoints(manifest, root, Silent())
    assert (report.written, report.joints, report.exit_code) == (2, 3, 1)
    assert [clip for clip, _ in report.bad] == ["c2", "c3"]
    assert "40 frames at 25/s" in report.bad[0][1] and "no such file" in report.bad[1][1]
    store = KeypointStore.of(manifest.folder)
    assert store.read(manifest.clips[0]).shape == (manifest.clips[0].num_frames, 3, 3)
    store.check(manifest.clips[:2])
    store.check(manifest.clips[:3], "skip")
    with pytest.raises(CorpusError, match=r"2 clips could not be read \(c2, c3\)"):
        store.check(manifest.clips)
    (tmp_path / "empty").mkdir()
    with pytest.raises(CorpusError, match="none of 4 clips"):
        read_keypoints(manifest, tmp_path / "empty", Silent())
    KeypointStore.of(manifest.folder).check(manifest.clips[:2])  # as before


def test_a_file_of_an_unknown_version_is_a_problem_of_its_clip(tmp_path: Path) -> None:
    path = write_pose(tmp_path / "c.pose", moving(9))
    path.write_bytes(struct.pack("<f", 9.0) + path.read_bytes()[4:])
    with pytest.raises(ClipError, match="version"):
        read_pose(path)


def test_other_joints_than_before_are_a_problem_of_the_clip(tmp_path: Path) -> None:
    manifest = packed(tmp_path, *(SignedSentence(("REGEN",), 1, n) for n in range(3)))

    def read(clip: object) -> tuple[np.ndarray, tuple[str, ...]]:
        name = clip.id  # type: ignore[attr-defined]
        joints = ("a", "b") if name == "c1" else ("a", "c")
        return np.ones((manifest.clips[int(name[1])].num_frames, 2, 3), np.float32), joints

    report = write_keypoints(manifest, read, {"source": "test"}, Silent())
    assert [clip for clip, _ in report.bad] == ["c1"] and "2 joints are not the 2" in report.bad[0][1]


def test_without_any_keypoints_there_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    manifest = packed(tmp_path, SignedSentence(("REGEN",), 1, 0))
    with pytest.raises(CorpusError, match="no keypoints -> glossfree prepare again with --poses"):
        KeypointStore.of(manifest.folder)
    with pytest.raises(CorpusError, match=r"none of 1 clips has keypoints.*c0\.pose"):
        read_keypoints(manifest, tmp_path, Silent())
    assert not (manifest.folder / "poses/poses.json").is_file()


@pytest.mark.parametrize("seed", [None, 1, 2, 3, 4])
def test_a_crop_moves_points_as_it_moves_pixels(seed: int | None) -> None:
    view = View(64, 48, augment_probability=0.9)
    matrix = draw_affine(view, None if seed is None else np.random.default_rng(seed))
    y, x = 30, 35
    frame = np.zeros((1, 64, 64, 3), np.uint8)
    cv2.circle(frame[0], (x, y), 3, (255, 255, 255), -1)
    picture = warp_frames(frame, matrix, 48)[0, 0].astype(float)
    rows, columns = np.indices(picture.shape)
    middle = [(picture * axis).sum() / picture.sum() for axis in (columns, rows)]
    points = np.array([[((x + 0.5) / 64, (y + 0.5) / 64, 0.8), (0, 0, 0)]], np.float32)
    moved = warp_points(points, matrix, 64, 48)
    assert np.abs(moved[0, 0, :2] * 48 - 0.5 - middle).max() < 0.15
    assert moved[0, 0, 2] == np.float32(0.8) and not moved[0, 1].any()


def test_a_clip_that_is_packed_again_has_stale_points(tmp_path: Path) -> None:
    manifest = packed(tmp_path, SignedSentence(("REGEN",), 1, 0))
    store = KeypointStore(manifest.folder, ("tip",))
    clip = manifest.clips[0]
    store.begin({"joints": ["tip"]})
    store.write(clip, torch.ones(clip.num_frames, 1, 3), "another")
    with pytest.raises(CorpusError, match="were packed again"):
        KeypointStore.of(manifest.folder).check([replace(clip)])
