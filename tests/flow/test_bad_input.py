"""What a user can get wrong, on the real command line: one line with the culprit, the path and the remedy, exit code 2,
no traceback, and what lay there before lies there still."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from glossfree.video.pack import write_clip

SENTENCES = (("eins", "train", "es taut"), ("zwei", "train", "morgen schneit es"), ("drei", "dev", "es wird kalt"))


@dataclass(frozen=True)
class World:
    """A good folder of videos, a good corpus, run and model, all of one's own to spoil."""

    folder: Path
    tiny: Any
    run_of_all: Path
    model_of_all: Path

    @property
    def videos(self) -> Path:
        root = self.folder / "videos"
        if not root.exists():
            for number, (name, _, _) in enumerate(SENTENCES):
                frames = np.random.default_rng(number).integers(0, 255, (9, 34, 46, 3), dtype=np.uint8)
                write_clip(root / f"{name}.mp4", frames, 25)
            self.table(root)
        return root

    def table(self, root: Path, rows: tuple[tuple[str, ...], ...] = SENTENCES, header: str = "id,split,text") -> Path:
        path = root / "sentences.csv"
        path.write_text("\n".join([header, *(",".join(row) for row in rows)]) + "\n", encoding="utf-8")
        return path

    @property
    def corpus(self) -> Path:
        return self._copy(self.tiny.corpus, "corpus")

    @property
    def run(self) -> Path:
        return self._copy(self.run_of_all, "run")

    @property
    def model(self) -> Path:
        return self._copy(self.model_of_all, "model")

    @property
    def below_a_file(self) -> Path:
        """A folder that not even root can make."""
        (self.folder / "file").write_text("a file")
        return self.folder / "file" / "out"

    def _copy(self, source: Path, name: str) -> Path:
        if not (self.folder / name).exists():
            shutil.copytree(source, self.folder / name)
        return self.folder / name

    def prepare(self, *options: object, out: Path | None = None) -> tuple[object, ...]:
        target = out or self.folder / "out"
        common = ("--out", target, "--frame-size", 28, "--workers", 1)
        return "prepare", "folder", "--root", self.videos, *common, *options

    def train(self, *options: object) -> tuple[object, ...]:
        recipe, run = ("--recipe", self.tiny.recipe), ("--run", self.folder / "new")
        return "train", *recipe, "--corpus", self.corpus, *run, *options

    def phoenix(self) -> tuple[object, ...]:
        root = self.folder / "phoenix"
        for split in ("train", "dev", "test"):
            path = root / f"annotations/manual/PHOENIX-2014-T.{split}.corpus.csv"
            path.parent.mkdir(parents=True, exist_ok=True)
            rows = "".join(f"{split}-{n}|{split}-{n}/1/*.png|-1|-1|Signer01|KALT|es wird {n}\n" for n in "ab")
            path.write_text(f"name|video|start|end|speaker|orth|translation\n{rows}", encoding="utf-8")
            for n in "ab":
                frames = root / f"features/fullFrame-210x260px/{split}/{split}-{n}"
                frames.mkdir(parents=True)
                for number in (1, 2, 3):
                    cv2.imwrite(str(frames / f"images000{number}.png"), np.full((26, 21, 3), 40 * number, np.uint8))
        common = ("--out", self.folder / "out", "--frame-size", 28, "--workers", 1)
        return "prepare", "phoenix14t", "--root", root, *common


@pytest.fixture
def world(tmp_path: Path, tiny: Any, tiny_run: Path, tiny_model: Path) -> World:
    return World(tmp_path, tiny, tiny_run, tiny_model)


def edit(path: Path, old: str, new: str) -> Path:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    return path


def cut(path: Path, share: float = 0.5) -> Path:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


def without_frames(path: Path) -> None:
    """A file with a video stream and not one picture in it."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 48, 34, "yuv420p"
        container.start_encoding()


def only_sound(path: Path) -> None:
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=16_000)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        sound.sample_rate = 16_000
        container.mux(stream.encode(sound))
        container.mux(stream.encode(None))


def snapshot(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


SPOILT_VIDEOS: dict[str, tuple[Callable[[Path], object], str]] = {
    "zero bytes": (lambda path: path.write_bytes(b""), "0 bytes"),
    "truncated": (lambda path: cut(path), "truncated"),
    "truncated at the end": (lambda path: cut(path, 0.97), "truncated"),
    "a text with a video's name": (lambda path: path.write_text("kein Video\n" * 99), "not a video"),
    "no frames": (without_frames, "no video stream"),
    "only sound": (only_sound, "no video stream"),
}


def refused(called: Any, *words: object) -> None:
    """One line that begins with the program's name and holds all words and a remedy; nothing on standard output."""
    lines = called.err.splitlines()
    assert (called.code, called.out) == (2, ""), called
    assert [line for line in lines if line.startswith("glossfree: ")] == lines[-1:], called.err
    assert "Traceback" not in called.err
    assert " -> " in lines[-1], f"no remedy: {lines[-1]}"
    assert [word for word in words if str(word) not in lines[-1]] == [], lines[-1]


@pytest.mark.parametrize("kind", SPOILT_VIDEOS)
def test_translate_names_the_video_that_it_cannot_read(world: World, call: Any, kind: str) -> None:
    spoil, words = SPOILT_VIDEOS[kind]
    path = world.videos / "zwei.mp4"
    spoil(path)
    refused(call("translate", world.model_of_all, path), path, words)


@pytest.mark.parametrize("kind", SPOILT_VIDEOS)
def test_one_bad_video_does_not_end_prepare_unless_it_is_strict(world: World, call: Any, kind: str) -> None:
    spoil, words = SPOILT_VIDEOS[kind]
    path = world.videos / "zwei.mp4"
    spoil(path)
    refused(call(*world.prepare("--strict")), "clip zwei", path, words)
    partly = call(*world.prepare())
    assert partly.code == 1
    last = partly.err.splitlines()[-1]
    assert "zwei" in last and str(path) in last and words in last
    found = json.loads(call("inspect", world.folder / "out", "--json").out)
    assert found["total"]["clips"] == 2
    assert any("zwei" in problem for problem in found["problems"])


def test_of_very_many_bad_videos_the_first_are_named_and_all_are_kept(world: World, call: Any) -> None:
    bad = [f"b{number:02}" for number in range(23)]
    for name in bad:
        (world.videos / f"{name}.mp4").write_bytes(b"")
    world.table(world.videos, (*SENTENCES, *((name, "test", f"satz {name}") for name in bad)))
    partly = call(*world.prepare())
    assert partly.code == 1
    listed = [line for line in partly.err.splitlines() if line.startswith("not packed: ")]
    assert len(listed) == 20
    assert partly.err.splitlines()[-1].startswith("and 3 more: glossfree inspect ")
    assert call("inspect", world.folder / "out").out.count("not packed: ") == 23


def test_a_missing_frame_folder_is_named_and_packed_around(world: World, call: Any) -> None:
    command = world.phoenix()
    missing = world.folder / "phoenix/features/fullFrame-210x260px/train/train-b"
    shutil.rmtree(missing)
    refused(call(*command, "--strict"), "train-b")
    partly = call(*command)
    assert partly.code == 1
    assert "train-b" in partly.err and str(missing) in partly.err
    assert json.loads(call("inspect", world.folder / "out", "--json").out)["total"]["clips"] == 5


def test_a_sentence_in_two_splits_is_a_warning_with_a_count(world: World, call: Any) -> None:
    world.table(world.videos, (*SENTENCES[:2], ("drei", "dev", "es taut")))
    done = call(*world.prepare())
    assert done.code == 0
    assert [line for line in done.err.splitlines() if line.startswith("warning") and "1 " in line]


Spoil = Callable[[World], tuple[tuple[object, ...], tuple[object, ...]]]


def missing_column(world: World) -> Any:
    path = world.table(world.videos, header="id,part,text")
    return world.prepare(), (path, "split")


def duplicate_id(world: World) -> Any:
    path = world.table(world.videos, (*SENTENCES, SENTENCES[0]))
    return world.prepare(), (path, "eins")


def empty_sentence(world: World) -> Any:
    path = world.table(world.videos, (*SENTENCES[:2], ("drei", "dev", "  ")))
    return world.prepare(), (path, "4")


def not_utf8(world: World) -> Any:
    path = world.table(world.videos)
    path.write_bytes(path.read_bytes() + "drei,dev,es wird kühl\n".encode("latin-1"))
    return world.prepare(), (path, "UTF-8")


def no_such_root(world: World) -> Any:
    root = world.folder / "nowhere"
    return ("prepare", "folder", "--root", root, "--out", world.folder / "out"), (root,)


def another_corpus_in_out(world: World) -> Any:
    return world.prepare(out=world.corpus), (world.corpus, "wetter")


def unwritable_out(world: World) -> Any:
    out = world.below_a_file
    return world.prepare(out=out), (out,)


def unwritable_glosses(world: World) -> Any:
    out = world.below_a_file
    return ("glosses", world.corpus, "--out", out), (out,)


def unwritable_run(world: World) -> Any:
    out = world.below_a_file
    return ("pretrain", *world.tiny.options, "--run", out), (out,)


def unwritable_model(world: World) -> Any:
    out = world.below_a_file
    return ("export", world.run, out), (out.parent,)


def unwritable_report(world: World) -> Any:
    out = world.below_a_file
    return ("report", world.run, "--out", out), (out,)


def model_where_something_is(world: World) -> Any:
    return ("export", world.run, world.corpus), (world.corpus, "not empty")


def model_where_a_file_is(world: World) -> Any:
    return ("export", world.run, world.below_a_file.parent), (world.below_a_file.parent, "is a file")


def unknown_key(world: World) -> Any:
    recipe = world.folder / "mine.toml"
    recipe.write_text("[vision]\nhiden_size = 24\n", encoding="utf-8")
    return ("params", "--recipe", recipe), (recipe, "vision.hiden_size", "vision.hidden_size")


def unknown_override(world: World) -> Any:
    return world.train("--set", "data.strides=2"), ("data.strides", "data.stride")


def not_toml(world: World) -> Any:
    recipe = world.folder / "mine.toml"
    recipe.write_text("vision = [\n", encoding="utf-8")
    return ("train", "--recipe", recipe, "--corpus", world.corpus, "--run", world.folder / "new"), (recipe,)


def contradiction(world: World) -> Any:
    return world.train("--set", "vision.num_heads=5"), ("vision.num_heads 5",)


def no_such_recipe(world: World) -> Any:
    return ("params", "--recipe", "hfa-phoenix"), ("hfa-phoenix", "hfa-phoenix14t")


def model_without_a_file(world: World) -> Any:
    (world.model / "tokenizer/sentencepiece.bpe.model").unlink()
    return ("translate", world.model, world.videos / "eins.mp4"), (world.model, "sentencepiece.bpe.model")


def model_without_card(world: World) -> Any:
    (world.model / "model.json").unlink()
    return ("translate", world.model, world.videos / "eins.mp4"), (world.model, "model.json")


def model_with_broken_card(world: World) -> Any:
    cut(world.model / "model.json")
    return ("translate", world.model, world.videos / "eins.mp4"), (world.model, "model.json")


def model_with_altered_weights(world: World) -> Any:
    path = world.model / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(data)
    return ("translate", world.model, world.videos / "eins.mp4"), (world.model, "model.safetensors")


def model_with_altered_recipe(world: World) -> Any:
    edit(world.model / "recipe.toml", "stride = 3", "stride = 2")
    return ("translate", world.model, world.videos / "eins.mp4"), (world.model, "recipe.toml")


def model_whose_recipe_does_not_fit(world: World) -> Any:
    """Altered together with its hash."""
    recipe = edit(world.model / "recipe.toml", "hidden_size = 36", "hidden_size = 40")
    card = json.loads((world.model / "model.json").read_text())
    card["files"]["recipe.toml"] = hashlib.sha256(recipe.read_bytes()).hexdigest()
    (world.model / "model.json").write_text(json.dumps(card))
    return ("translate", world.model, world.videos / "eins.mp4"), (world.model / "model.safetensors", "36", "40")


def no_such_clip(world: World) -> Any:
    return ("translate", world.model, world.videos / "vier.mp4"), (world.videos / "vier.mp4",)


def folder_without_images(world: World) -> Any:
    return ("translate", world.model, world.videos), (world.videos, "no images")


def resumed_with_another_recipe(world: World) -> Any:
    run = world.run
    command = ("train", *world.tiny.options, "--run", run, "--resume", "--set", "finetune2.epochs=2")
    return command, (run / "recipe.toml", "another recipe")


def resumed_on_another_corpus(world: World) -> Any:
    path = world.corpus / "manifest.jsonl"
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    lines[0]["text"] = "quallen zischen über xylophone"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    command = ("train", "--recipe", world.tiny.recipe, "--corpus", world.corpus, "--run", world.run, "--resume")
    return command, (world.run, world.tiny.corpus)


def run_not_to_be_resumed(world: World) -> Any:
    return ("train", *world.tiny.options, "--run", world.run), (world.run, "--resume")


def start_of_other_sizes(world: World) -> Any:
    options = ("--from", world.run, "--run", world.folder / "new", "--set", "temporal.hidden_size=40")
    return ("finetune", *world.tiny.options, *options), (world.run / "weights/pretrain.safetensors", "36", "40")


def start_that_is_no_run(world: World) -> Any:
    start = world.folder / "nothing"
    return ("finetune", *world.tiny.options, "--from", start, "--run", world.folder / "new"), (start, "pretrain")


def run_with_damaged_weights(world: World) -> Any:
    path = cut(world.run / "weights/finetune2.safetensors")
    return ("evaluate", world.run), (path, "damaged")


def run_with_damaged_recipe(world: World) -> Any:
    (world.run / "recipe.toml").write_text("vision = [", encoding="utf-8")
    return ("evaluate", world.run), (world.run / "recipe.toml", "TOML")


def run_with_damaged_facts(world: World) -> Any:
    cut(world.run / "run.json")
    return ("evaluate", world.run), (world.run / "run.json", "JSON")


def run_that_has_not_finished(world: World) -> Any:
    for stage in ("finetune1", "finetune2"):
        (world.run / f"weights/{stage}.safetensors").unlink()
    return ("export", world.run, world.folder / "new"), (world.run, "fine-tuning")


def run_that_was_not_evaluated(world: World) -> Any:
    (world.run / "predictions.test.jsonl").unlink()
    return ("report", world.run), (world.run, "glossfree evaluate")


def report_beside_no_run(world: World) -> Any:
    return ("report", world.run, world.folder / "nothing"), (world.folder / "nothing",)


def evaluate_no_such_split(world: World) -> Any:
    return ("evaluate", world.run, "--split", "tset"), ("tset", "test")


def corpus_without_glosses(world: World) -> Any:
    (world.corpus / "pseudo_glosses.json").unlink()
    return world.train(), (world.corpus, "glossfree glosses")


def corpus_with_others_prototypes(world: World) -> Any:
    path = world.corpus / "pseudo_glosses.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**content, "inventory": content["inventory"][1:]}), encoding="utf-8")
    return world.train(), (path, "glossfree glosses")


def corpus_of_another_frame_size(world: World) -> Any:
    return world.train("--set", "data.frame_size=40"), (world.corpus, "data.frame_size", "28", "40")


def no_corpus(world: World) -> Any:
    nowhere = world.folder / "nowhere"
    return ("train", "--recipe", world.tiny.recipe, "--corpus", nowhere, "--run", world.folder / "new"), (nowhere,)


def damaged_manifest(world: World) -> Any:
    path = cut(world.corpus / "manifest.jsonl", 0.98)
    return world.train(), (path, "line 21")


def packed_clip_damaged(world: World) -> Any:
    path = cut(world.corpus / "clips/train/wetter-train-00003.mp4")
    return world.train(), ("wetter-train-00003", path, "glossfree prepare")


def no_such_vectors(world: World) -> Any:
    return ("glosses", world.corpus, "--vectors", world.folder / "cc.de.300.bin"), (world.folder / "cc.de.300.bin",)


def damaged_vectors(world: World) -> Any:
    path = world.folder / "cc.de.300.vec"
    path.write_text("2 3\nregen 0.1 0.2\n", encoding="utf-8")
    return ("glosses", world.corpus, "--vectors", path), (path,)


def no_tokenizer(world: World) -> Any:
    return ("vocabulary", "--tokenizer", world.videos, "--corpus", world.corpus), (world.videos,)


def recipe_with_missing_weights(world: World) -> Any:
    nowhere = world.folder / "dinov2"
    return world.train("--set", f"vision.weights={nowhere}"), (nowhere,)


CASES: tuple[Spoil, ...] = (
    missing_column,
    duplicate_id,
    empty_sentence,
    not_utf8,
    no_such_root,
    another_corpus_in_out,
    unwritable_out,
    unwritable_glosses,
    unwritable_run,
    unwritable_model,
    unwritable_report,
    model_where_something_is,
    model_where_a_file_is,
    unknown_key,
    unknown_override,
    not_toml,
    contradiction,
    no_such_recipe,
    model_without_a_file,
    model_without_card,
    model_with_broken_card,
    model_with_altered_weights,
    model_with_altered_recipe,
    model_whose_recipe_does_not_fit,
    no_such_clip,
    folder_without_images,
    resumed_with_another_recipe,
    resumed_on_another_corpus,
    run_not_to_be_resumed,
    start_of_other_sizes,
    start_that_is_no_run,
    run_with_damaged_weights,
    run_with_damaged_recipe,
    run_with_damaged_facts,
    run_that_has_not_finished,
    run_that_was_not_evaluated,
    report_beside_no_run,
    evaluate_no_such_split,
    corpus_without_glosses,
    corpus_with_others_prototypes,
    corpus_of_another_frame_size,
    no_corpus,
    damaged_manifest,
    packed_clip_damaged,
    no_such_vectors,
    damaged_vectors,
    no_tokenizer,
    recipe_with_missing_weights,
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_a_mistake_is_one_line_and_spoils_nothing(world: World, call: Any, case: Spoil) -> None:
    command, words = case(world)
    before = snapshot(world.folder)
    refused(call(*command), *words)
    after = snapshot(world.folder)
    assert {name: after.get(name) for name in before} == before


def test_a_usage_error_is_exit_code_2_as_well(call: Any) -> None:
    for arguments in (("nosuchverb",), ("translate",), ("prepare", "wetter"), ("inspect", "a", "--nosuchoption")):
        called = call(*arguments)
        assert (called.code, called.out) == (2, "")


def test_debug_shows_where_it_happened(world: World, call: Any) -> None:
    from glossfree.errors import CorpusError

    with pytest.raises(CorpusError, match="manifest"):
        call("--debug", "inspect", world.folder)
