"""The manifest says what there is: it is valid, its commands exist, its patterns are those of the readers."""

from __future__ import annotations

import subprocess
import sys
import tomllib
import warnings
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import nucleate
from nucleate.io.images import FORMATS, IMAGE_SUFFIXES

PACKAGE = Path(nucleate.__file__).parent
MANIFEST = PACKAGE / "apps" / "napari" / "napari.yaml"

pytest.importorskip("magicgui", reason="magicgui is not installed (extra napari)")


@pytest.fixture(scope="module")
def manifest() -> Any:  # noqa: ANN401 - npe2's own class
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # npe2 uses what pydantic would rather not have used
        npe2 = pytest.importorskip("npe2", reason="npe2 is not installed (extra napari)")
        return npe2.PluginManifest.from_file(MANIFEST)


def test_it_is_valid_and_named_after_the_package(manifest: Any) -> None:  # noqa: ANN401 - as above
    manifest.validate_imports()
    assert manifest.name == "nucleate"


def test_napari_finds_it() -> None:
    project = tomllib.loads((PACKAGE.parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    module, _, file = project["entry-points"]["napari.manifest"][project["name"]].partition(":")
    assert Path(str(import_module(module).__file__)).with_name(file) == MANIFEST


def test_every_command_is_there_and_used(manifest: Any) -> None:  # noqa: ANN401 - as above
    given = manifest.contributions
    commands = {one.id: one.python_name for one in given.commands}
    for name in commands.values():
        module, _, attribute = name.partition(":")
        assert callable(getattr(import_module(module), attribute)), name
    used = [one.command for kind in (given.readers, given.widgets, given.writers, given.sample_data) for one in kind]
    assert sorted(used) == sorted(commands)


def test_patterns_are_those_of_the_readers(manifest: Any) -> None:  # noqa: ANN401 - as above
    (reader,) = manifest.contributions.readers
    assert reader.filename_patterns == sorted(f"*{suffix}" for suffix in IMAGE_SUFFIXES)
    folders = [known.name for known in FORMATS if known.suffixes == (".zarr",)]
    assert reader.accepts_directories == bool(folders)


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("nucleate.apps.napari.reader", {"napari", "qtpy", "magicgui", "onnxruntime", "typer"}),
        ("nucleate.apps.napari.samples", {"napari", "qtpy", "magicgui", "skimage"}),
        ("nucleate.apps.napari.find_widget", {"napari", "PySide6", "PyQt5", "PyQt6", "typer"}),
        ("nucleate.apps.napari.save_widget", {"napari", "PySide6", "PyQt5", "PyQt6", "typer"}),
    ],
)
def test_imports_bring_no_window_system(module: str, absent: set[str]) -> None:
    code = f"import sys, {module}; print(sorted({absent!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=300)
    assert done.stdout.strip() == "[]"
