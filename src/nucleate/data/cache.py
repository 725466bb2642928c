"""Decoded samples kept on disk, so that the second start of a training run takes seconds.

A cache file is a zip of NumPy arrays and one JSON index: nothing in it can run code, and every entry carries a CRC32.
A file that is damaged, cut short or of another format is made again. There is one file a data set: when a changed data
set is stored, its old file is removed, and so is every file that has a name of older versions.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import re
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nucleate.core.files import atomic_path, make_folder
from nucleate.data.sample import Sample
from nucleate.errors import OutputError, UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["cache_folder", "load", "store"]

_FORMAT = 5
_INDEX = "index.json"
_OLD_NAME = re.compile(r"samples-[0-9a-f]{32}\.zip")  # of older versions, which nothing would replace
_logger = logging.getLogger(__name__)


def cache_folder() -> Path:
    """Give the folder for cached data: ``$NUCLEATE_CACHE``, or the user's cache folder."""
    named = os.environ.get("NUCLEATE_CACHE")
    if named:
        return Path(named)
    import platformdirs

    return Path(platformdirs.user_cache_dir("nucleate", appauthor=False))


def store(folder: Path, key: str, *, samples: list[Sample]) -> None:
    """Write samples under a key; if the folder cannot be written, only time is lost, so that is merely logged.

    Parameters
    ----------
    folder : Path
        The cache folder, made if it is missing.
    key : str
        A hash of the place of the data set, a dash, and a hash of its content.
    samples : list of Sample
        Folds, kinds and groups are not stored.
    """
    try:
        make_folder(folder)
        with atomic_path(_file(folder, key)) as path, zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
            index = {
                "format": _FORMAT,
                "key": key,
                "ids": [sample.image_id for sample in samples],
                "binary": [sample.image_id for sample in samples if sample.binary],
            }
            archive.writestr(_INDEX, json.dumps(index))
            for number, sample in enumerate(samples):
                # Photographs hardly compress; label images shrink a hundredfold even at the fastest level.
                _add(archive, f"{number}.image.npy", array=sample.image, method=zipfile.ZIP_STORED)
                _add(archive, f"{number}.labels.npy", array=_narrow(sample.labels), method=zipfile.ZIP_DEFLATED)
    except (OutputError, UsageError) as error:
        reason, _, _ = str(error).rpartition(";")  # what helps is another
        _logger.warning("the samples are not cached: %s; set NUCLEATE_CACHE to another folder", reason)
        return
    _drop_older(folder, key)


def load(folder: Path, key: str) -> list[Sample] | None:
    """Read the samples stored under a key.

    Returns
    -------
    list of Sample, optional
        None if there are none, or the file is damaged.
    """
    path = _file(folder, key)
    try:
        with zipfile.ZipFile(path) as archive:
            index = json.loads(archive.read(_INDEX))
            if index["format"] != _FORMAT or index["key"] != key:
                return None
            binary = set(index["binary"])
            return [
                Sample(
                    image_id,
                    _get(archive, f"{number}.image.npy"),
                    _get(archive, f"{number}.labels.npy").astype(np.int32),
                    group=image_id,
                    binary=image_id in binary,
                )
                for number, image_id in enumerate(index["ids"])
            ]
    except FileNotFoundError:
        return None
    except Exception as error:
        # A damaged zip, index or array raises many kinds of errors; all of them mean "make it again".
        _logger.warning("the cache file %s is damaged (%s); it is made again", path, error)
        return None


def _file(folder: Path, key: str) -> Path:
    return folder / f"samples-{key}.zip"


def _drop_older(folder: Path, key: str) -> None:
    place, _, _ = key.partition("-")
    for path in folder.glob("samples-*.zip"):
        of_place = path.name.startswith(f"samples-{place}-") and path != _file(folder, key)
        if of_place or _OLD_NAME.fullmatch(path.name):
            with contextlib.suppress(OSError):  # another process may be reading it
                path.unlink()


def _add(archive: zipfile.ZipFile, name: str, *, array: NDArray[Any], method: int) -> None:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, array, allow_pickle=False)
    archive.writestr(name, buffer.getbuffer(), compress_type=method, compresslevel=1)


def _get(archive: zipfile.ZipFile, name: str) -> NDArray[Any]:
    array: NDArray[Any] = np.lib.format.read_array(io.BytesIO(archive.read(name)), allow_pickle=False)
    return array


def _narrow(labels: NDArray[np.int32]) -> NDArray[Any]:
    return labels.astype(np.min_scalar_type(int(labels.max(initial=0))))
