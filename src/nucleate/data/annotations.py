"""Files in which people outline nuclei, read as regions: GeoJSON, ImageJ ROI zips, MoNuSeg's XML, COCO JSON.

Nothing in them is run, fetched or expanded: JSON is data only, and XML with a document type, the place where entities
are declared, is refused.
"""

from __future__ import annotations

import functools
import io
import json
import zipfile
from typing import TYPE_CHECKING, Any
from xml.parsers import expat

import numpy as np

from nucleate.core.pieces import count_pieces
from nucleate.data.names import picture_id
from nucleate.data.regions import Region, region_of_rings, region_of_runs, without
from nucleate.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    Shape = tuple[int, int]
    Note = Callable[[str], None]

__all__ = ["READERS", "coco_pictures", "coco_regions", "geojson_regions", "is_geojson", "roi_regions", "xml_regions"]

_OURS = "nucleate"  # the description that `nucleate.export.coco` writes
_MAX_ROIS = 1_000_000
_MAX_ROI_BYTES = 2**24
_GEOMETRIES = {
    "Point", "MultiPoint", "LineString", "MultiLineString", "Polygon", "MultiPolygon", "GeometryCollection",
}  # fmt: skip


def _quiet(_: str) -> None:
    pass


def geojson_regions(data: bytes, name: str, *, shape: Shape, note: Note = _quiet) -> list[Region]:
    """Read the polygons of a GeoJSON file, a feature a nucleus; points and lines are passed over.

    Of QuPath's cells, which have an outline of their nucleus too (``nucleusGeometry``), that one is taken. Where there
    are cells or detections, annotations are no nuclei but the regions in which these were sought.

    Parameters
    ----------
    data : bytes
        A FeatureCollection, a list of features (QuPath), one feature or one geometry.
    name : str
        For messages.
    shape : (int, int)
        Rows and columns of the picture.
    note : callable
        Told what is passed over.

    Raises
    ------
    DataError
        If it is no GeoJSON, a polygon is damaged, or they lie on several planes of a stack.
    """
    parsed = _json(data, name)
    found = []
    places = set()
    with _Damaged(name):
        features = _features(parsed)
        if features is None:
            raise DataError(f"{name} is no GeoJSON: no features or geometry in it; export it again")
        detected = [feature for feature in features if _object_type(feature) in {"cell", "detection"}]
        if detected and len(detected) < len(features):
            note(f"{len(features) - len(detected)} of {len(features)} objects: neither cells nor detections")
        wanted = detected or features
        for feature in wanted:
            geometry: dict[str, Any] = feature.get("nucleusGeometry") or feature.get("geometry", feature) or {}
            kind, corners = str(geometry.get("type")), geometry.get("coordinates")
            pieces: list[Any] = {"Polygon": [corners], "MultiPolygon": corners}.get(kind) or []
            rings = [_ring(ring) for piece in pieces for ring in piece]
            if rings:
                plane = geometry.get("plane") or {}
                places.add((plane.get("z", 0), plane.get("t", 0)))
                found.append(region_of_rings(rings, shape))
        if len(found) < len(wanted):
            note(f"{len(wanted) - len(found)} of {len(wanted)} objects: points or lines")
    _check_one_plane(name, places)
    return found


def is_geojson(data: bytes, name: str) -> bool:
    """Whether a JSON file holds GeoJSON, not something else.

    Raises
    ------
    DataError
        If it is no JSON.
    """
    return _features(_json(data, name)) is not None


def roi_regions(data: bytes, name: str, *, shape: Shape, note: Note = _quiet) -> list[Region]:
    """Read the areas of an ImageJ ROI zip or of a single ``.roi``; points and lines are passed over.

    Raises
    ------
    DataError
        If it is no such file, damaged, or the areas lie on several planes of a stack.
    """
    from roifile import ROI_TYPE, ImagejRoi

    areas = {ROI_TYPE.POLYGON, ROI_TYPE.RECT, ROI_TYPE.OVAL, ROI_TYPE.FREEHAND, ROI_TYPE.TRACED}
    found = []
    places = set()
    with _Damaged(name):
        rois = [ImagejRoi.frombytes(content) for content in _rois(data, name)]
        for roi in rois:
            if roi.roitype in areas:
                places.add(tuple(max(n, 1) for n in (roi.position, roi.z_position, roi.t_position)))  # 0 is none
                found.append(region_of_rings([_ring(ring) for ring in roi.coordinates(multi=True)], shape))
        if len(found) < len(rois):
            note(f"{len(rois) - len(found)} of {len(rois)} regions: points or lines")
    _check_one_plane(name, places)
    return found


def xml_regions(data: bytes, name: str, *, shape: Shape, note: Note = _quiet) -> list[Region]:
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
    with _Damaged(name):
        parser.Parse(data, True)
        found = [
            (region_of_rings([_ring(r)], shape), hole) for r, hole in zip(rings, negative, strict=True) if len(r) > 2
        ]
        if len(found) < len(rings):
            note(f"{len(rings) - len(found)} of {len(rings)} regions: points or lines")
    holes = [region for region, hole in found if hole]
    return [functools.reduce(without, holes, region) for region, hole in found if not hole]


def coco_pictures(data: bytes, name: str) -> dict[str, dict[str, Any]] | None:
    """List the pictures of a COCO file; None if it is JSON of another kind.

    Returns
    -------
    dict
        Id -> ``{"file_name": str, "shape": (rows, columns), "annotations": [...]}``. The id is the
        file's name without folders and ending; in files of ours (`nucleate.export.coco`) the name of the results, of
        a plane of a stack with its number: ``stack/0``.

    Raises
    ------
    DataError
        If it is damaged, or an id stands for several pictures, as in other programs' files for the planes of a stack.
    """
    parsed = _json(data, name)
    if not isinstance(parsed, dict) or not {"images", "annotations"} <= parsed.keys():
        return None
    with _Damaged(name):
        ours = parsed.get("info", {}).get("description") == _OURS
        annotations: dict[Any, list[Any]] = {entry["id"]: [] for entry in parsed["images"]}
        for one in parsed["annotations"]:
            annotations[one["image_id"]].append(one)
        found: dict[str, dict[str, Any]] = {}
        for entry in parsed["images"]:
            image_id, shape = picture_id(entry["file_name"]), (int(entry["height"]), int(entry["width"]))
            if ours:
                image_id = entry.get("name", image_id) + (f"/{entry['plane']}" if "plane" in entry else "")
            if image_id in found:
                raise DataError(f"{name} has several pictures called {entry['file_name']}; give each a name of its own")
            mine = annotations[entry["id"]]
            found[image_id] = {"file_name": entry["file_name"], "shape": shape, "annotations": mine}
        return found


def coco_regions(annotations: list[dict[str, Any]], name: str, *, shape: Shape, note: Note = _quiet) -> list[Region]:
    """Read the nuclei of one picture of a COCO file: polygons, or run-length codes plain or compressed.

    Some programs call all that they write as run-length codes crowds (``iscrowd``). So one in one piece is a nucleus,
    and one in several pieces, which is several nuclei outlined as one, is passed over.

    Raises
    ------
    DataError
        If one is damaged, has a box and no outline, or all are crowds: the picture would count as without nuclei.
    """
    found: list[Region] = []
    with _Damaged(name):
        for one in annotations:
            code = one.get("segmentation")
            if not code:
                raise DataError(f"{name} has boxes and no outlines: a segmentation is empty; export outlines or masks")
            if isinstance(code, list):
                # Parts of one object; each is filled by itself.
                parts = [region_of_rings([_ring(np.reshape(part, (-1, 2)))], shape) for part in code]
                found.append(_union(parts, shape))
            else:
                counts, size = code["counts"], tuple(code.get("size", shape))
                if size != shape:
                    raise DataError(f"{name} has a mask of {size}, its image is {shape}; export the masks again")
                runs = _decompress(counts) if isinstance(counts, str) else counts
                found.append(region_of_runs(runs, shape))
    nuclei = [
        region
        for one, region in zip(annotations, found, strict=True)
        if not one.get("iscrowd") or count_pieces(region.mask) < 2
    ]
    if len(nuclei) < len(found):
        crowds = f"{len(found) - len(nuclei)} of {len(found)} outlines: crowds (iscrowd) in several pieces"
        if not nuclei:
            raise DataError(f"{name} has no nuclei of a picture, but {crowds}; outline each nucleus or take it out")
        note(crowds)
    return nuclei


READERS: dict[str, Callable[..., list[Region]]] = {
    ".geojson": geojson_regions,
    ".json": geojson_regions,
    ".zip": roi_regions,
    ".roi": roi_regions,
    ".xml": xml_regions,
}
"""Ending of an annotation file -> its reader; COCO files hold many pictures and are told apart by their content."""


def _check_one_plane(name: str, places: set[tuple[Any, ...]]) -> None:
    if len(places) > 1:
        raise DataError(f"{name} has outlines on {len(places)} planes of a stack; save those of one plane to a file")


class _Damaged:
    """Turns whatever a damaged file makes the parsers raise into one line."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, Exception) and not isinstance(error, DataError):
            reason = " ".join(str(error).split())[:120] or type(error).__name__
            raise DataError(f"cannot read the outlines in {self.name}: {reason}; export them again") from error


def _json(data: bytes, name: str) -> Any:  # noqa: ANN401 - whatever the file holds
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{name} is no JSON: {' '.join(str(error).split())[:120]}; export it again") from error


def _features(parsed: Any) -> list[dict[str, Any]] | None:  # noqa: ANN401 - as the file has it
    """List the features of GeoJSON; None if it is none."""
    whole = isinstance(parsed, dict) and parsed.get("type") == "FeatureCollection"
    features: Any = parsed.get("features") if whole else parsed if isinstance(parsed, list) else [parsed]
    known = {"Feature", *_GEOMETRIES}
    sound = isinstance(features, list) and all(isinstance(one, dict) and one.get("type") in known for one in features)
    return features if sound else None


def _object_type(feature: dict[str, Any]) -> str:
    """Give what QuPath says an object is, in the spelling of any version; "" where another program wrote it."""
    said = feature.get("properties") or {}
    return str(said.get("objectType") or said.get("object_type") or "")


def _ring(corners: Any) -> NDArray[np.float64]:  # noqa: ANN401 - as the file has it
    ring = np.asarray(corners, np.float64)
    if ring.ndim != 2 or ring.shape[1] < 2 or not np.isfinite(ring).all():
        raise ValueError(f"a polygon has corners of shape {ring.shape}, or infinite ones")
    return ring[:, :2]


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


def _union(parts: list[Region], shape: Shape) -> Region:
    if len(parts) == 1:
        return parts[0]
    whole = np.zeros(shape, bool)
    for part in parts:
        rows, cols = part.mask.shape
        whole[part.top : part.top + rows, part.left : part.left + cols] |= part.mask
    return Region(0, 0, whole)


def _decompress(text: str) -> list[int]:
    """Read COCO's compressed run lengths: five bits a character, low ones first; from the third on, differences."""
    runs: list[int] = []
    value = shift = 0
    for character in text.encode():
        bits = character - 48
        value |= (bits & 0x1F) << shift
        shift += 5
        if bits & 0x20:
            continue
        if bits & 0x10:
            value -= 1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value = shift = 0
    return runs
