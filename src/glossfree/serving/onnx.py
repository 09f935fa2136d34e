"""A model folder in ONNX -> sentences, with onnxruntime and numpy: no torch. One clip at a time, on the CPU.

The graphs are those of `serving.graphs`. T frames, S segments, D temporal width, P pseudo-glosses, K beams.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any

import numpy as np

from glossfree.errors import ModelError, name_some
from glossfree.pipeline.hub import DECODER, ENCODER, VISION
from glossfree.recipe.decoding import DecodeConfig
from glossfree.recipe.frames import DataConfig
from glossfree.scoring.predictions import Prediction
from glossfree.serving.folder import AGAIN, RECIPE, training_of, verify
from glossfree.serving.search import beam_search
from glossfree.serving.translations import About, PseudoGlossTrack, Translator
from glossfree.text.pseudo_glosses import PSEUDO_GLOSSES, PseudoGlosses
from glossfree.text.tokenizer import SentenceTokenizer
from glossfree.video.frames import View
from glossfree.video.intake import Intake, ModelClip
from glossfree.video.timeline import Sampling

FRAMES_PER_PASS = 16  # frames that go through the backbone at once


def is_onnx(folder: Path) -> bool:
    """Whether a model folder holds graphs in place of weights."""
    return (folder / DECODER).is_file()


class OnnxTranslator(Translator):
    """A folder made by `glossfree export --onnx`."""

    def __init__(self, folder: Path) -> None:
        """Raises ModelError: missing or altered file, not a model, no onnxruntime."""
        card = verify(folder)
        try:
            recipe = tomllib.loads((folder / RECIPE).read_text(encoding="utf-8"))
            data, self.decode = DataConfig(**recipe["data"]), DecodeConfig(**recipe["decode"])
            self.frames_per_segment = int(card["onnx"]["frames_per_segment"])
            view = View(data.frame_size, data.crop_size)
            name, summary, supervision = (str(recipe[key]) for key in ("name", "summary", "supervision"))
            language, has_timeline = str(recipe["text"]["language"]), bool(card["timeline"])
        except (ValueError, KeyError, TypeError) as error:
            problem = " ".join(str(error).split())
            raise ModelError(f"{RECIPE} is damaged ({problem})", where=folder, remedy=AGAIN) from error
        self.intake = Intake(
            view, Sampling(data.fps, data.stride, data.max_frames), data.fit, training_of(card, folder)
        )
        self.tokenizer = SentenceTokenizer.load(folder / "tokenizer")
        self.pseudo_glosses = PseudoGlosses.load(folder / PSEUDO_GLOSSES).inventory if has_timeline else ()
        read = {"memory", "scores", "timeline"} if has_timeline else {"memory"}
        self.vision = session(folder / VISION, {"frames"})
        self.encoder = session(folder / ENCODER, {"features"}, read)
        self.decoder = session(folder / DECODER, {"tokens", "past", "memory"})
        self.about = About(
            name, summary, language, supervision, data.fps, data.frame_size, 1, has_timeline, is_on_cpu=True
        )

    def middles(self, num_frames: int) -> Sequence[int]:
        """The first frame of each segment, as of `models.choices.TemporalModule`."""
        return range(0, num_frames, self.frames_per_segment)

    def answer(
        self, clips: Sequence[ModelClip], num_hypotheses: int, num_tracks: int
    ) -> tuple[Sequence[tuple[Prediction, ...]], Sequence[tuple[PseudoGlossTrack, ...]]]:
        """As of Translator; the clips one by one."""
        answers = [self._answer(clip.frames, num_hypotheses, num_tracks) for clip in clips]
        return [hypotheses for hypotheses, _ in answers], [tracks for _, tracks in answers]

    def _answer(
        self, frames: np.ndarray, num_hypotheses: int, num_tracks: int
    ) -> tuple[tuple[Prediction, ...], tuple[PseudoGlossTrack, ...]]:
        outputs = self.encode(frames)
        num_beams = max(self.decode.num_beams, num_hypotheses)
        step = Steps(self.decoder, outputs["memory"])
        tokenizer = self.tokenizer
        best = beam_search(step, tokenizer.start_id, tokenizer.eos_id, tokenizer.never_written, self.decode, num_beams)
        hypotheses = tuple(Prediction(tokenizer.decode(ids), score) for ids, score in best[:num_hypotheses])
        if not self.pseudo_glosses:
            return hypotheses, ()
        scores, timeline = outputs["scores"], outputs["timeline"]
        strongest = np.argsort(-scores, kind="stable")[:num_tracks]
        return hypotheses, tuple(
            PseudoGlossTrack(self.pseudo_glosses[index], float(scores[index]), tuple(timeline[:, index].tolist()))
            for index in strongest.tolist()
        )

    def encode(self, frames: np.ndarray) -> dict[str, np.ndarray]:
        """Frames (T, 3, H, W) uint8 -> the outputs of the encoder by name, see `serving.graphs`."""
        parts = np.split(frames, range(FRAMES_PER_PASS, len(frames), FRAMES_PER_PASS))
        features = np.concatenate([self.vision.run(None, {"frames": part})[0] for part in parts])
        names = [each.name for each in self.encoder.get_outputs()]
        return dict(zip(names, self.encoder.run(names, {"features": features}), strict=True))


class Steps:
    """The decoder on one clip; it keeps the past of the beams."""

    def __init__(self, decoder: Any, memory: np.ndarray) -> None:
        self.decoder, self.memory = decoder, memory
        sides, layers, heads, _, width = memory.shape
        self.past = np.zeros((sides, layers, 1, heads, 0, width), np.float32)

    def __call__(self, tokens: np.ndarray, parents: np.ndarray | None) -> np.ndarray:
        """Last tokens (K,), and the beams that they extend -> log-probabilities (K, V)."""
        past = self.past if parents is None else self.past[:, :, parents]
        inputs = {"tokens": tokens.astype(np.int64), "past": past, "memory": self.memory}
        log_probabilities: np.ndarray
        log_probabilities, self.past = self.decoder.run(None, inputs)
        return log_probabilities


def session(path: Path, inputs: AbstractSet[str] | None = None, outputs: AbstractSet[str] = frozenset()) -> Any:
    """A graph, ready to run on as many threads as OMP_NUM_THREADS says, or cores.

    Raises ModelError: see `__init__`, and for other inputs than `inputs` (None: any) or without one of `outputs`.
    """
    try:
        import onnxruntime  # an extra
        from onnxruntime.capi import onnxruntime_pybind11_state as errors
    except ImportError as error:
        remedy = "pip install 'glossfree[onnx]'"
        raise ModelError(f"onnxruntime is not installed ({error})", where=path, remedy=remedy) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = int(os.environ.get("OMP_NUM_THREADS") or 0)
    try:
        graph = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except (
        errors.Fail,
        errors.InvalidArgument,
        errors.InvalidGraph,
        errors.InvalidProtobuf,
        errors.NotImplemented,
    ) as error:
        problem = " ".join(str(error).split())
        raise ModelError(f"not a graph that onnxruntime reads ({problem})", where=path, remedy=AGAIN) from error
    takes, gives = {each.name for each in graph.get_inputs()}, {each.name for each in graph.get_outputs()}
    if (inputs is not None and takes != inputs) or not outputs <= gives:
        problem = f"a graph of another model: it takes {name_some(sorted(takes))}, and gives {name_some(sorted(gives))}"
        raise ModelError(problem, where=path, remedy=AGAIN)
    return graph
