"""The plugin in a real viewer: runs where napari, Qt and a display are there."""

from __future__ import annotations

import importlib.util
import os
import sys
import time
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import nucleate
from nucleate.apps.napari.found import FOUND, Found
from nucleate.apps.napari.hiding import hidden_by
from nucleate.apps.napari.samples import drawn
from nucleate.apps.napari.viewing import put, show
from nucleate.core.labels import relabel
from nucleate.data.synth import Scene, draw
from nucleate.errors import InputError
from nucleate.io.images import read_image

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_PATIENCE_SECONDS = 60


def _missing() -> str:
    """Say why there can be no viewer; nothing where there can."""
    if importlib.util.find_spec("napari") is None:
        return "napari is not installed"
    if not any(importlib.util.find_spec(name) for name in ("PySide6", "PyQt6", "PyQt5")):
        return "no Qt is installed"
    linux = sys.platform.startswith("linux")
    return "no display; on Linux run it under xvfb-run" if linux and not os.environ.get("DISPLAY") else ""


pytestmark = [
    pytest.mark.skipif(bool(_missing()), reason=_missing() or "there is a viewer"),
    pytest.mark.filterwarnings("ignore"),  # of napari and Qt themselves
]


@pytest.fixture
def viewer() -> Iterator[Any]:
    """Give a viewer with its window, closed afterwards."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        napari: Any = importlib.import_module("napari")
        viewer = napari.Viewer(show=False)
        yield viewer
        viewer.close()


def _wait(until: Callable[[], bool]) -> None:
    from qtpy.QtWidgets import QApplication

    end = time.monotonic() + _PATIENCE_SECONDS
    while not until():
        assert time.monotonic() < end, "nothing came of it"
        QApplication.processEvents()
        time.sleep(0.01)


def _widget(viewer: Any, name: str) -> Any:  # noqa: ANN401 - napari's own
    _, widget = viewer.window.add_plugin_dock_widget("nucleate", name)
    return widget


def _find(widget: Any) -> None:  # noqa: ANN401 - magicgui's own
    widget._button.changed.emit(True)
    _wait(lambda: widget._worker is None)


def _seen(layer: Any) -> Any:  # noqa: ANN401 - napari's own
    """Tell which pixels of a layer have a colour on the screen."""
    background = layer.colormap._data_to_texture(np.zeros(1, layer.data.dtype))
    return np.asarray(layer._slice.image.view) != background


def _found(viewer: Any, name: str) -> Any:  # noqa: ANN401 - napari's own
    """Give the nuclei of a layer that are not hidden, numbered 1..n."""
    layer = viewer.layers[name]
    return relabel(layer.metadata[FOUND].shown(layer.data))


def test_nuclei_are_found_hidden_corrected_and_saved(viewer: Any, tmp_path: Path) -> None:  # noqa: ANN401 - as above
    viewer.open_sample("nucleate", "drawn")
    image = viewer.layers["drawn"]
    image.scale, image.translate = (0.5, 0.5), (10, 20)
    finder = _widget(viewer, "Find nuclei")
    finder._image.value = image
    _find(finder)
    layer = viewer.layers["drawn nuclei"]
    found = layer.metadata[FOUND]
    assert np.array_equal(relabel(found.shown(layer.data)), nucleate.segment(image.data).labels)
    assert (layer.scale.tolist(), layer.translate.tolist()) == ([0.5, 0.5], [10, 20])
    place = np.argwhere(layer.data == layer.features["index"][0])[0]
    shown = layer.get_status(layer.data_to_world(place), world=True)["coordinates"]
    assert "confidence" in shown
    assert "area_px" in shown

    before = layer.data.copy()
    finder._least.value = 0.8
    hidden = found.at_least(0.8).hidden(layer.data)
    assert 0 < len(hidden) == len(found.features["index"]) - len(layer.features)
    assert np.array_equal(layer.data, before)
    assert not _seen(layer)[np.isin(layer.data, hidden)].any()
    assert _seen(layer)[(layer.data > 0) & ~np.isin(layer.data, hidden)].all()
    count, image.translate = len(viewer.layers), (30, 40)
    layer.opacity, image.name = 0.9, "renamed"
    _find(finder)
    assert len(viewer.layers) == count
    layer = viewer.layers["drawn nuclei"]
    assert layer.opacity == 0.9
    assert layer.translate.tolist() == [30, 40]
    layer.data[:40, :40] = 0
    layer.data[5:15, 5:15] = 9999
    layer.refresh()
    standing = layer.metadata[FOUND].shown(layer.data)

    saver = _widget(viewer, "Save nuclei")
    saver._nuclei.value = layer
    assert saver._image.value is image
    image.name = "drawn"
    saver._name.value = "drawn"
    saver._folder.value = tmp_path / "out"
    saver._button.changed.emit(True)
    _wait(lambda: (tmp_path / "out" / "measurements.csv").is_file() and bool(saver._button.enabled))
    written = read_image(tmp_path / "out" / "drawn.labels.tif")
    assert np.array_equal(written.pixels, relabel(standing))
    assert written.pixel_size_um == (0.5, 0.5)
    _find(finder)
    assert len(viewer.layers) == count + 1  # what was corrected by hand stays


@pytest.fixture
def corrected(viewer: Any) -> Any:  # noqa: ANN401 - as above
    """Give a finder and its layer of 12 squares, every other one of which is doubtful."""
    labels = np.zeros((64, 64), np.int32)
    for number in range(12):
        row, col = 2 + 16 * (number // 4), 2 + 16 * (number % 4)
        labels[row : row + 10, col : col + 10] = number + 1
    features = {"index": np.arange(1, 13), "confidence": np.tile([0.9, 0.2], 6)}
    viewer.add_image(labels.astype(np.uint8), name="squares")
    layer = viewer.add_labels(labels, features=features, metadata={FOUND: Found(labels.copy(), features)})
    finder = _widget(viewer, "Find nuclei")
    assert finder._nuclei.value is layer
    return finder, layer


def test_undo_after_the_slider_gives_back_what_was_there(corrected: Any) -> None:  # noqa: ANN401 - as above
    finder, layer = corrected
    before = layer.data.copy()
    layer.fill((5, 5), 0)  # away with a sure one
    finder._least.value = 0.5
    layer.paint((40, 24), 3)  # the brush crosses a hidden one
    finder._least.value = 0.1
    layer.undo()
    layer.undo()
    assert np.array_equal(layer.data, before)
    finder._least.value = 0.5
    assert set(np.unique(before[_seen(layer)])) == {1, 3, 5, 7, 9, 11}
    assert finder._count.value == "6 of 12, 0.50 or surer"


def test_a_nucleus_painted_while_the_slider_moves_is_one(corrected: Any) -> None:  # noqa: ANN401 - as above
    finder, layer = corrected
    finder._least.value = 0.5  # the highest id is hidden
    layer.selected_label = int(layer.data.max()) + 1  # what the key m does
    layer.brush_size = 3
    layer.paint((14, 14), layer.selected_label)
    finder._least.value = 0.1
    layer.paint((14, 17), layer.selected_label)
    finder._least.value = 0.5
    painted = layer.data[13:16, 13:19]
    assert set(np.unique(painted[painted > 0])) == {13}
    assert _seen(layer)[14, 14:18].all()


def test_the_count_is_of_what_stands_there(corrected: Any) -> None:  # noqa: ANN401 - as above
    finder, layer = corrected
    finder._least.value = 0.5
    assert finder._count.value == "6 of 12, 0.50 or surer"
    layer.fill((5, 5), 0)
    assert finder._count.value == "5 of 11, 0.50 or surer"
    layer.paint((62, 62), 40)
    assert finder._count.value == "6 of 12, 0.50 or surer"
    layer.undo()
    layer.undo()
    assert finder._count.value == "6 of 12, 0.50 or surer"
    layer.fill((5, 5), 2)  # merged with a hidden one, which is seen from now on
    assert finder._count.value == "6 of 11, 0.50 or surer"
    assert _seen(layer)[5, [5, 21]].all()
    layer.brush_size = 40
    layer.paint((32, 32), 50)
    layer.paint((32, 32), 0)
    counted = np.unique(layer.data)[1:]
    assert finder._count.value == f"{len(counted) - np.sum(counted % 2 == 0) + 1} of {len(counted)}, 0.50 or surer"


def test_moving_through_a_stack_counts_nothing(viewer: Any, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ANN401
    labels = np.zeros((6, 64, 64), np.int32)
    labels[:, 4:12, 4:12] = np.arange(1, 7)[:, None, None]
    features = {"index": np.arange(1, 7), "confidence": np.linspace(0, 1, 6)}
    layer = viewer.add_labels(labels, metadata={FOUND: Found(labels.copy(), features)})
    finder = _widget(viewer, "Find nuclei")
    finder._least.value = 0.5
    viewer.dims.set_point(0, 2)
    layer.paint((2, 40, 40), 9)
    assert finder._count.value == "4 of 7, 0.50 or surer"
    count, counted = Found.count, list[Found]()

    def noted(found: Found, now: Any) -> Any:  # noqa: ANN401 - as it is
        counted.append(found)
        return count(found, now)

    with monkeypatch.context() as patched:
        patched.setattr(Found, "count", noted)
        for plane in range(6):
            viewer.dims.set_point(0, plane)
        assert not counted
        layer.undo()
        assert counted
    assert finder._count.value == "3 of 6, 0.50 or surer"


def test_what_is_hidden_can_be_erased_for_other_tools(corrected: Any) -> None:  # noqa: ANN401 - as above
    finder, layer = corrected
    before = layer.data.copy()
    assert not finder._erase.enabled
    finder._least.value = 0.5
    finder._erase.changed.emit(True)
    assert np.array_equal(layer.data, np.where(before % 2, before, 0))
    assert (finder._count.value, finder._erase.enabled) == ("6 of 6, 0.50 or surer", False)
    layer.undo()
    assert np.array_equal(layer.data, before)
    assert finder._count.value == "6 of 12, 0.50 or surer"


def test_only_what_changed_is_counted_and_the_way_to_save_is_told(
    corrected: Any,  # noqa: ANN401 - as above
    viewer: Any,  # noqa: ANN401 - as above
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from napari.utils.notifications import notification_manager

    finder, layer = corrected
    assert not finder._note.native.isVisibleTo(finder.native)
    finder._least.value = 0.5
    assert finder._note.native.isVisibleTo(finder.native)
    with monkeypatch.context() as patched:
        patched.setattr("nucleate.apps.napari.found.ids_and_areas", None)  # all of it
        layer.paint((62, 62), 40)
        assert finder._count.value == "7 of 13, 0.50 or surer"
        layer.undo()
        assert finder._count.value == "6 of 12, 0.50 or surer"

    viewer.add_labels(np.ones((64, 64), int), name="others")
    finder._save.changed.emit(True)
    assert _widget(viewer, "Save nuclei")._nuclei.value is layer  # the one that is open

    finder._least.value = 0.1
    monkeypatch.setattr("nucleate.apps.napari.hiding._DRAWN_BY", "_drawn_in_another_way")
    finder._least.value = 0.5
    assert "none are hidden" in notification_manager.records[-1].message
    assert (finder._least.value, finder._count.value) == (0.0, "12 of 12, 0.00 or surer")
    assert _seen(layer)[layer.data > 0].all()
    assert np.array_equal(layer.metadata[FOUND].shown(layer.data), layer.data), "what is seen is what is saved"


def test_new_colours_do_not_show_what_is_hidden(corrected: Any) -> None:  # noqa: ANN401 - as above
    finder, layer = corrected
    finder._least.value = 0.5
    layer.new_colormap()
    assert not _seen(layer)[5, 21]
    layer.colormap = {None: "red", 0: "transparent", 2: "blue"}
    assert not _seen(layer)[5, 21]
    assert _seen(layer)[5, 5]
    assert layer.colormap.map(np.array([2, 3])).tolist() == [[0, 0, 0, 0], [1, 0, 0, 1]]
    finder._least.value = 0.1
    assert layer.colormap.map(np.array([2])).tolist() == [[0, 0, 1, 1]]


def test_another_run_keeps_what_was_set_of_the_layer(viewer: Any) -> None:  # noqa: ANN401 - as above
    from napari.utils.colormaps import DirectLabelColormap

    labels = np.kron([[1, 2]], np.ones((9, 9), np.int32)).astype(np.int32)
    features = {"index": np.array([1, 2]), "confidence": np.array([0.9, 0.2])}
    image = viewer.add_image(labels.astype(np.uint8), name="two")

    def result(least: float) -> Any:  # noqa: ANN401 - napari's own
        found = Found(labels.copy(), features, source=image.unique_id, least=least)
        return put(viewer, (labels.copy(), {"features": features, "metadata": {FOUND: found}}, "labels"), like=image)

    layer = result(0.5)
    layer.colormap = DirectLabelColormap(color_dict={None: "yellow", 0: "transparent"})
    layer.visible, layer.brush_size, layer.preserve_labels, layer.show_selected_label = False, 33, True, True
    show(layer, layer.metadata[FOUND])
    for least, hidden in ((0.5, [2]), (0.0, [])):
        layer = result(least)
        assert (layer.visible, layer.brush_size, layer.preserve_labels) == (False, 33, True)
        assert (layer.show_selected_label, hidden_by(layer.colormap).tolist()) == (True, hidden)
        assert layer.features["index"].tolist() == [one for one in (1, 2) if one not in hidden]
        assert layer.get_color(1).tolist() == [1, 1, 0, 1]


def test_files_open_and_layers_are_written(viewer: Any, tmp_path: Path) -> None:  # noqa: ANN401 - as above
    pixels, _, _ = drawn()[0]
    nucleate.segment(pixels).save(tmp_path, name="cells")
    (layer,) = viewer.open(tmp_path / "cells.labels.tif", plugin="nucleate")
    assert (layer.name, type(layer).__name__) == ("cells nuclei", "Labels")
    for name in ("again.labels.tif", "again.tif", "again.geojson", "again.zip"):
        assert layer.save(str(tmp_path / name), plugin="nucleate") == [str(tmp_path / name)]
    assert np.array_equal(read_image(tmp_path / "again.labels.tif").pixels, layer.data)


def test_a_stack_and_what_is_chosen_of_it(viewer: Any) -> None:  # noqa: ANN401 - as above
    planes = [draw(Scene(size=(128, 128), nuclei=10), np.random.default_rng(n))[0] for n in range(3)]
    image = viewer.add_image(np.stack(planes), name="stack", scale=(2, 1, 1))
    finder = _widget(viewer, "Find nuclei")
    assert finder._planes.enabled
    assert finder._part.choices == (None, (0, 0), (0, 1), (0, 2))
    _find(finder)
    assert viewer.layers["stack nuclei"].data.shape == image.data.shape
    viewer.dims.set_current_step(0, 2)
    finder._planes.value = "shown"
    _find(finder)
    assert np.array_equal(_found(viewer, "stack nuclei"), nucleate.segment(planes[2]).labels)
    assert len(viewer.layers) == 2
    finder._part.value = (0, 1)
    _find(finder)
    assert finder._part.value == (0, 1)
    assert np.array_equal(_found(viewer, "stack axis 0: 1 nuclei"), nucleate.segment(planes[1]).labels)
    assert np.array_equal(_found(viewer, "stack nuclei"), nucleate.segment(planes[2]).labels), (
        "the other channel's stay"
    )


def test_widgets_offer_what_is_there(viewer: Any) -> None:  # noqa: ANN401 - as above
    finder, saver = _widget(viewer, "Find nuclei"), _widget(viewer, "Save nuclei")
    assert not finder._button.enabled
    assert not saver._button.enabled
    viewer.add_image(np.zeros((64, 64, 3), np.uint8), name="section", rgb=True)
    assert finder._button.enabled
    assert finder._part.choices == (None, "red", "green", "blue")
    viewer.add_labels(np.eye(64, dtype=int), name="drawn by hand")
    assert (saver._name.value, saver._button.enabled) == ("section", True)
    viewer.layers.clear()
    assert not finder._button.enabled


def test_errors_are_one_line(viewer: Any, tmp_path: Path) -> None:  # noqa: ANN401 - as above
    from napari.utils.notifications import notification_manager

    viewer.add_image(np.zeros((64, 64)), name="dark")
    finder = _widget(viewer, "Find nuclei")
    finder._model.value = "a file..."
    finder._button.changed.emit(True)
    assert "no model file" in notification_manager.records[-1].message
    assert finder._worker is None
    (tmp_path / "own.onnx").write_bytes(b"nothing")
    finder._file.value = tmp_path / "own.onnx"
    _find(finder)
    told = notification_manager.records[-1].message
    assert "no card" in told
    assert "\n" not in told
    assert len(viewer.layers) == 1

    saver = _widget(viewer, "Save nuclei")
    viewer.add_labels(np.ones((32, 32), int), name="smaller")
    saver._nuclei.value = viewer.layers["smaller"]
    saver._button.changed.emit(True)
    assert "nuclei of another size" in notification_manager.records[-1].message

    (tmp_path / "bad.czi").write_bytes(b"nothing")
    with pytest.raises(InputError, match="its content is not CZI"):
        viewer.open(tmp_path / "bad.czi", plugin="nucleate")
