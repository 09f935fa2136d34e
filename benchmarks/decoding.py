"""From a video to its sentence: how fast beam search writes, as transformers has it and as it is now, and one clip end
to end, cold and warm.

Before: transformers' `generate` with the adapters beside their weights. Now: `MBartDecoder.generate` as a model that is
opened for translating has it, adapters merged and weights packed. Both run in turns from segment features on, language
encoder included, on two models. The demo's (--demo names the folder of a finished `make demo`) translates every clip
of the split. The paper's model at full size has random weights, made so large that it writes many different tokens; it
may end a sentence at any moment or never, so `</s>` is out of its reach and every sentence has TOKENS tokens.

End to end: a run at full size is exported as any other is; cold is a process of the command line from its start to its
end, which checks the folder's hashes and loads 1.6 GB; warm is the next clip of the same SignTranslator. About 5
minutes on two cores, and 5 GB of disk for that time.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from itertools import islice, product
from pathlib import Path
from statistics import median
from typing import Any

import torch
from sentencepiece import sentencepiece_model_pb2
from torch import nn

from benchmarks.full_size import RECIPE, assembled, pseudo_gloss
from benchmarks.loader import signer
from benchmarks.onnx_form import RUN
from benchmarks.processes import GIGA, Finished, finish, peak_gigabytes
from benchmarks.step import SQUARE, matrix_rates
from benchmarks.timing import in_turns, machine, table, wall_seconds
from benchmarks.transformers_mbart import generated, of_transformers
from glossfree.console import Silent
from glossfree.export import export_model
from glossfree.models.choices import Translations
from glossfree.models.decoders.mbart import MBartDecoder, MBartDecoding
from glossfree.models.hierarchy import TranslationModel
from glossfree.models.language.mbart import MBart
from glossfree.models.tokens import CODES_AND_MASK, EOS_ID, PAD_ID, never_written
from glossfree.models.weights import state
from glossfree.padded import Padded
from glossfree.pipeline.assemble import adapt, beams_of, put_mapper
from glossfree.pipeline.decode import made_fast
from glossfree.pipeline.trained import TOKENIZER, TrainedRun
from glossfree.recipe.files import load_recipe
from glossfree.recipe.schema import Recipe
from glossfree.recipe.values import dump_recipe
from glossfree.text.pseudo_glosses import PSEUDO_GLOSSES, PseudoGlosses
from glossfree.text.tokenizer import SentenceTokenizer
from glossfree.text.unigram import CODES_25, FILE_SPECIALS, SPECIALS
from glossfree.training.run import Run, save_tensors
from glossfree.translator import SignTranslator
from glossfree.video.pack import write_clip

TOKENS, BEAMS, FRAMES, SEGMENTS = 40, 4, 58, 29
BATCHES = (1, 4)  # clips that are decoded together
ROUNDS, STARTS = 3, 3  # turns of both ways; processes, and clips of a warm translator
LIVELY, SHARP = 1.5, 4.0  # random weights that make each token depend on those before it, and some likely
STREAM = 2**29  # bytes
NEVER = -1e4  # a bias of the logits that nothing makes up for
SYLLABLES = ("ba", "be", "bo", "da", "de", "do", "ga", "ge", "go", "la", "le", "lo", "ma", "me", "mo", "na", "ne", "no")


def never_ending(recipe: Recipe) -> TranslationModel:
    """The recipe's model with adapters, mapper and random weights, which writes varied tokens up to the limit."""
    model = assembled(recipe)
    adapt(model, recipe)
    put_mapper(model, recipe)
    mbart: Any = mbart_of(model)
    for name, weight in mbart.model.decoder.named_parameters():
        if weight.ndim == 2 and "embed" not in name:
            nn.init.normal_(weight, std=LIVELY * weight.shape[1] ** -0.5)
    # else each token most resembles itself in the table, and is the next one too
    signs = torch.randint(2, (mbart.model.shared.embedding_dim,)) * 2 - 1
    mbart.model.decoder.layer_norm.weight.data = SHARP * signs.float()
    mbart.get_buffer("final_logits_bias")[:, EOS_ID] = NEVER
    return model.eval()


def mbart_of(model: TranslationModel) -> Any:
    """The mBART whose decoder the model has."""
    assert isinstance(model.decoder, MBartDecoder)
    return model.decoder.mbart


@dataclass(frozen=True)
class Comparison:
    """Seconds of both ways; the sentences of today's, how many of them are equal, and the largest difference of their
    scores."""

    before: float
    now: float
    sentences: tuple[tuple[int, ...], ...]
    equal: int
    worst: float

    @property
    def tokens(self) -> int:
        """Different tokens in all sentences."""
        return len({token for sentence in self.sentences for token in sentence})

    @property
    def seconds(self) -> list[str]:
        """Both, and their ratio, for a table."""
        return [f"{self.before:.2f}", f"{self.now:.2f}", f"{self.before / self.now:.2f}"]


@torch.no_grad()
def compared(
    recipe: Recipe,
    model: TranslationModel,
    batches: Sequence[Padded],
    start_id: int,
    suppressed: Sequence[int],
    rounds: int = ROUNDS,
) -> Comparison:
    """Decode the segments Padded (B, S, E) of each batch in both ways, in turns."""
    assert isinstance(recipe.language, MBart) and isinstance(recipe.decoder, MBartDecoding)
    adapters = recipe.decoder if recipe.decoder.train == "adapters" else None
    theirs, fast = of_transformers(mbart_of(model), recipe.language.num_heads, adapters), made_fast(deepcopy(model))
    beams, written = beams_of(recipe), dict[str, list[Translations]]()

    def video(model: TranslationModel) -> Iterator[Padded]:
        yield from (model.hierarchy.video(batch.pack(), batch.lengths, "segment_features") for batch in batches)

    def before() -> None:
        written["before"] = [generated(theirs, each, beams, start_id, suppressed) for each in video(model)]

    def now() -> None:
        written["now"] = [fast.decoder.generate(each, beams, start_id, suppressed) for each in video(fast)]

    seconds = in_turns({"before": before, "now": now}, rounds, warm_up=0 if rounds == 1 else 1)
    pairs = list(zip(best(written["before"]), best(written["now"]), strict=True))
    differences = [abs(old - new) for (one, old), (other, new) in pairs if one == other]
    sentences = tuple(sentence for _, (sentence, _) in pairs)
    return Comparison(seconds["before"], seconds["now"], sentences, len(differences), max(differences, default=0.0))


def best(batches: Sequence[Translations]) -> Iterator[tuple[tuple[int, ...], float]]:
    """The best sentence of each clip, without padding, and its score."""
    for each in batches:
        for row, score in zip(each.sequences[:, 0].tolist(), each.scores[:, 0].tolist(), strict=True):
            yield tuple(token for token in row if token != PAD_ID), score


def of_demo(demo: Path, split: str, clips_at_once: int) -> Comparison:
    """The split of a finished demo with its model, once in each way."""
    trained = TrainedRun(demo / RUN)
    model, _ = trained.model()
    model.eval()
    loader = trained.material(demo / "corpus", [split]).clip_loader(split, clips_at_once)
    assert loader is not None
    with torch.no_grad():
        prepared = (batch.prepared("cpu") for batch in loader)
        segments = [model.hierarchy.segments(batch.frames, batch.lengths, batch.level) for batch in prepared]
    tokenizer = trained.tokenizer
    return compared(trained.recipe, model, segments, tokenizer.start_id, tokenizer.never_written, rounds=1)


def of_full_size(recipe: Recipe, clips: int, segments: int = SEGMENTS, rounds: int = ROUNDS) -> Comparison:
    """Clips of random segments with a model of the recipe's sizes. Raises AssertionError unless tokens vary."""
    model = never_ending(recipe)
    source = torch.Generator().manual_seed(clips)
    batch = Padded(
        torch.randn(clips, segments, recipe.language.hidden_size, generator=source), torch.full((clips,), segments)
    )
    language = model.vocabulary_size - CODES_AND_MASK + CODES_25.index("de_DE")
    result = compared(recipe, model, [batch], language, never_written(model.vocabulary_size), rounds)
    longest = recipe.decode.max_new_tokens
    assert {len(sentence) for sentence in result.sentences} == {longest}, "a sentence ends"
    assert result.tokens > longest / 2, f"{result.tokens} different tokens: equal sentences would show little"
    return result


def weights_of_a_step(recipe: Recipe) -> int:
    """Bytes of the weights that a step of the full-size decoder reads."""
    with torch.device("meta"):
        mbart = mbart_of(assembled(recipe))
    once = ("encoder_attn.k_proj", "encoder_attn.v_proj", "embed_")  # for a clip; rows of a table
    named = [*mbart.model.decoder.named_parameters(), *mbart.lm_head.named_parameters()]
    return sum(weight.nbytes for name, weight in named if not any(part in name for part in once))


def stream_rate(repeats: int = 5) -> float:
    """Bytes that this machine's cores read from memory in a second: a sum of STREAM bytes, the median."""
    data = torch.ones(STREAM // 4)
    return STREAM / median(wall_seconds(data.sum) for _ in range(repeats))


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
    assert options is not None
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


def run(
    demo: Path = Path("runs/demo"),
    split: str = "test",
    batches: Sequence[int] = BATCHES,
    frames: int = FRAMES,
    rounds: int = ROUNDS,
    starts: int = STARTS,
) -> str:
    """All measurements -> tables in Markdown."""
    recipe = load_recipe(RECIPE, [f"decode.num_beams={BEAMS}", f"decode.max_new_tokens={TOKENS}"])
    rows, results = [], []
    for clips in batches:
        results.append(of_full_size(recipe, clips, rounds=rounds))
        rows.append([f"full size, random weights, {clips} at once", *results[-1].seconds])
    peak = peak_gigabytes()
    for clips in batches:
        results.append(of_demo(demo, split, clips))
        rows.append([f"the demo's model, {len(results[-1].sentences)} clips, {clips} at once", *results[-1].seconds])
    bytes_read, stream = weights_of_a_step(recipe), stream_rate()
    matrix = max(matrix_rates({"": (SQUARE, SQUARE, SQUARE)}).values())
    with tempfile.TemporaryDirectory() as name:
        cold, warm = end_to_end(Path(name), recipe, frames, starts)
    first, next_one = median(each.seconds for each in cold), median(warm)
    ends = [
        ["cold: `glossfree translate`, from the start of its process to its end", f"{first:.1f}"],
        ["warm: the next clip of one SignTranslator", f"{next_one:.1f}"],
    ]
    threads, full = torch.get_num_threads(), results[: len(batches)]
    equal, sentences = sum(each.equal for each in results), sum(len(each.sentences) for each in results)
    decoding = (
        f"Before: transformers' generate, adapters beside their weights. Beam {BEAMS}, language encoder included, "
        f"float32, {threads} threads, medians of {rounds} turns (of the demo's clips: one). At full size {TOKENS} "
        f"tokens and {SEGMENTS} segments a clip, {' and '.join(str(each.tokens) for each in full)} different tokens. "
        f"{equal} of {sentences} sentences are equal; their scores differ by at most "
        f"{max(each.worst for each in results):.1g}. A step reads {bytes_read / 1e6:,.0f} MB of weights: at "
        f"{stream / GIGA:.0f} GB/s, as fast as this machine reads memory, {TOKENS} steps take "
        f"{TOKENS * bytes_read / stream:.2f} s. Its matrix rate is {matrix / GIGA:.0f} GFLOP/s. Peak with both models "
        f"in memory: {peak:.1f} GB."
    )
    whole = (
        f"{frames} frames, beam {BEAMS}, {TOKENS} tokens, {threads} threads, medians of {starts}; the files are in the "
        f"system's memory. Peak of the cold process: {max(each.peak_gigabytes for each in cold):.1f} GB. {machine()}."
    )
    return "\n\n".join(
        [
            table(["decoding", "before, s", "now, s", "ratio"], rows),
            decoding,
            table(["one clip, file to sentence", "s"], ends),
            whole,
        ]
    )
