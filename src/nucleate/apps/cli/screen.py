"""``nucleate screen``: a plate and its map in; tables, statistics and pages out."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nucleate.apps.cli import batches
from nucleate.apps.cli.console import (
    ChannelOption,
    DeviceOption,
    MemoryOption,
    MinAreaOption,
    MinConfidenceOption,
    ModelOption,
    OutputOption,
    QuietOption,
    ScaleOption,
    ThreadsOption,
    parse_scale,
    say,
)
from nucleate.apps.cli.workers import ClusterOption, WorkersOption, choose_cluster
from nucleate.core.text import counted, listed
from nucleate.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nucleate.run.inputs import Source
    from nucleate.run.segmenter import Segmenter
    from nucleate.screen.analysis import Screen
    from nucleate.screen.layout import Plate
    from nucleate.screen.platemap import Content, PlateMap
    from nucleate.screen.results import ScreenRecord

__all__ = ["make_pages", "screen"]

_LISTED_PROBLEMS = 10


def screen(
    plate: Annotated[Path, typer.Argument(metavar="PLATE", help="Folder of a plate's images, or an OME-Zarr plate.")],
    *,
    context: typer.Context,
    plate_map: Annotated[
        Path, typer.Option("--map", metavar="MAP.csv", help="What is in each well: well,compound,concentration,role.")
    ],
    output: OutputOption,
    pattern: Annotated[
        str | None,
        typer.Option(
            metavar="STYLE|TEXT",
            help="yokogawa, opera, imagexpress, gen5, incell, leica, or as {well}_{field}_{channel}, without .tif.",
        ),
    ] = None,
    channel: ChannelOption = None,
    channels: Annotated[
        str | None,
        typer.Option(
            metavar="OLD=NEW,...", help="Names for channels, by those of the files or their numbers: 1=DAPI,2=actin."
        ),
    ] = None,
    time: Annotated[int | None, typer.Option(metavar="N", help="Time point to take, where there are several.")] = None,
    acquisition: Annotated[
        int | None, typer.Option(metavar="N", help="Acquisition to take, where a well in OME-Zarr holds several.")
    ] = None,
    wells: Annotated[
        int | None, typer.Option(metavar="N", help="Wells of the plate, 6 to 1536; needed under 96 if some are unused.")
    ] = None,
    unit: Annotated[str, typer.Option(metavar="TEXT", help="Unit of the concentrations, for the reports.")] = "",
    model: ModelOption = None,
    device: DeviceOption = "auto",
    threads: ThreadsOption = None,
    scale: ScaleOption = "auto",
    memory: MemoryOption = None,
    min_area: MinAreaOption = None,
    min_confidence: MinConfidenceOption = None,
    export: Annotated[str, typer.Option(metavar="NAME,...", help="As for segment; always with measurements.")] = (
        "labels,overlay,measurements"
    ),
    resume: Annotated[bool, typer.Option("--resume", help="Go on in OUT; finished fields are left out.")] = False,
    cluster: ClusterOption = None,
    workers: WorkersOption = None,
    quiet: QuietOption = False,
) -> None:
    r"""Segment a plate of wells and say what each compound did.

    OUT/plate.html shows the plate: heat maps, controls, dose curves, hits. OUT/nuclei.csv, fields.csv, wells.csv,
    doses.csv and fits.csv hold the numbers, OUT/fields/ the masks and outlines, OUT/report.html how the run went.

    \b
    Examples:
      nucleate screen plate1/ --map map.csv -o results --unit µM
      nucleate screen plate1/ --map map.csv -o results --channels 1=DAPI,2=actin --channel DAPI
      nucleate screen plate1/ --map map.csv -o results --pattern "{any}_{well}-{field}_{channel}"
    """
    from nucleate.core.files import check_folder, make_folder
    from nucleate.run.outputs import refuse_existing
    from nucleate.screen.layout import read_plate
    from nucleate.screen.platemap import read_map
    from nucleate.screen.results import FIELDS_FOLDER, FILES, RECORD_NAME, write_record
    from nucleate.screen.same_plate import left_over
    from nucleate.screen.sources import field_sources, nuclear_channel

    check_folder(output)
    if not (output / RECORD_NAME).exists():
        refuse_existing(output, [output / name for name in FILES])
    if plate_map.resolve() in {(output / name).resolve() for name in FILES}:
        raise UsageError(f"--map {plate_map} would be overwritten by the results; choose another output folder")
    content = read_map(plate_map, unit=unit)
    shared = choose_cluster(cluster, workers, threads=threads, memory=memory)
    folder = plate.absolute() if shared and shared.elsewhere else plate
    called = _new_names(channels)
    found = read_plate(folder, pattern=pattern, time=time, acquisition=acquisition, channels=called)
    nuclear = nuclear_channel(found, channel)
    sources = field_sources(found, nuclear)
    record = _record(found, content, channel=nuclear, wells=wells, pattern=pattern)
    record, begun = _taken_up(output, record, sources=sources, resume=resume)
    fields = output / FIELDS_FOLDER
    for line in [*found.problems[:_LISTED_PROBLEMS], *record.remarks, *_surprises(found, content.contents)]:
        say(f"nucleate: {line}")
    if (more := len(found.problems) - _LISTED_PROBLEMS) > 0:
        say(f"nucleate: {more} more pictures do not fit; see {output / 'screen.json'}")
    chosen = {"scale": parse_scale(scale), "min_area": min_area, "min_confidence": min_confidence}
    segmenter = batches.load(model, device=device, threads=threads, chosen=chosen)
    segmenter = _scaled(segmenter, sources, channel=nuclear, earlier=fields if begun else None, quiet=quiet)
    chosen["scale"] = segmenter.settings.scale
    batch = {"channel": nuclear, "resume": resume, "keep_earlier": False}
    export += ",measurements"
    settings = batches.settings_of(batch, export=export, memory=memory, device=device, threads=threads)
    if not begun:
        write_record(make_folder(output) / RECORD_NAME, record)  # a screen that is stopped goes on with this plate
    summary = batches.run(
        list(sources),
        fields,
        segmenter=segmenter,
        settings=settings,
        quiet=quiet,
        debug=context.obj,
        sharing=batches.share(shared, model, device=device, chosen=chosen),
    )
    if not summary.interrupted and summary.count("ok"):
        # A field whose files have other names than in an earlier run has got a name of its own there.
        named = [replace(row, name=one.name) for row, one in zip(record.fields, summary.outcomes, strict=True)]
        _write(output, replace(record, fields=named))
        if left := left_over(fields, sources):
            names = listed([path.name for path in left])
            say(f"nucleate: {counted(len(left), 'file')} in {fields} left from fields that are gone: {names}")
        if not quiet:
            done = [row for row, one in zip(named, summary.outcomes, strict=True) if one.status == "ok"]
            seen = f"{counted(len(done), 'field')} of {counted(len({row.well for row in done}), 'well')}"
            say(f"{seen}: {output / 'plate.html'}")
    batches.close(summary, fields, quiet=quiet)
    if found.problems:
        raise typer.Exit(1)


def make_pages(output: Path) -> list[Path]:
    """Compute a screen anew from its folder, and write its tables and pages.

    Returns
    -------
    list of Path
        The pages.

    Raises
    ------
    UsageError
        If the folder holds no screen.
    """
    from nucleate.screen.results import RECORD_NAME, load_screen, read_record

    record = read_record(output / RECORD_NAME)
    return _write_pages(output, load_screen(output, record), record=record)


def _taken_up(
    output: Path, record: ScreenRecord, *, sources: Sequence[Source], resume: bool
) -> tuple[ScreenRecord, bool]:
    """Refuse a folder that holds other results; take over from an earlier run what is not said again.

    Gives whether that run has finished a field, too: one that has not settles no more than the unit.
    """
    from nucleate.run.journal import JOURNAL_NAME, begun, refuse_begun, sources_of
    from nucleate.screen.results import FIELDS_FOLDER, RECORD_NAME, read_record
    from nucleate.screen.same_plate import refuse_another

    journal = output / FIELDS_FOLDER / JOURNAL_NAME
    if not resume:
        refuse_begun(journal)
        return record, False
    before = begun(journal)
    if before is None and sources_of(journal).keys().isdisjoint(source.key for source in sources):
        return record, False  # what failed may have been another plate
    earlier = read_record(output / RECORD_NAME) if (output / RECORD_NAME).exists() else record
    if before is not None:
        earlier.check_same_plate(record)
        refuse_another(output, sources, before=before)
    return replace(record, unit=record.unit or earlier.unit), bool(before)


def _write(output: Path, record: ScreenRecord) -> None:
    from nucleate.screen.results import RECORD_NAME, load_screen, write_record

    found = load_screen(output, record)  # what is refused here leaves the folder as it was
    write_record(output / RECORD_NAME, record)
    _write_pages(output, found, record=record)


def _write_pages(output: Path, found: Screen, *, record: ScreenRecord) -> list[Path]:
    from nucleate.core.files import write_text
    from nucleate.report.plate_page import plate_page
    from nucleate.report.run_page import read_run, run_page
    from nucleate.screen.cut import cut_warning
    from nucleate.screen.results import FIELDS_FOLDER, write_tables

    write_tables(output, found, record=record)
    name = Path(record.plate).name
    pages = [output / "plate.html", output / "report.html"]
    notes = [f"Left out: {line}" for line in record.problems[:_LISTED_PROBLEMS]]
    notes += [line[0].upper() + line[1:] for line in record.remarks]
    for warning in filter(None, (found.warning, cut_warning(found.tables))):
        say(f"nucleate: {warning}")
        notes.append(warning)
    write_text(pages[0], plate_page(found, title=f"Plate {name}", unit=record.unit, notes=notes))
    link = ['What the wells say is on <a href="plate.html">the page of the plate</a>.']
    write_text(pages[1], run_page(read_run(output / FIELDS_FOLDER), title=f"Fields of plate {name}", notes=link))
    return pages


def _scaled(
    segmenter: Segmenter, sources: Sequence[Source], *, channel: str | None, earlier: Path | None, quiet: bool
) -> Segmenter:
    """Settle the scale of all fields: the one asked for, that of an earlier run in the folder, or the one found."""
    from nucleate.screen.scale import earlier_scale, plate_scale

    automatic = segmenter.settings.scale == "auto"
    had = earlier_scale(earlier) if automatic and earlier else None
    segmenter = segmenter.at_scale(plate_scale(sources, segmenter, channel=channel) if had is None else had)
    if automatic and not quiet:
        origin = "" if had is None else ", as in the earlier run"
        say(f"nucleate: scale {segmenter.settings.scale:g} for all fields{origin}")
    return segmenter


def _record(
    plate: Plate,
    content: PlateMap,
    *,
    channel: str | None,
    wells: int | None,
    pattern: str | None,
) -> ScreenRecord:
    from nucleate.core.wells import plate_shape
    from nucleate.screen.names import FREE
    from nucleate.screen.results import ScreenRecord
    from nucleate.screen.tables import FieldRow

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


def _new_names(text: str | None) -> dict[str, str]:
    pairs = [part.partition("=") for part in (text or "").split(",") if part.strip()]
    if any(not equals or not new.strip() for _, equals, new in pairs):
        raise UsageError(f"--channels {text}: not understood; write pairs such as 1=DAPI,2=actin")
    names = {old.strip(): new.strip() for old, _, new in pairs}
    if len(names) < len(pairs):
        raise UsageError(f"--channels {text}: names a channel twice; give each one name")
    return names


def _surprises(plate: Plate, contents: dict[str, Content]) -> Sequence[str]:
    """Say where plate and map differ, which fields lack a channel, and what is odd about names; none is an error."""
    from nucleate.core.image import DNA_NAMES

    pictured = {field.well for field in plate.fields}
    meant = {well for well, content in contents.items() if content.role != "empty"}
    if not any(contents[well].role == "negative" for well in pictured & set(contents)):
        raise UsageError("no well of the negative controls has a picture; check that the map belongs to this plate")
    told = []
    channels = sorted({file.channel for field in plate.fields for file in field.files} - {""})
    stains = Counter(part for name in channels for part in {*re.split(r"[^a-z0-9]+", name.lower())})
    if twice := sorted(stain for stain, count in stains.items() if count > 1 and stain in DNA_NAMES):
        alike = ", ".join(name for name in channels if twice[0] in name.lower())
        told.append(f"several channels are called {twice[0]}: {alike}; if they are fields or planes, give --pattern")
    lacking = {field.name: set(channels) - {file.channel for file in field.files} for field in plate.fields}
    for kind, what, places in (
        ("well", "in the map without a picture", sorted(meant - pictured)),
        ("well", "not in the map", sorted(pictured - set(contents))),
        (
            "field",
            "without all channels",
            [f"{name} (no {', '.join(sorted(no))})" for name, no in lacking.items() if no],
        ),
    ):
        if places:
            told.append(f"{counted(len(places), kind)} {what}: {listed(places)}")
    return told
