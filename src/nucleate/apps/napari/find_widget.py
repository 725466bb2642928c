"""The widget that finds nuclei and hides the doubtful ones."""

from __future__ import annotations

import math
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from magicgui import widgets
from magicgui.types import FileDialogMode

from nucleate.api import load_segmenter
from nucleate.apps.napari import viewing
from nucleate.apps.napari.find import finding
from nucleate.apps.napari.found import FOUND
from nucleate.apps.napari.hiding import hidden_by
from nucleate.errors import NucleateError, UsageError
from nucleate.run.segmenter import SegmentSettings
from nucleate.run.weights import DEFAULT_MODEL, find_model, list_models

if TYPE_CHECKING:
    from collections.abc import Generator

    import napari.layers
    import napari.viewer
    from numpy.typing import NDArray

    from nucleate.apps.napari.pixels import LayerData
    from nucleate.run.segmenter import Segmenter

__all__ = ["FindNuclei"]

_OWN_MODEL = "a file..."
_WIDTH = 320  # pixels, at least
_HEARD = ("paint", "labels_update", "data", "set_data", "colormap")
"""Events of a Labels layer after which its ids are counted, or hidden, anew."""


class FindNuclei(widgets.Container[widgets.Widget]):
    """Finds the nuclei of an image layer, and hides those that are less sure than the slider says.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Its layers can be chosen; the nuclei become one of them.
    """

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self._viewer = viewer
        self._worker: Any = None
        self._loaded: dict[str, Segmenter] = {}
        # Layer -> how much could be undone and redone when its ids were last counted.
        self._history: weakref.WeakKeyDictionary[Any, tuple[int, int]] = weakref.WeakKeyDictionary()
        self._late: weakref.WeakSet[Any] = weakref.WeakSet()  # told of paint, after which pixels may still change
        self._ids = np.zeros(0, np.int64)
        self._told: tuple[str, bool, bool] | None = None
        models = [one.card.name for one in list_models()]
        least = find_model().card.min_confidence
        self._image = widgets.ComboBox(label="image", choices=lambda _: viewing.image_layers(viewer))
        self._part = widgets.ComboBox(label="channel", choices=lambda _: self._parts())
        self._planes = widgets.ComboBox(label="planes", choices=viewing.PLANES)
        self._model = widgets.ComboBox(label="model", choices=[*models, _OWN_MODEL], value=DEFAULT_MODEL)
        self._file = widgets.FileEdit(label="model file", mode=FileDialogMode.EXISTING_FILE, filter="*.onnx")
        self._auto = widgets.CheckBox(text="find the scale by itself", value=True)
        self._scale = widgets.FloatSpinBox(label="scale", value=1.0, min=0.05, max=20, step=0.1)
        self._twice = widgets.CheckBox(text="look twice: better outlines, slower")
        self._area = widgets.SpinBox(label="least area (px)", min=0, max=1_000_000, tooltip="0: as the model has it")
        self._button = widgets.PushButton(text="Find nuclei")
        self._nuclei = widgets.ComboBox(label="nuclei", choices=lambda _: self._results())
        self._least = widgets.FloatSlider(label="confidence", min=0, max=1, step=0.01, value=least, readout=False)
        self._least.tooltip = "Nuclei that are less sure are hidden; nothing is computed again."
        self._count = widgets.Label(label="", value="")
        self._note = widgets.Label(
            label="", value="hidden, but in the layer's pixels still:\nsave them with Save nuclei"
        )
        self._erase = widgets.PushButton(text="Erase what is hidden", tooltip="For other tools; it can be undone.")
        self._save = widgets.PushButton(text="Save nuclei...", tooltip="Without those that are hidden.")
        self.min_width = _WIDTH
        self.extend(
            [
                self._image, self._part, self._planes, self._model, self._file, self._auto, self._scale, self._twice,
                self._area, self._button, self._nuclei, self._least, self._count, self._note,
                self._erase, self._save,
            ]
        )  # fmt: skip
        self._file.visible = self._scale.visible = self._note.visible = False
        self._connect()
        self.reset_choices()

    def reset_choices(self, *_: object) -> None:
        """Offer the layers that are there now."""
        super().reset_choices()
        self._offer()
        self._follow()
        self._look_up()

    def _connect(self) -> None:
        self._image.changed.connect(self._offer)
        self._model.changed.connect(lambda name: setattr(self._file, "visible", name == _OWN_MODEL))
        self._auto.changed.connect(lambda on: setattr(self._scale, "visible", not on))
        self._button.changed.connect(self._start_or_stop)
        self._nuclei.changed.connect(self._look_up)
        self._least.changed.connect(self._hide)
        self._erase.changed.connect(self._drop)
        self._save.changed.connect(self._open_save)

    def _results(self) -> list[tuple[str, napari.layers.Labels]]:
        return [(name, layer) for name, layer in viewing.label_layers(self._viewer) if viewing.found_of(layer)]

    def _parts(self) -> list[tuple[str, Any]]:
        layer: napari.layers.Image | None = self._image.value
        return [("all", None)] if layer is None else viewing.parts_of(viewing.picture_of(layer))

    def _offer(self) -> None:
        """Offer the channels and planes that the image has."""
        layer: napari.layers.Image | None = self._image.value
        picture = None if layer is None else viewing.picture_of(layer)
        self._part.reset_choices()
        self._part.enabled = len(self._part.choices) > 1
        self._planes.enabled = picture is not None and math.prod(picture.leading) > 1
        self._button.enabled = picture is not None

    def _start_or_stop(self) -> None:
        if self._worker is not None:
            self._button.enabled = False  # until the plane at work is done, which cannot be broken off
            self._worker.quit()
            return
        try:
            self._start()
        except NucleateError as error:
            viewing.tell(error)

    def _start(self) -> None:
        layer: napari.layers.Image = self._image.value
        at = self._viewer.dims.point
        view = viewing.view_of(layer, part=self._part.value, planes=self._planes.value, at=at)
        picture, settings = viewing.picture_of(layer), self._settings()
        planes = math.prod(view.of(picture).stack_shape)
        model = self._chosen_model()

        def steps() -> Generator[tuple[int, int], None, LayerData]:
            segmenter = self._segmenter(model).with_settings(settings)
            return (yield from finding(picture, segmenter, view=view, source=layer.unique_id))

        self._button.text = "Stop"
        self._worker = viewing.run(
            steps,
            total=planes if planes > 1 else 0,
            what=f"nuclei of {layer.name}",
            returned=lambda data: self._show(data, like=layer),
            finished=self._end,
        )

    def _settings(self) -> SegmentSettings:
        """Give what was chosen; no limit of confidence is set, since the slider may ask for unsure nuclei later."""
        scale = "auto" if self._auto.value else float(self._scale.value)
        area = int(self._area.value) or None
        return SegmentSettings(scale=scale, tta=bool(self._twice.value), min_area=area, min_confidence=0.0)  # type: ignore[arg-type]

    def _chosen_model(self) -> str:
        if self._model.value != _OWN_MODEL:
            return str(self._model.value)
        path = Path(str(self._file.value))
        if not path.is_file():
            raise UsageError(f"no model file: got {path}; choose an .onnx file with its .toml card beside it")
        return str(path)

    def _segmenter(self, model: str) -> Segmenter:
        if model not in self._loaded:
            self._loaded[model] = load_segmenter(model)
        return self._loaded[model]

    def _show(self, data: LayerData, *, like: napari.layers.Image) -> None:
        layer = viewing.put(self._viewer, data, like=like)
        self.reset_choices()
        self._nuclei.value = layer
        self._look_up()

    def _end(self) -> None:
        self._worker = None
        self._button.text = "Find nuclei"
        self._button.enabled = self._image.value is not None

    def _follow(self) -> None:
        """Listen to painting, undoing and new colours in every layer of nuclei."""
        for _, layer in self._results():
            for name in _HEARD:
                layer.events[name].connect(self._hear)  # napari connects the same callback only once

    def _hear(self, event: Any) -> None:  # noqa: ANN401 - napari's
        """Hide again what a change of colours or pixels has shown, and count anew."""
        layer: napari.layers.Labels = event.source
        found = viewing.found_of(layer)
        # Some tools emit `paint` before they change pixels, and undoing emits `set_data` alone, as each redraw does.
        history = len(layer._undo_history), len(layer._redo_history)
        undone = event.type == "set_data" and self._history.get(layer, (0, 0)) != history
        drawn = event.type in {"set_data", "labels_update"}
        if found is None or (drawn and not undone and layer not in self._late):
            return
        self._history[layer] = history
        if event.type in {"paint", "data"}:
            self._late.add(layer)
        elif drawn:
            self._late.discard(layer)
        with layer.events.set_data.blocker(self._hear), layer.events.colormap.blocker(self._hear):
            standing = viewing.show(layer, found)
        if layer is self._nuclei.value and event.type != "colormap":
            self._tell(layer, standing)

    def _look_up(self) -> None:
        """Show the limit of confidence of the chosen nuclei, and how many they are."""
        layer: napari.layers.Labels = self._nuclei.value
        if found := viewing.found_of(layer):
            self._tell(layer, found.count(np.asarray(layer.data))[0])
        else:
            self._tell_count()

    def _tell(self, layer: napari.layers.Labels, standing: NDArray[np.int64]) -> None:
        least = layer.metadata[FOUND].least
        if least != self._least.value:
            with self._least.changed.blocked():
                self._least.value = least
        self._ids = standing
        self._tell_count()

    def _hide(self, least: float) -> None:
        layer: napari.layers.Labels = self._nuclei.value
        if found := viewing.found_of(layer):
            with layer.events.set_data.blocker(self._hear), layer.events.colormap.blocker(self._hear):
                self._tell(layer, viewing.show(layer, found.at_least(least)))

    def _drop(self) -> None:
        """Set the pixels of hidden nuclei to 0, in one step of the layer's undo history."""
        layer: napari.layers.Labels | None = self._nuclei.value
        if layer is not None:
            pixels = np.asarray(layer.data)
            layer.data_setitem(np.nonzero(np.isin(pixels, hidden_by(layer.colormap))), 0)

    def _open_save(self) -> None:
        """Open the widget that saves, with these nuclei."""
        _, saver = self._viewer.window.add_plugin_dock_widget("nucleate", "Save nuclei")
        saver.choose(self._nuclei.value)

    def _tell_count(self) -> None:
        layer: napari.layers.Labels | None = self._nuclei.value
        told, hidden = f"{self._least.value:.2f} or surer", 0
        if layer is not None and viewing.found_of(layer):
            count, hidden = len(self._ids), len(np.intersect1d(self._ids, hidden_by(layer.colormap)))
            told = f"{count - hidden:,} of {count:,}, {told}"
        state = (told, hidden > 0, layer is not None)
        if state != self._told:  # called at every stroke of the brush, and Qt is slow
            self._told = state
            self._count.value, self._erase.enabled, self._save.enabled = state
            self._note.visible = hidden > 0
