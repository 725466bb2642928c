"""Stacks whose planes are separate images in a table or a COCO file, as in those we write: ``NAME/0``, ``NAME/1``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from nucleate.core.endings import matcher
from nucleate.core.labels import relabel
from nucleate.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from numpy.typing import NDArray

__all__ = ["join_planes", "number_planes", "planes_of_stacks"]


def planes_of_stacks(ids: Collection[str], *, like: Collection[str]) -> dict[str, list[str]]:
    """List the planes of the stacks that another collection of ids names as a whole, perhaps with ``.ome`` or ``_img``.

    Returns
    -------
    dict of str to list of str
        Name of a stack -> ids of its planes, in their order.

    Raises
    ------
    DataError
        If a plane is missing.

    Examples
    --------
    >>> planes_of_stacks(["a/1", "a/0", "b", "c/0"], like=["a", "b"])
    {'a': ['a/0', 'a/1']}
    """
    found: dict[str, dict[int, str]] = {}
    find = matcher(one for one in like if isinstance(one, str))
    for one in ids:
        name, _, number = one.rpartition("/") if isinstance(one, str) else ("", "", "")
        if number.isdecimal() and find(name) is not None and name not in ids:
            found.setdefault(name, {})[int(number)] = one
    for name, planes in found.items():
        lacking = next((number for number in range(max(planes)) if number not in planes), None)
        if lacking is not None:
            raise DataError(f"plane {lacking} of stack {name} is missing: got {len(planes)} others; export it again")
    return {name: [planes[number] for number in sorted(planes)] for name, planes in found.items()}


def join_planes(planes: Sequence[NDArray[Any]]) -> NDArray[np.int32]:
    """Put label images 1..n into one stack, in which no two planes share an id.

    Parameters
    ----------
    planes : sequence of (H, W) int ndarray

    Returns
    -------
    (N, H, W) int32 ndarray
        (H, W) if there is only one plane.

    Raises
    ------
    DataError
        If their sizes differ.

    Examples
    --------
    >>> join_planes([np.array([[1, 0]]), np.array([[0, 1]])]).tolist()
    [[[1, 0]], [[0, 2]]]
    """
    shapes = {plane.shape for plane in planes}
    if len(shapes) > 1:
        raise DataError(f"the planes of a stack are of several sizes: got {sorted(shapes)}; export it again")
    return _joined(planes, (len(planes), *planes[0].shape))


def number_planes(stack: NDArray[Any]) -> NDArray[np.int32]:
    """Renumber the nuclei of a stack, plane by plane, since an id that two planes share stands for two nuclei.

    Parameters
    ----------
    stack : (..., H, W) int or bool ndarray
        Label images, 0 background; ids may have gaps.

    Returns
    -------
    (N, H, W) int32 ndarray
        As `join_planes` gives it.

    Examples
    --------
    >>> number_planes(np.array([[[3, 0]], [[0, 3]]])).tolist()
    [[[1, 0]], [[0, 2]]]
    """
    planes = stack.reshape(-1, *stack.shape[-2:])
    return _joined(map(relabel, planes), planes.shape)


def _joined(planes: Iterable[NDArray[Any]], shape: tuple[int, ...]) -> NDArray[np.int32]:
    joined, count = np.empty(shape, np.int32), 0
    for target, plane in zip(joined, planes, strict=True):
        target[...] = plane
        target[target > 0] += count
        count = max(count, int(target.max(initial=0)))
    return joined if len(joined) > 1 else joined[0]
