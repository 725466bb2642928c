"""Regions of interest read by ImageJ itself, where it is at hand: jpype1, and ij.jar named by the variable IJ_JAR.

On Debian: apt-get install libij-java; IJ_JAR=/usr/share/java/ij.jar.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from scipy import ndimage
from tests.export.painting import HOLED

from nucleate.export.imagej_roi import write_rois

if TYPE_CHECKING:
    from numpy.typing import NDArray

pytestmark = pytest.mark.base


@pytest.fixture(scope="module")
def java() -> Any:  # noqa: ANN401 - jpype has no types
    jar = Path(os.environ.get("IJ_JAR", "/usr/share/java/ij.jar"))
    if importlib.util.find_spec("jpype") is None or not jar.is_file():
        pytest.skip("ImageJ is not at hand: it takes jpype1 and ij.jar (IJ_JAR)")
    jpype: Any = importlib.import_module("jpype")
    if not jpype.isJVMStarted():
        jpype.startJVM("-Djava.awt.headless=true", classpath=[str(jar.resolve())])
    return jpype


def _by_imagej(java: Any, path: Path, shape: tuple[int, ...]) -> NDArray[np.int64]:  # noqa: ANN401
    painted = np.zeros(shape, np.int64)
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            content = np.frombuffer(archive.read(name), np.int8).tolist()
            roi = java.JClass("ij.io.RoiDecoder")(java.JArray(java.JByte)(content), name).getRoi()
            box, mask = roi.getBounds(), roi.getMask()
            inside = np.ones((box.height, box.width), np.bool_)  # a rectangle has no mask
            if mask is not None:
                inside = np.array(mask.getPixels()).reshape(box.height, box.width) != 0
            plane = painted.reshape(-1, *shape[-2:])[max(int(roi.getPosition()), int(roi.getZPosition()), 1) - 1]
            plane[box.y : box.y + box.height, box.x : box.x + box.width][inside] = int(str(roi.getName()))
    return painted


@pytest.mark.parametrize("seed", range(3))
def test_imagej_paints_the_same_masks(java: Any, tmp_path: Path, seed: int) -> None:  # noqa: ANN401
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(120, 137)), seed + 1)
    blobs = np.asarray(ndimage.label(noise > 0.2 * noise.std(), np.ones((3, 3)))[0], np.int32)
    scattered = np.random.default_rng(seed).integers(0, 40, (30, 35)).astype(np.int32)
    wide = np.zeros((3, 70_000), np.int32)
    wide[:, 69_990:69_995] = 1
    for labels in (HOLED, blobs, scattered, wide):
        write_rois(tmp_path / "a.zip", labels)
        np.testing.assert_array_equal(_by_imagej(java, tmp_path / "a.zip", labels.shape), labels)


@pytest.mark.parametrize("more_axes", [False, True])
def test_imagej_finds_the_plane(java: Any, tmp_path: Path, more_axes: bool) -> None:  # noqa: ANN401
    stack = np.stack([HOLED, 0 * HOLED, np.where(HOLED > 0, HOLED + 7, 0)])
    write_rois(tmp_path / "a.zip", stack, axes="Z", more_axes=more_axes)
    np.testing.assert_array_equal(_by_imagej(java, tmp_path / "a.zip", stack.shape), stack)
