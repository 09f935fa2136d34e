"""What a recipe holds: section 4.2 of the paper as typed, frozen values; the defaults are the paper.

Every field says what it means, its unit, and how well it is known: *stated* (in the paper), *released* (read off the
authors' training code), *derived* (follows from Table 3), *assumed* (ours). `glossfree.config` reads and writes them.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, field_validator

Standing = Literal["stated", "released", "derived", "assumed"]
Trained = Literal["adapters", "all", "none"]
Split = Literal["train", "dev", "test"]


def value(default: Any, standing: Standing, meaning: str, **limits: Any) -> Any:
    """A field: its default, its standing and what it means (with the unit)."""
    return Field(default, description=meaning, json_schema_extra={"standing": standing}, **limits)


# Far beyond any model: a damaged number is refused and not built, which would take hours and all memory.
DEEPEST, WIDEST, MOST_PIXELS, MOST_TOKENS = 200, 65_536, 4096, 10_000_000
STRICT = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Section(BaseModel):
    """One table of a recipe."""

    model_config = STRICT


class DataConfig(Section):
    """From packed clips to frames of one size (section 4.2)."""

    frame_size: int = value(256, "released", "pixels of a packed frame, height and width", ge=8, le=MOST_PIXELS)
    crop_size: int = value(
        224, "released", "pixels of a cropped frame: random in training, centre otherwise", ge=8, le=MOST_PIXELS
    )
    fit: Literal["stretch", "pad", "crop"] = value(
        "stretch",
        "stated",
        "how a packed frame became square: stretched, with its edges continued, or cut (prepare --fit)",
    )
    fps: float = value(0.0, "assumed", "frames per second that the model sees: clips of other rates are resampled by "
                       "time; 0: the corpus's own rate", ge=0, le=1000)  # fmt: skip
    stride: int = value(1, "released", "every stride-th frame is used (Sign2GPT: 2)", ge=1)
    max_frames: int = value(300, "released", "frames per clip; longer clips are sampled evenly", ge=1)
    augment_probability: float = value(
        0.5, "released", "of each of rotation, resize, translation, per clip", ge=0, le=1
    )
    rotation: float = value(30.0, "released", "degrees, drawn in +-rotation", ge=0, le=180)
    resize: float = value(0.2, "released", "fraction, drawn in +-resize", ge=0, lt=1)
    translation: float = value(10.0, "released", "pixels of the packed frame, drawn in +-translation", ge=0)
    num_workers: int = value(2, "assumed", "loader processes", ge=0)
    on_bad_clip: Literal["stop", "skip"] = value(
        "stop", "assumed", "a clip that cannot be read in training stops it, or is left out, counted and named"
    )
    cache_megabytes: int = value(0, "assumed", "memory for decoded frames; 0 = decode them every epoch", ge=0)
    max_frames_per_batch: int = value(0, "assumed", "frames in one forward pass; a step of more is computed in several "
                                      "and their gradients add up; 0 = no limit", ge=0)  # fmt: skip


class TextConfig(Section):
    """Sentences to token ids."""

    language: str = value("de_DE", "stated", "mBART language code of the sentences")
    tokenizer: str = value("", "derived", "folder with sentencepiece.bpe.model, or hub:owner/name, trimmed to the "
                           "training sentences; empty: train pieces on them")  # fmt: skip
    num_pieces: int = value(500, "assumed", "pieces when they are trained on the corpus", ge=32, le=MOST_TOKENS)
    vocabulary_size: int = value(
        2172, "derived", "tokens where no corpus is at hand (parameter counts)", ge=8, le=MOST_TOKENS
    )
    max_tokens: int = value(128, "assumed", "tokens of a sentence, special ones included", ge=4)


class VisionConfig(Section):
    """Frame level: DINOv2 ViT-S/14 with LoRA on its top blocks, then linear and BatchNorm (section 3.1)."""

    backbone: str = value("dinov2", "stated", "name in VISION")
    weights: str = value(
        "", "stated", "folder or .pth with pretrained weights, hub:owner/name, or a run of ours; empty: random"
    )
    features: Literal["video", "cached"] = value(
        "video", "assumed", "frames are seen anew in every epoch, or were seen once, by `glossfree features`"
    )
    hidden_size: int = value(384, "stated", "width of the ViT (ViT-S)", ge=1, le=WIDEST)
    num_layers: int = value(12, "stated", "blocks (ViT-S)", ge=1, le=DEEPEST)
    num_heads: int = value(6, "stated", "attention heads (ViT-S)", ge=1, le=WIDEST)
    mlp_ratio: int = value(4, "stated", "MLP width over hidden_size", ge=1)
    patch_size: int = value(14, "stated", "pixels of a patch", ge=1, le=MOST_PIXELS)
    image_size: int = value(
        518, "derived", "pixels that the position table was made for: 37 x 37 patches", ge=1, le=MOST_PIXELS
    )
    train: Trained = value("adapters", "stated", "what of the backbone trains: LoRA, everything, nothing")
    adapter_layers: int = value(3, "stated", "top blocks that carry LoRA", ge=0)
    adapter_rank: int = value(4, "released", "LoRA rank", ge=1, le=WIDEST)
    adapter_alpha: float = value(4.0, "released", "LoRA scaling factor", gt=0)
    adapter_dropout: float = value(0.1, "released", "LoRA dropout", ge=0, lt=1)


class TemporalConfig(Section):
    """Segment level: local-attention transformer that halves time (section 3.1)."""

    hidden_size: int = value(512, "stated", "width D", ge=2, le=WIDEST)
    num_layers: int = value(4, "stated", "layers", ge=1, le=DEEPEST)
    num_heads: int = value(8, "stated", "attention heads", ge=1, le=WIDEST)
    mlp_size: int = value(2048, "stated", "width of the MLP", ge=1, le=WIDEST)
    window_size: int = value(7, "stated", "frames that a position sees, itself included", ge=1, le=WIDEST)
    downsample_after: int = value(2, "stated", "layers before time is halved", ge=1)
    dropout: float = value(0.1, "released", "dropout", ge=0, lt=1)
    drop_path: float = value(0.1, "released", "stochastic depth of the last layer, rising from 0", ge=0, lt=1)
    layer_scale: float = value(1e-5, "released", "start of LayerScale on the attention branch", gt=0)


class LanguageConfig(Section):
    """Video level and decoder: mBART-large-cc25 with LoRA on q and v (sections 3.1 and 4.2)."""

    weights: str = value("", "stated", "folder with pretrained mBART weights, or hub:owner/name; empty: random")
    hidden_size: int = value(1024, "stated", "width E", ge=2, le=WIDEST)
    num_layers: int = value(12, "stated", "layers of encoder and of decoder", ge=1, le=DEEPEST)
    num_heads: int = value(16, "stated", "attention heads", ge=1, le=WIDEST)
    mlp_size: int = value(4096, "stated", "width of the MLPs", ge=1, le=WIDEST)
    max_positions: int = value(1024, "derived", "positions (mBART's table has two more rows)", ge=8, le=WIDEST)
    dropout: float = value(0.1, "assumed", "dropout of mBART", ge=0, lt=1)
    train: Trained = value("adapters", "stated", "what of mBART trains: LoRA, everything, nothing")
    adapter_rank: int = value(16, "stated", "LoRA rank", ge=1, le=WIDEST)
    adapter_alpha: float = value(32.0, "stated", "LoRA scaling factor", gt=0)
    adapter_dropout: float = value(0.1, "stated", "LoRA dropout", ge=0, lt=1)


class PseudoGlossConfig(Section):
    """Pseudo-glosses and the head that scores them (section 3.2)."""

    num_pseudo_glosses: int = value(
        2322, "derived", "P where no corpus is at hand (parameter counts)", ge=1, le=MOST_TOKENS
    )
    splits: tuple[Split, ...] = value(("train",), "assumed", "splits whose sentences make the inventory, in any order "
                                      "(released: all three)", min_length=1)  # fmt: skip
    vector_size: int = value(300, "stated", "width of a prototype (fastText)", ge=1, le=WIDEST)
    dropout: float = value(0.2, "released", "dropout before the linear layer of the head", ge=0, lt=1)
    prototype_temperature: float = value(0.1, "stated", "start of tau_p", ge=0.01, le=1)
    time_temperature: float = value(0.1, "stated", "start of tau_t", ge=0.01, le=1)
    learn_temperatures: bool = value(True, "stated", "whether both are learnt (fixed in the released code)")
    train_prototypes: bool = value(True, "derived", "whether the prototypes are learnt (Table 3 counts them)")

    @field_validator("splits")
    @classmethod
    def _in_one_order(cls, splits: tuple[Split, ...]) -> tuple[Split, ...]:
        return tuple(name for name in get_args(Split) if name in splits)


class StageConfig(BaseModel):
    """Optimisation of one stage (section 4.2)."""

    model_config = STRICT

    epochs: int = value(100, "stated", "epochs; 0 skips the stage", ge=0)
    batch_size: int = value(16, "stated", "clips (or sentences) per optimiser step", ge=1)
    learning_rate: float = value(6e-4, "released", "peak of the one-cycle schedule", gt=0)
    weight_decay: float = value(0.01, "released", "of AdamW", ge=0)
    warmup: float = value(0.05, "stated", "fraction of all steps: five of 100 epochs", ge=0, lt=1)
    max_grad_norm: float = value(1.0, "stated", "gradient norm is clipped here", gt=0)
    label_smoothing: float = value(0.2, "released", "of eq 6", ge=0, lt=1)
    keep: Literal["best", "last"] = value(
        "best", "stated", "weights a stage leaves: lowest validation loss, or last epoch"
    )
    augment: bool = value(True, "stated", "random crop, rotation, resize, translation")
    cache_features: bool = value(False, "assumed", "compute what is frozen once per clip, not once per epoch; "
                                 "only where nothing below it trains, and without augmentation")  # fmt: skip


class LastStageConfig(StageConfig):
    """The second stage of fine-tuning."""

    epochs: int = value(200, "stated", "epochs; 0 skips the stage", ge=0)


class TextStageConfig(StageConfig):
    """mBART's denoising on the training sentences, where no pretrained mBART is at hand."""

    epochs: int = value(0, "assumed", "epochs; 0 where pretrained weights are named", ge=0)
    mask_ratio: float = value(0.35, "assumed", "share of words masked in spans (mBART's published value)", ge=0, lt=1)
    mean_span: float = value(3.5, "assumed", "words per masked span, Poisson (mBART's published value)", gt=0)


class PretrainConfig(StageConfig):
    """Hierarchical pre-training: eqs 1-5."""

    pseudo_gloss_weight: float = value(10.0, "assumed", "lambda of eq 5 (Table 2: more was better)", ge=0)
    contrastive_weight: float = value(1.0, "stated", "weight of eq 4", ge=0)
    logit_scale: float = value(1 / 0.07, "assumed", "start of 1/tau in eq 4 (CLIP's)", gt=0)
    pseudo_gloss_loss: Literal["cross_entropy", "sigmoid_cross_entropy"] = value(
        "cross_entropy", "stated", "eq 3's scores against their targets, as they are or (released) behind a sigmoid"
    )
    contrastive_loss: Literal["cross_entropy", "divergence"] = value(
        "cross_entropy", "stated", "eq 4: CLIP's, or (released) the divergence from a softened identity"
    )
    identity_sharpness: float = value(
        10.0, "assumed", "s of the divergence's targets, softmax(s x identity) along rows (GFSLT-VLP's)", gt=0
    )
    average_padding: bool = value(False, "assumed", "whether eq 4's averages run over padding, too (released), and so "
                                  "depend on the clips of a forward pass")  # fmt: skip


class TrainingConfig(Section):
    """How all stages are carried out."""

    precision: Literal["auto", "fp32", "bf16", "fp16"] = value(
        "auto", "assumed", "of forward passes; auto: bf16 where the device is fast in it, fp16 on older GPUs, else fp32"
    )
    checkpoint_minutes: float = value(10.0, "assumed", "minutes between two checkpoints within an epoch; each epoch "
                                      "ends with one; 0: after every step", ge=0)  # fmt: skip


class DecodeConfig(Section):
    """Beam search."""

    num_beams: int = value(4, "released", "beams", ge=1)
    max_new_tokens: int = value(100, "assumed", "tokens of a translation at most", ge=1)
    length_penalty: float = value(1.0, "assumed", "exponent of the length in a beam's score")
    batch_size: int = value(16, "assumed", "clips decoded together", ge=1)


class ScoresConfig(Section):
    """What is done to both sides before they are compared (the rest follows from the corpus's language)."""

    append: str = value("", "assumed", 'text behind every hypothesis and every reference (released: " .")')


class Recipe(Section):
    """Everything that makes a run what it is."""

    name: str = value("hfa-phoenix14t", "assumed", "name of the recipe")
    seed: int = value(0, "assumed", "of weights, order of clips, augmentation and dropout", ge=0)
    data: DataConfig = DataConfig()
    text: TextConfig = TextConfig()
    vision: VisionConfig = VisionConfig()
    temporal: TemporalConfig = TemporalConfig()
    language: LanguageConfig = LanguageConfig()
    pseudo_glosses: PseudoGlossConfig = PseudoGlossConfig()
    denoise: TextStageConfig = TextStageConfig()
    pretrain: PretrainConfig = PretrainConfig()
    finetune1: StageConfig = StageConfig()
    finetune2: LastStageConfig = LastStageConfig()
    training: TrainingConfig = TrainingConfig()
    decode: DecodeConfig = DecodeConfig()
    scores: ScoresConfig = ScoresConfig()
