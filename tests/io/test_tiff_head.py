"""The first description of a TIFF file, without a look at the rest."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np
import pytest
import tifffile

from nucleate.io.tiff_head import first_description

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.base


@pytest.mark.parametrize("bigtiff", [False, True])
@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("text", ["", "abc", "abcdefg", "<OME/>" * 2000])
def test_it_is_the_one_that_tifffile_reads(tmp_path: Path, text: str, byteorder: str, *, bigtiff: bool) -> None:
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path, bigtiff=bigtiff, byteorder=byteorder) as writer:  # type: ignore[arg-type]
        for said in (text, "another"):
            writer.write(np.zeros((4, 5), np.uint8), description=said or None, metadata=None, contiguous=False)
    with tifffile.TiffFile(path) as tiff:
        assert first_description(path).rstrip("\0") == tiff.pages.first.description[:4096]


def test_of_what_is_cut_short_or_no_tiff_there_is_none(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.zeros((4, 5), np.uint8), description="abcdefg", metadata=None)
    whole = path.read_bytes()
    for length in range(40):
        path.write_bytes(whole[:length])
        assert first_description(path) == ""
    path.write_bytes(b"\x89PNG" + whole)
    assert first_description(path) == ""
    assert first_description(tmp_path / "gone.tif") == ""
    assert first_description(tmp_path) == ""


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.tif")
    assert first_description(tmp_path / "a.tif") == ""
