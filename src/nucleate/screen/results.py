"""The files of a screen: the record of what was screened, and the tables and statistics made of it.

``screen.json`` says which field is which well and what is in it, so that everything else can be made again from the
folder alone.
"""

from __future__ import annotations

import csv
import json
import math
from dataclasses import asdict, astuple, dataclass, field, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from nucleate.core.files import scratch_folder, write_rows, write_text
from nucleate.core.text import number_text
from nucleate.core.wells import plate_shape
from nucleate.errors import UsageError
from nucleate.export.read_table import column_names, read_columns
from nucleate.export.tables import extend_anndata, extend_parquet, write_anndata, write_parquet
from nucleate.run.journal import refuse_unfinished
from nucleate.run.outputs import files_of
from nucleate.screen.analysis import Screen, analyse
from nucleate.screen.dose import DoseFit
from nucleate.screen.names import FREE
from nucleate.screen.phenotypes import Rules
from nucleate.screen.platemap import Content
from nucleate.screen.tables import FieldRow, build_tables, measured_columns, nuclear_columns

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from nucleate.screen.layout import Plate
    from nucleate.screen.platemap import PlateMap

__all__ = [
    "FIELDS_FOLDER",
    "FILES",
    "LISTED_PROBLEMS",
    "RECORD_NAME",
    "ScreenRecord",
    "load_screen",
    "read_record",
    "record_of",
    "write_record",
    "write_tables",
]

RECORD_NAME = "screen.json"
FIELDS_FOLDER = "fields"
"""The folder of label images, overlays and measurements of the fields."""
LISTED_PROBLEMS = 10
"""Problems of a plate that are told one by one, by the command and on the page; the record holds all."""
FILES = (
    *(f"{name}.csv" for name in ("nuclei", "fields", "wells", "doses", "fits")), "nuclei.parquet", "nuclei.h5ad",
    "statistics.json", "plate.html", "report.html",
)  # fmt: skip
"""What a screen writes beside `RECORD_NAME` and the folder of fields."""

_COPIES = (("parquet", ".parquet", write_parquet, extend_parquet), ("anndata", ".h5ad", write_anndata, extend_anndata))


@dataclass(frozen=True)
class ScreenRecord:
    """The record of what was screened.

    Parameters
    ----------
    plate : str
        Folder of the plate.
    style : str
        How names were read.
    channel : str or None
        The channel with the nuclei.
    unit : str
        Of the concentrations.
    fields : list of FieldRow
        In order; the status of each is looked up in the results.
    contents : dict of str to Content
        The plate map.
    problems : list of str
        Pictures that were left out, a line each.
    wells : int, optional
        How many wells the plate has, if the user said so.
    time : int, optional
        The time point that was taken; None in records of older versions.
    pattern : str, optional
        The style or the pattern by which names were read; None in records of older versions.
    remarks : list of str
        Odd things about the map, a line each.
    channel_names : dict of str to str
        The name of each channel in the files, and here; empty in records of older versions.
    acquisition : int, optional
        The acquisition taken; None if the plate tells none, if all are taken, and in records of older versions.
    """

    plate: str
    style: str
    channel: str | None
    unit: str
    fields: list[FieldRow]
    contents: dict[str, Content]
    problems: list[str]
    wells: int | None = None
    time: int | None = None
    pattern: str | None = None
    remarks: list[str] = field(default_factory=list)
    channel_names: dict[str, str] = field(default_factory=dict)
    acquisition: int | None = None

    def check_same_plate(self, other: ScreenRecord) -> None:
        """Refuse to go on with other pictures than those of this record.

        Raises
        ------
        UsageError
            If `other` has another time point or acquisition, another way to read names, or other names of channels.
        """
        for option in ("time", "acquisition", "pattern"):
            had, has = getattr(self, option), getattr(other, option)
            if had is not None and had != has:
                raise UsageError(
                    f"--resume: the folder was made with --{option} {had}, got {has}; "
                    "give that, or choose another output folder"
                )
        # Channels may be added to a plate, or be removed.
        before, now = self.channel_names.items(), other.channel_names.items()
        if not (before <= now or now <= before):
            had, has = (",".join(map("=".join, sorted(names))) for names in (before, now))
            raise UsageError(
                f"--resume: the folder was made with --channels {had}, got {has}; "
                "give that, or choose another output folder"
            )


def record_of(
    plate: Plate, content: PlateMap, *, channel: str | None, wells: int | None = None, pattern: str | None = None
) -> ScreenRecord:
    """Say what is to be screened.

    Parameters
    ----------
    plate : Plate
    content : PlateMap
    channel : str, optional
        The one with the nuclei.
    wells : int, optional
        How many the plate has, where the user said so.
    pattern : str, optional
        By which names were to be read, where the user said so.

    Returns
    -------
    ScreenRecord

    Raises
    ------
    UsageError
        If a well lies outside a plate of so many.
    """
    plate_shape([*content.contents, *(field.well for field in plate.fields)], wells)  # refuses what does not fit
    fields = [FieldRow(field.name, field.well, field.number) for field in plate.fields]
    if plate.style != "free":
        pattern = plate.style
    elif pattern in {None, "free"}:
        pattern = FREE
    return ScreenRecord(
        # "." is no name of a plate.
        str(plate.folder if plate.folder.name not in {"", ".."} else plate.folder.resolve()),
        plate.style,
        channel,
        content.unit,
        fields,
        content.contents,
        list(plate.problems),
        wells,
        time=plate.time,
        pattern=pattern,
        remarks=list(content.remarks),
        channel_names=dict(plate.names),
        acquisition=plate.acquisition,
    )


def write_record(path: Path, record: ScreenRecord) -> None:
    """Write screen.json.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    shown = asdict(record)
    shown["contents"] = [[_plain(value) for value in astuple(content)] for content in record.contents.values()]
    shown["fields"] = [[row.name, row.well, row.number] for row in record.fields]
    write_text(path, json.dumps(shown, indent=1) + "\n")


def read_record(path: Path) -> ScreenRecord:
    """Read screen.json.

    Raises
    ------
    UsageError
        If it is missing or damaged.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        found["contents"] = {
            well: Content(well, compound, math.nan if dose is None else float(dose), role)
            for well, compound, dose, role in found["contents"]
        }
        found["fields"] = [FieldRow(*row) for row in found["fields"]]
        return ScreenRecord(**{one.name: found[one.name] for one in fields(ScreenRecord) if one.name in found})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{path}: cannot be read ({error}); name a folder that nucleate screen wrote") from error


def load_screen(output: Path, record: ScreenRecord) -> Screen:
    """Read the results of the fields and compute everything anew; fields that left the plate are left out.

    Parameters
    ----------
    output : Path
        Folder of the screen.
    record : ScreenRecord

    Returns
    -------
    Screen

    Raises
    ------
    InputError
        If a table cannot be read.
    UsageError
        If no field is finished, or the run is not.
    """
    folder = output / FIELDS_FOLDER
    refuse_unfinished(folder)
    summary = read_columns(folder / "summary.csv", [], texts=["image", "status"])
    status = dict(zip(summary["image"], summary["status"], strict=True))
    rows = [FieldRow(f.name, f.well, f.number, status.get(f.name, "not done")) for f in record.fields]
    done = {row.name for row in rows if row.status == "ok"}
    if not done:
        raise UsageError(f"{output}: no field is finished, nothing can be said; see {folder / 'summary.csv'}")
    path = folder / "measurements.csv"
    markers = _markers(column_names(path), record.channel)
    measured = read_columns(path, measured_columns(record.channel, markers), texts=["image"])
    own = np.array([name in done for name in measured["image"]], bool)
    nuclei = nuclear_columns({name: values[own] for name, values in measured.items()}, record.channel)
    tables = build_tables(nuclei, rows, contents=record.contents, markers=markers)
    return analyse(tables, wells_of_plate=record.wells)


def _markers(columns: Sequence[str], nuclear: str | None) -> list[str]:
    """List the channels that were measured, besides the channel of the nuclei."""
    start = "mean_intensity_"
    names = [name.removeprefix(start) for name in columns if name.startswith(start)]
    return [] if nuclear is None else [name for name in names if name != nuclear]


def write_tables(output: Path, screen: Screen, *, record: ScreenRecord) -> None:
    """Write nuclei.csv, fields.csv, wells.csv, doses.csv, fits.csv and statistics.json.

    Raises
    ------
    OutputError
        If a file cannot be written.
    """
    _write_nuclei(output, screen, record=record)
    wells, features = screen.tables.wells, screen.tables.features
    z = {f"z_{name}": values for name, values in screen.z.items()}
    _write_columns(output / "fields.csv", screen.tables.fields)
    counts = ("nuclei", "whole_nuclei", *(f"nuclei_{channel}" for channel in screen.tables.thresholds))
    seen = {name: np.where(wells["fields"] > 0, wells[name], np.nan) for name in counts}  # not counted is not 0
    _write_columns(output / "wells.csv", wells | seen | z)
    heading = ["compound", "concentration", "unit", "wells"]
    heading += [f"{kind}_{name}" for name in features for kind in ("median", "ssmd")]
    rows = [
        [row.compound, row.concentration, record.unit, " ".join(row.wells)]
        + [values[name] for name in features for values in (row.medians, row.ssmd)]
        for row in screen.doses
    ]
    _write_cells(output / "doses.csv", rows, header=heading)
    fits = ([one.compound, one.feature, record.unit, *astuple(one.fit.told)] for one in screen.curves)
    heading = ["compound", "feature", "unit", *(one.name for one in fields(DoseFit))]
    _write_cells(output / "fits.csv", fits, header=heading)
    write_text(output / "statistics.json", json.dumps(_plain(_statistics(screen)), indent=1) + "\n")


def _statistics(screen: Screen) -> dict[str, Any]:
    return {
        "controls": [
            {"compound": one.compound, "concentration": one.concentration}
            | {name: asdict(found) for name, found in one.by_feature.items()}
            for one in screen.controls
        ],
        "edge": {"wells": screen.edge_of, **{name: asdict(found) for name, found in screen.edges.items()}},
        # None if no well could be judged.
        "hits": {name: int(found.sum()) if _judged(screen, name) else None for name, found in screen.hits.items()},
        "hit_threshold": screen.limits,
        "hits_expected_by_chance": screen.expected_by_chance,
        "reference_nucleus": asdict(screen.tables.reference),
        "positive_over": screen.tables.thresholds,
        "rules": asdict(Rules()),
    }


def _judged(screen: Screen, name: str) -> bool:
    samples = screen.tables.wells["role"] == "sample"
    return math.isfinite(screen.limits[name]) and bool(np.isfinite(screen.z[name][samples]).any())


def _write_nuclei(output: Path, screen: Screen, *, record: ScreenRecord) -> None:
    """Copy the measurements, with well and phenotype; also as Parquet and AnnData if the fields have those files."""
    table, wells, done = screen.tables.nuclei, screen.tables.wells, screen.tables.fields
    place: dict[str, NDArray[Any]] = {"well": wells["well"][table["well_index"]]}
    place["field"] = done["field"][table["field_index"]]
    place |= {name: wells[name][table["well_index"]] for name in ("compound", "concentration", "role")}
    marked = ("condensed", "mitotic", *(f"positive_{channel}" for channel in screen.tables.thresholds))
    flags = {name: table[name] for name in marked}
    folder = output / FIELDS_FOLDER
    finished = set(zip(done["well"], done["field"], strict=True))
    names = dict.fromkeys([*table["image"], *(f.name for f in record.fields if (f.well, f.number) in finished)])
    with (folder / "measurements.csv").open(encoding="utf-8", newline="") as stream:
        # Row by row, since there may be millions.
        reader = csv.reader(stream)
        header = next(reader)
        image = header.index("image")
        places = zip(*place.values(), strict=True)
        marks = zip(*(values.astype(np.float64) for values in flags.values()), strict=True)
        joined = zip((row for row in reader if row[image] in names), places, marks, strict=True)
        rows = ([*map(_cell, own), *row, *map(_cell, seen)] for row, own, seen in joined)
        write_rows(output / "nuclei.csv", rows, header=[*place, *header, *flags])
        has_more = reader.line_num - 1 > len(table["image"])  # of fields that left the plate
    for export, ending, write, extend in _COPIES:
        source = folder / f"measurements{ending}"
        if not source.exists():
            continue
        with scratch_folder() as scratch:
            if has_more:
                source = scratch / source.name
                parts = [part for name in names for part in files_of(folder, name, exports=[export])]
                write(source, parts)
            extend(source, output / f"nuclei{ending}", columns=place | flags)


def _write_columns(path: Path, columns: dict[str, Any]) -> None:
    _write_cells(path, zip(*(values.tolist() for values in columns.values()), strict=True), header=list(columns))


def _write_cells(path: Path, rows: Iterable[Iterable[object]], *, header: Sequence[str]) -> None:
    write_rows(path, (map(_cell, row) for row in rows), header=header)


def _cell(value: object) -> str:
    if isinstance(value, float):
        return "" if math.isnan(value) else number_text(value)
    return str(value)


def _plain(value: Any) -> Any:  # noqa: ANN401 - JSON is of any type
    """Turn numbers that JSON does not know into None or text."""
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
