"""Errors name what, where and what to do, and keep all three on the way out of a worker process."""

from __future__ import annotations

import multiprocessing
import pickle
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from glossfree import errors
from glossfree.corpora.phoenix14t import read_annotations
from glossfree.errors import ClipError, CorpusError, GlossfreeError, named

CHILDREN = [
    errors.GlossfreeError,
    errors.RecipeError,
    errors.CorpusError,
    errors.ClipError,
    errors.ModelError,
    errors.RunError,
    errors.Interrupted,
]


@pytest.mark.parametrize("kind", CHILDREN)
def test_one_line_holds_place_problem_and_remedy_in_this_order(kind: type[GlossfreeError]) -> None:
    error = kind("is empty", where=Path("clips/x.mp4"), remedy="copy it again")
    assert str(error) == "clips/x.mp4: is empty -> copy it again"
    assert (error.problem, error.where, error.remedy) == ("is empty", "clips/x.mp4", "copy it again")
    assert isinstance(error, GlossfreeError)


def test_place_and_remedy_may_be_left_away() -> None:
    assert str(CorpusError("is empty")) == "is empty"
    assert str(CorpusError("is empty", where="k")) == "k: is empty"
    assert str(CorpusError("is empty", remedy="fill it")) == "is empty -> fill it"
    assert CorpusError("is empty").where is None


def test_every_child_of_the_module_is_tested_here() -> None:
    found = {item for item in vars(errors).values() if isinstance(item, type) and issubclass(item, GlossfreeError)}
    assert found == set(CHILDREN)


def test_an_error_keeps_its_kind_and_parts_when_a_process_sends_it_back(tmp_path: Path) -> None:
    missing = tmp_path / "a.csv"
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        error = pool.submit(read_annotations, missing).exception(timeout=60)
    assert type(error) is CorpusError
    assert error.where == str(missing)
    assert error.problem
    assert error.remedy
    assert str(error) == f"{missing}: {error.problem} -> {error.remedy}"


@pytest.mark.parametrize("kind", CHILDREN)
def test_a_pickled_error_is_the_same_error(kind: type[GlossfreeError]) -> None:
    back = pickle.loads(pickle.dumps(kind("broken", where=Path("a/b.mp4"), remedy="mend it")))
    assert type(back) is kind
    assert (back.problem, back.where, back.remedy) == ("broken", "a/b.mp4", "mend it")


def test_ten_names_are_written_out_and_the_rest_is_counted() -> None:
    names = [f"n{number}" for number in range(1, 1235)]
    assert errors.name_some(names[:10]) == "n1, n2, n3, n4, n5, n6, n7, n8, n9, n10"
    assert errors.name_some(names) == "n1, n2, n3, n4, n5, n6, n7, n8, n9, n10 and 1,224 more"
    assert errors.name_some(names[:5], limit=3) == "n1, n2, n3 and 2 more"


def test_an_error_that_names_no_place_gets_one() -> None:
    with pytest.raises(ClipError) as caught, named("a/b"):
        raise ClipError("is odd", remedy="mend it")
    assert str(caught.value) == "a/b: is odd -> mend it"
    with pytest.raises(ClipError, match=r"^c: is odd"), named("a/b"):
        raise ClipError("is odd", where="c")
