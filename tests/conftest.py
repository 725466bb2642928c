"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


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
