"""Scores by plain loops over all pairs of ids: slow, and written without looking at the code it checks."""

from __future__ import annotations

from fractions import Fraction
from itertools import permutations
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

PERCENTS = range(50, 100, 5)


def ids(labels: NDArray[Any]) -> list[int]:
    return [int(i) for i in np.unique(labels) if i]


def iou(true: NDArray[Any], pred: NDArray[Any]) -> dict[tuple[int, int], Fraction]:
    """Give the exact IoU of every pair of ids."""
    table = {}
    for i in ids(true):
        for j in ids(pred):
            both = int(np.sum((true == i) & (pred == j)))
            either = int(np.sum((true == i) | (pred == j)))
            table[i, j] = Fraction(both, either)
    return table


def true_positives(true: NDArray[Any], pred: NDArray[Any], percent: int) -> int:
    """Count the true nuclei that have a predicted one of IoU over percent / 100, for 50 and above."""
    table = iou(true, pred)
    return sum(any(table[i, j] > Fraction(percent, 100) for j in ids(pred)) for i in ids(true))


def best_assignment(true: NDArray[Any], pred: NDArray[Any], threshold: Fraction) -> tuple[int, float]:
    """Try every way to pair ids: the most pairs over the threshold, and the greatest sum of IoU with so many."""
    table = iou(true, pred)
    rows, columns = ids(true), ids(pred)
    places: list[int | None] = [*columns, *([None] * len(rows))]
    best = (0, Fraction(0))
    for order in set(permutations(places, len(rows))):
        used = [table[i, j] for i, j in zip(rows, order, strict=True) if j is not None and table[i, j] > threshold]
        best = max(best, (len(used), sum(used, Fraction(0))))
    return best[0], float(best[1])


def average_precision(true: NDArray[Any], pred: NDArray[Any], percent: int) -> Fraction:
    found = true_positives(true, pred, percent)
    total = len(ids(true)) + len(ids(pred)) - found
    return Fraction(found, total) if total else Fraction(1)


def kaggle(true: NDArray[Any], pred: NDArray[Any]) -> float:
    return float(sum(average_precision(true, pred, percent) for percent in PERCENTS) / 10)


def iou_sum(true: NDArray[Any], pred: NDArray[Any]) -> float:
    return float(sum(value for value in iou(true, pred).values() if value > Fraction(1, 2)))


def aji(true: NDArray[Any], pred: NDArray[Any]) -> float:
    """Follow algorithm 1 of Kumar et al. 2017; of predicted nuclei with equal IoU the smallest id is taken."""
    table = iou(true, pred)
    above = below = 0
    taken = set()
    for i in ids(true):
        best = max(ids(pred), key=lambda j: (table[i, j], -j), default=0)
        if best and table[i, best]:
            above += int(np.sum((true == i) & (pred == best)))
            below += int(np.sum((true == i) | (pred == best)))
            taken.add(best)
        else:
            below += int(np.sum(true == i))
    below += sum(int(np.sum(pred == j)) for j in ids(pred) if j not in taken)
    return above / below if below else 1.0
