"""All that the widgets ask of a viewer: layers as pictures, what the user can choose, work in threads, messages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from nucleate.apps.napari.found import FOUND, Found
from nucleate.apps.napari.hiding import can_hide, hidden_by, hiding
from nucleate.apps.napari.pictures import Picture, View
from nucleate.core.image import COLOURS
from nucleate.errors import NucleateError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import napari.layers
    import napari.viewer
    from numpy.typing import NDArray

    from nucleate.apps.napari.pixels import LayerData
    from nucleate.core.project import Projection

__all__ = [
    "PLANES",
    "SHOWN_PLANE",
    "found_of",
    "image_layers",
    "label_layers",
    "parts_of",
    "picture_of",
    "put",
    "run",
    "show",
    "tell",
    "view_of",
]

SHOWN_PLANE = "shown"
"""The value of `PLANES` for the one plane that the viewer shows."""

PLANES = [
    ("plane by plane", None),
    ("only the plane shown", SHOWN_PLANE),
    ("brightest of all planes", "max"),
    ("mean of all planes", "mean"),
    ("darkest of all planes", "min"),
]
"""What can be done with a stack: its name in the widget, and its value, of which the others are projections."""

_MOST_CHANNELS = 6  # indices of a longer axis, depth or time, are not offered one by one
_LOOK = (  # what a user may have set on a layer, and its replacement takes over
    "name",
    "visible",
    "opacity",
    "blending",
    "contour",
    "brush_size",
    "preserve_labels",
    "show_selected_label",
)


def image_layers(viewer: napari.viewer.Viewer) -> list[tuple[str, napari.layers.Image]]:
    """List the image layers of a viewer that are not empty, the top one first, with their names."""
    from napari.layers import Image

    images = [layer for layer in reversed(viewer.layers) if isinstance(layer, Image)]
    return [(layer.name, layer) for layer in images if 0 not in picture_of(layer).data.shape]


def label_layers(viewer: napari.viewer.Viewer) -> list[tuple[str, napari.layers.Labels]]:
    """List the Labels layers of a viewer, the top one first, with their names."""
    from napari.layers import Labels

    return [(layer.name, layer) for layer in reversed(viewer.layers) if isinstance(layer, Labels)]


def picture_of(layer: napari.layers.Layer) -> Picture:
    """Give an image layer as a picture; a multiscale layer by its full size."""
    return Picture(
        layer.data[0] if layer.multiscale else layer.data,
        layer.name,
        rgb=bool(getattr(layer, "rgb", False)),
        axes=tuple(map(str, layer.axis_labels)),
        scale=tuple(map(float, layer.scale)),
        translate=tuple(map(float, layer.translate)),
        units=tuple(map(str, layer.units)),
    )


def parts_of(picture: Picture) -> list[tuple[str, Any]]:
    """List what can be chosen of a picture, with names: all (None), a colour, or (axis, index) of a short axis."""
    if picture.rgb:
        return [("all colours", None), *((colour, colour) for colour in COLOURS)]
    short = [(axis, n) for axis, n in enumerate(picture.leading) if 1 < n <= _MOST_CHANNELS]
    named = [(f"{picture.name_of(axis) or f'axis {axis}'}: {i}", (axis, i)) for axis, n in short for i in range(n)]
    return [("all", None), *named]


def view_of(layer: napari.layers.Image, *, part: Any, planes: str | None, at: Iterable[float]) -> View:  # noqa: ANN401
    """Turn the user's choices for an image layer into a `View`.

    Parameters
    ----------
    layer : napari.layers.Image
    part : str, (int, int) or None
        One of the values of `parts_of`.
    planes : str or None
        One of the values of `PLANES`.
    at : iterable of float
        Where the viewer's sliders are, in world coordinates; its last entries belong to the layer's axes.
    """
    picture = picture_of(layer)
    leading = picture.leading
    fixed = {} if part is None or isinstance(part, str) else dict([part])
    if planes == SHOWN_PLANE:
        place = layer.world_to_data(tuple(at)[-layer.ndim :])
        shown = {axis: min(max(round(place[axis]), 0), n - 1) for axis, n in enumerate(leading)}
        fixed = shown | fixed
    how: Projection | None = planes if planes in {"max", "mean", "min"} else None  # type: ignore[assignment]  # checked
    called = next((name for name, value in parts_of(picture) if value == part and part is not None), "")
    return View(tuple(sorted(fixed.items())), how, part if isinstance(part, str) else None, called)


def found_of(layer: napari.layers.Labels | None) -> Found | None:
    """Give the `Found` of a layer's metadata; None where there is none, or its shape is not that of the layer."""
    if layer is None:
        return None
    found = layer.metadata.get(FOUND)
    fits = isinstance(found, Found) and found.labels.shape == tuple(layer.data.shape)
    return found if fits else None


def show(layer: napari.layers.Labels, found: Found) -> NDArray[np.int64]:
    """Hide the nuclei of a layer that are less sure than `found.least`, and no others; no pixel is changed.

    Where this version of napari cannot hide them, none are hidden and the user is told.

    Parameters
    ----------
    layer : napari.layers.Labels
        The layer that `found` belongs to; its metadata hold `found` afterwards.
    found : Found

    Returns
    -------
    (n,) int64 ndarray
        The ids that stand in the layer's pixels, hidden ones too.
    """
    standing, hidden = found.count(np.asarray(layer.data))
    if len(hidden) and not can_hide(layer.colormap):
        tell(UsageError("this napari colours nuclei in a way that is not known here: none are hidden; take napari 0.9"))
        found, hidden = found.at_least(0.0), hidden[:0]
    if not np.array_equal(hidden, hidden_by(layer.colormap)):
        layer.colormap = hiding(layer.colormap, hidden)
        layer.features = found.features_without(hidden)
    if found is not layer.metadata.get(FOUND):
        layer.metadata = {**layer.metadata, FOUND: found}
    return standing


def put(viewer: napari.viewer.Viewer, data: LayerData, *, like: napari.layers.Image) -> napari.layers.Labels:
    """Show nuclei that were found, in place of an earlier result of the same channel, if there is one.

    An earlier result that was corrected by hand stays, and the new layer is added.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
    data : LayerData
        From `nucleate.apps.napari.find.finding`.
    like : napari.layers.Image
        The image they were found in; its rotation, shear and affine are taken over.

    Returns
    -------
    napari.layers.Labels
        The layer that shows them.
    """
    from napari.layers import Layer

    layer = Layer.create(*data)
    found: Found = layer.metadata[FOUND]
    _turn(layer, like)
    for _, old in label_layers(viewer):
        if _is_earlier(old, found):
            place = viewer.layers.index(old)
            if can_hide(old.colormap):
                layer.colormap = hiding(old.colormap, np.zeros(0, np.int64))
            for name in _LOOK:
                setattr(layer, name, getattr(old, name))
            viewer.layers.remove(old)  # with its undo history, which does not fit the new nuclei
            viewer.layers.insert(place, layer)
            break
    else:
        viewer.add_layer(layer)
    show(layer, found)
    return layer


def _is_earlier(layer: napari.layers.Labels, new: Found) -> bool:
    """Tell whether a layer holds an earlier result for the same image and channel, uncorrected."""
    old = found_of(layer)
    if old is None or new.source is None or (old.source, old.view.part) != (new.source, new.view.part):
        return False
    return np.array_equal(old.labels, layer.data)


def _turn(layer: napari.layers.Labels, like: napari.layers.Image) -> None:
    """Take over the image's rotation and shear; not for one plane of a stack, whose layer has fewer axes."""
    if layer.ndim == like.ndim:
        layer.rotate, layer.shear, layer.affine = like.rotate, like.shear, like.affine


def run(
    steps: Callable[..., Any], *, total: int, what: str, returned: Callable[[Any], None], finished: Callable[[], None]
) -> Any:  # noqa: ANN401 - napari's worker
    """Do work in a thread, with a progress bar; errors of ours are shown to the user by `tell`.

    Parameters
    ----------
    steps : generator function
        Yields after each step; its return value is the result.
    total : int
        How many steps; 0 for a bar that only shows that the work goes on.
    what : str
        The text beside the bar.
    returned, finished : callable
        Called in the thread of the viewer: with the result, and at the end however it ended.

    Returns
    -------
    worker
        Its ``quit`` stops the work after the next step.
    """
    from napari.qt.threading import create_worker

    connect = {"returned": returned, "errored": tell, "finished": finished}
    return create_worker(steps, _connect=connect, _progress={"total": total, "desc": what}, _start_thread=True)


def tell(error: Exception) -> None:
    """Show an error of ours as a notification of one line; raise any other, which is a bug."""
    if not isinstance(error, NucleateError):
        raise error
    from napari.utils.notifications import show_error

    show_error(str(error))
