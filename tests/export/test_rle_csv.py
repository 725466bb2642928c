"""Kaggle's submission file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from nucleate.errors import OutputError
from nucleate.export.rle_csv import write_submission

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.base


def test_rows_by_hand_in_the_order_given(tmp_path: Path) -> None:
    labels = np.array([[1, 1, 0], [1, 0, 2]], np.int32)
    path = tmp_path / "submission.csv"
    write_submission(path, [("b", labels), ("none", np.zeros((2, 2), np.int32)), ("a,1", labels[:, :1])])
    assert path.read_bytes() == b'ImageId,EncodedPixels\nb,1 3\nb,6 1\nnone,\n"a,1",1 2\n'


def test_no_image_at_all(tmp_path: Path) -> None:
    write_submission(tmp_path / "submission.csv", [])
    assert (tmp_path / "submission.csv").read_text() == "ImageId,EncodedPixels\n"


def test_nowhere_to_write(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot write"):
        write_submission(tmp_path / "no" / "a.csv", [])
