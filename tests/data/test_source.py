"""Folders and zips read alike, in place, and with a limit."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.data.files import flip, pack, write

from nucleate.data import source
from nucleate.data.source import open_source
from nucleate.errors import DataError, UsageError

pytestmark = pytest.mark.base

PROGRAM = f"""import sys; sys.path.insert(0, {str(Path(__file__).parents[2])!r})
from tests.powerless import give_up_powers; give_up_powers()
from nucleate.data.source import open_source
from nucleate.data.zarr_labels import find_zarr_labels
print(*open_source(sys.argv[1]).names, *find_zarr_labels(sys.argv[1]))"""

FILES = {"b/x.txt": b"X", "a/y.txt": b"Y" * 500, "b/.DS_Store": b"", "__MACOSX/b/x.txt": b"", ".hidden/z": b""}


def test_zip_and_folder_list_the_same(tmp_path: Path) -> None:
    folder = open_source(write(tmp_path / "set", FILES))
    zipped = open_source(pack(tmp_path / "set.zip", FILES))
    assert folder.names == zipped.names == ["a/y.txt", "b/x.txt"]
    assert folder.folders == zipped.folders == {"a", "b"}
    assert folder.read("b/x.txt") == zipped.read("b/x.txt") == b"X"


@pytest.mark.parametrize("kind", ["zip", "folder"])
def test_a_part_can_be_chosen(tmp_path: Path, kind: str) -> None:
    path = pack(tmp_path / "set.zip", FILES) if kind == "zip" else write(tmp_path / "set", FILES)
    assert open_source(f"{path}::b").names == ["b/x.txt"]
    assert open_source(f"{path}::a/").names == ["a/y.txt"]
    with pytest.raises(UsageError, match="no folder 'c'"):
        open_source(f"{path}::c")


def test_nothing_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nothing at .*none: no such file"):
        open_source(tmp_path / "none")
    for place in ("s3://b/x", Path("s3://b/x")):
        with pytest.raises(UsageError, match=rf"nothing at {place}: an address; remote stores are not read"):
            open_source(place)
    (tmp_path / "text.zip").write_bytes(b"no zip")
    with pytest.raises(DataError, match="cannot open"):
        open_source(tmp_path / "text.zip")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_pipes_and_devices_are_not_read(tmp_path: Path) -> None:
    folder = write(tmp_path / "set", {"b/x.txt": b"X"})
    os.mkfifo(folder / "pipe.png")
    (folder / "link.png").symlink_to("/dev/zero")
    opened = open_source(folder)
    for name in ("pipe.png", "link.png"):
        with pytest.raises(DataError, match=rf"cannot read .*{name}: not a regular file"):
            opened.read(name)
        with pytest.raises(DataError, match=rf"cannot read .*{name}: not a regular file"):
            opened.fingerprint({name})
        with pytest.raises(UsageError, match=rf"{name}: not a regular file; give a file or folder"):
            open_source(folder / name)


@pytest.mark.skipif(sys.platform == "win32", reason="no names with colons on Windows")
def test_a_folder_that_ends_in_a_colon_is_no_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(write(tmp_path / "here", {"exp1:/x.txt": b"X"}))
    assert open_source("exp1:/x.txt").names == ["x.txt"]
    with pytest.raises(UsageError, match=r"nothing at exp1:/a: no such file"):
        open_source("exp1:/a")


@pytest.mark.parametrize("kind", ["zip", "folder"])
def test_a_bomb_is_not_unpacked(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = open_source(pack(tmp_path / "s.zip", FILES) if kind == "zip" else write(tmp_path / "s", FILES))
    monkeypatch.setattr(source, "MAX_FILE_BYTES", 499)
    with pytest.raises(DataError, match="would take 500 bytes unpacked, over the limit of 499"):
        opened.read("a/y.txt")
    assert opened.read("b/x.txt") == b"X"


def test_damage_and_absence_are_said_in_one_line(tmp_path: Path) -> None:
    path = pack(tmp_path / "set.zip", {"a.txt": b"some text that is long enough to be packed"})
    flip(path, 40)
    with pytest.raises(DataError, match=r"cannot read a\.txt in") as caught:
        open_source(path).read("a.txt")
    assert "\n" not in str(caught.value)
    with pytest.raises(DataError, match=r"no b\.txt in"):
        open_source(path).read("b.txt")
    with pytest.raises(DataError, match="cannot read"):
        open_source(tmp_path).read("gone.txt")


def test_an_encrypted_entry_is_refused(tmp_path: Path) -> None:
    path = pack(tmp_path / "set.zip", {"a.txt": b"secret"})
    data = bytearray(path.read_bytes())
    for header, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(header) + offset] |= 1
    path.write_bytes(data)
    with pytest.raises(DataError, match="encrypted"):
        open_source(path).read("a.txt")


@pytest.mark.parametrize("kind", ["zip", "folder"])
def test_the_fingerprint_follows_the_content(tmp_path: Path, kind: str) -> None:
    def hashed(name: str, files: dict[str, bytes]) -> str:
        made = pack(tmp_path / f"{name}.zip", files) if kind == "zip" else write(tmp_path / name, files)
        return open_source(made).fingerprint()

    first = hashed("first", {"a": b"1", "b": b"2"})
    assert first == hashed("second", {"b": b"2", "a": b"1"})
    others = [{"a": b"1", "b": b"3"}, {"a": b"1", "c": b"2"}, {"a": b"1"}, {"a": b"12", "b": b""}]
    assert len({first, *(hashed(f"other{n}", files) for n, files in enumerate(others))}) == 5


def test_the_fingerprint_of_a_folder_is_taken_in_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = open_source(write(tmp_path / "set", FILES))
    first = opened.fingerprint()
    monkeypatch.setattr(source, "MAX_FILE_BYTES", 499)
    monkeypatch.setattr(source, "_BLOCK", 7)
    assert opened.fingerprint() == first
    (tmp_path / "set" / "a" / "y.txt").unlink()
    with pytest.raises(DataError, match=r"cannot read .*y\.txt: .*; restore the file"):
        opened.fingerprint()


def test_linked_folders_are_entered_once_and_links_that_lead_back_are_not(tmp_path: Path) -> None:
    kept = write(tmp_path / "kept", {"x.txt": b"X"})
    folder = write(tmp_path / "set", {"z/y.txt": b"Y"})
    try:
        for link, to in {"b": kept, "round": folder, "up": tmp_path, "a": folder / "z"}.items():
            (folder / link).symlink_to(to, target_is_directory=True)
    except OSError:
        pytest.skip("no links on this system")
    opened = open_source(folder)
    assert opened.names == ["b/x.txt", "z/y.txt"]
    assert opened.folders == {"b", "z"}


@pytest.mark.skipif(sys.platform != "linux", reason="powers of the administrator are given up on Linux")
def test_a_folder_that_cannot_be_listed_is_told(tmp_path: Path) -> None:
    folder = write(tmp_path / "set", FILES | {"shut/x.txt": b"", ".shut/x.txt": b"", "seen/z.txt": b""})
    for name, mode in (("shut", 0), (".shut", 0), ("seen", 0o444)):  # the last is listed, but not entered
        (folder / name).chmod(mode)
    try:
        ended = subprocess.run([sys.executable, "-c", PROGRAM, str(folder)], capture_output=True, text=True, check=True)
    finally:
        for name in ("shut", ".shut", "seen"):
            (folder / name).chmod(0o755)
    assert ended.stdout.split() == ["a/y.txt", "b/x.txt", "seen/z.txt"]
    why = "cannot be listed: Permission denied; check that it may be read"
    assert ended.stderr == f"{folder}: passed over the folder shut, which {why}\n"


def test_entries_of_a_zip_may_begin_with_a_dot(tmp_path: Path) -> None:
    opened = open_source(pack(tmp_path / "set.zip", {"./a/y.txt": b"Y"}))
    assert opened.names == ["a/y.txt"]
    assert opened.read("a/y.txt") == b"Y"


def test_a_picture_with_a_long_name_is_unpacked(tmp_path: Path) -> None:
    source = open_source(pack(tmp_path / "a.zip", {f"{'a' * 260}.png": b"x"}))
    with source.file(f"{'a' * 260}.png") as path:
        assert (path.suffix, path.read_bytes()) == (".png", b"x")


def test_a_full_disk_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    source = open_source(pack(tmp_path / "a.zip", {"a.png": b"x"}))
    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(DataError, match=r"cannot unpack a\.png in .*: No space left on device; make room in"):
        source.file("a.png").__enter__()
