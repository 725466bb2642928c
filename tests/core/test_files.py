"""Atomic writing: the old file or the new one, never half of one, and nothing left behind."""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING

import pytest

from nucleate.core.files import (
    atomic_folder,
    atomic_path,
    check_place,
    make_folder,
    scratch_folder,
    short_name,
    temporary_folder,
    write_rows,
    write_text,
)
from nucleate.errors import OutputError, UsageError

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


def test_what_a_link_leads_to_is_written(tmp_path: Path) -> None:
    large, small = tmp_path / "large", tmp_path / "small"
    large.mkdir()
    small.mkdir()
    (large / "old.csv").write_text("old")
    for name in ("old.csv", "new.csv"):
        (small / name).symlink_to(large / name)
        check_place(small / name)
        write_text(small / name, "new")
        assert (small / name).is_symlink()
        assert (large / name).read_text() == "new"
    assert {path.name for path in tmp_path.rglob("*.csv")} == {"old.csv", "new.csv"}
    (small / "plot.png").symlink_to(large / "ab12")
    with atomic_path(small / "plot.png") as temporary:
        assert (temporary.parent, temporary.suffix) == (large, ".png")  # of the name that was asked for
        temporary.write_text("new")
    assert (large / "ab12").read_text() == "new"
    (small / "lost.csv").symlink_to(tmp_path / "gone" / "lost.csv")
    for write in (check_place, lambda path: write_text(path, "new")):
        with pytest.raises(OutputError, match=r"gone/lost\.csv: No such file.*its folder is not there: make it"):
            write(small / "lost.csv")


def test_a_place_is_looked_at_and_nothing_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for place in (tmp_path / "a" / "b" / "s.json", "a/b/s.json", "s.json"):
        check_place(place)
    assert not list(tmp_path.iterdir())
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="file is a file; name a folder"):
        check_place(tmp_path / "file" / "a" / "s.json")
    with pytest.raises(OutputError, match="File name too long"):
        check_place(tmp_path / ("x" * 300) / "s.json")
    monkeypatch.setattr("tempfile.TemporaryFile", _refused)
    with pytest.raises(OutputError, match=r"cannot write .*s\.json: Permission denied; get the right to write there"):
        check_place(tmp_path / "a" / "s.json")


def _refused(**_: object) -> None:
    raise PermissionError(errno.EACCES, "Permission denied")


def test_permissions_are_those_of_an_ordinary_new_file(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        with atomic_path(tmp_path / "a.txt") as temporary:
            temporary.write_text("x")
    finally:
        after = os.umask(before)
    assert after == 0o027  # reading the mask did not change it
    assert stat.S_IMODE((tmp_path / "a.txt").stat().st_mode) == 0o640


def test_text_and_tables_take_any_name_and_keep_their_line_ends(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "\udcff ü\n\r\n")
    assert (tmp_path / "a.txt").read_bytes() == "\\udcff ü\n\r\n".encode()
    write_rows(tmp_path / "a.csv", ([name, None, 1.5] for name in ("\udcff.png", 'a, "b"')), header=["name", "", "x"])
    assert (tmp_path / "a.csv").read_bytes() == b'name,,x\n\\udcff.png,,1.5\n"a, ""b""",,1.5\n'


def test_rows_that_fail_leave_the_old_table(tmp_path: Path) -> None:
    write_rows(tmp_path / "a.csv", [], header=["old"])
    with pytest.raises(ZeroDivisionError):
        write_rows(tmp_path / "a.csv", ([1 // n] for n in (1, 0)), header=["new"])
    assert [(found.name, found.read_text()) for found in tmp_path.iterdir()] == [("a.csv", "old\n")]


def test_make_folder(tmp_path: Path) -> None:
    assert make_folder(tmp_path / "a" / "b").is_dir()
    assert make_folder(str(tmp_path / "a" / "b")).is_dir()
    (tmp_path / "file").touch()
    for place in (tmp_path / "file", tmp_path / "file" / "a" / "b"):
        with pytest.raises(UsageError, match="file is a file; name a folder"):
            make_folder(place)
    with pytest.raises(OutputError, match=r"cannot make folder .*xxx: File name too long"):
        make_folder(tmp_path / ("x" * 300))


def test_a_link_to_nothing_is_no_folder(tmp_path: Path) -> None:
    try:
        (tmp_path / "link").symlink_to(tmp_path / "gone")
    except OSError:
        pytest.skip("no right to make links")
    for place in (tmp_path / "link", tmp_path / "link" / "a"):
        with pytest.raises(UsageError, match="link is a link to no folder; name a folder"):
            make_folder(place)


def test_a_folder_appears_when_it_is_complete_and_replaces_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "a.ome.zarr"
    for content in ("old", "new"):
        with atomic_folder(path) as temporary:
            assert temporary.parent == tmp_path
            assert temporary.suffix == ".zarr"
            (temporary / "0" / "1").mkdir(parents=True)
            (temporary / "0" / "1" / content).write_text(content)
            assert [p.name for p in path.rglob("*") if p.is_file()] == ["old"] * (content == "new")
        assert [p.name for p in path.rglob("*") if p.is_file()] == [content]
    assert [found.name for found in tmp_path.iterdir()] == ["a.ome.zarr"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_on_any_error_the_old_folder_stays(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "a.zarr"
    path.mkdir()
    (path / "old").touch()

    def fail() -> None:
        with atomic_folder(path) as temporary:
            (temporary / "half").touch()
            raise error

    with pytest.raises(error):
        fail()
    assert [found.relative_to(tmp_path).as_posix() for found in sorted(tmp_path.rglob("*"))] == ["a.zarr", "a.zarr/old"]


def test_an_exchange_that_fails_puts_the_old_folder_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.zarr"
    path.mkdir()
    (path / "old").touch()
    replace = type(path).replace

    def once(self: Path, target: Path) -> Path:
        if target == path and self.name.startswith(".writing-"):
            raise OSError(5, "Input/output error")
        return replace(self, target)

    monkeypatch.setattr(type(path), "replace", once)
    with pytest.raises(OutputError, match="Input/output error"), atomic_folder(path) as temporary:
        (temporary / "new").touch()
    assert [found.relative_to(tmp_path).as_posix() for found in sorted(tmp_path.rglob("*"))] == ["a.zarr", "a.zarr/old"]


def test_a_file_in_the_way_of_a_folder_stays(tmp_path: Path) -> None:
    (tmp_path / "a.zarr").write_text("mine")
    with pytest.raises(OutputError, match="cannot write"), atomic_folder(tmp_path / "a.zarr") as temporary:
        (temporary / "new").touch()
    assert (tmp_path / "a.zarr").read_text() == "mine"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_writer_that_makes_a_private_file_does_not_keep_it_private(tmp_path: Path) -> None:
    with atomic_path(tmp_path / "weights.bin") as temporary:
        temporary.unlink()
        temporary.touch(mode=0o600)
    umask = os.umask(0o022)
    os.umask(umask)
    assert (tmp_path / "weights.bin").stat().st_mode & 0o777 == 0o666 & ~umask


def test_where_nothing_temporary_can_be_written_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def find_none() -> str:
        raise FileNotFoundError("No usable temporary directory found")

    monkeypatch.setattr("tempfile.gettempdir", find_none)
    with pytest.raises(OutputError, match="no temporary folder can be written; set TMPDIR to a folder that can"):
        temporary_folder()
    with pytest.raises(OutputError, match="no temporary folder can be written"), scratch_folder():
        pass


@pytest.mark.parametrize("within", [False, True])
def test_a_scratch_folder_is_private_and_goes_with_what_is_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, within: bool
) -> None:
    place = tmp_path / "place"
    place.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path if within else place))
    with scratch_folder(place if within else None) as first, scratch_folder(place) as second:
        assert first != second
        assert (first.parent, first.name.startswith("nucleate-"), first.stat().st_mode & 0o777) == (place, True, 0o700)
        (first / "a").mkdir()
        (first / "a" / "b.txt").write_text("b", encoding="utf-8")
    assert list(tmp_path.iterdir()) == [place]
    assert not list(place.iterdir())


def test_a_scratch_folder_goes_after_an_error_and_a_place_that_is_not_there_is_one(tmp_path: Path) -> None:
    with pytest.raises(KeyError), scratch_folder(tmp_path):
        raise KeyError
    assert not list(tmp_path.iterdir())
    with pytest.raises(FileNotFoundError), scratch_folder(tmp_path / "none"):
        pass


def test_a_long_name_is_cut_between_letters() -> None:
    cut = short_name(300 * "\u00e9")
    assert cut.startswith(105 * "\u00e9" + "-")
    assert len(os.fsencode(cut)) == 219
    assert short_name(300 * "\udcff").startswith(211 * "\udcff" + "-")
    assert short_name("\ud800") == "\\ud800"
