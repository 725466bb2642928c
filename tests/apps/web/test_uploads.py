"""Files from the browser: piece by piece, under safe names, within the room there is."""

from __future__ import annotations

import asyncio
import shutil
from typing import TYPE_CHECKING

import numpy as np
import pytest
from tests.io.ome_sets import plane, write_set

from nucleate.apps.web import uploads
from nucleate.errors import OutputError, UsageError
from nucleate.io.images import read_image
from nucleate.run.inputs import expand

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.base


async def _pieces(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


def _send(folder: Path, name: str, *pieces: bytes, said: int | None = None) -> Path:
    return asyncio.run(uploads.receive(_pieces(*pieces), folder, name=name, said=said))


def test_pieces_become_one_file(tmp_path: Path) -> None:
    path = _send(tmp_path / "in", "a.tif", b"one", b"two", said=6)
    assert (path.name, path.read_bytes()) == ("a.tif", b"onetwo")
    assert [one.name for one in path.parent.iterdir()] == ["a.tif"]


def test_nothing_is_overwritten_and_nothing_kept_twice(tmp_path: Path) -> None:
    first = _send(tmp_path, "a.tif", b"one")
    other = _send(tmp_path, "a.tif", b"two")
    again = _send(tmp_path, "a.tif", b"one")
    assert (first.name, other.name, again) == ("a.tif", "a-2.tif", first)
    assert first.read_bytes() == b"one"


def test_sets_of_files_of_the_same_names_stay_apart_and_whole(tmp_path: Path) -> None:
    names = ["c0.ome.tif", "c1.ome.tif"]
    days: list[tuple[str, list[list[str]]]] = [("monday", []), ("tuesday", [["other.ome.tif"]])]
    sent = []
    for day, others in days:
        (tmp_path / day).mkdir()
        write_set(tmp_path / day, [*others, names], recording=day)
        sent += [_send(tmp_path / "in", name, (tmp_path / day / name).read_bytes()) for name in names]
    for number, path in enumerate(sent[::2]):
        np.testing.assert_array_equal(read_image(path).pixels, [plane(number, channel) for channel in range(2)])
    assert _send(tmp_path / "in", names[0], sent[2].read_bytes()) == sent[2]
    assert len(expand([str(tmp_path / "in")])) == 2


@pytest.mark.parametrize("pointing", [False, True])
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0)])
def test_a_set_with_more_files_than_one_of_the_same_names_stays_whole(
    order: tuple[int, ...], pointing: bool, tmp_path: Path
) -> None:
    sent = []
    for day, count, in_order in (("monday", 2, (0, 1)), ("tuesday", 3, order)):
        (tmp_path / day).mkdir()
        names = [f"c{number}.ome.tif" for number in range(count)]
        files = write_set(tmp_path / day, [names], recording=day, pointing=pointing)
        sent.append([_send(tmp_path / "in", files[i].name, files[i].read_bytes()) for i in in_order])
    assert [{path.parent.relative_to(tmp_path).as_posix() for path in day} for day in sent] == [{"in"}, {"in/2"}]
    assert len(expand([str(tmp_path / "in")])) == 2


@pytest.mark.parametrize(
    "name", ["../a.tif", "a/b.tif", "..", "a\\b.tif", "", " ", ".hidden", "a\nb.tif", ".writing-a"]
)
def test_names_that_lead_elsewhere_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        _send(tmp_path / "in", name, b"x")
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_what_was_cut_short_is_not_kept(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="3 of 9 bytes"):
        _send(tmp_path, "a.tif", b"one", said=9)
    assert list(tmp_path.iterdir()) == []


def test_what_the_disk_has_no_room_for_is_refused_before_it_comes(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="no room"):
        _send(tmp_path, "a.tif", b"x", said=10**18)
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_fills_up_meanwhile_ends_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free = iter([10**12, 10**12, 1])
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(uploads, "_ASKED", 2)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=next(free)))
    with pytest.raises(OutputError, match="no room"):
        _send(tmp_path, "a.tif", b"one", b"two", b"six")
    assert list(tmp_path.iterdir()) == []
