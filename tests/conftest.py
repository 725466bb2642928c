"""Fixtures shared by all tests."""

from __future__ import annotations

import importlib.util
import os
import signal
from pathlib import Path

import pytest
from hypothesis import settings

import nucleate

# No deadline: a shared or busy machine would fail a slow example. On CI the examples are the same in every run.
settings.register_profile("house", deadline=None, print_blob=True)
settings.register_profile("ci", parent=settings.get_profile("house"), derandomize=True, database=None)
settings.load_profile("ci" if os.environ.get("CI") else "house")


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Without torch, collect only the files that say they run in the base install: the others could not be imported."""
    if importlib.util.find_spec("torch") is not None or not collection_path.name.startswith("test_"):
        return None
    if collection_path.suffix != ".py" or "mark.base" in collection_path.read_text(encoding="utf-8"):
        return None
    return True


@pytest.fixture(scope="session", autouse=True)
def ctrl_c_works() -> None:
    """Undo what a shell does to programs that it starts in the background: there Ctrl-C is ignored."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder with the real data sets; the test is skipped where there is none."""
    named = os.environ.get("NUCLEATE_DATA")
    folder = Path(named) if named else Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"real data not at {folder}; set NUCLEATE_DATA")
    return folder


@pytest.fixture(scope="session")
def dsb_zip(shared_data: Path) -> Path:
    """Give the Data Science Bowl's stage 1 training set, 664 annotated images."""
    path = shared_data / "dsb2018" / "stage1_train.zip"
    if not path.is_file():
        pytest.skip(f"no Data Science Bowl set at {path}")
    return path


@pytest.fixture(scope="session")
def shipped_model() -> Path:
    """Give the weights that come with the package."""
    folder = Path(nucleate.__file__).parent / "weights"
    found = sorted(folder.glob("*.onnx"))
    assert found, f"no model in {folder}"
    return found[0]
