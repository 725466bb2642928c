"""Files in which people outline nuclei, read as regions: GeoJSON, ImageJ ROI zips, MoNuSeg's XML.

Nothing in them is run, fetched or expanded: JSON is data only, and XML with a document type, the place where entities
are declared, is refused.
"""

from __future__ import annotations

import functools
import io
import re
import zipfile
from typing import TYPE_CHECKING, Any
from xml.parsers import expat

from nucleate.data.parsing import outline_damage, quiet, read_json, ring
from nucleate.data.regions import Region, enclosing, region_of_rings, without
from nucleate.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy as np
    from numpy.typing import NDArray

    from nucleate.data.parsing import Note, Shape

__all__ = ["READERS", "begins_as_geojson", "geojson_regions", "is_geojson", "roi_regions", "xml_regions"]

_MAX_ROIS = 1_000_000
_MAX_ROI_BYTES = 2**24
_TYPES = {
    "Feature", "Point", "MultiPoint", "LineString", "MultiLineString", "Polygon", "MultiPolygon", "GeometryCollection",
}  # fmt: skip


_SNIFF = re.compile(rb'\s*\[?\s*\{\s*"type"\s*:\s*"(?:FeatureCollection|Feature|(?:Multi)?Polygon)"')
_REGION = re.compile(r"region|roi|tissue|area|field|annotation", re.IGNORECASE)


def geojson_regions(data: bytes, name: str, *, shape: Shape, note: Note = quiet) -> list[Region]:
    """Read the polygons of a GeoJSON file, one nucleus a feature; points and lines are left out.

    QuPath's cells also have an outline of their nucleus (``nucleusGeometry``), which is taken. If there are cells or
    detections, annotations are no nuclei, but the regions in which these were sought. Objects of a class that QuPath
    ignores (``Ignore*``, ``Region*``) are no nuclei either, nor is an annotation around most of the others that has no
    class or one called a region.

    Parameters
    ----------
    data : bytes
        A FeatureCollection, a list of features (QuPath), one feature or one geometry.
    name : str
        For messages.
    shape : (int, int)
        Rows and columns of the picture.
    note : callable
        Told what is left out.

    Raises
    ------
    DataError
        If it is no GeoJSON, a polygon is damaged, polygons lie on several planes of a stack, or all objects are of
        classes that are ignored, so that the picture would seem to have no nuclei.
    """
    parsed = read_json(data, name)
    with outline_damage(name):
        features = _features(parsed)
        if features is None:
            raise DataError(f"{name} is no GeoJSON: no features or geometry in it; export it again")
        wanted = _wanted(features, note)
        if features and not wanted:
            raise DataError(
                f"{name} has no nuclei, but {len(features)} objects of classes that are ignored (Ignore*, Region*); "
                "outline each nucleus, or leave no object where there are none"
            )
        drawn = [(feature, rings) for feature in wanted if (rings := _rings(_geometry(feature)))]
        if len(drawn) < len(wanted):
            note(f"{len(wanted) - len(drawn)} of {len(wanted)} objects: points or lines")
        planes = [_geometry(feature).get("plane") or {} for feature, _ in drawn]
        places = {(plane.get("z", 0), plane.get("t", 0)) for plane in planes}
        found = [region_of_rings(rings, shape) for _, rings in drawn]
        round_others = {at for at in enclosing(found) if _is_region(drawn[at][0])}
        if round_others:
            note(f"{len(round_others)} of {len(wanted)} objects: regions round most of the others")
            found = [region for at, region in enumerate(found) if at not in round_others]
    _check_one_plane(name, places)
    return found


def begins_as_geojson(data: bytes) -> bool:
    """Whether a JSON file begins with a type of GeoJSON, as most writers put it first; the file is not parsed.

    Examples
    --------
    >>> begins_as_geojson(b'{"type": "FeatureCollection", "features": []}'), begins_as_geojson(b'{"images": []}')
    (True, False)
    """
    return _SNIFF.match(data) is not None


def is_geojson(data: bytes, name: str) -> bool:
    """Whether a JSON file holds GeoJSON.

    Raises
    ------
    DataError
        If it is no JSON.
    """
    return _features(read_json(data, name)) is not None


def roi_regions(data: bytes, name: str, *, shape: Shape, note: Note = quiet) -> list[Region]:
    """Read the areas of an ImageJ ROI zip or of a single ``.roi``; points and lines are left out.

    Raises
    ------
    DataError
        If it is no such file, damaged, or the areas lie on several planes of a stack.
    """
    from roifile import ROI_TYPE, ImagejRoi

    areas = {ROI_TYPE.POLYGON, ROI_TYPE.RECT, ROI_TYPE.OVAL, ROI_TYPE.FREEHAND, ROI_TYPE.TRACED}
    found = []
    places = set()
    with outline_damage(name):
        rois = [ImagejRoi.frombytes(content) for content in _rois(data, name)]
        for roi in rois:
            if roi.roitype in areas:
                places.add(tuple(max(n, 1) for n in (roi.position, roi.z_position, roi.t_position)))  # 0 is none
                found.append(region_of_rings([ring(one) for one in roi.coordinates(multi=True)], shape))
        if len(found) < len(rois):
            note(f"{len(rois) - len(found)} of {len(rois)} regions: points or lines")
    _check_one_plane(name, places)
    return found


def xml_regions(data: bytes, name: str, *, shape: Shape, note: Note = quiet) -> list[Region]:
    """Read the regions of an Aperio ImageScope file, the format of MoNuSeg: ``Region/Vertices/Vertex`` with X and Y.

    A negative region (``NegativeROA="1"``) is cut out of all others.

    Raises
    ------
    DataError
        If it is no XML, has a document type (it could declare entities), or a vertex is damaged.

    References
    ----------
    Kumar et al., IEEE Transactions on Medical Imaging 36 (2017), doi:10.1109/TMI.2017.2677499 (the data set).
    """
    rings: list[list[tuple[float, float]]] = []
    negative: list[bool] = []

    def start(tag: str, attributes: dict[str, str]) -> None:
        if tag == "Region":
            rings.append([])
            negative.append(attributes.get("NegativeROA", "0") == "1")
        elif tag == "Vertex" and rings:
            rings[-1].append((float(attributes["X"]), float(attributes["Y"])))

    def refuse(*_: object) -> None:
        raise DataError(f"{name} has a document type, in which entities could hide; take the DOCTYPE out")

    parser = expat.ParserCreate()
    parser.StartElementHandler = start
    parser.StartDoctypeDeclHandler = refuse
    parser.EntityDeclHandler = refuse
    with outline_damage(name):
        parser.Parse(data, True)
        found = [
            (region_of_rings([ring(r)], shape), hole) for r, hole in zip(rings, negative, strict=True) if len(r) > 2
        ]
        if len(found) < len(rings):
            note(f"{len(rings) - len(found)} of {len(rings)} regions: points or lines")
    holes = [region for region, hole in found if hole]
    return [functools.reduce(without, holes, region) for region, hole in found if not hole]


READERS: dict[str, Callable[..., list[Region]]] = {
    ".geojson": geojson_regions,
    ".json": geojson_regions,
    ".zip": roi_regions,
    ".roi": roi_regions,
    ".xml": xml_regions,
}
"""Ending of an annotation file -> its reader; COCO files (`nucleate.data.coco`) are known by their content."""


def _check_one_plane(name: str, places: set[tuple[Any, ...]]) -> None:
    if len(places) > 1:
        raise DataError(f"{name} has outlines on {len(places)} planes of a stack; save those of one plane to a file")


def _features(parsed: Any) -> list[dict[str, Any]] | None:  # noqa: ANN401 - as the file has it
    """List the features of GeoJSON; None if it is no GeoJSON."""
    whole = isinstance(parsed, dict) and parsed.get("type") == "FeatureCollection"
    features: Any = parsed.get("features") if whole else parsed if isinstance(parsed, list) else [parsed]
    sound = isinstance(features, list) and all(isinstance(one, dict) and one.get("type") in _TYPES for one in features)
    return features if sound else None


def _geometry(feature: dict[str, Any]) -> dict[str, Any]:
    """Give the geometry of a feature, or of the nucleus of a QuPath cell; a lone geometry is given as it is."""
    found: dict[str, Any] = feature.get("nucleusGeometry") or feature.get("geometry", feature) or {}
    return found


def _rings(geometry: dict[str, Any]) -> list[NDArray[np.float64]]:
    """List the rings of all polygons; points and lines have none."""
    corners = geometry.get("coordinates")
    pieces: list[Any] = {"Polygon": [corners], "MultiPolygon": corners}.get(str(geometry.get("type"))) or []
    return [ring(one) for piece in pieces for one in piece]


def _wanted(features: list[dict[str, Any]], note: Note) -> list[dict[str, Any]]:
    """Leave out objects that are no nuclei, by their type and class in QuPath."""
    detected = [feature for feature in features if _is_detected(feature)]
    if detected and len(detected) < len(features):
        note(f"{len(features) - len(detected)} of {len(features)} objects: neither cells nor detections")
    found = detected or features
    wanted = [feature for feature in found if not _class_of(feature).endswith("*")]
    if len(wanted) < len(found):
        ignored = ", ".join(sorted({name for name in map(_class_of, found) if name.endswith("*")}))
        note(f"{len(found) - len(wanted)} of {len(found)} objects: of a class that is ignored ({ignored})")
    return wanted


def _is_region(feature: dict[str, Any]) -> bool:
    """Whether an object around most of the others may be left out, since nothing says that it is a nucleus."""
    named = _class_of(feature)
    return not _is_detected(feature) and (not named or _REGION.search(named) is not None)


def _class_of(feature: dict[str, Any]) -> str:
    """Give the class of a QuPath object, in the spelling of any version; "" if it has none."""
    said = (feature.get("properties") or {}).get("classification") or ""
    if isinstance(said, dict):
        said = said.get("name") or ": ".join(map(str, said.get("names") or ()))
    return str(said).strip()


def _is_detected(feature: dict[str, Any]) -> bool:
    """Whether QuPath marks an object as a detected nucleus, in the spelling of any version."""
    said = feature.get("properties") or {}
    return str(said.get("objectType") or said.get("object_type") or "") in {"cell", "detection"}


def _rois(data: bytes, name: str) -> Iterator[bytes]:
    if not data.startswith(b"PK"):
        yield data
        return
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        entries = [entry for entry in archive.infolist() if entry.filename.lower().endswith(".roi")]
        if len(entries) > _MAX_ROIS or any(entry.file_size > _MAX_ROI_BYTES for entry in entries):
            raise DataError(f"{name} is too large: {len(entries)} regions; split it")
        for entry in entries:
            yield archive.read(entry)
