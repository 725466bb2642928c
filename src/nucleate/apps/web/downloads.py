"""Results as one file to be saved: what is there is taken, other kinds are written by the same writers on demand."""

from __future__ import annotations

import shutil
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nucleate.core.files import atomic_path
from nucleate.core.project import projected
from nucleate.errors import MissingExtraError, UsageError
from nucleate.run import outputs

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from nucleate.apps.web.store import Entry, Finished
    from nucleate.apps.web.views import Views

__all__ = ["KINDS", "Download", "available", "prepare"]

KINDS = {
    "labels": "label images (TIFF)",
    "overlay": "pictures with outlines (PNG)",
    "measurements": "table of measurements (CSV)",
    "imagej": "regions for ImageJ and Fiji",
    "geojson": "detections for QuPath",
    "rle": "run lengths (Kaggle CSV)",
    "coco": "COCO JSON",
    "zarr": "OME-Zarr with labels",
    "ome-tiff": "label images as OME-TIFF",
    "parquet": "table as Parquet",
    "anndata": "table as AnnData",
}
"""What can be downloaded, of `outputs.EXPORTS`, with a word of what it is."""

_RUN_FILES = ("summary.csv", "run.json")
_PACKED = {".png", ".zip", ".tif", ".parquet", ".h5ad"}  # to compress them again would take time for nothing


@dataclass(frozen=True)
class Download:
    """A file to be saved.

    Parameters
    ----------
    path : Path
        Where it lies for the moment.
    name : str
        Under which the browser saves it.
    """

    path: Path
    name: str


def available() -> list[dict[str, str]]:
    """List what can be downloaded: name, what it is, and what it needs where that is not installed."""
    found = []
    for name, what in KINDS.items():
        try:
            outputs.check_exports(name)
            needs = ""
        except MissingExtraError as error:
            needs = str(error)
        found.append({"name": name, "what": what, "needs": needs})
    return found


def prepare(entries: Sequence[Entry], exports: Sequence[str], *, views: Views, folder: Path) -> Download:
    """Gather files of some images.

    Parameters
    ----------
    entries : sequence of Entry
        The images; those without results are left out.
    exports : sequence of str
        Of `outputs.EXPORTS`.
    views : Views
        Opens the images.
    folder : Path
        An empty one, for the files.

    Returns
    -------
    Download
        The file itself where it is only one; else a zip archive, with a folder for each folder of results if the
        images have several.

    Raises
    ------
    UsageError
        If none of the images has results, or there is no such export.
    NucleateError
        If something cannot be read or written.
    """
    if not exports:
        raise UsageError("no kind of file is ticked; tick at least one")
    wanted = outputs.check_exports(",".join(exports))
    groups: dict[Path, list[Entry]] = {}
    for entry in entries:
        if entry.finished is not None:
            groups.setdefault(entry.finished.folder, []).append(entry)
    if not groups:
        raise UsageError("nothing to download: find nuclei first")
    top = folder / "files"
    for results, members in groups.items():
        place = top / results.name if len(groups) > 1 else top
        _gather(members, wanted, views=views, place=place)
        for name in _RUN_FILES if len(entries) > 1 else ():
            if (results / name).is_file():
                shutil.copyfile(results / name, place / name)
    files = sorted(path for path in top.rglob("*") if path.is_file())
    if len(files) == 1:
        return Download(files[0], files[0].name)
    return Download(_packed(files, top, into=folder / "results.zip"), _archive_name(entries))


def _archive_name(entries: Sequence[Entry]) -> str:
    one = entries[0].finished if len(entries) == 1 else None
    return "nucleate-results.zip" if one is None else f"{one.outcome.name}.zip"


def _gather(entries: Sequence[Entry], exports: Sequence[str], *, views: Views, place: Path) -> None:
    outputs.prepare_folder(place)
    names = []
    for entry in entries:
        finished = entry.finished
        assert finished is not None
        name = finished.outcome.name
        names.append(name)
        missing = []
        for export in exports:
            [there] = outputs.files_of(finished.folder, name, exports=[export])
            [copy] = outputs.files_of(place, name, exports=[export])
            if there.is_file():
                shutil.copyfile(there, copy)
            elif there.is_dir():
                shutil.copytree(there, copy)
            else:
                missing.append(export)
        if missing:
            _write(entry, finished, exports=missing, views=views, place=place)
    outputs.join_tables(place, names, exports=exports)
    shutil.rmtree(place / outputs.PARTS_NAME)


def _write(entry: Entry, finished: Finished, *, exports: Sequence[str], views: Views, place: Path) -> None:
    """Write kinds of files that are not there, from the label image that is."""
    choices = finished.choices
    confidence: NDArray[np.float64] = views.nuclei(finished).confidence[1:]
    with entry.source.open(place / outputs.PARTS_NAME) as opened:
        image = projected(opened, choices.project) if choices.project else opened
        shown = image.channel(choices.channel)
        with views.stored_labels(finished, shown.stack_shape) as labels:
            result = outputs.Result(finished.outcome.name, image, shown, labels, confidence.astype("float32"))
            outputs.write_result(result, place, exports=exports)


def _packed(files: Sequence[Path], top: Path, *, into: Path) -> Path:
    with (
        atomic_path(into) as temporary,
        zipfile.ZipFile(temporary, "w", compression=zipfile.ZIP_DEFLATED, compresslevel=3) as archive,
    ):
        for path in files:
            method = zipfile.ZIP_STORED if path.suffix in _PACKED else zipfile.ZIP_DEFLATED
            archive.write(path, path.relative_to(top).as_posix(), compress_type=method)
    shutil.rmtree(top)
    return into
