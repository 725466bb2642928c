"""Oddities in an annotated data set: listed with their place, never mended."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from scipy import ndimage

from nucleate.core.files import write_rows
from nucleate.core.labels import relabel
from nucleate.core.pieces import Ids, count_pieces, look_at_ids, unnumbered_set
from nucleate.data import folders, kaggle
from nucleate.data.outlined import Outlined, find_outlined, names_in
from nucleate.data.pixels import PICTURE_SUFFIXES, digest_of_pixels, read_mask, read_picture, stored_labels
from nucleate.data.regions import faults, painting_order
from nucleate.data.source import Source, no_layout, open_source
from nucleate.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["FATAL", "KINDS", "Finding", "Report", "check_dataset"]

_Read = TypeVar("_Read")

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

FATAL = frozenset({
    "unreadable file", "another size", "no annotation", "no image", "outside the picture", "region", "binary mask",
    "nothing annotated",
})  # fmt: skip
"""Kinds of findings that make a sample unusable."""


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
        Numbers that describe it.
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
        """Count findings, and images with at least one, for every kind, including kinds without any."""
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
    """Check every image and every nucleus of a data set.

    Parameters
    ----------
    path : path-like
        As for `nucleate.data.samples.load_samples`.
    progress : callable, optional
        Called with (images done, images in all).

    Raises
    ------
    DataError
        If the data set cannot be opened or its layout is not known.
    """
    source = open_source(path)
    report = Report(source.given)
    entries = kaggle.find_entries(source)
    named = {} if entries else names_in(source)
    pairs = folders.find_pairs(source, named)
    outlined = [] if entries or pairs else find_outlined(source, named)
    checker = _Checker(source, report)
    checks = [
        *(partial(checker.check_entry, one) for one in entries),
        *(partial(checker.check_pair, one) for one in pairs),
        *(partial(checker.check_outlined, one) for one in outlined),
    ]
    if not checks:
        raise no_layout(source)
    for number, check in enumerate(checks, 1):
        check()
        if progress:
            progress(number, len(checks))
    told = unnumbered_set([ids for *_, ids in checker.painted])
    for (image_id, name, _), reason in zip(checker.painted, told, strict=True):
        if reason:
            report.add("binary mask", image_id, place=name, detail=reason)
    if report.usable and not report.nuclei:
        report.add("nothing annotated", "", place=report.name)
    if entries:
        _check_orphans(source, entries, report=report)
    return report


class _Checker:
    """Looks at the images of a data set, one after the other, and reports what is odd."""

    def __init__(self, source: Source, report: Report) -> None:
        self.source, self.report = source, report
        self.painted: list[tuple[str, str, Ids]] = []
        """Id, file and ids of each image that has nuclei."""
        self._images: dict[bytes, str] = {}

    def check_entry(self, entry: kaggle.KaggleEntry) -> None:
        """Check an image that has one mask for each nucleus."""
        image_id = entry.image_id
        if entry.masks and kaggle.sole_labels(self.source, entry) is not None:
            self.check_pair(folders.Pair(image_id, entry.image, entry.masks[0]))
            return
        image = self._image(image_id, entry.image)
        if entry.masks is None:
            self.report.add("no annotation", image_id, place=entry.image)
            return
        if not entry.masks:
            self.report.add("no nuclei", image_id, place=entry.image)
        painted = None if image is None else np.zeros(image.shape[:2], np.int32)
        masks = _Masks(image_id, self.report, painted)
        for name in entry.masks:
            mask = self._read(image_id, name, read=partial(read_mask, self.source, name))
            if mask is not None and self._fits(image_id, name, shape=mask.shape, image=painted):
                masks.check(name, mask != 0)
        if painted is not None:
            self._keep(image_id, (entry.masks or (entry.image,))[0], labels=painted)

    def check_outlined(self, entry: Outlined) -> None:
        """Check an image with outlines."""
        image_id, place, shape = entry.image_id, str(entry.outlines), entry.shape
        if entry.image is None:
            self.report.add("no image", image_id, place=place)
        elif (image := self._image(image_id, entry.image)) is not None:
            if shape is not None and not self._fits(image_id, place, shape=shape, image=image):
                return
            shape = image.shape[:2]
        if entry.read is None:
            self.report.add("no annotation", image_id, place=str(entry.image))
            return
        if shape is None:  # the size of the picture is not known
            return

        def note(what: str) -> None:
            self.report.add("passed over", image_id, place=place, detail=what)

        regions = self._read(image_id, place, read=partial(entry.regions, shape, note=note))
        if regions is None:
            return
        if not regions:
            self.report.add("no nuclei", image_id, place=place)
        for kind, seen in faults(regions, shape):
            self.report.add(kind, image_id, place=place, detail=seen)
        painted = np.zeros(shape, np.int32)
        masks = _Masks(image_id, self.report, painted)
        # Smaller nuclei keep the pixels that they share with larger ones, so they come first here.
        for index in reversed(painting_order(regions)):
            region = regions[index]
            masks.check(f"{place}, outline {index + 1}", region.mask, corner=(region.top, region.left))
        self._keep(image_id, place, labels=painted)

    def check_pair(self, pair: folders.Pair) -> None:
        """Check an image with a label image."""
        image_id, name, image = pair.image_id, pair.labels, None
        if pair.image is None:
            self.report.add("no image", image_id, place=str(name))
        else:
            image = self._image(image_id, pair.image)
        if name is None:
            self.report.add("no annotation", image_id, place=str(pair.image))
            return
        stored = self._read(image_id, name, read=lambda: stored_labels(self.source.read(name), name))
        if stored is None:
            return
        if not self._fits(image_id, name, shape=stored.shape, image=image):
            return
        labels = relabel(stored)
        boxes = ndimage.find_objects(labels)
        self.report.nuclei += len(boxes)
        if not boxes:
            self.report.add("no nuclei", image_id, place=name)
        for number, (box, stored_id) in enumerate(zip(boxes, np.unique(stored[stored > 0]).tolist(), strict=True), 1):
            place = f"{name}, nucleus {stored_id}"
            _check_nucleus(labels[box] == number, image_id, place=place, report=self.report)
        self._keep(image_id, name, labels=labels)

    def _image(self, image_id: str, name: str) -> NDArray[Any] | None:
        """Read and count an image; None if that cannot be done."""
        self.report.images += 1
        image = self._read(image_id, name, read=lambda: read_picture(self.source, name))
        if image is not None and (earlier := self._images.setdefault(digest_of_pixels(image), image_id)) != image_id:
            self.report.add("duplicate image", image_id, place=name, detail=f"equals {earlier}")
        return image

    def _read(self, image_id: str, name: str, *, read: Callable[[], _Read]) -> _Read | None:
        try:
            return read()
        except DataError as error:
            self.report.add("unreadable file", image_id, place=name, detail=str(error))
            return None

    def _fits(self, image_id: str, name: str, *, shape: tuple[int, ...], image: NDArray[Any] | None) -> bool:
        """Tell whether the annotation has the size of its image, if that could be read."""
        if image is None or shape == image.shape[:2]:
            return True
        self.report.add("another size", image_id, place=name, detail=f"{shape}, image {image.shape[:2]}")
        return False

    def _keep(self, image_id: str, name: str, *, labels: NDArray[np.int32]) -> None:
        if labels.any():
            self.painted.append((image_id, name, look_at_ids(labels)))


def _check_nucleus(crop: NDArray[np.bool_], image_id: str, *, place: str, report: Report) -> None:
    pieces = count_pieces(crop)
    if pieces > 1:
        report.add("several pieces", image_id, place=place, detail=f"{pieces} pieces")
    # Nuclei connect by corners, so background connects by edges; padding makes all background outside one piece.
    outside, count = ndimage.label(np.pad(~crop, 1, constant_values=True))
    if count > 1:
        pixels = int((outside > 1).sum())
        report.add("holes", image_id, place=place, detail=f"{count - 1} holes, {pixels} px")


@dataclass
class _Masks:
    """The masks of one image, one after the other; a pixel belongs to the first mask that claims it."""

    image_id: str
    report: Report
    painted: NDArray[np.int32] | None
    count: int = 0
    known: dict[bytes, str] = field(default_factory=dict)

    def check(self, name: str, mask: NDArray[np.bool_], *, corner: tuple[int, int] = (0, 0)) -> None:
        """Look at one mask, whose first pixel lies at `corner` of the image."""
        rows, cols = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        if not rows.size:
            self.report.add("empty mask", self.image_id, place=name)
            return
        crop = mask[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1]
        top, left = int(rows[0]) + corner[0], int(cols[0]) + corner[1]
        box = slice(top, top + crop.shape[0]), slice(left, left + crop.shape[1])
        self.report.nuclei += 1
        _check_nucleus(crop, self.image_id, place=name, report=self.report)
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
