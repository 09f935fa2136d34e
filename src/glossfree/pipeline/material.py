"""A prepared corpus as a recipe uses it: tokenizer, pseudo-glosses, prototypes, and the batches of each stage."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from glossfree.corpora.manifest import Manifest, PackedClip, unique_texts
from glossfree.errors import CorpusError, name_some
from glossfree.objectives.base import GLOSS_NEEDS
from glossfree.objectives.gloss_ctc import GLOSSES
from glossfree.objectives.gloss_translation import GLOSS_LABELS
from glossfree.objectives.pseudo_gloss import PSEUDO_GLOSSES as NEEDED_GLOSSES
from glossfree.objectives.pseudo_gloss import PseudoGloss
from glossfree.pipeline.denoising import DenoisingLoader, noise_of
from glossfree.pipeline.fitting import check_frames, corpus_of, for_corpus, language_of
from glossfree.pipeline.glosses import gloss_ids, gloss_vocabulary_of, padded_rows, words_of_glosses
from glossfree.pipeline.sentence_vectors import sentence_vectors
from glossfree.pipeline.weights import LANGUAGE_MODEL, TOKENIZER, folder_of
from glossfree.recipe.schema import Recipe, StageConfig
from glossfree.scoring.conventions import Convention, convention_for
from glossfree.text.glosses import GlossVocabulary, gloss_sentence
from glossfree.text.language_model import LanguageModelTokenizer
from glossfree.text.pseudo_glosses import PSEUDO_GLOSSES, ClipTargets, PseudoGlosses
from glossfree.text.tokenizer import SentenceTokenizer, Tokenizer
from glossfree.text.vectors import PROTOTYPES, load_vectors
from glossfree.training.device import best_device
from glossfree.training.processes import Processes
from glossfree.training.stage import Loader
from glossfree.video.dataset import ClipDataset, FeatureCache, FeatureDataset, FrameCache
from glossfree.video.features import FeatureStore
from glossfree.video.frames import View
from glossfree.video.keypoints import KeypointStore, stored_clips
from glossfree.video.sampler import ClipLoader, ClipSampler
from glossfree.video.timeline import Sampling


@dataclass(frozen=True)
class Material:
    """A corpus as a recipe uses it. `glosses` (pseudo-glosses) and their `vectors` (P, 300) only if a stage needs
    them, and so `gloss_vocabulary`, the annotated ones, and `sentence_vectors`, which the recipe names."""

    recipe: Recipe
    manifest: Manifest
    tokenizer: Tokenizer
    glosses: PseudoGlosses | None = None
    vectors: Tensor | None = None
    store: FeatureStore | None = None  # features to train from in place of video
    gloss_vocabulary: GlossVocabulary | None = None
    keypoints: KeypointStore | None = None  # for a recipe with a second stream
    sentence_vectors: dict[str, Tensor] | None = field(default=None, repr=False, compare=False)
    # all stages read the same frames or features: what one has read of a split stays in memory for the next
    frame_caches: dict[str, FrameCache] = field(default_factory=dict, repr=False, compare=False)
    feature_caches: dict[tuple[str, FeatureStore], FeatureCache] = field(
        default_factory=dict, repr=False, compare=False
    )

    def kept_ids(self) -> list[int]:
        """The row of each token in the table of the tokenizer that the recipe names; [] if it names none."""
        if not self.recipe.text.tokenizer:
            return []
        assert isinstance(self.tokenizer, SentenceTokenizer)
        return self.tokenizer.rows_in(_original(self.recipe, self.tokenizer.language))

    def token_ids(self, sentences: Sequence[str]) -> list[Tensor]:
        """Sentences -> token ids (L,) each."""
        return [torch.tensor(self.encode(text)) for text in sentences]

    def encode(self, text: str) -> list[int]:
        """A sentence -> at most `text.max_tokens` ids; the special tokens at its end are never cut off."""
        ids, kept = self.tokenizer.encode(text), self.tokenizer.special_tokens
        limit = self.recipe.text.max_tokens
        return ids if len(ids) <= limit else [*ids[: limit - kept], *ids[-kept:]]

    @property
    def convention(self) -> Convention:
        """How its sentences are scored."""
        return convention_for(self.manifest.language, append=self.recipe.scores.append)

    def document_frequencies(self) -> Tensor | None:
        """(P,) the share of distinct training sentences that contain each pseudo-gloss; None without glosses."""
        if self.glosses is None:
            return None
        sentences = unique_texts(self.clips("train"))
        counts = np.zeros(len(self.glosses), np.float32)
        for text in sentences:
            counts += self.glosses.targets(text)
        return torch.from_numpy(counts / len(sentences))

    def clips(self, split: str) -> tuple[PackedClip, ...]:
        """The clips of a split; () for the dev split of a corpus that has none."""
        if split == "dev" and not any(clip.split == "dev" for clip in self.manifest.clips):
            return ()
        return self.manifest.split(split)

    def check_pairs(self, stage: str) -> None:
        """Raise CorpusError if a split has a single clip: the stage compares each clip with others."""
        for split in ("train", "dev"):
            clips = self.clips(split)
            if len(clips) == 1:
                raise CorpusError(
                    f"{clips[0].id} is the only clip of {split}: {stage} compares each clip with others",
                    where=self.manifest.folder,
                    remedy=f"give it more clips, or {stage}.epochs = 0" + (", or no dev split" * (split == "dev")),
                )

    def loader(self, split: str, stage: StageConfig) -> Loader | None:
        """The batches of a split for a stage, "train" shuffled and augmented, "dev" neither; None without clips.

        For segment features see `feature_loader`.
        """
        if stage.batches == "sentences":
            return self._text_loader(split, stage)
        return self.clip_loader(
            split,
            stage.batch_size,
            training=split == "train",
            augment=split == "train" and stage.augment,
            min_clips=_min_clips(stage),
            needs=stage.needs,
        )

    def _text_loader(self, split: str, stage: StageConfig) -> Loader | None:
        """Noised sentences of a split."""
        clips = [clip for clip in self.clips(split) if clip.glosses or not stage.reads_glosses]
        sentences = unique_texts(clips)
        if not sentences:
            return None
        assert isinstance(self.tokenizer, SentenceTokenizer)  # a language encoder reads them
        return DenoisingLoader(
            sentences,
            self.tokenizer,
            batch_size=stage.batch_size,
            noise=noise_of(stage, self.glosses, words_of_glosses(clips)),
            shuffle=split == "train",
            seed=self.recipe.seed,
            rank=Processes.here().rank,
            world_size=Processes.here().size,
        )

    def clip_loader(
        self,
        split: str,
        batch_size: int,
        *,
        training: bool = False,
        augment: bool = False,
        may_skip: bool = False,
        min_clips: int = 1,
        needs: Collection[str] = (),
    ) -> Loader | None:
        """Clips of a split from video, shuffled in training; `needs`: what objectives ask for (`objectives.base.Need`).

        A clip that cannot be read is an error, except in training or with `may_skip`: then `data.on_bad_clip` decides.
        Raises CorpusError now, not hours later, if files are missing.
        """
        clips = self.clips(split)
        if not clips:
            return None
        on_bad_clip = self.recipe.data.on_bad_clip if training or may_skip else "stop"
        targets, points = self._targets(clips, needs), self.keypoints
        cache_bytes = self.recipe.data.cache_megabytes * 1_000_000
        if points is not None:
            points.check(clips, on_bad_clip)
        if self.store is not None:
            seen = sampling_of(self.recipe), view_of(self.recipe)
            stored = stored_clips(clips, self.store, points, *seen, self.encode, targets, on_bad_clip, cache_bytes)
            stored.cache = self.feature_caches.setdefault((split, self.store), stored.cache)
            return self._loader(stored, batch_size, min_clips, training)
        if on_bad_clip == "stop":
            self._check_files(clips)
        dataset = ClipDataset(
            self.manifest.folder,
            clips,
            view_of(self.recipe),
            sampling=sampling_of(self.recipe),
            encode=self.encode,
            targets=targets,
            augment=augment,
            seed=self.recipe.seed,
            cache_bytes=cache_bytes,
            crop_later=best_device().type != "cpu",
            on_bad_clip=on_bad_clip,
            keypoints=None if points is None else points.read,
        )
        dataset.cache = self.frame_caches.setdefault(split, dataset.cache)
        return self._loader(dataset, batch_size, min_clips, training)

    def feature_loader(self, split: str, stage: StageConfig, features: dict[str, Tensor]) -> Loader:
        """Clips of a split from computed segment features (S, E); `data.on_bad_clip` decides on clips without any."""
        training, clips = split == "train", self.clips(split)
        dataset = FeatureDataset(
            clips,
            {clip_id: len(rows) for clip_id, rows in features.items()},
            lambda clip: features[clip.id],
            level="segment_features",
            encode=self.encode,
            targets=self._targets(clips, stage.needs),
            on_bad_clip=self.recipe.data.on_bad_clip if training else "stop",
        )
        return self._loader(dataset, stage.batch_size, _min_clips(stage), training)

    def _check_files(self, clips: Sequence[PackedClip]) -> None:
        missing = [clip.id for clip in clips if clip.num_bytes(self.manifest.folder) is None]
        if missing:
            raise CorpusError(
                f"{len(missing)} of {len(clips)} packed clips are missing: {name_some(missing)}",
                where=self.manifest.folder,
                remedy="copy the folder whole, or pack them again with glossfree prepare",
            )

    def _targets(self, clips: Sequence[PackedClip], needs: Collection[str]) -> dict[str, Mapping[str, np.ndarray]]:
        """What a batch contains besides frames and labels, by name, for each clip."""
        targets: dict[str, Mapping[str, np.ndarray]] = {}
        if NEEDED_GLOSSES in needs:
            assert self.glosses is not None
            targets[NEEDED_GLOSSES] = ClipTargets(self.glosses, {clip.id: clip.text for clip in clips})
        if GLOSSES in needs:
            assert self.gloss_vocabulary is not None
            targets[GLOSSES] = gloss_ids(self.gloss_vocabulary, clips)
        if GLOSS_LABELS in needs:
            rows = [self.encode(gloss_sentence(clip.glosses)) if clip.glosses else [] for clip in clips]
            targets[GLOSS_LABELS] = padded_rows(clips, rows)
        return targets

    def _loader(self, dataset: ClipDataset | FeatureDataset, batch_size: int, min_clips: int, training: bool) -> Loader:
        data = self.recipe.data
        sampler = ClipSampler(
            dataset.lengths,
            batch_size=batch_size,
            shuffle=training,
            seed=self.recipe.seed,
            max_frames_per_batch=data.max_frames_per_batch,
            bucket_width=data.bucket_width,
            min_clips=min_clips,
            rank=Processes.here().rank,
            world_size=Processes.here().size,
        )
        workers = data.num_workers if isinstance(dataset, ClipDataset) else 0
        return ClipLoader(dataset, sampler, num_workers=workers, seed=self.recipe.seed)


def _min_clips(stage: StageConfig) -> int:
    """The fewest clips of a step: with a single one there is nothing to compare."""
    return 2 if stage.compares_clips else 1


def sampling_of(recipe: Recipe) -> Sampling:
    """The recipe's settings of time -> Sampling."""
    return Sampling(recipe.data.fps, recipe.data.stride, recipe.data.max_frames)


def view_of(recipe: Recipe) -> View:
    """The recipe's settings of frames -> View."""
    data = recipe.data
    return View(
        frame_size=data.frame_size,
        crop_size=data.crop_size,
        augment_probability=data.augment_probability,
        rotation=data.rotation,
        resize=data.resize,
        translation=data.translation,
    )


def gather(recipe: Recipe, folder: Path, *, tokenizer: Tokenizer | None = None, to_train: bool = True) -> Material:
    """Recipe and prepared corpus -> Material. `tokenizer`: that of the run that this one starts from.

    `to_train`: the material's recipe gets rate and language of the corpus (see `for_corpus`). Raises CorpusError if the
    recipe needs pseudo-glosses and the corpus has none or, `to_train`, those of other splits, no annotated glosses that
    it needs, or clips of several rates; RecipeError if its frames have another size or fit; what `sentence_vectors`
    raises.
    """
    manifest = corpus_of(recipe, Manifest.load(folder))
    check_frames(recipe, manifest)
    if to_train:
        recipe = for_corpus(recipe, manifest)
    glosses = vectors = None
    if NEEDED_GLOSSES in recipe.needs:
        all_glosses = PseudoGlosses.load(_glosses_file(folder, PSEUDO_GLOSSES))
        glosses = glosses_of(recipe, manifest)
        if to_train:
            _check_splits(recipe, glosses.splits, folder)
        rows = load_vectors(_glosses_file(folder, PROTOTYPES), all_glosses.inventory)
        vectors = torch.as_tensor(rows[np.isin(all_glosses.inventory, glosses.inventory)])
    vocabulary = gloss_vocabulary_of(manifest) if to_train and recipe.needs & GLOSS_NEEDS else None
    texts = unique_texts([clip for clip in manifest.clips if clip.split in ("train", "dev")])
    named = sentence_vectors(recipe, texts) if to_train else None
    if tokenizer is None:
        tokenizer = tokenizer_of(recipe, manifest)
    return Material(
        recipe,
        manifest,
        tokenizer,
        glosses,
        vectors,
        gloss_vocabulary=vocabulary,
        keypoints=KeypointStore.of(folder, recipe.keypoints.joints_read) if recipe.keypoints.joints_read else None,
        sentence_vectors=named,
    )


def _check_splits(recipe: Recipe, actual: Sequence[str], folder: Path) -> None:
    """Raise CorpusError unless the inventory was made from the splits that the recipe names, by default train."""
    options = recipe.objective(PseudoGloss)
    expected: tuple[str, ...] = ("train",)
    reason = "the recipe needs those of "
    if isinstance(options, PseudoGloss):
        expected, reason = options.splits, "the recipe's objective pseudo_gloss says splits = "
    if set(expected) != set(actual):
        raise CorpusError(
            f"made from {', '.join(actual)}; {reason}{', '.join(expected)}",
            where=folder / PSEUDO_GLOSSES,
            remedy=f"make it again: glossfree glosses {folder} --splits {','.join(expected)}",
        )


def glosses_of(recipe: Recipe, manifest: Manifest) -> PseudoGlosses:
    """The pseudo-glosses of a prepared corpus; with data.train_clips, those of the sentences that are left.

    Raises CorpusError if it has none yet.
    """
    glosses = PseudoGlosses.load(_glosses_file(manifest.folder, PSEUDO_GLOSSES))
    if not recipe.data.train_clips:
        return glosses
    return glosses.limited_to(clip.text for clip in manifest if clip.split in glosses.splits)


def tokenizer_of(recipe: Recipe, manifest: Manifest) -> Tokenizer:
    """The tokenizer that the recipe names, trimmed to the training sentences of a corpus, or one trained on them.

    The tokenizer that comes with the decoder's weights is used as it is. Glosses count as sentences if the recipe
    reads or writes them as such.
    """
    if recipe.decoder.brings_tokenizer and recipe.decoder.source():
        return LanguageModelTokenizer.load(folder_of(recipe.decoder.source(), LANGUAGE_MODEL))
    text, sentences = recipe.text, [clip.text for clip in manifest.split("train")]
    if recipe.reads_gloss_texts:
        sentences += [gloss_sentence(clip.glosses) for clip in manifest.split("train")]
    if not text.tokenizer:
        return SentenceTokenizer.train(sentences, text.num_pieces, language_of(recipe, manifest))
    return _original(recipe, language_of(recipe, manifest)).trimmed(sentences)[0]


def _original(recipe: Recipe, language: str) -> SentenceTokenizer:
    return SentenceTokenizer.load(folder_of(recipe.text.tokenizer, TOKENIZER), language)


def _glosses_file(folder: Path, name: str) -> Path:
    """The path of a file that `glossfree glosses` writes. Raises CorpusError if it is missing."""
    if not (folder / name).is_file():
        raise CorpusError(f"no {name}", where=folder, remedy=f"make it with: glossfree glosses {folder}")
    return folder / name
