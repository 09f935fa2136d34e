"""The package can be imported, and every verb tells its options, where POSIX's own modules and functions are missing.

A fresh interpreter runs with what Windows has: the hook below decides by who imports, since libraries may use whatever
the machine has.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

AS_ON_WINDOWS = """
import builtins, types

MODULES = {"crypt", "fcntl", "grp", "posix", "pty", "pwd", "resource", "syslog", "termios", "tty"}
NAMES = {
    "os": "chown fork forkpty getegid geteuid getgid getloadavg getpgid getpgrp getuid killpg mkfifo nice pread "
    "pwrite register_at_fork sched_getaffinity setsid statvfs sysconf uname WNOHANG O_DIRECTORY O_NOFOLLOW",
    "signal": "SIGALRM SIGCHLD SIGHUP SIGKILL SIGPIPE SIGQUIT SIGUSR1 SIGUSR2 alarm pause pthread_kill setitimer",
}
import_before = builtins.__import__


class Partial(types.ModuleType):
    def __init__(self, module):
        super().__init__(module.__name__)
        self.__dict__["_module"] = module

    def __getattr__(self, name):
        if name in NAMES[self.__name__].split():
            raise AttributeError(f"{self.__name__}.{name} is of POSIX")
        return getattr(self._module, name)


def import_as_on_windows(name, globals=None, locals=None, fromlist=(), level=0):
    if not (globals or {}).get("__name__", "").startswith("glossfree"):
        return import_before(name, globals, locals, fromlist, level)
    if name.partition(".")[0] in MODULES:
        raise ImportError(f"{globals['__name__']} imports {name}, which is of POSIX")
    module = import_before(name, globals, locals, fromlist, level)
    return Partial(module) if name in NAMES else module


builtins.__import__ = import_as_on_windows
"""
IMPORT_ALL = """
import contextlib, importlib, io, pkgutil
import glossfree
from glossfree.cli.app import VERBS, main

for module in pkgutil.walk_packages(glossfree.__path__, "glossfree."):
    if module.name != "glossfree.__main__":
        importlib.import_module(module.name)
for words in ([], *([verb] for verb in VERBS)):
    with contextlib.redirect_stdout(io.StringIO()) as out:
        try:
            main([*words, "--help"])
        except SystemExit as ended:
            assert not ended.code, words
    assert "--help" in out.getvalue(), words
print(len(VERBS))
"""


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", AS_ON_WINDOWS + code], capture_output=True, text=True, check=False)


def test_everything_can_be_imported_and_helps_where_there_is_no_posix() -> None:
    ended = run(IMPORT_ALL)
    assert ended.returncode == 0, ended.stderr
    assert int(ended.stdout) > 15


@pytest.mark.skipif(sys.platform == "win32", reason="compares with what POSIX has")
@pytest.mark.parametrize(
    "line",
    [
        "import fcntl",
        "from resource import getrusage",
        "import os; os.sched_getaffinity(0)",
        "from os import fork",
        "import os as o, signal as s; s.SIGKILL",
    ],
)
def test_what_only_posix_has_is_found(line: str) -> None:
    ended = run(f"exec({line!r}, {{'__name__': 'glossfree.new'}})")
    assert ended.returncode == 1 and "Error: " in ended.stderr, ended.stderr
    assert run(f"exec({line!r}, {{'__name__': 'another'}})").returncode == 0


def test_what_windows_has_is_no_breach() -> None:
    line = "import os, os.path, signal; from os import path; os.getpid(), signal.SIGTERM, path.sep"
    assert run(f"exec({line!r}, {{'__name__': 'glossfree.new'}})").returncode == 0
