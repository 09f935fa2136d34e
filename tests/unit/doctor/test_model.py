"""doctor on a model and clips: each way in which a clip can differ from training, and cards that say little."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from glossfree.cli.doctor import doctor
from glossfree.doctor.findings import Diagnosis
from glossfree.serving.folder import FORMAT
from glossfree.video.pack import write_clip
from glossfree.video.signer import signer_profile

TRAINING = {
    "fit": "stretch",
    "fps": [20.0, 25.0],
    "aspect": [1.2, 1.33, 1.4],
    "seconds": [1.0, 2.0, 5.0],
    "light": [90.0, 120.0, 150.0],
}


def model(folder: Path, **training: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    card = {"format": FORMAT, "glossfree": "0.3", "files": {}, "training": {**TRAINING, **training}}
    (folder / "model.json").write_text(json.dumps(card))
    return folder


def clip(path: Path, frames: int = 46, fps: float = 23.0, width: int = 64, height: int = 48, light: int = 120) -> Path:
    """Half of each frame is lighter than the other."""
    picture = np.full((frames, height, width, 3), max(0, light - 30), np.uint8)
    picture[:, :, width // 2 :] = min(255, light + 30)
    write_clip(path, picture, fps)
    return path


def warnings(diagnosis: Diagnosis, topic: str) -> list[str]:
    return [finding.text for finding in diagnosis.findings if finding.topic == topic and finding.level == "warning"]


def test_a_clip_like_those_of_training(tmp_path: Path) -> None:
    path = clip(tmp_path / "a.mp4")
    diagnosis = doctor([model(tmp_path / "model"), path])
    assert diagnosis.exit_code == 0
    measured = diagnosis.figures["clips"][str(path)]
    assert (measured["fps"], measured["num_frames"], measured["seconds"]) == pytest.approx((23.0, 46, 2.0))
    assert measured["brightness"] == pytest.approx(120, abs=3)
    assert measured["contrast"] == pytest.approx(30, abs=3)
    assert diagnosis.figures["training"] == TRAINING
    json.dumps(diagnosis.to_dict())


@pytest.mark.parametrize(
    ("differs", "word"),
    [
        ({"fps": 12.0}, "12 frames/s"),
        ({"width": 96}, "2.00 wide"),
        ({"width": 32, "height": 64}, "0.50 wide"),
        ({"frames": 230}, "longest"),
        ({"frames": 11}, "shortest"),
        ({"light": 45}, "dark"),
        ({"light": 220}, "bright"),
    ],
)
def test_a_clip_that_differs_in_one_thing(tmp_path: Path, differs: dict[str, Any], word: str) -> None:
    diagnosis = doctor([model(tmp_path / "model"), clip(tmp_path / "a.mp4"), clip(tmp_path / "b.mp4", **differs)])
    assert (diagnosis.exit_code, warnings(diagnosis, "a.mp4")) == (1, [])
    [text] = warnings(diagnosis, "b.mp4")
    assert word in text


def test_a_higher_rate_is_resampled_and_no_warning(tmp_path: Path) -> None:
    assert doctor([model(tmp_path / "model"), clip(tmp_path / "a.mp4", frames=120, fps=60.0)]).exit_code == 0


def test_a_packed_clip_is_square_and_no_warning(tmp_path: Path) -> None:
    assert doctor([model(tmp_path / "model"), clip(tmp_path / "a.mp4", width=48)]).exit_code == 0


def test_a_folder_of_images_has_the_rate_that_is_given(tmp_path: Path, call: Any) -> None:
    folder, images = model(tmp_path / "model"), tmp_path / "images"
    images.mkdir()
    for number, frame in enumerate(figure(1.0, 3)):
        cv2.imwrite(str(images / f"{number:03}.png"), frame)
    guessed, told = doctor([folder, images]), doctor([folder, images], fps=11.5)
    [text], [slow] = warnings(guessed, "images"), warnings(told, "images")
    assert "taken as 25 frames/s" in text and "11.5 frames/s, training had 20" in slow
    assert told.figures["clips"][str(images)]["seconds"] == pytest.approx(4.0)
    assert "--fps is for folders of images" in call("doctor", folder, clip(tmp_path / "a.mp4"), "--fps", 8).err


def test_a_picture_without_contrast_is_reported(tmp_path: Path) -> None:
    write_clip(tmp_path / "wall.mp4", np.full((46, 48, 64, 3), 120, np.uint8), 23.0)
    [text] = warnings(doctor([model(tmp_path / "model"), tmp_path / "wall.mp4"]), "wall.mp4")
    assert "contrast" in text


def test_clips_that_cannot_be_translated_are_problems(tmp_path: Path) -> None:
    clip(tmp_path / "short.mp4", frames=2)
    (tmp_path / "broken.mp4").write_bytes(b"no video" * 50)
    folder = model(tmp_path / "model")
    for name in ("short.mp4", "broken.mp4", "gone.mp4"):
        diagnosis = doctor([folder, tmp_path / name])
        assert diagnosis.exit_code == 2
        assert [finding.topic for finding in diagnosis.findings if finding.level == "problem"] == [name]


@pytest.mark.parametrize("training", [None, {}])
def test_a_model_that_does_not_say_is_reported(tmp_path: Path, training: Any) -> None:
    folder = model(tmp_path / "model")
    card = {"format": FORMAT, "files": {}} | ({} if training is None else {"training": training})
    (folder / "model.json").write_text(json.dumps(card))
    diagnosis = doctor([folder, clip(tmp_path / "a.mp4", fps=7.0), clip(tmp_path / "night.mp4", light=31)])
    [text] = warnings(diagnosis, "training")
    assert all(word in text for word in ("does not state", "rate", "aspect", "lengths"))
    assert (warnings(diagnosis, "a.mp4"), len(warnings(diagnosis, "night.mp4"))) == ([], 1)


@pytest.mark.parametrize(
    "training",
    [
        {"fps": "25"},
        {"aspect": [1]},
        {"seconds": {}},
        {"light": [None] * 3},
        [7],
        {"signer": {"face": [1], "outline": 7}},
    ],
)
def test_a_card_that_translate_refuses_cannot_work(tmp_path: Path, training: Any) -> None:
    folder = model(tmp_path / "model")
    (folder / "model.json").write_text(json.dumps({"format": FORMAT, "files": {}, "training": training}))
    diagnosis = doctor([folder])
    assert (diagnosis.exit_code, "damaged" in diagnosis.findings[0].text) == (2, True)


def test_a_model_that_was_altered_cannot_work(tmp_path: Path) -> None:
    folder = model(tmp_path / "model")
    card = json.loads((folder / "model.json").read_text()) | {"files": {"recipe.toml": "0" * 64}}
    (folder / "model.json").write_text(json.dumps(card))
    diagnosis = doctor([folder])
    assert (diagnosis.exit_code, "recipe.toml" in diagnosis.findings[0].text) == (2, True)


def figure(scale: float, seed: int, num_frames: int = 46) -> np.ndarray:
    """A dark figure with two moving hands before a grey wall, standing on the lower edge -> (T, 96, 128, 3)."""
    rng = np.random.default_rng(seed)
    frames = np.full((num_frames, 96, 128, 3), 150, np.uint8)
    speed, phase = rng.uniform(0.2, 0.5, 2), rng.uniform(0, 6, 2)
    for t, frame in enumerate(frames):

        def ellipse(x: float, y: float, wide: float, high: float, colour: int, frame: np.ndarray = frame) -> None:
            place = round(64 + scale * x), round(96 - scale * y)
            cv2.ellipse(frame, place, (round(scale * wide), round(scale * high)), 0, 0, 360, (colour,) * 3, -1)

        ellipse(0, 0, 30, 48, 50)
        ellipse(0, 64, 11, 15, 210)
        for side, rate, start in ((-1, speed[0], phase[0]), (1, speed[1], phase[1])):
            ellipse(side * (18 + 9 * np.sin(rate * t + start)), 32 + 14 * np.cos(rate * t + start), 7, 7, 220)
    return frames


@pytest.mark.parametrize(("scale", "is_odd"), [(1.0, False), (0.6, True)])
def test_a_signer_of_another_size_is_reported(tmp_path: Path, scale: float, is_odd: bool) -> None:
    profile = signer_profile([figure(1.0, seed) for seed in range(7)], 128 / 96)
    write_clip(tmp_path / "a.mp4", figure(scale, 13), 23.0)
    [*texts] = warnings(doctor([model(tmp_path / "model", signer=profile), tmp_path / "a.mp4"]), "a.mp4")
    assert [text for text in texts if "as large" in text] == texts
    assert len(texts) == is_odd
