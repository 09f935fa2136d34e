"""Limits that keep the source readable and safe, each checked by a function that is itself shown to fail."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

MAX_FILE_LINES, MAX_FUNCTION_LINES, MAX_CLASS_DEPTH, MAX_BYTES = 400, 60, 3, 500_000
PRINTS = {"glossfree.cli.app", "glossfree.cli.verb"}
PICKLES = {"pickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}
HARMLESS = {("pickle", "UnpicklingError")}  # the error that torch raises, not the module
RESTRICTED = {("glossfree.files.pickles", "_Unpickler")}  # a subclass there, which builds plain values only
DEVICES = ("cuda", "cpu", "mps", "xpu")
BROAD = {"Exception", "BaseException"}
# spaCy is optional, and a broken one may raise anything; tokenizers raises nothing narrower
IMPORTS_ANOTHERS = {"glossfree.text.tagging", "glossfree.text.language_model"}
Trees = Mapping[str, ast.Module]


def called(node: ast.Call) -> str:
    """`torch.load(...)` -> "torch.load"; `f().eval()` -> ".eval"."""
    parts: list[str] = []
    target: ast.expr = node.func
    while isinstance(target, ast.Attribute):
        parts.append(target.attr)
        target = target.value
    parts.append(target.id if isinstance(target, ast.Name) else "")
    return ".".join(reversed(parts))


def keyword(node: ast.Call, name: str) -> object:
    """The constant that a call passes as keyword `name`; None if it passes none."""
    return next((k.value.value for k in node.keywords if k.arg == name and isinstance(k.value, ast.Constant)), None)


def calls(tree: ast.Module) -> Iterator[ast.Call]:
    yield from (node for node in ast.walk(tree) if isinstance(node, ast.Call))


def long_functions(trees: Trees) -> list[str]:
    """Functions of more than MAX_FUNCTION_LINES lines, decorators aside."""
    return [
        f"{name}.{node.name}: {node.end_lineno - node.lineno + 1} lines"
        for name, tree in trees.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno is not None
        and node.end_lineno - node.lineno + 1 > MAX_FUNCTION_LINES
    ]


def deep_classes(trees: Trees) -> list[str]:
    """Classes with more than MAX_CLASS_DEPTH of our own in their line, themselves included."""
    parents = {
        node.name: [base.id for base in node.bases if isinstance(base, ast.Name)]
        for tree in trees.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
    }

    def depth(name: str) -> int:
        return 1 + max((depth(base) for base in parents[name] if base in parents and base != name), default=0)

    return [f"{name}: {depth(name)}" for name in parents if depth(name) > MAX_CLASS_DEPTH]


def prints(trees: Trees) -> list[str]:
    """Calls of print outside of the command line."""
    return [
        f"{name}, line {node.lineno}"
        for name, tree in trees.items()
        if name not in PRINTS
        for node in calls(tree)
        if called(node) in ("print", "sys.stdout.write", "sys.stderr.write")
    ]


def devices(trees: Trees) -> list[str]:
    """Devices named in a model: a module runs where its input is. `map_location` only says where a file is read to."""
    found = []
    for name, tree in trees.items():
        if not name.startswith("glossfree.models") or name == "glossfree.models.bleurt":
            continue
        excused = {id(k.value) for call in calls(tree) for k in call.keywords if k.arg == "map_location"}
        for node in ast.walk(tree):
            text = node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""
            if text.split(":")[0] in DEVICES and id(node) not in excused:
                found.append(f"{name}, line {node.lineno}: {text}")  # type: ignore[attr-defined]
            if isinstance(node, ast.Attribute) and node.attr in DEVICES:
                found.append(f"{name}, line {node.lineno}: .{node.attr}")
    return found


def unsafe(trees: Trees) -> list[str]:
    """What may run code out of a file, and loading that lets names differ."""
    found = []
    for name, tree in trees.items():
        for node in ast.walk(tree):
            line = f"{name}, line {getattr(node, 'lineno', 0)}"
            if isinstance(node, ast.Import):
                found += [f"{line}: {a.name}" for a in node.names if a.name.split(".")[0] in PICKLES]
            elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in PICKLES:
                wanted = [a.name for a in node.names if (node.module, a.name) not in HARMLESS]
                found += [f"{line}: {wants}" for wants in wanted if (name, wants) not in RESTRICTED]
            elif isinstance(node, ast.Call):
                function = called(node)
                if function == "torch.load" and keyword(node, "weights_only") is not True:
                    found.append(f"{line}: torch.load without weights_only=True")
                if keyword(node, "allow_pickle") is True:
                    found.append(f"{line}: allow_pickle")
                if keyword(node, "strict") is False and function != "zip":
                    found.append(f"{line}: strict=False")
                if function in ("eval", "exec"):
                    found.append(f"{line}: {function}")
    return found


def broad_excepts(trees: Trees) -> list[str]:
    """`except:` and `except Exception`, which hide what nobody thought of."""
    found = []
    for name, tree in trees.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ExceptHandler) and name not in IMPORTS_ANOTHERS:
                caught = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
                if any(kind is None or getattr(kind, "id", "") in BROAD for kind in caught):
                    found.append(f"{name}, line {node.lineno}")
    return found


def without_docstring(trees: Trees) -> list[str]:
    """Modules, and public functions and classes at a module's top, that do not say what they are for."""
    found = []
    for name, tree in trees.items():
        tops = [n for n in tree.body if isinstance(n, ast.FunctionDef | ast.ClassDef) and not n.name.startswith("_")]
        found += [name] if not ast.get_docstring(tree) else []
        found += [f"{name}.{node.name}" for node in tops if not ast.get_docstring(node)]
    return found


def long_files(files: list[Path], limit: int = MAX_FILE_LINES) -> list[str]:
    """Python files of more than `limit` lines."""
    counts = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in files if path.suffix == ".py"}
    return [f"{path}: {count} lines" for path, count in counts.items() if count > limit]


def large_files(files: list[Path], limit: int = MAX_BYTES) -> list[str]:
    """Files of more than `limit` bytes."""
    return [f"{path}: {path.stat().st_size} bytes" for path in files if path.stat().st_size > limit]


CHECKS: list[tuple[Callable[[Trees], list[str]], str, str]] = [
    (long_functions, "def f():\n" + "    x = 1\n" * 60, "def f():\n" + "    x = 1\n" * 59),
    (
        deep_classes,
        "class A(Lib): pass\nclass B(A): pass\nclass C(B): pass\nclass D(C): pass",
        "class A(lib.B): pass\nclass B(A): pass\nclass C(B): pass\nclass D(A): pass",
    ),
    (prints, "def f():\n    print(1)", "console.print(1)"),
    (devices, "x.to('cuda:0')", "torch.load(f, map_location='cpu', weights_only=True)"),
    (devices, "x = x.cpu()", "x = x.to(y.device)"),
    (unsafe, "import pickle", "from pickle import UnpicklingError"),
    (unsafe, "from pickle import _Unpickler", "import pickletools"),
    (unsafe, "from joblib import load", "from safetensors.torch import load_file"),
    (unsafe, "torch.load(f)", "torch.load(f, weights_only=True)"),
    (unsafe, "torch.load(f, weights_only=False)", "load_file(f)"),
    (unsafe, "model.load_state_dict(d, strict=False)", "zip(a, b, strict=False)"),
    (unsafe, "np.load(f, allow_pickle=True)", "np.load(f, allow_pickle=False)"),
    (broad_excepts, "try:\n    f()\nexcept:\n    pass", "try:\n    f()\nexcept OSError:\n    pass"),
    (broad_excepts, "try:\n    f()\nexcept (OSError, Exception):\n    pass", "try:\n    f()\nfinally:\n    pass"),
    (without_docstring, '"""A module."""\ndef f(): pass', '"""A module."""\ndef _f(): pass'),
]


@pytest.mark.parametrize("check", dict.fromkeys(check for check, _, _ in CHECKS), ids=lambda check: check.__name__)
def test_the_source_keeps(check: Callable[[Trees], list[str]], trees: dict[str, ast.Module]) -> None:
    assert check(trees) == []


@pytest.mark.parametrize(("check", "bad", "good"), CHECKS)
def test_a_breach_is_found(check: Callable[[Trees], list[str]], bad: str, good: str) -> None:
    documented = "" if check is without_docstring else '"""A module."""\n'
    assert len(check({"glossfree.models.new": ast.parse(documented + bad)})) == 1
    assert check({"glossfree.models.new": ast.parse(documented + good)}) == []


def test_no_file_is_too_long_to_read(tracked: list[Path]) -> None:
    assert long_files(tracked) == []


def test_no_file_is_too_large_for_git(tracked: list[Path]) -> None:
    # the backbone of docs/evidence.md: trained again it would be another one
    assert large_files([path for path in tracked if not path.match("benchmarks/backbone/model.safetensors")]) == []


def test_files_beyond_a_limit_are_found(tmp_path: Path) -> None:
    (tmp_path / "long.py").write_text("x = 1\n" * 5)
    (tmp_path / "large.bin").write_bytes(bytes(9))
    files = sorted(tmp_path.iterdir())
    assert len(long_files(files, limit=4)) == 1
    assert long_files(files, limit=5) == []
    assert len(large_files([tmp_path / "large.bin"], limit=8)) == 1
    assert large_files([tmp_path / "large.bin"], limit=9) == []
