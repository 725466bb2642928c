"""``nucleate segment``: images in, label images, overlays and tables out."""

from __future__ import annotations

import traceback
from dataclasses import replace
from functools import partial
from pathlib import Path  # noqa: TC003 - typer reads the annotations when the verb is registered
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from nucleate.apps.cli.console import (
    Bar,
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
    command_line,
    say,
)
from nucleate.apps.cli.ctrl_c import EXIT_CODE, loading
from nucleate.apps.cli.workers import ClusterOption, Sharing, WorkersOption, choose_cluster, hired
from nucleate.core.files import absolute
from nucleate.core.text import counted
from nucleate.errors import ModelError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from nucleate.api import Device
    from nucleate.run.batch import BatchSummary, Report
    from nucleate.run.cluster import ClusterSettings
    from nucleate.run.inputs import Source
    from nucleate.run.segmenter import Segmenter
    from nucleate.run.settings import BatchSettings

__all__ = [
    "close",
    "load",
    "parse_scale",
    "run",
    "segment",
    "settings_of",
    "share",
]

_MOST_AT_ONCE = 4
"""Inputs done beside each other, each of which takes memory; measured with two on two cores (benchmarks/speed.md)."""

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
    export: Annotated[str, typer.Option(metavar="NAME,...", help=_EXPORT_HELP)] = "labels,overlay,measurements",
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
    settings = settings_of(batch, export=export, memory=memory, device=device, threads=threads)
    chosen = {
        "scale": parse_scale(scale),
        "tta": tta,
        "tile": tile,
        "min_area": min_area,
        "min_confidence": min_confidence,
    }
    left: list[str] = []
    sources = expand(map(absolute, inputs) if shared and shared.elsewhere else inputs, output=output, left=left)
    segmenter = load(model, device=device, threads=threads, chosen=chosen)
    summary = run(
        sources,
        output,
        segmenter=segmenter,
        settings=replace(settings, record=settings.record | {"left_out": left}),
        quiet=quiet,
        debug=context.obj,
        sharing=share(shared, model, device=device, chosen=chosen),
    )
    if report and not summary.interrupted:
        from nucleate.core.files import write_text
        from nucleate.report.run_page import read_run, run_page

        write_text(output / "report.html", run_page(read_run(output)))
    close(summary, output, quiet=quiet)


def settings_of(
    batch: dict[str, Any], *, export: str, memory: float | None, device: Device, threads: int | None
) -> BatchSettings:
    """Gather what a batch is told: some fields of `BatchSettings`, and what the options say.

    Raises
    ------
    UsageError
        If there is no such export.
    """
    from nucleate.core.cores import cores
    from nucleate.run.outputs import check_exports
    from nucleate.run.settings import BatchSettings

    settings = BatchSettings(exports=check_exports(export), at_once=min(threads or cores(), _MOST_AT_ONCE), **batch)
    return settings.told(command_line(), device=device, threads=threads, memory_gb=memory)


@loading()
def load(model: str | None, *, device: Device, threads: int | None, chosen: dict[str, Any]) -> Segmenter:
    """Load a model with what the user chose (the fields of `SegmentSettings`).

    Raises
    ------
    UsageError
        If there is no such model, or an option cannot be.
    ModelError
        If the model's files are damaged.
    """
    from nucleate.api import load_segmenter
    from nucleate.run.segmenter import SegmentSettings
    from nucleate.run.weights import find_model

    settings = SegmentSettings(**chosen)
    try:
        found = find_model(model)
    except ModelError as error:  # a name that is not there is a wrong call; damaged weights are not
        raise UsageError(str(error)) from error
    return load_segmenter(found.onnx, device=device, threads=threads, settings=settings)


def share(
    cluster: ClusterSettings | None, model: str | None, *, device: Device, chosen: dict[str, Any]
) -> Sharing | None:
    """Say how the workers of a cluster load the model that `load` loads here; None where there is no cluster."""
    if cluster is None:
        return None
    from nucleate.api import load_segmenter
    from nucleate.run.segmenter import SegmentSettings
    from nucleate.run.weights import find_model, list_models

    found = find_model(model).onnx
    # A model of the package is the worker's own; its hash is compared.
    name = found.stem if found in [own.onnx for own in list_models()] else found.absolute()
    settings = SegmentSettings(**chosen)
    return Sharing(cluster, partial(load_segmenter, name, device=device, threads=cluster.threads, settings=settings))


def run(
    sources: list[Source],
    output: Path,
    *,
    segmenter: Segmenter,
    settings: BatchSettings,
    quiet: bool,
    debug: bool = False,
    sharing: Sharing | None = None,
) -> BatchSummary:
    """Run a batch with a progress bar, unless `quiet`, and a line for each failure, with its traceback if `debug`."""
    from nucleate.run.batch import decided_by, run_batch

    settings = replace(settings, deciding=decided_by(segmenter))
    tell: Callable[[str], None] = (lambda _: None) if quiet else say
    with (
        hired(sharing, output, sha256=segmenter.card.sha256, settings=settings, say=tell) as crew,
        Bar("images", len(sources), quiet=quiet) as bar,
    ):

        def notify(report: Report) -> None:
            if report.outcome.status == "failed":
                bar.say(f"nucleate: {report.outcome.error}")
                if debug and report.exception is not None:
                    bar.say("".join(traceback.format_exception(report.exception)).rstrip())
            bar.show(report.done)

        return run_batch(
            sources,
            output,
            segmenter=segmenter,
            settings=settings,
            notify=notify,
            watch=lambda part: bar.show_part(f"strips of {part.name}", part.done, total=part.total),
            crew=crew,
        )


def parse_scale(text: str) -> float | str:
    """Read the value of ``--scale``.

    Raises
    ------
    UsageError
        If it is neither ``auto`` nor a number.
    """
    if text.strip().lower() == "auto":
        return "auto"
    try:
        return float(text)
    except ValueError:
        raise UsageError(f"--scale {text}: not a number; use auto or a factor such as 0.5") from None


def close(summary: BatchSummary, output: Path, *, quiet: bool, again: str = "--resume") -> None:
    """Say how it went, and leave with the exit code that says the same; a call that goes on has `again` added."""
    from nucleate.run.outputs import kept_strips

    ok, failed, left = (summary.count(status) for status in ("ok", "failed", "not done"))
    nuclei = sum(outcome.nuclei or 0 for outcome in summary.outcomes)
    if summary.interrupted:
        strips = kept_strips(output)
        kept = f", {strips} strips of a large one are kept" if strips else ""
        told = f"stopped; {ok} of {ok + failed + left} inputs are finished and written to {output}{kept}"
        say(f"nucleate: {told}; go on with:")
        say(f"  {command_line(extra=again)}")
        raise SystemExit(EXIT_CODE)
    if ok and not quiet:
        beside = f", beside {counted(len(summary.earlier), 'image')} of earlier runs" if summary.earlier else ""
        say(f"{counted(ok, 'image')}, {counted(nuclei, 'nucleus', many='nuclei')}, written to {output}{beside}")
    if failed:
        rest = f", {left} not started" if left else ""
        say(f"nucleate: {failed} of {ok + failed + left} inputs failed{rest}; see {output / 'summary.csv'}")
        raise typer.Exit(1)
