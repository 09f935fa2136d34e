"""Videos and image folders below a root: names in either Unicode form, companions, links in a circle; ids."""

from __future__ import annotations

import unicodedata
from pathlib import Path, PurePosixPath

import pytest

from glossfree.corpora.files import Files, is_companion, is_safe_id, safe_id, walk

NFD, NFC = "fu\u0308nf", "fünf"


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


@pytest.mark.parametrize("disk", [NFC, NFD])
@pytest.mark.parametrize("table", [NFC, NFD])
def test_a_name_is_found_in_either_unicode_form_of_disk_and_table(tmp_path: Path, disk: str, table: str) -> None:
    files = Files(touch(tmp_path, f"a/{disk}/{disk}.mp4", f"a/{disk} bilder/1.png", "a/six.mp4"))
    video, images = tmp_path / "a" / disk / f"{disk}.mp4", tmp_path / "a" / f"{disk} bilder"
    assert files.by_id(table) == files.by_path(PurePosixPath(f"a/{table}/{table}.mp4")) == [video]
    assert files.by_id(f"{table} bilder") == files.by_path(PurePosixPath(f"a/{table} bilder")) == [images]
    assert files.by_id("six") == [tmp_path / "a/six.mp4"]


def test_both_forms_on_one_disk_are_two_files(tmp_path: Path) -> None:
    files = Files(touch(tmp_path, f"{NFC}.mp4", f"{NFD}.mp4"))
    if len(list(tmp_path.iterdir())) < 2:
        pytest.skip("a file system that normalises names")
    assert len(files.by_id(NFC)) == 2
    assert files.by_path(PurePosixPath(f"{NFD}.mp4")) == [tmp_path / f"{NFD}.mp4"]  # as it stands


def test_an_ending_may_be_left_away_from_a_path_and_stand_in_an_id(tmp_path: Path) -> None:
    files = Files(touch(tmp_path, "a/one.MP4", "a/two.mov", "a/two.webm", "a/three/1.png", "b/one.mkv", "a/._one.mp4"))
    assert files.by_path(PurePosixPath("a/one")) == [tmp_path / "a/one.MP4"]
    assert files.by_path(PurePosixPath("a/two")) == [tmp_path / "a/two.mov", tmp_path / "a/two.webm"]
    assert files.by_path(PurePosixPath("a/one.mkv")) == []
    assert files.by_id("one.mkv") == [tmp_path / "b/one.mkv"]
    assert files.by_id("one.mov") == []


@pytest.mark.parametrize(
    "name", ["._x.mp4", ".DS_Store", "Thumbs.db", "thumbs.db", "desktop.ini", "__MACOSX", "@eaDir"]
)
def test_what_operating_systems_leave_is_a_companion(name: str) -> None:
    assert is_companion(name)
    assert not is_companion(f"a{name}")


def test_companions_are_no_sources(tmp_path: Path) -> None:
    touch(tmp_path, "a/._1.png", "a/Thumbs.db", "b/1.png", "b/._1.png", "__MACOSX/c.mp4", "@eaDir/d.mp4/thumb.jpg")
    touch(tmp_path, "._e.mp4", "e.mp4", ".hidden/f.mp4", "1.png")
    assert Files(tmp_path).sources == {"b": [tmp_path / "b"], "e": [tmp_path / "e.mp4"]}


def test_prepared_folders_are_passed_over_but_not_the_root(tmp_path: Path) -> None:
    touch(tmp_path, "corpus.json", "a.mp4", "packed/corpus.json", "packed/clips/train/a.mp4", "half/manifest.jsonl")
    assert Files(tmp_path).sources == {"a": [tmp_path / "a.mp4"]}


def test_linked_folders_are_walked_once_and_circles_end(tmp_path: Path) -> None:
    touch(tmp_path, "outside/one.mp4", "elsewhere/deep/three.mp4")
    root = tmp_path / "root"
    touch(root, "a/two.mp4", "a/b/four.mp4")
    (root / "link").symlink_to(tmp_path / "outside", target_is_directory=True)
    (root / "a" / "up").symlink_to(root, target_is_directory=True)
    (root / "a" / "b" / "itself").symlink_to(root / "a" / "b", target_is_directory=True)
    (root / "again").symlink_to(root / "a", target_is_directory=True)
    (root / "above").symlink_to(tmp_path, target_is_directory=True)  # holds the root: a circle as well
    (root / "gone").symlink_to(tmp_path / "nowhere", target_is_directory=True)
    sources = Files(root).sources
    assert sources == {
        "one": [root / "link/one.mp4"],
        "two": [root / "a/two.mp4"],
        "four": [root / "a/b/four.mp4"],
    }
    assert [here for here, _ in walk(root)] == [root, root / "a", root / "a/b", root / "link"]


def test_a_folder_may_be_named_in_nfd_and_its_file_in_nfc(tmp_path: Path) -> None:
    files = Files(touch(tmp_path, f"{NFD}/{NFC}.mp4"))
    for form in ("NFC", "NFD"):
        path = PurePosixPath(unicodedata.normalize(form, f"{NFC}/{NFC}"))
        assert files.by_path(path) == [tmp_path / NFD / f"{NFC}.mp4"]


def test_a_name_that_the_file_system_refuses_is_not_there(tmp_path: Path) -> None:
    files = Files(touch(tmp_path, "a.mp4"))
    assert files.by_path(PurePosixPath("x" * 300 + ".mp4")) == []
    assert files.by_path(PurePosixPath("a.mp4/b.mp4")) == []


@pytest.mark.parametrize("name", ["11August_2010_Wednesday_tagesschau-1", "Gruß.3", "a+b=c@d", "x"])
def test_a_safe_name_stays(name: str) -> None:
    assert is_safe_id(name)
    assert safe_id(name) == name


@pytest.mark.parametrize("name", ["", ".hidden", "..", "a/b", "a\\b", "a b", "a:b", "a\nb", "ü" * 76, "x" * 151, "a?*"])
def test_any_other_name_becomes_a_safe_one_of_its_own(name: str) -> None:
    assert not is_safe_id(name)
    assert is_safe_id(safe_id(name))
    assert safe_id(name) == safe_id(name)
    assert safe_id(name) != safe_id(name + "?")


def test_names_that_differ_only_in_unsafe_signs_stay_apart() -> None:
    assert len({safe_id(name) for name in ("a b", "a/b", "a:b", "a_b")}) == 4


@pytest.mark.parametrize("disk", [NFC, NFD])
def test_a_name_is_found_in_the_first_folder_that_has_it(tmp_path: Path, disk: str) -> None:
    files = Files(touch(tmp_path, f"b/{disk}.webm", f"c/{disk}.mp4", "c/sechs/1.png", "c/.sieben.mp4", "acht.mkv"))
    assert files.find(["a", "b", "c"], NFC) == files.find(["b"], NFD) == tmp_path / f"b/{disk}.webm"
    assert files.find(["c", "b"], NFC) == tmp_path / f"c/{disk}.mp4"
    assert files.find(["b", "c"], "sechs") == tmp_path / "c/sechs"
    assert files.find(["b", "."], "acht") == tmp_path / "acht.mkv"
    assert [files.find(["b", "c"], name) for name in (".sieben", "acht", "neun")] == [None, None, None]
