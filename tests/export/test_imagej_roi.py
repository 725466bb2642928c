"""Regions of interest for ImageJ, read back by roifile."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import roifile
from hypothesis import given, settings
from tests.export.painting import HOLED, paint
from tests.strategies import label_images

from nucleate.errors import OutputError
from nucleate.export.imagej_roi import write_rois

if TYPE_CHECKING:
    from numpy.typing import NDArray

pytestmark = pytest.mark.base


def _read(path: Path) -> list[Any]:
    found = roifile.roiread(path)
    return found if isinstance(found, list) else [found]


def _rings(roi: Any) -> list[Any]:  # noqa: ANN401 - roifile's coordinates are one array or a list of them
    if roi.composite:
        return [ring[:-1] for ring in roi.coordinates(multi=True)]  # closed: the first corner stands again at the end
    return [roi.coordinates()]


def _painted(rois: list[Any], shape: tuple[int, int]) -> NDArray[np.int32]:
    labels = np.zeros(shape, np.int32)
    for roi in rois:
        labels[paint(_rings(roi), shape)] = int(roi.name)
    return labels


def test_equal_to_the_pixel(tmp_path: Path) -> None:
    path = tmp_path / "a.rois.zip"
    write_rois(path, HOLED, confidence=np.linspace(0.4, 1, 7))
    rois = _read(path)
    np.testing.assert_array_equal(_painted(rois, HOLED.shape), HOLED)
    assert [roi.name for roi in rois] == ["1", "2", "3", "4", "5", "7"]
    kinds = [roifile.ROI_TYPE.POLYGON if len(_rings(roi)) == 1 else roifile.ROI_TYPE.RECT for roi in rois]
    assert [roi.roitype for roi in rois] == kinds
    assert kinds.count(roifile.ROI_TYPE.POLYGON) == 2
    for roi in (roi for roi in rois if roi.composite):
        rows, cols = np.nonzero(np.isin(HOLED, int(roi.name)))
        assert (roi.left, roi.top, roi.right, roi.bottom) == (cols.min(), rows.min(), cols.max() + 1, rows.max() + 1)
    assert [roi.props.strip() for roi in rois][:2] == ["confidence: 0.4000", "confidence: 0.5000"]
    assert {(roi.position, roi.c_position, roi.z_position, roi.t_position) for roi in rois} == {(0, 0, 0, 0)}


@given(label_images())
@settings(max_examples=25)
def test_any_label_image_comes_back(labels: NDArray[np.int32]) -> None:
    if labels.any():
        with tempfile.TemporaryDirectory() as folder:
            write_rois(Path(folder) / "a.zip", labels)
            np.testing.assert_array_equal(_painted(_read(Path(folder) / "a.zip"), labels.shape), labels)


@pytest.mark.parametrize("holed", [False, True])
def test_beyond_sixteen_bits(tmp_path: Path, holed: bool) -> None:
    labels = np.zeros((3, 70_000), np.int32)
    labels[:, 69_990:69_995] = 1
    labels[1, 69_992] = 0 if holed else 1
    write_rois(tmp_path / "a.zip", labels)
    (roi,) = _read(tmp_path / "a.zip")
    part = paint([np.asarray(ring) - [69_980, 0] for ring in _rings(roi)], (3, 20))
    np.testing.assert_array_equal(part, labels[:, 69_980:])


def test_planes_of_stacks(tmp_path: Path) -> None:
    stack = np.zeros((2, 3, 4, 5), np.int32)
    stack[0, 1, 1, 1], stack[1, 2, 3, 4] = 1, 10
    write_rois(tmp_path / "tz.zip", stack, axes="TZ")
    places = [(r.name, r.c_position, r.z_position, r.t_position, r.position) for r in _read(tmp_path / "tz.zip")]
    assert places == [("01", 0, 2, 1, 0), ("10", 0, 3, 2, 0)]
    write_rois(tmp_path / "z.zip", stack[1], axes="Z")  # a plain stack in ImageJ
    assert [(r.position, r.z_position) for r in _read(tmp_path / "z.zip")] == [(3, 0)]
    write_rois(tmp_path / "zc.zip", stack[1], axes="Z", more_axes=True)
    assert [(r.position, r.c_position, r.z_position) for r in _read(tmp_path / "zc.zip")] == [(0, 0, 3)]
    write_rois(tmp_path / "t.zip", stack[1], axes="T", more_axes=True)  # depth projected away: in every slice
    assert [(r.c_position, r.z_position, r.t_position) for r in _read(tmp_path / "t.zip")] == [(0, 0, 3)]
    write_rois(tmp_path / "pages.zip", stack[0])
    assert [r.position for r in _read(tmp_path / "pages.zip")] == [2]


def test_the_same_labels_give_the_same_file(tmp_path: Path) -> None:
    for name in ("a.zip", "b.zip"):
        write_rois(tmp_path / name, HOLED)
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


def test_nowhere_to_write(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot write"):
        write_rois(tmp_path / "no" / "a.zip", HOLED)
