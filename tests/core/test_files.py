"""Atomic writing: the old file or the new one, never half of one, and nothing left behind."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest

from nucleate.core.files import atomic_path, make_folder
from nucleate.errors import OutputError

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.base


def test_the_final_name_appears_only_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "a.labels.tif"
    with atomic_path(path) as temporary:
        temporary.write_bytes(b"new")
        assert temporary.parent == tmp_path
        assert temporary.suffix == ".tif"
        assert not path.exists()
    assert path.read_bytes() == b"new"
    assert [found.name for found in tmp_path.iterdir()] == ["a.labels.tif"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_on_any_error_the_old_file_stays_and_nothing_is_left(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"old")

    def fail() -> None:
        with atomic_path(path) as temporary:
            temporary.write_bytes(b"half")
            raise error

    with pytest.raises(error):
        fail()
    assert path.read_bytes() == b"old"
    assert [found.name for found in tmp_path.iterdir()] == ["a.csv"]


def test_a_full_disk_is_one_line(tmp_path: Path) -> None:
    def fail() -> None:
        with atomic_path(tmp_path / "a.csv"):
            raise OSError(28, "No space left on device")

    with pytest.raises(OutputError, match=r"cannot write .*a\.csv: No space left on device; free space") as caught:
        fail()
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_no_folder_and_a_folder_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "b.csv").mkdir()
    for path in (tmp_path / "no" / "a.csv", tmp_path / "b.csv"):
        with pytest.raises(OutputError, match="cannot write"), atomic_path(path) as temporary:
            temporary.write_bytes(b"x")
    assert [found.name for found in tmp_path.iterdir()] == ["b.csv"]


def test_permissions_are_those_of_an_ordinary_new_file(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        with atomic_path(tmp_path / "a.txt") as temporary:
            temporary.write_text("x")
    finally:
        after = os.umask(before)
    assert after == 0o027  # reading the mask did not change it
    assert stat.S_IMODE((tmp_path / "a.txt").stat().st_mode) == 0o640


def test_make_folder(tmp_path: Path) -> None:
    assert make_folder(tmp_path / "a" / "b").is_dir()
    assert make_folder(str(tmp_path / "a" / "b")).is_dir()
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"cannot make folder .*file"):
        make_folder(tmp_path / "file")
