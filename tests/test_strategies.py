from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import Phase, find, given, settings
from hypothesis.errors import NoSuchExample
from scipy import ndimage

from tests import strategies

if TYPE_CHECKING:
    from collections.abc import Callable

    from hypothesis.strategies import SearchStrategy
    from numpy.typing import NDArray

pytestmark = pytest.mark.base


@given(strategies.label_images())
def test_label_images_are_label_images(labels: NDArray[np.int32]) -> None:
    assert labels.dtype == np.int32
    assert labels.ndim == 2
    assert list(np.unique(labels[labels > 0])) == list(range(1, int(labels.max()) + 1))


@given(strategies.label_images(in_one_piece=True))
def test_one_piece_is_one_piece(labels: NDArray[np.int32]) -> None:
    for number in range(1, int(labels.max()) + 1):
        assert ndimage.label(labels == number)[1] == 1


@given(strategies.label_pairs())
def test_pairs_have_one_shape(pair: tuple[NDArray[np.int32], NDArray[np.int32]]) -> None:
    assert pair[0].shape == pair[1].shape


@given(strategies.planes())
def test_planes_are_pictures(plane: NDArray[Any]) -> None:
    assert plane.ndim == 2 or plane.shape[2] == 3
    assert np.isfinite(plane).all()


def test_the_odd_cases_occur() -> None:
    images = strategies.label_images()
    assert _occurs(images, lambda x: x.max() == 0)
    assert _occurs(images, lambda x: (np.bincount(x.ravel())[1:] == 1).any())
    assert _occurs(images, lambda x: any(ndimage.label(x == n)[1] > 1 for n in range(1, int(x.max()) + 1)))
    assert _occurs(strategies.label_pairs(), lambda p: p[0].max() > 1 and (p[0] != p[1]).any())
    assert _occurs(strategies.planes(), lambda x: x.ndim == 3 and x.size > 3 and x.dtype == np.uint16)


def _occurs(drawn: SearchStrategy[Any], case: Callable[[Any], Any]) -> bool:
    """Look for such a case, but not for the smallest, which can take minutes."""
    try:
        find(drawn, lambda x: bool(case(x)), settings=settings(max_examples=2000, phases=[Phase.generate]))
    except NoSuchExample:
        return False
    return True
