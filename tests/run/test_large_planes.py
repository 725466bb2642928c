"""Cut apart and whole, through the one prediction path: no nucleus gained, lost, cut or merged."""

from __future__ import annotations

import itertools
import tracemalloc
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import numpy as np
import pytest
import tifffile

from nucleate.core.bands import PlaneOf
from nucleate.core.image import Image
from nucleate.core.lazy import lazy
from nucleate.core.normalize import Normalizer
from nucleate.core.plane import ArrayPlane
from nucleate.data.synth import Scene, draw
from nucleate.errors import OutputError, UsageError
from nucleate.post.recipe import PAPER_RECIPE, PostRecipe
from nucleate.run.batch import run_batch
from nucleate.run.inputs import expand
from nucleate.run.maps import BAND
from nucleate.run.segmenter import Segmenter, SegmentSettings
from nucleate.run.settings import BatchSettings
from nucleate.run.weights import ModelCard

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from nucleate.run.engine import Engine

pytestmark = [pytest.mark.base, pytest.mark.once]

MARKERS = PostRecipe(split="markers", level=0.3, marker_level=0.4, smoothing=1.0, min_area=10)
RECIPES = {
    "markers": MARKERS,
    "distance": PostRecipe(split="distance", level=0.3, min_distance=4),
    "hysteresis": PostRecipe(threshold="hysteresis", low=0.25, high=0.5, connectivity=2),
    "otsu": PAPER_RECIPE,
}


class LocalEngine:
    """Three maps from what is near: a blurred picture, its steps, its square. Reach 2 + 1."""

    reach = 3

    def __call__(self, batch_NCHW: NDArray[np.float32]) -> NDArray[np.float32]:
        grey = batch_NCHW.max(axis=1)
        rows, cols = grey.shape[1:]
        padded = np.pad(grey, ((0, 0), (2, 2), (2, 2)), mode="edge")
        # One order of adding for every pixel: the same neighbourhood gives the same bits wherever the tile begins.
        mask = np.zeros_like(grey)
        for row, col in itertools.product(range(5), range(5)):
            mask += padded[:, row : row + rows, col : col + cols]
        mask /= np.float32(25)
        border = np.zeros_like(mask)
        border[:, 1:] = np.abs(mask[:, 1:] - mask[:, :-1])
        return np.stack([mask, np.clip(border * 2, 0, 1), mask**2], axis=1)


class CountingPlane:
    """A plane that tells how much of it was asked for at once."""

    def __init__(self, pixels: NDArray[Any]) -> None:
        self.pixels, self.shape, self.dtype, self.most = pixels, pixels.shape, pixels.dtype, 0

    def read(self, rows: slice, cols: slice) -> NDArray[Any]:
        part = self.pixels[rows, cols]
        self.most = max(self.most, part.shape[0] * part.shape[1])
        return part


def segmenter(engine: Engine | None = None, *, chosen: SegmentSettings | None = None, **fields: Any) -> Segmenter:  # noqa: ANN401 - fields of a card
    given: dict[str, Any] = {
        "name": "local",
        "sha256": "0" * 64,
        "maps": ("mask", "border", "distance"),
        "normalizer": Normalizer(polarity="keep"),
        "recipe": MARKERS,
        "multiple": 8,
        "margin": 16,
        "blend": 8,
        "bytes_per_pixel": 1,
    }
    return Segmenter(engine or LocalEngine(), ModelCard(**(given | fields)), settings=chosen)


def drawn(size: tuple[int, int], nuclei: int, *, colour: bool = False) -> NDArray[Any]:
    scene = Scene(size=size, nuclei=nuclei, touching=0.5, style="histology" if colour else "fluorescence")
    return draw(scene, np.random.default_rng(3))[0]


def check_equal(first: Segmenter, second: Segmenter, *, plane: NDArray[Any]) -> None:
    """Check `first` on the whole plane against `second` in blocks; something must be there to compare."""
    want, sure = first.segment_plane(plane, max_bytes=10**12)
    got, confidence = second.segment_plane(plane, max_bytes=0)
    assert want.max() > 10
    np.testing.assert_array_equal(got, want)
    np.testing.assert_array_equal(confidence, sure)


@pytest.fixture(scope="module")
def picture() -> NDArray[Any]:
    """Give a picture larger than most tiles, no side a multiple of anything."""
    return drawn((1103, 717), 400)


@pytest.mark.parametrize(
    ("tile", "recipe"),
    [*((tile, "markers") for tile in (256, 512, 1024, 4096)), (256, "distance"), (512, "hysteresis"), (256, "otsu")],
)
def test_blocks_of_tiles_equal_one_tile(picture: NDArray[Any], tile: int, recipe: str) -> None:
    check_equal(
        segmenter(tile=4096, recipe=RECIPES[recipe]), segmenter(tile=tile, recipe=RECIPES[recipe]), plane=picture
    )


def test_colours_scales_two_looks_and_fixed_sizes_are_the_same_in_blocks(picture: NDArray[Any]) -> None:
    colour = drawn((403, 517), 150, colour=True)
    grey = Normalizer(polarity="dark-background")
    check_equal(segmenter(tile=4096, normalizer=grey), segmenter(tile=256, normalizer=grey), plane=colour)
    three = replace(grey, channels=3)
    check_equal(segmenter(tile=4096, normalizer=three), segmenter(tile=256, normalizer=three), plane=colour)
    small = picture[:403]
    for chosen in (SegmentSettings(scale=0.7), SegmentSettings(scale=1.9), SegmentSettings(min_confidence=0.55)):
        check_equal(segmenter(tile=4096, chosen=chosen), segmenter(tile=256, chosen=chosen), plane=small)
    twice = SegmentSettings(tta=True)
    check_equal(segmenter(tile=4096, chosen=twice), segmenter(tile=256, chosen=twice), plane=small)
    paper: dict[str, Any] = {"input_size": 256, "recipe": PAPER_RECIPE}
    check_equal(segmenter(**paper), segmenter(**paper), plane=small)


def test_a_plane_is_read_in_parts_and_written_where_wanted(picture: NDArray[Any], tmp_path: Path) -> None:
    plane = CountingPlane(picture)
    labels = np.memmap(tmp_path / "labels", np.int32, "w+", shape=picture.shape)
    found = segmenter(tile=256)
    confidence = found.segment_into(plane, labels, max_bytes=0)
    want, sure = found.segment_plane(picture)
    np.testing.assert_array_equal(labels, want)
    np.testing.assert_array_equal(confidence, sure)
    from_file, again = found.segment_plane(lazy(Image(picture)), max_bytes=0)
    np.testing.assert_array_equal(from_file, want)
    np.testing.assert_array_equal(again, sure)
    used = np.full(picture.shape, 7, np.int64)
    found.segment_into(picture, used, max_bytes=0)
    np.testing.assert_array_equal(used, want)
    for much in (0, 10**12):
        with pytest.raises(OutputError, match="room for numbers to 127: got"):
            found.segment_into(picture, np.zeros(picture.shape, np.int8), max_bytes=much)
        with pytest.raises(UsageError, match="no place for the labels"):
            found.segment_into(picture, np.zeros((1103, 1000), np.int32), max_bytes=much)
    # Once over all of it for the scaling; then no more than a tile.
    plane.most = 0
    next(iter(found.mapper().bands(plane)))
    assert plane.most == picture.size
    assert found.estimate_bytes((20_000, 20_000), max_bytes=0) < found.estimate_bytes((20_000, 20_000)) / 4


def test_labels_of_a_stack_are_looked_through_once_before_and_once_to_number_on(picture: NDArray[Any]) -> None:
    stack = lazy(Image(np.stack([picture[:100, :100]] * 3), "ZYX"))
    with patch.object(PlaneOf, "__getitem__", autospec=True, side_effect=PlaneOf.__getitem__) as read:
        assert len(list(segmenter().each_plane(stack, np.zeros(stack.shape, np.int32)))) == 3
    assert read.call_count == 3 + 2


@pytest.mark.parametrize("blend", [0, 8])
def test_of_the_rows_of_tiles_one_is_in_memory(blend: int) -> None:
    plane = ArrayPlane(np.zeros((3100, 6000), np.uint8))
    mapper = segmenter(lambda batch_NCHW: np.repeat(batch_NCHW, 3, axis=1), tile=1024, blend=blend).mapper()
    working = mapper.working(plane)
    tracemalloc.start()
    height = sum(band_CHW.shape[1] for band_CHW in mapper.bands(working))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert height == 3100
    row, band = (rows * 6000 * 12 for rows in (1024, BAND))
    assert peak < row + 4.5 * band


def test_a_batch_goes_on_in_blocks_where_memory_is_short(picture: NDArray[Any], tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    tifffile.imwrite(tmp_path / "in" / "wide.tif", np.tile(picture, (2, 1)))
    found, sources = segmenter(tile=256), expand([str(tmp_path / "in")], output=tmp_path)
    shape = (2 * picture.shape[0], picture.shape[1])
    held = 4 * picture.nbytes
    least, most = (found.estimate_bytes(shape, max_bytes=n) + held for n in (0, None))
    assert least < most
    for name, limit in (("none", least - 1), ("blocks", least), ("whole", most)):
        chosen = BatchSettings(exports=("labels",), max_bytes=limit)
        summary = run_batch(sources, tmp_path / name, segmenter=found, settings=chosen)
        assert [outcome.status for outcome in summary.outcomes] == ["failed" if name == "none" else "ok"]
    whole, blocks = (tifffile.imread(tmp_path / name / "wide.labels.tif") for name in ("whole", "blocks"))
    assert whole.max() > 100
    np.testing.assert_array_equal(blocks, whole)


def test_real_pictures(shared_data: Path) -> None:
    from nucleate.data.kaggle import list_images

    wide = "20b20ab049372d184c705acebe7af026d3580f5fd5a72ed796e3622e1685af2f"
    path = shared_data / "dsb2018" / "stage1_train.zip"
    if not path.is_file():
        pytest.skip(f"no pictures at {path}")
    plane = next(iter(dict(list_images(path))[wide]().planes()))
    for recipe in RECIPES.values():
        check_equal(segmenter(tile=4096, recipe=recipe), segmenter(tile=256, recipe=recipe), plane=plane)


def test_a_real_engine_differs_in_no_more_than_one_pixel_in_100_000(picture: NDArray[Any]) -> None:
    from nucleate.run.engine import OnnxEngine

    pytest.importorskip("onnx", reason="onnx, which draws the test network, is not installed")
    engine = OnnxEngine(strided_network(), threads=1)
    want, _ = segmenter(engine, tile=4096, margin=64).segment_plane(picture, max_bytes=10**12)
    for tile in (256, 512):
        got, _ = segmenter(engine, tile=tile, margin=64).segment_plane(picture, max_bytes=0)
        assert got.max() == want.max() > 50
        assert np.count_nonzero(got != want) <= picture.size / 100_000


def strided_network() -> bytes:
    """Build convolutions down and up again with random weights; most of the answer is the picture itself."""
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(0)
    shapes = {"a": (8, 1, 3, 3), "b": (16, 8, 3, 3), "c": (16, 16, 3, 3), "d": (3, 17, 1, 1)}
    weights = {name: (rng.normal(0, 1 / np.sqrt(np.prod(s[1:])), s)).astype(np.float32) for name, s in shapes.items()}
    weights["d"][:, 0] = 6
    weights["e"] = np.full(3, -2, np.float32)
    weights["f"] = np.array([1, 1, 4, 4], np.float32)
    same: dict[str, Any] = {"pads": [1, 1, 1, 1]}
    half: dict[str, Any] = same | {"strides": [2, 2]}
    nodes = [
        helper.make_node("Conv", ["batch", "a"], ["1"], **half),
        helper.make_node("Relu", ["1"], ["2"]),
        helper.make_node("Conv", ["2", "b"], ["3"], **half),
        helper.make_node("Relu", ["3"], ["4"]),
        helper.make_node("Conv", ["4", "c"], ["5"], **same),
        helper.make_node("Resize", ["5", "", "f"], ["6"], mode="linear"),
        helper.make_node("Concat", ["batch", "6"], ["7"], axis=1),
        helper.make_node("Conv", ["7", "d", "e"], ["8"]),
        helper.make_node("Sigmoid", ["8"], ["maps"]),
    ]
    free = [helper.make_tensor_value_info("batch", TensorProto.FLOAT, ["N", 1, "H", "W"])]
    maps = [helper.make_tensor_value_info("maps", TensorProto.FLOAT, ["N", 3, "H", "W"])]
    constants = [numpy_helper.from_array(value, name) for name, value in weights.items()]
    graph = helper.make_graph(nodes, "strided", free, maps, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    return bytes(model.SerializeToString())
