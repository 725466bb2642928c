"""The widget that saves nuclei."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from magicgui import widgets
from magicgui.types import FileDialogMode

from nucleate.apps.napari import viewing
from nucleate.apps.napari.pictures import WHOLE, together
from nucleate.apps.napari.save import save_nuclei
from nucleate.errors import NucleateError, UsageError
from nucleate.run.exports import EXPORTS
from nucleate.run.settings import DEFAULT_EXPORTS

if TYPE_CHECKING:
    from collections.abc import Generator

    import napari.layers
    import napari.viewer

    from nucleate.apps.napari.pictures import View
    from nucleate.core.lazy import LazyImage
    from nucleate.run.segmentation import Segmentation

__all__ = ["SaveNuclei"]

_HEIGHT = 200  # pixels of the list, in which every kind of file is seen without scrolling


class SaveNuclei(widgets.Container[widgets.Widget]):
    """Writes the nuclei of a Labels layer, also one corrected by hand, with what ``nucleate segment`` writes.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Its layers can be chosen.
    """

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self._viewer = viewer
        self._nuclei = widgets.ComboBox(label="nuclei", choices=lambda _: viewing.label_layers(viewer))
        self._image = widgets.ComboBox(label="measured in", choices=lambda _: viewing.image_layers(viewer))
        self._all = widgets.CheckBox(text="and all grey images of this size that are shown")
        self._folder = widgets.FileEdit(
            label="folder", mode=FileDialogMode.EXISTING_DIRECTORY, value=Path.home() / "nuclei"
        )
        self._name = widgets.LineEdit(label="name")
        self._exports = widgets.Select(label="files", choices=list(EXPORTS), value=list(DEFAULT_EXPORTS))
        self._exports.min_height = _HEIGHT
        self._replace = widgets.CheckBox(text="replace files that are there")
        self._button = widgets.PushButton(text="Save nuclei")
        self.extend(
            [
                self._nuclei, self._image, self._all, self._folder, self._name, self._exports, self._replace,
                self._button,
            ]
        )  # fmt: skip
        self._nuclei.changed.connect(self._match)
        self._image.changed.connect(self._call)
        self._button.changed.connect(self._start)
        self._match()

    def reset_choices(self, *_: object) -> None:
        """Offer the layers that are there now."""
        super().reset_choices()
        if not self._name.value:
            self._match()

    def choose(self, layer: napari.layers.Labels) -> None:
        """Choose a layer of nuclei as if picked in the list, after offering the layers that are there now."""
        self.reset_choices()
        self._nuclei.value = layer

    def _match(self) -> None:
        """Choose the image that the nuclei were found in, and name the files after it."""
        found = viewing.found_of(self._nuclei.value)
        for _, image in viewing.image_layers(self._viewer):
            if found and image.unique_id == found.source:
                self._image.value = image
                break
        self._call()

    def _call(self) -> None:
        """Name the files after the image, and the channel of it in which the nuclei were found."""
        image: napari.layers.Image | None = self._image.value
        found = viewing.found_of(self._nuclei.value)
        part = found.view.part.replace(":", "") if found else ""
        self._name.value = "" if image is None else " ".join(filter(None, [image.name, part]))
        self._button.enabled = self._nuclei.value is not None and image is not None

    def _start(self) -> None:
        try:
            steps = self._steps()
        except NucleateError as error:
            viewing.tell(error)
            return
        self._button.enabled = False
        viewing.run(steps, total=0, what="saving nuclei", returned=self._say, finished=self._end)

    def _steps(self) -> Any:  # noqa: ANN401 - a generator function
        """Copy what is to be saved, here in the thread of the viewer, so that painting goes on meanwhile."""
        layer: napari.layers.Labels = self._nuclei.value
        chosen: napari.layers.Image = self._image.value
        found = viewing.found_of(layer)
        view = WHOLE if found is None else found.view
        picture = viewing.picture_of(chosen)
        labels = np.array(layer.data[0] if layer.multiscale else layer.data)
        if found is not None:
            labels = found.shown(labels)
            found = replace(found, labels=view.from_layer(found.labels, picture))
        labels = view.from_layer(labels, picture)
        images = self._images(chosen, view)
        if not self._exports.value:
            raise UsageError("no files are chosen; choose at least one kind")
        folder = Path(str(self._folder.value)).expanduser()
        save = partial(
            save_nuclei,
            labels,
            together(images),
            folder=folder,
            name=str(self._name.value),
            exports=tuple(self._exports.value),
            found=found,
            channel=0 if len(images) > 1 else None,
            replace=bool(self._replace.value),
        )

        def steps() -> Generator[None, None, tuple[Segmentation, Path]]:
            yield
            return save(), folder

        return steps

    def _images(self, chosen: napari.layers.Image, view: View) -> list[LazyImage]:
        """List the pictures to measure in, the chosen image first, then others of its size if they are wanted."""
        own = viewing.picture_of(chosen)
        first = view.of(own)
        if not self._all.value or "S" in first.axes:
            return [first]
        # Only layers that are shown: further scenes of a file, hidden when opened, are no channels of the first.
        layers = [one for _, one in viewing.image_layers(self._viewer) if one.visible and one is not chosen]
        pictures = [viewing.picture_of(layer) for layer in layers]
        like = [one for one in pictures if not one.rgb and one.data.shape == own.data.shape]
        return [first, *(view.of(one) for one in like)]

    def _say(self, done: tuple[Segmentation, Path]) -> None:
        from napari.utils.notifications import show_info

        saved, folder = done
        show_info(f"{len(saved):,} nuclei, written to {folder}")

    def _end(self) -> None:
        self._button.enabled = True
