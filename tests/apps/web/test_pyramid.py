"""Planes in several sizes, held to means that are taken the plain way, and what is read for a tile counted."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
from tests.apps.web.smaller import mean, middle

from nucleate.apps.web import pyramid
from nucleate.apps.web.pyramid import Pyramid, averaged, picked, steps_of
from nucleate.apps.web.store import Store
from nucleate.apps.web.tiles import TILE, LabelLevels, PictureLevels
from nucleate.apps.web.views import Views
from nucleate.core.lazy import LazyImage
from nucleate.errors import InputError, OutputError
from nucleate.run.inputs import expand

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

pytestmark = pytest.mark.base

PICTURE = np.random.default_rng(0).integers(0, 60_000, (1103, 701), dtype=np.uint16)
SPOTS = 9 * 20 * 20 + 1
PLACES = [(row, col) for row in range(3) for col in range(2)]


class _File:
    """A plane that counts the pixels read from it."""

    def __init__(self, pixels: NDArray[Any]) -> None:
        self.pixels, self.shape, self.dtype, self.seen = pixels, pixels.shape, pixels.dtype, 0

    def read(self, rows: slice, cols: slice) -> NDArray[Any]:
        part: NDArray[Any] = self.pixels[rows, cols]
        self.seen += part.size
        return part


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make planes of a megapixel too large for the memory."""
    for name, value in {"IN_MEMORY": 1000, "_OVERVIEW": 5000, "_PIECE": 100_000, "_SPOTS": 3, "_SPOT": 20}.items():
        monkeypatch.setattr(pyramid, name, value)


def _averaged(pixels: NDArray[Any], factor: int) -> NDArray[Any]:
    rows, cols = (steps_of(slice(0, -(-n // factor)), factor, length=n) for n in pixels.shape[:2])
    return averaged(pixels, (rows, cols))


@pytest.mark.parametrize("factor", [2, 3, 8, 64, 1024, 2048])
def test_pixels_at_the_edge_count_as_all_others(factor: int) -> None:
    np.testing.assert_allclose(_averaged(PICTURE, factor), mean(PICTURE, factor), rtol=1e-5)


def test_colours_are_averaged_one_by_one() -> None:
    colours = np.random.default_rng(1).integers(0, 255, (41, 61, 3), dtype=np.uint8)
    apart = np.stack([_averaged(colours[..., i], 4) for i in range(3)], axis=-1)
    np.testing.assert_allclose(_averaged(colours, 4), apart, rtol=1e-6)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("factor", [1, 2, 4, 8, 16, 64])
def test_a_plane_too_large_for_memory_gives_the_same_tiles(factor: int, tmp_path: Path) -> None:
    expected = PICTURE if factor == 1 else mean(PICTURE, factor)
    file = _File(PICTURE)
    levels = PictureLevels(file, scratch=tmp_path)
    assert PICTURE.size <= file.seen <= PICTURE.size + SPOTS, "the whole is read once"
    for row, col in PLACES:
        pixels, _ = levels.cut_tile(factor, (row, col))
        wanted = expected[row * TILE : (row + 1) * TILE, col * TILE : (col + 1) * TILE]
        assert pixels.size == wanted.size == 0 or pixels.shape == wanted.shape
        if wanted.size:
            np.testing.assert_allclose(pixels, wanted, atol=1)  # what is kept on disk is rounded
    assert list(tmp_path.iterdir()) == [], "what is kept there has no name"


@pytest.mark.usefixtures("small")
def test_no_tile_reads_much_whatever_the_zoom(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("nucleate.apps.web.tiles.TILE", 32)
    file = _File(PICTURE)
    levels = PictureLevels(file, scratch=tmp_path)
    for factor in (1, 2, 4, 8, 16):
        before = file.seen
        levels.tile(factor, (0, 0))
        assert file.seen - before <= 4 * 32 * 32, factor


@pytest.mark.usefixtures("small")
def test_levels_of_the_file_are_used_and_the_full_size_is_not_gone_through() -> None:
    full = _File(PICTURE)
    smaller = [_File(mean(PICTURE, factor)) for factor in (4, 8, 32)]
    levels = PictureLevels(full, smaller=smaller)
    assert full.seen <= SPOTS
    before = full.seen
    for factor in (64, 32, 16, 8, 4):
        pixels, _ = levels.cut_tile(factor, (0, 0))
        np.testing.assert_allclose(pixels, mean(PICTURE, factor)[:512, :512], rtol=1e-5)
    assert full.seen == before
    assert levels.cut_tile(2, (0, 0))[0].shape == (512, 351)
    assert before < full.seen <= before + 1024 * 701


@pytest.mark.usefixtures("small")
def test_the_contrast_is_that_of_the_full_size(tmp_path: Path) -> None:
    picture = np.where(np.random.default_rng(3).random((1103, 701)) < 0.03, 60_000, 500).astype(np.uint16)
    levels = PictureLevels(_File(picture), scratch=tmp_path)
    assert levels.overview.max() < 30_000
    assert levels.stretch.low + levels.stretch.span > 50_000


@pytest.mark.usefixtures("small")
def test_levels_far_apart_get_one_between(tmp_path: Path) -> None:
    full, tiny = _File(PICTURE), _File(mean(PICTURE, 16))
    PictureLevels(full, smaller=[tiny], scratch=tmp_path)
    assert full.seen >= PICTURE.size
    assert tiny.seen == tiny.pixels.size


@pytest.mark.usefixtures("small")
def test_levels_that_were_rounded_down_fit_all_the_same() -> None:
    rounded = _File(mean(PICTURE[:1100, :700], 4))  # 275 x 175 of 1103 x 701
    levels = PictureLevels(_File(PICTURE), smaller=[rounded])
    window = levels.window(4, slice(0, 276), cols=slice(0, 176))
    assert window.shape == (276, 176)
    np.testing.assert_allclose(window[:100, :100], mean(PICTURE, 4)[:100, :100], rtol=1e-5)
    assert levels.window(4, slice(276, 800), cols=slice(0, 10)).size == 0


def test_steps_that_are_no_whole_numbers_leave_nothing_out() -> None:
    steps = steps_of(slice(0, 7), 1.6, length=11)
    assert steps.starts.tolist() == [0, 2, 3, 5, 6, 8, 10]
    ones = averaged(np.arange(11.0)[:, None], (steps, steps_of(slice(0, 1), 1, length=1)))
    assert ones[:, 0].tolist() == [0.5, 2, 3.5, 5, 6.5, 8.5, 10]


@pytest.mark.parametrize(("count", "ratio"), [(2, 4 / 3), (3, 1.2)])
def test_the_last_of_even_steps_may_be_larger(count: int, ratio: float) -> None:
    pixels = np.random.default_rng(2).random((int(count * ratio + 0.5), 300))
    steps = steps_of(slice(0, count), ratio, length=len(pixels))
    assert steps.starts.tolist() == list(range(count))
    found = averaged(pixels, (steps, steps_of(slice(0, 300), 1, length=300)))
    np.testing.assert_allclose(found, [*pixels[: count - 1], pixels[count - 1 :].mean(axis=0)])


@pytest.mark.usefixtures("small")
def test_labels_are_picked_near_their_middle_and_never_mixed(tmp_path: Path) -> None:
    labels = np.kron(np.arange(1, 70 * 44 + 1).reshape(70, 44), np.ones((16, 16), int)).astype(np.int32)[:1103, :701]
    levels = LabelLevels(labels, scratch=tmp_path)
    for factor in (1, 2, 4, 8, 16):
        whole = levels.window(factor, slice(0, 1103), cols=slice(0, 701))
        assert np.array_equal(whole, middle(labels, factor)), factor
    assert levels.at(1102, 700) == labels[1102, 700]


@pytest.mark.usefixtures("small")
def test_a_full_disk_is_one_line(tmp_path: Path) -> None:
    full_disk = pytest.importorskip("tests.full_disk", reason="no limits on this system").full_disk
    with full_disk(1000), pytest.raises(OutputError, match="no room to look at a plane this large"):
        Pyramid(_File(PICTURE).read, (1103, 701), shrink=picked, scratch=tmp_path)


@pytest.mark.usefixtures("small")
def test_a_slide_is_looked_at_in_the_levels_of_its_file(tmp_path: Path) -> None:
    values = {1: 10, 4: 40, 16: 160}  # not as they would be, to see where a tile comes from
    with tifffile.TiffWriter(tmp_path / "slide.ome.tif") as writer:
        for factor, value in values.items():
            pixels = np.full((1600 // factor, 1200 // factor), value, np.uint8)
            more: dict[str, Any] = {"subifds": 2} if factor == 1 else {"subfiletype": 1}
            writer.write(pixels, tile=(64, 64), metadata={"axes": "YX"}, **more)
    store, views = Store(), Views(tmp_path)
    [number] = store.add(expand([str(tmp_path / "slide.ome.tif")]), "slide")
    entry = store.get(number)
    assert entry is not None
    levels = views.picture(entry, None, project=None, at=())
    found = {factor: float(levels.window(factor, slice(0, 9), cols=slice(0, 9)).mean()) for factor in (1, 2, 4, 8, 16)}
    assert found == {1: 10, 2: 10, 4: 40, 8: 40, 16: 160}
    views.close()


@pytest.mark.usefixtures("small")
def test_how_far_it_is_is_told_and_it_can_be_ended() -> None:
    told: list[float] = []
    file = _File(PICTURE)
    PictureLevels(file, watch=told.append)
    assert told == sorted(told)
    assert (told[0], len(told) > 5, 0.8 < told[-1] <= 1) == (0, True, True)

    def enough(share: float) -> None:
        if share > 0.3:
            raise InputError("enough")

    seen, file.seen = file.seen, 0
    with pytest.raises(InputError, match="enough"):
        PictureLevels(file, watch=enough)
    assert file.seen < seen / 2


@pytest.mark.usefixtures("small")
def test_a_first_look_is_ended_for_all_who_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tifffile.imwrite(tmp_path / "a.tif", PICTURE)
    store, views, begun, ended = Store(), Views(tmp_path), threading.Event(), []
    [number] = store.add(expand([str(tmp_path / "a.tif")]), "a.tif")
    [entry] = store.entries([number])
    read = LazyImage.read

    def slow(self: LazyImage, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as it is
        time.sleep(0.02)
        if views.first_looks.share(number):
            begun.set()
        return read(self, *args, **kwargs)

    def look() -> None:
        try:
            views.picture(entry, None, project=None, at=())
        except InputError as error:
            ended.append(str(error))

    assert views.first_looks.share(number) is None
    with monkeypatch.context() as patched:
        patched.setattr(LazyImage, "read", slow)
        looking = [threading.Thread(target=look) for _ in range(3)]
        for one in looking:
            one.start()
        assert begun.wait(20)
        share = views.first_looks.share(number)
        views.first_looks.stop(number + 1)
        views.first_looks.stop(number)
        for one in looking:
            one.join(20)
    assert share is not None
    assert (len(ended), {"stopped" in one for one in ended}) == (3, {True})
    assert views.first_looks.share(number) is None
    assert views.picture(entry, None, project=None, at=()).shape_HW == PICTURE.shape
    views.close()
