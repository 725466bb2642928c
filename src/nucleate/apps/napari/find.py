"""Finding the nuclei of a layer: a picture and settings in, the data of a Labels layer out."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from nucleate.apps.napari.features import features_of
from nucleate.apps.napari.found import FOUND, Found
from nucleate.core.text import size_text
from nucleate.errors import TooLargeError
from nucleate.run.memory import available_bytes
from nucleate.run.results import Result

if TYPE_CHECKING:
    from collections.abc import Generator, Hashable

    from nucleate.apps.napari.pictures import Picture, View
    from nucleate.apps.napari.pixels import LayerData
    from nucleate.core.lazy import LazyImage
    from nucleate.run.segmenter import Segmenter

__all__ = ["finding"]

_BYTES_A_PIXEL = 3 * 4  # three int32 label images: the layer's, the copy in `Found`, and one more while they are made


def finding(
    picture: Picture, segmenter: Segmenter, *, view: View, source: Hashable = None
) -> Generator[tuple[int, int], None, LayerData]:
    """Find the nuclei of an image layer plane by plane; yield after each how many planes are done, and of how many.

    Parameters
    ----------
    picture : Picture
        The layer.
    segmenter : Segmenter
        Its settings hold. Nuclei under its `min_confidence` are dropped for good: no slider could bring them back.
    view : View
        The part of the layer in which nuclei are looked for.
    source : hashable, optional
        ``unique_id`` of the image layer, kept with the result.

    Returns
    -------
    LayerData
        A Labels layer that lies on the image, returned by the generator. Its pixels hold all nuclei; those under the
        confidence that the model's card asks for are to be hidden, and the features are the measurements of the others.
        Its metadata holds a `Found`.

    Raises
    ------
    InputError
        If the layer holds no picture.
    TooLargeError
        If the labels do not fit the memory.
    """
    image = view.of(picture)
    _check_memory(image)
    planes = math.prod(image.stack_shape)
    stack = np.zeros((*image.stack_shape, *image.shape_HW), np.int32)
    confidences = [np.zeros(0, np.float32)]
    for done, confidence in enumerate(segmenter.each_plane(image, stack), 1):
        confidences.append(confidence)
        yield done, planes
    result = Result(picture.name, image, image, stack, np.concatenate(confidences))
    labels = view.to_layer(stack, picture)
    found = Found(labels.copy(), features_of(result.table), view, source, segmenter.card.min_confidence)
    meta = {
        "name": " ".join(filter(None, [picture.name, view.part, "nuclei"])),
        "opacity": 0.5,
        "features": found.features_without(found.hidden(labels)),
        "metadata": {FOUND: found},
    }
    return labels, meta | _place(view, picture), "labels"


def _place(view: View, picture: Picture) -> dict[str, tuple[Any, ...]]:
    """Give scale, place, units and axes of the Labels layer; an axis of length 1 is stretched over the image's."""
    count = len(picture.leading) + 2
    scale, translate = list(picture.scale or [1.0] * count), list(picture.translate or [0.0] * count)
    for axis in view.spread(picture):
        length = picture.leading[axis]
        translate[axis] += scale[axis] * (length - 1) / 2
        scale[axis] *= length
    places = {"scale": scale, "translate": translate, "units": picture.units, "axis_labels": picture.axes}
    kept = view.kept(picture)
    return {name: tuple(values[axis] for axis in kept) for name, values in places.items() if values}


def _check_memory(source: LazyImage) -> None:
    pixels = math.prod(source.stack_shape) * math.prod(source.shape_HW)
    needed, free = pixels * _BYTES_A_PIXEL, available_bytes()
    if free is not None and needed > free:
        got = f"its labels need {size_text(needed)}, {size_text(free)} are free"
        raise TooLargeError(f"{source.name}: {got}; cut a part out, or use the command: nucleate segment")
