"""Every verb once, on the real command line: exit code 0, the result on standard output, all else on standard error."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from glossfree.recipe.files import load_recipe, shipped_recipes
from glossfree.training.run import save_tensors
from glossfree.translator import SignTranslator

STAGES = ("denoise", "pretrain", "finetune1", "finetune2")


def process(*arguments: object) -> tuple[int, str, str]:
    """The command line in a process of its own, as a person starts it."""
    command = [sys.executable, "-m", "glossfree", *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "2", "COLUMNS": "80"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment, check=False)
    return done.returncode, done.stdout, done.stderr


def the_clips(corpus: Path, split: str) -> list[dict[str, Any]]:
    lines = (corpus / "manifest.jsonl").read_text(encoding="utf-8").splitlines()
    return [clip for clip in map(json.loads, lines) if clip["split"] == split]


def predictions(run: Path, split: str) -> dict[str, str]:
    lines = (run / f"predictions.{split}.jsonl").read_text(encoding="utf-8").splitlines()
    return {line["id"]: line["hypothesis"] for line in map(json.loads, lines)}


@pytest.mark.slow
def test_a_person_goes_from_nothing_to_a_sentence(tiny: Any, call: Callable[..., Any], tmp_path: Path) -> None:
    corpus, run, model = tmp_path / "corpus", tmp_path / "run", tmp_path / "model"
    counts = ("--train", 12, "--dev", 4, "--test", 5, "--frame-size", 28, "--workers", 2)
    code, out, _ = process("prepare", "wetter", *counts, "--out", corpus)
    assert code == 0
    assert out.startswith(f"{corpus}: 21 clips packed, 0 there before, ")
    assert out.count("\n") == 1
    assert (corpus / "manifest.jsonl").read_text() == (tiny.corpus / "manifest.jsonl").read_text()

    glosses = call("glosses", corpus, "--json")
    assert (glosses.code, json.loads(glosses.out)["num_sentences"]) == (0, 12)
    assert "tagging" in glosses.err

    code, out, err = process("train", "--recipe", tiny.recipe, "--corpus", corpus, "--run", run)
    assert (code, out) == (0, f"{run}\n")
    assert [f"{stage} epoch 1/1" in err for stage in STAGES] == [True] * 4

    assert call("export", run, model).out == f"{model}\n"
    clips = [corpus / clip["file"] for clip in the_clips(corpus, "test")[:2]]
    code, out, err = process("translate", model, *clips)
    assert (code, err) == (0, "")
    translator = SignTranslator.from_pretrained(model)
    assert out.splitlines() == [f"{clip.name}: {translator.translate(clip)}" for clip in clips]


def test_inspect_counts_the_corpus(tiny: Any, call: Callable[..., Any]) -> None:
    shown = call("inspect", tiny.corpus)
    assert (shown.code, shown.err) == (0, "")
    assert "no problems" in shown.out
    found = json.loads(call("inspect", tiny.corpus, "--json").out)
    assert {name: split["clips"] for name, split in found["splits"].items()} == {"train": 12, "dev": 4, "test": 5}


def test_all_stages_at_once_are_some_in_one_run_and_the_others_in_another(
    tiny: Any, tiny_run: Path, call: Callable[..., Any], tmp_path: Path
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    done = call("train", *tiny.options, "--until", "pretrain", "--run", first)
    assert (done.code, done.out) == (0, f"{first}\n")
    assert sorted(path.stem for path in (first / "weights").iterdir()) == ["denoise", "pretrain"]
    done = call("train", *tiny.options, "--from", first, "--run", second)
    assert (done.code, done.out) == (0, f"{second}\n")
    assert sorted(path.stem for path in (second / "weights").iterdir()) == ["finetune1", "finetune2"]
    assert "pretrain: finished before" in done.err
    for stage in ("finetune1", "finetune2"):
        once, twice = (load_file(run / "weights" / f"{stage}.safetensors") for run in (tiny_run, second))
        assert once.keys() == twice.keys()
        assert [name for name in once if not torch.equal(once[name], twice[name])] == []
    # the head for the timeline is found in the run that it came from
    assert call("export", second, tmp_path / "model").code == 0
    assert "head.prototypes" in load_file(tmp_path / "model" / "model.safetensors")


def test_until_and_then_all_of_it_is_all_at_once(
    tiny: Any, tiny_run: Path, call: Callable[..., Any], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    assert call("train", *tiny.options, "--until", "finetune1", "--run", run).code == 0
    assert not (run / "weights/finetune2.safetensors").exists()
    assert call("train", *tiny.options, "--run", run, "--resume").code == 0
    once, twice = (load_file(each / "weights/finetune2.safetensors") for each in (tiny_run, run))
    assert once.keys() == twice.keys()
    assert [name for name in once if not torch.equal(once[name], twice[name])] == []


def test_a_stage_that_is_no_stage_is_refused(tiny: Any, call: Callable[..., Any], tmp_path: Path) -> None:
    words = {"--until": ("--until", "pre"), "--after": ("--from", tmp_path, "--after", "pre")}
    for option, arguments in words.items():
        refused = call("train", *tiny.options, "--run", tmp_path / "run", *arguments)
        assert (refused.code, refused.out) == (2, "")
        assert f"{option} pre: no such stage -> one of {', '.join(STAGES)}" in refused.err
    assert not (tmp_path / "run").exists()


def test_a_recipe_that_is_printed_is_the_recipe(tiny: Any, call: Callable[..., Any], tmp_path: Path) -> None:
    shown = call("recipe", tiny.recipe)
    assert (shown.code, shown.err) == (0, "")
    (tmp_path / "printed.toml").write_text(shown.out, encoding="utf-8")
    assert load_recipe(tmp_path / "printed.toml") == load_recipe(tiny.recipe)
    listed = call("recipe", "--list")
    assert [line.split()[0] for line in listed.out.splitlines()[::2]] == [path.stem for path in shipped_recipes()]


def test_a_stage_of_no_epochs_is_left_out_of_the_run_the_model_and_the_report(
    tiny: Any, call: Callable[..., Any], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    assert call("train", *tiny.options, "--set", "pretrain.epochs=0", "--run", run).code == 0
    assert sorted(path.stem for path in (run / "weights").iterdir()) == ["denoise", "finetune1", "finetune2"]
    assert call("evaluate", run).code == 0
    assert call("export", run, tmp_path / "model").code == 0
    clip = tiny.corpus / the_clips(tiny.corpus, "test")[0]["file"]
    translation = json.loads(call("translate", tmp_path / "model", clip, "--json").out)
    assert translation["pseudo_glosses"] == []
    assert translation["text"] == predictions(run, "test")[clip.stem]
    assert call("report", run, "--clips", 1).code == 0


def test_evaluate_prints_the_scores_that_it_keeps(tiny_run: Path, call: Callable[..., Any]) -> None:
    shown = call("evaluate", tiny_run, "--split", "test")
    assert (shown.code, shown.err) == (0, "")
    header, _, row = shown.out.splitlines()
    assert header.split() == ["model", "split", "BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4", "ROUGE-L", "chrF", "sentences"]
    assert row.split()[:2] == ["run", "test"]
    found = json.loads(call("evaluate", tiny_run, "--split", "test", "--json").out)
    kept = json.loads((tiny_run / "scores.test.json").read_text())
    assert found["split"] == "test"
    assert {name: found[name] for name in ("bleu4", "rouge_l", "chrf")} == {
        name: kept[name] for name in ("bleu4", "rouge_l", "chrf")
    }
    assert found["num_sentences"] == 5


@pytest.fixture
def talkative(tiny_run: Path, tmp_path: Path) -> Path:
    """A run whose weights were drawn large: it says something else of every clip, which a minute of training cannot."""
    run = tmp_path / "talkative"
    shutil.copytree(tiny_run, run)
    path = run / "weights/finetune2.safetensors"
    source = torch.Generator().manual_seed(3)
    tensors = {
        name: torch.randn(tensor.shape, generator=source) * 0.4 if tensor.ndim > 1 and "tokens" not in name else tensor
        for name, tensor in load_file(path).items()
    }
    save_tensors(path, tensors, {"stage": "finetune2"})
    return run


def test_a_clip_alone_says_what_it_said_in_a_batch(
    tiny: Any, talkative: Path, call: Callable[..., Any], tmp_path: Path
) -> None:
    assert call("evaluate", talkative, "--split", "test").code == 0
    assert call("export", talkative, tmp_path / "model").code == 0
    lines = (talkative / "predictions.test.jsonl").read_text(encoding="utf-8").splitlines()
    batch = [json.loads(line) for line in lines]
    clips = the_clips(tiny.corpus, "test")
    assert [line["id"] for line in batch] == [clip["id"] for clip in clips]
    scores = [line["score"] for line in batch]
    assert len({line["hypothesis"] for line in batch}) >= 2 and max(scores) - min(scores) > 0.01
    files = [tiny.corpus / clip["file"] for clip in clips]
    plain = call("translate", tmp_path / "model", *files)
    assert (plain.code, plain.err) == (0, "")
    assert plain.out.splitlines() == [f"{line['id']}.mp4: {line['hypothesis']}" for line in batch]
    shown = call("translate", tmp_path / "model", *files, "--json")
    alone = [json.loads(line)["score"] for line in shown.out.splitlines()]
    assert alone == pytest.approx(scores, abs=1e-4)
    assert SignTranslator.from_pretrained(tmp_path / "model").translate(files[0]) == batch[0]["hypothesis"]


def test_translate_json_is_one_line_a_clip_with_n_best_and_timeline(
    tiny: Any, tiny_model: Path, call: Callable[..., Any]
) -> None:
    clips = [tiny.corpus / clip["file"] for clip in the_clips(tiny.corpus, "dev")[:3]]
    shown = call("translate", tiny_model, *clips, "--json", "--hypotheses", 2)
    lines = [json.loads(line) for line in shown.out.splitlines()]
    assert [line["path"] for line in lines] == [str(clip) for clip in clips]
    inventory = set(json.loads((tiny_model / "pseudo_glosses.json").read_text())["inventory"])
    for line in lines:
        assert len(line["hypotheses"]) == 2
        assert line["hypotheses"][0] == {"text": line["text"], "score": line["score"]}
        assert line["hypotheses"][0]["score"] >= line["hypotheses"][1]["score"]
        assert line["frames"] == min(40, -(-line["num_frames"] // 3))
        assert len(line["pseudo_glosses"]) == 10
        for track in line["pseudo_glosses"]:
            assert track["pseudo_gloss"] in inventory
            assert len(track["timeline"]) == -(-line["frames"] // 2)
            assert sum(track["timeline"]) == pytest.approx(track["score"], abs=1e-5)


def test_report_is_one_file_that_names_every_clip_it_shows(
    tiny: Any, tiny_run: Path, call: Callable[..., Any], tmp_path: Path
) -> None:
    page = tmp_path / "page.html"
    shown = call("report", tiny_run, "--out", page, "--clips", 4)
    assert (shown.code, shown.out) == (0, f"{page}\n")
    text = page.read_text(encoding="utf-8")
    assert [clip["id"] in text for clip in the_clips(tiny.corpus, "test")[:4]] == [True] * 4
    assert "http" not in text.replace("http://www.w3.org/2000/svg", "")


def test_params_counts_what_training_says(tiny: Any, call: Callable[..., Any]) -> None:
    found = json.loads(call("params", "--recipe", tiny.recipe, "--json").out)
    for stage in STAGES:
        parts = found[stage]["parts"].values()
        assert found[stage]["trainable"] == sum(part["trainable"] for part in parts)
        assert found[stage]["total"] == sum(part["total"] for part in parts)


def test_vocabulary_of_a_corpus(tiny: Any, shared: Path, call: Callable[..., Any]) -> None:
    shown = call("vocabulary", "--tokenizer", shared / "mbart_cc25", "--corpus", tiny.corpus, "--json")
    found = json.loads(shown.out)
    assert found["size"] == found["specials"] + found["pieces"] + found["codes"] + found["mask"]
    assert found["num_sentences"] == 12


def test_help_and_version_come_at_once(call: Callable[..., Any]) -> None:
    heavy = "import sys, glossfree.cli.app as c\n" + (
        "try: c.main(['--help'])\nexcept SystemExit: pass\n"
        "print([m for m in ('torch', 'transformers', 'cv2', 'av', 'gensim') if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", heavy], capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr.strip() == "[]"
    for verb in ("prepare", "train", "translate", "report"):
        assert verb in done.stdout
    assert call("--version").out.count(".") == 2
