"""Pictures with outlines beside them: one annotation file a picture with an equal name, or COCO files for all."""

from __future__ import annotations

import logging
import posixpath
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, TypeAlias

from nucleate.core.endings import matcher, stem_of, without_ending, without_extras
from nucleate.core.names import read_names
from nucleate.data.annotations import READERS, begins_as_geojson, is_geojson
from nucleate.data.coco import CocoPicture, coco_pictures, coco_regions, file_names
from nucleate.data.parsing import Note, Shape, quiet
from nucleate.data.pixels import PICTURE_SUFFIXES, read_picture
from nucleate.data.regions import Region, faults, paint_regions
from nucleate.data.sample import Sample
from nucleate.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    import numpy as np
    from numpy.typing import NDArray

    from nucleate.core.names import FileName
    from nucleate.data.source import Source

__all__ = ["Outlined", "drawn_on", "find_outlined", "first_logged", "names_in", "samples_of"]

_Reader: TypeAlias = Callable[[Shape, Note], list[Region]]
_Coco: TypeAlias = list[tuple[str, dict[str, CocoPicture]]]  # each COCO file, and its pictures by id

_logger = logging.getLogger(__name__)
_ENDINGS = re.compile(r"^RoiSet[-_. ]?(?=.)|(?<=.)([-_. ]RoiSet|[-._]rois|\.labels|_annotations)$", re.IGNORECASE)


@dataclass(frozen=True)
class Outlined:
    """The places of a picture and of its outlines; one of them may be missing.

    Parameters
    ----------
    image_id : str
        Their common name.
    image : str, optional
        File name of the picture within the source; None if it is missing, as when a COCO file names one.
    outlines : str, optional
        File name of the outlines.
    read : callable, optional
        Takes rows and columns of the picture, and a function that is told what is left out; gives its nuclei. Raises
        DataError if they are damaged.
    shape : (int, int), optional
        Rows and columns of the picture according to the outlines.
    """

    image_id: str
    image: str | None
    outlines: str | None
    read: _Reader | None
    shape: Shape | None = None

    def regions(self, shape: Shape, *, note: Note = quiet) -> list[Region]:
        """Read the nuclei of a picture of that many rows and columns; `note` is told what is left out.

        Raises
        ------
        DataError
            If there are no outlines, they are damaged, or they are drawn on a picture of another size.
        """
        if self.read is None:
            raise DataError(f"{self.image_id} has no outlines; add them or take the picture out")
        if self.shape is not None and shape != self.shape:
            raise DataError(f"{self.image_id} is {shape}, {self.outlines} says {self.shape}; annotate the same picture")
        return self.read(shape, note)

    def nuclei(self, shape: Shape, *, predicted: bool = False, note: Note = quiet) -> NDArray[np.int32]:
        """Paint the nuclei of a picture of that many rows and columns, (H, W), 1..n.

        Parameters
        ----------
        shape : (int, int)
            Rows and columns.
        predicted : bool
            Whether these are predictions to be judged, which are painted as they are.
        note : callable
            Told what is left out, and in which picture.

        Raises
        ------
        DataError
            As `regions`; also, unless predicted, if outlines lie beyond the picture, or one holds most of the others.
        """
        found = self.regions(shape, note=lambda text: note(f"{text}, in {self.image_id}"))
        for kind, seen in [] if predicted else faults(found, shape):
            cure = "draw on the picture at its own size" if kind != "region" else "take it out: it is no nucleus"
            raise DataError(f"{self.outlines}: got {seen} in picture {self.image_id}; {cure}")
        return paint_regions(found, shape)


def first_logged(source: Source) -> Note:
    """Give a function that warns, once for each source, of what is left out."""
    told: list[str] = []

    def note(text: str) -> None:
        if not told:
            told.append(text)
            _logger.warning("%s: passed over %s; `nucleate check` lists all", source, text)

    return note


def names_in(source: Source) -> dict[str, FileName]:
    """Tell what each file of a source is (`nucleate.core.names.read_names`), also by the outlines there.

    Raises
    ------
    DataError
        As `drawn_on`.
    """
    return read_names(source.names, suffixes=PICTURE_SUFFIXES, drawn=lambda names: drawn_on(source, names))


def drawn_on(source: Source, names: Collection[str]) -> set[str]:
    """Tell which files have outlines with their whole name, but for ``.ome`` and ``_img``.

    Raises
    ------
    DataError
        If a JSON file that names one of them is damaged, or one with its name cannot be read; no other is parsed.
    """
    if not names:
        return set()
    files, of_coco = _annotations(source, of=names)
    stems = {without_extras(_outline_id(name)) for name in files}
    listed = {PurePosixPath(one.file_name).name for _, found in of_coco for one in found.values()}
    return {name for name in names if _bare(name) in stems or PurePosixPath(name).name in listed}


def find_outlined(source: Source, named: Mapping[str, FileName]) -> list[Outlined]:
    """List the outlined pictures of a source by id.

    Outlines may be ``<id>.geojson``, ``<id>.json``, ``<id>.zip`` (also ``.rois.zip``, ``RoiSet_<id>.zip``,
    ``<id>_RoiSet.zip``), ``<id>.roi`` and ``<id>.xml``, in the folder of ``<id>.png`` (``.tif``, ...) or another one,
    or COCO files that name their pictures: by the path from the COCO file, by the path in the source, or by a name that
    only one picture has. JSON of another kind is ignored. A picture may be called ``a.ome`` or ``a_img`` with outlines
    called ``a``.

    Parameters
    ----------
    source : Source
        A data set.
    named : mapping of str to FileName
        From `names_in`.

    Returns
    -------
    list of Outlined
        Sorted by id; empty if there are no annotation files.

    Raises
    ------
    DataError
        If an id occurs twice, a COCO file names a picture that occurs several times, or a JSON file is damaged.
    """
    pictures = [name for name, one in named.items() if not one.is_label]
    files, of_coco = _annotations(source)
    if of_coco:
        return _listed_by_coco(source, pictures, files=of_coco)
    if not files:
        return []
    images = _by_id(source, {name: stem_of(name) for name in pictures})
    find = matcher(images)
    outlines = _by_id(source, {name: _picture_of(_outline_id(name), find) for name in files})
    return [
        Outlined(one, images.get(one), outlines.get(one), _reader(source, outlines.get(one)))
        for one in sorted(images.keys() | outlines.keys())
    ]


def samples_of(source: Source, named: Mapping[str, FileName]) -> list[Sample]:
    """Read every outlined picture of a source, see `find_outlined`.

    Returns
    -------
    list of Sample
        Sorted by id, each in its own group; empty if there are no annotation files.

    Raises
    ------
    DataError
        If a picture or its outlines are missing, an id occurs twice, or a file is damaged.
    """
    samples = []
    note = first_logged(source)
    for entry in find_outlined(source, named):
        if entry.image is None:
            raise DataError(f"{source}: {entry.image_id} has no picture; add it or take {entry.outlines} out")
        if entry.read is None:
            raise DataError(f"{source}: {entry.image_id} has no outlines; add them or take the picture out")
        image = read_picture(source, entry.image)
        samples.append(Sample(entry.image_id, image, entry.nuclei(image.shape[:2], note=note), entry.image_id))
    return samples


def _listed_by_coco(source: Source, pictures: list[str], *, files: _Coco) -> list[Outlined]:
    """List the pictures that COCO files name, and the pictures that none of them names."""
    named: dict[str, list[str]] = {}
    for path in pictures:
        named.setdefault(PurePosixPath(path).name, []).append(path)
    found: dict[str, Outlined] = {}
    for name, listed in files:
        for image_id, one in listed.items():
            if image_id in found:
                raise DataError(
                    f"{source}: two pictures of id {image_id} in {found[image_id].outlines}, {name}; rename one"
                )
            picture = _named_by(source, name, file_name=one.file_name, named=named)
            found[image_id] = Outlined(image_id, picture, name, _coco_reader(f"{source}/{name}", one), one.shape)
    used = {entry.image for entry in found.values()}
    for image_id, path in _by_id(source, {path: stem_of(path) for path in pictures if path not in used}).items():
        found.setdefault(image_id, Outlined(image_id, path, None, None))
    return [found[image_id] for image_id in sorted(found)]


def _named_by(source: Source, name: str, *, file_name: str, named: dict[str, list[str]]) -> str | None:
    """Find the picture that a COCO file names; `named` lists the pictures of each name without folders."""
    last = PurePosixPath(file_name).name
    candidates = named.get(last, [])
    beside = PurePosixPath(name).parent
    for path in (beside / file_name, PurePosixPath(file_name), beside / last):
        if (place := posixpath.normpath(path)) in candidates:
            return place
    candidates = [path for path in candidates if path.endswith(f"/{file_name}")] or candidates
    if len(candidates) > 1:
        raise DataError(
            f"{source}: {name} names {file_name}, got {' and '.join(candidates)}; put the file beside its pictures"
        )
    return candidates[0] if candidates else None


def _coco_reader(name: str, picture: CocoPicture) -> _Reader:
    def read(shape: Shape, note: Note) -> list[Region]:
        if picture.left_out:
            note(picture.left_out)
        return coco_regions(picture.annotations, name, shape=shape, note=note)

    return read


def _reader(source: Source, name: str | None) -> _Reader | None:
    if name is None:
        return None
    read = READERS[PurePosixPath(name).suffix.lower()]
    return lambda shape, note: read(source.read(name), f"{source}/{name}", shape=shape, note=note)


def _annotations(source: Source, *, of: Collection[str] | None = None) -> tuple[list[str], _Coco]:
    """List the files of outlines, and the COCO files; with `of`, only JSON that names one of these is parsed."""
    stems = {*map(_bare, of or ())}
    files: list[str] = []
    of_coco: _Coco = []
    for name in source.names:
        ending, shown = PurePosixPath(name).suffix.lower(), f"{source}/{name}"
        if ending != ".json":
            files += [name] if ending in READERS else []
            continue
        named = of is None or without_extras(_outline_id(name)) in stems
        data = source.read(name) if named else _read_if_whole(source, name)
        if begins_as_geojson(data):
            files += [name] if named else []
        elif named or not stems.isdisjoint(map(_bare, file_names(data))):
            listed = coco_pictures(data, shown)
            if listed is not None:
                of_coco.append((name, listed))
            elif named and is_geojson(data, shown):
                files.append(name)
    return files, of_coco


def _read_if_whole(source: Source, name: str) -> bytes:
    """Read a file that need not hold outlines; empty if it cannot be read, such as a link to nothing."""
    try:
        return source.read(name)
    except DataError:
        return b""


def _bare(name: str) -> str:
    return without_extras(stem_of(name))


def _outline_id(name: str) -> str:
    """Give the name of the picture that is part of the name of its outlines."""
    return _ENDINGS.sub("", stem_of(name))


def _picture_of(outline_id: str, find: Callable[[str], str | None]) -> str:
    """Give outlines the id of their picture, by their whole name, or by both names without their usual endings."""
    bare = without_ending(outline_id)
    return find(outline_id) or find(bare) or bare


def _by_id(source: Source, ids: dict[str, str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, image_id in ids.items():
        if image_id in found:
            raise DataError(f"{source}: id {image_id} occurs twice: got {found[image_id]} and {name}; rename one")
        found[image_id] = name
    return found
