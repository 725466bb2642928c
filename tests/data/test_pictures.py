"""Pictures by id in each layout."""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from nucleate.data.pictures import open_pictures
from nucleate.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.base


def _write(path: Path, value: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((3, 4), value, np.uint8)).save(path)


def test_plain_files_and_folders_below(tmp_path: Path) -> None:
    _write(tmp_path / "a.png", 1)
    _write(tmp_path / "images" / "b.tif", 2)
    _write(tmp_path / "labels" / "b.tif", 9)
    _write(tmp_path / "a.labels.png", 9)
    read = open_pictures(tmp_path)
    for image_id, value in (("a", 1), ("b", 2)):
        picture = read(image_id)
        assert picture is not None
        assert picture.tolist() == [[value] * 4] * 3
    assert read("c") is None


def test_kaggle_layout_in_a_zip(tmp_path: Path) -> None:
    _write(tmp_path / "k" / "x1" / "images" / "x1.png", 5)
    _write(tmp_path / "k" / "x1" / "masks" / "m.png", 255)
    with zipfile.ZipFile(tmp_path / "k.zip", "w") as archive:
        for path in sorted((tmp_path / "k").rglob("*.png")):
            archive.write(path, path.relative_to(tmp_path / "k").as_posix())
    for source in (tmp_path / "k", tmp_path / "k.zip"):
        read = open_pictures(source)
        picture = read("x1")
        assert picture is not None
        assert int(picture.max()) == 5
        assert read("m") is None


def test_a_damaged_picture_is_an_error_when_asked_for(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\nnonsense")
    read = open_pictures(tmp_path)
    with pytest.raises(DataError, match=r"a\.png"):
        read("a")
