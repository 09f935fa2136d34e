"""From a video to its sentence: tokens a second with a KV cache and without, and one clip end to end, cold and warm.

The paper's model at full size with random weights. Such a model may end a sentence at any moment or never: here `</s>`
is out of its reach, so that every translation has TOKENS tokens. With and without cache run through the model's own
`translate`, in turns, and must write the same tokens. End to end: a run with these weights is exported as any other is;
cold is a process of the command line from its start to its end, which checks the folder's hashes and loads 1.6 GB; warm
is the next clip of the same SignTranslator. About 5 minutes on two cores, and 5 GB of disk for that time.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice, product
from pathlib import Path
from statistics import median
from typing import Any

import torch
from sentencepiece import sentencepiece_model_pb2
from torch import Tensor
from transformers import MBartForConditionalGeneration

from benchmarks.full_size import RECIPE, assembled, pseudo_gloss
from benchmarks.loader import signer
from benchmarks.processes import Finished, finish
from benchmarks.timing import in_turns, machine, table, wall_seconds
from glossfree.console import Silent
from glossfree.models.choices import Beams
from glossfree.models.decoders.mbart import MBartDecoder
from glossfree.models.hierarchy import TranslationModel
from glossfree.models.tokens import CODES_AND_MASK, EOS_ID
from glossfree.models.weights import state
from glossfree.pipeline.assemble import adapt, put_mapper
from glossfree.recipe.files import load_recipe
from glossfree.recipe.schema import Recipe
from glossfree.recipe.values import dump_recipe
from glossfree.text.pseudo_glosses import PSEUDO_GLOSSES, PseudoGlosses
from glossfree.text.tokenizer import SentenceTokenizer
from glossfree.text.unigram import CODES_25, FILE_SPECIALS, SPECIALS
from glossfree.training.run import Run, save_tensors
from glossfree.translator import TOKENIZER, SignTranslator, export_model
from glossfree.video.pack import write_clip

TOKENS, BEAMS, FRAMES, SEGMENTS = 40, 4, 58, 29
BATCHES = (1, 4)  # clips that are decoded together
ROUNDS, STARTS = 3, 3  # turns with and without cache; processes, and clips of a warm translator
NEVER = -1e4  # a bias of the logits that nothing makes up for
SYLLABLES = ("ba", "be", "bo", "da", "de", "do", "ga", "ge", "go", "la", "le", "lo", "ma", "me", "mo", "na", "ne", "no")


def never_ending(recipe: Recipe) -> TranslationModel:
    """The recipe's model with adapters, mapper and random weights; its sentences end at the token limit only."""
    model = assembled(recipe)
    adapt(model, recipe)
    put_mapper(model, recipe)
    mbart_of(model).get_buffer("final_logits_bias")[:, EOS_ID] = NEVER
    return model.eval()


def mbart_of(model: TranslationModel) -> MBartForConditionalGeneration:
    """The mBART whose decoder the model has."""
    assert isinstance(model.decoder, MBartDecoder)
    return model.decoder.mbart


@contextmanager
def without_cache(model: TranslationModel) -> Iterator[None]:
    """Meanwhile every new token costs a pass over all tokens before it."""
    mbart: Any = mbart_of(model)
    generate = mbart.generate

    def slow(*, generation_config: Any, **inputs: Any) -> Any:
        generation_config.use_cache = False
        return generate(generation_config=generation_config, **inputs)

    mbart.generate = slow
    try:
        yield
    finally:
        del mbart.generate


def both_ways(
    model: TranslationModel, clips: int, segments: int = SEGMENTS, tokens: int = TOKENS, rounds: int = ROUNDS
) -> dict[str, float]:
    """{"cached": tokens a second, "uncached": the same} for so many clips of so many segments.

    Raises AssertionError if the two do not write the same tokens.
    """
    width = mbart_of(model).config.d_model
    rows, lengths = torch.randn(clips * segments, width), torch.tensor([segments] * clips)
    language = model.vocabulary_size - CODES_AND_MASK + CODES_25.index("de_DE")
    beams = Beams(num_beams=BEAMS, max_new_tokens=tokens)
    written: dict[str, Tensor] = {}

    def translate(name: str) -> None:
        translations = model.translate(rows, lengths, "segment_features", beams=beams, start_id=language)
        written[name] = translations.sequences

    def uncached() -> None:
        with without_cache(model):
            translate("uncached")

    variants: dict[str, Callable[[], object]] = {"cached": lambda: translate("cached"), "uncached": uncached}
    seconds = in_turns(variants, rounds, warm_up=0 if rounds == 1 else 1)
    assert written["cached"].shape[-1] == tokens, written["cached"].shape
    assert torch.equal(written["cached"], written["uncached"]), "the cache changes what is written"
    return {name: clips * tokens / each for name, each in seconds.items()}


def invented_words(count: int) -> tuple[str, ...]:
    """So many different words that mean nothing, in alphabetical order."""
    return tuple(islice(map("".join, product(SYLLABLES, repeat=3)), count))


def invented_tokenizer(recipe: Recipe) -> SentenceTokenizer:
    """A tokenizer of the recipe's number of tokens; each piece is a word of its own."""
    model = sentencepiece_model_pb2.ModelProto()  # type: ignore[attr-defined]
    kinds = model.SentencePiece.Type
    for name, kind in zip(FILE_SPECIALS, (kinds.UNKNOWN, kinds.CONTROL, kinds.CONTROL), strict=True):
        model.pieces.add(piece=name, score=0.0, type=kind)
    for word in invented_words(recipe.text.vocabulary_size - len(SPECIALS) - CODES_AND_MASK):
        model.pieces.add(piece=f"▁{word}", score=-1.0)
    model.trainer_spec.vocab_size = len(model.pieces)
    return SentenceTokenizer(model.SerializeToString(deterministic=True), "de_DE")


def write_run(folder: Path, recipe: Recipe) -> None:
    """A finished run with random weights, a tokenizer and pseudo-glosses of the recipe's sizes."""
    options, run = pseudo_gloss(recipe), Run(folder)
    inventory = invented_words(options.num_pseudo_glosses)
    model = never_ending(recipe)
    head = options.head(recipe.language.hidden_size, torch.randn(len(inventory), options.vector_size))
    of_head = {f"objectives.pseudo_gloss.head.{name}": tensor for name, tensor in state(head).items()}
    invented_tokenizer(recipe).save(folder / TOKENIZER)
    counts = dict.fromkeys(inventory, 1)
    PseudoGlosses(inventory, counts, {}, {}, {}, backend="none", language="de").save(folder / PSEUDO_GLOSSES)
    run.start(dump_recipe(recipe), {"corpus": ""}, resume=False)
    save_tensors(run.weights("pretrain"), of_head)
    save_tensors(run.weights("finetune2"), state(model))


def end_to_end(work: Path, recipe: Recipe, frames: int, starts: int) -> tuple[list[Finished], list[float]]:
    """One clip from its file to its sentence -> processes of the command line, and seconds of a warm translator.

    Raises AssertionError if the two do not write the same.
    """
    write_run(work / "run", recipe)
    folder, video = work / "model", work / "clip.mp4"
    export_model(work / "run", folder, Silent())
    write_clip(video, signer(frames, seed=0), 25.0)
    cold = [finish("glossfree", "translate", folder, video) for _ in range(starts)]
    translator = SignTranslator.from_pretrained(folder)
    assert translator.translate(video) == cold[0].output.strip(), "warm and cold differ"
    return cold, [wall_seconds(lambda: translator.translate(video)) for _ in range(starts)]


def run(batches: Sequence[int] = BATCHES, frames: int = FRAMES, rounds: int = ROUNDS, starts: int = STARTS) -> str:
    """Both measurements -> tables in Markdown."""
    recipe = load_recipe(RECIPE, [f"decode.num_beams={BEAMS}", f"decode.max_new_tokens={TOKENS}"])
    model, rows = never_ending(recipe), []
    for clips in batches:
        rates = both_ways(model, clips, rounds=rounds)
        cached, uncached = rates["cached"], rates["uncached"]
        rows.append([str(clips), f"{cached:,.1f}", f"{uncached:,.1f}", f"{cached / uncached:.1f}"])
    del model
    with tempfile.TemporaryDirectory() as name:
        cold, warm = end_to_end(Path(name), recipe, frames, starts)
    first, next_one = median(each.seconds for each in cold), median(warm)
    ends = [
        ["cold: `glossfree translate`, from the start of its process to its end", f"{first:.1f}"],
        ["warm: the next clip of one SignTranslator", f"{next_one:.1f}"],
    ]
    threads = torch.get_num_threads()
    decoding = (
        f"Beam {BEAMS}, {TOKENS} new tokens a clip (other beams' do not count), {SEGMENTS} segments, language "
        f"encoder included, float32, {threads} threads, medians of {rounds} turns. The tokens are the same."
    )
    whole = (
        f"{frames} frames, beam {BEAMS}, {TOKENS} tokens, {threads} threads, medians of {starts}; the files are in the "
        f"system's memory. Peak of the cold process: {max(each.peak_gigabytes for each in cold):.1f} GB. {machine()}."
    )
    return "\n\n".join(
        [
            *(table(["clips at once", "with cache, tokens/s", "without, tokens/s", "ratio"], rows), decoding),
            *(table(["one clip, file to sentence", "s"], ends), whole),
        ]
    )
