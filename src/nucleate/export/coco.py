"""Nuclei as COCO annotations, the format most training code for instance segmentation reads.

Masks are run-length codes, which hold every pixel. COCO's polygons do not: they have no holes, and what they cover
depends on the program that paints them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nucleate.core.bands import pixel_counts
from nucleate.core.files import atomic_path
from nucleate.core.rle import encode_each

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path
    from typing import TextIO

    from numpy.typing import NDArray

    from nucleate.core.bands import Labels

__all__ = ["Picture", "join_coco", "write_coco"]

_CATEGORIES = [{"id": 1, "name": "nucleus", "supercategory": "cell"}]


@dataclass(frozen=True)
class Picture:
    """One picture of a COCO file.

    Parameters
    ----------
    file_name : str
        What it is called.
    labels : (H, W) Labels
        Its nuclei; ids may have gaps.
    confidence : (n,) ndarray, optional
        One value a nucleus, ids ascending.
    plane : int, optional
        Its number in its stack, from 0; None for a file of one picture.
    """

    file_name: str
    labels: Labels
    confidence: NDArray[Any] | None = None
    plane: int | None = None


def write_coco(path: Path | str, pictures: Iterable[Picture]) -> None:
    """Write pictures and their nuclei.

    Each annotation has the uncompressed run-length code (column by column, beginning with background), ``area``,
    ``bbox`` (x, y, width, height in pixels from the outer corner of the first one), ``category_id`` 1, ``iscrowd`` 0,
    ``score`` (the confidence) and ``label`` (the id in the label image).

    Parameters
    ----------
    path : Path or str
        Where to; an existing file is replaced.
    pictures : iterable of Picture
        Taken one by one, so that they need not be in memory together.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8") as stream:
        _write(stream, ((_entry(picture), _annotations(picture)) for picture in pictures))


def join_coco(path: Path | str, parts: Sequence[Path]) -> None:
    """Join files of `write_coco` into one, with new ids of pictures and annotations, 1..n in the order given.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8") as stream:
        _write(stream, (one for part in parts for one in _read(part)))


def _write(stream: TextIO, pictures: Iterable[tuple[dict[str, Any], Iterable[dict[str, Any]]]]) -> None:
    # Annotations are many and written as they come; the pictures are few and stand behind them.
    stream.write(f'{{"info": {{"description": "nucleate"}}, "licenses": [], "categories": {json.dumps(_CATEGORIES)}')
    stream.write(', "annotations": [')
    entries: list[dict[str, Any]] = []
    number, comma = 0, "\n"
    for entry, nuclei in pictures:
        entries.append({"id": len(entries) + 1} | entry)
        for annotation in nuclei:
            number += 1
            stream.write(comma + json.dumps({"id": number, "image_id": len(entries)} | annotation))
            comma = ",\n"
    stream.write('\n], "images": [\n' + ",\n".join(map(json.dumps, entries)) + "\n]}\n")


def _read(part: Path) -> Iterator[tuple[dict[str, Any], list[dict[str, Any]]]]:
    whole = json.loads(part.read_text(encoding="utf-8"))
    own: dict[int, list[dict[str, Any]]] = {entry["id"]: [] for entry in whole["images"]}
    for annotation in whole["annotations"]:
        rest = {key: value for key, value in annotation.items() if key not in {"id", "image_id"}}
        own[annotation["image_id"]].append(rest)
    for entry in whole["images"]:
        yield {key: value for key, value in entry.items() if key != "id"}, own[entry["id"]]


def _entry(picture: Picture) -> dict[str, Any]:
    height, width = picture.labels.shape
    entry = {"file_name": picture.file_name, "height": height, "width": width}
    return entry if picture.plane is None else entry | {"plane": picture.plane}


def _annotations(picture: Picture) -> Iterator[dict[str, Any]]:
    ids = np.flatnonzero(pixel_counts(picture.labels)) + 1 if picture.confidence is not None else None
    for label, code in encode_each(picture.labels):
        one = _annotation(code, picture.labels.shape) | {"label": label}
        if picture.confidence is not None and ids is not None:
            one["score"] = round(float(picture.confidence[np.searchsorted(ids, label)]), 4)
        yield one


def _annotation(code: str, shape: tuple[int, ...]) -> dict[str, Any]:
    height, width = shape
    numbers = np.array(code.split(), np.int64)
    starts, lengths = numbers[::2] - 1, numbers[1::2]
    ends = starts + lengths
    counts = np.stack([starts - np.append(0, ends[:-1]), lengths], axis=1).ravel().tolist()
    if ends[-1] < height * width:
        counts.append(height * width - int(ends[-1]))
    first, last = starts // height, (ends - 1) // height
    # A run that goes on in the next column covers the foot of one and the head of the other.
    whole = bool((first != last).any())
    top, bottom = (0, height - 1) if whole else (int((starts % height).min()), int(((ends - 1) % height).max()))
    left, right = int(first[0]), int(last[-1])
    return {
        "category_id": 1,
        "segmentation": {"size": [height, width], "counts": counts},
        "area": int(lengths.sum()),
        "bbox": [left, top, right - left + 1, bottom - top + 1],
        "iscrowd": 0,
    }
