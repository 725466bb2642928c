"""Finding the nuclei of a layer: the same as everywhere else, laid on the layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import nucleate
from nucleate.apps.napari import find as module
from nucleate.apps.napari.find import finding
from nucleate.apps.napari.found import FOUND, Found
from nucleate.apps.napari.pictures import WHOLE, Picture, View
from nucleate.core.image import Image
from nucleate.core.labels import relabel
from nucleate.data.synth import Scene, draw
from nucleate.errors import InputError, TooLargeError
from nucleate.export.neighbours import NEIGHBOUR_COLUMNS
from nucleate.run.segmenter import Segmenter, SegmentSettings

if TYPE_CHECKING:
    from pathlib import Path

    from nucleate.apps.napari.pixels import LayerData

pytestmark = pytest.mark.base

PLANES = [draw(Scene(size=(128, 160), nuclei=14), np.random.default_rng(n))[0] for n in range(3)]


@pytest.fixture(scope="module")
def segmenter(shipped_model: Path) -> Segmenter:
    """Give the shipped model as the widget uses it: all nuclei are found, the doubtful ones are hidden."""
    assert shipped_model.is_file()
    return nucleate.load_segmenter(settings=SegmentSettings(min_confidence=0.0))


def _asking(segmenter: Segmenter, least: float) -> Segmenter:
    """Give the segmenter with a card that asks for another confidence."""
    card = segmenter.card.model_copy(update={"min_confidence": least})
    return Segmenter(segmenter.engine, card, settings=segmenter.settings)


def found_in(
    picture: Picture,
    segmenter: Segmenter,
    *,
    view: View = WHOLE,
    told: list[tuple[int, int]] | None = None,
) -> LayerData:
    steps = finding(picture, segmenter, view=view)
    while True:
        try:
            step = next(steps)
        except StopIteration as end:
            layer: LayerData = end.value
            return layer
        if told is not None:
            told.append(step)


def test_labels_and_features_are_those_of_segment(segmenter: Segmenter) -> None:
    picture = Picture(PLANES[0], "cells", scale=(0.5, 0.25), translate=(3.0, -7.0), units=("micrometer",) * 2)
    labels, meta, kind = found_in(picture, segmenter)
    same = nucleate.segment(Image(PLANES[0], pixel_size_um=(0.5, 0.25)))
    assert (kind, meta["name"], len(same) > 8) == ("labels", "cells nuclei", True)
    found = meta["metadata"][FOUND]
    shown = found.shown(labels)
    assert np.array_equal(relabel(shown), same.labels)
    assert np.array_equal(meta["features"]["index"], np.unique(shown[shown > 0]))
    hidden = len(found.hidden(labels)) > 0
    expected = [column for column in same.table if not (hidden and column in NEIGHBOUR_COLUMNS)]
    assert list(meta["features"]) == ["index", *expected[1:]]
    for column in expected[1:]:
        assert np.array_equal(meta["features"][column], same.table[column], equal_nan=True), column
    assert (meta["scale"], meta["translate"], meta["units"]) == (picture.scale, picture.translate, picture.units)


def test_a_higher_limit_hides_more(segmenter: Segmenter) -> None:
    everything, meta, _ = found_in(Picture(PLANES[0], "cells"), segmenter)
    found = meta["metadata"][FOUND]
    assert isinstance(found, Found)
    assert np.array_equal(everything, found.labels)
    middle = float(np.median(found.features["confidence"]))
    _, stricter, _ = found_in(Picture(PLANES[0], "cells"), _asking(segmenter, middle))
    assert stricter["metadata"][FOUND].least == middle
    assert 0 < len(stricter["features"]["index"]) < len(meta["features"]["index"])
    shown = found.at_least(middle).shown(everything)
    assert np.array_equal(relabel(shown), nucleate.segment(PLANES[0], min_confidence=middle).labels)


def test_a_stack_is_done_plane_by_plane(segmenter: Segmenter) -> None:
    stack = np.stack(PLANES)[None]
    picture = Picture(
        stack, "stack", axes=("t", "z", "y", "x"), scale=(1.0, 2.0, 0.5, 0.5), translate=(0.0, 1.0, 2.0, 3.0)
    )
    told: list[tuple[int, int]] = []
    labels, meta, _ = found_in(picture, segmenter, told=told)
    assert told == [(1, 3), (2, 3), (3, 3)]
    assert labels.shape == stack.shape
    assert meta["metadata"][FOUND].labels is not labels
    same = segmenter.segment(Image(stack, "TZYX"))
    assert np.array_equal(labels, same.labels)
    assert np.array_equal(meta["metadata"][FOUND].features["plane"], same.table["plane"])
    assert meta["scale"] == picture.scale


@pytest.mark.parametrize(
    ("view", "expected"),
    [
        (View(((0, 1),)), PLANES[1]),
        (View(project="max"), np.stack(PLANES).max(axis=0)),
    ],
    ids=["one plane", "projected"],
)
def test_part_of_a_stack(segmenter: Segmenter, view: View, expected: Any) -> None:  # noqa: ANN401 - an array
    picture = Picture(np.stack(PLANES), "stack", scale=(3.0, 0.5, 0.5), translate=(1.0, 2.0, 3.0))
    labels, meta, _ = found_in(picture, segmenter, view=view)
    assert np.array_equal(labels, segmenter.segment(Image(expected)).labels)
    assert (meta["scale"], meta["translate"]) == ((0.5, 0.5), (2.0, 3.0))
    assert meta["metadata"][FOUND].view == view


@pytest.mark.parametrize("view", [View(((1, 0),)), View(project="max")], ids=["a channel", "projected"])
def test_times_stay_on_their_axis(segmenter: Segmenter, view: View) -> None:
    # napari aligns layers by their last axes: without the axis in the middle, times would lie on that of channels.
    stack = np.stack([np.stack([plane, np.zeros_like(plane), np.zeros_like(plane)]) for plane in PLANES])
    axes = ("t", "z", "y", "x")
    picture = Picture(stack, "film", axes=axes, scale=(2.0, 3.0, 0.5, 0.5), translate=(1.0, 10.0, 0.0, 0.0))
    labels, meta, _ = found_in(picture, segmenter, view=view)
    assert labels.shape == (len(PLANES), 1, *PLANES[0].shape)
    assert meta["axis_labels"] == axes
    assert (meta["scale"], meta["translate"]) == ((2.0, 9.0, 0.5, 0.5), (1.0, 13.0, 0.0, 0.0))
    start, step = meta["translate"][1], meta["scale"][1]
    assert {round((10 + 3 * z - start) / step) for z in range(3)} == {0}  # where napari looks at each depth


def test_colours(segmenter: Segmenter) -> None:
    pixels, _ = draw(Scene(size=(128, 128), nuclei=12, style="histology"), np.random.default_rng(5))
    with_alpha = np.concatenate([pixels, np.full((128, 128, 1), 255, np.uint8)], axis=2)
    labels, _, _ = found_in(Picture(with_alpha, rgb=True), segmenter)
    assert np.array_equal(labels, segmenter.segment(Image(pixels, "YXS")).labels)
    assert labels.max() > 3


def test_a_dask_array_is_read_by_windows(segmenter: Segmenter) -> None:
    dask = pytest.importorskip("dask.array", reason="dask is not installed (extra cluster)")
    lazy = dask.from_array(PLANES[0], chunks=(64, 64))
    labels, _, _ = found_in(Picture(lazy), segmenter)
    assert np.array_equal(labels, found_in(Picture(PLANES[0]), segmenter)[0])


def test_nothing_there(segmenter: Segmenter) -> None:
    labels, meta, _ = found_in(Picture(np.zeros((64, 64), np.uint8)), segmenter)
    assert not labels.any()
    assert len(meta["features"]["index"]) == 0


def test_what_cannot_be(segmenter: Segmenter, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="pixels must be real numbers"):
        found_in(Picture(np.zeros((64, 64), complex)), segmenter)
    monkeypatch.setattr(module, "available_bytes", lambda: 1000)
    with pytest.raises(TooLargeError, match=r"its labels need .* use the command: nucleate segment"):
        found_in(Picture(PLANES[0]), segmenter)
