"""The values of a recipe about frames: how clips are sampled, cropped and read."""

from __future__ import annotations

from typing import Literal

from glossfree.settings import MOST_PIXELS, Section, value


class DataConfig(Section):
    """How packed clips become frames of one size (section 4.2)."""

    frame_size: int = value(256, "released", "pixels of a packed frame, height and width", ge=8, le=MOST_PIXELS)
    crop_size: int = value(224, "released", "pixels of a crop: random in training, else central", ge=8, le=MOST_PIXELS)
    fit: Literal["stretch", "pad", "crop"] = value(
        "stretch", "stated", "how frames became square: stretched, padded with their edges, or cut (prepare --fit)"
    )
    fps: float = value(0.0, "assumed", "frames per second after resampling; 0: the corpus's own rate", ge=0, le=1000)
    stride: int = value(1, "released", "every stride-th frame is used (Sign2GPT: 2)", ge=1)
    max_frames: int = value(300, "released", "frames per clip; longer clips are sampled evenly", ge=1)
    augment_probability: float = value(0.5, "released", "of rotation, resize, translation each, per clip", ge=0, le=1)
    rotation: float = value(30.0, "released", "degrees, drawn in +-rotation", ge=0, le=180)
    resize: float = value(0.2, "released", "fraction, drawn in +-resize", ge=0, lt=1)
    translation: float = value(10.0, "released", "pixels of the packed frame, drawn in +-translation", ge=0)
    train_clips: int = value(0, "assumed", "the first so many training clips and their words are used; 0: all", ge=0)
    num_workers: int = value(2, "assumed", "loader processes", ge=0)
    on_bad_clip: Literal["stop", "skip"] = value(
        "stop", "assumed", "a clip that cannot be read stops training, or is skipped, counted and named"
    )
    bucket_width: int = value(
        16, "assumed", "steps whose clips are sorted by length together, against padding; 0: no sorting", ge=0
    )
    cache_megabytes: int = value(
        0, "assumed", "memory for decoded frames or stored features; 0: read them in every epoch", ge=0
    )
    max_frames_per_batch: int = value(
        0, "assumed", "frames in one forward pass; a larger step takes several passes; 0: no limit", ge=0
    )
