"""Kaggle's submission file: one row a nucleus, ``ImageId,EncodedPixels``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nucleate.core.files import write_rows
from nucleate.core.rle import encode_each

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from nucleate.core.bands import Labels

__all__ = ["write_submission"]


def write_submission(path: Path | str, images: Iterable[tuple[str, Labels]]) -> None:
    """Write the nuclei of many images, in the order given.

    An image without nuclei gets one row with nothing encoded, since Kaggle wants every image to occur.

    Parameters
    ----------
    path : Path or str
        Where to; an existing file is replaced.
    images : iterable of (str, (H, W) Labels)
        Image id and label image; taken one by one, so that they need not be in memory together.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    write_rows(path, _rows(images), header=["ImageId", "EncodedPixels"])


def _rows(images: Iterable[tuple[str, Labels]]) -> Iterator[tuple[str, str]]:
    for image_id, labels in images:
        found = False
        for _, code in encode_each(labels):
            yield image_id, code
            found = True
        if not found:
            yield image_id, ""
