"""Members of zip archives: found once, read alone, and refused with a reason."""

from __future__ import annotations

import hashlib
import os
import pickle
import zipfile
from typing import TYPE_CHECKING

import pytest
from tests.io.ome_sets import write_set

from nucleate.errors import InputError
from nucleate.run.archives import entries_of, open_entry
from nucleate.run.content import content_hash, local_file
from nucleate.run.inputs import Source, expand

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.base

PACKINGS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)


def _archive(path: Path, *, before: bytes = b"") -> Path:
    """Write members packed in each way, one of odd name, behind bytes that are no part of the archive."""
    path.write_bytes(before)
    with zipfile.ZipFile(path, "a") as archive:
        for number, packing in enumerate(PACKINGS):
            archive.writestr(f"p/{number}.png", bytes([number]) * 5000, packing)
        archive.writestr("p//./\u00e9.png", b"odd")
    return path


def test_members_are_what_was_put_in(tmp_path: Path) -> None:
    path = _archive(tmp_path / "a.zip", before=b"something else in front")
    for number in range(len(PACKINGS)):
        with open_entry(path, entries_of(path)[f"p/{number}.png"]) as member:
            assert member.read() == bytes([number]) * 5000
    sources = expand([str(path)])
    assert [source.member for source in sources] == ["p/0.png", "p/1.png", "p/2.png", "p/3.png", "p/\u00e9.png"]
    assert content_hash(sources[-1]) == hashlib.sha256(b"odd").hexdigest()


def test_the_directory_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sources = expand([str(_archive(tmp_path / "a.zip"))])
    hashes = [content_hash(Source(source.path, source.member)) for source in sources]
    monkeypatch.setattr("zipfile.ZipFile", None)
    travelled = pickle.loads(pickle.dumps(sources))
    assert travelled == sources
    assert [content_hash(source) for source in travelled] == hashes
    with local_file(sources[1], tmp_path) as unpacked:
        assert unpacked.read_bytes() == bytes([1]) * 5000


def test_a_member_is_found_after_the_archive_was_written_anew(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    for names in (["b", "c"], ["a", "b", "c"]):
        with zipfile.ZipFile(path, "w") as archive:
            for name in names:
                archive.writestr(f"{name}.png", f"{len(names)} {name}")
        if len(names) == 2:
            sources = expand([str(path)])
            assert [content_hash(one) for one in sources] == [hashlib.sha256(x).hexdigest() for x in (b"2 b", b"2 c")]
    assert [content_hash(one) for one in sources] == [hashlib.sha256(x).hexdigest() for x in (b"3 b", b"3 c")]
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("b.png", "alone")
    with pytest.raises(InputError, match=r"a.zip!c.png: cannot be unpacked"):
        content_hash(sources[1])


def test_the_directory_is_read_once_more_when_the_archive_was_touched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = _archive(tmp_path / "a.zip")
    sources = expand([str(path)])
    hashes = [content_hash(source) for source in sources]
    os.utime(path)
    opened: list[Path] = []
    plain = zipfile.ZipFile

    def noted(file: Path) -> zipfile.ZipFile:
        opened.append(file)
        return plain(file)

    monkeypatch.setattr("zipfile.ZipFile", noted)
    assert [content_hash(source) for source in sources] == hashes
    assert opened == [path]


@pytest.mark.parametrize("damage", ["other", "cut", "encrypted", "changed"])
def test_an_archive_that_is_not_what_it_was_is_told(tmp_path: Path, damage: str) -> None:
    path = _archive(tmp_path / "a.zip")
    content = bytearray(path.read_bytes())
    if damage == "encrypted":
        content[content.rindex(b"PK\1\2") + 8] |= 1
        path.write_bytes(content)
    source = expand([str(path)])[-1 if damage == "encrypted" else 0]
    if damage == "other":
        path.write_bytes(b"no archive any more")
    elif damage == "cut":
        path.write_bytes(content[:2000])
    elif damage == "changed":
        content[1000] ^= 1
        path.write_bytes(content)
    with pytest.raises(InputError, match=r"cannot be unpacked: .+; check the archive"):
        content_hash(source)


@pytest.mark.parametrize(
    ("pictures", "pointing", "told"),
    [
        ([["a.ome.tif"] * 2] * 2, False, True),
        ([["a.tif", "b.tif"]], False, True),
        ([["a.ome.tif"] * 2, ["b.ome.tif"] * 2], True, True),
        ([["a.ome.tif"] * 2, ["b.ome.tif"] * 2], False, False),
        ([["a.ome.tif"] * 2], False, False),
    ],
)
def test_what_is_not_read_in_an_archive_is_said_once(
    tmp_path: Path, pictures: list[list[str]], caplog: pytest.LogCaptureFixture, *, pointing: bool, told: bool
) -> None:
    (tmp_path / "files").mkdir()
    with zipfile.ZipFile(tmp_path / "s.zip", "w") as archive:
        for path in write_set(tmp_path / "files", pictures, pointing=pointing):
            archive.write(path, path.name)
    for source in expand([str(tmp_path / "s.zip")]) * 2:
        source.read(tmp_path)
    warned = [record.getMessage() for record in caplog.records]
    assert len(warned) == told
    assert all("in it holds several pictures or is one of a set" in line for line in warned)


def test_a_temporary_folder_without_room_is_told_of_the_member_and_of_no_plain_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.png").write_bytes(b"plain")
    archive = _archive(tmp_path / "a.zip")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "gone"))
    with local_file(Source(tmp_path / "a.png")) as path:
        assert path == tmp_path / "a.png"
    said = r"a\.zip!p/0\.png: cannot be unpacked: No such file.*; make room in .*gone, or let TMPDIR name"
    with pytest.raises(InputError, match=said), local_file(expand([str(archive)])[0]):
        pass
