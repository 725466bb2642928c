"""Label image to training maps, by hand and against slow ways of saying the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from hypothesis import given
from tests.strategies import label_images

from nucleate.train.targets import border_weights, make_targets, normalised_distance, touching

if TYPE_CHECKING:
    from numpy.typing import NDArray


def test_distance_is_one_in_the_middle_and_falls_to_the_edge() -> None:
    labels = np.zeros((7, 7), np.int32)
    labels[1:6, 1:6] = 1
    expected = np.zeros((7, 7))
    expected[1:6, 1:6] = 1 / 3
    expected[2:5, 2:5] = 2 / 3
    expected[3, 3] = 1
    np.testing.assert_allclose(normalised_distance(labels), expected, rtol=1e-6)


def test_distance_ends_at_a_neighbour_but_not_at_the_picture() -> None:
    labels = np.array([[1, 1, 1, 2, 2]], np.int32)
    np.testing.assert_allclose(normalised_distance(labels), [[1, 2 / 3, 1 / 3, 0.5, 1]], rtol=1e-6)


@given(label_images())
def test_distance_reaches_one_in_each_nucleus_and_is_zero_outside(labels: NDArray[np.int32]) -> None:
    distance = normalised_distance(labels)
    assert (distance[labels == 0] == 0).all()
    for index in range(1, labels.max() + 1):
        assert distance[labels == index].max() == 1
        assert distance[labels == index].min() > 0


@given(label_images())
def test_touching_means_two_ids_in_the_window(labels: NDArray[np.int32]) -> None:
    reach = 2
    found = touching(torch.from_numpy(labels)[None], reach)[0].numpy()
    for row, col in np.ndindex(*labels.shape):
        window = labels[max(0, row - reach) : row + reach + 1, max(0, col - reach) : col + reach + 1]
        assert found[row, col] == (len(set(window[window > 0].tolist())) > 1)


def test_maps_come_in_the_order_asked_for() -> None:
    labels = torch.tensor([[[1, 1, 2, 0, 0, 0, 0]]])
    distance = torch.full(labels.shape, 0.5)
    maps = make_targets(labels, distance, maps=("distance", "mask", "border"))
    assert maps[0, :, 0].tolist() == [
        [0.5, 0.5, 0.5, 0, 0, 0, 0],
        [1, 1, 1, 0, 0, 0, 0],
        [1, 1, 1, 1, 0, 0, 0],
    ]


def test_weights_rise_between_neighbours() -> None:
    labels = torch.tensor([[[1, 0, 2] + [0] * 9]])
    assert border_weights(labels, 3.0)[0, 0].tolist() == [4.0] * 5 + [1.0] * 7
