"""``nucleate info``: what image files hold."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nucleate.apps.cli.console import say
from nucleate.core.text import one_line
from nucleate.errors import InputError, MissingExtraError

if TYPE_CHECKING:
    from nucleate.run.inputs import Source

__all__ = ["info"]


def info(
    files: Annotated[
        list[str], typer.Argument(metavar="FILE...", help="Image files, folders, globs, zip archives, OME-Zarr.")
    ],
    *,
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Write a JSON list, one entry a file.")] = False,
) -> None:
    r"""Tell what image files hold: format, axes, shape, dtype, channels, pixel size, steps in depth and time, levels.

    Exit code 1 when some of them cannot be read; the others are shown.

    \b
    Examples:
      nucleate info slide.svs
      nucleate info plate.zarr experiment.czi --json
    """
    from nucleate.run.inputs import expand

    found, failed = [], 0
    for source in expand(files, apart=False):
        try:
            found.append(_described(source))
        except (InputError, MissingExtraError) as error:
            if context.obj:
                raise
            line = str(error)
            say(f"nucleate: {line if source.shown in line else f'{source.shown}: {line}'}")
            failed += 1
            continue
        for picture in found[-1]["pictures"]:
            if line := picture.get("error", ""):
                name, reason = picture["name"], line.removeprefix(f"{source.shown}: ")
                say(f"nucleate: {line if name in line else f'{source.shown}, {name}: {reason}'}")
                failed += 1
        if not as_json:
            typer.echo("\n".join(_lines(found[-1])))
    if as_json:
        typer.echo(json.dumps(found, indent=2, ensure_ascii=False))
    if failed:
        raise typer.Exit(1)


def _described(source: Source) -> dict[str, Any]:
    from nucleate.io.describe import describe
    from nucleate.run.content import local_file

    if source.problem:
        raise InputError(source.problem)
    with local_file(source) as path:
        try:
            return describe(path) | {"path": source.shown}
        except InputError as error:
            raise InputError(str(error).replace(one_line(str(path)), source.shown)) from error


def _lines(found: dict[str, Any]) -> list[str]:
    size = found["bytes"]
    shown = f"{size / 1e6:.1f} MB" if size >= 1e5 else f"{size:,} bytes"
    lines = [f"{found['path']}: {found['format']}, {shown}"]
    several = len(found["pictures"]) > 1
    for number, picture in enumerate(found["pictures"]):
        if several:
            lines.append(f"  picture {number}: {picture['name']}")
        lines += [("    " if several else "  ") + line for line in _picture_lines(picture)]
    return lines


def _picture_lines(picture: dict[str, Any]) -> list[str]:
    if "axes" not in picture:
        return []
    names = list(picture["channels"])
    if picture["nuclear_channel"] is not None:
        names[picture["nuclear_channel"]] += " (nuclear stain)"
    size = picture["pixel_size_um"]
    count = picture["shape"][picture["axes"].index("C")] if "C" in picture["axes"] else 1
    shown = ", ".join(names) or ("colours" if "S" in picture["axes"] else f"{count} without a name")
    if count > 1 and picture["nuclear_channel"] is None:
        shown += " (none is known to show nuclei: 0 is taken unless --channel says another)"
    lines = [
        f"axes        {picture['axes']}",
        f"shape       {' x '.join(map(str, picture['shape']))}",
        f"dtype       {picture['dtype']}",
        f"channels    {shown}",
        f"pixel size  {'unknown' if size is None else f'{size[0]:.4g} x {size[1]:.4g} µm'}",
    ]
    if any(picture["channel_colours"]):
        lines.insert(4, f"colours     {', '.join(colour or 'unknown' for colour in picture['channel_colours'])}")
    if picture["z_step_um"] is not None:
        lines.append(f"z step      {picture['z_step_um']:.4g} µm")
    if picture["t_step_s"] is not None:
        lines.append(f"time step   {picture['t_step_s']:.4g} s")
    if len(picture["levels"]) > 1:
        lines.append(f"levels      {', '.join(f'{rows} x {cols}' for rows, cols in picture['levels'])}")
    return lines
