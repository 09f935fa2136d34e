"""The values of a recipe: section 4.2 of the paper, and any other method, typed and frozen.

Every field has a meaning, a unit and a standing. Choices (a backbone, a decoder, an objective) declare their values in
their own files.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Literal, get_args

from pydantic import Field, SerializeAsAny

from glossfree.models.adapters import Adapters
from glossfree.models.backbones import BACKBONES
from glossfree.models.backbones.dinov2 import Dinov2
from glossfree.models.choices import Backbone, Decoding, Keypoints, Language, Temporal
from glossfree.models.decoders import DECODERS
from glossfree.models.decoders.mbart import MBartDecoding
from glossfree.models.keypoints import KEYPOINTS
from glossfree.models.keypoints.none import NoKeypoints
from glossfree.models.language import LANGUAGE
from glossfree.models.language.mbart import MBart
from glossfree.models.temporal import TEMPORAL
from glossfree.models.temporal.local_attention import LocalAttention
from glossfree.objectives.base import GLOSS_NEEDS, TEXT_NEEDS, Need, Objective
from glossfree.objectives.pseudo_gloss import PseudoGloss
from glossfree.recipe.decoding import DecodeConfig
from glossfree.recipe.frames import DataConfig
from glossfree.settings import MOST_TOKENS, Section, value

# tables with a `kind`: the entries to choose from, and the default
CHOICES: dict[str, tuple[Mapping[str, type[Section]], str]] = {
    "vision": (BACKBONES, "dinov2"),
    "temporal": (TEMPORAL, "local_attention"),
    "language": (LANGUAGE, "mbart"),
    "decoder": (DECODERS, "mbart"),
    "keypoints": (KEYPOINTS, "none"),
}
Batches = Literal["clips", "sentences", "segments"]
Supervision = Literal["gloss-free", "weak", "glosses"]  # the three groups of Table 1
Part = Literal["vision", "temporal", "language", "mapper", "decoder", "keypoints"]


class TextConfig(Section):
    """Sentences to token ids."""

    language: str = value("", "derived", "mBART's code of the sentences' language; empty: of the corpus's language")
    tokenizer: str = value(
        "", "derived", "folder or hub:owner/name, trimmed to the training sentences; empty: train pieces on them"
    )
    num_pieces: int = value(500, "assumed", "pieces when they are trained on the corpus", ge=32, le=MOST_TOKENS)
    vocabulary_size: int = value(2172, "derived", "tokens without a corpus, for parameter counts", ge=8, le=MOST_TOKENS)
    max_tokens: int = value(128, "assumed", "tokens of a sentence, special ones included", ge=4)


class StageConfig(Section):
    """A stage of training: its losses, the parts that train, and how (section 4.2)."""

    name: str = Field("", exclude=True)
    batches: Batches = value(
        "clips", "stated", "clips; noised sentences; or segment features of clips, computed once: nothing below trains"
    )
    start: str = value(
        "", "assumed", 'stage whose weights it starts from; empty: the one before; "none": the pretrained weights'
    )
    objectives: dict[str, SerializeAsAny[Objective]] = value({}, "stated", "losses by name, each with its options")
    train: tuple[Part, ...] = value(get_args(Part)[:-1], "stated", "parts that train; keypoints if named", min_length=1)
    adapters: bool = value(True, "stated", "train adapters, and freeze the weights they adapt; false: train all")
    mapper: bool = value(False, "stated", "a mapper stands before the language encoder")
    epochs: int = value(100, "stated", "epochs; 0 skips the stage", ge=0)
    batch_size: int = value(16, "stated", "clips (or sentences) per optimiser step", ge=1)
    optimizer: Literal["adamw", "adam", "sgd"] = value("adamw", "stated", "optimiser")
    momentum: float = value(0.9, "assumed", "of sgd", ge=0, lt=1)
    learning_rate: float = value(6e-4, "released", "peak of the schedule", gt=0)
    learning_rate_factors: dict[str, Annotated[float, Field(ge=0)]] = value(
        {}, "assumed", "factors of the learning rate by part of the model or by objective; others: 1"
    )
    schedule: Literal["one_cycle", "cosine", "constant"] = value(
        "one_cycle",
        "stated",
        "after the warm-up down to almost 0 along a cosine, or constant; one_cycle warms up along a cosine, the others "
        "along a line",
    )
    warmup: float = value(5.0, "stated", "epochs in which the learning rate rises, at most half of all", ge=0)
    weight_decay: float = value(0.01, "released", "of the optimiser", ge=0)
    max_grad_norm: float = value(1.0, "stated", "gradient norm is clipped here", gt=0)
    keep: Literal["loss", "bleu4", "rouge_l", "chrf", "last"] = value(
        "loss", "stated", "whose weights are kept: epoch of lowest dev loss, of best dev score (beam search), or last"
    )
    augment: bool = value(True, "stated", "random crop, rotation, resize, translation")
    noise: Literal["spans", "tail", "words", "glosses"] = value(
        "spans",
        "assumed",
        "batches of sentences read masked spans (mBART's), a masked end, their pseudo-glosses, or annotated glosses",
    )
    mask_ratio: float = value(
        0.35, "assumed", "share of words masked in batches of sentences (mBART's); at the end: at most", ge=0, lt=1
    )
    mean_span: float = value(3.5, "assumed", "words per masked span, Poisson (mBART's)", gt=0)
    word_order: Literal["shuffled", "kept"] = value(
        "shuffled", "assumed", "pseudo-glosses as words: a set in random order, or as in the sentence"
    )
    missing_rate: float = value(
        0.3, "assumed", "share of a sentence's pseudo-glosses left out (1 - a head's recall)", ge=0, lt=1
    )
    wrong_rate: float = value(
        0.3, "assumed", "wrong pseudo-glosses added, as a share of the sentence's own", ge=0, le=10
    )

    @property
    def used_objectives(self) -> dict[str, Objective]:
        """The objectives with a weight above 0."""
        return {name: each for name, each in self.objectives.items() if each.weight}

    @property
    def compares_clips(self) -> bool:
        """Whether a loss compares clips with each other."""
        return any(each.compares_clips for each in self.used_objectives.values())

    @property
    def needs(self) -> set[Need]:
        """The needs of its objectives besides clips and sentences."""
        return {need for each in self.used_objectives.values() for need in each.needs}

    @property
    def unused(self) -> set[str]:
        """Keys of its table that nothing reads: of noise that it does not have, and of objectives of weight 0."""
        noise = {"mask_ratio", "mean_span", "word_order", "missing_rate", "wrong_rate"}
        read = {"spans": {"mask_ratio", "mean_span"}, "tail": {"mask_ratio"}, "glosses": set[str]()}
        if self.batches == "sentences":
            noise -= read.get(self.noise, {"word_order", "missing_rate", "wrong_rate"})
        else:
            noise |= {"noise"}
        off = [(name, each) for name, each in self.objectives.items() if not each.weight]
        return noise | {
            f"objectives.{name}.{key}" for name, each in off for key in each.model_dump() if key != "weight"
        }

    @property
    def reads_words(self) -> bool:
        """Whether it reads the pseudo-glosses of sentences."""
        return self.batches == "sentences" and self.noise == "words"

    @property
    def reads_glosses(self) -> bool:
        """Whether it reads the annotated glosses of sentences."""
        return self.batches == "sentences" and self.noise == "glosses"

    @property
    def writes_sentences(self) -> bool:
        """Whether it trains translation of clips."""
        return self.batches != "sentences" and any(each.level == "logits" for each in self.used_objectives.values())

    @property
    def reached_parts(self) -> set[str]:
        """The parts of the model that get gradients."""
        if self.batches == "sentences":
            return {"language", "decoder"}
        levels = {each.level for each in self.used_objectives.values()}
        decodes = "logits" in levels or any(each.decodes for each in self.used_objectives.values())
        parts = {"decoder"} if decodes else set[str]()
        if levels & {"video", "logits"}:
            parts |= {"language", "mapper"} if self.mapper else {"language"}
        if self.batches == "clips":
            parts |= {"vision"} if levels == {"frame"} else {"vision", "temporal", "keypoints"}
        return parts

    def problems(self) -> Iterator[str]:
        """Contradictions within the stage."""
        for name, objective in self.objectives.items():
            yield from (f"objectives.{name}.{problem}" for problem in objective.problems())
        if not self.epochs:
            return
        levels = {name: each.level for name, each in self.used_objectives.items()}
        if not levels:
            yield "objectives: none has a weight above 0, so there is nothing to minimise"
        elif not self.reached_parts.intersection(self.train):
            yield f"train: no loss of this stage depends on {', '.join(self.train)}"
        if self.compares_clips and self.batch_size == 1:
            yield "batch_size 1 has no negatives: losses that compare clips would be 0"
        if self.batches == "segments":
            below = [part for part in ("vision", "temporal", "keypoints") if part in self.train]
            if below:
                yield f'batches "segments" needs {" and ".join(below)} left out of train: cached features cannot change'
            if self.augment:
                yield 'batches "segments" needs augment = false: cached frames cannot change between epochs'
        for name, level in levels.items():
            missing = {"clips": (), "segments": ("frame",), "sentences": ("frame", "segment", "video")}[self.batches]
            if level in missing:
                yield f'objectives.{name} looks at {level} features, batches "{self.batches}" have none'
            if self.used_objectives[name].compares_streams and self.batches != "clips":
                yield f'objectives.{name} looks at both streams, and batches "{self.batches}" have none'
        if self.noise != "spans" and self.batches != "sentences":
            yield f'noise "{self.noise}" needs batches = "sentences", not "{self.batches}"'
        prefixed = [name for name, each in self.used_objectives.items() if each.has_prefix]
        if len(prefixed) > 1:
            yield f"objectives: each of {', '.join(prefixed)} puts a token of its own in front of the segments"
        if prefixed and self.writes_sentences:
            yield f"objectives.{prefixed[0]}: the decoder would train with its token in front, and translate without it"
        if self.keep not in ("loss", "last") and not self.writes_sentences:
            yield f'keep "{self.keep}" needs an objective on logits: this stage does not learn to translate'


class TrainingConfig(Section):
    """Settings for all stages."""

    precision: Literal["auto", "fp32", "bf16", "fp16"] = value(
        "auto", "assumed", "of forward passes; auto: bf16 on GPUs that compute in it, fp16 on older ones, else fp32"
    )
    compile: bool = value(
        False, "assumed", "compile the backbone's layers with torch.compile, for GPUs; a CPU gains nothing"
    )
    checkpoint_minutes: float = value(
        10.0, "assumed", "minutes between checkpoints within an epoch, each of which ends with one; 0: every step", ge=0
    )


class ScoresConfig(Section):
    """Changes to hypotheses and references before scoring (the rest depends on the corpus's language)."""

    append: str = value("", "assumed", 'text after every hypothesis and reference (released: " .")')


class Recipe(Section):
    """All settings of a run."""

    name: str = value("", "assumed", "name of the recipe")
    summary: str = value("", "assumed", "what it is, in one line")
    paper: str = value("", "stated", "who published the method, and when")
    supervision: Supervision = value(
        "gloss-free",
        "stated",
        "besides sentences: nothing, a proxy for glosses that is made from them (weak), or a person's glosses",
    )
    seed: int = value(0, "assumed", "of weights, order of clips, augmentation and dropout", ge=0)
    data: DataConfig = DataConfig()
    text: TextConfig = TextConfig()
    vision: SerializeAsAny[Backbone] = Dinov2()
    temporal: SerializeAsAny[Temporal] = LocalAttention()
    language: SerializeAsAny[Language] = MBart()
    decoder: SerializeAsAny[Decoding] = MBartDecoding()
    keypoints: SerializeAsAny[Keypoints] = NoKeypoints()
    stages: tuple[StageConfig, ...] = value((), "stated", "the stages in their order, each with a table of its name")
    training: TrainingConfig = TrainingConfig()
    decode: DecodeConfig = DecodeConfig()
    scores: ScoresConfig = ScoresConfig()

    def stage(self, name: str) -> StageConfig:
        """The stage of this name. Raises KeyError."""
        return {stage.name: stage for stage in self.stages}[name]

    @property
    def planned(self) -> tuple[StageConfig, ...]:
        """The stages with epochs."""
        return tuple(stage for stage in self.stages if stage.epochs)

    @property
    def needs(self) -> set[Need]:
        """The needs of the objectives of all planned stages, and of the stages that read glosses of sentences."""
        words: set[Need] = {"pseudo_glosses"} if any(stage.reads_words for stage in self.planned) else set()
        glosses: set[Need] = {"gloss_labels"} if any(stage.reads_glosses for stage in self.planned) else set()
        return words | glosses | {need for stage in self.planned for need in stage.needs}

    @property
    def reads_gloss_texts(self) -> bool:
        """Whether annotated glosses are read or written as sentences."""
        return "gloss_labels" in self.needs

    def was_given_less_than(self, other: Recipe) -> bool:
        """Whether its supervision is weaker than another's: then weights of the other do not belong in its runs."""
        ranks = get_args(Supervision)
        return ranks.index(self.supervision) < ranks.index(other.supervision)

    def translates(self, stage: StageConfig) -> bool:
        """Whether a stage trains what writes the sentences of clips."""
        if self.decode.source == "words":
            return stage.reads_words and any(each.level == "logits" for each in stage.used_objectives.values())
        return stage.writes_sentences

    def objective(self, kind: type[Objective]) -> Objective | None:
        """The last planned objective of this kind, or None."""
        uses = [each for stage in self.planned for each in stage.used_objectives.values() if isinstance(each, kind)]
        return uses[-1] if uses else None

    def parents(self, name: str) -> tuple[str, ...]:
        """The planned stages that a stage builds on, in order of training."""
        before: list[str] = []
        for stage in self.planned:
            if stage.name == name:
                break
            before.append(stage.name)
        parent = self.stage(name).start or (before[-1] if before else "none")
        return (*self.parents(parent), parent) if parent in before else ()

    def lineage(self, name: str) -> tuple[StageConfig, ...]:
        """The planned stages that a stage builds on, and the stage itself."""
        return tuple(map(self.stage, (*self.parents(name), name)))

    def problems(self) -> Iterator[str]:
        """Contradictions between values that are valid on their own."""
        for name in CHOICES:
            part = getattr(self, name)
            yield from (f"{name}.{problem}" for problem in part.problems())
            if getattr(part, "train", "") == "adapters" and not isinstance(part, Adapters):
                yield f'{name}.train "adapters": {part.kind} has no layers for them, only "all" and "none"'
        yield from self.decoder.problems_with(self.language)
        for name in ("language", "decoder"):
            positions = getattr(getattr(self, name), "max_positions", MOST_TOKENS)
            if self.text.max_tokens > positions:
                yield f"text.max_tokens {self.text.max_tokens} exceeds {name}.max_positions {positions}"
        data = self.data
        if data.crop_size > data.frame_size:
            yield f"data.crop_size {data.crop_size} exceeds data.frame_size {data.frame_size}"
        if data.crop_size % self.vision.patch_size:
            yield f"data.crop_size {data.crop_size} is not a multiple of vision.patch_size {self.vision.patch_size}"
        if self.vision.features == "cached" and self.vision.train != "none":
            yield f'vision.features "cached" needs vision.train = "none", not "{self.vision.train}"'
        if self.keypoints.joints_read and not any("keypoints" in stage.train for stage in self.planned):
            yield f'keypoints.kind "{self.keypoints.kind}": no stage names keypoints in its train'
        if not self.keypoints.joints_read:
            for stage in self.planned:
                if "keypoints" in stage.train:
                    yield f'{stage.name}.train names keypoints, and keypoints.kind is "{self.keypoints.kind}"'
                for name, each in stage.used_objectives.items():
                    if each.compares_streams:
                        yield f'{stage.name}.objectives.{name} looks at keypoints: set keypoints.kind = "joints"'
        if self.supervision != "glosses":
            for stage in self.planned:
                uses = [name for name, each in stage.used_objectives.items() if GLOSS_NEEDS.intersection(each.needs)]
                problem = f'trains on annotated glosses: only with supervision = "glosses", not "{self.supervision}"'
                yield from (f"{stage.name}.objectives.{name} {problem}" for name in uses)
                if stage.reads_glosses:
                    yield f'{stage.name}.noise "glosses" {problem}'
        for name, weights in (("language", self.language.weights), ("decoder", self.decoder.source())):
            if weights and bool(self.text.tokenizer) == (own := name == "decoder" and self.decoder.brings_tokenizer):
                yield f"{name}.weights {'has its own: no' if own else 'needs'} text.tokenizer, of the ids of its table"
        if self.decode.source == "words" and not any(map(self._finds_words_for, self.planned)):
            words = (
                'a stage with batches = "sentences" and noise = "words" that builds on one with objectives.pseudo_gloss'
            )
            yield f'decode.source "words" needs {words}'
        earlier: list[StageConfig] = []
        for stage in self.stages:
            yield from (f"{stage.name}.{problem}" for problem in stage.problems())
            if stage.epochs:
                yield from (f"{stage.name}{problem}" for problem in self._problems_of(stage, earlier))
                earlier.append(stage)

    def _finds_words_for(self, stage: StageConfig) -> bool:
        """Whether a stage that learns to write from words builds on one that finds them in videos."""
        used = [each for before in self.lineage(stage.name) for each in before.used_objectives.values()]
        return self.translates(stage) and any(isinstance(each, PseudoGloss) for each in used)

    def _problems_of(self, stage: StageConfig, earlier: list[StageConfig]) -> Iterator[str]:
        """Contradictions between a planned stage and the model, or earlier stages."""
        if stage.start not in ("", "none", *(each.name for each in earlier)):
            yield f".start {stage.start!r} is not an earlier planned stage"
        if self.vision.features == "cached" and stage.augment and stage.batches != "sentences":
            yield '.augment: vision.features "cached" needs false: each frame has one fixed feature'
        reads_text = stage.needs & TEXT_NEEDS or any(each.reads_text for each in stage.used_objectives.values())
        if (stage.batches == "sentences" or reads_text) and not self.language.reads_text:
            yield f': language.kind "{self.language.kind}" does not read sentences, which it needs'
        for name in stage.learning_rate_factors:
            if name not in (*get_args(Part), *stage.objectives):
                yield f".learning_rate_factors: {name!r} is neither a part nor an objective of it"
        vision = self.vision
        if not stage.adapters and any(each.adapters for each in earlier):
            yield ".adapters = false after a stage that added them: adapters stay"
        elif not stage.adapters and vision.features != "cached" and "vision" in stage.reached_parts & set(stage.train):
            remedy = "set it to true, or leave vision out of train"
            savings = {"moving_patches below 1": vision.neighbours, "frozen_precision bf16": vision.frozen_in_bf16}
            for name, is_on in savings.items():
                if is_on:
                    yield f".adapters = false trains all of vision, and vision.{name} is for frozen blocks: {remedy}"
        if not stage.mapper and any(each.mapper for each in earlier):
            yield ".mapper = false after a stage that added it: the mapper stays"
