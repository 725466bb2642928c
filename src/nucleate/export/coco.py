"""Nuclei as COCO annotations, the format most training code for instance segmentation reads.

Masks are run-length codes, which hold every pixel. COCO's polygons do not: they have no holes, and the pixels they
cover depend on the program that paints them.
"""

from __future__ import annotations

import itertools
import json
import re
from dataclasses import dataclass
from pathlib import PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from nucleate.core.files import atomic_text
from nucleate.core.rle import encode_each

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path
    from typing import TextIO

    from numpy.typing import NDArray

    from nucleate.core.bands import Labels

__all__ = ["Picture", "join_coco", "write_coco"]

_IDS = re.compile(r'\{"id": \d+, "image_id": (\d+)')  # the beginning of a line with an annotation

_Entry: TypeAlias = "dict[str, Any] | tuple[int, str]"
"""A picture, or an annotation: the number of its picture, and its line without the ids."""

_CATEGORIES = [{"id": 1, "name": "nucleus", "supercategory": "cell"}]


@dataclass(frozen=True)
class Picture:
    """One picture of a COCO file.

    Parameters
    ----------
    file_name : str
        The name of its file, with folders if they are known: `join_coco` leaves out folders that all have in common,
        and all folders if no two files have the same name.
    labels : (H, W) Labels
        Its nuclei; ids may have gaps.
    confidence : (n,) ndarray, optional
        Entry ``i - 1`` belongs to nucleus ``i``, NaN if it is not known; entries of ids that do not occur are not read.
    name : str, optional
        Name of its results, which no other input has.
    plane : int, optional
        Its number in its stack, from 0; None for a file of one picture.
    """

    file_name: str
    labels: Labels
    confidence: NDArray[Any] | None = None
    name: str | None = None
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
    with atomic_text(path) as stream:
        _write(stream, _numbered(pictures))


def join_coco(path: Path | str, parts: Sequence[Path]) -> None:
    """Join files of `write_coco` into one, with new ids of pictures and annotations, 1..n in the order given.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    with atomic_text(path) as stream:
        _write(stream, _numbered_on(parts), shorten=True)


def _numbered(pictures: Iterable[Picture]) -> Iterator[_Entry]:
    """Give the entry of each picture, then its annotations."""
    for number, picture in enumerate(pictures, 1):
        height, width = picture.labels.shape
        entry = {"id": number, "file_name": picture.file_name, "height": height, "width": width}
        more = {"name": picture.name, "plane": picture.plane}
        yield entry | {key: value for key, value in more.items() if value is not None}
        for label, code in encode_each(picture.labels):
            annotation = _annotation(code, height=height, width=width) | {"label": label}
            if picture.confidence is not None and not np.isnan(picture.confidence[label - 1]):
                annotation["score"] = round(float(picture.confidence[label - 1]), 4)
            yield number, f", {json.dumps(annotation)[1:]}"


def _numbered_on(parts: Sequence[Path]) -> Iterator[_Entry]:
    """Give the contents of files of `write_coco`, line by line; pictures are numbered on from file to file.

    There are many annotations, so they are not parsed; only their numbers are replaced.
    """
    before = 0
    for part in parts:
        highest = 0
        with part.open(encoding="utf-8") as stream:
            for line in itertools.islice(stream, 1, None):
                if ids := _IDS.match(line):
                    highest = max(highest, number := int(ids[1]))
                    yield number + before, line[ids.end() :].rstrip("\n,")
                elif line.startswith("{"):
                    one = json.loads(line.rstrip("\n,"))
                    highest = max(highest, one["id"])
                    yield one | {"id": one["id"] + before}
        before += highest


def _write(stream: TextIO, entries: Iterable[_Entry], *, shorten: bool = False) -> None:
    # There are many annotations, so they are written as they come, one a line; the few pictures follow behind.
    stream.write(f'{{"info": {{"description": "nucleate"}}, "licenses": [], "categories": {json.dumps(_CATEGORIES)}')
    stream.write(', "annotations": [')
    pictures: list[dict[str, Any]] = []
    annotations = 0
    for entry in entries:
        if isinstance(entry, dict):
            pictures.append(entry)
            continue
        image, rest = entry
        comma = "," if annotations else ""
        annotations += 1
        stream.write(f'{comma}\n{{"id": {annotations}, "image_id": {image}{rest}')
    if shorten:
        names = _shortened([picture["file_name"] for picture in pictures])
        pictures = [picture | {"file_name": names[picture["file_name"]]} for picture in pictures]
    stream.write('\n], "images": [\n' + ",\n".join(map(json.dumps, pictures)) + "\n]}\n")


def _shortened(paths: list[str]) -> dict[str, str]:
    """Shorten every path to the name of its file, or, if two files share a name, to what follows the common folders.

    Pictures that were saved one by one have no folder: they are left as they are, and the others keep one folder more.
    """
    each = {path: PurePosixPath(path) for path in paths}
    if len({path.name for path in each.values()}) == len(each):
        return {text: path.name for text, path in each.items()}
    placed = {text: path.parts for text, path in each.items() if PureWindowsPath(text).root}
    folders = [parts[:-1] for parts in placed.values()]
    alike = itertools.takewhile(lambda parts: len(set(parts)) == 1, zip(*folders, strict=False))
    common = sum(1 for _ in alike)
    while True:
        names = {text: str(PurePosixPath(*placed[text][common:])) if text in placed else text for text in each}
        if len(set(names.values())) == len(each) or common < 2:  # the root never precedes a name
            return names
        common -= 1


def _annotation(code: str, *, height: int, width: int) -> dict[str, Any]:
    """Make the entries of an annotation from the run-length code of a nucleus (`nucleate.core.rle`)."""
    numbers = np.array(code.split(), np.int64)
    starts, lengths = numbers[::2] - 1, numbers[1::2]
    ends = starts + lengths
    counts = np.stack([starts - np.append(0, ends[:-1]), lengths], axis=1).ravel().tolist()
    if ends[-1] < height * width:
        counts.append(height * width - int(ends[-1]))
    first, last = starts // height, (ends - 1) // height
    # A run that goes on in the next column covers the bottom of one column and the top of the other.
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
