"""Tables read back, as they were written and as a spreadsheet program saved them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from nucleate.errors import InputError
from nucleate.export.read_table import column_names, read_columns

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.base


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_columns_are_found_with_and_without_a_mark_before_them(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text("image,area_px\nx,1.5\ny,\n", encoding=encoding)
    assert column_names(path) == ["image", "area_px"]
    found = read_columns(path, ["area_px"], texts=["image"])
    assert found["image"].tolist() == ["x", "y"]
    assert found["area_px"].tolist()[0] == 1.5


def test_an_open_quote_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('image\n"' + "x" * 140_000, encoding="utf-8")
    with pytest.raises(InputError, match=r"a\.csv: cannot be read: damaged; make it again"):
        read_columns(path, texts=["image"])


def test_a_column_that_is_needed_and_not_there_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("image,area_px\nx,1.5\n", encoding="utf-8")
    for text, number in (("status", "area_px"), ("image", "nuclei")):
        with pytest.raises(InputError, match=r"a\.csv: no column (status|nuclei): got 2 others; make it again"):
            read_columns(path, texts=[text], needed=[number])


def test_a_heading_that_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "empty.csv").write_bytes(b"")
    assert column_names(tmp_path / "empty.csv") == []
    (tmp_path / "a.csv").write_bytes(b"image,\xff\n")
    for name, reason in (("a.csv", "damaged"), ("none.csv", "No such file or directory")):
        with pytest.raises(InputError, match=rf"{name}: cannot be read: {reason}; make it again"):
            column_names(tmp_path / name)
