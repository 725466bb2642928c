"""One annotated image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nucleate.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Sample"]


@dataclass(frozen=True, eq=False)
class Sample:
    """An image with its true nuclei.

    Parameters
    ----------
    image_id : str
        Its name, unique in the data set.
    image : (H, W) or (H, W, 3) ndarray
        Pixels as stored, usually uint8 or uint16; one channel when the colours are equal.
    labels : (H, W) int32 ndarray
        0 background, nuclei 1..n without gaps.
    group : str
        Images of one group show the same specimen and never fall on both sides of a split; the id if not known.
    kind : str
        Type of image; "" if not known.
    fold : int, optional
        Cross-validation fold, None before folds are given.
    binary : bool
        Whether the labels look like one mask of all nuclei, as far as that was checked.

    Raises
    ------
    DataError
        If image and labels differ in size.
    """

    image_id: str
    image: NDArray[Any]
    labels: NDArray[np.int32]
    group: str
    kind: str = ""
    fold: int | None = None
    binary: bool = False

    def __post_init__(self) -> None:
        if self.image.shape[:2] != self.labels.shape:
            raise DataError(
                f"{self.image_id}: image and labels differ in size: got {self.image.shape[:2]} and "
                f"{self.labels.shape}; annotate the image at its own size"
            )
