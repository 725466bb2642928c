"""A packed data set holds the same pixels and labels as the one it was made of."""

from __future__ import annotations

from typing import TYPE_CHECKING
from zipfile import ZipFile

import numpy as np
import pytest
from numpy.random import default_rng

from nucleate.data.pack import pack
from nucleate.data.sample import Sample
from nucleate.data.samples import load_samples
from nucleate.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.base


def _sample(name: str, image: np.ndarray) -> Sample:
    labels = np.zeros(image.shape[:2], np.int32)
    labels[2:5, 3:9], labels[6:9, 1:4] = 1, 2
    return Sample(name, image, labels, name)


@pytest.mark.parametrize(
    ("shape", "dtype", "suffix"),
    [((12, 17), np.uint8, ".webp"), ((12, 17, 3), np.uint8, ".webp"), ((12, 17), np.uint16, ".tif")],
)
def test_pixels_and_labels_come_back(tmp_path: Path, shape: tuple[int, ...], dtype: type, suffix: str) -> None:
    image = default_rng(1).integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)
    pack([_sample("a", image), _sample("b", image[::-1])], tmp_path / "set.zip")
    with ZipFile(tmp_path / "set.zip") as made:
        assert sorted(made.namelist()) == [f"images/a{suffix}", f"images/b{suffix}", "labels/a.tif", "labels/b.tif"]
    for found, expected in zip(load_samples(tmp_path / "set.zip"), (image, image[::-1]), strict=True):
        np.testing.assert_array_equal(found.image, expected)
        assert found.image.dtype == dtype
        np.testing.assert_array_equal(found.labels, _sample("", expected).labels)


def test_names_that_look_like_endings_come_back_or_are_refused(tmp_path: Path) -> None:
    image = np.arange(12 * 17, dtype=np.uint8).reshape(12, 17)
    names = ["b", "b.overlay", "cell_mask", "n.overlay", "p_img", "x.labels"]
    pack([_sample(name, image) for name in names], tmp_path / "set.zip")
    assert [sample.image_id for sample in load_samples(tmp_path / "set.zip", cache=tmp_path)] == names
    with pytest.raises(DataError, match="stack/0: its name would be read as another one"):
        pack([_sample("stack/0", image)], tmp_path / "other.zip")
    assert not (tmp_path / "other.zip").exists()
