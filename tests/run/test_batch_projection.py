"""Stacks in depth, plane by plane or put together."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import roifile
import tifffile
from tests.fakes import FakeSegmenter, run

from nucleate.core.project import project
from nucleate.errors import UsageError
from nucleate.io.images import read_image
from nucleate.run.batch import run_batch
from nucleate.run.inputs import expand
from nucleate.run.settings import BatchSettings

if TYPE_CHECKING:
    from pathlib import Path

    from nucleate.run.batch import BatchSummary

pytestmark = pytest.mark.base


def _stack(folder: Path) -> Path:
    """Write two channels of three planes; each plane has a spot of its own."""
    pixels = np.zeros((3, 2, 40, 50), np.uint8)
    for z in range(3):
        pixels[z, 1, 10:18, 5 + 15 * z : 13 + 15 * z] = 200
        pixels[z, 0] = 10 * z
    path = folder / "stack.ome.tif"
    metadata = {"axes": "ZCYX", "Channel": {"Name": ["actin", "DAPI"]}}
    tifffile.imwrite(path, pixels, ome=True, metadata=metadata)
    return path


def _run(path: Path, out: Path, **settings: Any) -> BatchSummary:  # noqa: ANN401 - of any kind
    chosen = BatchSettings(**settings)
    return run_batch(expand([str(path)]), out, segmenter=FakeSegmenter(), settings=chosen)


def test_projection(tmp_path: Path) -> None:
    path = _stack(tmp_path)
    assert _run(path, tmp_path / "planes").outcomes[0].status == "ok"
    assert _run(path, tmp_path / "max", project="max").outcomes[0].status == "ok"
    planes = tifffile.imread(tmp_path / "planes" / "stack.ome.labels.tif")
    flat = tifffile.imread(tmp_path / "max" / "stack.ome.labels.tif")
    assert planes.shape == (3, 40, 50)
    np.testing.assert_array_equal(flat > 0, (planes > 0).any(axis=0))
    assert len(np.unique(flat)) == 4
    rows = (tmp_path / "max" / "measurements.csv").read_text().splitlines()
    column = rows[0].split(",").index("mean_intensity_actin")
    assert [float(row.split(",")[column]) for row in rows[1:]] == [20.0] * 3
    assert project(read_image(path), "max").axes == "CYX"


@pytest.mark.parametrize(("axes", "place"), [("TZYX", (0, 2)), ("TYX", (2, 0))])
def test_regions_lie_in_their_frame_after_depth_is_gone(tmp_path: Path, axes: str, place: tuple[int, int]) -> None:
    pixels = np.zeros((2, 3, 40, 50), np.uint8)
    pixels[1, 2, 10:18, 5:13] = 200
    tifffile.imwrite(tmp_path / "a.tif", pixels if "Z" in axes else pixels[:, 2], imagej=True, metadata={"axes": axes})
    assert _run(tmp_path / "a.tif", tmp_path / "out", exports=("imagej",), project="max").outcomes[0].nuclei == 1
    rois: Any = roifile.roiread(tmp_path / "out" / "a.rois.zip")
    (roi,) = rois
    assert (roi.position, roi.t_position, roi.c_position, roi.z_position) == (*place, 0, 0)


def test_resuming_asks_for_the_same_projection(tmp_path: Path) -> None:
    path = _stack(tmp_path)
    _run(path, tmp_path / "out", project="max")
    assert _run(path, tmp_path / "out", project="max", resume=True).outcomes[0].status == "ok"
    with pytest.raises(UsageError, match="project"):
        _run(path, tmp_path / "out", resume=True)


def test_from_the_command_line(tmp_path: Path) -> None:
    words = ["segment", str(_stack(tmp_path)), "-o", str(tmp_path / "out"), "--project", "max", "--quiet"]
    with pytest.raises(SystemExit) as end:
        run(words)
    assert end.value.code == 0
    assert tifffile.imread(tmp_path / "out" / "stack.ome.labels.tif").shape == (40, 50)
    assert json.loads((tmp_path / "out" / "run.json").read_bytes())["settings"]["project"] == "max"
