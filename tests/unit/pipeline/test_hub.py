"""Models on the hub, against one of our own on localhost: sent as one commit, fetched, verified, refused."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import pytest
from tests.hub import READER, Repository

from glossfree.console import Silent
from glossfree.corpora.manifest import Manifest
from glossfree.errors import ModelError
from glossfree.models.weights import state
from glossfree.pipeline.assemble import visual_encoder
from glossfree.pipeline.hub import is_model_file, model_folder, repository_of
from glossfree.pipeline.weights import load_backbone, weight_sources
from glossfree.recipe.files import load_recipe
from glossfree.serving.folder import verify
from glossfree.translator import SignTranslator

NAME = "someone/weather"


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def rewritten(folder: Path, copy: Path, **changes: bytes) -> Path:
    """A copy of a model folder with other files (a dot in a name as two underscores), its card renewed."""
    shutil.copytree(folder, copy)
    card = json.loads((copy / "model.json").read_text(encoding="utf-8"))
    for key, content in changes.items():
        name = key.replace("__", ".")
        (copy / name).write_bytes(content)
        card["files"][name] = hashlib.sha256(content).hexdigest()
    (copy / "model.json").write_text(json.dumps(card), encoding="utf-8")
    return copy


def another(folder: Path, copy: Path) -> Path:
    """The same model under another name."""
    recipe = (folder / "recipe.toml").read_text(encoding="utf-8")
    return rewritten(folder, copy, recipe__toml=recipe.replace('"tiny"', '"another"', 1).encode())


@pytest.fixture
def clip(tiny: Any) -> Path:
    path: Path = tiny.corpus / Manifest.load(tiny.corpus).split("test")[0].file
    return path


def test_what_was_pushed_translates_as_before(hub: Any, call: Any, tiny_model: Path, clip: Path) -> None:
    shown = call("push", tiny_model, NAME, "--create", "--yes", "--json")
    assert shown.code == 0, shown.err
    pushed = json.loads(shown.out)
    repository = hub.repositories[NAME]
    assert repository.files() == files_of(tiny_model) and not repository.private
    assert len(repository.commits) == 2 and pushed["commit"] == repository.branches["main"]
    assert sorted(pushed["files"]) == sorted(files_of(tiny_model))
    fetched, local = (SignTranslator.from_pretrained(source) for source in (NAME, tiny_model))
    ours, theirs = (each.explain(clip, num_hypotheses=2).to_dict() for each in (local, fetched))
    assert ours == theirs
    assert all(state(local.model)[name].equal(tensor) for name, tensor in state(fetched.model).items())


def test_the_command_line_fetches_what_says_hub_and_nothing_else(
    hub: Any, call: Any, tiny_model: Path, clip: Path
) -> None:
    hub.repositories[NAME] = Repository()
    hub.repositories[NAME].commit("main", files_of(tiny_model))
    shown = call("translate", NAME, clip)
    assert (shown.code, "hub:owner/name" in shown.err, hub.requests) == (2, True, [])
    shown = call("translate", f"hub:{NAME}", clip)
    assert (shown.code, shown.out) == (0, call("translate", tiny_model, clip).out)
    found, expected = (json.loads(call("doctor", each, clip, "--json").out) for each in (f"hub:{NAME}", tiny_model))
    assert found["findings"] == expected["findings"]


def test_a_server_opens_what_was_fetched(hub: Any, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("fastapi")
    from glossfree.cli.serve import serve
    from glossfree.studio import serving

    hub.repositories[NAME] = Repository()
    hub.repositories[NAME].commit("main", files_of(tiny_model))
    opened: list[Any] = []
    monkeypatch.setattr(serving, "run_server", lambda settings, *_, **__: opened.append(settings))
    serve(Path(f"hub:{NAME}"), Silent())
    assert verify(opened[0].model) == verify(tiny_model)


def test_a_folder_that_is_there_wins(
    hub: Any, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(tiny_model, tmp_path / NAME)
    monkeypatch.chdir(tmp_path)
    assert model_folder(NAME) == Path(NAME)
    with pytest.raises(ModelError, match="revision v1 of a folder"):
        SignTranslator.from_pretrained(NAME, revision="v1")
    with pytest.raises(ModelError, match=r"no model\.json"):
        SignTranslator.from_pretrained(Path("someone/else"))
    assert hub.requests == []


def test_revisions(hub: Any, call: Any, tiny_model: Path, tmp_path: Path) -> None:
    """A branch, a commit of before, and one that there is not."""
    second = another(tiny_model, tmp_path / "second")
    assert call("push", tiny_model, NAME, "--create", "--yes").code == 0
    first = hub.repositories[NAME].branches["main"]
    assert call("push", second, NAME, "--revision", "v2", "--yes").code == 2
    assert call("push", second, NAME, "--revision", "v2", "--create", "--yes").code == 0
    names = [
        SignTranslator.from_pretrained(source, revision=revision).recipe.name
        for source, revision in ((NAME, None), (NAME, "v2"), (f"hub:{NAME}@v2", None), (NAME, first))
    ]
    assert names == ["tiny", "another", "another", "tiny"]
    assert call("push", second, NAME, "--yes").code == 0
    names = [SignTranslator.from_pretrained(NAME, revision=each).recipe.name for each in (None, first)]
    assert names == ["another", "tiny"]
    with pytest.raises(ModelError, match=r"no such folder, and cannot be fetched \(no such revision"):
        SignTranslator.from_pretrained(NAME, revision="v3")


def test_fetched_once_no_network_is_needed(hub: Any, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.repositories[NAME] = Repository()
    hub.repositories[NAME].commit("main", files_of(tiny_model))
    SignTranslator.from_pretrained(NAME)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    hub.requests.clear()
    assert SignTranslator.from_pretrained(NAME).recipe.name == "tiny" and hub.requests == []
    with pytest.raises(ModelError, match="cannot be fetched") as caught:
        SignTranslator.from_pretrained("someone/else")
    assert caught.value.remedy and "name the folder" in caught.value.remedy


@pytest.mark.parametrize("name", ["weights__pkl", "model__bin", "code__py", "tokenizer/model__pt"])
def test_a_card_that_names_code_is_refused_on_both_ends(
    hub: Any, call: Any, tiny_model: Path, tmp_path: Path, name: str
) -> None:
    bad = rewritten(tiny_model, tmp_path / "bad", **{name: pickle.dumps(print)})
    shown = call("push", bad, NAME, "--create", "--yes")
    assert (shown.code, name.replace("__", ".") in shown.err, hub.requests) == (2, True, [])
    hub.repositories[NAME] = Repository()
    hub.repositories[NAME].commit("main", files_of(bad))
    with pytest.raises(ModelError, match="no file of a model"):
        SignTranslator.from_pretrained(NAME)
    assert not any(path.endswith(name.replace("__", ".")) for _, path in hub.requests)


def test_what_lies_beside_a_model_is_neither_sent_nor_fetched(
    hub: Any, call: Any, tiny_model: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "model"
    shutil.copytree(tiny_model, copy)
    for folder in (copy, copy / "tokenizer"):
        (folder / ".DS_Store").write_bytes(b"\0")
    assert call("push", copy, NAME, "--create", "--yes").code == 0
    assert hub.repositories[NAME].files() == files_of(tiny_model)
    (copy / "training.pkl").write_bytes(pickle.dumps(print))
    shown = call("push", copy, NAME, "--yes")
    assert (shown.code, "training.pkl" in shown.err) == (2, True)
    hub.repositories[NAME].commit("main", files_of(copy))
    SignTranslator.from_pretrained(NAME)
    assert not any("training" in path for _, path in hub.requests)
    assert list((tmp_path / "cache").rglob("*.pkl")) == []


def test_what_was_altered_is_refused_on_both_ends(hub: Any, call: Any, tiny_model: Path, tmp_path: Path) -> None:
    for name in ("model.safetensors", "recipe.toml", "tokenizer/sentencepiece.bpe.model"):
        copy = tmp_path / name.replace("/", "-")
        shutil.copytree(tiny_model, copy)
        content = bytearray((copy / name).read_bytes())
        content[-1] ^= 1
        (copy / name).write_bytes(content)
        assert call("push", copy, NAME, "--create", "--yes").code == 2
        hub.repositories[NAME] = Repository()
        hub.repositories[NAME].commit("main", files_of(copy))
        with pytest.raises(ModelError, match=f"{name} was altered"):
            SignTranslator.from_pretrained(NAME)


def test_a_tokenizer_file_that_no_card_names_is_refused_and_an_earlier_models_is_removed(
    hub: Any, call: Any, tiny_model: Path, tmp_path: Path
) -> None:
    """`special_ids.json` would turn the tokenizer into one of another kind."""
    copy = tmp_path / "model"
    shutil.copytree(tiny_model, copy)
    (copy / "tokenizer/special_ids.json").write_text("{}")
    with pytest.raises(ModelError, match=r"does not name tokenizer/special_ids\.json"):
        SignTranslator.from_pretrained(copy)
    hub.repositories[NAME] = Repository()
    hub.repositories[NAME].commit("main", {**files_of(copy), "notes.txt": b"mine"})
    with pytest.raises(ModelError, match=r"does not name tokenizer/special_ids\.json"):
        SignTranslator.from_pretrained(NAME)
    assert call("push", tiny_model, NAME, "--yes").code == 0
    assert hub.repositories[NAME].files() == {**files_of(tiny_model), "notes.txt": b"mine"}


def test_a_folder_of_before_cards_keeps_the_card_that_is_there(
    hub: Any, call: Any, tiny_model: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "model"
    shutil.copytree(tiny_model, copy)
    for name in ("README.md", "config.json"):
        (copy / name).unlink()
    hub.repositories[NAME] = Repository()
    hub.repositories[NAME].commit("main", {"README.md": b"mine"})
    shown = call("push", copy, NAME, "--yes")
    assert (shown.code, "warning: no README.md" in shown.err) == (0, True)
    assert hub.repositories[NAME].files() == {**files_of(copy), "README.md": b"mine"}


def test_pushing_the_same_again_changes_nothing(hub: Any, call: Any, tiny_model: Path) -> None:
    first, second = (call("push", tiny_model, NAME, "--create", "--yes") for _ in range(2))
    assert (first.code, second.code, first.out) == (0, 0, second.out)
    assert len(hub.repositories[NAME].commits) == 2


def test_nobody_to_ask_sends_nothing(hub: Any, call: Any, tiny_model: Path) -> None:
    shown = call("push", tiny_model, NAME, "--create")
    assert (shown.code, "--yes" in shown.err, hub.requests) == (2, True, [])
    assert all(name in shown.err for name in files_of(tiny_model)), "it says what it would send"


class Person(io.StringIO):
    """Somebody at a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("n\n", 2), ("\n", 2)])
def test_a_person_is_asked(
    hub: Any, call: Any, tiny_model: Path, monkeypatch: pytest.MonkeyPatch, answer: str, code: int
) -> None:
    monkeypatch.setattr("sys.stdin", Person(answer))
    assert call("push", tiny_model, NAME, "--create").code == code
    assert (NAME in hub.repositories) == (code == 0)


def test_private(hub: Any, call: Any, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert call("push", tiny_model, NAME, "--private", "--yes").code == 2
    assert call("push", tiny_model, NAME, "--private", "--create", "--yes").code == 0
    assert hub.repositories[NAME].private
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(ModelError, match="no such repository, or one that you may not see") as caught:
        SignTranslator.from_pretrained(NAME)
    assert caught.value.remedy and "HF_TOKEN" in caught.value.remedy


def pushed(call: Any, folder: Path, *options: object) -> str:
    """A push that fails -> its one line."""
    shown = call("push", folder, NAME, "--yes", "--quiet", *options)
    assert shown.code == 2 and shown.out == ""
    (line,) = [line for line in shown.err.splitlines() if line.startswith("glossfree: ")]
    return str(line)


def test_every_way_to_fail_is_one_line_with_a_remedy(
    hub: Any, call: Any, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "no such repository" in (line := pushed(call, tiny_model)) and "--create" in line
    hub.repositories[NAME] = Repository()
    before = hub.repositories[NAME].files()
    for method, part, status in (("PUT", "/large/", 403), ("POST", "/commit/", 500), ("POST", "/commit/", 403)):
        hub.refuse = {(method, part): status}
        assert ("permission denied" in pushed(call, tiny_model)) == (status == 403)
        assert hub.repositories[NAME].files() == before, "what was sent belongs to nothing"
    hub.refuse = {}
    monkeypatch.setenv("HF_TOKEN", READER)
    assert "permission denied" in (line := pushed(call, tiny_model)) and "HF_TOKEN" in line
    monkeypatch.delenv("HF_TOKEN")
    assert "no token" in (line := pushed(call, tiny_model)) and "hf auth login" in line
    monkeypatch.setenv("HF_TOKEN", READER)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:1")
    assert "try again" in pushed(call, tiny_model)
    assert hub.repositories[NAME].files() == before


def test_a_backbone_may_come_from_a_model_on_the_hub(hub: Any, tiny: Any, tiny_model: Path) -> None:
    hub.repositories[NAME] = Repository()
    hub.repositories[NAME].commit("main", files_of(tiny_model))
    recipe = load_recipe(tiny.recipe, [f"vision.weights=hub:{NAME}@main"])
    (source,) = weight_sources(recipe)
    backbones = [visual_encoder(recipe).backbone for _ in range(2)]
    for backbone, path in zip(backbones, (source.path, tiny_model), strict=True):
        load_backbone(backbone, recipe.vision, path)
    ours, theirs = map(state, backbones)
    assert all(ours[name].equal(tensor) for name, tensor in theirs.items())
    assert not any("tokenizer" in path for _, path in hub.requests if "/resolve/" in path)


def test_names_of_repositories_and_files() -> None:
    assert repository_of("hub:a/b") == repository_of("a/b") == ("a/b", None)
    assert repository_of("hub:a/b-1.0@refs/pr/1") == ("a/b-1.0", "refs/pr/1")
    for name in ("a", "a/b/c", "a/b@", "a/b@../c", "a/b@x/../../c", "@x", "/a/b", "a b/c"):
        with pytest.raises(ModelError, match="not the name of a repository"):
            repository_of(f"hub:{name}")
    allowed = ("model.safetensors", "tokenizer/tokenizer.json", "tokenizer/sentencepiece.bpe.model", "config.json")
    refused = ("model.bin", "tokenizer/x.pkl", "tokenizer/../../x.json", "x.py", "pickle.json", "/etc/passwd")
    assert all(map(is_model_file, allowed)) and not any(map(is_model_file, refused))
