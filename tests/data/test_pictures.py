"""Pictures by id in each layout."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.data.files import pack, picture_of, png, write

from nucleate.data.pictures import open_pictures
from nucleate.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.base


def test_plain_files_and_folders_below(tmp_path: Path) -> None:
    values = {"a.png": 1, "images/b.tif": 2, "labels/b.tif": 9, "a.labels.png": 9}
    write(tmp_path, {name: png([[value] * 4] * 3) for name, value in values.items()})
    assert [picture_of(tmp_path, name) for name in "abc"] == [[[1] * 4] * 3, [[2] * 4] * 3, None]


def test_kaggle_layout_in_a_zip(tmp_path: Path) -> None:
    files = {"x1/images/x1.png": png([[5]]), "x1/masks/m.png": png([[255]])}
    for source in (write(tmp_path / "k", files), pack(tmp_path / "k.zip", files)):
        assert (picture_of(source, "x1"), picture_of(source, "m")) == ([[5]], None)


def test_a_damaged_picture_is_an_error_when_asked_for(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\nnonsense")
    read = open_pictures(tmp_path)
    with pytest.raises(DataError, match=r"a\.png"):
        read("a")
