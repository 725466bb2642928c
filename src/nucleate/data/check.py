"""What is odd in an annotated data set: listed with its place, never mended."""

from __future__ import annotations

import functools
import hashlib
from collections import Counter
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

from nucleate.core.files import write_rows
from nucleate.core.labels import relabel
from nucleate.core.pieces import Ids, count_pieces, look_at_ids, unnumbered_set
from nucleate.data import folders, kaggle
from nucleate.data.outlined import Outlined, find_outlined, names_in
from nucleate.data.pixels import PICTURE_SUFFIXES, digest_of, read_mask, read_picture, stored_labels
from nucleate.data.regions import faults, painting_order
from nucleate.data.source import Source, open_source
from nucleate.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["FATAL", "KINDS", "Finding", "Report", "check_dataset"]

KINDS = {
    "unreadable file": "cannot be decoded; the sample is lost",
    "another size": "mask and image differ in size; the sample is lost",
    "no annotation": "image without masks, label image or outlines; the sample is lost",
    "no image": "label image or outlines without an image; the sample is lost",
    "stray file": "picture or mask that belongs to no image in Kaggle's layout; it is passed over",
    "passed over": "outlines that are no nuclei: regions, crowds, other classes and categories, points, lines",
    "outside the picture": "outlines lie beyond the picture, as of one at another zoom; the sample is lost",
    "region": "outline round most of the others, which is no nucleus; the sample is lost",
    "overlapping masks": "mask shares pixels with earlier ones, which keep them: earlier by name, of outlines smaller",
    "hidden mask": "mask lies wholly inside earlier ones; it gets no number",
    "duplicate mask": "mask equals an earlier one of the same image",
    "empty mask": "mask without a pixel; it gets no number",
    "several pieces": "nucleus falls into parts that do not touch, not even by corners",
    "holes": "nucleus encloses background or another nucleus",
    "binary mask": "ids in pieces or round holes, as in most images of the set, or in many of few ids; it is refused",
    "no nuclei": "image annotated as empty",
    "nothing annotated": "no image of the set has a nucleus; the set is refused",
    "duplicate image": "image has the pixels of an earlier one",
}
"""Kinds of findings and what each means."""

FATAL = frozenset(
    {
        "unreadable file",
        "another size",
        "no annotation",
        "no image",
        "outside the picture",
        "region",
        "binary mask",
        "nothing annotated",
    }
)
"""Kinds with which the sample cannot be used."""


@dataclass(frozen=True)
class Finding:
    """One oddity.

    Parameters
    ----------
    kind : str
        A key of `KINDS`.
    image_id : str
        The image concerned.
    place : str
        The file, or the id in a label image.
    detail : str
        Numbers to it.
    """

    kind: str
    image_id: str
    place: str
    detail: str


@dataclass
class Report:
    """All findings of a data set.

    Parameters
    ----------
    name : str
        The data set.
    images, nuclei : int
        Images found, and masks or ids in them, empty masks not counted.
    findings : list of Finding
        In the order of images and files.
    """

    name: str
    images: int = 0
    nuclei: int = 0
    findings: list[Finding] = field(default_factory=list)

    @property
    def usable(self) -> bool:
        """Whether every sample can be used."""
        return not any(finding.kind in FATAL for finding in self.findings)

    def counts(self) -> dict[str, tuple[int, int]]:
        """Count findings, and images with at least one, for every kind, also where there is none."""
        all_of = Counter(finding.kind for finding in self.findings)
        images = Counter(kind for kind, _ in {(finding.kind, finding.image_id) for finding in self.findings})
        return {kind: (all_of[kind], images[kind]) for kind in KINDS}

    def write_csv(self, path: Path | str) -> None:
        """Write one row a finding: kind, image, place, detail.

        Raises
        ------
        OutputError
            If the file cannot be written.
        """
        rows = ([f.kind, f.image_id, f.place, f.detail] for f in self.findings)
        write_rows(path, rows, header=["kind", "image", "place", "detail"])

    def add(self, kind: str, image_id: str, *, place: str, detail: str = "") -> None:
        """Note one finding."""
        self.findings.append(Finding(kind, image_id, place, detail))


def check_dataset(path: Path | str, *, progress: Callable[[int, int], None] | None = None) -> Report:
    """Look through every image and every nucleus of a data set.

    Parameters
    ----------
    path : path-like
        What `nucleate.data.samples.load_samples` takes.
    progress : callable, optional
        Called with (images done, images in all).

    Returns
    -------
    Report

    Raises
    ------
    DataError
        If the data set cannot be opened or its layout is not known.
    """
    source = open_source(path)
    report = Report(str(source))
    seen: dict[bytes, str] = {}
    entries = kaggle.find_entries(source)
    named = {} if entries else names_in(source)
    pairs = folders.find_pairs(source, named)
    outlined = [] if entries or pairs else find_outlined(source, named)
    checks: list[Callable[[], _Place | None]] = [
        *(functools.partial(_check_entry, source, one, report=report, seen=seen) for one in entries),
        *(functools.partial(_check_pair, source, one, report=report, seen=seen) for one in pairs),
        *(functools.partial(_check_outlined, source, one, report=report, seen=seen) for one in outlined),
    ]
    if not checks:
        raise DataError(f"{source} has no known layout: got {len(source.names)} files; see `nucleate check --help`")
    full: list[tuple[str, str, Ids]] = []
    for number, check in enumerate(checks, 1):
        found = check()
        if found is not None and found.labels.any():
            full.append((found.image_id, found.name, look_at_ids(found.labels)))
        if progress:
            progress(number, len(checks))
    for (image_id, name, _), reason in zip(full, unnumbered_set([ids for *_, ids in full]), strict=True):
        if reason:
            report.add("binary mask", image_id, place=name, detail=reason)
    if report.usable and not report.nuclei:
        report.add("nothing annotated", "", place=report.name)
    if entries:
        _check_orphans(source, entries, report=report)
    return report


def _check_entry(source: Source, entry: kaggle.KaggleEntry, *, report: Report, seen: dict[bytes, str]) -> _Place | None:
    if entry.masks and kaggle.sole_labels(source, entry) is not None:
        pair = folders.Pair(entry.image_id, entry.image, entry.masks[0])
        return _check_pair(source, pair, report=report, seen=seen)
    report.images += 1
    image = _image(source, (entry.image_id, entry.image), report=report, seen=seen)
    if entry.masks is None:
        report.add("no annotation", entry.image_id, place=entry.image)
        return None
    if not entry.masks:
        report.add("no nuclei", entry.image_id, place=entry.image)
    painted = np.zeros(image.shape[:2], np.int32) if image is not None else None
    masks = _Masks(entry.image_id, report, painted)
    for name in entry.masks:
        try:
            mask = read_mask(source, name)
        except DataError as error:
            report.add("unreadable file", entry.image_id, place=name, detail=str(error))
            continue
        if painted is not None and mask.shape != painted.shape:
            report.add("another size", entry.image_id, place=name, detail=f"{mask.shape}, image {painted.shape}")
            continue
        box = _box(mask)
        if box is None:
            report.add("empty mask", entry.image_id, place=name)
        else:
            masks.check(name, box, crop=mask[box] != 0)
    return None if painted is None else _Place(entry.image_id, (entry.masks or (entry.image,))[0], painted)


def _check_outlined(source: Source, entry: Outlined, *, report: Report, seen: dict[bytes, str]) -> _Place | None:
    shape = entry.shape
    if entry.image is None:
        report.add("no image", entry.image_id, place=str(entry.outlines))
    else:
        report.images += 1
        image = _image(source, (entry.image_id, entry.image), report=report, seen=seen)
        if image is not None and shape not in {None, image.shape[:2]}:
            place = str(entry.outlines)
            report.add("another size", entry.image_id, place=place, detail=f"{shape}, image {image.shape[:2]}")
            return None
        shape = shape if image is None else (image.shape[0], image.shape[1])
    if entry.read is None:
        report.add("no annotation", entry.image_id, place=str(entry.image))
        return None
    if shape is None:  # nothing says how large the picture is
        return None
    place = str(entry.outlines)
    try:
        regions = entry.regions(
            shape, note=lambda what: report.add("passed over", entry.image_id, place=place, detail=what)
        )
    except DataError as error:
        report.add("unreadable file", entry.image_id, place=place, detail=str(error))
        return None
    if not regions:
        report.add("no nuclei", entry.image_id, place=place)
    for kind, seen_there in faults(regions, shape):
        report.add(kind, entry.image_id, place=place, detail=seen_there)
    masks = _Masks(entry.image_id, report, np.zeros(shape, np.int32))
    # The smaller keep what they share with larger ones, so they come first here.
    for index in reversed(painting_order(regions)):
        region, name = regions[index], f"{place}, outline {index + 1}"
        inner = _box(region.mask) if region.mask.size else None
        if inner is None:
            report.add("empty mask", entry.image_id, place=name)
            continue
        rows, cols = (
            slice(part.start + first, part.stop + first)
            for part, first in zip(inner, (region.top, region.left), strict=True)
        )
        masks.check(name, (rows, cols), crop=region.mask[inner])
    return None if masks.painted is None else _Place(entry.image_id, place, masks.painted)


def _check_pair(source: Source, pair: folders.Pair, *, report: Report, seen: dict[bytes, str]) -> _Place | None:
    image = None
    if pair.image is None:
        report.add("no image", pair.image_id, place=str(pair.labels))
    else:
        report.images += 1
        image = _image(source, (pair.image_id, pair.image), report=report, seen=seen)
    if pair.labels is None:
        report.add("no annotation", pair.image_id, place=str(pair.image))
        return None
    try:
        stored = stored_labels(source.read(pair.labels), pair.labels)
    except DataError as error:
        report.add("unreadable file", pair.image_id, place=pair.labels, detail=str(error))
        return None
    if image is not None and stored.shape != image.shape[:2]:
        detail = f"{stored.shape}, image {image.shape[:2]}"
        report.add("another size", pair.image_id, place=pair.labels, detail=detail)
        return None
    labels = relabel(stored)
    ids = np.unique(stored[stored > 0]).tolist()
    boxes = ndimage.find_objects(labels)
    report.nuclei += len(boxes)
    if not boxes:
        report.add("no nuclei", pair.image_id, place=pair.labels)
    for number, (box, stored_id) in enumerate(zip(boxes, ids, strict=True), 1):
        place = pair.image_id, f"{pair.labels}, nucleus {stored_id}"
        _check_nucleus(labels[box] == number, place, report=report)
    return _Place(pair.image_id, pair.labels, labels)


def _check_nucleus(crop: NDArray[np.bool_], place: tuple[str, str], *, report: Report) -> None:
    pieces = count_pieces(crop)
    if pieces > 1:
        report.add("several pieces", place[0], place=place[1], detail=f"{pieces} pieces")
    # Background joins by edges where nuclei join by corners; the border of the padded crop is all one outside.
    outside, count = ndimage.label(np.pad(~crop, 1, constant_values=True))
    if count > 1:
        pixels = int((outside > 1).sum())
        report.add("holes", place[0], place=place[1], detail=f"{count - 1} holes, {pixels} px")


@dataclass(frozen=True)
class _Place:
    """The nuclei of one image, and the file that they are from."""

    image_id: str
    name: str
    labels: NDArray[np.int32]


@dataclass
class _Masks:
    """The masks of one image, one after the other; a pixel belongs to the first that claims it."""

    image_id: str
    report: Report
    painted: NDArray[np.int32] | None
    count: int = 0
    known: dict[bytes, str] = field(default_factory=dict)

    def check(self, name: str, box: tuple[slice, slice], *, crop: NDArray[np.bool_]) -> None:
        """Look at one mask that has pixels, within its box."""
        self.report.nuclei += 1
        _check_nucleus(crop, (self.image_id, name), report=self.report)
        if self.painted is not None:
            free = crop & (self.painted[box] == 0)
            area = int(crop.sum())
            shared = area - int(free.sum())
            if shared:
                kind = "hidden mask" if shared == area else "overlapping masks"
                self.report.add(kind, self.image_id, place=name, detail=f"{shared} of {area} px")
            self.count += 1
            self.painted[box][free] = self.count
        digest = hashlib.sha256(repr(box).encode() + crop.tobytes()).digest()
        if self.known.setdefault(digest, name) != name:
            self.report.add("duplicate mask", self.image_id, place=name, detail=f"equals {self.known[digest]}")


def _check_orphans(source: Source, entries: list[kaggle.KaggleEntry], *, report: Report) -> None:
    used = {name for entry in entries for name in (entry.image, *(entry.masks or ()))}
    for name in source.names:
        place = PurePosixPath(name)
        lies_in = place.parent.name.lower()
        if name not in used and lies_in in {"images", "masks"} and place.suffix.lower() in PICTURE_SUFFIXES:
            report.add("stray file", place.parent.parent.name, place=name)


def _image(source: Source, place: tuple[str, str], *, report: Report, seen: dict[bytes, str]) -> NDArray[Any] | None:
    image_id, name = place
    try:
        image = read_picture(source, name)
    except DataError as error:
        report.add("unreadable file", image_id, place=name, detail=str(error))
        return None
    digest = digest_of(image)
    if seen.setdefault(digest, image_id) != image_id:
        report.add("duplicate image", image_id, place=name, detail=f"equals {seen[digest]}")
    return image


def _box(mask: NDArray[Any]) -> tuple[slice, slice] | None:
    rows = np.flatnonzero(mask.max(axis=1))
    if rows.size == 0:
        return None
    band = mask[rows[0] : rows[-1] + 1]
    columns = np.flatnonzero(band.max(axis=0))
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)
