"""``nucleate doctor``: what is installed, what the machine has, and whether the models work on it."""

from __future__ import annotations

import platform
import shutil
import subprocess
import time
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Annotated

import typer

from nucleate.apps.cli.console import Bar, QuietOption, ThreadsOption

if TYPE_CHECKING:
    from nucleate.api import Device
    from nucleate.run.weights import ModelFiles

__all__ = ["doctor"]

_LIBRARIES = ("numpy", "scipy", "scikit-image", "onnxruntime", "tifffile", "imagecodecs", "pillow")
_EXTRAS = ("torch", "zarr", "dask")
_FEATURES = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8", "amx_bf16", "asimd")
"""Instruction sets on which the speed of networks depends, by their names in /proc/cpuinfo."""


def doctor(
    model: Annotated[str | None, typer.Option(help="Test this model only, by name or file.")] = None,
    threads: ThreadsOption = None,
    store: Annotated[bool, typer.Option("--store", hidden=True, help="Store the results beside the weights.")] = False,
    quiet: QuietOption = False,
) -> None:
    r"""Show versions and devices, and test each model against the results stored with it.

    Exit code 0: all is well. 1: a test failed; the line says which.

    \b
    Example:
      nucleate doctor
    """
    from nucleate import __version__
    from nucleate.run.weights import find_model, list_models

    typer.echo(f"nucleate      {__version__}")
    typer.echo(f"python        {platform.python_version()}, {platform.platform()}")
    for name in _LIBRARIES:
        typer.echo(f"{name:<13} {_version(name) or 'NOT INSTALLED: run pip install nucleate again'}")
    for name in _EXTRAS:
        typer.echo(f"{name:<13} {_version(name) or 'not installed (optional)'}")
    typer.echo(f"processor     {_processor()}")
    typer.echo(f"memory        {_memory()}")
    gpu = _gpu()
    typer.echo(f"gpu           {gpu or 'none that answers'}")
    found = [find_model(model)] if model is not None else list_models()
    if not found:
        typer.echo("models        none is installed")
    well = [_test(files, "cpu", threads=threads, quiet=quiet, store=store) for files in found]
    integers = [files for files in found if files.card.sha256_int8 is not None]
    well += [_test(files, "cpu", threads=threads, quiet=quiet, fast=True) for files in integers]
    if gpu is not None and _version("torch"):
        well += [_test(files, "cuda", threads=threads, quiet=quiet) for files in found]
    if not all(well):
        raise typer.Exit(1)


def _test(
    files: ModelFiles, device: Device, *, threads: int | None, quiet: bool, store: bool = False, fast: bool = False
) -> bool:
    """Run the self-test of one model, in float32, or in 8-bit integers if `fast`; write its line, tell if it passed."""
    from nucleate.api import load_segmenter
    from nucleate.core.text import one_line
    from nucleate.errors import NucleateError
    from nucleate.run import selftest

    place = f"self-test     {files.card.name}, {device}{', 8-bit integers' if fast else ''}:"
    try:
        with Bar("self-test", None, quiet=quiet):
            segmenter = load_segmenter(files.onnx, device=device, threads=threads, precision="auto" if fast else "full")
            started = time.perf_counter()
            got = selftest.measure(segmenter)
            seconds = time.perf_counter() - started
        if store:
            selftest.write_stored(files.onnx, got)
        stored = selftest.read_stored(files.onnx)
    except NucleateError as error:
        typer.echo(f"{place} FAILED: {one_line(str(error))}")
        return False
    if stored is None:
        typer.echo(f"{place} runs ({got['nuclei']} nuclei in {seconds:.1f} s); no stored results to compare with")
        return True
    problem = selftest.compare(stored, got, coarse=fast)
    nuclei = got["nuclei"]
    typer.echo(f"{place} FAILED: {problem}" if problem else f"{place} ok ({nuclei} nuclei in {seconds:.1f} s)")
    return not problem


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _processor() -> str:
    from nucleate.core.cores import cores, processor

    name, known = processor()
    features = [feature for feature in _FEATURES if feature in known]
    return f"{name}, {cores()} cores for us{', ' + ' '.join(features) if features else ''}"


def _memory() -> str:
    from nucleate.core.text import size_text
    from nucleate.run.memory import available_bytes

    free = available_bytes()
    return "not known" if free is None else f"{size_text(free)} free"


def _gpu() -> str | None:
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return None
    asked = [tool, "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(asked, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return "; ".join(done.stdout.split("\n")).strip("; ") or None
