"""Label images for scoring, wherever they are kept: files, Kaggle folders and zips, run-length tables."""

from __future__ import annotations

import contextlib
import csv
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nucleate.core.endings import without_ending
from nucleate.core.rle import decode_positions
from nucleate.data import folders, kaggle
from nucleate.data.names import read_names
from nucleate.data.outlined import Outlined, find_outlined, first_logged
from nucleate.data.pictures import open_pictures
from nucleate.data.pixels import decode_image, decode_label_planes
from nucleate.data.source import MAX_FILE_BYTES, Source, open_source
from nucleate.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["LabelMap", "labels_from_codes", "read_labels_source", "read_pair"]


class LabelMap(Mapping[str, "NDArray[np.int32]"]):
    """Image id -> label image, read when asked for and not kept.

    Parameters
    ----------
    readers : mapping of str to callable
        A function a label image, in the order of iteration.
    """

    def __init__(self, readers: Mapping[str, Callable[[], NDArray[np.int32]]]) -> None:
        self._readers = dict(readers)

    def __getitem__(self, image_id: str) -> NDArray[np.int32]:
        return self._readers[image_id]()

    def __contains__(self, image_id: object) -> bool:
        # The default of Mapping would read the pixels.
        return image_id in self._readers

    def __iter__(self) -> Iterator[str]:
        return iter(self._readers)

    def __len__(self) -> int:
        return len(self._readers)

    def renamed(self, ids: Sequence[str]) -> LabelMap:
        """Give the same label images, in their order, other ids."""
        return LabelMap(dict(zip(ids, self._readers.values(), strict=True)))


def read_pair(pred: Path | str, truth: Path | str, *, images: Path | str | None = None) -> tuple[LabelMap, LabelMap]:
    """Find both sides of a comparison; see `read_labels_source`.

    A run-length table or outlines that do not say how large their images are take the sizes of the other side where no
    `images` are given: a submission is scored against a solution as they are. Two files of one label image each are a
    pair whatever they are called, and ``a_label`` is ``a`` where each is the only one that the other side lacks.

    Returns
    -------
    pred, truth : LabelMap
    """
    true_side, side = _Side(truth), _Side(pred, predicted=True)
    if images is None and true_side.lacks_sizes:
        predicted = side.labels()
        return predicted, true_side.labels(like=predicted)
    true = true_side.labels(images=images)
    predicted = side.labels(images=images, like=true)
    alone = all(Path(path).is_file() and Path(path).suffix.lower() not in {".csv", ".zip"} for path in (pred, truth))
    if alone and len(predicted) == len(true) == 1:
        return predicted.renamed([*true]), true
    return predicted.renamed(_in_words_of(true, [*predicted])), true


def _in_words_of(true: LabelMap, ids: Sequence[str]) -> list[str]:
    """Give predictions the ids of the truth where only what looks like the ending of a label image sets them apart."""
    ours = _alone(one for one in ids if one not in true)
    theirs = _alone({*true} - {*ids})
    known = {ours[bare]: theirs[bare] for bare in ours.keys() & theirs.keys()}
    return [known.get(one, one) for one in ids]


def _alone(ids: Iterable[str]) -> dict[str, str]:
    """Give each id by what is left without such an ending, but for those of which as much is left."""
    grouped: dict[str, list[str]] = {}
    for one in ids:
        grouped.setdefault(without_ending(one), []).append(one)
    return {bare: same[0] for bare, same in grouped.items() if len(same) == 1}


def read_labels_source(path: Path | str, *, images: Path | str | None = None, like: LabelMap | None = None) -> LabelMap:
    """Find the label images in a folder, a zip or a run-length table.

    Parameters
    ----------
    path : path-like
        A folder or zip of label images, or one alone (``<id>.tif``, ``<id>.labels.tif``, ``.png``), one in Kaggle's
        layout with masks, one with ``labels/``, one with outlines (`nucleate.data.outlined`), or a CSV with columns
        ImageId, EncodedPixels and, if possible, Height and Width. A row with empty EncodedPixels is an image without
        nuclei.
    images : path-like, optional
        Folder or zip of the images, for their sizes where a CSV lacks Height and Width or outlines lack pictures.
    like : LabelMap, optional
        Label images of the same images, for their sizes where there are no `images`, and for the folders in their ids.

    Returns
    -------
    LabelMap
        Sorted by id. Labels are (H, W) int32, 1..n without gaps; (N, H, W) of a file with N planes, in which no two
        planes share an id. A pixel claimed by two masks or codes belongs to the first: masks in the order of their
        names, codes in the order of their rows; one claimed by two outlines to the smaller nucleus.

    Raises
    ------
    UsageError
        If nothing is there.
    DataError
        If nothing of the kind is there; on reading an entry: if the file is damaged, a code does not fit its image, or
        the size of an image is not known.
    """
    return _Side(path).labels(images=images, like=like)


class _Side:
    """One side of a comparison, looked through once: tables and annotation files can be large."""

    def __init__(self, path: Path | str, *, predicted: bool = False) -> None:
        self.path, self.predicted = Path(path), predicted
        self.rows: dict[str, _Rows] = {}
        self.entries: list[kaggle.KaggleEntry] = []
        self.outlines: list[Outlined] = []
        self.is_table = self.path.suffix.lower() == ".csv" and self.path.is_file()
        if self.is_table:
            self.rows = _read_table(self.path)
            return
        self.source = open_source(path)
        self.entries = kaggle.find_entries(self.source)
        self.outlines = [] if self.entries else _outlines(self.source)

    @property
    def lacks_sizes(self) -> bool:
        if self.is_table:
            return any(found.shape is None for found in self.rows.values())
        return any(entry.image is None and entry.shape is None for entry in self.outlines)

    def labels(self, *, images: Path | str | None = None, like: LabelMap | None = None) -> LabelMap:
        if self.is_table:
            return _from_table(self.path, self.rows, images=images, like=like)
        source = self.source
        if self.entries:
            annotated = [entry for entry in self.entries if entry.masks is not None]
            if not annotated:
                raise DataError(f"{source} has images but no masks; give the truth as a CSV or a folder with masks")
            return LabelMap({entry.image_id: _mask_reader(source, entry) for entry in annotated})
        if self.outlines:
            sizes = _sizes(images, like)
            note = first_logged(source)

            def paint(entry: Outlined, shape: tuple[int, int]) -> NDArray[np.int32]:
                return entry.nuclei(shape, predicted=self.predicted, note=note)

            readers = {one.image_id: _outline_reader(source, one, sizes=sizes, paint=paint) for one in self.outlines}
            return LabelMap(readers)
        names = folders.find_labels(source, like=() if like is None else [*like])
        if not names:
            raise DataError(
                f"{source} holds no label images: got {len(source.names)} files; give <id>.tif or <id>.png files, or "
                "outlines (GeoJSON, ImageJ ROIs, XML, COCO)"
            )
        return LabelMap({image_id: _file_reader(source, names[image_id]) for image_id in sorted(names)})


def labels_from_codes(codes: list[str], shape: tuple[int, int]) -> NDArray[np.int32]:
    """Paint run-length codes into one label image; a pixel claimed twice belongs to the first.

    Parameters
    ----------
    codes : list of str
        One code a nucleus; empty ones are passed over.
    shape : (int, int)
        Rows and columns of the image.

    Returns
    -------
    (H, W) int32 ndarray
        Nuclei 1..n in the order given; a code without a pixel of its own gets no number.

    Raises
    ------
    DataError
        If a code is bad or leaves the image.

    Examples
    --------
    >>> labels_from_codes(["1 2", "2 2"], (2, 2))
    array([[1, 2],
           [1, 0]], dtype=int32)
    """
    flat = np.zeros(shape[0] * shape[1], dtype=np.int32)
    following = 1
    for code in codes:
        positions = decode_positions(code, shape)
        free = positions[flat[positions] == 0]
        if free.size:
            flat[free] = following
            following += 1
    return np.ascontiguousarray(flat.reshape(shape, order="F"))


@dataclass
class _Rows:
    codes: list[str] = field(default_factory=list)
    shape: tuple[int, int] | None = None


def _from_table(path: Path, rows: dict[str, _Rows], *, images: Path | str | None, like: LabelMap | None) -> LabelMap:
    if not rows:
        raise DataError(f"{path} has no rows; give a CSV with ImageId,EncodedPixels")
    lacking = [image_id for image_id, found in rows.items() if found.shape is None]
    if lacking and images is None and like is None:
        raise DataError(f"{path} does not say how large image {lacking[0]} is; give the images with --images DIR")
    sizes = _sizes(images if lacking else None, like)

    def reader(image_id: str, found: _Rows) -> Callable[[], NDArray[np.int32]]:
        def read() -> NDArray[np.int32]:
            shape = found.shape or sizes(image_id)
            try:
                return labels_from_codes(found.codes, shape or (0, 0))
            except DataError as error:
                raise DataError(f"{path}, image {image_id}: {error}") from error

        return read

    return LabelMap({image_id: reader(image_id, rows[image_id]) for image_id in sorted(rows)})


def _sizes(images: Path | str | None, like: LabelMap | None) -> Callable[[str], tuple[int, int] | None]:
    """Give the function that says how large an image is: by the images, else by the other side; None if unknown."""
    pictures = None if images is None else open_pictures(images)

    def size(image_id: str) -> tuple[int, int] | None:
        if pictures is not None:
            return _picture_shape(pictures(image_id), image_id, images=images)
        if like is not None and image_id in like:
            rows, columns = like[image_id].shape[-2:]
            return rows, columns
        return None

    return size


def _read_table(path: Path) -> dict[str, _Rows]:
    rows: dict[str, _Rows] = {}
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream, _long_fields():
            reader = csv.DictReader(stream)
            missing = {"ImageId", "EncodedPixels"} - set(reader.fieldnames or ())
            if missing:
                raise DataError(f"{path} lacks columns {', '.join(sorted(missing))}: got {reader.fieldnames}")
            for row in reader:
                found = rows.setdefault(row["ImageId"], _Rows())
                found.codes.append(row["EncodedPixels"] or "")
                shape = _row_shape(row, path)
                if found.shape is not None and shape != found.shape:
                    shown = f"{row['ImageId']}: got {found.shape} and {shape}"
                    raise DataError(f"{path} gives two sizes for image {shown}; mend Height and Width")
                found.shape = shape
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"cannot read the table {path}: {error}; give a CSV file") from error
    return rows


def _row_shape(row: Mapping[str, str | None], path: Path) -> tuple[int, int] | None:
    height, width = row.get("Height"), row.get("Width")
    if not height or not width:
        return None
    if not (height.isdigit() and width.isdigit() and int(height) and int(width)):
        raise DataError(
            f"{path}: no size of image {row['ImageId']}: got Height {height!r}, Width {width!r}; give pixels"
        )
    if int(height) * int(width) * 4 > MAX_FILE_BYTES:
        raise DataError(f"{path}: image {row['ImageId']} is too large: got {height} x {width} pixels; mend the sizes")
    return int(height), int(width)


@contextlib.contextmanager
def _long_fields() -> Iterator[None]:
    # The code of one nucleus in a large image is longer than the csv module's limit, which is one for the process.
    before = csv.field_size_limit(2**31 - 1)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _picture_shape(picture: NDArray[Any] | None, image_id: str, *, images: Path | str | None) -> tuple[int, int]:
    if picture is None:
        raise DataError(f"no image {image_id} in {images}; give the folder with all images as --images")
    height, width = picture.shape[:2]
    return height, width


def _outlines(source: Source) -> list[Outlined]:
    """List the outlined images; none where the pictures are label images and files of another kind lie beside them."""
    pictures = read_names(source.names)
    if any(one.is_label for one in pictures.values()):
        return []
    found = [entry for entry in find_outlined(source) if entry.outlines is not None]
    matched = any(entry.image is not None or entry.shape is not None for entry in found)
    return found if matched or not pictures else []


def _outline_reader(
    source: Source,
    entry: Outlined,
    *,
    sizes: Callable[[str], tuple[int, int] | None],
    paint: Callable[[Outlined, tuple[int, int]], NDArray[np.int32]],
) -> Callable[[], NDArray[np.int32]]:
    def read() -> NDArray[np.int32]:
        if entry.image is not None:
            height, width = decode_image(source.read(entry.image), f"{source}/{entry.image}").shape[:2]
            shape: tuple[int, int] | None = (height, width)
        else:
            shape = entry.shape or sizes(entry.image_id)
        if shape is None:
            said = f"{source}/{entry.outlines} does not say how large image {entry.image_id} is"
            raise DataError(f"{said}; give the images with --images DIR")
        return paint(entry, shape)

    return read


def _mask_reader(source: Source, entry: kaggle.KaggleEntry) -> Callable[[], NDArray[np.int32]]:
    return lambda: kaggle.read_labels(source, entry)


def _file_reader(source: Source, name: str) -> Callable[[], NDArray[np.int32]]:
    return lambda: decode_label_planes(source.read(name), f"{source}/{name}")
