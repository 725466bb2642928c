"""What is kept open while it is looked at."""

from __future__ import annotations

import gc
import threading
import weakref
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pytest
import tifffile
from PIL import Image as Pillow

from nucleate.apps.web import pyramid
from nucleate.apps.web.nuclei import Nuclei
from nucleate.apps.web.store import Finished, Store
from nucleate.apps.web.views import ChangedError, FileLabels, Kept, Views, describe
from nucleate.core.image import Image
from nucleate.core.lazy import lazy
from nucleate.errors import InputError
from nucleate.export.overlay import Stretch, stretch_of
from nucleate.run.inputs import Source, expand
from nucleate.run.journal import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from nucleate.apps.web.store import Entry

    _Stack: TypeAlias = Callable[..., tuple[Views, Entry]]

pytestmark = pytest.mark.base


def test_the_last_ones_are_kept_and_the_others_released() -> None:
    released: list[str] = []
    kept: Kept[str] = Kept(2, released.append)
    for name in ("a", "b", "a", "c"):
        assert kept.get(name, partial(str, name)) == name
    assert released == ["b"]
    kept.clear()
    assert released == ["b", "a", "c"]


def test_what_is_let_go_is_held_nowhere() -> None:
    class Big:
        pass

    alive: weakref.WeakSet[Big] = weakref.WeakSet()
    kept: Kept[Big] = Kept(1)
    for _ in range(3):
        big = Big()
        alive.add(big)
        for _ in range(2):
            kept.get(big, partial(str, ""))  # type: ignore[arg-type]  # as keys of tiles hold what they are cut from
    del big
    gc.collect()
    assert len(alive) == 1


def test_a_file_that_was_changed_is_opened_again(tmp_path: Path) -> None:
    store, views = Store(), Views(tmp_path)
    for side in (40, 70):
        Pillow.fromarray(np.full((side, side), side, np.uint8)).save(tmp_path / "a.png")
        [number] = store.add(expand([str(tmp_path / "a.png")]), "a.png")
        entry = store.get(number)
        assert entry is not None
        assert views.image(entry).shape_HW == (side, side)
        assert views.picture(entry, None, project=None, at=()).shape_HW == (side, side)
    views.close()


def test_the_files_of_an_ome_zarr_are_looked_at_once_in_two_seconds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("zarr", reason="zarr is not installed (extra formats)")
    from tests.io.zarr_files import write_image

    now, looked, stamp = [4.5], list[Source](), Source.stamp

    def counted(source: Source) -> tuple[tuple[int, int], ...]:
        looked.append(source)
        return stamp(source)

    monkeypatch.setattr("nucleate.apps.web.views.monotonic", lambda: now[0])
    monkeypatch.setattr(Source, "stamp", counted)
    folder = write_image(tmp_path / "a.ome.zarr", np.ones((8, 9), np.uint8))
    store, views = Store(), Views(tmp_path)
    [number] = store.add(expand([str(folder)]), "a.ome.zarr")
    entry = store.get(number)
    assert entry is not None
    outcome = Outcome("a", entry.source.key, "ok", sha256=entry.source.sha256())
    finished = Finished(outcome, tmp_path, None)  # type: ignore[arg-type]  # what they were made with is not asked
    for _ in range(3):
        views.check(entry, finished)
        assert views.image(entry).shape_HW == (8, 9)
    assert len(looked) == 1
    (folder / "more").write_bytes(b"1")
    now[0] += 2
    with pytest.raises(ChangedError):
        views.check(entry, finished)
    views.close()


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[_Stack]:
    """Gives views of a stack that is written to a file."""
    views = Views(tmp_path)

    def written(planes: NDArray[Any], axes: str = "ZYX") -> tuple[Views, Entry]:
        path, store = tmp_path / "a.tif", Store()
        tifffile.imwrite(path, planes.astype(np.uint16), imagej=True, metadata={"axes": axes})
        [number] = store.add(expand([str(path)]), "a.tif")
        entry = store.get(number)
        assert entry is not None
        return views, entry

    yield written
    views.close()


@pytest.mark.parametrize("axes", ["ZYX", "TYX", "TZYX"])
def test_planes_of_a_stack_in_depth_are_shown_alike(stack: _Stack, axes: str) -> None:
    noise = np.random.default_rng(0).normal(100, 3, (2, 12, 80, 90)).round()
    noise[1, 6, 20:40, 20:40] = 900.0
    views, entry = stack(noise if axes == "TZYX" else noise[1], axes)

    def shown(*at: int) -> NDArray[np.uint8]:
        return views.picture(entry, None, project=None, at=at).tile(1, (0, 0))

    time = (1,) if axes == "TZYX" else ()
    assert shown(*time, 6).max() == 255
    assert (np.median(shown(*time, 0)) < 20) == ("Z" in axes)
    if axes == "TZYX":  # light may fade with time
        assert np.median(shown(0, 0)) > 60


@pytest.mark.parametrize("bright", [False, True])
def test_a_ground_that_drifts_with_depth_hides_nothing(stack: _Stack, bright: bool) -> None:
    planes = np.random.default_rng(0).normal(100, 3, (7, 80, 90)).round()
    for z, plane in enumerate(planes):
        plane[20:40, 20:40] = 900 - 30 * z
    planes[6, 20:40, 20:40] = planes[6, 50:70, 20:40]
    drifting = (1200 - planes if bright else planes) + 700 * np.arange(7)[:, None, None]
    views, entry = stack(drifting)
    for z in range(7):
        shown = views.picture(entry, None, project=None, at=(z,)).tile(1, (0, 0))
        ground, thing = np.median(shown), np.median(shown[20:40, 20:40])
        assert ground > 200 if bright else ground < 40
        assert thing == pytest.approx(ground, abs=10) if z == 6 else abs(thing - ground) > 150
        assert np.mean((shown == 0) | (shown == 255)) < 0.1


def test_a_look_at_a_stack_that_is_stopped_leaves_nothing_behind(
    stack: _Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    noise = np.random.default_rng(0).normal(100, 3, (5, 80, 90)).round()
    noise[2, 20:40, 20:40] = 900.0
    views, entry = stack(noise)

    def stopped(plane: NDArray[Any]) -> Stretch:
        views.first_looks.stop()
        return stretch_of(plane)

    with monkeypatch.context() as patch:
        patch.setattr("nucleate.apps.web.tiles.stretch_of", stopped)
        with pytest.raises(InputError, match="was stopped"):
            views.picture(entry, None, project=None, at=(0,))
    shown = views.picture(entry, None, project=None, at=(0,)).tile(1, (0, 0))
    assert np.median(shown) < 20


@pytest.mark.parametrize("limit", [80 * 90, 80 * 90 - 1])
def test_planes_that_have_to_be_gone_through_are_looked_at_alone(
    stack: _Stack, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    monkeypatch.setattr(pyramid, "_OVERVIEW", 2000)
    monkeypatch.setattr(pyramid, "IN_MEMORY", limit)
    looked: list[NDArray[Any]] = []

    def noted(plane: NDArray[Any]) -> Stretch:
        looked.append(plane)
        return stretch_of(plane)

    monkeypatch.setattr("nucleate.apps.web.tiles.stretch_of", noted)
    views, entry = stack(np.zeros((5, 80, 90)))
    views.picture(entry, None, project=None, at=(2,))
    assert len(looked) == (5 if limit == 80 * 90 else 1)


def test_what_many_ask_for_is_made_once() -> None:
    made: list[int] = []
    go = threading.Event()

    def make() -> int:
        go.wait(5)
        made.append(1)
        return len(made)

    kept: Kept[int] = Kept(2)
    found: list[int] = []
    threads = [threading.Thread(target=lambda: found.append(kept.get("a", make))) for _ in range(4)]
    for thread in threads:
        thread.start()
    go.set()
    for thread in threads:
        thread.join(5)
    assert (made, found) == ([1], [1, 1, 1, 1])


def test_what_could_not_be_made_is_tried_again() -> None:
    kept: Kept[str] = Kept(2)

    def fails() -> str:
        raise InputError("no")

    makers: list[Callable[[], str]] = [fails, lambda: "yes"]
    with pytest.raises(InputError):
        kept.get("a", makers[0])
    assert kept.get("a", makers[1]) == "yes"


def test_labels_of_a_stack_are_found_whatever_its_axes_were_called() -> None:
    pages = np.arange(6 * 2 * 3).reshape(6, 2, 3)
    labels = FileLabels(lazy(Image(pages, "IYX")), (2, 3, 2, 3))
    assert labels.shape == (2, 3, 2, 3)
    assert np.array_equal(labels[1, 2, slice(0, 2), slice(0, 3)], pages[5])
    for other in ((5, 2, 3), (6, 3, 2), (2, 6, 3)):
        with pytest.raises(InputError, match="segment it again"):
            FileLabels(lazy(Image(pages, "IYX")), other)


def test_channels_and_colours_are_offered() -> None:
    plain = lazy(Image(np.zeros((4, 5), np.uint8)))
    colours = lazy(Image(np.zeros((4, 5, 3), np.uint8), "YXS"))
    several = lazy(Image(np.zeros((2, 4, 5), np.uint8), "CYX", channel_names=("actin", "Hoechst")))
    assert [describe(one)["channel"] for one in (plain, colours, several)] == [None, None, "1"]
    assert [describe(one)["colour"] for one in (plain, colours, several)] == [False, True, False]
    assert [len(describe(one)["channels"]) for one in (plain, colours, several)] == [0, 3, 2]


def test_rows_without_a_value_come_last() -> None:
    columns = {"label": np.arange(1.0, 5), "confidence": np.array([0.2, 0.9, np.nan, 0.5])}
    nuclei = Nuclei(columns | {"area_px": np.array([3.0, np.nan, 1.0, 2.0])})
    for down, order in ((False, [3, 4, 1, 2]), (True, [1, 4, 3, 2])):
        page = nuclei.page("area_px", down=down, least=0.0, first=0, count=9)
        assert [row[0] for row in page["rows"]] == order
    assert nuclei.count(0.5) == 3, "one of unknown confidence stays"
    assert (nuclei.row(2), nuclei.row(9)) == ({"label": 2, "confidence": 0.9}, None)
    assert nuclei.confidence.tolist()[1:] == pytest.approx([0.2, 0.9, np.nan, 0.5], nan_ok=True)


def test_distributions_bear_the_names_of_the_channels() -> None:
    values = np.linspace(0.5, 0.9, 9)
    names = ("mean_intensity_DAPI", "mean_intensity_H2B_<b>", "confidence", "area_px")
    drawn = "".join(Nuclei({"label": np.arange(1.0, 10)} | dict.fromkeys(names, values)).histograms(0.0))
    assert "Mean intensity DAPI" in drawn
    assert "Mean intensity H2B_&lt;b&gt;" in drawn


def test_an_image_without_nuclei_has_an_empty_table() -> None:
    nothing = Nuclei({name: np.zeros(0) for name in ("label", "area_px", "confidence")})
    assert nothing.page("label", down=False, least=0.5, first=0, count=9)["total"] == 0
    assert (nothing.histograms(0.0), nothing.confidence.tolist()) == ([], [pytest.approx(np.nan, nan_ok=True)])
