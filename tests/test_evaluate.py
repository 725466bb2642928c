"""nucleate.evaluate: paths, arrays and mappings, in any mixture."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile

import nucleate
from nucleate.core.image import Image
from nucleate.errors import DataError, UsageError
from nucleate.run.segmentation import Segmentation

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

pytestmark = pytest.mark.base

LABELS = np.zeros((24, 24), np.int32)
LABELS[2:10, 2:10] = 1
LABELS[12:20, 3:20] = 2


def test_paths_arrays_and_mappings(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", LABELS.astype(np.uint16))
    assert nucleate.evaluate(tmp_path, str(tmp_path)).kaggle == 1.0
    assert nucleate.evaluate({"a": LABELS}, tmp_path).nuclei_true == 2
    assert nucleate.evaluate(LABELS, LABELS).aji == 1.0


def test_what_is_at_hand_is_paired_as_files_are(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "seen.tif", LABELS.astype(np.uint16))
    lone = tmp_path / "seen.tif"
    for sides in ((LABELS, lone), (lone, LABELS)):
        assert nucleate.evaluate(*sides).kaggle == 1.0
    assert nucleate.evaluate({"seen_label": LABELS}, tmp_path).missing == ()
    for several in (tmp_path, {"b": LABELS}):
        with pytest.raises(UsageError, match="no image is in both"):
            nucleate.evaluate(LABELS, several)
    numbered: Any = {7: LABELS, 8: LABELS}
    assert nucleate.evaluate(numbered, numbered, groups=dict.fromkeys(numbered, "field")).kaggle == 1
    for wrong in ([LABELS], b"seen.tif", np.int32(3)):
        with pytest.raises(UsageError, match="no label images: got"):
            nucleate.evaluate(wrong, LABELS)  # type: ignore[arg-type]


def test_what_has_labels_and_what_becomes_an_array_is_scored() -> None:
    class Later:  # as Dask's arrays; others have a mask that is none
        _mask = None

        def __array__(self, dtype: object = None, copy: object = None) -> NDArray[np.int32]:
            return labels

    labels = np.array([[0, 1, 1], [2, 0, 1]], np.int32)
    found = Segmentation(labels, np.ones(2, np.float32), Image(np.zeros((2, 3))))
    later: Any = Later()
    matrix, unmasked = labels.view(np.matrix), np.ma.masked_array(labels)
    for given in (found, later, matrix, unmasked, {"a": found}, {"a": later}, {"a": matrix}, {"a": unmasked}):
        truth = {"a": labels} if isinstance(given, dict) else labels
        scores = nucleate.evaluate(given, truth, resamples=0)
        assert (scores.kaggle, scores.nuclei_pred) == (1.0, 2)
        assert nucleate.evaluate(truth, given, resamples=0).kaggle == 1.0


@pytest.mark.parametrize("labels", [LABELS, np.stack([LABELS] * 2)])
def test_what_is_masked_out_is_not_taken_for_found(labels: NDArray[np.int32]) -> None:
    masked = np.ma.masked_array(labels, labels == 1)
    for pred in (masked, {"image": masked}):
        with pytest.raises(DataError, match=r"no plain NumPy array: got MaskedArray; use .* filled\(0\)$"):
            nucleate.evaluate(pred, {"image": labels})
    without = np.where(labels == 1, 0, labels)
    assert nucleate.evaluate(masked.filled(0), without, resamples=0).kaggle == 1.0


def test_tables_and_outlines_take_the_sizes_of_what_is_at_hand(tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("ImageId,EncodedPixels\na,1 24\n")
    square = {"type": "Polygon", "coordinates": [[[2, 2], [10, 2], [10, 10], [2, 10], [2, 2]]]}
    (tmp_path / "found").mkdir()
    (tmp_path / "found" / "a.geojson").write_text(json.dumps({"type": "Feature", "geometry": square}))
    for path, kaggle in ((tmp_path / "table.csv", 0.0), (tmp_path / "found", 0.5)):
        for sides in ((path, {"a": LABELS}), ({"a": LABELS}, path)):
            scores = nucleate.evaluate(*sides)
            assert (scores.kaggle, dict(scores.failed)) == (kaggle, {})
        for nothing in (None, [[1]], np.ones(3, int)):
            with pytest.raises(DataError, match="none of 1 images could be compared"):
                nucleate.evaluate(path, {"a": nothing})  # type: ignore[dict-item]


def test_a_stack_at_hand_is_compared_plane_by_plane_as_one_in_a_file_is(tmp_path: Path) -> None:
    stack = np.stack([LABELS, LABELS[::-1], LABELS.T, LABELS])
    through = stack + 2 * np.arange(4)[:, None, None] * (stack > 0)
    tifffile.imwrite(tmp_path / "a.tif", stack.astype(np.uint16), photometric="minisblack", metadata={"axes": "ZYX"})
    np.save(tmp_path / "a.npy", stack)
    for pred in (through, through.reshape(2, 2, 24, 24)):
        for truth in (stack, tmp_path / "a.tif", tmp_path / "a.npy", {"a": stack}):
            scores = nucleate.evaluate({"a": pred} if isinstance(truth, dict) else pred, truth)
            assert (scores.kaggle, scores.nuclei_true) == (1.0, 8)


@pytest.mark.parametrize("count", [1, 3, 4])
@pytest.mark.parametrize("beyond", [0, 300])
def test_colours_at_hand_or_in_a_file_are_no_stack(count: int, beyond: int, tmp_path: Path) -> None:
    grey = np.pad(LABELS, ((0, beyond), (0, 0)))
    colours = np.stack([grey] * count, axis=-1)
    np.save(tmp_path / "a.npy", colours)
    for labels in (colours, tmp_path / "a.npy"):
        assert nucleate.evaluate(labels, grey).kaggle == 1.0
    small = np.eye(max(2 * count, 6), dtype=np.int32)
    assert nucleate.evaluate(np.stack([small] * count, axis=-1), small).kaggle == 1.0


@pytest.mark.parametrize(
    ("channels", "said"),
    [
        (np.stack([LABELS, LABELS, LABELS.T], axis=-1), r"is coloured: got shape \(24, 24, 3\); a label"),
        (
            np.stack([LABELS] * 4, axis=-1)[None],
            r"no label image: got shape \(1, 24, 24, 4\), .*; give \(H, W\), or \(N, H, W\)",
        ),
        (np.zeros((0, 24, 24), np.int32), r"no label image: got shape \(0, 24, 24\)"),
    ],
)
def test_channels_at_hand_or_in_a_file_are_refused(channels: NDArray[Any], said: str, tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", channels)
    with pytest.raises(DataError, match=rf"^none of 1 images could be compared; the first, a: .*a\.npy.* {said}"):
        nucleate.evaluate({"a": LABELS}, tmp_path)
    with pytest.raises(DataError, match=rf"^none of 1 images could be compared; the first, image: the array .*{said}"):
        nucleate.evaluate(LABELS, channels)


def test_more_channels_than_colours_have_are_refused_but_for_narrow_planes(tmp_path: Path) -> None:
    channels = np.stack([LABELS] * 5, axis=-1)
    np.save(tmp_path / "image.npy", channels)
    for labels in (channels, tmp_path / "image.npy"):
        with pytest.raises(DataError, match="shapes differ: truth 24 x 24, prediction 24 x 24 x 5; compare"):
            nucleate.evaluate(labels, LABELS)
    for count in range(5, 9):
        wide = np.stack([np.pad(LABELS, 20)] * count, axis=-1)
        with pytest.raises(DataError, match=rf"got shape \(64, 64, {count}\), whose last axis looks like"):
            nucleate.evaluate(wide, wide)


@pytest.mark.parametrize("shape", [(6, 20, 4), (100, 20, 4), (500, 256, 32), (20, 30, 7), (40, 40, 7), (300, 64, 8)])
def test_a_narrow_stack_at_hand_is_one(shape: tuple[int, ...], tmp_path: Path) -> None:
    stack = np.zeros(shape, np.int32)
    stack[:, 3:6, -3:-1] = 1
    tifffile.imwrite(tmp_path / "a.tif", stack.astype(np.uint16), photometric="minisblack", metadata={"axes": "ZYX"})
    np.save(tmp_path / "a.npy", stack)
    for truth in (stack, tmp_path / "a.tif", tmp_path / "a.npy"):
        assert nucleate.evaluate(stack, truth).nuclei_true == len(stack)


@pytest.mark.parametrize("labels", [LABELS.astype(float), -LABELS, -np.stack([LABELS] * 2)])
def test_what_is_no_label_image_is_told_what_one_is(labels: NDArray[Any]) -> None:
    with pytest.raises(DataError, match=r"got dtype .*; give an integer dtype with 0 for background and ids from 1"):
        nucleate.evaluate(labels, LABELS if labels.ndim == 2 else np.stack([LABELS] * 2))


@pytest.mark.parametrize("option", ["resamples", "seed"])
@pytest.mark.parametrize("value", [-1, 1.5, "x", None])
def test_draws_that_cannot_be_are_a_wrong_call(option: str, value: object) -> None:
    with pytest.raises(UsageError, match=f"^{option} = .*; use a whole number, 0 or more"):
        nucleate.evaluate(LABELS, LABELS, **{option: value})  # type: ignore[arg-type]


@pytest.mark.data
def test_the_real_truth_against_itself_and_against_nothing(dsb_zip: Path) -> None:
    from nucleate.data.truth import read_labels_source

    source = read_labels_source(dsb_zip)
    truth = {image_id: source[image_id] for image_id in list(source)[:6]}
    itself = nucleate.evaluate(truth, truth)
    assert {itself.kaggle, itself.pq, itself.aji, *itself.ap.values()} == {1.0}
    empty = nucleate.evaluate({next(iter(truth)): np.zeros_like(next(iter(truth.values())))}, truth)
    assert (empty.kaggle, empty.nuclei_pred, len(empty.missing)) == (0.0, 0, 5)
