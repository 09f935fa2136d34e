"""README and docs/: short enough, no dead link, every command exists, every code block runs, no table is stale."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from glossfree.cli.app import VERBS, command
from glossfree.corpora.registry import CORPORA
from glossfree.models.backbones import BACKBONES
from glossfree.objectives import OBJECTIVES
from glossfree.recipe.files import load_recipe
from glossfree.sweeps.cells import parse_seeds, rows_of

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
MAX_README_LINES = 150
PICTURES = (".png", ".webp")
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`(glossfree [a-z][^`]*|make [a-z][^`]*)`")
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
DEFINED = re.compile(r"((?:`\w+`(?:, )?)+) in \[[^\]]+\]\(([^)]+\.py)\)")
PLACEHOLDER = re.compile(r"\{\{\w+\}\}")
LAUNCHERS = ("accelerate", "torchrun", "srun")
EMPTY_TABLE = re.compile(r"<!-- ((?:benchmark|generated): [\w ]+) -->\s*<!-- end -->")
NAMES = [document.name for document in DOCUMENTS]


def blocks(text: str, language: str) -> list[str]:
    """The code blocks of one language, in order."""
    return [body for name, body in BLOCK.findall(text) if name == language]


def write_recipes(text: str, folder: Path) -> None:
    """The recipes of a page, TOML blocks that begin with a comment of their name, as files of a folder."""
    for block in blocks(text, "toml"):
        if name := re.match(r"# (\w+\.toml)\n", block):
            (folder / name[1]).write_text(block, encoding="utf-8")


def shell_lines(text: str) -> Iterator[list[str]]:
    """Every command of the bash blocks, cut into words; comments and continued lines as the shell takes them. Of
    `torchrun ... -m -- glossfree VERB ...` and its like, what is launched."""
    for block in blocks(text, "bash"):
        for line in block.replace("\\\n", " ").splitlines():
            if words := shlex.split(line, comments=True):
                yield words[words.index("glossfree") :] if words[0] in LAUNCHERS else words


def parse_verb(words: list[str]) -> Any:
    """`glossfree VERB ...` -> its context, as the command line would parse it. Raises on anything it would refuse."""
    assert words[1] in VERBS, f"no verb {words[1]!r}"
    return command(words[1]).make_context(words[1], words[2:])


def check_command(words: list[str]) -> None:
    """Raises AssertionError or a usage error for a command that does not exist as it is written."""
    if words[0] == "make":
        targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
        assert words[1] in targets, f"no target {words[1]!r}"
    elif words[0] == "glossfree":
        given = parse_verb(words).params
        if words[1] == "prepare":
            assert given["corpus"] in CORPORA, f"no corpus {given['corpus']!r}"
        recipe = given.get("name") if words[1] == "recipe" else given.get("recipe")
        if recipe and (not str(recipe).endswith(".toml") or Path(recipe).is_file()):
            load_recipe(recipe, given["overrides"] or ())
        if words[1] == "sweep" and not given["plan"]:
            rows_of(given["recipe"], given["overrides"] or (), parse_seeds(given["seeds"]), given["grid"] or ())
    elif words[0] == "python":
        assert (ROOT / words[1]).is_file() or words[1] == "-m", f"no file {words[1]!r}"


def check_mention(mention: str) -> None:
    """`glossfree VERB --option` within a sentence: verb and options exist, arguments may be left out."""
    words = shlex.split(mention)
    if words[0] == "make":
        check_command(words)
        return
    assert words[1] in VERBS, f"no verb {words[1]!r}"
    options = {option for parameter in command(words[1]).params for option in parameter.opts}
    assert {word for word in words[2:] if word.startswith("--")} <= options, mention


def dead_links(document: Path, text: str) -> list[str]:
    """Links to files that are not there; pictures that are still to be made are left to another test."""
    targets = [link.partition("#")[0] for link in LINK.findall(text) if "://" not in link]
    return [link for link in targets if link and not link.endswith(PICTURES) and not (document.parent / link).exists()]


def undefined(document: Path, text: str) -> list[str]:
    """`name` in [file](link): names that the file does not define."""
    found = []
    for names, link in DEFINED.findall(text):
        source = (document.parent / link).read_text(encoding="utf-8")
        for name in re.findall(r"`(\w+)`", names):
            if not re.search(rf"^(?:def|class) {name}\b|^{name}\b.* = ", source, re.MULTILINE):
                found.append(f"{name} in {link}")
    return found


@pytest.fixture(params=DOCUMENTS, ids=NAMES)
def document(request: pytest.FixtureRequest) -> Path:
    path: Path = request.param
    return path


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= MAX_README_LINES


def test_commands_exist_as_they_are_written(document: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = document.read_text(encoding="utf-8")
    write_recipes(text, tmp_path)
    monkeypatch.chdir(tmp_path)
    for words in shell_lines(text):
        check_command(words)
    for mention in INLINE.findall(text):
        check_mention(mention)


def test_links_lead_somewhere(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    assert dead_links(document, text) == []
    assert undefined(document, text) == []


def tree_names(text: str) -> set[str]:
    """Every word of the annotated tree that may name a file or a folder."""
    (tree,) = [block for block in blocks(text, "text") if block.startswith("src/glossfree/")]
    return set(re.findall(r"\w+", tree))


def test_the_tree_is_as_it_is() -> None:
    source = ROOT / "src/glossfree"
    rooms = [path for path in source.iterdir() if path.is_dir() and path.name != "__pycache__"]
    named = tree_names((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"))
    wanted = {path.stem for path in [*source.glob("*.py"), *rooms, *(ROOT / "tests").iterdir()]}
    assert wanted - named - {"__init__", "conftest", "__pycache__"} == set()


def test_a_file_that_the_tree_lacks_is_found() -> None:
    names = tree_names("```text\nsrc/glossfree/\n  video/  files: pack\n```\n")
    assert names == {"src", "glossfree", "video", "files", "pack"}


def frame_sizes(text: str) -> list[str]:
    """Corpora that one command packs at another frame size than the recipe that a later one trains on them."""
    packed: dict[str, int] = {}
    wrong = []
    for words in (words for words in shell_lines(text) if words[0] == "glossfree"):
        given = parse_verb(words).params
        if words[1] == "prepare":
            packed[str(given["out"])] = given["frame_size"]
        elif "corpus" in given and given.get("recipe"):
            wanted = load_recipe(given["recipe"], given["overrides"] or ()).data.frame_size
            if packed.get(str(given["corpus"]), wanted) != wanted:
                wrong.append(f"{given['corpus']}: {given['recipe']} needs {wanted}")
    return wrong


def test_corpora_are_packed_as_they_are_used(document: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = document.read_text(encoding="utf-8")
    write_recipes(text, tmp_path)
    monkeypatch.chdir(tmp_path)
    assert frame_sizes(text) == []


def test_a_corpus_packed_otherwise_is_found() -> None:
    train = "glossfree train --recipe hfa-phoenix14t --corpus c --run r"
    for size, wrong in ((256, 0), (72, 1)):
        lines = f"```bash\nglossfree prepare wetter --out c --frame-size {size}\n{train}\n```\n"
        assert len(frame_sizes(lines)) == wrong


def test_generated_tables_are_fresh(generate: ModuleType) -> None:
    for name in generate.SECTIONS_OF:
        text = (ROOT / name).read_text(encoding="utf-8")
        assert text == generate.renewed(name), f"{name} is stale: python docs/generate.py"


def unfinished(document: Path, text: str) -> list[str]:
    """Numbers, pictures and benchmark tables that a page has room for and does not have yet."""
    pictures = [link for link in LINK.findall(text) if link.endswith(PICTURES)]
    missing = [link for link in pictures if not (document.parent / link).is_file()]
    return PLACEHOLDER.findall(text) + missing + EMPTY_TABLE.findall(text)


def test_nothing_is_left_to_fill_in(document: Path) -> None:
    assert unfinished(document, document.read_text(encoding="utf-8")) == []


def test_what_is_left_to_fill_in_is_found(tmp_path: Path) -> None:
    (tmp_path / "there.png").touch()
    text = "{{SECONDS}} ![a](there.png) ![b](gone.png)\n<!-- benchmark: loader -->\n<!-- end -->\n"
    assert unfinished(tmp_path / "page.md", text) == ["{{SECONDS}}", "gone.png", "benchmark: loader"]


def test_pictures_are_small() -> None:
    large = [path.name for path in (ROOT / "docs/images").glob("*") if path.stat().st_size > 400_000]
    assert large == []


@pytest.fixture
def registries() -> Iterator[None]:
    """Corpora, backbones and objectives that a document adds are taken out again."""
    kept = [(registry, dict(registry)) for registry in (CORPORA, BACKBONES, OBJECTIVES)]
    yield
    for registry, before in kept:
        registry.clear()
        registry.update(before)  # type: ignore[arg-type]


def test_python_blocks_run(
    document: Path, place: Path, monkeypatch: pytest.MonkeyPatch, registries: None, capsys: pytest.CaptureFixture[str]
) -> None:
    """In a folder with `runs/wetter` (a prepared corpus), `runs/demo/model` (a model) and `clip.mp4`."""
    monkeypatch.chdir(place)
    namespace: dict[str, object] = {"__name__": "document"}
    for number, block in enumerate(blocks(document.read_text(encoding="utf-8"), "python")):
        exec(compile(block, f"{document.name}, python block {number}", "exec"), namespace)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("glossfree translat MODEL clip.mp4", "no verb"),
        ("glossfree prepare wetter", "out"),
        ("glossfree prepare weter --out runs/wetter", "no corpus"),
        ("glossfree prepare wetter --out runs/wetter --colour", "colour"),
        ("glossfree prepare wetter --out runs/wetter --limit many", "integer"),
        ("glossfree params --recipe hfa-phoenix", "no such recipe"),
        ("glossfree params --recipe demo --set vision.colour=3", "unknown key"),
        ("glossfree recipe hfa-phoenix", "no such recipe"),
        ("glossfree sweep --recipe demo --corpus c --runs r --seeds 0 --grid vision.colour=3", "unknown key"),
        ("torchrun --nproc-per-node 2 -m -- glossfree train --recipe demo --corpus c", "run"),
        ("make dinner", "no target"),
        ("python docs/nothing.py", "no file"),
    ],
)
def test_a_command_that_does_not_exist_is_found(line: str, problem: str) -> None:
    with pytest.raises(Exception) as caught:
        for words in shell_lines(f"```bash\n{line}\n```\n"):
            check_command(words)
    assert problem in getattr(caught.value, "format_message", lambda: str(caught.value))()


def test_a_mention_of_what_does_not_exist_is_found() -> None:
    check_mention("glossfree train --from RUN")
    for mention in ("glossfree train --form RUN", "glossfree finetune"):
        with pytest.raises(AssertionError):
            check_mention(mention)


def test_dead_links_and_undefined_names_are_found(tmp_path: Path) -> None:
    (tmp_path / "code.py").write_text("def here(): ...\nTHERE: int = 3\n")
    page = tmp_path / "page.md"
    assert dead_links(page, "[a](code.py) [b](code.py#L1) [c](https://example.net) [d](gone.py)") == ["gone.py"]
    assert undefined(page, "`here`, `THERE`, `nowhere` in [code](code.py)") == ["nowhere in code.py"]


def test_code_blocks_are_told_apart() -> None:
    text = "```python\nx = 1\n```\n\n```bash\n# note\nglossfree params \\\n  --recipe demo  # why\n```\n"
    assert blocks(text, "python") == ["x = 1\n"]
    assert list(shell_lines(text)) == [["glossfree", "params", "--recipe", "demo"]]
