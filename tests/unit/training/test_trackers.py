"""Trackers: one that is missing or fails to start is said before anything begins; one that fails later ends alone."""

from __future__ import annotations

from inspect import signature
from pathlib import Path
from typing import Any, ClassVar

import pytest
from accelerate.tracking import LOGGER_TYPE_TO_CLASS, GeneralTracker
from accelerate.utils import LoggerType
from tests.unit.training.toys import a_run

from glossfree.console import Silent
from glossfree.errors import RunError
from glossfree.training import trackers as module
from glossfree.training.trackers import FOLDER, PROJECT, TRACKERS, Trackers, check_trackers


class Fake(GeneralTracker):
    """Stands for an installed package: keeps what it is told, and may fail anywhere."""

    requires_logging_directory = False
    made: ClassVar[list[Fake]] = []
    fails_in = ""

    def __init__(self, project: str, **options: Any) -> None:
        super().__init__()
        self.project, self.options, self.told = project, options, list[tuple[str, Any, Any]]()
        Fake.made.append(self)

    @property
    def tracker(self) -> object:
        return self

    def _told(self, what: str, value: Any = None, step: int | None = None) -> None:
        if self.fails_in == what:
            raise ConnectionError(f"{what}: no route\nto the server")
        self.told.append((what, value, step))

    def start(self) -> None:
        self._told("start")

    def store_init_configuration(self, values: dict[str, Any]) -> None:
        self._told("settings", values)

    def log(self, values: dict[str, Any], step: int | None = None, **_: Any) -> None:
        self._told("log", values, step)

    def finish(self) -> None:
        self._told("finish")


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> type[Fake]:
    """wandb and mlflow are there, and fake; nothing else is."""
    monkeypatch.setattr(Fake, "made", [])
    available: list[LoggerType] = []
    for name in ("wandb", "mlflow"):
        monkeypatch.setitem(LOGGER_TYPE_TO_CLASS, name, type(name.title(), (Fake,), {"name": name}))
        available.append(LoggerType(name))
    monkeypatch.setattr(module, "get_available_trackers", lambda: available)
    monkeypatch.setattr("accelerate.tracking.get_available_trackers", lambda: available)
    return Fake


def start(folder: Path, *names: str, console: Silent | None = None) -> Trackers:
    settings = {
        "seed": 4,
        "data.stride": 1,
        "pretrain.augment": True,
        "pseudo_glosses.splits": ("train", "dev"),
        "x": 0.5,
    }
    return Trackers.start(names, a_run(folder), settings, console or Silent(), "no")


def test_every_tracker_is_one_of_accelerate_s() -> None:
    assert set(TRACKERS) <= {str(name) for name in LOGGER_TYPE_TO_CLASS}


def test_accelerate_s_own_take_what_they_are_told(tmp_path: Path) -> None:
    for name, options in module._arguments(a_run(tmp_path)).items():
        signature(LOGGER_TYPE_TO_CLASS[name].__init__).bind(None, PROJECT, **options)


def test_a_missing_package_is_named_with_its_remedy(installed: type[Fake]) -> None:
    check_trackers([])
    check_trackers(["wandb", "mlflow", "wandb"])
    with pytest.raises(RunError, match=r"--track trackio, tensorboard: .* pip install trackio tensorboard$"):
        check_trackers(["trackio", "wandb", "tensorboard", "trackio"])


def test_a_tracker_that_there_is_none_of_is_refused_with_the_list(installed: type[Fake]) -> None:
    with pytest.raises(
        RunError, match=r"--track wandbb: no such tracker -> one of tensorboard, wandb, trackio, mlflow"
    ):
        check_trackers(["wandb", "wandbb"])


def test_trackers_are_told_which_run_it_is_and_its_settings(installed: type[Fake], tmp_path: Path) -> None:
    started = start(tmp_path / "mine", "wandb", "mlflow", "wandb")
    first, second = installed.made
    assert (first.name, second.name, first.project) == ("wandb", "mlflow", PROJECT)
    assert first.options["name"] == second.options["run_name"] == "mine"
    assert Path(first.options["dir"]) == tmp_path / "mine" / FOLDER
    expected = {
        "seed": 4,
        "data.stride": 1,
        "pretrain.augment": True,
        "pseudo_glosses.splits": "('train', 'dev')",
        "x": 0.5,
    }
    assert first.told == second.told == [("start", None, None), ("settings", expected, None)]
    started.log({"loss": 1.5}, 7)
    started.finish()
    started.finish()
    assert first.told[2:] == second.told[2:] == [("log", {"loss": 1.5}, 7), ("finish", None, None)]


def test_a_resumed_run_goes_on_in_its_own_curve_and_a_new_one_does_not(installed: type[Fake], tmp_path: Path) -> None:
    for folder in ("mine", "mine", "other"):
        start(tmp_path / folder, "wandb")
    marks = [fake.options["id"] for fake in installed.made]
    assert marks[0] == marks[1] != marks[2]
    assert {fake.options["resume"] for fake in installed.made} == {"allow"}


def test_none_asked_for_none_made(installed: type[Fake], tmp_path: Path) -> None:
    started = start(tmp_path)
    started.log({"loss": 1.0}, 1)
    started.finish()
    assert installed.made == [] and not (tmp_path / FOLDER).exists()


@pytest.mark.parametrize("where", ["start", "settings"])
def test_one_that_does_not_start_is_the_user_s_to_mend(
    installed: type[Fake], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    monkeypatch.setattr(Fake, "fails_in", where)
    with pytest.raises(
        RunError, match=rf"--track wandb: did not start \(ConnectionError: {where}: no route\) -> log in"
    ):
        start(tmp_path, "wandb")


@pytest.mark.parametrize("where", ["log", "finish"])
def test_one_that_fails_later_is_left_out_and_said_once(installed: type[Fake], tmp_path: Path, where: str) -> None:
    console = Silent()
    started = start(tmp_path, "wandb", "mlflow", console=console)
    first, second = installed.made
    first.fails_in = where
    for step in (1, 2, 3):
        started.log({"loss": 1.0}, step)
    started.finish()
    (line,) = console.lines
    assert line.startswith(f"warning: wandb failed and is left out from here on (ConnectionError: {where}: no route)")
    assert [what for what, _, _ in second.told] == ["start", "settings", "log", "log", "log", "finish"]


def test_an_interrupt_is_none_of_a_tracker_s_failures(installed: type[Fake], tmp_path: Path) -> None:
    started = start(tmp_path, "wandb")
    installed.made[0].log = lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt())  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        started.log({"loss": 1.0}, 1)
