"""A batch of images from the command line: its model, its settings, how it runs and how it ends."""

from __future__ import annotations

import os
import traceback
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import typer

from nucleate.apps.cli.console import Bar, command_line, say
from nucleate.apps.cli.ctrl_c import EXIT_CODE, loading
from nucleate.apps.cli.workers import Sharing, hired
from nucleate.core.text import counted
from nucleate.errors import ModelError, OutputError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from nucleate.api import Device
    from nucleate.run.batch import BatchSummary, Report
    from nucleate.run.cluster import ClusterSettings
    from nucleate.run.inputs import Source
    from nucleate.run.segmenter import Segmenter
    from nucleate.run.settings import BatchSettings

__all__ = ["DEFAULT_EXPORT", "close", "load", "run", "settings_of", "share"]

DEFAULT_EXPORT = ["labels,overlay,measurements"]
"""The values of ``--export`` where none is given."""

_MOST_AT_ONCE = 4
"""Inputs at a time, since each takes memory; the gain was measured with two on two cores (benchmarks/speed.md)."""


def settings_of(
    batch: dict[str, Any], *, export: Sequence[str], memory: float | None, device: Device, threads: int | None
) -> BatchSettings:
    """Make the settings of a batch from some fields of `BatchSettings` and the options that need a second look.

    Raises
    ------
    UsageError
        If `export`, names with commas between in each of its texts, has one that does not exist.
    """
    from nucleate.core.cores import cores
    from nucleate.run.outputs import check_exports
    from nucleate.run.settings import BatchSettings

    batch = {"at_once": min(threads or cores(), _MOST_AT_ONCE), **batch}
    settings = BatchSettings(exports=check_exports(",".join(export)), **batch)
    return settings.told(command_line(), device=device, threads=threads, memory_gb=memory)


@loading()
def load(model: str | None, *, device: Device, threads: int | None, chosen: dict[str, Any]) -> Segmenter:
    """Load a model with what the user chose (the fields of `SegmentSettings`).

    Raises
    ------
    UsageError
        If there is no such model, or a field of `chosen` has a value that it cannot have.
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
    """Tell how workers of a cluster load the model that `load` loads here; None where no cluster is wanted."""
    if cluster is None:
        return None
    from nucleate.api import load_segmenter
    from nucleate.run.segmenter import SegmentSettings
    from nucleate.run.weights import find_model, list_models

    found = find_model(model).onnx
    # The name of a shipped model is enough: each worker has the package, and the hashes are compared.
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
    from nucleate.run.journal import JOURNAL_NAME

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

        try:
            return run_batch(
                sources,
                output,
                segmenter=segmenter,
                settings=settings,
                notify=notify,
                watch=lambda part: bar.show_part(f"strips of {part.name}", part.done, total=part.total),
                crew=crew,
            )
        except OutputError as error:
            if not os.path.lexists(output / JOURNAL_NAME):
                raise
            raise OutputError(f"{error}; what is finished is kept, go on with --resume") from error


def close(summary: BatchSummary, output: Path, *, quiet: bool, again: str = "--resume") -> None:
    """Say how a batch went, and leave with the exit code for it; `again` is what a stopped call goes on with."""
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
