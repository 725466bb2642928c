"""``nucleate segment``: images in, label images, overlays and tables out."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Literal

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
)
from nucleate.apps.cli.workers import ClusterOption, WorkersOption, choose_cluster
from nucleate.core.files import absolute

__all__ = ["segment"]

_EXPORT_HELP = (
    "Of labels, overlay, measurements, rle, geojson (QuPath), imagej (ROIs), coco, zarr (OME-Zarr), ome-tiff, parquet, "
    "anndata."
)


def segment(
    inputs: Annotated[list[str], typer.Argument(metavar="INPUT...", help="Image files, folders, globs, zip archives.")],
    *,
    context: typer.Context,
    output: OutputOption,
    model: ModelOption = None,
    device: DeviceOption = "auto",
    threads: ThreadsOption = None,
    channel: ChannelOption = None,
    project: Annotated[
        Literal["max", "mean", "min"] | None, typer.Option(help="Put planes in depth together; plane by plane if not.")
    ] = None,
    scale: ScaleOption = "auto",
    tta: Annotated[
        bool, typer.Option("--tta", help="Look twice, once enlarged: better outlines, three times slower.")
    ] = False,
    tile: Annotated[int | None, typer.Option(min=64, metavar="PX", help="Side of the tiles of large images.")] = None,
    memory: MemoryOption = None,
    min_area: MinAreaOption = None,
    min_confidence: MinConfidenceOption = None,
    export: Annotated[list[str], typer.Option(metavar="NAME,...", help=_EXPORT_HELP)] = batches.DEFAULT_EXPORT,
    resume: Annotated[bool, typer.Option("--resume", help="Go on in OUT; finished inputs are left out.")] = False,
    fail_fast: Annotated[bool, typer.Option("--fail-fast", help="Stop at the first input that fails.")] = False,
    cluster: ClusterOption = None,
    workers: WorkersOption = None,
    report: Annotated[bool, typer.Option("--report", help="Write OUT/report.html; see: nucleate report.")] = False,
    quiet: QuietOption = False,
) -> None:
    r"""Find the nuclei in images and write their masks, outlines and measurements.

    Each input gives OUT/NAME.labels.tif and OUT/NAME.overlay.png; OUT/measurements.csv has one row a nucleus,
    OUT/summary.csv one row an input.

    \b
    Examples:
      nucleate segment cells.tif -o results
      nucleate segment plate1/ "plate2/*.png" -o results --export labels,rle
      nucleate segment plate1/ -o results --resume
      nucleate segment plate1/ -o results --cluster local --workers 4
    """
    from nucleate.core.files import check_folder
    from nucleate.run.inputs import expand
    from nucleate.run.outputs import refuse_existing

    check_folder(output)
    if report and not resume:
        refuse_existing(output, [output / "report.html"])
    shared = choose_cluster(cluster, workers, threads=threads, memory=memory)
    batch = {"channel": channel, "project": project, "resume": resume, "fail_fast": fail_fast}
    settings = batches.settings_of(batch, export=export, memory=memory, device=device, threads=threads)
    chosen = {
        "scale": parse_scale(scale),
        "tta": tta,
        "tile": tile,
        "min_area": min_area,
        "min_confidence": min_confidence,
    }
    left: list[str] = []
    sources = expand(map(absolute, inputs) if shared and shared.elsewhere else inputs, output=output, left=left)
    segmenter = batches.load(model, device=device, threads=threads, chosen=chosen)
    summary = batches.run(
        sources,
        output,
        segmenter=segmenter,
        settings=replace(settings, record=settings.record | {"left_out": left}),
        quiet=quiet,
        debug=context.obj,
        sharing=batches.share(shared, model, device=device, chosen=chosen),
    )
    if report and not summary.interrupted:
        from nucleate.core.files import write_text
        from nucleate.report.run_page import read_run, run_page

        write_text(output / "report.html", run_page(read_run(output)))
    batches.close(summary, output, quiet=quiet)
