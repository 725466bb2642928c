"""``nucleate screen``: a plate and its map in; tables, statistics and pages out."""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path  # noqa: TC003 - typer reads the annotations when the verb is registered
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
from nucleate.errors import NucleateError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from nucleate.run.inputs import Source
    from nucleate.run.segmenter import Segmenter
    from nucleate.screen.results import ScreenRecord

__all__ = ["screen"]


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
    export: Annotated[
        list[str], typer.Option(metavar="NAME,...", help="As for segment; always with measurements.")
    ] = batches.DEFAULT_EXPORT,
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
    from nucleate.core.files import check_folder
    from nucleate.run.outputs import check_exports, refuse_existing
    from nucleate.screen.agreement import surprises
    from nucleate.screen.layout import read_plate
    from nucleate.screen.platemap import read_map
    from nucleate.screen.results import FIELDS_FOLDER, FILES, LISTED_PROBLEMS, RECORD_NAME, record_of
    from nucleate.screen.same_plate import left_over, taken_up
    from nucleate.screen.sources import field_sources, nuclear_channel

    check_folder(output)
    if not (output / RECORD_NAME).exists():
        refuse_existing(output, [output / name for name in FILES])
    if plate_map.resolve() in {(output / name).resolve() for name in FILES}:
        raise UsageError(f"--map {plate_map} would be overwritten by the results; choose another output folder")
    export = [*export, "measurements"]
    check_exports(",".join(export))  # before the plate is looked at: the search for its scale takes minutes
    content = read_map(plate_map, unit=unit)
    shared = choose_cluster(cluster, workers, threads=threads, memory=memory)
    folder = plate.absolute() if shared and shared.elsewhere else plate
    found = read_plate(folder, pattern=pattern, time=time, acquisition=acquisition, channels=_new_names(channels))
    nuclear = nuclear_channel(found, channel)
    sources = field_sources(found, nuclear)
    record = record_of(found, content, channel=nuclear, wells=wells, pattern=pattern)
    record, begun = taken_up(output, record, sources=sources, resume=resume)
    fields = output / FIELDS_FOLDER
    for line in [*found.problems[:LISTED_PROBLEMS], *record.remarks, *surprises(found, content.contents)]:
        say(f"nucleate: {line}")
    if (more := len(found.problems) - LISTED_PROBLEMS) > 0:
        say(f"nucleate: {more} more pictures do not fit; see {output / 'screen.json'}")
    chosen = {"scale": parse_scale(scale), "min_area": min_area, "min_confidence": min_confidence}
    segmenter = batches.load(model, device=device, threads=threads, chosen=chosen)
    segmenter = _scaled(segmenter, sources, channel=nuclear, earlier=fields if begun else None, quiet=quiet)
    chosen["scale"] = segmenter.settings.scale
    batch = {"channel": nuclear, "resume": resume, "keep_earlier": False}
    settings = batches.settings_of(batch, export=export, memory=memory, device=device, threads=threads)
    with nullcontext() if begun else _recorded(output, record):
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
        # A field whose images were renamed since an earlier run is another input, and gets a name of its own.
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


@contextmanager
def _recorded(output: Path, record: ScreenRecord) -> Iterator[None]:
    """Write the record, so that --resume can tell this plate from another; none stays where no field was begun."""
    from nucleate.core.files import make_folder
    from nucleate.run.journal import JOURNAL_NAME
    from nucleate.screen.results import FIELDS_FOLDER, RECORD_NAME, write_record

    write_record(make_folder(output) / RECORD_NAME, record)
    try:
        yield
    except NucleateError:
        if not (output / FIELDS_FOLDER / JOURNAL_NAME).exists():
            (output / RECORD_NAME).unlink(missing_ok=True)
        raise


def _write(output: Path, record: ScreenRecord) -> None:
    from nucleate.report.plate_page import write_pages
    from nucleate.screen.results import RECORD_NAME, load_screen, write_record

    found = load_screen(output, record)  # raises before anything is written
    write_record(output / RECORD_NAME, record)
    for warning in write_pages(output, found, record=record):
        say(f"nucleate: {warning}")


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


def _new_names(text: str | None) -> dict[str, str]:
    pairs = [part.partition("=") for part in (text or "").split(",") if part.strip()]
    if any(not equals or not new.strip() for _, equals, new in pairs):
        raise UsageError(f"--channels {text}: not understood; write pairs such as 1=DAPI,2=actin")
    names = {old.strip(): new.strip() for old, _, new in pairs}
    if len(names) < len(pairs):
        raise UsageError(f"--channels {text}: names a channel twice; give each one name")
    return names
